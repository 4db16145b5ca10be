//! Resources whose spec is not read field by field from protobuf.

#[cfg(feature = "def-network")]
pub(crate) mod device_config_spec;
#[cfg(feature = "def-network")]
pub(crate) mod dns_upstream;
#[cfg(feature = "def-config")]
pub(crate) mod machine_config;
#[cfg(feature = "def-runtime")]
pub(crate) mod machine_status;
#[cfg(feature = "def-config")]
pub(crate) mod machine_type;
