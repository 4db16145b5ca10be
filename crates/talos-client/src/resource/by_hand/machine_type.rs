//! The role of the machine in its cluster.

use talos_proto::resource::config as proto;

use crate::resource::{DecodeError, RawSpec, Resource, convert, enums};

/// The role of the machine in its cluster.
///
/// `MachineTypes.config.talos.dev`, id `machine-type`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct MachineType {
    /// Control plane or worker.
    pub machine_type: enums::MachineType,
}

impl Resource for MachineType {
    const TYPE: &'static str = "MachineTypes.config.talos.dev";
    const NAMESPACE: &'static str = "config";
    const DEFAULT_ID: Option<&'static str> = Some("machine-type");
    const SPELLED: bool = true;
    const SENSITIVE: bool = false;

    fn decode(spec: RawSpec) -> Result<Self, DecodeError> {
        let raw: proto::MachineTypeSpec = convert::decode(&spec.proto, None)?;
        Ok(Self {
            machine_type: raw.machine_type.into(),
        })
    }
}
