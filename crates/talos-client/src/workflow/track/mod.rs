//! Actions that are over when the future is: reboot, shutdown, reset, rollback and the old upgrade.
//!
//! Nodes answer such a call before they begin. `and_wait` in place of `send` follows the node until it is done:
//!
//! ```
//! use std::time::Duration;
//!
//! # use talos_client::{Client, config::Talosconfig};
//! #
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = talos_testkit::SimCluster::builder().start().await?;
//! # let client = Client::builder().talosconfig(Talosconfig::parse(cluster.talosconfig())?).build()?;
//! # let node = client.node(cluster.node(0).name())?;
//! let mut reboot = node.reboot().and_wait(Duration::from_secs(600));
//! while let Some(progress) = reboot.next_progress().await {
//!     println!("{progress}");
//! }
//! let done = reboot.finish().await?;
//! assert!(done.rebooted);
//! # Ok(())
//! # }
//! ```
//!
//! What happens is read from the node's events, which are subscribed to before the action. They are progress only: they may
//! be missed, and after a reboot the old ones look like new ones. What counts is asked for again and again: that the
//! [boot id](crate::Node::boot_id) is another one and the machine's status is *running* and ready, or, for a node that is to
//! be off, that it cannot be reached any more. Neither a lost endpoint nor a network that is away for a while matters as
//! long as the time is not over.

mod begin;
mod error;
mod evidence;
mod follow;
mod options;
mod progress;

pub use self::{
    error::{Seen, TrackError},
    options::{Action, TrackOptions},
    progress::{TrackProgress, TrackStep, Tracked},
};
pub(crate) use self::{follow::follow, options::Goal};
