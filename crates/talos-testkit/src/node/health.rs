//! Whether a cluster is healthy: the checks that a control plane node makes, in their order.

use std::sync::Arc;

use super::containers::{Container, ContainerState, K8S};
use super::etcd;
use super::resources::specs::MachineStage;
use super::services::ServiceState;
use super::{ClusterFacts, MachineRole, Node};

/// Memory a node should have, in KiB: what is meant as 2 GiB and 1 GiB, less what firmware takes.
const CONTROL_PLANE_MEMORY: u64 = (2048 - 200) * 1024;
const WORKER_MEMORY: u64 = (1024 - 200) * 1024;
/// Room `/var` should have in bytes.
const DISK: u64 = (6 << 30) - (600 << 20);

const DIAGNOSTICS: &str = "Diagnostics.runtime.talos.dev";

/// The nodes that are looked at.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub(crate) control_planes: Vec<String>,
    pub(crate) workers: Vec<String>,
}

impl Checked {
    /// All nodes of the cluster.
    pub(crate) fn discover(cluster: &ClusterFacts) -> Self {
        let of = |role| {
            let nodes = cluster
                .nodes()
                .into_iter()
                .filter(|node| node.machine_role() == Some(role));
            nodes.map(|node| node.identity.address.to_string()).collect()
        };
        Self {
            control_planes: of(MachineRole::ControlPlane),
            workers: of(MachineRole::Worker),
        }
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.control_planes.iter().chain(&self.workers).cloned().collect()
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ok,
    /// There is nothing to check.
    Skip,
    /// Not yet; with the reason.
    Waiting(String),
}

type Check = fn(&View) -> Verdict;

/// The checks in order.
pub(crate) const CHECKS: [(&str, Check); 16] = [
    ("etcd to be healthy", |view| {
        view.services("etcd", view.control_planes())
    }),
    ("etcd members to be consistent across nodes", View::members),
    ("etcd members to be control plane nodes", View::members),
    ("apid to be ready", |view| view.services("apid", &view.nodes)),
    ("all nodes memory sizes", View::memory),
    ("all nodes disk sizes", View::disk),
    ("no diagnostics", View::diagnostics),
    ("kubelet to be healthy", |view| {
        view.services("kubelet", &view.nodes)
    }),
    ("all nodes to finish boot sequence", View::booted),
    ("all k8s nodes to report", View::kubelets),
    ("all control plane static pods to be running", View::static_pods),
    ("all control plane components to be ready", View::static_pods),
    ("all k8s nodes to report ready", View::nodes_ready),
    ("kube-proxy to report ready", |view| view.pods("kube-proxy")),
    ("coredns to report ready", |view| view.pods("coredns")),
    ("all k8s nodes to report schedulable", View::nodes_schedulable),
];

/// The cluster at one moment.
pub(crate) struct View {
    cluster: Arc<ClusterFacts>,
    /// The nodes that are looked at, control plane first; by the name they were given, if there is one.
    nodes: Vec<(String, Option<Arc<Node>>)>,
    control_planes: usize,
}

impl View {
    pub(crate) fn new(cluster: &Arc<ClusterFacts>, checked: &Checked) -> Self {
        let all = cluster.nodes();
        let find = |name: &String| {
            let node = all.iter().find(|node| node.identity.is_called(name));
            (name.clone(), node.filter(|node| node.life().is_some()).cloned())
        };
        Self {
            cluster: Arc::clone(cluster),
            nodes: checked.all().iter().map(find).collect(),
            control_planes: checked.control_planes.len(),
        }
    }

    fn control_planes(&self) -> &[(String, Option<Arc<Node>>)] {
        &self.nodes[..self.control_planes]
    }

    /// The first reason that any of `nodes` gives.
    fn each(
        nodes: &[(String, Option<Arc<Node>>)],
        problem: impl Fn(&str, &Node) -> Option<String>,
    ) -> Verdict {
        for (name, node) in nodes {
            let problem = match node {
                Some(node) => problem(name, node),
                None => Some(format!(
                    "{name}: rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while \
                     dialing: dial tcp {name}:50000: connect: connection refused\""
                )),
            };
            if let Some(problem) = problem {
                return Verdict::Waiting(problem);
            }
        }
        Verdict::Ok
    }

    fn services(&self, id: &str, nodes: &[(String, Option<Arc<Node>>)]) -> Verdict {
        Self::each(nodes, |name, node| {
            let services = node.services.all();
            let Some((_, service)) = services.into_iter().find(|(found, _)| found == id) else {
                return Some(format!("{name}: service \"{id}\" not found"));
            };
            if service.state != ServiceState::Running {
                let state = service.state;
                return Some(format!(
                    "{name}: service \"{id}\" not in expected state \"Running\": current state [{state}]"
                ));
            }
            let health = service.health;
            (!health.healthy && !health.unknown)
                .then(|| format!("{name}: service is not healthy: {id}: {}", health.last_message))
        })
    }

    fn members(&self) -> Verdict {
        let members = self.cluster.etcd.members();
        let addresses: Vec<String> = members.iter().map(|member| member.address.to_string()).collect();
        let foreign = members.iter().find(|member| {
            let of_node = |(_, node): &(String, Option<Arc<Node>>)| {
                node.as_ref()
                    .is_some_and(|node| node.identity.hostname == member.name)
            };
            !self.control_planes().iter().any(of_node)
        });
        if foreign.is_some() || members.len() != self.control_planes {
            return Verdict::Waiting(format!(
                "etcd member ips {addresses:?} are not subset of control plane node ips {:?}",
                self.control_planes()
                    .iter()
                    .map(|(name, _)| name)
                    .collect::<Vec<_>>()
            ));
        }
        Self::each(self.control_planes(), |name, node| {
            (!etcd::runs(node)).then(|| format!("{name}: etcd does not answer"))
        })
    }

    fn memory(&self) -> Verdict {
        Self::each(&self.nodes, |name, node| {
            let total = node.memory.lock().total_kib;
            let wanted = match node.current_identity().role {
                MachineRole::ControlPlane => CONTROL_PLANE_MEMORY,
                MachineRole::Worker => WORKER_MEMORY,
            };
            (total < wanted).then(|| {
                format!(
                    "{name}: memory size {} MiB is less than {} MiB",
                    total / 1024,
                    wanted / 1024
                )
            })
        })
    }

    fn disk(&self) -> Verdict {
        Self::each(&self.nodes, |name, node| {
            let mounts = node.mounts();
            let var = mounts.iter().find(|mount| mount.target == "/var");
            let size = var.map_or(0, |mount| mount.size);
            (size < DISK).then(|| {
                format!(
                    "{name}: disk size {} MiB is less than {} MiB",
                    size >> 20,
                    DISK >> 20
                )
            })
        })
    }

    fn diagnostics(&self) -> Verdict {
        Self::each(&self.nodes, |name, node| {
            let found = node
                .resources
                .collection("runtime", DIAGNOSTICS)
                .snapshot()
                .resources;
            let first = found
                .first()?
                .metadata
                .as_ref()
                .map(|metadata| metadata.id.clone());
            Some(format!(
                "active diagnostics: {name}: {}",
                first.unwrap_or_default()
            ))
        })
    }

    fn booted(&self) -> Verdict {
        Self::each(&self.nodes, |name, node| {
            let stage = *node.stage.lock();
            (stage != MachineStage::Running).then(|| {
                format!(
                    "{name}: expected machine stage \"running\", got \"{}\"",
                    stage.as_str()
                )
            })
        })
    }

    fn kubelets(&self) -> Verdict {
        Self::each(&self.nodes, |name, node| {
            (node.services.state("kubelet") != Some(ServiceState::Running))
                .then(|| format!("{name}: node is not ready"))
        })
    }

    fn nodes_ready(&self) -> Verdict {
        #[cfg(feature = "kubernetes")]
        if let Some(problem) = self
            .cluster
            .kubernetes()
            .and_then(|kubernetes| kubernetes.unready())
        {
            return Verdict::Waiting(problem);
        }
        self.kubelets()
    }

    fn nodes_schedulable(&self) -> Verdict {
        #[cfg(feature = "kubernetes")]
        if let Some(problem) = self
            .cluster
            .kubernetes()
            .and_then(|kubernetes| kubernetes.unschedulable())
        {
            return Verdict::Waiting(problem);
        }
        self.kubelets()
    }

    fn static_pods(&self) -> Verdict {
        Self::each(self.control_planes(), |name, node| {
            let containers = node.containers(K8S);
            let runs = |component: &str| {
                let running = |container: &&Container| container.state == ContainerState::Running;
                containers
                    .iter()
                    .filter(running)
                    .any(|container| container.name == component)
            };
            let components = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
            let missing = components.into_iter().find(|component| !runs(component))?;
            Some(format!("{name}: static pod {missing} is not running"))
        })
    }

    /// Whether all containers of this name run; without any there is nothing to check.
    fn pods(&self, name: &str) -> Verdict {
        let nodes = self.nodes.iter().filter_map(|(_, node)| node.as_ref());
        let containers: Vec<_> = nodes
            .flat_map(|node| node.containers(K8S))
            .filter(|container| !container.sandbox && container.name == name)
            .collect();
        if containers.is_empty() {
            return Verdict::Skip;
        }
        let ended = containers
            .iter()
            .find(|container| container.state != ContainerState::Running);
        ended.map_or(Verdict::Ok, |container| {
            Verdict::Waiting(format!("{} is not ready", container.pod_id))
        })
    }
}
