//! Pods.

use serde_json::{Value, json};

use super::super::spec::{KubePod, Tolerates};
use super::{condition, set_condition};
use crate::clock::Moment;
use crate::rng::SimRng;

/// What owns a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kubernetes) struct OwnerRef {
    pub(in crate::kubernetes) api_version: &'static str,
    pub(in crate::kubernetes) kind: &'static str,
    pub(in crate::kubernetes) name: String,
    pub(in crate::kubernetes) uid: String,
}

/// A pod that nothing has happened to yet.
pub(in crate::kubernetes) fn new(pod: &KubePod, owner: Option<&OwnerRef>) -> Value {
    let (container, image) = &pod.container;
    let mut object = json!({
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "spec": {
            "containers": [{
                "name": container,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }],
            "dnsPolicy": "ClusterFirst",
            "enableServiceLinks": true,
            "restartPolicy": if owner.is_some_and(|owner| owner.kind == "Job") { "Never" } else { "Always" },
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "serviceAccountName": "default",
            "terminationGracePeriodSeconds": 30,
        },
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    });
    for (key, entries) in [("labels", &pod.labels), ("annotations", &pod.annotations)] {
        if !entries.is_empty() {
            object["metadata"][key] = json!(entries);
        }
    }
    if let Some(owner) = owner {
        object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": owner.api_version,
            "kind": owner.kind,
            "name": owner.name,
            "uid": owner.uid,
            "controller": true,
            "blockOwnerDeletion": owner.kind != "Node",
        }]);
    }
    let spec = &mut object["spec"];
    if pod.host_network {
        spec["hostNetwork"] = json!(true);
    }
    if pod.empty_dir {
        spec["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
        spec["containers"][0]["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    }
    match pod.tolerates {
        Tolerates::Nothing => {}
        Tolerates::ControlPlane => {
            spec["tolerations"] = json!([{
                "key": "node-role.kubernetes.io/control-plane",
                "operator": "Exists",
                "effect": "NoSchedule",
            }]);
        }
        Tolerates::Everything => spec["tolerations"] = json!([{"operator": "Exists"}]),
    }
    object
}

/// Nothing takes the pod.
pub(in crate::kubernetes) fn unschedulable(pod: &mut Value, nodes: usize) {
    let message = format!("0/{nodes} nodes are available: no node takes the pod.");
    set_condition(pod, "PodScheduled", "False", "Unschedulable", &message);
}

/// The pod goes to a node.
pub(in crate::kubernetes) fn bind(pod: &mut Value, node: &str) {
    pod["spec"]["nodeName"] = json!(node);
    set_condition(pod, "PodScheduled", "True", "", "");
}

/// The kubelet of its node starts the pod.
pub(in crate::kubernetes) fn start(pod: &mut Value, address: &str, finished: bool) {
    let now = Moment::now().rfc3339();
    let name = pod["spec"]["containers"][0]["name"].clone();
    let image = pod["spec"]["containers"][0]["image"].clone();
    let mut rng = SimRng::new(0).fork(pod["metadata"]["uid"].as_str().unwrap_or_default());
    let pod_address = if pod["spec"]["hostNetwork"] == json!(true) {
        address.to_owned()
    } else {
        format!("10.244.{}.{}", rng.one_to(250), rng.one_to(250))
    };
    let id = format!("containerd://{}", rng.hex(64));
    let state = if finished {
        json!({"terminated": {
            "exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now, "containerID": id,
        }})
    } else {
        json!({"running": {"startedAt": now}})
    };
    let status = &mut pod["status"];
    status["phase"] = json!(if finished { "Succeeded" } else { "Running" });
    status["startTime"] = json!(now);
    status["hostIP"] = json!(address);
    status["hostIPs"] = json!([{"ip": address}]);
    status["podIP"] = json!(pod_address);
    status["podIPs"] = json!([{"ip": pod_address}]);
    status["containerStatuses"] = json!([{
        "name": name,
        "image": image,
        "imageID": image,
        "containerID": id,
        "ready": false,
        "started": !finished,
        "restartCount": 0,
        "state": state,
        "lastState": {},
    }]);
    set_condition(pod, "PodReadyToStartContainers", "True", "", "");
    set_condition(pod, "Initialized", "True", "", "");
    set_ready(pod, false);
}

/// Lets the pod say whether it is ready.
pub(in crate::kubernetes) fn set_ready(pod: &mut Value, ready: bool) {
    let (status, reason) = match (ready, pod["status"]["phase"] == json!("Succeeded")) {
        (true, false) => ("True", ""),
        (_, true) => ("False", "PodCompleted"),
        (false, false) => ("False", "ContainersNotReady"),
    };
    for kind in ["ContainersReady", "Ready"] {
        set_condition(pod, kind, status, reason, "");
    }
    if pod["status"]["containerStatuses"].is_array() {
        pod["status"]["containerStatuses"][0]["ready"] = json!(status == "True");
    }
}

pub(in crate::kubernetes) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready") == "True"
}

/// Whether somebody has evicted or deleted the pod.
pub(in crate::kubernetes) fn is_terminating(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_string()
}

/// Whether it is over with the pod, well or not.
pub(in crate::kubernetes) fn is_finished(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// Lets the pod begin to end.
pub(in crate::kubernetes) fn terminate(pod: &mut Value, grace_seconds: u64) {
    // A year is as good as forever, and fits into a date.
    let grace_seconds = grace_seconds.min(31_536_000);
    let end = Moment::now().shifted(std::time::Duration::from_secs(grace_seconds), false);
    pod["metadata"]["deletionTimestamp"] = json!(end.rfc3339());
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace_seconds);
}
