//! All nodes, one after the other.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::join_all, stream};
use talos_transport::NodeName;
use tokio::time::{Instant, sleep};

use super::{
    NodeOutcome, NodeUpgradeError, PlannedNode, PlannedStep, QuorumRefusal, UpgradeError, UpgradeHooks,
    UpgradePlan, UpgradeProgress, UpgradeReport, UpgradeStep,
    node::{Options, Report, after_upgrade, leftover, pull_image, upgrade},
    path::tag_of,
    plan::Runs,
    quorum::Members,
};
use crate::{
    Client, Member, MemberRole, Node,
    api::machine::RebootMode,
    error::Result,
    resource::k8s::KubeletConfig,
    workflow::{Reporter, Run, deadline, track::TrackOptions},
};

/// Another Talos on the nodes of a cluster.
#[derive(Clone, Debug)]
#[must_use = "nothing is done before `start`"]
pub struct ClusterUpgrade {
    pub(super) client: Client,
    image: String,
    target: Option<String>,
    nodes: Option<(Vec<Node>, Vec<Node>)>,
    pub(super) options: Options,
    etcd_timeout: Duration,
    resumed: Option<UpgradeReport>,
}

impl ClusterUpgrade {
    /// Upgrades all nodes that [`Client::discover`] finds by an installer image, such as
    /// `ghcr.io/siderolabs/installer:v1.14.1`.
    pub fn to(client: &Client, image: impl Into<String>) -> Self {
        Self {
            client: client.clone(),
            image: image.into(),
            target: None,
            nodes: None,
            options: Options::new(),
            etcd_timeout: Duration::from_secs(300),
            resumed: None,
        }
    }

    /// These nodes instead of those that discovery finds. All control plane nodes have to be among them, since etcd is looked
    /// at there; those that run the release already are left alone.
    pub fn nodes(
        mut self,
        control_planes: impl IntoIterator<Item = Node>,
        workers: impl IntoIterator<Item = Node>,
    ) -> Self {
        self.nodes = Some((
            control_planes.into_iter().collect(),
            workers.into_iter().collect(),
        ));
        self
    }

    /// Sets the release in the image, as nodes say it. Default: the tag of the image.
    ///
    /// A node that says this release counts as upgraded, whichever image it was made by.
    pub fn target_version(mut self, tag: impl Into<String>) -> Self {
        self.target = Some(tag.into());
        self
    }

    /// Goes on although etcd loses its quorum while a node is away, as it always does in clusters with one or two control
    /// plane nodes: **Kubernetes is away for that time, and etcd has to be recovered if the node does not come back.** Nodes
    /// before Talos 1.13, which check etcd by themselves, are told not to. Default: false.
    ///
    /// Which releases can be reached is not a matter of force: the installer on the node refuses the rest.
    pub fn force(mut self, force: bool) -> Self {
        self.options.force = force;
        self
    }

    /// Sets what else is done around the reboot of each node. Default: nothing.
    pub fn hooks(mut self, hooks: impl UpgradeHooks + 'static) -> Self {
        self.options.hooks = Arc::new(hooks);
        self
    }

    /// Sets how nodes reboot. Default: [`RebootMode::Default`].
    pub fn reboot_mode(mut self, mode: RebootMode) -> Self {
        self.options.mode = mode;
        self
    }

    /// Sets how long nothing more of the image may come. Default: 2 minutes.
    pub fn pull_stall(mut self, time: Duration) -> Self {
        self.options.stall = time;
        self
    }

    /// Sets how each reboot is followed, and how long it may take. Default: [`TrackOptions::default`].
    pub fn track(mut self, options: impl Into<TrackOptions>) -> Self {
        self.options.track = options.into();
        self
    }

    /// Sets how long etcd may take to be healthy enough for a node to be away, and again after it is back. Default: 5
    /// minutes.
    pub fn etcd_timeout(mut self, timeout: Duration) -> Self {
        self.etcd_timeout = timeout;
        self
    }

    /// Goes on from where an earlier upgrade stopped. That a node is upgraded shows by itself; the report adds for which of
    /// them the hook after the upgrade is still due.
    pub fn resume(mut self, report: &UpgradeReport) -> Self {
        self.resumed = Some(report.clone());
        self
    }

    /// Looks at all nodes and says what [`start`](Self::start) would do: a dry run. Nothing is changed.
    ///
    /// # Errors
    ///
    /// [`UpgradeError`]: the nodes or the release are not known, or a node cannot be asked. That a node or etcd is not fit
    /// for it is part of the plan.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn plan(&self) -> Result<UpgradePlan, UpgradeError> {
        let target = self
            .target
            .clone()
            .or_else(|| tag_of(&self.image).map(str::to_owned));
        let Some(target) = target else {
            let image = self.image.clone();
            return Err(UpgradeError::UnknownTarget { image });
        };
        let found = self.find_nodes().await?;
        if found.is_empty() {
            return Err(UpgradeError::NoNodes);
        }
        let looks = join_all(found.iter().map(|(node, ..)| runs(node))).await;
        let mut nodes = Vec::new();
        for ((node, hostname, role), runs) in found.into_iter().zip(looks) {
            match runs {
                Ok(runs) => nodes.push(PlannedNode::new(node, hostname, role, runs, &target)),
                Err(error) => {
                    let node = node.name().clone();
                    let source = Box::new(error);
                    return Err(UpgradeError::Look { node, source });
                }
            }
        }
        let mut plan = UpgradePlan {
            image: self.image.clone(),
            target,
            nodes,
            quorum: None,
        };
        self.look_at_etcd(&mut plan).await?;
        Ok(plan)
    }

    /// Carries the plan out, one node after the other, and stops at the first failure. All nodes have pulled the image before
    /// the first is touched, except those before Talos 1.13.
    ///
    /// Before a control plane node is touched, etcd has to be healthy enough to do without it, and without each of those that
    /// come after it. After it is back, its member has to be healthy again.
    ///
    /// # Errors
    ///
    /// [`UpgradeError`]. Nothing was done where it has no [report](UpgradeError::report).
    ///
    /// # Cancel safety
    ///
    /// Dropping the run stops it in the middle of a node. What has begun on that node goes on if it reboots, and may be
    /// begun again if not; starting the upgrade again goes on with what is left.
    pub fn start(self) -> Run<UpgradeProgress, UpgradeReport, UpgradeError> {
        Run::new(move |reporter| self.run(reporter))
    }

    async fn find_nodes(&self) -> Result<Vec<(Node, Option<String>, MemberRole)>, UpgradeError> {
        if let Some((control_planes, workers)) = &self.nodes {
            let of = |nodes: &[Node], role| -> Vec<_> {
                let node = |node: &Node| (node.clone(), None, role);
                nodes.iter().map(node).collect()
            };
            let mut all = of(control_planes, MemberRole::ControlPlane);
            all.extend(of(workers, MemberRole::Worker));
            return Ok(all);
        }
        let found = self.client.discover().await;
        let (members, _) = found.map_err(|error| UpgradeError::Discover(Box::new(error)))?;
        let node = |member: Member| (member.node, member.hostname, member.role);
        Ok(members.into_iter().map(node).collect())
    }

    /// Finds the leader and, once the order is known, whether every control plane node in turn can be away.
    async fn look_at_etcd(&self, plan: &mut UpgradePlan) -> Result<(), UpgradeError> {
        let control_planes = control_planes(plan);
        let Some(first) = candidates(plan).first().cloned() else {
            plan.nodes.sort_by_key(PlannedNode::rank);
            return Ok(());
        };
        let members = Members::ask(&control_planes).await;
        let members = members.map_err(|error| UpgradeError::Look {
            node: first,
            source: Box::new(error),
        })?;
        for node in &mut plan.nodes {
            node.leads_etcd = members.is_leader(node.node.name());
        }
        plan.nodes.sort_by_key(PlannedNode::rank);
        plan.quorum = members.without_each(&candidates(plan)).err();
        Ok(())
    }

    async fn run(self, reporter: Reporter<UpgradeProgress>) -> Result<UpgradeReport, UpgradeError> {
        let plan = self.plan().await?;
        for node in &plan.nodes {
            if let PlannedStep::Refused(source) = &node.step {
                return Err(UpgradeError::PathNotAllowed {
                    node: node.node.name().clone(),
                    from: node.from.clone(),
                    to: plan.target.clone(),
                    source: source.clone(),
                });
            }
        }
        let control_planes = control_planes(&plan);
        let mut left = candidates(&plan);
        let mut report = UpgradeReport::of(&plan, self.resumed.as_ref());
        let nodes = plan.nodes.len();
        let tell = |index: usize| Report {
            reporter: reporter.clone(),
            node: plan.nodes[index].node.clone(),
            position: (index + 1, nodes),
        };
        if let Some((index, source)) = self.pull_everywhere(&plan, &tell).await {
            return Err(failed(report, index, source));
        }
        for (index, planned) in plan.nodes.iter().enumerate() {
            let tell = tell(index);
            let begin = Instant::now();
            let mut prepared = report.nodes[index].prepared;
            let done = if planned.is_to_be_upgraded() {
                if planned.is_control_plane() && !self.options.force {
                    // All that are to come, so that nothing is begun that cannot be finished.
                    let fit = self.until_fit(&control_planes, &left, &tell).await;
                    left.retain(|name| name != planned.node.name());
                    if let Err(source) = fit {
                        let report = Box::new(report);
                        return Err(UpgradeError::Quorum { source, report });
                    }
                }
                self.one(planned, &plan, &mut prepared, &control_planes, &tell)
                    .await
            } else if prepared {
                after_upgrade(planned, &self.options, &mut prepared, &tell).await
            } else {
                leftover(planned, &self.options, &tell).await
            };
            let entry = &mut report.nodes[index];
            entry.prepared = prepared;
            if let Err(source) = done {
                return Err(failed(report, index, source));
            }
            entry.outcome = if planned.is_to_be_upgraded() {
                let took = begin.elapsed();
                NodeOutcome::Upgraded { took }
            } else {
                tell.step(UpgradeStep::AlreadyThere);
                NodeOutcome::AlreadyThere
            };
        }
        Ok(report)
    }

    /// Lets all nodes pull the image, before any of them is touched: a registry that fails halfway would leave a cluster of two
    /// releases. Returns which node failed first in their order.
    async fn pull_everywhere(
        &self,
        plan: &UpgradePlan,
        tell: &impl Fn(usize) -> Report,
    ) -> Option<(usize, NodeUpgradeError)> {
        let mut pulls = Vec::new();
        for (index, planned) in plan.nodes.iter().enumerate() {
            if planned.step == PlannedStep::Upgrade {
                let tell = tell(index);
                pulls.push(async move {
                    let pulled = pull_image(&planned.node, &plan.image, &self.options, &tell).await;
                    pulled.map_err(|error| (index, error))
                });
            }
        }
        let mut pulls = stream::iter(pulls).buffered(PULLS);
        while let Some(pulled) = pulls.next().await {
            if let Err(failure) = pulled {
                return Some(failure);
            }
        }
        None
    }

    async fn one(
        &self,
        planned: &PlannedNode,
        plan: &UpgradePlan,
        prepared: &mut bool,
        control_planes: &[Node],
        tell: &Report,
    ) -> Result<(), NodeUpgradeError> {
        upgrade(
            planned,
            &plan.image,
            Some(&plan.target),
            &self.options,
            prepared,
            tell,
        )
        .await?;
        if !planned.is_control_plane() {
            return Ok(());
        }
        let deadline = deadline(self.etcd_timeout);
        loop {
            let members = Members::ask(control_planes).await;
            if members.is_ok_and(|members| members.is_healthy(planned.node.name())) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let after = self.etcd_timeout;
                return Err(NodeUpgradeError::Etcd { after });
            }
            let reason = "the member of the node is not healthy yet".to_owned();
            tell.step(UpgradeStep::WaitingForEtcd { reason });
            sleep(self.options.track.interval).await;
        }
    }

    /// Waits until etcd can do without each of these, one at a time.
    async fn until_fit(
        &self,
        control_planes: &[Node],
        left: &[NodeName],
        tell: &Report,
    ) -> Result<(), QuorumRefusal> {
        let deadline = deadline(self.etcd_timeout);
        loop {
            let refusal = match Members::ask(control_planes).await {
                Ok(members) => match members.without_each(left) {
                    Ok(()) => return Ok(()),
                    Err(refusal) if members.is_too_small() => return Err(refusal),
                    Err(refusal) => refusal,
                },
                Err(error) => {
                    tracing::debug!(%error, "no control plane node knows the members of etcd");
                    QuorumRefusal {
                        node: tell.node.name().clone(),
                        voters: control_planes.len(),
                        healthy: 0,
                        needed: control_planes.len() / 2 + 1,
                    }
                }
            };
            if Instant::now() >= deadline {
                return Err(refusal);
            }
            let reason = refusal.to_string();
            tell.step(UpgradeStep::WaitingForEtcd { reason });
            sleep(self.options.track.interval).await;
        }
    }
}

/// What a node runs. Its kubelet is told about to administrators only, and there may be none.
async fn runs(node: &Node) -> Result<Runs> {
    let talos = node.version().await?.tag().to_owned();
    let kubernetes = match node.resources().get::<KubeletConfig>().await {
        Ok(kubelet) => tag_of(&kubelet.spec.image).map(str::to_owned),
        Err(error) if error.is_unreachable() || error.is_timeout() => return Err(error),
        Err(_) => None,
    };
    Ok(Runs { talos, kubernetes })
}

fn failed(mut report: UpgradeReport, index: usize, source: NodeUpgradeError) -> UpgradeError {
    let entry = &mut report.nodes[index];
    entry.outcome = NodeOutcome::Failed {
        reason: source.to_string(),
    };
    UpgradeError::Node {
        node: entry.node.clone(),
        source,
        report: Box::new(report),
    }
}

/// So many nodes pull the image at the same time.
const PULLS: usize = 8;

fn control_planes(plan: &UpgradePlan) -> Vec<Node> {
    let nodes = plan.nodes.iter().filter(|node| node.is_control_plane());
    nodes.map(|node| node.node.clone()).collect()
}

/// The control plane nodes that are to be away, in order.
fn candidates(plan: &UpgradePlan) -> Vec<NodeName> {
    let away = |node: &&PlannedNode| node.is_control_plane() && node.is_to_be_upgraded();
    let nodes = plan.nodes.iter().filter(away);
    nodes.map(|node| node.node.name().clone()).collect()
}
