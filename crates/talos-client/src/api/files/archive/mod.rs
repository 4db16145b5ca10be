//! What is in a copied folder: one entry after the other, or extracted to this machine.
//!
//! An archive is read as it comes, with little of it in memory however large its entries are.
//!
//! ```no_run
//! use tokio::io::AsyncReadExt as _;
//!
//! # async fn example(node: talos_client::Node) -> Result<(), Box<dyn std::error::Error>> {
//! let mut entries = node.copy("/etc").send().await?.entries();
//! while let Some(mut entry) = entries.next_entry().await? {
//!     if entry.path() == "os-release" {
//!         let mut text = String::new();
//!         entry.read_to_string(&mut text).await?;
//!         println!("{text}");
//!     }
//! }
//! // What the node could not read.
//! if let Some(error) = entries.node_error() {
//!     eprintln!("{error:#}");
//! }
//! # Ok(())
//! # }
//! ```

mod entries;
mod extract;
mod gunzip;
mod header;
mod pax;
mod place;
mod report;
mod tar;

pub use self::{
    entries::{Entries, Entry},
    extract::Extract,
    header::EntryKind,
    report::{ExtractReport, SkipReason, Skipped},
};
