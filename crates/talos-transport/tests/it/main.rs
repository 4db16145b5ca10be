//! Everything over real sockets and real TLS, on loopback.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod calls;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod client;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod deadlines;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod endpoints;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod faults;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod goaway;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod handshake;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod layers;
mod material;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod memory;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod metadata;
#[cfg_attr(
    not(any(feature = "ring", feature = "aws-lc-rs")),
    expect(dead_code, reason = "without a provider there are no servers")
)]
mod pki;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod pool;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod pool_memory;
#[cfg(all(feature = "proxy", any(feature = "ring", feature = "aws-lc-rs")))]
mod proxy;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod reconnect;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod replacement;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod retry;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod rotation;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod server;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod silence;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod strangers;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod tracing;
