//! From which release to which a node can be upgraded.

use std::{fmt, str::FromStr};

/// The release of a Talos, as far as it decides whether an upgrade is allowed: parts such as `-beta.1` are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct TalosVersion {
    /// The first number.
    pub major: u16,
    /// The second.
    pub minor: u16,
    /// The third.
    pub patch: u16,
}

/// A text is no release of Talos.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{input:?} is no release such as v1.14.0")]
#[non_exhaustive]
pub struct TalosVersionError {
    /// The rejected text, or the beginning of a long one.
    pub input: String,
}

/// Why an upgrade is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathRefusal {
    /// The node is too old for that release.
    #[error("{to} can be reached from {from_at_least} on, go there first")]
    TooOld {
        /// The release to go to.
        to: TalosVersion,
        /// The oldest release that it can be reached from.
        from_at_least: TalosVersion,
    },
    /// The node is too new for that release.
    #[error("{to} can be gone back to from releases before {from_below} only")]
    TooNew {
        /// The release to go to.
        to: TalosVersion,
        /// The first release that it cannot be reached from.
        from_below: TalosVersion,
    },
    /// The node runs a Kubernetes that the release is not made for.
    #[error("{to} takes Kubernetes from v{at_least} on and before v{below}, and the node runs {found}")]
    Kubernetes {
        /// The release to go to.
        to: TalosVersion,
        /// What the kubelet is, from the tag of its image.
        found: String,
        /// The oldest Kubernetes for that release.
        at_least: &'static str,
        /// The first that is too new for it.
        below: &'static str,
    },
    /// This library does not know that release, nor from where it can be reached.
    #[error("it is not known from where {to} can be reached")]
    UnknownTarget {
        /// The release to go to.
        to: TalosVersion,
    },
}

/// From where a minor of Talos 1 can be reached.
struct Rule {
    to: u16,
    /// The oldest minor, and the first that is too new.
    from: (u16, u16),
    /// The oldest Kubernetes, and the first that is too new.
    kubernetes: (&'static str, &'static str),
}

impl Rule {
    const fn new(to: u16, from: (u16, u16), kubernetes: (&'static str, &'static str)) -> Self {
        Self { to, from, kubernetes }
    }

    fn of(to: TalosVersion) -> Result<&'static Self, PathRefusal> {
        let rule = RULES.iter().find(|rule| to.major == 1 && to.minor == rule.to);
        rule.ok_or(PathRefusal::UnknownTarget { to })
    }
}

/// Talos v1.14, `pkg/machinery/compatibility`; the installer on the node checks the same.
const RULES: [Rule; 7] = [
    Rule::new(8, (5, 10), ("1.26.0", "1.31.99")),
    Rule::new(9, (8, 11), ("1.27.0", "1.32.99")),
    Rule::new(10, (8, 12), ("1.28.0", "1.33.99")),
    Rule::new(11, (9, 13), ("1.29.0", "1.34.99")),
    Rule::new(12, (10, 14), ("1.30.0", "1.35.99")),
    Rule::new(13, (11, 15), ("1.31.0", "1.36.99")),
    Rule::new(14, (12, 16), ("1.32.0", "1.37.99")),
];

impl TalosVersion {
    const fn of_minor(minor: u16) -> Self {
        Self {
            major: 1,
            minor,
            patch: 0,
        }
    }

    /// Whether a node of this release can be made one of `to` in one step.
    ///
    /// # Errors
    ///
    /// [`PathRefusal`], with where to go first.
    pub fn may_become(self, to: Self) -> Result<(), PathRefusal> {
        let (oldest, too_new) = Rule::of(to)?.from;
        let from_at_least = Self::of_minor(oldest);
        let from_below = Self::of_minor(too_new);
        if self < from_at_least {
            return Err(PathRefusal::TooOld { to, from_at_least });
        }
        if self >= from_below {
            return Err(PathRefusal::TooNew { to, from_below });
        }
        Ok(())
    }

    /// Whether a node with this Kubernetes, such as `v1.36.0`, can run this release. What is no release of Kubernetes is not
    /// judged.
    ///
    /// # Errors
    ///
    /// [`PathRefusal::Kubernetes`], and [`PathRefusal::UnknownTarget`] for a release that is not known.
    pub fn takes_kubernetes(self, kubernetes: &str) -> Result<(), PathRefusal> {
        let (at_least, below) = Rule::of(self)?.kubernetes;
        let Some(found) = numbers(kubernetes) else {
            return Ok(());
        };
        let of = |text| numbers(text).unwrap_or_default();
        if (of(at_least)..of(below)).contains(&found) {
            return Ok(());
        }
        let (to, found) = (self, kubernetes.to_owned());
        Err(PathRefusal::Kubernetes {
            to,
            found,
            at_least,
            below,
        })
    }

    /// Whether the node has the upgrade of `LifecycleService`.
    pub(super) fn has_lifecycle(self) -> bool {
        self >= Self::of_minor(13)
    }
}

/// The release in the tag of an installer image, if there is one.
pub(super) fn tag_of(image: &str) -> Option<&str> {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let (_, tag) = name.rsplit('/').next()?.split_once(':')?;
    numbers(tag).map(|_| tag)
}

/// The three numbers of a release, with or without a `v`, and without what comes after them.
fn numbers(text: &str) -> Option<(u16, u16, u16)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut numbers = text.split(['-', '+']).next()?.split('.');
    let mut next = || numbers.next()?.parse().ok();
    let three = (next()?, next()?, next()?);
    numbers.next().is_none().then_some(three)
}

impl FromStr for TalosVersion {
    type Err = TalosVersionError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        let (major, minor, patch) = numbers(input).ok_or_else(|| TalosVersionError {
            input: input.chars().take(40).collect(),
        })?;
        Ok(Self { major, minor, patch })
    }
}

impl fmt::Display for TalosVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> TalosVersion {
        text.parse().expect("a release")
    }

    #[test]
    fn releases_are_read_without_what_comes_after_them() {
        assert_eq!(version("v1.14.0-rc.1"), version("1.14.0"));
        assert_eq!(version("v1.13.2").to_string(), "v1.13.2");
        for wrong in ["", "v1.14", "v1.14.0.1", "latest", "v1.x.0", "v-1.2.3"] {
            assert!(wrong.parse::<TalosVersion>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn upgrades_go_up_by_two_minors_and_down_by_one() {
        let allowed = |from: &str, to: &str| version(from).may_become(version(to)).is_ok();
        for (from, to) in [
            ("v1.12.0", "v1.14.0"),
            ("v1.13.9", "v1.14.1"),
            ("v1.14.0", "v1.14.2"),
            ("v1.15.3", "v1.14.0"),
            ("v1.12.1", "v1.11.0"),
            ("v1.5.0", "v1.8.0"),
        ] {
            assert!(allowed(from, to), "{from} to {to}");
        }
        assert_eq!(
            version("v1.11.9").may_become(version("v1.14.0")),
            Err(PathRefusal::TooOld {
                to: version("v1.14.0"),
                from_at_least: version("v1.12.0")
            })
        );
        assert!(matches!(
            version("v1.16.0").may_become(version("v1.14.0")),
            Err(PathRefusal::TooNew { .. })
        ));
        assert!(matches!(
            version("v1.14.0").may_become(version("v2.0.0")),
            Err(PathRefusal::UnknownTarget { .. })
        ));
    }

    #[test]
    fn each_release_takes_six_minors_of_kubernetes() {
        let to = version("v1.14.0");
        for fits in ["v1.32.0", "v1.37.4", "1.37.0-rc.0", "latest"] {
            assert_eq!(to.takes_kubernetes(fits), Ok(()), "{fits}");
        }
        for wrong in ["v1.31.9", "v1.38.0", "v2.0.0"] {
            let refusal = to.takes_kubernetes(wrong).expect_err(wrong);
            assert_eq!(
                refusal.to_string(),
                format!(
                    "v1.14.0 takes Kubernetes from v1.32.0 on and before v1.37.99, and the node runs {wrong}"
                )
            );
        }
        for rule in &RULES {
            let (at_least, below) = rule.kubernetes;
            let minor = |text| numbers(text).expect("a release").1;
            assert_eq!(minor(below) - minor(at_least), 5, "{}", rule.to);
        }
    }

    #[test]
    fn the_release_of_an_image_is_in_its_tag() {
        assert_eq!(tag_of("ghcr.io/siderolabs/installer:v1.14.1"), Some("v1.14.1"));
        assert_eq!(tag_of("host:5000/installer:v1.14.1@sha256:00"), Some("v1.14.1"));
        assert_eq!(tag_of("host:5000/installer"), None);
        assert_eq!(tag_of("installer:latest"), None);
    }
}
