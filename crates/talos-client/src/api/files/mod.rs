//! The files of a node: reading, listing, sizes, and copies of whole folders.
//!
//! ```no_run
//! # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
//! let mut files = node.list("/var/log").recursive().send().await?;
//! while let Some(entry) = files.next_entry().await {
//!     let entry = entry?;
//!     println!("{} {} {}", entry.mode(), entry.size(), entry.path());
//! }
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "archive")]
pub mod archive;
mod copy;
mod list;
mod mode;
mod path;
mod read;
mod usage;

pub use self::{
    copy::{CopyRequest, FileArchive},
    list::{FileEntry, FileStream, ListRequest},
    mode::{FileKind, FileMode},
    usage::{DiskUsage, DiskUsageRequest, DiskUsageStream},
};
