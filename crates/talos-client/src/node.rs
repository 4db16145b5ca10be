//! One machine of a cluster.

use std::time::Duration;

use talos_transport::NodeName;

use crate::call::Target;

/// One machine of a cluster; made by [`Client::node`](crate::Client::node).
///
/// A handle is cheap to make and to clone. Every call goes to an endpoint and from there, by the `node`
/// metadata, to this machine. The methods stand with their areas, in [`api`](crate::api).
#[derive(Clone, Debug)]
pub struct Node {
    target: Target,
    name: NodeName,
}

impl Node {
    pub(crate) fn new(target: Target, name: NodeName) -> Self {
        Self { target, name }
    }

    /// The address or name this handle was made with.
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// The same machine, with another limit on the time of each unary call. Streams have no limit.
    ///
    /// Default: [`ClientBuilder::timeout`](crate::ClientBuilder::timeout).
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.target.timeout = timeout;
        self
    }

    #[cfg(any(feature = "machine", feature = "cosi"))]
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }
}
