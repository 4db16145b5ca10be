//! Pods moved away before a reboot, and let in again after it.

use std::time::Duration;

use super::{ClusterUpgrade, NodeUpgrade, NodeUpgradeError, UpgradeStep, node::Report};
use crate::{
    Node,
    workflow::{
        deadline,
        kubernetes::{DrainOptions, Kubernetes, KubernetesError, name_of, persist},
    },
};

/// Draining as a part of an upgrade.
#[derive(Clone, Debug)]
pub(super) struct Draining {
    pub(super) kubernetes: Kubernetes,
    pub(super) options: DrainOptions,
}

impl ClusterUpgrade {
    /// Moves the pods of each node away before it reboots (cordon and evict), and lets pods come again when Kubernetes says
    /// that the node is ready, as `talosctl upgrade` does. Default: pods are not asked.
    ///
    /// A node that somebody else has cordoned is drained as well, and stays cordoned. What an upgrade has cordoned has an
    /// annotation, so that another process that goes on with it, by draining as well, knows what to uncordon.
    ///
    /// Nodes before Talos 1.13 drain themselves. The kubeconfig that the cluster gives out is used, see
    /// [`Kubernetes::of`], unless there is [another way](Self::kubernetes).
    pub fn drain(mut self, options: DrainOptions) -> Self {
        let before = self.options.drain.take();
        let kubernetes = before.map_or_else(|| Kubernetes::of(&self.client), |drain| drain.kubernetes);
        self.options.drain = Some(Draining::new(&kubernetes, options));
        self
    }

    /// Reaches Kubernetes in this way to drain nodes, which it also switches on with the defaults of
    /// [`DrainOptions`].
    pub fn kubernetes(mut self, kubernetes: &Kubernetes) -> Self {
        let options = self.options.drain.take().map(|drain| drain.options);
        self.options.drain = Some(Draining::new(kubernetes, options.unwrap_or_default()));
        self
    }
}

impl NodeUpgrade {
    /// Moves the pods of the node away before it reboots, and lets pods come again when Kubernetes says that it is ready.
    /// See [`ClusterUpgrade::drain`](super::ClusterUpgrade::drain). Default: they are not asked.
    pub fn drain(mut self, kubernetes: &Kubernetes, options: DrainOptions) -> Self {
        self.options.drain = Some(Draining::new(kubernetes, options));
        self
    }
}

impl Draining {
    pub(super) fn new(kubernetes: &Kubernetes, options: DrainOptions) -> Self {
        Self {
            kubernetes: kubernetes.clone(),
            options,
        }
    }

    /// Between two looks at whether a node is ready: twice as long as between two looks at pods.
    fn interval(&self) -> Duration {
        self.options.interval.saturating_mul(2)
    }

    /// Moves the pods away.
    pub(super) async fn before_reboot(&self, node: &Node, report: &Report) -> Result<(), NodeUpgradeError> {
        let drain = self.kubernetes.drain_marked(node, self.options.clone(), true);
        let drained = report
            .reporter
            .follow(drain, |progress| report.item(UpgradeStep::Draining(progress)));
        let drained = drained.await;
        drained
            .map(drop)
            .map_err(|error| NodeUpgradeError::Drain(Box::new(error)))
    }

    /// Waits until the node is ready, and lets pods come if it is an upgrade that has kept them away.
    pub(super) async fn after_upgrade(&self, node: &Node, report: &Report) -> Result<(), NodeUpgradeError> {
        self.ready_and_uncordoned(node, report, false)
            .await
            .map_err(failed)
    }

    /// The same for a node that was upgraded before, by this process or by another one: if there is anything left to do.
    pub(super) async fn leftover(&self, node: &Node, report: &Report) -> Result<(), NodeUpgradeError> {
        self.ready_and_uncordoned(node, report, true)
            .await
            .map_err(failed)
    }

    async fn ready_and_uncordoned(
        &self,
        node: &Node,
        report: &Report,
        only_leftover: bool,
    ) -> Result<(), KubernetesError> {
        let (deadline, interval) = (deadline(self.options.ready_timeout), self.interval());
        let tell = |reason: String| report.step(UpgradeStep::WaitingForKubernetes { reason });
        let name = persist(deadline, interval, tell, || name_of(node)).await?;
        let Some(name) = name else {
            return Ok(());
        };
        if only_leftover {
            let left = persist(deadline, interval, tell, || {
                self.kubernetes.is_left_cordoned(&name)
            });
            if !left.await? {
                return Ok(());
            }
        }
        self.kubernetes
            .until_ready(node, &name, self.options.ready_timeout, interval, |reason| {
                tell(reason.to_owned())
            })
            .await?;
        let uncordoned = persist(deadline, interval, tell, || {
            self.kubernetes.let_pods_come(&name, false)
        });
        if uncordoned.await? {
            report.step(UpgradeStep::Uncordoned);
        }
        Ok(())
    }
}

fn failed(error: KubernetesError) -> NodeUpgradeError {
    NodeUpgradeError::Uncordon(Box::new(error))
}
