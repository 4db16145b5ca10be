//! [`BuildError`].

use crate::endpoint::Endpoint;
#[cfg(feature = "proxy")]
use crate::tls::TlsError;

/// Why a channel cannot be built, or cannot have these endpoints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is nothing to connect to.
    #[error("at least one endpoint is needed")]
    NoEndpoint,
    /// A limit on time that nothing can keep.
    #[error("the timeout {setting:?} must not be zero")]
    ZeroTimeout {
        /// Name of the setting.
        setting: &'static str,
    },
    /// A network endpoint without TLS settings. Talos never speaks plaintext over the network.
    #[error("endpoint {endpoint} needs TLS settings")]
    NoTls {
        /// The first such endpoint.
        endpoint: Endpoint,
    },
    /// A password would travel in the clear.
    #[error("basic authentication is refused on {endpoint}, which is not encrypted")]
    BasicAuthWithoutTls {
        /// The first unencrypted endpoint.
        endpoint: Endpoint,
    },
    /// The name of a piece of metadata is not lower-case letters, digits, `_`, `-` and `.`, or it ends with `-bin`.
    #[error("{name:?} is not the name of a text metadata value")]
    MetadataName {
        /// The rejected name.
        name: String,
    },
    /// The name is one that gRPC, HTTP or the routing of calls uses for itself.
    #[error("metadata {name:?} is set by the channel itself")]
    ReservedMetadata {
        /// The rejected name.
        name: String,
    },
    /// TLS with an `https` proxy cannot be set up, for instance because there are no system roots.
    #[cfg(feature = "proxy")]
    #[error("TLS with the proxy {proxy} cannot be set up")]
    ProxyTls {
        /// The proxy, as `scheme://host:port`.
        proxy: String,
        /// What is wrong.
        #[source]
        source: TlsError,
    },
    /// A value contains something other than visible ASCII characters and spaces. The value is not shown.
    #[error("the value of {name:?} is not ASCII text")]
    MetadataValue {
        /// Name of the metadata.
        name: String,
    },
}
