//! Containers for looking around on a node.
//!
//! The image has to be in the node's store already; see [`images`](super::images).
//!
//! ```no_run
//! use tokio::io::AsyncWriteExt as _;
//!
//! # async fn example(node: talos_client::Node) -> Result<(), Box<dyn std::error::Error>> {
//! let session = node.debug_container("docker.io/library/alpine:3").args(["cat"]).send().await?;
//! let (mut input, mut output) = session.split();
//! input.write_all(b"hello").await?;
//! input.shutdown().await?;
//! while let Some(chunk) = output.next_chunk().await {
//!     print!("{}", String::from_utf8_lossy(&chunk?));
//! }
//! println!("exit code {:?}", output.exit_code());
//! # Ok(())
//! # }
//! ```

mod input;
mod output;
mod request;

pub use self::{
    input::{DebugInput, Signal},
    output::DebugOutput,
    request::{DebugProfile, DebugRequest, DebugSession},
};
