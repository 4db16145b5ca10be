//! What keeps pods running: DaemonSets, ReplicaSets with their Deployments, and owners that are not served.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::kind::{Key, Kind};
use super::super::spec::{KubePod, PodOwner};
use super::pod::OwnerRef;
use super::set_condition;

/// Something that wants pods.
#[derive(Debug, Clone)]
pub(in crate::kubernetes) struct Workload {
    pub(in crate::kubernetes) owner: PodOwner,
    pub(in crate::kubernetes) uid: String,
    pub(in crate::kubernetes) name: String,
    /// What its pods are made like.
    pub(in crate::kubernetes) template: KubePod,
    pub(in crate::kubernetes) place: Place,
    /// The Deployment that it belongs to.
    pub(in crate::kubernetes) deployment: Option<String>,
}

/// Which pods a workload wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kubernetes) enum Place {
    /// One on every node.
    EveryNode,
    /// One on each of these nodes.
    Nodes(BTreeSet<String>),
    /// So many, with made-up names.
    Anywhere(usize),
    /// One of each of these names.
    Named(BTreeSet<String>),
}

/// How many pods of a workload there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::kubernetes) struct Counts {
    pub(in crate::kubernetes) wanted: usize,
    pub(in crate::kubernetes) present: usize,
    pub(in crate::kubernetes) ready: usize,
}

impl Workload {
    pub(in crate::kubernetes) fn owner_ref(&self) -> OwnerRef {
        OwnerRef {
            api_version: self.owner.api_version(),
            kind: self.owner.kind(),
            name: self.name.clone(),
            uid: self.uid.clone(),
        }
    }

    /// How many pods it wants in a cluster of so many nodes.
    pub(in crate::kubernetes) fn wanted(&self, nodes: usize) -> usize {
        match &self.place {
            Place::EveryNode => nodes,
            Place::Nodes(nodes) => nodes.len(),
            Place::Anywhere(count) => *count,
            Place::Named(names) => names.len(),
        }
    }

    /// The objects that show it, as far as its kind is served.
    pub(in crate::kubernetes) fn keys(&self) -> Vec<Key> {
        let kind = match self.owner {
            PodOwner::DaemonSet => Kind::DaemonSet,
            PodOwner::ReplicaSet => Kind::ReplicaSet,
            PodOwner::Job | PodOwner::StatefulSet => return Vec::new(),
        };
        let namespace = &self.template.namespace;
        let mut keys = vec![Key::new(kind, namespace, &self.name)];
        if let Some(deployment) = &self.deployment {
            keys.push(Key::new(Kind::Deployment, namespace, deployment));
        }
        keys
    }

    /// Brings the object of this kind in line with the pods; `deployment` is the uid of the Deployment.
    pub(in crate::kubernetes) fn show(
        &self,
        kind: Kind,
        object: &mut Value,
        counts: Counts,
        deployment: Option<&str>,
    ) {
        let labels: &BTreeMap<String, String> = &self.template.labels;
        let (container, image) = &self.template.container;
        object["metadata"]["generation"] = json!(1);
        if !labels.is_empty() && object["metadata"]["labels"].is_null() {
            object["metadata"]["labels"] = json!(labels);
        }
        let mut template = json!({"metadata": {"labels": labels}, "spec": {
            "containers": [{"name": container, "image": image, "resources": {}}],
        }});
        if self.template.host_network {
            template["spec"]["hostNetwork"] = json!(true);
        }
        object["spec"]["selector"] = json!({"matchLabels": labels});
        object["spec"]["template"] = template;
        object["status"]["observedGeneration"] = json!(1);
        let Counts {
            wanted,
            present,
            ready,
        } = counts;
        match kind {
            Kind::DaemonSet => {
                object["metadata"]["uid"] = json!(self.uid);
                object["spec"]["updateStrategy"] =
                    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}});
                let status = &mut object["status"];
                status["desiredNumberScheduled"] = json!(wanted);
                status["currentNumberScheduled"] = json!(present);
                status["updatedNumberScheduled"] = json!(present);
                status["numberMisscheduled"] = json!(0);
                status["numberReady"] = json!(ready);
                status["numberAvailable"] = json!(ready);
                status["numberUnavailable"] = json!(wanted.saturating_sub(ready));
            }
            Kind::ReplicaSet => {
                object["metadata"]["uid"] = json!(self.uid);
                if let (Some(name), Some(uid)) = (&self.deployment, deployment) {
                    object["metadata"]["ownerReferences"] = json!([{
                        "apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": uid,
                        "controller": true, "blockOwnerDeletion": true,
                    }]);
                }
                object["spec"]["replicas"] = json!(wanted);
                let status = &mut object["status"];
                status["replicas"] = json!(present);
                status["fullyLabeledReplicas"] = json!(present);
                status["readyReplicas"] = json!(ready);
                status["availableReplicas"] = json!(ready);
            }
            Kind::Deployment => {
                object["spec"]["replicas"] = json!(wanted);
                let status = &mut object["status"];
                status["replicas"] = json!(present);
                status["updatedReplicas"] = json!(present);
                status["readyReplicas"] = json!(ready);
                status["availableReplicas"] = json!(ready);
                status["unavailableReplicas"] = json!(wanted.saturating_sub(ready));
                let (available, reason) = if ready == wanted {
                    ("True", "MinimumReplicasAvailable")
                } else {
                    ("False", "MinimumReplicasUnavailable")
                };
                set_condition(object, "Available", available, reason, "");
            }
            _ => {}
        }
    }
}
