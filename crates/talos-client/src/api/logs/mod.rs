//! Logs of services and containers, and of the kernel.
//!
//! `send` ends with the call; `reattach` makes it again when the connection is lost or the node reboots, leaves out
//! what came already, and says where something may be missing.
//!
//! ```no_run
//! use talos_client::api::logs::LogItem;
//!
//! # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
//! let mut log = node.logs("kubelet").tail_lines(10).reattach();
//! while let Some(item) = log.next_item().await {
//!     match item? {
//!         LogItem::Line(line) => println!("{line}"),
//!         LogItem::Gap(gap) => println!("-- lines may be missing here: {}", gap.reason),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod dedup;
mod feed;
mod request;
mod stamp;

pub use self::{
    feed::{LogFeed, LogGap, LogGapReason, LogItem},
    request::{DmesgRequest, LogsRequest},
};
