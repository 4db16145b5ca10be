//! What can be wrong with a kubeconfig.

use std::{fmt, io, path::PathBuf};

use crate::error::{Error, ErrorKind};

/// Why a kubeconfig could not be merged into a file. The file is as it was.
///
/// Messages name the file and the line, and never contain a value, since there are keys among the values.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubeconfigError {
    /// The file exists but could not be read.
    #[error("reading kubeconfig {} failed", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The text is not a kubeconfig: broken YAML, or YAML of another shape.
    #[error("{origin} is not a valid kubeconfig: {reason}{}", location(*.line, *.column))]
    Malformed {
        /// Where the text came from.
        origin: KubeconfigOrigin,
        /// Line of the problem, counted from 1; 0 where unknown.
        line: u64,
        /// Column of the problem, counted from 1; 0 where unknown.
        column: u64,
        /// What the parser expected; values of the file are blanked out.
        reason: String,
    },
    /// Another program, such as kubectl, is changing the file; or one left its lock behind.
    #[error("kubeconfig {} is locked by another program: {} exists", .path.display(), .lock.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// The lock. Remove it if no program is at work.
        lock: PathBuf,
    },
    /// The file could not be written.
    #[error("writing kubeconfig {} failed", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Where a kubeconfig came from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KubeconfigOrigin {
    /// A file.
    File(PathBuf),
    /// The node that was asked for one.
    Cluster,
}

impl fmt::Display for KubeconfigOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Cluster => f.write_str("the answer of the cluster"),
        }
    }
}

impl From<KubeconfigError> for Error {
    fn from(error: KubeconfigError) -> Self {
        let kind = match error {
            KubeconfigError::Malformed { .. } => ErrorKind::Config,
            KubeconfigError::Read { .. } | KubeconfigError::Write { .. } | KubeconfigError::Locked { .. } => {
                ErrorKind::Io
            }
        };
        Self::local(kind, error)
    }
}

fn location(line: u64, column: u64) -> String {
    if line == 0 {
        String::new()
    } else {
        format!(" at line {line}, column {column}")
    }
}
