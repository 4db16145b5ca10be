//! The checks that ask the Kubernetes API.

use kube::{Api, api::ListParams};
use talos_transport::NodeName;

use super::{
    Check, SkipReason,
    look::{Found, Scope, of_error},
};
use crate::{
    Node,
    error::Result as TalosResult,
    resource::{config::MachineConfig, k8s::BootstrapManifestsConfig},
    workflow::kubernetes::{DaemonSet, Deployment, KubeNode, Kubernetes, KubernetesError, Pod},
};

const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
const COMPONENTS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
const SYSTEM: &str = "kube-system";

pub(super) async fn look(check: Check, scope: &Scope, kubernetes: &Kubernetes) -> Found {
    let asking = Asking { scope, kubernetes };
    let found = match check {
        Check::KubernetesNodes => asking.nodes().await,
        Check::ControlPlaneComponents => asking.components().await,
        Check::KubernetesNodesReady => asking.ready().await,
        Check::KubeProxy => asking.kube_proxy().await,
        Check::CoreDns => asking.core_dns().await,
        Check::Schedulable => asking.schedulable().await,
        _ => Ok(Found::Skip(SkipReason::NotConfigured)),
    };
    found.unwrap_or_else(|error| match error {
        // There is no Kubernetes in this cluster.
        KubernetesError::Kubeconfig(error) if error.is_failed_precondition() => {
            Found::Skip(SkipReason::NotConfigured)
        }
        error => of_error(error.into()),
    })
}

struct Asking<'a> {
    scope: &'a Scope,
    kubernetes: &'a Kubernetes,
}

type Outcome = Result<Found, KubernetesError>;

impl Asking<'_> {
    async fn nodes(&self) -> Outcome {
        let known = self.known(&ListParams::default()).await?;
        let expected = self.scope.control_planes.iter().chain(&self.scope.workers);
        Ok(same_nodes(&names(expected), &known, "a node of Kubernetes"))
    }

    async fn components(&self) -> Outcome {
        let labelled = self.known(&ListParams::default().labels(CONTROL_PLANE)).await?;
        let expected = names(self.scope.control_planes.iter());
        let same = same_nodes(&expected, &labelled, "a control plane node of Kubernetes");
        if !matches!(same, Found::Met) {
            return Ok(same);
        }
        let selector = format!("k8s-app in ({})", COMPONENTS.join(","));
        let pods = self.system_pods(&selector).await?;
        let problem = labelled
            .iter()
            .find_map(|node| missing_component(node.name(), &pods));
        Ok(problem.map_or(Found::Met, Found::NotMet))
    }

    async fn ready(&self) -> Outcome {
        if !self.has_network().await? {
            return Ok(Found::Skip(SkipReason::NotConfigured));
        }
        let known = self.known(&ListParams::default()).await?;
        let problem = known.iter().find_map(|node| {
            let reason = node.not_ready(None)?;
            Some(format!("node {}: {reason}", node.name()))
        });
        Ok(problem.map_or(Found::Met, Found::NotMet))
    }

    async fn kube_proxy(&self) -> Outcome {
        let sets: Api<DaemonSet> = Api::namespaced(self.kubernetes.client().await?, SYSTEM);
        let found = self
            .kubernetes
            .find("DaemonSet kube-proxy", &sets, "kube-proxy")
            .await?;
        let Some(set) = found else {
            return Ok(Found::Skip(SkipReason::NotConfigured));
        };
        let wanted = set.status.desired_number_scheduled.unwrap_or_default();
        self.enough("kube-proxy", wanted, &set.spec.labels()).await
    }

    async fn core_dns(&self) -> Outcome {
        if !self.has_network().await? {
            return Ok(Found::Skip(SkipReason::NotConfigured));
        }
        let sets: Api<Deployment> = Api::namespaced(self.kubernetes.client().await?, SYSTEM);
        let found = self
            .kubernetes
            .find("Deployment coredns", &sets, "coredns")
            .await?;
        let Some(deployment) = found else {
            return Ok(Found::Skip(SkipReason::NotConfigured));
        };
        // Left out, it is one.
        let wanted = deployment.spec.replicas.unwrap_or(1);
        self.enough("coredns", wanted, &deployment.spec.labels()).await
    }

    async fn schedulable(&self) -> Outcome {
        let known = self.known(&ListParams::default()).await?;
        let cordoned: Vec<&str> = known
            .iter()
            .filter(|node| node.is_cordoned())
            .map(KubeNode::name)
            .collect();
        Ok(if cordoned.is_empty() {
            Found::Met
        } else {
            Found::NotMet(format!("pods may not come to {}", cordoned.join(", ")))
        })
    }

    async fn known(&self, params: &ListParams) -> Result<Vec<KubeNode>, KubernetesError> {
        let nodes = self.kubernetes.nodes().await?;
        self.kubernetes.list("nodes", &nodes, params).await
    }

    async fn system_pods(&self, selector: &str) -> Result<Vec<Pod>, KubernetesError> {
        let pods = Api::namespaced(self.kubernetes.client().await?, SYSTEM);
        let params = ListParams::default().labels(selector);
        self.kubernetes.list("pods in kube-system", &pods, &params).await
    }

    /// Whether so many pods of a workload are ready.
    async fn enough(&self, workload: &str, wanted: u64, labels: &str) -> Outcome {
        if wanted == 0 {
            return Ok(Found::Skip(SkipReason::NotConfigured));
        }
        let pods = self.system_pods(labels).await?;
        let (ready, others): (Vec<_>, Vec<_>) = pods.iter().partition(|pod| pod.is_ready());
        if u64::try_from(ready.len()).is_ok_and(|ready| ready >= wanted) {
            return Ok(Found::Met);
        }
        let mut text = format!("{} of {wanted} pods of {workload} are ready", ready.len());
        if let Some(other) = others.first() {
            let node = other.node().unwrap_or("no node");
            text.push_str(&format!(", pod {SYSTEM}/{} on {node} is not", other.name()));
        }
        Ok(Found::NotMet(text))
    }

    /// Whether Talos sets the cluster up for pods with a network of their own: not if the CNI is `none`, or if it makes no
    /// manifests at all.
    async fn has_network(&self) -> Result<bool, KubernetesError> {
        let Some(node) = self.scope.control_planes.first() else {
            return Ok(false);
        };
        let asked = has_network(node).await;
        asked.map_err(|source| KubernetesError::Name {
            node: node.name().clone(),
            source: Box::new(source),
        })
    }
}

async fn has_network(node: &Node) -> TalosResult<bool> {
    let manifests = match node.resources().get::<BootstrapManifestsConfig>().await {
        Ok(manifests) => manifests.spec,
        Err(error) if error.is_not_found() => return Ok(false),
        Err(error) => return Err(error),
    };
    if !manifests.cni_name.is_empty() {
        return Ok(manifests.cni_name != "none");
    }
    // Before Talos 1.13 only the configuration says it, for administrators.
    let config = match node.resources().get::<MachineConfig>().await {
        Ok(config) => config.spec,
        Err(error) if error.is_not_found() || error.is_denied() && !error.is_not_forwarded() => {
            return Ok(true);
        }
        Err(error) => return Err(error),
    };
    let document = config.document(None);
    let cni = document.and_then(|document| document.value.at(&["cluster", "network", "cni", "name"]));
    Ok(cni.and_then(|cni| cni.as_str()) != Some("none"))
}

fn names<'a>(nodes: impl Iterator<Item = &'a Node>) -> Vec<&'a NodeName> {
    nodes.map(Node::name).collect()
}

fn same_nodes(expected: &[&NodeName], known: &[KubeNode], what: &str) -> Found {
    let missing = expected
        .iter()
        .find(|machine| !known.iter().any(|node| node.is_called(machine.as_str())));
    if let Some(machine) = missing {
        return Found::NotMet(format!("{machine} is not {what}"));
    }
    let extra = known
        .iter()
        .find(|node| !expected.iter().any(|machine| node.is_called(machine.as_str())));
    match extra {
        Some(node) => Found::NotMet(format!("{} is {what}, and was not expected", node.name())),
        None => Found::Met,
    }
}

fn missing_component(node: &str, pods: &[Pod]) -> Option<String> {
    COMPONENTS.iter().find_map(|component| {
        let is_of = |pod: &&Pod| pod.node() == Some(node) && pod.label("k8s-app") == Some(component);
        let mut here = pods.iter().filter(is_of).peekable();
        if here.peek().is_none() {
            return Some(format!("there is no pod of {component} on node {node}"));
        }
        let ready = here.any(Pod::is_ready);
        (!ready).then(|| format!("the pod of {component} on node {node} is not ready"))
    })
}
