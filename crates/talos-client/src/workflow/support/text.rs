//! Replies as text for people.

use std::{fmt::Write as _, time::SystemTime};

use crate::{
    api::{
        inspect::ControllerDependency,
        machine::{DiskStats, Mount, Process, ServiceInfo, Version},
    },
    resource::{DynamicObject, value::Value},
};

use super::redact::REDACTED;

pub(super) fn summary(version: &Version, hostname: Option<&str>) -> String {
    let lines = [
        ("hostname", hostname.unwrap_or("?").to_owned()),
        ("talos", version.tag().to_owned()),
        ("commit", version.sha().to_owned()),
        ("architecture", version.os_arch()),
        ("platform", version.platform().unwrap_or("?").to_owned()),
        ("mode", version.mode().unwrap_or("?").to_owned()),
    ];
    lines
        .iter()
        .map(|(key, value)| format!("{key}: {value}\n"))
        .collect()
}

pub(super) fn service(service: &ServiceInfo) -> String {
    let mut text = format!(
        "id: {}\nstate: {}\nhealth: {:?} {}\nevents:\n",
        service.id,
        service.state.as_str(),
        service.health,
        service.health_message
    );
    for event in &service.events {
        let at = event
            .at
            .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        let seconds = at.map_or(0, |at| at.as_secs());
        let _ = writeln!(text, "  {seconds} {} {}", event.state.as_str(), event.message);
    }
    text
}

pub(super) fn mounts(mounts: &[Mount]) -> String {
    let mut text = "SIZE\tUSED\tAVAILABLE\tSOURCE\tMOUNTED ON\n".to_owned();
    for mount in mounts {
        let (size, used, available) = (mount.size(), mount.used(), mount.available());
        let (source, place) = (mount.source(), mount.mounted_on());
        let _ = writeln!(text, "{size}\t{used}\t{available}\t{source}\t{place}");
    }
    text
}

pub(super) fn disks(stats: &DiskStats) -> String {
    let mut text = "DEVICE\tREADS\tREAD BYTES\tWRITES\tWRITTEN BYTES\tIN PROGRESS\tBUSY\n".to_owned();
    for disk in &stats.devices {
        let _ = writeln!(
            text,
            "{}\t{}\t{}\t{}\t{}\t{}\t{:?}",
            disk.name(),
            disk.reads(),
            disk.read_bytes(),
            disk.writes(),
            disk.written_bytes(),
            disk.in_progress(),
            disk.busy_time()
        );
    }
    text
}

pub(super) fn processes(processes: &[Process]) -> String {
    let mut text = "PID\tPARENT\tSTATE\tTHREADS\tCPU\tVIRTUAL\tRESIDENT\tCOMMAND\n".to_owned();
    for process in processes {
        let command = match process.args() {
            "" => process.command(),
            args => args,
        };
        let _ = writeln!(
            text,
            "{}\t{}\t{:?}\t{}\t{:?}\t{}\t{}\t{command}",
            process.pid(),
            process.parent_pid().unwrap_or(0),
            process.state(),
            process.threads(),
            process.cpu_time(),
            process.virtual_memory(),
            process.resident_memory(),
        );
    }
    text
}

/// A graph in the language of Graphviz.
pub(super) fn dependencies(edges: &[ControllerDependency]) -> String {
    let mut text = "digraph {\n".to_owned();
    for edge in edges {
        let resource = match &edge.id {
            Some(id) => format!("{}/{id}", edge.resource_type),
            None => edge.resource_type.clone(),
        };
        let _ = writeln!(
            text,
            "  {:?} -> {:?} [label={:?}];",
            edge.controller,
            resource,
            edge.kind.to_string()
        );
    }
    text.push_str("}\n");
    text
}

/// A resource as a YAML document.
pub(super) fn resource(object: &DynamicObject, sensitive: bool) -> String {
    let metadata = &object.metadata;
    let text = |text: &str| Value::String(text.to_owned());
    let labels = metadata
        .labels
        .iter()
        .map(|(key, value)| (key.clone(), text(value)));
    let phase = format!("{:?}", metadata.phase);
    let about = [
        ("namespace", text(&metadata.namespace)),
        ("type", text(&metadata.r#type)),
        ("id", text(&metadata.id)),
        ("version", text(&metadata.version)),
        ("owner", text(&metadata.owner)),
        ("phase", text(&phase)),
        ("labels", Value::Mapping(labels.collect())),
    ];
    let about = about.into_iter().map(|(key, value)| (key.to_owned(), value));
    let spec = if sensitive {
        text(REDACTED)
    } else {
        object
            .value()
            .unwrap_or_else(|error| Value::String(error.to_string()))
    };
    let document = Value::Mapping(vec![
        ("metadata".to_owned(), Value::Mapping(about.collect())),
        ("spec".to_owned(), spec),
    ]);
    match document.to_yaml() {
        Ok(yaml) => format!("---\n{}", *yaml),
        Err(error) => format!("---\n# {}: {error}\n", metadata.id),
    }
}

/// A name that is one part of a path on every system, whatever a node says.
pub(super) fn file_name(name: &str) -> String {
    let safe = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-');
    let name: String = name
        .chars()
        .map(|char| if safe(char) { char } else { '_' })
        .collect();
    if name.chars().all(|char| char == '.') {
        return "_".to_owned();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_their_folder() {
        for (name, expected) in [
            ("kubelet", "kubelet"),
            (
                "kube-system/coredns-1:coredns:abc",
                "kube-system_coredns-1_coredns_abc",
            ),
            ("../../etc/passwd", ".._.._etc_passwd"),
            ("..", "_"),
            ("", "_"),
            ("fd00::1", "fd00__1"),
            ("C:\\x", "C__x"),
        ] {
            assert_eq!(file_name(name), expected);
        }
    }
}
