//! [`SideroV1Config`]: where keys come from.

use std::{env, ffi::OsString, fmt, path::PathBuf, sync::Arc, time::SystemTime};

use super::{
    error::ServiceAccountOrigin,
    login::{AnyLogin, LoginHandler},
};
use crate::SecretString;

/// Where the keys that sign requests come from.
///
/// What is set by a method goes before the environment, which is looked at by [`SideroV1Config::from_env`] alone.
/// A client that is not given any uses `from_env`, if its context asks for signatures.
#[derive(Clone)]
#[must_use]
pub struct SideroV1Config {
    pub(super) service_account: Option<(ServiceAccountOrigin, SecretString)>,
    pub(super) keys_dir: Option<PathBuf>,
    pub(super) fallback_dir: Option<PathBuf>,
    pub(super) login: Option<AnyLogin>,
    pub(super) clock: Clock,
}

/// What time it is.
#[derive(Clone)]
pub(super) struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl SideroV1Config {
    /// Knows no keys and does not look at the environment.
    pub fn new() -> Self {
        Self {
            service_account: None,
            keys_dir: None,
            fallback_dir: None,
            login: None,
            clock: Clock(Arc::new(SystemTime::now)),
        }
    }

    /// Looks at the environment of this process.
    pub fn from_env() -> Self {
        Self::with_variables(|name| env::var_os(name))
    }

    /// Looks at the variables that `variable` returns: `SIDERO_SERVICE_ACCOUNT_KEY`, `OMNI_SERVICE_ACCOUNT_KEY`,
    /// `SIDEROV1_KEYS_DIR`, `TALOS_HOME`, `XDG_DATA_HOME` and `HOME` (`USERPROFILE` on Windows).
    pub fn with_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let service_account = SERVICE_ACCOUNT_VARIABLES.into_iter().find_map(|name| {
            // A value that is not Unicode is set all the same; it fails like any other text that is not base64.
            let value = variable(name)?.to_string_lossy().into_owned();
            Some((ServiceAccountOrigin::Variable(name), SecretString::new(value)))
        });
        let path = |name| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let home = path(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
        let talos_home = path("TALOS_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| home.as_ref().map(|home| home.join(".talos")));
        let data_home = path("XDG_DATA_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| home.map(|home| home.join(".local").join("share")));
        Self {
            service_account,
            keys_dir: path("SIDEROV1_KEYS_DIR").or_else(|| talos_home.map(|path| path.join("keys"))),
            fallback_dir: data_home.map(|path| path.join("talos").join("keys")),
            ..Self::new()
        }
    }

    /// Signs as this service account, whatever identity the context names. The value is what Omni shows when the
    /// account is made: base64 of JSON with a name and an OpenPGP key.
    ///
    /// Default: `SIDERO_SERVICE_ACCOUNT_KEY`, then `OMNI_SERVICE_ACCOUNT_KEY`; one that is set to nothing is an
    /// error and not the same as one that is not set.
    pub fn service_account_key(mut self, key: impl Into<SecretString>) -> Self {
        self.service_account = Some((ServiceAccountOrigin::Explicit, key.into()));
        self
    }

    /// Looks for key files of users in this folder, and writes those of new logins there.
    ///
    /// Default: `$SIDEROV1_KEYS_DIR`, then `keys` under `$TALOS_HOME` if that is an absolute path, then
    /// `~/.talos/keys`. A file that does not exist there is also looked for in `talos/keys` under `$XDG_DATA_HOME`
    /// or `~/.local/share`.
    ///
    /// In talosctl the variable `SIDEROV1_KEYS_DIR` beats the flag. Here the program has the last word, as with
    /// every other setting; hand over a folder only if the variable is not to count.
    pub fn keys_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.keys_dir = Some(path.into());
        self
    }

    /// Has new keys of users confirmed by this handler, where there is none or servers do not accept it. Default:
    /// calls fail then. Service accounts never log in.
    pub fn login(mut self, handler: impl LoginHandler) -> Self {
        self.login = Some(AnyLogin::new(handler));
        self
    }

    /// Asks this for the time, for machines whose clock is known to be wrong. Default: [`SystemTime::now`].
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Clock(Arc::new(now));
        self
    }
}

impl Clock {
    pub(super) fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl Default for SideroV1Config {
    /// The same as [`SideroV1Config::new`].
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SideroV1Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SideroV1Config")
            .field("service_account", &self.service_account)
            .field("keys_dir", &self.keys_dir)
            .field("fallback_dir", &self.fallback_dir)
            .field("login", &self.login.is_some())
            .finish_non_exhaustive()
    }
}

/// In order of precedence.
const SERVICE_ACCOUNT_VARIABLES: [&str; 2] = ["SIDERO_SERVICE_ACCOUNT_KEY", "OMNI_SERVICE_ACCOUNT_KEY"];
