//! One machine of a cluster.

use std::time::Duration;

use talos_transport::NodeName;

use crate::call::{CallOptions, Target};

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

    /// The node that this target is; `None` if it is none or several.
    #[cfg(feature = "workflows")]
    pub(crate) fn of_target(target: &Target) -> Option<Self> {
        let name = target.route.node()?.clone();
        Some(Self::new(target.clone(), name))
    }

    /// The address or name this handle was made with.
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// The same machine, with another limit on the time of each call, whatever its kind, streams included.
    ///
    /// Default: by kind of call, see [`Timeouts`](crate::Timeouts).
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        self.with_options(CallOptions::new().timeout(timeout))
    }

    /// The same machine, with these options for its calls. What they leave open is as it was.
    #[must_use]
    pub fn with_options(mut self, options: CallOptions) -> Self {
        self.target = self.target.with_options(options);
        self
    }

    #[cfg_attr(not(feature = "services"), allow(dead_code, reason = "for calls"))]
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }
}
