//! Types of the fields of specs.

mod address;
mod secret;
mod time;
mod tree;
mod yaml;

pub use address::{HardwareAddress, IpPrefix, ParseIpPrefixError};
pub use secret::{CertificateAndKey, Expression, SecretBytes};
pub use time::TimeOffset;
pub use tree::Value;
pub use yaml::YamlError;
#[cfg(any(feature = "def-config", feature = "workflows"))]
pub(crate) use yaml::all;
