//! A DNS server that the node asks.

use crate::resource::{DecodeError, RawSpec, Resource, value::Value};

/// A DNS server that the node asks on behalf of its workloads.
///
/// `DNSUpstreams.net.talos.dev`. Nodes send its spec as YAML only.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DnsUpstream {
    /// Whether it answers.
    pub healthy: bool,
    /// Address and port.
    pub address: String,
}

impl Resource for DnsUpstream {
    const TYPE: &'static str = "DNSUpstreams.net.talos.dev";
    const NAMESPACE: &'static str = "network";
    const DEFAULT_ID: Option<&'static str> = None;
    const SPELLED: bool = true;
    const SENSITIVE: bool = false;

    fn decode(spec: RawSpec) -> Result<Self, DecodeError> {
        let value = Value::from_yaml(&spec.yaml).map_err(DecodeError::new)?;
        let address = value.get("addr").and_then(Value::as_str);
        Ok(Self {
            healthy: value.get("healthy").and_then(Value::as_bool).unwrap_or_default(),
            address: address.unwrap_or_default().to_owned(),
        })
    }
}
