//! `inspect.InspectService`: how the controllers of a node depend on each other.

use talos_proto::{
    inspect::{self as proto, inspect_service_client::InspectServiceClient},
    methods::inspect::inspect_service as methods,
};
use talos_transport::{Channel, MAX_MESSAGE_SIZE};

use crate::{Node, api::wire::wire_enum, call::Target, error::Result};

wire_enum! {
    /// What a controller does with resources of a type.
    pub enum DependencyKind {
        /// Writes them, and nobody else does.
        OutputExclusive = 0 as "output_exclusive",
        /// Reads them, and may delay their removal.
        InputStrong = 1 as "input_strong",
        /// Reads them.
        InputWeak = 2 as "input_weak",
        /// Writes some of them; others write others.
        OutputShared = 3 as "output_shared",
        /// Is told when they can be removed.
        InputDestroyReady = 4 as "input_destroy_ready",
    }
}

/// One dependency of a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ControllerDependency {
    /// The controller.
    pub controller: String,
    /// What it does with the resources.
    pub kind: DependencyKind,
    /// Their namespace; `None` for what it writes.
    pub namespace: Option<String>,
    /// Their type, such as `LinkStatuses.net.talos.dev`.
    pub resource_type: String,
    /// The id of the only resource it looks at; `None` for all of the type.
    pub id: Option<String>,
}

impl From<proto::ControllerDependencyEdge> for ControllerDependency {
    fn from(raw: proto::ControllerDependencyEdge) -> Self {
        let present = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            controller: raw.controller_name,
            kind: DependencyKind::from_wire(raw.edge_type),
            namespace: present(raw.resource_namespace),
            resource_type: raw.resource_type,
            id: present(raw.resource_id),
        }
    }
}

impl Target {
    fn inspect(&self) -> InspectServiceClient<Channel> {
        InspectServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }
}

impl Node {
    /// Every dependency of every controller in the node, in the node's order.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `inspect.InspectService/ControllerRuntimeDependencies` · talosctl inspect dependencies · since Talos
    /// 1.7 or older · role os:reader · read-only
    pub async fn controller_dependencies(&self) -> Result<Vec<ControllerDependency>> {
        let target = self.target();
        let message = target
            .single(&methods::CONTROLLER_RUNTIME_DEPENDENCIES, (), |request| async {
                target.inspect().controller_runtime_dependencies(request).await
            })
            .await?;
        Ok(message.edges.into_iter().map(Into::into).collect())
    }
}
