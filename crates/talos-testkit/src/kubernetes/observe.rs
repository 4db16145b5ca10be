//! Nodes and pods as tests see them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::json::{flag, list, text, texts};
use super::kind::Key;
use super::objects::{condition, pod};

/// A node as it is right now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObservedNode {
    /// Name in Kubernetes, which is the hostname.
    pub name: String,
    /// Internal address.
    pub address: String,
    /// Status of the condition `Ready`: `True`, `False` or `Unknown`.
    pub ready: String,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Taints as `key=value:effect`, without the equals sign if there is no value.
    pub taints: Vec<String>,
}

/// A pod as it is right now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObservedPod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Unique identifier; a successor of the same name has another one.
    pub uid: String,
    /// Node, if it has one.
    pub node: Option<String>,
    /// `Pending`, `Running` or `Succeeded`.
    pub phase: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it has been evicted or deleted, and is about to end.
    pub terminating: bool,
    /// Kind and name of its owner.
    pub owner: Option<(String, String)>,
}

impl ObservedNode {
    pub(super) fn of(name: &str, object: &Value) -> Self {
        let owned = |pointer| {
            let entries = texts(object, pointer);
            entries
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect()
        };
        let taints = list(object, "/spec/taints").iter().map(|taint| {
            let (key, effect) = (text(taint, "/key"), text(taint, "/effect"));
            match text(taint, "/value") {
                "" => format!("{key}:{effect}"),
                value => format!("{key}={value}:{effect}"),
            }
        });
        Self {
            name: name.to_owned(),
            address: text(object, "/status/addresses/0/address").to_owned(),
            ready: condition(object, "Ready").to_owned(),
            unschedulable: flag(object, "/spec/unschedulable"),
            labels: owned("/metadata/labels"),
            annotations: owned("/metadata/annotations"),
            taints: taints.collect(),
        }
    }
}

impl ObservedPod {
    pub(super) fn of(key: &Key, object: &Value) -> Self {
        let owner = object.pointer("/metadata/ownerReferences/0");
        let node = text(object, "/spec/nodeName");
        Self {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: text(object, "/metadata/uid").to_owned(),
            node: (!node.is_empty()).then(|| node.to_owned()),
            phase: text(object, "/status/phase").to_owned(),
            ready: pod::is_ready(object),
            terminating: pod::is_terminating(object),
            owner: owner.map(|owner| (text(owner, "/kind").to_owned(), text(owner, "/name").to_owned())),
        }
    }
}
