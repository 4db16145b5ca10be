//! Which services there are, and what they say.

/// Services of a machine by what it is: those of every one, those of a control plane, those of a container.
const COMMON: [&str; 9] = [
    "machined",
    "udevd",
    "auditd",
    "syslogd",
    "containerd",
    "apid",
    "dashboard",
    "cri",
    "kubelet",
];
const IN_CONTAINER: [&str; 5] = ["machined", "containerd", "apid", "cri", "kubelet"];
const CONTROL_PLANE: [&str; 2] = ["trustd", "etcd"];

/// The services of a configured machine, in the order in which they start.
pub(crate) fn wanted(control_plane: bool, container: bool) -> Vec<&'static str> {
    let common = if container {
        IN_CONTAINER.as_slice()
    } else {
        COMMON.as_slice()
    };
    let extra = if control_plane {
        CONTROL_PLANE.as_slice()
    } else {
        &[]
    };
    common.iter().chain(extra).copied().collect()
}

/// The services of a machine that waits for its configuration, in the order in which they start.
pub(crate) fn early(container: bool) -> Vec<&'static str> {
    let mut early = wanted(false, container);
    early.retain(|id| !["cri", "kubelet"].contains(id));
    early
}

/// Whether the health of a service is looked at.
pub(super) fn has_check(id: &str) -> bool {
    id != "dashboard" && !id.starts_with("ext-")
}

pub(crate) fn waiting_for(id: &str) -> &'static str {
    match id {
        "etcd" => "Waiting for service \"cri\" to be \"up\", time sync, network, etcd spec",
        "kubelet" => "Waiting for service \"cri\" to be \"up\", time sync, network",
        "cri" => "Waiting for network",
        _ => "Waiting for service \"containerd\" to be \"up\"",
    }
}

/// The message of a service that now runs.
pub(crate) fn started(id: &str, pid: usize) -> String {
    match id {
        "etcd" | "kubelet" => format!("Started task {id} (PID {pid}) for container {id}"),
        "auditd" | "machined" | "syslogd" => "Service started as goroutine".to_owned(),
        _ => format!("Process Process([\"/sbin/{id}\"]) started with PID {pid}"),
    }
}

/// The message of a service that is being stopped; `pid` as when it started.
pub(crate) fn stopping(id: &str, pid: usize) -> String {
    match id {
        "etcd" | "kubelet" => format!("Sending SIGTERM to task {id} (PID {pid}, container {id})"),
        _ => format!("Sending SIGTERM to Process([\"/sbin/{id}\"])"),
    }
}
