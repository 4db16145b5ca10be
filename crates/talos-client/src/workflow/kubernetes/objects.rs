//! What is read of the objects of Kubernetes.
//!
//! The structs of k8s-openapi differ from one release of Kubernetes to the next, in what is optional for example, and the
//! program chooses the release: so these are ours. Only the metadata are theirs, which are the same in all of them.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::{Resource, core::ObjectMeta};
use serde::Deserialize;

macro_rules! object {
    ($name:ident, $plural:literal in $group:literal, $scope:ty, { $($field:ident: $type:ty),* }) => {
        #[derive(Clone, Debug, Default, Deserialize)]
        pub(in crate::workflow) struct $name {
            #[serde(default)]
            pub(in crate::workflow) metadata: ObjectMeta,
            $(#[serde(default)] pub(in crate::workflow) $field: $type,)*
        }

        impl Resource for $name {
            type DynamicType = ();
            type Scope = $scope;

            fn kind((): &()) -> Cow<'_, str> {
                stringify!($name).into()
            }

            fn group((): &()) -> Cow<'_, str> {
                $group.into()
            }

            fn version((): &()) -> Cow<'_, str> {
                "v1".into()
            }

            fn plural((): &()) -> Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

object!(Node, "nodes" in "", ClusterResourceScope, { spec: NodeSpec, status: NodeStatus });
object!(Pod, "pods" in "", NamespaceResourceScope, { spec: PodSpec, status: PodStatus });
object!(DaemonSet, "daemonsets" in "apps", NamespaceResourceScope, { spec: Workload, status: DaemonSetStatus });
object!(Deployment, "deployments" in "apps", NamespaceResourceScope, { spec: Workload });

/// Nothing of it is read.
#[derive(Clone, Debug, Default, Deserialize)]
pub(in crate::workflow) struct Ignored {}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::workflow) struct NodeSpec {
    unschedulable: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::workflow) struct NodeStatus {
    conditions: Option<Vec<Condition>>,
    addresses: Option<Vec<Address>>,
    node_info: Option<NodeInfo>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(in crate::workflow) struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Address {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct NodeInfo {
    #[serde(rename = "bootID")]
    boot_id: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::workflow) struct PodSpec {
    node_name: Option<String>,
    volumes: Option<Vec<Volume>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    empty_dir: Option<Ignored>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(in crate::workflow) struct PodStatus {
    phase: Option<String>,
    conditions: Option<Vec<Condition>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(in crate::workflow) struct Workload {
    pub(in crate::workflow) replicas: Option<u64>,
    selector: Option<Selector>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    match_labels: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::workflow) struct DaemonSetStatus {
    pub(in crate::workflow) desired_number_scheduled: Option<u64>,
}

impl Node {
    pub(in crate::workflow) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether no pods may come.
    pub(in crate::workflow) fn is_cordoned(&self) -> bool {
        self.spec.unschedulable.unwrap_or_default()
    }

    pub(super) fn has_annotation(&self, key: &str) -> bool {
        has_annotation(&self.metadata, key)
    }

    /// Whether it has this name, or this address inside the cluster.
    pub(in crate::workflow) fn is_called(&self, name: &str) -> bool {
        let mut addresses = self.status.addresses.iter().flatten();
        let inside = |address: &Address| matches!(address.kind.as_str(), "InternalIP" | "Hostname");
        self.name() == name || addresses.any(|address| inside(address) && address.address == name)
    }

    /// Why it is not ready. What Kubernetes shows of another boot of the machine than `boot` does not count.
    pub(in crate::workflow) fn not_ready(&self, boot: Option<&str>) -> Option<String> {
        let Some(ready) = ready(&self.status.conditions) else {
            return Some("it has not said yet whether it is ready".to_owned());
        };
        if ready.status != "True" {
            let reason = ready.reason.as_deref().unwrap_or("NotReady");
            let message = ready.message.as_deref().unwrap_or_default();
            return Some(format!("{reason}: {message}"));
        }
        let seen = self
            .status
            .node_info
            .as_ref()
            .and_then(|info| info.boot_id.as_deref());
        match (seen.filter(|seen| !seen.is_empty()), boot) {
            (Some(seen), Some(boot)) if seen != boot => {
                Some("Kubernetes still shows what was before the reboot".to_owned())
            }
            _ => None,
        }
    }
}

impl Pod {
    /// Without its namespace.
    pub(in crate::workflow) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    pub(in crate::workflow) fn node(&self) -> Option<&str> {
        self.spec.node_name.as_deref()
    }

    pub(in crate::workflow) fn label(&self, key: &str) -> Option<&str> {
        let labels = self.metadata.labels.as_ref()?;
        labels.get(key).map(String::as_str)
    }

    pub(in crate::workflow) fn is_ready(&self) -> bool {
        ready(&self.status.conditions).is_some_and(|ready| ready.status == "True")
    }

    pub(super) fn has_annotation(&self, key: &str) -> bool {
        has_annotation(&self.metadata, key)
    }

    /// Whether it is over with it, well or not.
    pub(super) fn is_finished(&self) -> bool {
        matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    /// The kind of what makes it again.
    pub(super) fn controller(&self) -> Option<&str> {
        let mut owners = self.metadata.owner_references.iter().flatten();
        let owner = owners.find(|owner| owner.controller == Some(true));
        owner.map(|owner| owner.kind.as_str())
    }

    pub(super) fn has_empty_dir(&self) -> bool {
        let mut volumes = self.spec.volumes.iter().flatten();
        volumes.any(|volume| volume.empty_dir.is_some())
    }
}

impl Workload {
    /// Selects its pods.
    pub(in crate::workflow) fn labels(&self) -> String {
        let labels = self
            .selector
            .as_ref()
            .and_then(|selector| selector.match_labels.as_ref());
        let labels = labels.into_iter().flatten();
        let labels: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
        labels.join(",")
    }
}

fn ready(conditions: &Option<Vec<Condition>>) -> Option<&Condition> {
    let mut conditions = conditions.iter().flatten();
    conditions.find(|condition| condition.kind == "Ready")
}

fn has_annotation(metadata: &ObjectMeta, key: &str) -> bool {
    let annotations = metadata.annotations.as_ref();
    annotations.is_some_and(|annotations| annotations.contains_key(key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_ready_when_it_says_so_after_this_boot() {
        let of = |status: &str, boot: &str| -> Node {
            let conditions = json!([
                {"type": "DiskPressure", "status": "False"},
                {"type": "Ready", "status": status, "reason": "KubeletNotReady", "message": "no network"},
            ]);
            let status = json!({"conditions": conditions, "nodeInfo": {"bootID": boot}});
            serde_json::from_value(json!({"metadata": {}, "status": status})).expect("a node")
        };
        assert_eq!(of("True", "b").not_ready(Some("b")), None);
        assert_eq!(of("True", "b").not_ready(None), None);
        assert_eq!(of("True", "").not_ready(Some("b")), None);
        let stale = of("True", "a").not_ready(Some("b")).expect("another boot");
        assert!(stale.contains("before the reboot"), "{stale}");
        let network = of("False", "b").not_ready(Some("b")).expect("not ready");
        assert_eq!(network, "KubeletNotReady: no network");
        assert!(Node::default().not_ready(None).is_some());
    }

    #[test]
    fn nodes_are_known_by_name_and_by_address_inside_the_cluster() {
        let addresses = json!([
            {"type": "InternalIP", "address": "10.5.0.2"},
            {"type": "ExternalIP", "address": "192.0.2.2"},
        ]);
        let node = json!({"metadata": {"name": "cp-1"}, "status": {"addresses": addresses}});
        let node: Node = serde_json::from_value(node).expect("a node");
        let known = ["cp-1", "10.5.0.2", "192.0.2.2", "cp"].map(|name| node.is_called(name));
        assert_eq!(known, [true, true, false, false]);
    }
}
