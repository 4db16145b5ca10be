//! What a row of `proto/methods.toml` says about an RPC.

use std::fmt;

use serde::Deserialize;

/// One row of the reviewed file; its head comment explains the keys.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the file documents its keys")]
pub struct Facts {
    pub safety: Safety,
    pub why: Option<String>,
    pub roles: Vec<Role>,
    pub maintenance: Maintenance,
    pub aggregatable: bool,
    #[serde(default)]
    pub control_plane: bool,
    #[serde(default)]
    pub served_by: ServedBy,
    pub since: Option<Release>,
    #[serde(default)]
    pub replacement: Vec<String>,
}

macro_rules! facts_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[expect(missing_docs, reason = "the names say it")]
        pub enum $name {
            $($(#[$variant_meta])* $variant),+
        }
    };
}

facts_enum!(
    /// Whether a call may be repeated.
    Safety { ReadOnly, Idempotent, Unsafe }
);
facts_enum!(
    /// Roles of the API.
    Role { Admin, Operator, Reader, EtcdBackup, ImageVerifier, MetaWriter }
);
facts_enum!(
    /// Outcome for anonymous callers in maintenance mode.
    Maintenance { Allowed, Denied, Unimplemented, NotServed }
);
facts_enum!(
    /// The program that serves an RPC.
    #[derive(Default)]
    ServedBy { #[default] Apid, Trustd, Imager }
);

impl fmt::Display for Safety {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadOnly => "read-only",
            Self::Idempotent => "idempotent",
            Self::Unsafe => "unsafe",
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Reader => "reader",
            Self::EtcdBackup => "etcd:backup",
            Self::ImageVerifier => "image:verifier",
            Self::MetaWriter => "meta:writer",
        })
    }
}

/// A Talos minor release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Release(pub u16, pub u16);

impl TryFrom<String> for Release {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let numbers = text.strip_prefix('v').and_then(|rest| rest.split_once('.'));
        let parsed = numbers.and_then(|(major, minor)| Some(Self(major.parse().ok()?, minor.parse().ok()?)));
        parsed.ok_or_else(|| format!("{text:?} is not a release, expected a form like `v1.14`"))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.0, self.1)
    }
}
