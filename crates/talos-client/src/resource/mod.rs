//! Resources: the declarative state of a node, behind its configuration, network, disks and services.
//!
//! A [`Resource`] is a Rust type for the spec of one type of resource; [`Object`] is such a spec together
//! with its [`Metadata`]. [`Node::resources`] reads them:
//!
//! ```no_run
//! # #[cfg(feature = "def-runtime")]
//! # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
//! use talos_client::resource::runtime::MachineStatus;
//!
//! let status = node.resources().get::<MachineStatus>().await?;
//! println!("{}: ready {}", status.spec.stage, status.spec.ready);
//! # Ok(())
//! # }
//! ```
//!
//! Talos refuses every write to its resources; change the machine configuration instead.

mod metadata;
#[cfg(feature = "def-runtime")]
pub mod runtime;

use std::error::Error as StdError;

use bytes::Bytes;
use talos_proto::{
    cosi::resource::{GetRequest, state_client::StateClient},
    methods::cosi::resource::state as methods,
};
use talos_transport::{Channel, MAX_MESSAGE_SIZE};

pub use metadata::{Metadata, Phase};

use crate::{Node, call::Target, error::Result};

/// The spec of one type of resource.
pub trait Resource: Sized {
    /// The full name of the type, in its canonical case, such as `MachineStatuses.runtime.talos.dev`.
    const TYPE: &'static str;
    /// The namespace in which resources of this type live.
    const NAMESPACE: &'static str;
    /// The id of the only resource of this type, where there is only one.
    const DEFAULT_ID: Option<&'static str>;

    /// Reads the spec from its protobuf form.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the bytes.
    fn decode(spec: Bytes) -> Result<Self, Box<dyn StdError + Send + Sync>>;
}

/// A resource: a spec, and what all resources have.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Object<R> {
    /// Identity, version, owner, labels.
    pub metadata: Metadata,
    /// The type's own content.
    pub spec: R,
}

/// Access to the resources of one node; made by [`Node::resources`].
#[derive(Clone, Debug)]
pub struct Resources<'a> {
    node: &'a Node,
}

impl Node {
    /// The resources of this node.
    pub fn resources(&self) -> Resources<'_> {
        Resources { node: self }
    }
}

impl Target {
    fn state(&self) -> StateClient<Channel> {
        StateClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }
}

impl Resources<'_> {
    /// The resource of this type with its default id.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a type without a default id, and as for [`Resources::get_by_id`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `cosi.resource.State/Get` · talosctl get TYPE · since Talos 1.7 or older · role os:reader,
    /// os:admin for sensitive types · read-only
    pub async fn get<R: Resource>(&self) -> Result<Object<R>> {
        let id = R::DEFAULT_ID.ok_or_else(|| {
            crate::Error::new(crate::ErrorKind::InvalidInput, crate::Origin::Local)
                .with_message(format!("{} has no default id, name one", R::TYPE))
        })?;
        self.get_by_id(id).await
    }

    /// The resource of this type with this id.
    ///
    /// # Errors
    ///
    /// `NotFound` where it does not exist, `PermissionDenied` for a sensitive type without `os:admin` and
    /// for a type that the node does not have, `Malformed` for a spec that does not decode, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `cosi.resource.State/Get` · talosctl get TYPE ID · since Talos 1.7 or older · role
    /// os:reader, os:admin for sensitive types · read-only
    pub async fn get_by_id<R: Resource>(&self, id: &str) -> Result<Object<R>> {
        let target = self.node.target();
        let request = GetRequest {
            namespace: R::NAMESPACE.to_owned(),
            r#type: R::TYPE.to_owned(),
            id: id.to_owned(),
            options: None,
        };
        let (reply, call) = target
            .call(&methods::GET, request, |request| async {
                target.state().get(request).await
            })
            .await?;
        let malformed = |what: &str| call.malformed(format!("{}/{id}: {what}", R::TYPE));
        let resource = reply
            .resource
            .ok_or_else(|| malformed("the reply has no resource"))?;
        let metadata = resource
            .metadata
            .ok_or_else(|| malformed("the resource has no metadata"))?;
        let spec = resource
            .spec
            .ok_or_else(|| malformed("the resource has no spec"))?;
        Ok(Object {
            metadata: metadata.into(),
            spec: R::decode(spec.proto_spec)
                .map_err(|error| malformed("the spec does not decode").with_source(error))?,
        })
    }
}
