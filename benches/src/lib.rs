//! What the numbers of `docs/performance.md` are measured with.
//!
//! Every number is a ratio or has a bar; the two sides of a ratio take turns in one process, against the same server, so that
//! other work on the machine hits both. The server is a process of its own, so that its memory and its work are not taken for
//! the client's.

#![expect(
    clippy::missing_errors_doc,
    missing_docs,
    reason = "not an API: every error ends up on the terminal, with its context"
)]

pub mod access;
pub mod failover;
pub mod fanout;
pub mod memory;
pub mod raw;
pub mod relay;
pub mod report;
pub mod resource;
pub mod resource_server;
pub mod server;
pub mod simcluster;
pub mod stats;
pub mod stream;
pub mod unary;
