//! What is done around the reboot of a node.

use std::{error::Error as StdError, fmt, future::Future, pin::Pin};

use super::PlannedNode;

/// What a hook returns.
pub type HookFuture<'a> =
    Pin<Box<dyn Future<Output = Result<(), Box<dyn StdError + Send + Sync>>> + Send + 'a>>;

/// What is done around the reboot of each node, for instance with what stands before or beside the cluster. A failure stops
/// the upgrade of the cluster.
///
/// For pods there is `ClusterUpgrade::drain`, with the feature `kube`; it goes on between these hooks. Without it, and
/// without hooks that do it, nodes since Talos 1.13 reboot without being drained. Older ones drain themselves.
///
/// ```
/// use talos_client::workflow::upgrade::{HookFuture, PlannedNode, UpgradeHooks};
///
/// #[derive(Debug)]
/// struct Print;
///
/// impl UpgradeHooks for Print {
///     fn before_reboot<'a>(&'a self, node: &'a PlannedNode) -> HookFuture<'a> {
///         Box::pin(async move {
///             println!("drain {:?}", node.hostname);
///             Ok(())
///         })
///     }
/// }
/// ```
pub trait UpgradeHooks: fmt::Debug + Send + Sync {
    /// The new Talos is written, and the node is about to reboot. Its pods are still there. Nodes before
    /// Talos 1.13 write and reboot by one call, before which this is called.
    ///
    /// It may be called again for the same node, when an upgrade is run again after a failure.
    fn before_reboot<'a>(&'a self, node: &'a PlannedNode) -> HookFuture<'a> {
        let _ = node;
        Box::pin(async { Ok(()) })
    }

    /// The node runs the new Talos, and pods may come to it. Also called for a node that runs it already when an upgrade
    /// goes on [from a report](super::ClusterUpgrade::resume) that says that the node was prepared and never finished.
    fn after_upgrade<'a>(&'a self, node: &'a PlannedNode) -> HookFuture<'a> {
        let _ = node;
        Box::pin(async { Ok(()) })
    }
}

/// Nothing is done.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHooks;

impl UpgradeHooks for NoHooks {}
