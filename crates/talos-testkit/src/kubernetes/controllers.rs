//! The controllers that make pods: the system's own, static ones, and those of workloads.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::json::text;
use super::kind::{Key, Kind};
use super::objects::pod::{self, OwnerRef};
use super::objects::workload::{Counts, Place, Workload};
use super::spec::{KubePod, PodOwner, Tolerates};
use super::state::{State, WorkloadId};
use crate::node::facts::KUBERNETES;

/// Replicas of coredns.
const COREDNS: usize = 2;
/// The namespace of what every cluster has.
const SYSTEM: &str = "kube-system";

/// A pod of the system.
fn system(name: &str, app: &str, image: &str, tolerates: Tolerates) -> KubePod {
    KubePod::new(SYSTEM, name)
        .label("k8s-app", app)
        .container(app, image)
        .tolerating(tolerates)
}

impl State {
    pub(super) fn ensure_namespace(&mut self, name: &str) {
        let key = Key::new(Kind::Namespace, "", name);
        if self.store.get(&key).is_none() {
            let namespace = json!({
                "metadata": {"labels": {"kubernetes.io/metadata.name": name}},
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            });
            self.store.put(key, namespace);
        }
    }

    /// What Talos brings to a cluster when it is bootstrapped.
    pub(super) fn bring_system(&mut self) {
        let dns = (
            PodOwner::ReplicaSet,
            SYSTEM.to_owned(),
            "coredns-7859998f6".to_owned(),
        );
        if self.workloads.contains_key(&dns) {
            return;
        }
        for namespace in ["default", "kube-node-lease", "kube-public", SYSTEM] {
            self.ensure_namespace(namespace);
        }
        let proxy = format!("registry.k8s.io/kube-proxy:v{KUBERNETES}");
        for (name, image) in [
            ("kube-proxy", proxy.as_str()),
            ("kube-flannel", "ghcr.io/siderolabs/flannel:v0.27.4"),
        ] {
            let app = if name == "kube-flannel" { "flannel" } else { name };
            let mut template = system("", app, image, Tolerates::Everything).on_host_network();
            name.clone_into(&mut template.container.0);
            let id = (PodOwner::DaemonSet, SYSTEM.to_owned(), name.to_owned());
            self.add_workload(id, template, Place::EveryNode, None);
        }
        let image = "registry.k8s.io/coredns/coredns:v1.13.1";
        let mut template = system("", "kube-dns", image, Tolerates::ControlPlane);
        "coredns".clone_into(&mut template.container.0);
        self.add_workload(dns, template, Place::Anywhere(COREDNS), Some("coredns"));
    }

    fn add_workload(&mut self, id: WorkloadId, template: KubePod, place: Place, deployment: Option<&str>) {
        let workload = Workload {
            owner: id.0,
            uid: self.store.uid(),
            name: id.2.clone(),
            template,
            place,
            deployment: deployment.map(str::to_owned),
        };
        self.workloads.insert(id, workload);
    }

    /// Kubelets of control plane nodes mirror the static pods that they run, and forget others.
    pub(super) fn static_pods(&mut self) {
        let mut stale = Vec::new();
        for (key, object) in self.store.of(Kind::Pod) {
            if object["metadata"]["annotations"].get(MIRROR).is_none() {
                continue;
            }
            let on = text(object, "/spec/nodeName");
            let machine = self.machine(on).filter(|machine| machine.kubelet);
            let runs =
                |component: &str| machine.is_none_or(|machine| machine.components.contains(&component));
            let orphan = self.store.get(&Key::node(on)).is_none();
            if orphan || !runs(text(object, "/metadata/labels/k8s-app")) {
                stale.push(key.clone());
            }
        }
        for key in stale {
            self.store.remove(&key);
        }
        for index in 0..self.machines.len() {
            let machine = &self.machines[index];
            let node = self
                .store
                .get(&Key::node(&machine.name))
                .filter(|_| machine.kubelet);
            let Some(owner) = node.map(|node| OwnerRef {
                api_version: "v1",
                kind: "Node",
                name: machine.name.clone(),
                uid: text(node, "/metadata/uid").to_owned(),
            }) else {
                continue;
            };
            let address = machine.address.clone();
            for component in machine.components.clone() {
                let key = Key::pod(SYSTEM, format!("{component}-{}", owner.name));
                if self.store.get(&key).is_some() {
                    continue;
                }
                let spec = static_pod(component, &key.name);
                let mut object = pod::new(&spec, Some(&owner));
                object["spec"]["priorityClassName"] = json!("system-cluster-critical");
                pod::bind(&mut object, &owner.name);
                pod::start(&mut object, &address, false);
                self.store.put(key, object);
            }
        }
    }

    /// Makes the pods that workloads lack, and lets those go that they do not want.
    pub(super) fn fill_workloads(&mut self, now: Instant) {
        let nodes: Vec<String> = self
            .store
            .of(Kind::Node)
            .map(|(key, _)| key.name.clone())
            .collect();
        let ids: Vec<WorkloadId> = self.workloads.keys().cloned().collect();
        for id in ids {
            let present: Vec<(Key, String, bool)> = self
                .pods_of(&id)
                .map(|(key, object)| {
                    let over = pod::is_terminating(object) || pod::is_finished(object);
                    (key.clone(), text(object, "/spec/nodeName").to_owned(), over)
                })
                .collect();
            let Some(workload) = self.workloads.get(&id) else {
                continue;
            };
            let on_nodes = |wanted: &[String]| -> Vec<(Option<String>, Option<String>)> {
                let free = |node: &&String| !present.iter().any(|(_, on, _)| on == *node);
                wanted
                    .iter()
                    .filter(free)
                    .map(|node| (None, Some(node.clone())))
                    .collect()
            };
            let missing = match &workload.place {
                Place::EveryNode => on_nodes(&nodes),
                Place::Nodes(wanted) => {
                    let wanted: Vec<_> = wanted
                        .iter()
                        .filter(|node| nodes.contains(node))
                        .cloned()
                        .collect();
                    on_nodes(&wanted)
                }
                Place::Anywhere(count) => {
                    let running = present.iter().filter(|(_, _, over)| !over).count();
                    vec![(None, None); count.saturating_sub(running)]
                }
                Place::Named(names) => {
                    let free = |name: &&String| !present.iter().any(|(key, ..)| key.name == **name);
                    names
                        .iter()
                        .filter(free)
                        .map(|name| (Some(name.clone()), None))
                        .collect()
                }
            };
            let template = workload.template.clone();
            for (name, node) in missing {
                let name = name.unwrap_or_else(|| format!("{}-{}", id.2, self.store.suffix()));
                let mut spec = template.clone();
                spec.name.clone_from(&name);
                // The machine may not be there any more when the pod starts, so that its speed does not count.
                let pause = node.as_deref().and_then(|node| self.machine(node));
                let pause = pause
                    .or_else(|| self.machines.first())
                    .map_or(now, |machine| now + machine.timings.task);
                spec.node = node;
                self.create(Key::pod(&spec.namespace, name), Some(id.clone()), spec, pause);
            }
        }
    }

    /// The pods of a workload.
    fn pods_of(&self, id: &WorkloadId) -> impl Iterator<Item = (&Key, &Value)> {
        let keepers = self
            .pods
            .values()
            .filter(move |keeper| keeper.workload.as_ref() == Some(id));
        keepers.filter_map(|keeper| Some((&keeper.key, &**self.store.get(&keeper.key)?)))
    }

    /// Lets workloads say how many of their pods there are.
    pub(super) fn show_workloads(&mut self) {
        let nodes = self.store.of(Kind::Node).count();
        let ids: Vec<WorkloadId> = self.workloads.keys().cloned().collect();
        for id in ids {
            let mut counts = Counts::default();
            for (_, object) in self.pods_of(&id) {
                if pod::is_terminating(object) || pod::is_finished(object) {
                    continue;
                }
                counts.present += 1;
                counts.ready += usize::from(pod::is_ready(object));
            }
            let Some(workload) = self.workloads.get(&id).cloned() else {
                continue;
            };
            counts.wanted = workload.wanted(nodes);
            let mut deployment = None;
            // The Deployment comes last, and is there before what it owns.
            for key in workload.keys().into_iter().rev() {
                let before = self.store.get(&key).map(|object| Value::clone(object));
                let mut object = before.unwrap_or_else(|| json!({}));
                workload.show(key.kind, &mut object, counts, deployment.as_deref());
                let object = self.store.put(key, object);
                deployment = Some(text(&object, "/metadata/uid").to_owned());
            }
        }
    }
}

/// What tells a mirror of a static pod.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

/// A static pod as Talos describes it.
fn static_pod(component: &str, name: &str) -> KubePod {
    let image = format!("registry.k8s.io/{component}:v{KUBERNETES}");
    system(name, component, &image, Tolerates::Everything)
        .on_host_network()
        .label("tier", "control-plane")
        .label("component", component)
        .annotation(MIRROR, "0123456789abcdef0123456789abcdef")
        .annotation("kubernetes.io/config.source", "http")
        .annotation("talos.dev/config-version", "1")
        .annotation("talos.dev/secrets-version", "1")
}
