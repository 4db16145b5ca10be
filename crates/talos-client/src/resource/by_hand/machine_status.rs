//! What the machine does.

use talos_proto::definitions::runtime as proto;

pub use crate::resource::enums::MachineStage;
use crate::resource::{DecodeError, RawSpec, Resource, convert, runtime::UnmetCondition};

/// Where the machine is in its life, and whether all is well.
///
/// `MachineStatuses.runtime.talos.dev`, id `machine`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct MachineStatus {
    /// What the machine does.
    pub stage: MachineStage,
    /// Whether nothing is amiss. Checked only while booting and running; true in every other stage.
    pub ready: bool,
    /// What is amiss, if it is not ready: conditions named `time`, `network`, `services`, `staticPods` or
    /// `nodeReady`, each with a reason in Talos' words such as `kubelet not healthy`.
    pub unmet_conditions: Vec<UnmetCondition>,
}

impl Resource for MachineStatus {
    const TYPE: &'static str = "MachineStatuses.runtime.talos.dev";
    const NAMESPACE: &'static str = "runtime";
    const DEFAULT_ID: Option<&'static str> = Some("machine");
    const SPELLED: bool = true;
    const SENSITIVE: bool = false;

    fn decode(spec: RawSpec) -> Result<Self, DecodeError> {
        let raw: proto::MachineStatusSpec = convert::decode(&spec.proto, None)?;
        let status = raw.status.unwrap_or_default();
        Ok(Self {
            stage: raw.stage.into(),
            ready: status.ready,
            unmet_conditions: convert::list(status.unmet_conditions, UnmetCondition::from_proto)?,
        })
    }
}
