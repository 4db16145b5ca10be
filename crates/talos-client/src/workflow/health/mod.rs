//! Whether a cluster is healthy, found out by this client.
//!
//! The same sixteen checks as `talosctl health --server=false` makes, in the same order, each asked for until it holds.
//! To let a control plane node make them, use [`Node::health_check`](crate::Node::health_check).
//!
//! ```
//! use std::time::Duration;
//! use talos_client::workflow::health::ClusterHealth;
//!
//! # use talos_client::{Client, config::Talosconfig};
//! #
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = talos_testkit::SimCluster::builder().start().await?;
//! # let client = Client::builder().talosconfig(Talosconfig::parse(cluster.talosconfig())?).build()?;
//! let mut health = ClusterHealth::of(&client).timeout(Duration::from_secs(300)).start();
//! while let Some(progress) = health.next_progress().await {
//!     println!("{progress}");
//! }
//! let report = health.finish().await?;
//! println!("{} checks passed", report.passed().count());
//! # Ok(())
//! # }
//! ```
//!
//! Six of the checks ask the Kubernetes API. They are made if `ClusterHealth::kubernetes` says how, which takes the feature
//! `kube`; else they are reported as [skipped](Verdict::Skipped), never as passed, so a report says what it does not know.
//! `Node::health_check` makes them as well.

mod check;
mod error;
#[cfg(feature = "kube")]
mod kubernetes;
mod look;
mod run;

pub use self::{
    check::Check,
    error::HealthError,
    run::{ClusterHealth, HealthReport, SkipReason, Verdict},
};
pub use crate::api::cluster::{ConditionStatus, HealthProgress};
