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
//! There is a type for everything that a Talos node registers, in one module for each feature `def-…`.
//! [`Resources::dynamic`] reads types by name or alias, as `talosctl get` does.
//!
//! # Watching
//!
//! [`Resources::watch`] follows all resources of a type, [`Resources::watch_one`] a single one. A [`Watch`]
//! survives lost connections, reboots of the node and its own slowness, and says when what it told before is
//! void. A [`Store`] keeps what a watch told, and [`Resources::wait_for`] waits for a [`Condition`].
//!
//! # Writing
//!
//! Talos refuses every write to its resources; change the machine configuration instead. For other servers
//! of the same API there is [`Client::state`](crate::Client::state).

mod by_hand;
mod columns;
mod condition;
#[allow(dead_code, reason = "builds with few definitions need few conversions")]
mod convert;
mod definitions;
mod error;
// The one place here where lints are relaxed: generated code follows the taste of its generator.
#[rustfmt::skip]
#[allow(dead_code, unused_imports, unreachable_pub, deprecated, reason = "generated code")]
#[allow(clippy::all, clippy::use_self, clippy::or_fun_call, rustdoc::all, reason = "generated code")]
mod generated;
mod list;
mod many;
mod mend;
pub mod meta;
mod metadata;
mod object;
mod query;
mod state;
mod store;
pub mod value;
mod watch;

use talos_proto::{
    cosi::resource::{GetRequest, state_client::StateClient},
    methods::cosi::resource::state as methods,
};
use talos_transport::{Channel, MAX_MESSAGE_SIZE};

pub use condition::{Condition, Snapshot, conditions};
pub use definitions::{Definition, Definitions, DynamicResources};
pub use error::DecodeError;
#[doc(inline)]
pub use generated::*;
pub use list::{ListRequest, ListStream};
pub use many::{ManyNodes, ManyWatch};
pub use metadata::{Metadata, Phase};
pub use object::{DynamicObject, Item, Object, RawSpec, Resource, Visitor};
pub use query::Labels;
pub use state::{Conflict, NewResource, StateResources};
pub use store::{Reflector, Store, StoreEvent};
pub use watch::{Watch, WatchEvent, WatchRequest};

use self::meta::ResourceDefinition;
use crate::{
    Node,
    call::{CallInfo, Target},
    error::{Error, ErrorKind, Origin, Result},
};

/// Where resources of a type live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) namespace: String,
    pub(crate) kind: String,
    /// Whether the type is spelled as nodes spell it.
    pub(crate) spelled: bool,
}

impl Place {
    fn of<R: Resource>() -> Self {
        Self {
            namespace: R::NAMESPACE.to_owned(),
            kind: R::TYPE.to_owned(),
            spelled: R::SPELLED,
        }
    }
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
    pub(crate) fn state(&self) -> StateClient<Channel> {
        StateClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }

    /// Reads one resource.
    async fn get_resource<T: Item>(&self, place: Place, id: String) -> Result<T> {
        self.check_spelling(&place).await?;
        self.read_resource(place, id).await
    }

    /// Sees to it that a type in another case is an error: to nodes it is a type without any resources.
    pub(crate) async fn check_spelling(&self, place: &Place) -> Result<()> {
        if place.spelled {
            return Ok(());
        }
        let definitions = Place::of::<ResourceDefinition>();
        let definition =
            self.read_resource::<Object<ResourceDefinition>>(definitions, place.kind.to_lowercase());
        match definition.await {
            Ok(definition) if definition.spec.resource_type != place.kind => {
                let name = definition.spec.resource_type;
                Err(
                    Error::new(ErrorKind::InvalidInput, Origin::Local).with_message(format!(
                        "there is no type {:?}, it is called {name:?}",
                        place.kind
                    )),
                )
            }
            // Whatever is wrong shows in the call itself. Servers other than nodes have no definitions.
            _ => Ok(()),
        }
    }

    async fn read_resource<T: Item>(&self, place: Place, id: String) -> Result<T> {
        let request = GetRequest {
            namespace: place.namespace,
            r#type: place.kind,
            id,
            options: None,
        };
        let (reply, call) = self
            .call(&methods::GET, request, |request| async {
                self.state().get(request).await
            })
            .await?;
        object::read(reply.resource).map_err(|broken| call.broken(broken))
    }
}

impl CallInfo {
    /// The error about a resource that cannot be used.
    fn broken(&self, broken: object::Broken) -> Error {
        let error = self.malformed(broken.what);
        match broken.source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }
}

fn default_id<R: Resource>() -> Result<&'static str> {
    R::DEFAULT_ID.ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, Origin::Local)
            .with_message(format!("{} has no default id, name one", R::TYPE))
    })
}

impl<'a> Resources<'a> {
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
        self.get_by_id(default_id::<R>()?).await
    }

    /// The resource of this type with this id.
    ///
    /// # Errors
    ///
    /// `NotFound` where it does not exist, `InvalidInput` for a type of your own whose name is in another case than on the
    /// node, `PermissionDenied` for a sensitive type without `os:admin` and
    /// for a type that the node does not have, `Malformed` for a spec that does not decode, and every
    /// [`ErrorKind`] of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `cosi.resource.State/Get` · talosctl get TYPE ID · since Talos 1.7 or older · role
    /// os:reader, os:admin for sensitive types · read-only
    pub async fn get_by_id<R: Resource>(&self, id: impl Into<String>) -> Result<Object<R>> {
        self.target().get_resource(Place::of::<R>(), id.into()).await
    }

    /// The resources of this type. Await it for all, or narrow it down and stream it before.
    ///
    /// ```no_run
    /// # #[cfg(feature = "def-block")]
    /// # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
    /// use talos_client::resource::block::Disk;
    ///
    /// for disk in node.resources().list::<Disk>().ids_matching("^sd").await? {
    ///     println!("{}: {}", disk.metadata.id, disk.spec.pretty_size);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Upstream: `cosi.resource.State/List` · talosctl get TYPE · since Talos 1.7 or older · role os:reader,
    /// os:admin for sensitive types · read-only
    pub fn list<R: Resource>(&self) -> ListRequest<Object<R>> {
        ListRequest::new(self.target().clone(), Place::of::<R>())
    }

    /// All resources of this type, and what becomes of them.
    ///
    /// ```no_run
    /// # #[cfg(feature = "def-cluster")]
    /// # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
    /// use talos_client::resource::{WatchEvent, cluster::Member};
    ///
    /// let mut watch = node.resources().watch::<Member>().start();
    /// while let Some(event) = watch.next_event().await {
    ///     match event? {
    ///         WatchEvent::Created(member) => println!("{} is there", member.metadata.id),
    ///         WatchEvent::Restarted => println!("forget everything, here it comes again"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Upstream: `cosi.resource.State/Watch` · talosctl get TYPE --watch · since Talos 1.7 or older · role
    /// os:reader, os:admin for sensitive types · read-only
    pub fn watch<R: Resource>(&self) -> WatchRequest<Object<R>> {
        WatchRequest::all(self.target().clone(), Place::of::<R>())
    }

    /// One resource of this type, and what becomes of it.
    ///
    /// Upstream: `cosi.resource.State/Watch` · talosctl get TYPE ID --watch · since Talos 1.7 or older · role
    /// os:reader, os:admin for sensitive types · read-only
    pub fn watch_one<R: Resource>(&self, id: impl Into<String>) -> WatchRequest<Object<R>> {
        WatchRequest::one(self.target().clone(), Place::of::<R>(), id.into())
    }

    fn target(&self) -> &'a Target {
        self.node.target()
    }
}
