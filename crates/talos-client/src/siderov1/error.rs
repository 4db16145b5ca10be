//! Why a request cannot be signed.

use std::{error::Error as StdError, fmt, io, path::PathBuf, sync::Arc, time::SystemTime};

use crate::config::Base64Problem;

/// Why a request cannot be signed.
///
/// It is the source of an error of kind `Config` if [`ClientBuilder::build`](crate::ClientBuilder::build) finds it,
/// and lies behind [`talos_transport::Error::Signing`] if a call does. No part of it shows a key.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SideroV1Error {
    /// A service account key is set and cannot be used; an empty one counts as set.
    #[error("the service account key of {origin} is unusable")]
    ServiceAccount {
        /// Where it was found.
        origin: ServiceAccountOrigin,
        /// What is wrong with it.
        #[source]
        problem: ServiceAccountProblem,
    },
    /// The identity is empty or has spaces or characters other than ASCII, which a signature cannot express.
    #[error("identity {identity:?} cannot sign: it must be ASCII text without spaces")]
    Identity {
        /// The identity.
        identity: String,
    },
    /// The names of context and identity do not make the name of a file, for instance because of a `/`.
    #[error("there can be no key file called {name:?}")]
    KeyFileName {
        /// What the file would be called.
        name: String,
    },
    /// No folder with keys was named, and the environment does not tell where the home folder is.
    #[error("no folder with signing keys is known: SIDEROV1_KEYS_DIR, TALOS_HOME and HOME are not set")]
    NoKeysDir,
    /// There is no key file, and no [`LoginHandler`](super::LoginHandler) to make one. talosctl makes one when it
    /// is used with this context.
    #[error("there is no signing key of {identity}, looked at {}", join(.searched))]
    NoKey {
        /// The identity.
        identity: String,
        /// The places that were looked at, in order.
        searched: Vec<PathBuf>,
    },
    /// The key file exists but could not be read.
    #[error("reading the signing key {} failed", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The key file cannot be used, and there is no [`LoginHandler`](super::LoginHandler) to replace it.
    #[error("the signing key {} is unusable", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with the key.
        #[source]
        source: KeyError,
    },
    /// No key for this identity could be made.
    #[error("making a signing key for {identity} failed")]
    Generate {
        /// The identity.
        identity: String,
        /// What would be wrong with the key.
        #[source]
        source: KeyError,
    },
    /// The [`LoginHandler`](super::LoginHandler) failed. The next call asks it again.
    #[error("the login of {identity} failed")]
    Login {
        /// The identity.
        identity: String,
        /// What it said.
        #[source]
        source: LoginError,
    },
    /// A signature covers this metadata, and its value is not UTF-8.
    #[error("metadata {name:?} cannot be signed: it is not UTF-8 text")]
    Metadata {
        /// Name of the metadata.
        name: &'static str,
    },
    /// This machine's clock shows a time before 1970 or after 2106.
    #[error("the clock shows a time that a signature cannot express")]
    Clock,
    /// The key could not make a signature.
    #[error("the signing key {fingerprint} could not make a signature")]
    Sign {
        /// The key.
        fingerprint: String,
    },
}

/// Where a service account key was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceAccountOrigin {
    /// It was handed over by the program.
    Explicit,
    /// It is the value of this environment variable.
    Variable(&'static str),
}

/// What is wrong with a service account key. Only its structure is told, nothing of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceAccountProblem {
    /// It is set to nothing.
    #[error("it is empty")]
    Empty,
    /// It is not standard, padded base64.
    #[error("it is not valid base64 ({0})")]
    Base64(Base64Problem),
    /// What it encodes is not JSON with `name` and `pgp_key`.
    #[error("it does not hold JSON with the texts `name` and `pgp_key`")]
    Json,
    /// The name cannot be used in a signature: it is empty or has spaces or characters other than ASCII.
    #[error("its name is not ASCII text without spaces")]
    Name,
    /// The OpenPGP key in it cannot be used.
    #[error("its OpenPGP key is unusable: {0}")]
    Key(KeyError),
}

/// What is wrong with an OpenPGP key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is not an OpenPGP private key in ASCII armor.
    #[error("it is not an armored OpenPGP private key")]
    Malformed,
    /// Servers know keys by fingerprints of version 4.
    #[error("it is an OpenPGP key of version {version}, not 4")]
    Version {
        /// The version.
        version: u8,
    },
    /// It is protected with a passphrase.
    #[error("it is locked with a passphrase")]
    Locked,
    /// It was revoked.
    #[error("it is revoked")]
    Revoked,
    /// No user id is certified by the key itself, or those that were are revoked.
    #[error("it has no valid user id")]
    NoUserId,
    /// The user id is not a mail address, with or without a name.
    #[error("its user id is not a mail address")]
    UserId,
    /// It does not expire, as keys of users must.
    #[error("it never expires")]
    NoLifetime,
    /// It expires in more than eight hours, which servers do not accept for keys of users.
    #[error("it expires too far in the future, at {}", seconds(.at))]
    LifetimeTooLong {
        /// When it expires.
        at: SystemTime,
    },
    /// It is expired, or will be before a server whose clock is ahead has checked it.
    #[error("it is expired: its time ends at {}", seconds(.at))]
    Expired {
        /// When it expires.
        at: SystemTime,
    },
    /// The OpenPGP library could not make it.
    #[error("it could not be made")]
    Generate,
}

/// Why a [`LoginHandler`](super::LoginHandler) failed; its own error is the source.
#[derive(Clone)]
pub struct LoginError(Option<Arc<dyn StdError + Send + Sync>>);

impl LoginError {
    pub(super) fn new(error: Box<dyn StdError + Send + Sync>) -> Self {
        Self(Some(error.into()))
    }

    /// The handler panicked, or the runtime it ran in is gone.
    pub(super) fn without_outcome() -> Self {
        Self(None)
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(_) => "the login handler failed",
            None => "the login handler ended without an outcome",
        })
    }
}

impl fmt::Debug for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoginError").field(&self.0).finish()
    }
}

impl StdError for LoginError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.as_deref().map(|error| error as _)
    }
}

impl fmt::Display for ServiceAccountOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Explicit => "the program",
            Self::Variable(name) => name,
        })
    }
}

fn seconds(at: &SystemTime) -> String {
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => format!("Unix time {}", since.as_secs()),
        Err(_) => "a time before 1970".to_owned(),
    }
}

fn join(paths: &[PathBuf]) -> String {
    let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    names.join(", ")
}
