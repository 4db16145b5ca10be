#![doc = include_str!("../README.md")]
//! # Features
//!
#![cfg_attr(feature = "_docs", doc = document_features::document_features!())]
#![cfg_attr(
    not(feature = "_docs"),
    doc = "`ring` (default), `aws-lc-rs`, `native-roots`, `proxy`, `metrics`."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod builder;
mod call;
mod channel;
pub mod connect;
mod connection;
#[cfg(test)]
mod defaults;
mod dispatch;
mod endpoint;
mod error;
mod examine;
mod host;
pub mod layer;
#[cfg(feature = "metrics")]
pub mod metrics;
mod node;
mod observe;
mod pool;
mod race;
mod retry;
mod stack;
mod status;
pub mod tls;

pub use self::body::ResponseBody;
pub use self::builder::{BuildError, ChannelBuilder, DEFAULT_CONNECT_TIMEOUT};
pub use self::call::{AnsweredBy, AttemptTimeout, CallTimeout, FirstResponseTimeout, IdleTimeout};
pub use self::channel::{Channel, EndpointsHandle, ResponseFuture};
#[cfg(feature = "proxy")]
pub use self::connect::proxy;
pub use self::connect::{Alert, ConnectError, ConnectFailure, ConnectReason, HandshakeError};
pub use self::endpoint::{Endpoint, EndpointError};
pub use self::error::{CloseReason, Delivery, Error, ResetCode, TimeLimit};
pub use self::node::{Node, NodeName, NodeNameError};
pub use self::pool::{
    DEFAULT_EJECTION, DEFAULT_LONGEST_EJECTION, EndpointSnapshot, EndpointState, EndpointsWatch, PickPolicy,
};
pub use self::retry::{Attempt, Attempts, MaxAttempts, RetryClass, RetryConfig};
pub use self::tls::{Fingerprint, Identity, ServerVerification, TlsConfig, TlsHandle};

/// Largest message Talos sends or accepts: 32 MiB.
///
/// Generated clients limit the messages they decode to 4 MiB by default, which is too little for a machine
/// configuration; raise the limit with `max_decoding_message_size`.
pub const MAX_MESSAGE_SIZE: usize = 32 * 1024 * 1024;
