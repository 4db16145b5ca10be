//! The roles that Talos knows.

use std::fmt;
use std::str::FromStr;

/// A role of the Talos API, as client certificates carry it in their organization field.
///
/// Roles do not include each other: an RPC lists every role that may call it.
///
/// # Example
///
/// ```
/// use talos_proto::methods::Role;
///
/// assert_eq!(Role::EtcdBackup.as_str(), "os:etcd:backup");
/// assert_eq!("os:reader".parse(), Ok(Role::Reader));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// `os:admin`: everything.
    Admin,
    /// `os:operator`: reading, reboot and shutdown, services, etcd maintenance, image pulls.
    Operator,
    /// `os:reader`: reading what is not sensitive.
    Reader,
    /// `os:etcd:backup`: etcd snapshots and the state of etcd.
    EtcdBackup,
    /// `os:image:verifier`: verification of image signatures.
    ImageVerifier,
    /// `os:meta:writer`: values of the META partition.
    MetaWriter,
    /// `os:impersonator`: acting with the roles named in the request, as nodes do among themselves.
    Impersonator,
}

impl Role {
    /// All roles.
    pub const ALL: &'static [Self] = &[
        Self::Admin,
        Self::Operator,
        Self::Reader,
        Self::EtcdBackup,
        Self::ImageVerifier,
        Self::MetaWriter,
        Self::Impersonator,
    ];

    /// The name in certificates, such as `os:admin`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "os:admin",
            Self::Operator => "os:operator",
            Self::Reader => "os:reader",
            Self::EtcdBackup => "os:etcd:backup",
            Self::ImageVerifier => "os:image:verifier",
            Self::MetaWriter => "os:meta:writer",
            Self::Impersonator => "os:impersonator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads the exact name; Talos does not ignore case either.
impl FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|role| role.as_str() == text)
            .ok_or(ParseRoleError(()))
    }
}

/// The text is not a role that Talos knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseRoleError(());

impl fmt::Display for ParseRoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a Talos role, expected a name like `os:admin`")
    }
}

impl std::error::Error for ParseRoleError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(*role));
            assert_eq!(role.to_string(), role.as_str());
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in ["", "admin", "os:Admin", "os:admin ", "os:root"] {
            assert_eq!(text.parse::<Role>(), Err(ParseRoleError(())), "{text:?}");
        }
    }
}
