//! What can be wrong with a talosconfig.

use std::{fmt, io, path::PathBuf};

use talos_transport::{EndpointError, NodeNameError, tls::TlsError};

/// Why a talosconfig could not be found, read, understood, used or written.
///
/// Messages name the file, the context and the field, and never contain a value from a secret field.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// None of the default places holds a talosconfig. Name a file, or set `TALOSCONFIG`.
    #[error("no talosconfig found, looked at {}", join_paths(.searched))]
    NotFound {
        /// The places that were looked at, in order.
        searched: Vec<PathBuf>,
    },
    /// The file exists but could not be read.
    #[error("reading talosconfig {} failed", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The text is not a talosconfig: broken YAML, or YAML of another shape.
    #[error("{origin} is not a valid talosconfig: {reason}{}", location(*.line, *.column))]
    Malformed {
        /// Where the text came from.
        origin: Origin,
        /// Line of the problem, counted from 1; 0 where unknown.
        line: u64,
        /// Column of the problem, counted from 1; 0 where unknown.
        column: u64,
        /// What the parser expected; values of the file are blanked out.
        reason: String,
    },
    /// The file has no contexts, or no content at all.
    #[error("{origin} is empty: it has no contexts")]
    Empty {
        /// Where the text came from.
        origin: Origin,
    },
    /// The context asked for does not exist.
    #[error("context {context:?} not found in {origin}, known contexts: {}", join(.known))]
    ContextNotFound {
        /// Where the talosconfig came from.
        origin: Origin,
        /// The name that was asked for.
        context: String,
        /// The names that exist, sorted.
        known: Vec<String>,
    },
    /// The talosconfig's own `context:` names a context that does not exist, or is not set.
    #[error("default context {context:?} not found in {origin}, known contexts: {}", join(.known))]
    CurrentContextNotFound {
        /// Where the talosconfig came from.
        origin: Origin,
        /// The value of the `context` key, maybe empty.
        context: String,
        /// The names that exist, sorted.
        known: Vec<String>,
    },
    /// There is a context of this name already.
    #[error("{origin} has a context {context:?} already")]
    ContextExists {
        /// Where the talosconfig came from.
        origin: Origin,
        /// The name.
        context: String,
    },
    /// A context was to get an empty name, which stands for "no current context".
    #[error("the name of a context must not be empty")]
    EmptyName,
    /// The context has no endpoints, and none were given otherwise.
    #[error("context {context:?} in {origin} has no endpoints")]
    NoEndpoints {
        /// Where the talosconfig came from.
        origin: Origin,
        /// The context.
        context: String,
    },
    /// An endpoint of the context cannot be understood.
    #[error("context {context:?} in {origin} has an invalid endpoint")]
    Endpoint {
        /// Where the talosconfig came from.
        origin: Origin,
        /// The context.
        context: String,
        /// What is wrong with which endpoint.
        #[source]
        source: EndpointError,
    },
    /// An entry of the context's `nodes` is neither an address nor a host name.
    #[error("context {context:?} in {origin} has an invalid node")]
    Node {
        /// Where the talosconfig came from.
        origin: Origin,
        /// The context.
        context: String,
        /// What is wrong with which node.
        #[source]
        source: NodeNameError,
    },
    /// `ca`, `crt` or `key` is not standard, padded base64.
    #[error("field `{field}` of context {context:?} in {origin} is not valid base64 ({problem})")]
    Base64 {
        /// Where the talosconfig came from.
        origin: Origin,
        /// The context.
        context: String,
        /// `ca`, `crt` or `key`.
        field: &'static str,
        /// What is wrong, without any of the text.
        problem: Base64Problem,
    },
    /// Only one of `crt` and `key` is present.
    #[error("context {context:?} in {origin} has `{present}` but no `{missing}`")]
    IncompleteIdentity {
        /// Where the talosconfig came from.
        origin: Origin,
        /// The context.
        context: String,
        /// The field that is there.
        present: &'static str,
        /// The field that is not.
        missing: &'static str,
    },
    /// The decoded certificates or key cannot be used: no PEM, unknown key type, or key and certificate
    /// that do not belong together.
    #[error("the credentials of context {context:?} in {origin} are unusable")]
    Credentials {
        /// Where the talosconfig came from.
        origin: Origin,
        /// The context.
        context: String,
        /// What is wrong.
        #[source]
        source: TlsError,
    },
    /// `proxy-url` of the context is neither `direct` nor the URL of a proxy.
    #[cfg(feature = "proxy")]
    #[error("context {context:?} in {origin} has an unusable `proxy-url`")]
    ProxyUrl {
        /// Where the talosconfig came from.
        origin: Origin,
        /// The context.
        context: String,
        /// What is wrong, without any of the text.
        #[source]
        source: crate::proxy::ProxyUrlError,
    },
    /// The context asks for something that this build of the library leaves out.
    #[error("`{field}` of context {context:?} in {origin} needs the feature `{feature}` of talos-client")]
    FeatureDisabled {
        /// Where the talosconfig came from.
        origin: Origin,
        /// The context.
        context: String,
        /// The field.
        field: &'static str,
        /// The feature to enable.
        feature: &'static str,
    },
    /// The talosconfig has no file to be saved to; use [`Talosconfig::save_to`](super::Talosconfig::save_to).
    #[error("the talosconfig was not loaded from a file, so there is no path to save it to")]
    NoPath,
    /// The file is the one that Kubernetes mounts into pods, which must not be written.
    #[error("not allowed to write to talosconfig {}", .path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be written; what was there before is unchanged.
    #[error("writing talosconfig {} failed", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Where a talosconfig came from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// Text or values handed over by the program.
    Memory,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "talosconfig {}", path.display()),
            Self::Memory => f.write_str("talosconfig"),
        }
    }
}

/// What is wrong with a base64 text, without showing any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Base64Problem {
    /// A character outside the standard alphabet, at this offset of the text without white space.
    Symbol {
        /// Offset in characters, counted from 0.
        offset: usize,
    },
    /// The text is cut off.
    Length,
    /// The `=` padding is missing or too long.
    Padding,
}

impl fmt::Display for Base64Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symbol { offset } => write!(f, "invalid symbol at offset {offset}"),
            Self::Length => f.write_str("invalid length, text cut off?"),
            Self::Padding => f.write_str("invalid padding"),
        }
    }
}

fn location(line: u64, column: u64) -> String {
    if line == 0 {
        String::new()
    } else {
        format!(" at line {line}, column {column}")
    }
}

fn join(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn join_paths(paths: &[PathBuf]) -> String {
    let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    join(&names)
}
