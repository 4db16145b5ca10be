//! From what the wire has.

use bytes::Bytes;
use prost::Message as _;
use prost_types::Any;
use talos_proto::{
    common::Code,
    machine::{
        self as proto, machine_status_event::MachineStage as WireStage,
        phase_event::Action as WirePhaseAction, sequence_event::Action as WireSequenceAction,
        service_state_event::Action as WireServiceAction, task_event::Action as WireTaskAction,
    },
};

use super::{
    EventPayload, MachineStage, MachineStatusEvent, PhaseAction, RestartCommand, SequenceAction,
    SequenceEvent, SequenceFailure, SequenceFailureKind, ServiceStateEvent, UnmetCondition,
};
use crate::api::machine::{ServiceHealth, ServiceState};

impl EventPayload {
    pub(in crate::api::events) fn of(data: Option<&Any>) -> Self {
        let empty = Any::default();
        let data = data.unwrap_or(&empty);
        Self::decode(&data.type_url, &data.value).unwrap_or_else(|| Self::Unknown {
            type_url: data.type_url.clone(),
            value: Bytes::copy_from_slice(&data.value),
        })
    }

    /// `None` for what is not known or does not decode.
    fn decode(type_url: &str, value: &[u8]) -> Option<Self> {
        Some(match type_url.strip_prefix(TYPE_PREFIX)? {
            "SequenceEvent" => {
                let raw = proto::SequenceEvent::decode(value).ok()?;
                Self::Sequence(SequenceEvent {
                    sequence: raw.sequence,
                    action: match WireSequenceAction::try_from(raw.action) {
                        Ok(WireSequenceAction::Noop) => SequenceAction::Noop,
                        Ok(WireSequenceAction::Start) => SequenceAction::Start,
                        Ok(WireSequenceAction::Stop) => SequenceAction::Stop,
                        Err(_) => SequenceAction::Other(raw.action),
                    },
                    failure: raw.error.map(|error| SequenceFailure {
                        kind: match Code::try_from(error.code) {
                            Ok(Code::Fatal) => SequenceFailureKind::Fatal,
                            Ok(Code::Locked) => SequenceFailureKind::Locked,
                            Ok(Code::Canceled) => SequenceFailureKind::Cancelled,
                            Err(_) => SequenceFailureKind::Other(error.code),
                        },
                        message: error.message,
                    }),
                })
            }
            "PhaseEvent" => {
                let raw = proto::PhaseEvent::decode(value).ok()?;
                Self::Phase {
                    phase: raw.phase,
                    action: match WirePhaseAction::try_from(raw.action) {
                        Ok(WirePhaseAction::Start) => PhaseAction::Start,
                        Ok(WirePhaseAction::Stop) => PhaseAction::Stop,
                        Err(_) => PhaseAction::Other(raw.action),
                    },
                }
            }
            "TaskEvent" => {
                let raw = proto::TaskEvent::decode(value).ok()?;
                Self::Task {
                    task: raw.task,
                    action: match WireTaskAction::try_from(raw.action) {
                        Ok(WireTaskAction::Start) => PhaseAction::Start,
                        Ok(WireTaskAction::Stop) => PhaseAction::Stop,
                        Err(_) => PhaseAction::Other(raw.action),
                    },
                }
            }
            "ServiceStateEvent" => {
                let raw = proto::ServiceStateEvent::decode(value).ok()?;
                Self::ServiceState(ServiceStateEvent {
                    service: raw.service,
                    state: service_state(raw.action),
                    message: raw.message,
                    health: match raw.health {
                        Some(health) if health.unknown => ServiceHealth::Unknown,
                        Some(health) if health.healthy => ServiceHealth::Healthy,
                        Some(_) => ServiceHealth::Unhealthy,
                        None => ServiceHealth::Unknown,
                    },
                })
            }
            "ConfigLoadErrorEvent" => {
                let raw = proto::ConfigLoadErrorEvent::decode(value).ok()?;
                Self::ConfigLoadError { error: raw.error }
            }
            "ConfigValidationErrorEvent" => {
                let raw = proto::ConfigValidationErrorEvent::decode(value).ok()?;
                Self::ConfigValidationError { error: raw.error }
            }
            "AddressEvent" => {
                let raw = proto::AddressEvent::decode(value).ok()?;
                Self::Address {
                    hostname: raw.hostname,
                    addresses: raw.addresses,
                }
            }
            "MachineStatusEvent" => {
                let raw = proto::MachineStatusEvent::decode(value).ok()?;
                let status = raw.status.unwrap_or_default();
                let conditions = status.unmet_conditions.into_iter();
                Self::MachineStatus(MachineStatusEvent {
                    stage: raw.stage.into(),
                    ready: status.ready,
                    unmet_conditions: conditions
                        .map(|raw| UnmetCondition {
                            name: raw.name,
                            reason: raw.reason,
                        })
                        .collect(),
                })
            }
            "RestartEvent" => {
                let raw = proto::RestartEvent::decode(value).ok()?;
                Self::Restart(raw.cmd.into())
            }
            _ => return None,
        })
    }
}

fn service_state(number: i32) -> ServiceState {
    match WireServiceAction::try_from(number) {
        Ok(WireServiceAction::Initialized) => ServiceState::Initialized,
        Ok(WireServiceAction::Preparing) => ServiceState::Preparing,
        Ok(WireServiceAction::Waiting) => ServiceState::Waiting,
        Ok(WireServiceAction::Running) => ServiceState::Running,
        Ok(WireServiceAction::Stopping) => ServiceState::Stopping,
        Ok(WireServiceAction::Finished) => ServiceState::Finished,
        Ok(WireServiceAction::Failed) => ServiceState::Failed,
        Ok(WireServiceAction::Skipped) => ServiceState::Skipped,
        Ok(WireServiceAction::Starting) => ServiceState::Starting,
        Err(_) => ServiceState::Other(number.to_string()),
    }
}

impl From<i32> for MachineStage {
    fn from(number: i32) -> Self {
        match WireStage::try_from(number) {
            Ok(WireStage::Unknown) => Self::Unknown,
            Ok(WireStage::Booting) => Self::Booting,
            Ok(WireStage::Installing) => Self::Installing,
            Ok(WireStage::Maintenance) => Self::Maintenance,
            Ok(WireStage::Running) => Self::Running,
            Ok(WireStage::Rebooting) => Self::Rebooting,
            Ok(WireStage::ShuttingDown) => Self::ShuttingDown,
            Ok(WireStage::Resetting) => Self::Resetting,
            Ok(WireStage::Upgrading) => Self::Upgrading,
            Err(_) => Self::Other(number),
        }
    }
}

/// The numbers are those of the system call `reboot`.
impl From<i64> for RestartCommand {
    fn from(command: i64) -> Self {
        match command {
            0x0123_4567 => Self::Restart,
            0x4558_4543 => Self::Kexec,
            0x4321_fedc => Self::PowerOff,
            0xcdef_0123 => Self::Halt,
            other => Self::Other(other),
        }
    }
}

/// Not that of well-known types.
const TYPE_PREFIX: &str = "talos/runtime/machine.";

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(name: &str, message: &impl prost::Message) -> EventPayload {
        EventPayload::of(Some(&Any {
            type_url: format!("talos/runtime/machine.{name}"),
            value: message.encode_to_vec(),
        }))
    }

    #[test]
    fn known_events_are_typed() {
        let locked = proto::SequenceEvent {
            sequence: "reset".to_owned(),
            action: 0,
            error: Some(talos_proto::common::Error {
                code: 1,
                message: "sequence not started: locked".to_owned(),
                details: Vec::new(),
            }),
        };
        let EventPayload::Sequence(event) = payload("SequenceEvent", &locked) else {
            panic!("a sequence");
        };
        assert_eq!(
            (event.sequence.as_str(), event.action),
            ("reset", SequenceAction::Noop)
        );
        assert_eq!(
            event.failure.expect("a failure").kind,
            SequenceFailureKind::Locked
        );
        let restart = proto::RestartEvent { cmd: 0x4321_fedc };
        assert_eq!(
            payload("RestartEvent", &restart),
            EventPayload::Restart(RestartCommand::PowerOff)
        );
        let task = proto::TaskEvent {
            task: "stopAllServices".to_owned(),
            action: 7,
        };
        assert_eq!(
            payload("TaskEvent", &task),
            EventPayload::Task {
                task: "stopAllServices".to_owned(),
                action: PhaseAction::Other(7)
            }
        );
        let status = proto::MachineStatusEvent {
            stage: 40,
            status: None,
        };
        let EventPayload::MachineStatus(status) = payload("MachineStatusEvent", &status) else {
            panic!("a status");
        };
        assert_eq!((status.stage, status.ready), (MachineStage::Other(40), false));
    }

    #[test]
    fn what_is_not_known_or_does_not_decode_is_kept() {
        for (type_url, value) in [
            ("talos/runtime/machine.FutureEvent", &b"\x0a\x01a"[..]),
            ("type.googleapis.com/machine.TaskEvent", b"\x0a\x01a"),
            ("talos/runtime/machine.TaskEvent", b"\xff"),
        ] {
            let payload = EventPayload::of(Some(&Any {
                type_url: type_url.to_owned(),
                value: value.to_vec(),
            }));
            assert_eq!(
                payload,
                EventPayload::Unknown {
                    type_url: type_url.to_owned(),
                    value: Bytes::copy_from_slice(value)
                }
            );
        }
    }
}
