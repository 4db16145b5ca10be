//! Resources about the machine as a whole.

use std::{error::Error, fmt};

use bytes::Bytes;
use prost::Message;
use talos_proto::definitions::{enums::RuntimeMachineStage, runtime as proto};

use super::Resource;
use crate::error::Result;

/// Where the machine is in its life, and whether all is well.
///
/// `MachineStatuses.runtime.talos.dev`, id `machine`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MachineStatus {
    /// What the machine does.
    pub stage: MachineStage,
    /// Whether nothing is amiss. Checked only while booting and running; true in every other stage.
    pub ready: bool,
    /// What is amiss, if it is not ready.
    pub unmet_conditions: Vec<UnmetCondition>,
}

/// A reason for a machine not to be ready.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnmetCondition {
    /// `time`, `network`, `services`, `staticPods` or `nodeReady`.
    pub name: String,
    /// Talos' words for it, such as `kubelet not healthy`.
    pub reason: String,
}

/// What a machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are Talos' own")]
pub enum MachineStage {
    /// Too early to say.
    Unknown,
    Booting,
    Installing,
    /// Waits for a machine configuration.
    Maintenance,
    Running,
    Rebooting,
    ShuttingDown,
    Resetting,
    Upgrading,
    /// A stage this library does not know.
    Other(i32),
}

impl Resource for MachineStatus {
    const TYPE: &'static str = "MachineStatuses.runtime.talos.dev";
    const NAMESPACE: &'static str = "runtime";
    const DEFAULT_ID: Option<&'static str> = Some("machine");

    fn decode(spec: Bytes) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let raw = proto::MachineStatusSpec::decode(spec)?;
        let status = raw.status.unwrap_or_default();
        let condition = |raw: proto::UnmetCondition| UnmetCondition {
            name: raw.name,
            reason: raw.reason,
        };
        Ok(Self {
            stage: raw.stage.into(),
            ready: status.ready,
            unmet_conditions: status.unmet_conditions.into_iter().map(condition).collect(),
        })
    }
}

impl From<i32> for MachineStage {
    fn from(number: i32) -> Self {
        use RuntimeMachineStage as Wire;

        match Wire::try_from(number) {
            Ok(Wire::MachineStageUnknown) => Self::Unknown,
            Ok(Wire::MachineStageBooting) => Self::Booting,
            Ok(Wire::MachineStageInstalling) => Self::Installing,
            Ok(Wire::MachineStageMaintenance) => Self::Maintenance,
            Ok(Wire::MachineStageRunning) => Self::Running,
            Ok(Wire::MachineStageRebooting) => Self::Rebooting,
            Ok(Wire::MachineStageShuttingDown) => Self::ShuttingDown,
            Ok(Wire::MachineStageResetting) => Self::Resetting,
            Ok(Wire::MachineStageUpgrading) => Self::Upgrading,
            Err(_) => Self::Other(number),
        }
    }
}

impl fmt::Display for MachineStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unknown => "unknown",
            Self::Booting => "booting",
            Self::Installing => "installing",
            Self::Maintenance => "maintenance",
            Self::Running => "running",
            Self::Rebooting => "rebooting",
            Self::ShuttingDown => "shutting down",
            Self::Resetting => "resetting",
            Self::Upgrading => "upgrading",
            Self::Other(number) => return f.pad(&format!("stage {number}")),
        })
    }
}
