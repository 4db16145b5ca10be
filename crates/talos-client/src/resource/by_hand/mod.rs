//! Resources whose spec is not read field by field from protobuf.

#[cfg(feature = "def-network")]
pub mod device_config_spec;
#[cfg(feature = "def-network")]
pub mod dns_upstream;
#[cfg(feature = "def-config")]
pub mod machine_config;
#[cfg(feature = "def-runtime")]
pub mod machine_status;
#[cfg(feature = "def-config")]
pub mod machine_type;
