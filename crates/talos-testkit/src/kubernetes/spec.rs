//! What tests put into the cluster: pods and budgets.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

/// What owns a pod, and thus what becomes of it when it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PodOwner {
    /// A ReplicaSet: another pod, with another name, on any node that takes it.
    ReplicaSet,
    /// A DaemonSet: another pod on the same node, cordoned or not.
    DaemonSet,
    /// A Job: as with a ReplicaSet, unless the pod had [finished](KubePod::finished).
    Job,
    /// A StatefulSet: a pod of the same name, on any node that takes it.
    StatefulSet,
}

impl PodOwner {
    /// The kind, as owner references have it.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::ReplicaSet => "ReplicaSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
            Self::StatefulSet => "StatefulSet",
        }
    }

    pub(super) const fn api_version(self) -> &'static str {
        match self {
            Self::Job => "batch/v1",
            _ => "apps/v1",
        }
    }
}

/// How a pod ends once it has been evicted or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Termination {
    /// After [`Timings::grace`](crate::Timings::grace) of its node.
    #[default]
    Graceful,
    After(Duration),
    Never,
}

/// A pod to add with [`SimKubernetes::add_pod`](super::SimKubernetes::add_pod).
///
/// Unless told otherwise nobody owns it, and it runs on the first node that takes pods.
///
/// ```
/// use talos_testkit::kubernetes::{KubePod, PodOwner};
///
/// let web = KubePod::new("default", "web-1")
///     .owned_by(PodOwner::ReplicaSet, "web")
///     .label("app", "web")
///     .on_node("10.5.0.5");
/// # let _ = web;
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct KubePod {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) node: Option<String>,
    pub(super) owner: Option<(PodOwner, String)>,
    pub(super) empty_dir: bool,
    pub(super) container: (String, String),
    pub(super) host_network: bool,
    pub(super) tolerates: Tolerates,
    pub(super) termination: Termination,
    pub(super) finished: bool,
    pub(super) ready: bool,
}

/// Which taints a pod does not mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Tolerates {
    #[default]
    Nothing,
    /// That of control planes.
    ControlPlane,
    Everything,
}

impl KubePod {
    /// A running pod with one container.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            node: None,
            owner: None,
            empty_dir: false,
            container: ("main".to_owned(), "registry.k8s.io/pause:3.10.1".to_owned()),
            host_network: false,
            tolerates: Tolerates::default(),
            termination: Termination::default(),
            finished: false,
            ready: true,
        }
    }

    /// Adds a label. Pods that replace this one have it as well.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Adds an annotation. Pods that replace this one have it as well.
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// Lets the pod run on this node, by its name in Kubernetes or any name in Talos, whatever taints it has.
    /// A pod that replaces it goes where there is room. Default: the node with the fewest pods that takes
    /// pods; without one the pod is pending.
    pub fn on_node(mut self, node: impl Into<String>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// Lets the pod belong to something called `name` in its namespace, which comes into being with its first
    /// pod and wants as many as were added. Default: it belongs to nobody, and is not replaced.
    pub fn owned_by(mut self, owner: PodOwner, name: impl Into<String>) -> Self {
        self.owner = Some((owner, name.into()));
        self
    }

    /// Gives the pod a volume of the kind `emptyDir`, whose data are lost with the pod. Default: none.
    pub const fn empty_dir(mut self) -> Self {
        self.empty_dir = true;
        self
    }

    /// Lets the pod and its replacements run on nodes with any taint. Default: they mind taints.
    pub const fn tolerates_everything(mut self) -> Self {
        self.tolerates = Tolerates::Everything;
        self
    }

    /// Sets how long the pod takes to end after its eviction or deletion. Default: the
    /// [grace](crate::Timings::grace) of its node.
    pub const fn terminates_after(mut self, grace: Duration) -> Self {
        self.termination = Termination::After(grace);
        self
    }

    /// Lets the pod stay in the middle of its termination, as one with a volume that cannot be unmounted does,
    /// until [`SimKubernetes::let_go`](super::SimKubernetes::let_go). Its replacements are not so.
    pub const fn never_terminates(mut self) -> Self {
        self.termination = Termination::Never;
        self
    }

    /// Lets the pod have finished already: phase `Succeeded`. Default: it runs.
    pub const fn finished(mut self) -> Self {
        self.finished = true;
        self
    }

    /// Lets the pod run without being ready. Default: it is ready.
    pub const fn unready(mut self) -> Self {
        self.ready = false;
        self
    }

    pub(super) fn tolerating(mut self, tolerates: Tolerates) -> Self {
        self.tolerates = tolerates;
        self
    }

    pub(super) fn container(mut self, name: &str, image: &str) -> Self {
        self.container = (name.to_owned(), image.to_owned());
        self
    }

    pub(super) const fn on_host_network(mut self) -> Self {
        self.host_network = true;
        self
    }
}

/// A PodDisruptionBudget to set with [`SimKubernetes::set_budget`](super::SimKubernetes::set_budget).
///
/// ```
/// use talos_testkit::kubernetes::KubeBudget;
///
/// let budget = KubeBudget::new("default", "web").selects("app", "web").min_available(2);
/// # let _ = budget;
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct KubeBudget {
    pub(super) namespace: String,
    pub(super) name: String,
    labels: BTreeMap<String, String>,
    min_available: Option<Value>,
    max_unavailable: Option<Value>,
}

impl KubeBudget {
    /// A budget for all pods of the namespace, that allows no disruption at all.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            labels: BTreeMap::new(),
            min_available: None,
            max_unavailable: None,
        }
    }

    /// Only for pods with this label; those that have all that are given.
    pub fn selects(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// How many pods have to stay ready.
    pub fn min_available(mut self, count: u32) -> Self {
        self.min_available = Some(json!(count));
        self.max_unavailable = None;
        self
    }

    /// How many percent of the wanted pods have to stay ready.
    pub fn min_available_percent(mut self, percent: u32) -> Self {
        self.min_available = Some(json!(format!("{percent}%")));
        self.max_unavailable = None;
        self
    }

    /// How many pods may be missing. Default: none.
    pub fn max_unavailable(mut self, count: u32) -> Self {
        self.max_unavailable = Some(json!(count));
        self.min_available = None;
        self
    }

    pub(super) fn render(&self) -> Value {
        let mut spec = json!({"selector": {"matchLabels": self.labels}});
        match (&self.min_available, &self.max_unavailable) {
            (Some(count), _) => spec["minAvailable"] = count.clone(),
            (None, Some(count)) => spec["maxUnavailable"] = count.clone(),
            (None, None) => spec["maxUnavailable"] = json!(0),
        }
        json!({"metadata": {"generation": 1}, "spec": spec})
    }
}
