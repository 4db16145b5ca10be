//! Configuration of a network interface, from the machine configuration.

use std::fmt;

use talos_proto::resource::network as proto;

use crate::resource::{DecodeError, RawSpec, Resource, convert, value::Value};

/// Configuration of a network interface as the machine configuration has it, selectors resolved.
///
/// `DeviceConfigSpecs.net.talos.dev`; administrators only. `Debug` shows nothing of it.
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct DeviceConfigSpec {
    /// The configuration, in the form of the machine configuration.
    pub device: Value,
}

impl Resource for DeviceConfigSpec {
    const TYPE: &'static str = "DeviceConfigSpecs.net.talos.dev";
    const NAMESPACE: &'static str = "network";
    const DEFAULT_ID: Option<&'static str> = None;
    const SPELLED: bool = true;
    const SENSITIVE: bool = true;

    fn decode(spec: RawSpec) -> Result<Self, DecodeError> {
        let raw: proto::DeviceConfigSpecSpec = convert::decode(&spec.proto, None)?;
        let text = std::str::from_utf8(&raw.yaml_marshalled)
            .map_err(|_| DecodeError::text("the configuration is no UTF-8"))?;
        let value = Value::from_yaml(text).map_err(DecodeError::new)?;
        // With or without the key around it, as the YAML form of the spec has it.
        let device = value.get("device").cloned();
        Ok(Self {
            device: device.unwrap_or(value),
        })
    }
}

impl fmt::Debug for DeviceConfigSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceConfigSpec").finish_non_exhaustive()
    }
}
