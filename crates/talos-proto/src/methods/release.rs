//! A Talos release as the API facts name it.

use std::fmt;
use std::str::FromStr;

/// A Talos minor release, such as `v1.14`: new RPCs come and old ones go only with these.
///
/// # Example
///
/// ```
/// use talos_proto::methods::Release;
///
/// let release: Release = "v1.14".parse()?;
/// assert!(release > Release::new(1, 9));
/// assert_eq!(release.to_string(), "v1.14");
/// # Ok::<_, talos_proto::methods::ParseReleaseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    major: u16,
    minor: u16,
}

impl Release {
    /// Names the release `major.minor`.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// The first number.
    #[must_use]
    pub const fn major(self) -> u16 {
        self.major
    }

    /// The second number.
    #[must_use]
    pub const fn minor(self) -> u16 {
        self.minor
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.major, self.minor)
    }
}

/// Reads `v1.14` and also longer tags such as `v1.14.2` and `v1.14.0-rc.1`, whose rest is ignored.
impl FromStr for Release {
    type Err = ParseReleaseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text
            .strip_prefix('v')
            .ok_or(ParseReleaseError(()))?
            .splitn(3, '.');
        let mut number = || -> Result<u16, ParseReleaseError> {
            let part = parts.next().unwrap_or_default();
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(ParseReleaseError(()));
            }
            part.parse().map_err(|_| ParseReleaseError(()))
        };
        Ok(Self::new(number()?, number()?))
    }
}

/// The text is not a Talos release: expected `v`, a number, a dot and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseReleaseError(());

impl fmt::Display for ParseReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a Talos release, expected a form like `v1.14`")
    }
}

impl std::error::Error for ParseReleaseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_minor_releases_and_tags() {
        for text in [
            "v1.14",
            "v1.14.0",
            "v1.14.2",
            "v1.14.0-rc.1",
            "v1.14.0-alpha.1-5-gabcdef",
        ] {
            assert_eq!(text.parse(), Ok(Release::new(1, 14)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_release() {
        for text in [
            "", "v", "1.14", "v1", "v1.", "v.14", "v+1.14", "v1.x", "v1.-4", "v70000.1",
        ] {
            assert_eq!(text.parse::<Release>(), Err(ParseReleaseError(())), "{text}");
        }
    }

    #[test]
    fn compares_numbers_not_text() {
        assert!(Release::new(1, 9) < Release::new(1, 10));
        assert!(Release::new(1, 18) < Release::new(2, 0));
    }
}
