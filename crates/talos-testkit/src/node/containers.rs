//! Containers of a node: those of Talos's own services and those of pods.

use crate::node::debug::DebugContainerState;
use crate::node::services::{self, ServiceState};
use crate::node::{MachineRole, Node};
use crate::rng::SimRng;
use crate::sync::Guarded;

/// Namespace of Talos's own containers.
pub(crate) const SYSTEM: &str = "system";
/// Namespace of the containers of Kubernetes.
pub(crate) const K8S: &str = "k8s.io";

const PAUSE: &str = "registry.k8s.io/pause:3.10.1";

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ContainerState {
    /// Running.
    #[default]
    Running,
    /// Ended.
    Exited,
}

/// A pod on a node, with its containers. See [`SimNode::set_pods`](crate::SimNode::set_pods).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimPod {
    /// Namespace in Kubernetes.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Containers in order.
    pub containers: Vec<SimContainer>,
    /// Whether the pod shares the network of its node. Default: no.
    pub host_network: bool,
    /// Whether its sandbox runs; others are not listed. Default: yes.
    pub ready: bool,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimContainer {
    /// Name within the pod.
    pub name: String,
    /// Image reference.
    pub image: String,
    /// What it is doing. Default: running.
    pub state: ContainerState,
    /// How often it has been restarted. Each time it gets a new id. Default: never.
    pub restarts: u32,
}

impl SimPod {
    /// A ready pod without containers.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            containers: Vec::new(),
            host_network: false,
            ready: true,
        }
    }

    /// Adds a running container.
    #[must_use]
    pub fn container(mut self, name: impl Into<String>, image: impl Into<String>) -> Self {
        self.containers.push(SimContainer {
            name: name.into(),
            image: image.into(),
            state: ContainerState::Running,
            restarts: 0,
        });
        self
    }

    /// Lets the pod share the network of its node.
    #[must_use]
    pub fn on_host_network(mut self) -> Self {
        self.host_network = true;
        self
    }

    /// What the sandbox is called, and the beginning of what its containers are called.
    fn id(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// A container as containerd knows it.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) namespace: &'static str,
    /// What calls name it by.
    pub(crate) id: String,
    pub(crate) uid: String,
    /// 64 hexadecimal digits, or the name of a service.
    pub(crate) internal_id: String,
    pub(crate) image: String,
    /// 0 if it does not run.
    pub(crate) pid: u32,
    pub(crate) state: ContainerState,
    pub(crate) sandbox: bool,
    pub(crate) pod_id: String,
    pub(crate) name: String,
    pub(crate) network_namespace: String,
    /// The program it runs.
    pub(crate) command: String,
}

impl Container {
    /// The state as the driver that was asked names it.
    pub(crate) const fn status(&self, cri: bool) -> &'static str {
        match (cri, self.sandbox, self.state) {
            (true, true, ContainerState::Running) => "SANDBOX_READY",
            (true, true, ContainerState::Exited) => "SANDBOX_NOTREADY",
            (true, false, ContainerState::Running) => "CONTAINER_RUNNING",
            (true, false, ContainerState::Exited) => "CONTAINER_EXITED",
            (false, _, ContainerState::Running) => "RUNNING",
            (false, _, ContainerState::Exited) => "STOPPED",
        }
    }
}

/// The pods of a node.
#[derive(Debug, Default)]
pub(crate) struct PodTable {
    /// `None` while the node has the pods of a node that was just installed, which take no room.
    pods: Guarded<Option<Vec<SimPod>>>,
}

impl PodTable {
    pub(crate) fn set(&self, pods: Vec<SimPod>) {
        *self.pods.lock() = Some(pods);
    }

    /// Whether a test has set pods, and no container of this name runs in them.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn lacks(&self, container: &str) -> bool {
        let runs = |pod: &SimPod| {
            let is_it = |one: &SimContainer| one.name == container && one.state == ContainerState::Running;
            pod.ready && pod.containers.iter().any(is_it)
        };
        let pods = self.pods.lock();
        pods.as_ref().is_some_and(|pods| !pods.iter().any(runs))
    }

    fn all(&self, node: &Node) -> Vec<SimPod> {
        let set = self.pods.lock().clone();
        #[cfg(feature = "kubernetes")]
        let set = set.or_else(|| {
            node.cluster
                .kubernetes()
                .map(|kubernetes| kubernetes.pods_on(node))
        });
        set.unwrap_or_else(|| default_pods(node))
    }
}

/// The pods that Talos and flannel bring to every node, once there is Kubernetes.
fn default_pods(node: &Node) -> Vec<SimPod> {
    let hostname = &node.identity.hostname;
    let mut pods = Vec::new();
    if node.in_maintenance() || !*node.cluster.bootstrapped.borrow() {
        return pods;
    }
    let suffix = |name: &str| SimRng::new(0).fork(hostname).fork(name).hex(5);
    for (name, container, image) in [
        (
            "kube-flannel",
            "kube-flannel",
            "ghcr.io/siderolabs/flannel:v0.27.4",
        ),
        ("kube-proxy", "kube-proxy", "registry.k8s.io/kube-proxy:v1.36.0"),
    ] {
        let name = format!("{name}-{}", suffix(name));
        pods.push(
            SimPod::new("kube-system", name)
                .container(container, image)
                .on_host_network(),
        );
    }
    if node.machine_role() == Some(MachineRole::ControlPlane) {
        for name in ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            let image = format!("registry.k8s.io/{name}:v1.36.0");
            let pod = SimPod::new("kube-system", format!("{name}-{hostname}"));
            pods.push(pod.container(name, image).on_host_network());
        }
        let coredns = SimPod::new("kube-system", format!("coredns-7859998f6-{}", suffix("coredns")));
        pods.push(coredns.container("coredns", "registry.k8s.io/coredns/coredns:v1.13.1"));
    }
    pods
}

impl Node {
    /// All containers of a namespace, sorted by id.
    pub(crate) fn containers(&self, namespace: &str) -> Vec<Container> {
        let mut containers = match namespace {
            SYSTEM => [self.service_containers(), self.running_debug_containers()].concat(),
            K8S => self.pod_containers(),
            _ => Vec::new(),
        };
        containers.sort_by(|one, other| one.id.cmp(&other.id));
        containers
    }

    fn service_containers(&self) -> Vec<Container> {
        let images = [
            ("apid", "talos/apid"),
            ("etcd", "registry.k8s.io/etcd:v3.7.1"),
            ("kubelet", "ghcr.io/siderolabs/kubelet:v1.36.0"),
            ("trustd", "talos/trustd"),
        ];
        let running = images
            .into_iter()
            .filter(|(id, _)| self.services.state(id) == Some(ServiceState::Running));
        let services = running.map(|(id, image)| Container {
            namespace: SYSTEM,
            id: id.to_owned(),
            uid: String::new(),
            internal_id: id.to_owned(),
            image: image.to_owned(),
            pid: self.service_pid(id),
            state: ContainerState::Running,
            sandbox: false,
            pod_id: String::new(),
            name: id.to_owned(),
            network_namespace: String::new(),
            command: id.to_owned(),
        });
        services.collect()
    }

    fn running_debug_containers(&self) -> Vec<Container> {
        let all = self.debug_containers.all().into_iter();
        let running = all.filter(|container| container.state == DebugContainerState::Running);
        let containers = running.map(|container| Container {
            namespace: SYSTEM,
            uid: String::new(),
            internal_id: container.id.clone(),
            image: container.image,
            pid: pid(&container.id),
            state: ContainerState::Running,
            sandbox: false,
            pod_id: String::new(),
            name: container.id.clone(),
            network_namespace: String::new(),
            command: container.args.first().cloned().unwrap_or_else(|| "sh".to_owned()),
            id: container.id,
        });
        containers.collect()
    }

    /// The process id of a service.
    pub(crate) fn service_pid(&self, id: &str) -> u32 {
        u32::try_from(self.services.pid(id)).unwrap_or(u32::MAX)
    }

    fn pod_containers(&self) -> Vec<Container> {
        let mut containers = Vec::new();
        for pod in self.pods.all(self).into_iter().filter(|pod| pod.ready) {
            let mut rng = SimRng::new(0).fork(&self.identity.hostname).fork(&pod.id());
            let uid = rng.uuid();
            let network_namespace = if pod.host_network {
                String::new()
            } else {
                format!("cni-{}", rng.uuid())
            };
            let sandbox = Container {
                namespace: K8S,
                id: pod.id(),
                uid: uid.clone(),
                internal_id: rng.hex(64),
                image: PAUSE.to_owned(),
                pid: pid(&pod.id()),
                state: ContainerState::Running,
                sandbox: true,
                pod_id: pod.id(),
                name: pod.name.clone(),
                network_namespace,
                command: "pause".to_owned(),
            };
            containers.extend(pod.containers.iter().map(|container| {
                let internal_id = rng
                    .fork(&format!("{} {}", container.name, container.restarts))
                    .hex(64);
                let id = format!("{}:{}:{}", pod.id(), container.name, &internal_id[..12]);
                let running = container.state == ContainerState::Running;
                Container {
                    namespace: K8S,
                    uid: uid.clone(),
                    image: container.image.clone(),
                    pid: if running { pid(&id) } else { 0 },
                    id,
                    internal_id,
                    state: container.state,
                    sandbox: false,
                    pod_id: pod.id(),
                    name: container.name.clone(),
                    network_namespace: sandbox.network_namespace.clone(),
                    command: container.name.clone(),
                }
            }));
            containers.push(sandbox);
        }
        containers
    }

    /// Ends a container, so that whoever looks after it starts another in its place. `None` if there is none
    /// of that id.
    pub(crate) fn restart_container(&self, namespace: &str, id: &str) -> Option<()> {
        let found = self
            .containers(namespace)
            .into_iter()
            .find(|container| container.id == id)?;
        if namespace == SYSTEM {
            // Nobody looks after a debug container.
            self.services.state(id)?;
            let ended =
                format!("Error running Containerd({id}), going to restart forever: signal: terminated");
            self.service_moves(id, ServiceState::Waiting, &ended);
            let started = services::started(id, self.services.new_pid(id));
            self.service_moves(id, ServiceState::Running, &started);
            self.service_checked(id, true, "");
            return Some(());
        }
        let mut pods = self.pods.all(self);
        let pod = pods.iter_mut().find(|pod| pod.id() == found.pod_id)?;
        let of_container = |container: &&mut SimContainer| found.sandbox || container.name == found.name;
        for container in pod.containers.iter_mut().filter(of_container) {
            container.restarts += 1;
            container.state = ContainerState::Running;
        }
        self.pods.set(pods);
        Some(())
    }

    /// The log of a container of Kubernetes, in the format of container runtimes.
    pub(crate) fn register_container_logs(&self) {
        for container in self.containers(K8S).iter().filter(|container| !container.sandbox) {
            if self.container_logs.get(&container.id).is_none() {
                let line = format!("starting {}", container.name);
                self.append_container_log(&container.id, &line);
            }
        }
    }

    /// Adds a line to the log of the container with `id`.
    pub(crate) fn append_container_log(&self, id: &str, line: &str) {
        let now = crate::clock::Moment::now().rfc3339_nanos();
        self.container_logs.append(id, &format!("{now} stdout F {line}"));
    }
}

/// A made-up process id of the program called `name`.
fn pid(name: &str) -> u32 {
    let draw = SimRng::new(0).fork(name).next_u64();
    2_000 + u32::try_from(draw % 60_000).unwrap_or_default()
}
