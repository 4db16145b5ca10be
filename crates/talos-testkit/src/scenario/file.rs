//! The scenario file as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::ScenarioError;
use super::fault::FaultEntry;
use super::timeline::Entry;
use super::value::{NodeCounts, ProfileTag};
use crate::{MachineStage, ServiceState, SimClusterBuilder, SimNode};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct File {
    pub(super) cluster: ClusterEntry,
    #[serde(deserialize_with = "spanned_keys")]
    pub(super) nodes: Vec<(Spanned<String>, NodeEntry)>,
    pub(super) faults: Vec<FaultEntry>,
    pub(super) timeline: Vec<Entry>,
}

impl File {
    /// What can be wrong in a file that is laid out well.
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        self.faults.iter().try_for_each(FaultEntry::check)?;
        self.timeline.iter().try_for_each(Entry::check)
    }
}

/// The cluster as a whole.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ClusterEntry {
    name: Option<String>,
    domain: Option<String>,
    nodes: Option<NodeCounts>,
    profile: Option<ProfileTag>,
    seed: Option<u64>,
    cert_sans: Vec<String>,
    /// Whether all nodes begin without a configuration.
    maintenance: bool,
    bootstrapped: Option<bool>,
}

impl ClusterEntry {
    pub(super) fn apply(&self, mut builder: SimClusterBuilder) -> SimClusterBuilder {
        if let Some(name) = &self.name {
            builder = builder.cluster_name(name);
        }
        if let Some(domain) = &self.domain {
            builder = builder.domain(domain);
        }
        if let Some(counts) = self.nodes {
            builder = builder
                .control_planes(counts.control_planes)
                .workers(counts.workers);
        }
        if let Some(ProfileTag(tag)) = &self.profile {
            builder = builder.talos_version(tag);
        }
        if let Some(seed) = self.seed {
            builder = builder.seed(seed);
        }
        if !self.cert_sans.is_empty() {
            builder = builder.cert_sans(&self.cert_sans);
        }
        if self.maintenance {
            builder = builder.maintenance(..);
        }
        if let Some(bootstrapped) = self.bootstrapped {
            builder = builder.bootstrapped(bootstrapped);
        }
        builder
    }
}

/// One node, as it is before anything happens.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NodeEntry {
    profile: Option<ProfileTag>,
    stage: Option<Stage>,
    services: BTreeMap<String, State>,
    log: BTreeMap<String, Vec<String>>,
    files: BTreeMap<String, String>,
    down: bool,
}

impl NodeEntry {
    pub(super) fn apply(&self, node: &SimNode) {
        if let Some(ProfileTag(tag)) = &self.profile {
            node.set_talos_version(tag);
        }
        for (service, State(state)) in &self.services {
            node.set_service_state(service, *state, "set by the scenario");
        }
        for (service, lines) in &self.log {
            for line in lines {
                node.append_log(service, line);
            }
        }
        for (path, contents) in &self.files {
            node.write_file(path, contents.clone());
        }
        if let Some(Stage(stage)) = self.stage {
            node.set_stage(stage);
        }
        if self.down {
            node.kill();
        }
    }
}

/// A stage of a machine, by the name that its resource shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage(pub(super) MachineStage);

impl<'de> Deserialize<'de> for Stage {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let stage = MachineStage::ALL.into_iter().find(|stage| stage.as_str() == name);
        stage.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("\"{name}\" is no stage of a machine, such as booting"))
        })
    }
}

/// A state of a service, by the name that `ServiceList` shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct State(pub(super) ServiceState);

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let state = ServiceState::ALL.into_iter().find(|state| state.as_str() == name);
        state.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("\"{name}\" is no state of a service, such as Failed"))
        })
    }
}

/// A mapping whose keys know where they are.
fn spanned_keys<'de, D, V>(deserializer: D) -> Result<Vec<(Spanned<String>, V)>, D::Error>
where
    D: serde::Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct Pairs<V>(std::marker::PhantomData<V>);

    impl<'de, V: Deserialize<'de>> serde::de::Visitor<'de> for Pairs<V> {
        type Value = Vec<(Spanned<String>, V)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a mapping of nodes")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }

    deserializer.deserialize_map(Pairs(std::marker::PhantomData))
}
