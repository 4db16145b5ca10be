//! Another Talos on a node, or on all nodes of a cluster.
//!
//! [`ClusterUpgrade`] plans, checks and then upgrades one node after the other, control plane nodes first. It stops at the
//! first failure, and says in its [report](UpgradeReport) what is done; started again, it goes on with what is left.
//!
//! ```no_run
//! use talos_client::workflow::upgrade::ClusterUpgrade;
//!
//! # async fn example(client: talos_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let upgrade = ClusterUpgrade::to(&client, "ghcr.io/siderolabs/installer:v1.14.1");
//! println!("{}", upgrade.plan().await?);
//! let mut run = upgrade.start();
//! while let Some(progress) = run.next_progress().await {
//!     println!("{progress}");
//! }
//! println!("{}", run.finish().await?);
//! # Ok(())
//! # }
//! ```
//!
//! [`NodeUpgrade`] is the part for one node: pull the image, run the installer, reboot, and see which release runs then.
//! Nodes before Talos 1.13 have one call for all of it.
//!
//! With the feature `kube`, `ClusterUpgrade::drain` moves pods away from each node before it reboots.

mod cluster;
#[cfg(feature = "kube")]
mod drain;
mod error;
mod hooks;
mod node;
mod path;
mod plan;
mod progress;
mod pull;
mod quorum;
mod report;

pub use self::{
    cluster::ClusterUpgrade,
    error::{NodeUpgradeError, UpgradeError},
    hooks::{HookFuture, NoHooks, UpgradeHooks},
    node::NodeUpgrade,
    path::{PathRefusal, TalosVersion, TalosVersionError},
    plan::{PlannedNode, PlannedStep, UpgradePlan},
    progress::{UpgradeProgress, UpgradeStep},
    quorum::QuorumRefusal,
    report::{NodeOutcome, NodeReport, UpgradeReport},
};
