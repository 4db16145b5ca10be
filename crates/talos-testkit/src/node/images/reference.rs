//! References of images, read as the container tools read them.

use std::fmt;

/// A reference such as `ghcr.io/siderolabs/installer:v1.14.0`, completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Registry and path, such as `docker.io/library/alpine`.
    pub(crate) repository: String,
    /// Empty if there is a digest only.
    pub(crate) tag: String,
    /// With `sha256:`; empty if there is none.
    pub(crate) digest: String,
}

impl Reference {
    /// Reads a reference; the error is what the container tools say.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const INVALID: &str = "invalid reference format";
        let (name, digest) = text.split_once('@').unwrap_or((text, ""));
        let (name, tag) = match name.rsplit_once(':') {
            // A colon before a slash belongs to the port of the registry.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        let (domain, path) = match name.split_once('/') {
            Some((domain, path)) if domain.contains(['.', ':']) || domain == "localhost" => {
                (domain, path.to_owned())
            }
            Some(_) => ("docker.io", name.to_owned()),
            None => ("docker.io", format!("library/{name}")),
        };
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(format!("{INVALID}: repository name ({path}) must be lowercase"));
        }
        let component = |part: &str| {
            let allowed =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
            let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            let bytes = part.as_bytes();
            bytes.iter().copied().all(allowed) && edge(bytes.first()) && edge(bytes.last())
        };
        let domain_ok = domain
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
        let tag_ok = tag.is_none_or(|tag| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !tag.is_empty() && tag.len() <= 128 && tag.bytes().all(allowed) && !tag.starts_with(['.', '-'])
        });
        let digest_ok = !text.contains('@') || is_digest(digest);
        if !domain_ok || !tag_ok || !digest_ok || !path.split('/').all(component) {
            return Err(INVALID.to_owned());
        }
        let tag = tag.unwrap_or(if digest.is_empty() { "latest" } else { "" });
        Ok(Self {
            repository: format!("{domain}/{path}"),
            tag: tag.to_owned(),
            digest: digest.to_owned(),
        })
    }

    /// The reference with nothing but a digest.
    pub(crate) fn pinned(&self, digest: &str) -> String {
        format!("{}@{digest}", self.repository)
    }
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64
            && hex
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if !self.tag.is_empty() {
            write!(f, ":{}", self.tag)?;
        }
        if !self.digest.is_empty() {
            write!(f, "@{}", self.digest)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_completed() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let cases = [
            ("alpine", "docker.io/library/alpine:latest".to_owned()),
            ("org/app:1", "docker.io/org/app:1".to_owned()),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest".to_owned()),
            ("ghcr.io/x/y:v1", "ghcr.io/x/y:v1".to_owned()),
        ];
        for (text, full) in cases {
            assert_eq!(Reference::parse(text).unwrap().to_string(), full, "{text}");
        }
        let pinned = format!("alpine@{digest}");
        let reference = Reference::parse(&pinned).unwrap();
        assert_eq!(reference.to_string(), format!("docker.io/library/{pinned}"));
        assert_eq!(reference.pinned(&digest), reference.to_string());
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "a b",
            "a:",
            "a@b",
            "ghcr.io/",
            "/a",
            "a//b",
            "-a",
            "a@sha256:12",
            "a:.x",
        ] {
            assert_eq!(
                Reference::parse(text).unwrap_err(),
                "invalid reference format",
                "{text}"
            );
        }
        let error = Reference::parse("Alpine").unwrap_err();
        assert_eq!(
            error,
            "invalid reference format: repository name (library/Alpine) must be lowercase"
        );
    }
}
