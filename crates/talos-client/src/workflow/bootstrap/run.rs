//! Doing it.

use std::{fmt, future::Future, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use talos_transport::NodeName;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{BootstrapError, BootstrapProgress, BootstrapStep};
use crate::{
    Node,
    api::machine::Kubeconfig,
    error::{Error, ErrorKind, Result},
    resource::runtime::{MachineStage, MachineStatus},
    workflow::{Reporter, Run, deadline},
};

/// A cluster that is to come up.
#[derive(Debug)]
#[must_use = "nothing is done before `start`"]
pub struct ClusterBootstrap {
    control_planes: Vec<Node>,
    workers: Vec<Node>,
    machines: Vec<Machine>,
    timeout: Duration,
    interval: Duration,
}

/// A machine that may need a configuration.
struct Machine {
    node: Node,
    maintenance: Node,
    configuration: Bytes,
}

/// A cluster that is up.
#[derive(Debug)]
#[non_exhaustive]
pub struct Bootstrapped {
    /// The kubeconfig of an administrator.
    pub kubeconfig: Kubeconfig,
    /// The nodes that were given a configuration by this run.
    pub configured: Vec<NodeName>,
    /// Whether this run bootstrapped etcd.
    pub bootstrapped: bool,
}

/// What a look comes to.
enum Look<T> {
    Done(T),
    NotYet(String),
}

impl ClusterBootstrap {
    /// The control plane nodes of the cluster, by the client that is to reach it when it is up.
    pub fn of(control_planes: impl IntoIterator<Item = Node>) -> Self {
        Self {
            control_planes: control_planes.into_iter().collect(),
            workers: Vec::new(),
            machines: Vec::new(),
            timeout: Duration::from_secs(20 * 60),
            interval: Duration::from_secs(1),
        }
    }

    /// Sets the workers, which have to get ready, too. Default: none.
    pub fn workers(mut self, workers: impl IntoIterator<Item = Node>) -> Self {
        self.workers = workers.into_iter().collect();
        self
    }

    /// Gives a machine its configuration if it has none: `node` as it is going to be in the cluster, and the same `machine`
    /// [in maintenance mode](crate::maintenance), where its fingerprint says that it is the right one.
    pub fn configure(mut self, node: Node, machine: Node, configuration: impl Into<Bytes>) -> Self {
        self.machines.push(Machine {
            node,
            maintenance: machine,
            configuration: configuration.into(),
        });
        self
    }

    /// Limits the time for everything. Default: 20 minutes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the time between two looks. Default: 1 s.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(1));
        self
    }

    /// Configures machines, waits for them, bootstraps etcd by the control plane node whose name comes first, waits for
    /// etcd and Kubernetes, and fetches the kubeconfig.
    ///
    /// Whether Kubernetes works is taken from what nodes say of themselves: their services, their static pods and their
    /// Kubernetes node. Nobody talks to the Kubernetes API.
    ///
    /// # Errors
    ///
    /// [`BootstrapError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the run ends it where it is. Run again, it goes on from there.
    pub fn start(self) -> Run<BootstrapProgress, Bootstrapped, BootstrapError> {
        Run::new(move |reporter| Runner::new(self, reporter).run())
    }
}

struct Runner {
    cluster: ClusterBootstrap,
    reporter: Reporter<BootstrapProgress>,
    deadline: Instant,
}

impl Runner {
    fn new(mut cluster: ClusterBootstrap, reporter: Reporter<BootstrapProgress>) -> Self {
        cluster
            .control_planes
            .sort_by(|a, b| a.name().as_str().cmp(b.name().as_str()));
        Self {
            deadline: deadline(cluster.timeout),
            cluster,
            reporter,
        }
    }

    async fn run(self) -> Result<Bootstrapped, BootstrapError> {
        let cluster = &self.cluster;
        let Some(first) = cluster.control_planes.first() else {
            return Err(BootstrapError::NoControlPlane);
        };
        let mut configured = Vec::new();
        if !cluster.machines.is_empty() {
            self.begins(BootstrapStep::Configure);
            for machine in &cluster.machines {
                if self.configure(machine).await? {
                    configured.push(machine.node.name().clone());
                }
            }
        }
        let all: Vec<&Node> = cluster.control_planes.iter().chain(&cluster.workers).collect();
        let all = all.as_slice();
        self.begins(BootstrapStep::Boot);
        self.until(BootstrapStep::Boot, || every(all, boots)).await?;

        self.begins(BootstrapStep::Bootstrap);
        let control_planes: Vec<&Node> = cluster.control_planes.iter().collect();
        let control_planes = control_planes.as_slice();
        let bootstrap = self.until(BootstrapStep::Bootstrap, || bootstrap(first, control_planes));
        let bootstrapped = bootstrap.await??;
        self.reporter.report(if bootstrapped == Some(true) {
            let node = first.name().clone();
            BootstrapProgress::Bootstrapped { node }
        } else {
            BootstrapProgress::BootstrappedBefore
        });
        // Without etcd there are no members to wait for.
        if bootstrapped.is_some() {
            self.begins(BootstrapStep::Etcd);
            let count = control_planes.len();
            self.until(BootstrapStep::Etcd, || {
                every(control_planes, move |node| has_etcd(node, count))
            })
            .await?;
        }
        self.begins(BootstrapStep::Kubernetes);
        self.until(BootstrapStep::Kubernetes, || every(all, is_ready))
            .await?;
        self.begins(BootstrapStep::Kubeconfig);
        let kubeconfig = self
            .until(BootstrapStep::Kubeconfig, || kubeconfig(first))
            .await??;
        Ok(Bootstrapped {
            kubeconfig,
            configured,
            bootstrapped: bootstrapped == Some(true),
        })
    }

    fn begins(&self, step: BootstrapStep) {
        self.reporter.report(BootstrapProgress::Begins(step));
    }

    /// Looks until something is there, or the time is over.
    async fn until<T, Fut>(
        &self,
        step: BootstrapStep,
        mut look: impl FnMut() -> Fut,
    ) -> Result<T, BootstrapError>
    where
        Fut: Future<Output = Look<T>>,
    {
        let mut last = "nothing was seen in time".to_owned();
        loop {
            let reason = match timeout_at(self.deadline, look()).await {
                Ok(Look::Done(value)) => return Ok(value),
                Ok(Look::NotYet(reason)) => reason,
                Err(_) => last.clone(),
            };
            if reason != last {
                last.clone_from(&reason);
                self.reporter.report(BootstrapProgress::Waiting { step, reason });
            }
            if Instant::now() >= self.deadline {
                return Err(BootstrapError::Timeout {
                    step,
                    reason: last,
                    timeout: self.cluster.timeout,
                });
            }
            sleep(self.cluster.interval).await;
        }
    }

    /// Gives a machine its configuration; false if it has one.
    async fn configure(&self, machine: &Machine) -> Result<bool, BootstrapError> {
        let step = BootstrapStep::Configure;
        let warnings = self.until(step, || configure(machine)).await??;
        let node = machine.node.name().clone();
        let fresh = warnings.is_some();
        self.reporter.report(match warnings {
            Some(warnings) => BootstrapProgress::Configured { node, warnings },
            None => BootstrapProgress::ConfiguredBefore { node },
        });
        Ok(fresh)
    }
}

async fn configure(machine: &Machine) -> Look<Result<Option<Vec<String>>, BootstrapError>> {
    // Only a machine of the cluster has a certificate that the client of the cluster accepts.
    if let Ok(Ok(_)) = timeout(PROBE, machine.node.version()).await {
        return Look::Done(Ok(None));
    }
    let request = machine
        .maintenance
        .apply_configuration(machine.configuration.clone());
    match request.send().await {
        Ok(applied) => Look::Done(Ok(Some(applied.warnings))),
        // Who is not in maintenance mode any more has another certificate, so that may pass as well.
        Err(error) if error.is_retriable() || error.is_unreachable() => {
            Look::NotYet(format!("{}: {error:#}", machine.node.name()))
        }
        Err(error) => Look::Done(Err(BootstrapError::Configuration {
            node: machine.node.name().clone(),
            source: Box::new(error),
        })),
    }
}

/// Asks all nodes, and finds the first reason in their order.
async fn every<'a, Fut>(nodes: &'a [&'a Node], ask: impl Fn(&'a Node) -> Fut) -> Look<()>
where
    Fut: Future<Output = Result<Option<String>>>,
{
    let answers = join_all(nodes.iter().map(|node| ask(node))).await;
    for (node, answer) in nodes.iter().zip(answers) {
        match answer {
            Ok(None) => {}
            Ok(Some(reason)) => return Look::NotYet(format!("{}: {reason}", node.name())),
            Err(error) => return Look::NotYet(format!("{error:#}")),
        }
    }
    Look::Done(())
}

async fn boots(node: &Node) -> Result<Option<String>> {
    node.version().await?;
    let stage = node.resources().get::<MachineStatus>().await?.spec.stage;
    let boots = matches!(stage, MachineStage::Booting | MachineStage::Running);
    Ok((!boots).then(|| format!("the machine is {stage}")))
}

async fn is_ready(node: &Node) -> Result<Option<String>> {
    let status = node.resources().get::<MachineStatus>().await?.spec;
    if status.stage != MachineStage::Running {
        return Ok(Some(format!("the machine is {}", status.stage)));
    }
    if status.ready {
        return Ok(None);
    }
    let unmet = status.unmet_conditions.iter();
    let unmet: Vec<String> = unmet
        .map(|condition| format!("{} ({})", condition.name, condition.reason))
        .collect();
    Ok(Some(format!("the machine is not ready: {}", unmet.join(", "))))
}

/// Whether the node has a healthy member, and knows as many as there should be.
async fn has_etcd(node: &Node, members: usize) -> Result<Option<String>> {
    let status = node.etcd().status().await?;
    if status.leader().is_none() {
        return Ok(Some("etcd has no leader".to_owned()));
    }
    let known = node.etcd().members().query_local(true).send().await?.len();
    Ok((known < members).then(|| format!("etcd has {known} members of {members}")))
}

/// Bootstraps unless that is done. `None` if there is no etcd in this cluster, else whether it was this call.
async fn bootstrap(first: &Node, control_planes: &[&Node]) -> Look<Result<Option<bool>, BootstrapError>> {
    let known = control_planes.iter().map(|node| async move {
        let members = node.etcd().members().query_local(true).send().await;
        members.is_ok_and(|members| !members.is_empty())
    });
    if join_all(known).await.contains(&true) {
        return Look::Done(Ok(Some(false)));
    }
    match first.bootstrap().send().await {
        Ok(()) => Look::Done(Ok(Some(true))),
        // There are data of an earlier bootstrap, of which nobody has heard yet.
        Err(error) if error.is_already_exists() => Look::Done(Ok(Some(false))),
        Err(error) if error.kind() == ErrorKind::InvalidArgument => Look::Done(Ok(None)),
        Err(error) if passes(&error) => Look::NotYet(format!("{error:#}")),
        Err(error) => Look::Done(Err(BootstrapError::Bootstrap {
            node: first.name().clone(),
            source: Box::new(error),
        })),
    }
}

async fn kubeconfig(node: &Node) -> Look<Result<Kubeconfig, BootstrapError>> {
    match node.kubeconfig().await {
        Ok(kubeconfig) => Look::Done(Ok(kubeconfig)),
        Err(error) if passes(&error) => Look::NotYet(format!("{error:#}")),
        Err(error) => Look::Done(Err(BootstrapError::Kubeconfig {
            node: node.name().clone(),
            source: Box::new(error),
        })),
    }
}

/// Whether a node that comes up may say so.
fn passes(error: &Error) -> bool {
    error.is_retriable() || error.is_failed_precondition() || error.kind() == ErrorKind::Cancelled
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("node", self.node.name())
            .field("configuration", &"<redacted>")
            .finish_non_exhaustive()
    }
}

/// How long a machine may take to say that it is part of the cluster.
const PROBE: Duration = Duration::from_secs(5);
