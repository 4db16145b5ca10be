//! The calls, one module for each RPC service and area.
//!
//! The calls themselves are methods of [`Client`](crate::Client) and [`Node`](crate::Node); here are the
//! types they take and return.

#[cfg(feature = "machine")]
pub mod machine;
