//! What can be wrong with a patch.

use std::{fmt, io, path::PathBuf};

use crate::error::{Error, ErrorKind, Origin};

/// Why a machine configuration could not be patched. Nothing was sent.
///
/// Messages name the document and the path, such as `machine.network`, and never contain a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The file of a patch could not be read.
    #[error("reading the patch {} failed", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The text is not YAML.
    #[error("{input} is not YAML: line {line}, column {column}")]
    Yaml {
        /// Which text.
        input: PatchInput,
        /// Counted from 1; 0 where it is not known.
        line: u64,
        /// Counted from 1; 0 where it is not known.
        column: u64,
    },
    /// There are no documents in the text.
    #[error("{input} is empty")]
    Empty {
        /// Which text.
        input: PatchInput,
    },
    /// A document has neither `kind` and `apiVersion`, nor `machine`, `cluster`, `debug` or `persist`.
    #[error(
        "document {number} of {input} is of no known form: it needs `kind` and `apiVersion`, or `machine` or `cluster`"
    )]
    UnknownDocument {
        /// Which text.
        input: PatchInput,
        /// Which document, counted from 1.
        number: usize,
    },
    /// Two documents have the same `apiVersion`, `kind` and `name`.
    #[error("there are two documents {document}")]
    Duplicate {
        /// The document.
        document: String,
    },
    /// A mapping, a list or a single value was expected where something else is.
    #[error("{document}: what is at `{path}` is of another form than what should be there")]
    Mismatch {
        /// The document.
        document: String,
        /// The path.
        path: String,
    },
    /// What is to be removed or changed does not exist.
    #[error("{document}: there is nothing at `{path}`")]
    NotFound {
        /// The document.
        document: String,
        /// The path.
        path: String,
    },
    /// `$patch: delete` at the top of the document without a kind, which no node can do without.
    #[error("the main document cannot be removed")]
    DeleteMain,
    /// `$patch: delete` somewhere inside an item of a list; it can only remove whole items.
    #[error("{document}: `{path}` is inside a list, and only whole items of lists can be removed")]
    DeleteInsideItem {
        /// The document.
        document: String,
        /// The path.
        path: String,
    },
    /// An item of a list with `$patch: delete` has no other key with a single value that says which item is meant.
    #[error("{document}: the item at `{path}` does not say which one is to be removed")]
    DeleteWithoutKey {
        /// The document.
        document: String,
        /// The path.
        path: String,
    },
    /// `$patch` has another value than `delete`.
    #[error("{document}: `$patch` at `{path}` is not `delete`")]
    Directive {
        /// The document.
        document: String,
        /// The path.
        path: String,
    },
    /// A JSON patch for a configuration of several documents, or of none. Use a strategic merge patch.
    #[error("JSON patches work on configurations of a single document only")]
    JsonPatchOnSeveralDocuments,
    /// An operation of a JSON patch is malformed.
    #[error("operation {number} of the JSON patch: {problem}")]
    Operation {
        /// Which operation, counted from 1.
        number: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// An operation `test` of a JSON patch found something else.
    #[error("operation {number} of the JSON patch: `{path}` has another value than the test expects")]
    Test {
        /// Which operation, counted from 1.
        number: usize,
        /// The path, as a JSON pointer.
        path: String,
    },
    /// A document cannot be written as YAML; not known to happen.
    #[error("{document} cannot be written as YAML")]
    Unwritable {
        /// The document.
        document: String,
    },
}

/// Which text is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PatchInput {
    /// The machine configuration.
    Configuration,
    /// The patch.
    Patch,
}

impl fmt::Display for PatchInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configuration => "the machine configuration",
            Self::Patch => "the patch",
        })
    }
}

impl From<PatchError> for Error {
    fn from(error: PatchError) -> Self {
        let kind = match error {
            PatchError::Read { .. } => ErrorKind::Io,
            _ => ErrorKind::InvalidInput,
        };
        Self::new(kind, Origin::Local)
            .with_message(error.to_string())
            .with_source(error)
    }
}
