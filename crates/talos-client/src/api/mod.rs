//! The calls, one module for each RPC service and area.
//!
//! The calls themselves are methods of [`Client`](crate::Client) and [`Node`](crate::Node); here are the
//! types they take and return.

#[cfg(feature = "machine")]
pub mod capture;
#[cfg(feature = "cluster")]
pub mod cluster;
#[cfg(any(feature = "debug", feature = "image", feature = "lifecycle"))]
pub mod containerd;
#[cfg(feature = "machine")]
pub mod containers;
#[cfg(feature = "debug")]
pub mod debug;
#[cfg(feature = "machine")]
pub mod etcd;
#[cfg(feature = "machine")]
pub mod events;
#[cfg(feature = "machine")]
pub mod files;
#[cfg(feature = "image")]
pub mod images;
#[cfg(feature = "inspect")]
pub mod inspect;
#[cfg(feature = "lifecycle")]
pub mod lifecycle;
#[cfg(feature = "machine")]
pub mod logs;
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
