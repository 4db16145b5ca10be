//! Rules about which images may be used.

/// What a rule says about the images it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageRuleAction {
    /// Let it pass without looking at it.
    Skip,
    /// Refuse it.
    Deny,
    /// Check its signature, which is good.
    Signed,
    /// Check its signature, which is bad: with what is said about it.
    BadSignature(String),
}

/// A rule about images, evaluated in the order of ids. See
/// [`SimNode::set_image_rules`](crate::SimNode::set_image_rules).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageRule {
    /// Id of the resource, four digits on a node, such as `0000`.
    pub id: String,
    /// What references it is about, with `*` for anything but a slash and `**` for anything.
    pub pattern: String,
    /// What it says about them.
    pub action: ImageRuleAction,
}

impl ImageRule {
    /// A rule.
    #[must_use]
    pub fn new(id: impl Into<String>, pattern: impl Into<String>, action: ImageRuleAction) -> Self {
        Self {
            id: id.into(),
            pattern: pattern.into(),
            action,
        }
    }

    pub(crate) fn matches(&self, reference: &str) -> bool {
        matches(self.pattern.as_bytes(), reference.as_bytes())
    }
}

/// Whether `text` matches `pattern`. Both are short, so that trying all ways is fast enough.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|skip| matches(rest, &text[skip..])),
        [b'*', rest @ ..] => {
            let end = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=end).any(|skip| matches(rest, &text[skip..]))
        }
        [first, rest @ ..] => text
            .split_first()
            .is_some_and(|(head, tail)| head == first && matches(rest, tail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_within_and_across_parts() {
        let cases = [
            ("docker.io/library/*", "docker.io/library/alpine", true),
            ("docker.io/*", "docker.io/library/alpine", false),
            ("docker.io/**", "docker.io/library/alpine", true),
            ("*", "alpine", true),
            ("ghcr.io/*/installer*", "ghcr.io/siderolabs/installer-base", true),
            ("ghcr.io/a", "ghcr.io/ab", false),
        ];
        for (pattern, text, expected) in cases {
            let rule = ImageRule::new("0000", pattern, ImageRuleAction::Skip);
            assert_eq!(rule.matches(text), expected, "{pattern} {text}");
        }
    }
}
