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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
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
    /// This library does not know that release, nor from where it can be reached.
    #[error("it is not known from where {to} can be reached")]
    UnknownTarget {
        /// The release to go to.
        to: TalosVersion,
    },
}

/// Target minor of 1, the oldest minor it can be reached from, and the first that it cannot be reached from any more
/// (Talos v1.14, `pkg/machinery/compatibility`; the installer on the node checks the same).
const RULES: [(u16, u16, u16); 7] = [
    (8, 5, 10),
    (9, 8, 11),
    (10, 8, 12),
    (11, 9, 13),
    (12, 10, 14),
    (13, 11, 15),
    (14, 12, 16),
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
        let rule = RULES
            .iter()
            .find(|(minor, ..)| to.major == 1 && to.minor == *minor);
        let Some((_, from_at_least, from_below)) = rule else {
            return Err(PathRefusal::UnknownTarget { to });
        };
        let from_at_least = Self::of_minor(*from_at_least);
        let from_below = Self::of_minor(*from_below);
        if self < from_at_least {
            return Err(PathRefusal::TooOld { to, from_at_least });
        }
        if self >= from_below {
            return Err(PathRefusal::TooNew { to, from_below });
        }
        Ok(())
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
    tag.parse::<TalosVersion>().ok().map(|_| tag)
}

impl FromStr for TalosVersion {
    type Err = TalosVersionError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        let parse = || -> Option<Self> {
            let text = input.strip_prefix('v').unwrap_or(input);
            let numbers = text.split(['-', '+']).next()?;
            let mut numbers = numbers.split('.').map(|number| number.parse().ok());
            let version = Self {
                major: numbers.next()??,
                minor: numbers.next()??,
                patch: numbers.next()??,
            };
            numbers.next().is_none().then_some(version)
        };
        parse().ok_or_else(|| TalosVersionError {
            input: input.chars().take(40).collect(),
        })
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
    fn the_release_of_an_image_is_in_its_tag() {
        assert_eq!(tag_of("ghcr.io/siderolabs/installer:v1.14.1"), Some("v1.14.1"));
        assert_eq!(tag_of("host:5000/installer:v1.14.1@sha256:00"), Some("v1.14.1"));
        assert_eq!(tag_of("host:5000/installer"), None);
        assert_eq!(tag_of("installer:latest"), None);
    }
}
