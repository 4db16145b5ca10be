//! The calls, one module for each RPC service and area.
//!
//! The calls themselves are methods of [`Client`](crate::Client) and [`Node`](crate::Node); here are the
//! types they take and return.

#[cfg(feature = "cluster")]
pub mod cluster;
#[cfg(feature = "inspect")]
pub mod inspect;
#[cfg(feature = "lvm")]
mod lvm;
#[cfg(feature = "machine")]
pub mod machine;
#[cfg(feature = "md")]
mod md;
#[cfg(feature = "security")]
pub mod security;
#[cfg(feature = "signer")]
pub mod signer;
#[cfg(feature = "storage")]
pub mod storage;
#[cfg(feature = "time")]
pub mod time;
#[cfg_attr(
    not(feature = "services"),
    allow(unused_imports, unused_macros, reason = "for some services only")
)]
mod wire;
