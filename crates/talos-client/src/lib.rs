#![doc = include_str!("../README.md")]
#![cfg_attr(feature = "_docs", doc = "\n# Features\n")]
#![cfg_attr(feature = "_docs", doc = document_features::document_features!())]
#![cfg_attr(docsrs, feature(doc_cfg))]

// Pieces of these are for some services only, and the small builds leave services out.
#[cfg_attr(
    not(feature = "services"),
    allow(dead_code, unused_imports, unused_macros, reason = "see above")
)]
mod call;
mod client;
#[cfg_attr(
    not(feature = "services"),
    allow(dead_code, unused_imports, unused_macros, reason = "see above")
)]
mod error;
pub mod fanout;
pub mod local;
pub mod maintenance;
mod node;
#[cfg(feature = "proxy")]
pub mod proxy;
mod secret;

pub mod api;
#[cfg(feature = "talosconfig")]
pub mod config;
#[cfg(feature = "cosi")]
pub mod resource;
#[cfg(feature = "siderov1")]
pub mod siderov1;
#[cfg(feature = "_streams")]
#[cfg_attr(
    not(feature = "services"),
    allow(dead_code, unused_imports, reason = "see above")
)]
pub mod stream;
#[cfg(feature = "workflows")]
pub mod workflow;

pub use call::{CallOptions, Timeouts};
pub use client::{Client, ClientBuilder};
#[cfg(all(feature = "machine", feature = "cosi"))]
pub use client::{Member, MemberRole, MemberSource};
pub use error::{
    Code, Detail, Error, ErrorCategory, ErrorKind, FieldViolation, Origin, ResourceErrorKind, Result,
    Unimplemented, Violation,
};
pub use fanout::{NodeMap, Nodes};
pub use node::Node;
pub use secret::SecretString;
pub use talos_proto::methods::Role;
pub use talos_transport::{Endpoint, NodeName};

/// The messages and stubs under this client, for what it does not cover.
#[doc(inline)]
pub use talos_proto as proto;
/// The channel under this client: endpoints, TLS, connections.
#[doc(inline)]
pub use talos_transport as transport;
