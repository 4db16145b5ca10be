//! Nodes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::json::{drop_entry, flag, list, map, text};
use super::super::machine::MachineView;
use super::{condition, set_condition};
use crate::clock::Moment;
use crate::node::facts::KUBERNETES;
use crate::node::stats::KERNEL;

/// What Talos remembers its own cordon by.
pub(in crate::kubernetes) const CORDONED: &str = "talos.dev/cordoned";
/// What Talos remembers the labels of the configuration by.
const OWNED_LABELS: &str = "talos.dev/owned-labels";

const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// A node as its kubelet registers it.
pub(in crate::kubernetes) fn registered(machine: &MachineView, ordinal: usize) -> Value {
    let cidr = format!("10.244.{ordinal}.0/24");
    let mut labels = json!({
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": machine.name,
        "kubernetes.io/os": "linux",
    });
    let mut taints = Vec::new();
    if machine.control_plane {
        labels["node-role.kubernetes.io/control-plane"] = json!("");
    }
    for (key, value) in &machine.taints {
        // In configurations it is `value:effect`, or the effect alone.
        let (value, effect) = value.split_once(':').unwrap_or(("", value));
        let mut taint = json!({"key": key, "effect": effect});
        if !value.is_empty() {
            taint["value"] = json!(value);
        }
        taints.push(taint);
    }
    let mut spec = json!({"podCIDR": cidr, "podCIDRs": [cidr]});
    if !taints.is_empty() {
        spec["taints"] = json!(taints);
    }
    json!({
        "metadata": {
            "labels": labels,
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": spec,
        "status": {"conditions": []},
    })
}

/// Brings a node in line with its machine; `None` if there is none of its name any more.
pub(in crate::kubernetes) fn follow(node: &mut Value, machine: Option<&MachineView>) {
    let reporting = machine.filter(|machine| machine.kubelet);
    if let Some(machine) = reporting {
        report(node, machine);
        own_labels(node, machine);
        own_cordon(node, machine);
    } else {
        let gone = (
            "Unknown",
            "NodeStatusUnknown",
            "Kubelet stopped posting node status.",
        );
        for kind in ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"] {
            set_condition(node, kind, gone.0, gone.1, gone.2);
        }
    }
    follow_taints(node);
}

fn report(node: &mut Value, machine: &MachineView) {
    let quiet = [
        (
            "MemoryPressure",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        (
            "DiskPressure",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
        ),
        (
            "PIDPressure",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
        ),
    ];
    for (kind, reason, message) in quiet {
        set_condition(node, kind, "False", reason, message);
    }
    if machine.ready {
        set_condition(
            node,
            "Ready",
            "True",
            "KubeletReady",
            "kubelet is posting ready status",
        );
    } else {
        let message = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady";
        set_condition(node, "Ready", "False", "KubeletNotReady", message);
    }
    let room = json!({"cpu": "4", "ephemeral-storage": "10220Mi", "memory": "4Gi", "pods": "110"});
    let status = &mut node["status"];
    status["addresses"] = json!([
        {"type": "InternalIP", "address": machine.address},
        {"type": "Hostname", "address": machine.name},
    ]);
    status["capacity"] = room.clone();
    status["allocatable"] = room;
    status["daemonEndpoints"] = json!({"kubeletEndpoint": {"Port": 10_250}});
    status["nodeInfo"] = json!({
        "architecture": "amd64",
        "bootID": machine.boot_id,
        "containerRuntimeVersion": "containerd://2.2.1",
        "kernelVersion": KERNEL,
        "kubeProxyVersion": "",
        "kubeletVersion": format!("v{KUBERNETES}"),
        "machineID": machine.machine_id,
        "operatingSystem": "linux",
        "osImage": format!("Talos ({})", machine.tag),
        "systemUUID": machine.machine_id,
    });
}

/// Applies the labels of the configuration, and takes away those that it had once.
fn own_labels(node: &mut Value, machine: &MachineView) {
    let owned = text(node, "/metadata/annotations/talos.dev~1owned-labels");
    let owned: BTreeSet<String> = serde_json::from_str(owned).unwrap_or_default();
    let wanted: BTreeSet<String> = machine.labels.iter().map(|(key, _)| key.clone()).collect();
    let labels = map(&mut node["metadata"], "labels");
    for key in owned.difference(&wanted) {
        labels.remove(key);
    }
    for (key, value) in &machine.labels {
        labels.insert(key.clone(), json!(value));
    }
    if owned != wanted {
        let text = serde_json::to_string(&wanted).unwrap_or_default();
        map(&mut node["metadata"], "annotations").insert(OWNED_LABELS.to_owned(), json!(text));
    }
}

/// Ends the cordon of a machine that has come back, if the machine itself has made it; or makes one.
fn own_cordon(node: &mut Value, machine: &MachineView) {
    let own = node["metadata"]["annotations"].get(CORDONED).is_some();
    if machine.leaving && !own && !flag(node, "/spec/unschedulable") {
        node["spec"]["unschedulable"] = json!(true);
        map(&mut node["metadata"], "annotations").insert(CORDONED.to_owned(), json!("true"));
    } else if !machine.leaving && own {
        drop_entry(node, "spec", "unschedulable");
        drop_entry(&mut node["metadata"], "annotations", CORDONED);
    }
}

/// Sets the taints that follow from the rest.
fn follow_taints(node: &mut Value) {
    let ready = condition(node, "Ready").to_owned();
    let wanted = [
        (UNSCHEDULABLE, "NoSchedule", flag(node, "/spec/unschedulable")),
        (NOT_READY, "NoSchedule", ready == "False"),
        (NOT_READY, "NoExecute", ready == "False"),
        (UNREACHABLE, "NoSchedule", ready == "Unknown"),
        (UNREACHABLE, "NoExecute", ready == "Unknown"),
    ];
    let mut taints = list(node, "/spec/taints").to_vec();
    for (key, effect, present) in wanted {
        let is_it = |taint: &Value| text(taint, "/key") == key && text(taint, "/effect") == effect;
        match (taints.iter().position(is_it), present) {
            (None, true) => {
                taints.push(json!({"key": key, "effect": effect, "timeAdded": Moment::now().rfc3339()}));
            }
            (Some(index), false) => {
                taints.remove(index);
            }
            _ => {}
        }
    }
    if taints.is_empty() {
        map(node, "spec").remove("taints");
    } else {
        node["spec"]["taints"] = json!(taints);
    }
}

/// Whether the scheduler may put a pod there that tolerates the taint of control planes, or nothing.
pub(in crate::kubernetes) fn takes_pods(node: &Value, on_control_planes: bool) -> bool {
    let bad = |taint: &Value| {
        let own = text(taint, "/key") == "node-role.kubernetes.io/control-plane" && on_control_planes;
        !own && text(taint, "/effect") != "PreferNoSchedule"
    };
    condition(node, "Ready") == "True"
        && !flag(node, "/spec/unschedulable")
        && !list(node, "/spec/taints").iter().any(bad)
}
