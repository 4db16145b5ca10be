//! What events say, as messages of the API.

use bytes::Bytes;
use prost::Message;
use talos_proto::common;
use talos_proto::machine::machine_status_event::machine_status::UnmetCondition;
use talos_proto::machine::machine_status_event::{MachineStage as Stage, MachineStatus};
use talos_proto::machine::{
    AddressEvent, MachineStatusEvent, PhaseEvent, RestartEvent, SequenceEvent, ServiceHealth,
    ServiceStateEvent, TaskEvent, phase_event, sequence_event, service_state_event, task_event,
};

use crate::node::resources::specs::MachineStage;
use crate::node::services::{Health, ServiceState};

/// Why a sequence did not start or did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SequenceFailure {
    Fatal(String),
    Locked,
    Canceled(String),
}

/// Beginning or end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    Start,
    Stop,
}

/// The contents of one event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Payload {
    /// Full name of the message.
    pub(crate) name: &'static str,
    pub(crate) value: Bytes,
}

impl Payload {
    fn new(name: &'static str, message: &impl Message) -> Self {
        Self {
            name,
            value: message.encode_to_vec().into(),
        }
    }

    pub(crate) fn sequence(sequence: &str, edge: Edge) -> Self {
        let action = match edge {
            Edge::Start => sequence_event::Action::Start,
            Edge::Stop => sequence_event::Action::Stop,
        };
        let message = SequenceEvent {
            sequence: sequence.to_owned(),
            action: action.into(),
            error: None,
        };
        Self::new("machine.SequenceEvent", &message)
    }

    pub(crate) fn sequence_failed(sequence: &str, failure: SequenceFailure) -> Self {
        let (code, message) = match failure {
            SequenceFailure::Fatal(text) => (common::Code::Fatal, text),
            SequenceFailure::Locked => (common::Code::Locked, "sequence not started: locked".to_owned()),
            SequenceFailure::Canceled(text) => (common::Code::Canceled, text),
        };
        let error = common::Error {
            code: code.into(),
            message,
            details: Vec::new(),
        };
        let message = SequenceEvent {
            sequence: sequence.to_owned(),
            action: sequence_event::Action::Noop.into(),
            error: Some(error),
        };
        Self::new("machine.SequenceEvent", &message)
    }

    pub(crate) fn phase(phase: &str, edge: Edge) -> Self {
        let action = match edge {
            Edge::Start => phase_event::Action::Start,
            Edge::Stop => phase_event::Action::Stop,
        };
        let message = PhaseEvent {
            phase: phase.to_owned(),
            action: action.into(),
        };
        Self::new("machine.PhaseEvent", &message)
    }

    pub(crate) fn task(task: &str, edge: Edge) -> Self {
        let action = match edge {
            Edge::Start => task_event::Action::Start,
            Edge::Stop => task_event::Action::Stop,
        };
        let message = TaskEvent {
            task: task.to_owned(),
            action: action.into(),
        };
        Self::new("machine.TaskEvent", &message)
    }

    pub(crate) fn service(id: &str, state: ServiceState, text: &str, health: &Health) -> Self {
        use service_state_event::Action;
        let action = match state {
            ServiceState::Initialized => Action::Initialized,
            ServiceState::Preparing => Action::Preparing,
            ServiceState::Waiting => Action::Waiting,
            ServiceState::Running => Action::Running,
            ServiceState::Stopping => Action::Stopping,
            ServiceState::Finished => Action::Finished,
            ServiceState::Failed => Action::Failed,
            ServiceState::Skipped => Action::Skipped,
            ServiceState::Starting => Action::Starting,
        };
        let message = ServiceStateEvent {
            service: id.to_owned(),
            action: action.into(),
            message: text.to_owned(),
            health: Some(ServiceHealth {
                unknown: health.unknown,
                healthy: health.healthy,
                last_message: health.last_message.clone(),
                last_change: Some(health.last_change.to_proto()),
            }),
        };
        Self::new("machine.ServiceStateEvent", &message)
    }

    pub(crate) fn restart(cmd: i64) -> Self {
        Self::new("machine.RestartEvent", &RestartEvent { cmd })
    }

    pub(crate) fn address(hostname: &str, addresses: Vec<String>) -> Self {
        let hostname = hostname.to_owned();
        Self::new("machine.AddressEvent", &AddressEvent { hostname, addresses })
    }

    /// `unmet` are names and reasons; none means ready.
    pub(crate) fn machine_status(stage: MachineStage, unmet: &[(&'static str, String)]) -> Self {
        let stage = match stage {
            MachineStage::Booting => Stage::Booting,
            MachineStage::Installing => Stage::Installing,
            MachineStage::Maintenance => Stage::Maintenance,
            MachineStage::Running => Stage::Running,
            MachineStage::Rebooting => Stage::Rebooting,
            MachineStage::ShuttingDown => Stage::ShuttingDown,
            MachineStage::Resetting => Stage::Resetting,
            MachineStage::Upgrading => Stage::Upgrading,
        };
        let unmet_conditions = unmet.iter().map(|(name, reason)| UnmetCondition {
            name: (*name).to_owned(),
            reason: reason.clone(),
        });
        let status = MachineStatus {
            ready: unmet.is_empty(),
            unmet_conditions: unmet_conditions.collect(),
        };
        let message = MachineStatusEvent {
            stage: stage.into(),
            status: Some(status),
        };
        Self::new("machine.MachineStatusEvent", &message)
    }
}
