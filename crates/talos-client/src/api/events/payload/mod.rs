//! What events say.

mod decode;

use std::fmt;

use bytes::Bytes;

use crate::api::machine::{ServiceHealth, ServiceState};

/// What an event says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventPayload {
    /// A sequence, such as `boot` or `reboot`, began, ended, or did not do so.
    Sequence(SequenceEvent),
    /// A phase of a sequence, by its name, began or ended.
    Phase {
        /// Such as `stopServices`.
        phase: String,
        /// Which of the two.
        action: PhaseAction,
    },
    /// A task of a phase, by its name, began or ended.
    Task {
        /// Such as `stopAllServices`.
        task: String,
        /// Which of the two.
        action: PhaseAction,
    },
    /// The state or health of a service changed.
    ServiceState(ServiceStateEvent),
    /// The machine configuration could not be had.
    ConfigLoadError {
        /// Why.
        error: String,
    },
    /// The machine configuration is not valid.
    ConfigValidationError {
        /// Why.
        error: String,
    },
    /// The host name or the addresses changed.
    Address {
        /// The host name.
        hostname: String,
        /// All addresses.
        addresses: Vec<String>,
    },
    /// The stage of the machine changed, or whether it is ready.
    MachineStatus(MachineStatusEvent),
    /// The machine is about to go down. Few clients live to see it.
    Restart(RestartCommand),
    /// An event that this library does not know, or that does not decode.
    Unknown {
        /// Full name of its type, such as `talos/runtime/machine.SequenceEvent`.
        type_url: String,
        /// Its contents.
        value: Bytes,
    },
}

/// A sequence began or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SequenceEvent {
    /// `boot`, `initialize`, `install`, `shutdown`, `upgrade`, `stageUpgrade`, `maintenanceUpgrade`, `reset`,
    /// `reboot` or `emergencyVolumeCleanup`.
    pub sequence: String,
    /// What became of it.
    pub action: SequenceAction,
    /// Why it failed, or did not begin.
    pub failure: Option<SequenceFailure>,
}

/// What became of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SequenceAction {
    /// Nothing; there is a [`SequenceFailure`].
    Noop,
    /// It began.
    Start,
    /// It ended.
    Stop,
    /// Something this library does not know, by its number.
    Other(i32),
}

/// What became of a phase or task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PhaseAction {
    /// It began.
    Start,
    /// It ended.
    Stop,
    /// Something this library does not know, by its number.
    Other(i32),
}

/// Why a sequence failed, or did not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SequenceFailure {
    /// Of what kind.
    pub kind: SequenceFailureKind,
    /// In Talos' words.
    pub message: String,
}

/// Of what kind the failure of a sequence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SequenceFailureKind {
    /// It failed. A reboot or shutdown that succeeds ends so, too.
    Fatal,
    /// Another one is running, so it did not begin. Such an event has no actor.
    Locked,
    /// Another one took its place.
    Cancelled,
    /// Something this library does not know, by its number.
    Other(i32),
}

/// The state or health of a service changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceStateEvent {
    /// Its id, such as `kubelet`.
    pub service: String,
    /// Its state now.
    pub state: ServiceState,
    /// What happened, in Talos' words.
    pub message: String,
    /// Its health now.
    pub health: ServiceHealth,
}

/// Where the machine is in its life, and whether all is well.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MachineStatusEvent {
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
    /// A stage this library does not know, by its number.
    Other(i32),
}

/// How a machine goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RestartCommand {
    /// By way of the firmware.
    Restart,
    /// Into another kernel.
    Kexec,
    /// Off.
    PowerOff,
    /// Halted.
    Halt,
    /// Something this library does not know, as the number that is given to the system call.
    Other(i64),
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
