//! Waiting for resources to be as they should.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{Object, Place, Resource, Resources, Store, WatchRequest};
use crate::error::{Error, ErrorKind, Origin, Result};

/// All resources of a type by id, at one moment.
pub type Snapshot<R> = BTreeMap<String, Arc<Object<R>>>;

/// Something to wait for with [`Resources::wait_for`]. There are ready-made ones in [`conditions`].
///
/// ```
/// # #[cfg(feature = "def-k8s")] {
/// use talos_client::resource::{Condition, k8s::NodeStatus};
///
/// let ready = Condition::new(|nodes| nodes.values().all(|node: &std::sync::Arc<_>| {
///     let node: &talos_client::resource::Object<NodeStatus> = node;
///     node.spec.node_ready
/// }));
/// # let _: Condition<NodeStatus> = ready;
/// # }
/// ```
#[must_use]
pub struct Condition<R> {
    id: Option<String>,
    holds: Box<Holds<R>>,
}

type Holds<R> = dyn Fn(&Snapshot<R>) -> bool + Send + Sync;

impl<R: Resource> Condition<R> {
    /// A condition on all resources of the type together.
    pub fn new(holds: impl Fn(&Snapshot<R>) -> bool + Send + Sync + 'static) -> Self {
        Self {
            id: None,
            holds: Box::new(holds),
        }
    }

    /// A condition on the resource with this id, which has to exist. Nothing else is asked for.
    pub fn of_one(id: impl Into<String>, holds: impl Fn(&Object<R>) -> bool + Send + Sync + 'static) -> Self {
        let id = id.into();
        let name = id.clone();
        Self {
            id: Some(id),
            holds: Box::new(move |all| all.get(&name).is_some_and(|found| holds(found))),
        }
    }

    /// That the resource with this id does not exist.
    pub fn gone(id: impl Into<String>) -> Self {
        Self {
            id: Some(id.into()),
            holds: Box::new(|all| all.is_empty()),
        }
    }
}

impl<R> fmt::Debug for Condition<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Resources<'_> {
    /// Waits until a condition holds, and answers what made it hold.
    ///
    /// It lives through lost connections and reboots of the node, and looks only at whole states. There is no
    /// limit on the time; put `tokio::time::timeout` around it.
    ///
    /// ```no_run
    /// # #[cfg(feature = "def-runtime")]
    /// # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
    /// use talos_client::resource::{conditions, runtime::MachineStage};
    ///
    /// node.resources().wait_for(conditions::machine_stage(MachineStage::Running)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`Watch`](super::Watch), when the watch ends. Resources that do not decode are passed over.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `cosi.resource.State/Watch` · talosctl get TYPE --watch · since Talos 1.7 or older · role
    /// os:reader, os:admin for sensitive types · read-only
    pub async fn wait_for<R: Resource>(&self, condition: Condition<R>) -> Result<Arc<Snapshot<R>>> {
        let target = self.target().clone();
        let place = Place::of::<R>();
        let request = match &condition.id {
            Some(id) => WatchRequest::<Object<R>>::one(target, place, id.clone()),
            None => WatchRequest::all(target, place),
        };
        let (store, mut reflector) = Store::new(request.start());
        let mut last = None;
        while let Some(event) = reflector.next_event().await {
            if let Err(error) = event {
                last = Some(error);
            }
            if store.is_ready() {
                let snapshot = store.snapshot();
                if (condition.holds)(&snapshot) {
                    return Ok(snapshot);
                }
            }
        }
        Err(last.unwrap_or_else(|| {
            Error::new(ErrorKind::Unavailable, Origin::Local).with_message("the watch has ended")
        }))
    }
}

/// Conditions that are often waited for.
pub mod conditions {
    #[allow(unused_imports, reason = "each needs its definitions")]
    use super::Condition;

    /// The machine is in this stage.
    #[cfg(feature = "def-runtime")]
    pub fn machine_stage(
        stage: crate::resource::runtime::MachineStage,
    ) -> Condition<crate::resource::runtime::MachineStatus> {
        use crate::resource::runtime::MachineStatus;

        Condition::of_one(
            "machine",
            move |status: &crate::resource::Object<MachineStatus>| status.spec.stage == stage,
        )
    }

    /// The machine runs, and nothing is amiss with it.
    #[cfg(feature = "def-runtime")]
    pub fn machine_ready() -> Condition<crate::resource::runtime::MachineStatus> {
        use crate::resource::runtime::{MachineStage, MachineStatus};

        Condition::of_one("machine", |status: &crate::resource::Object<MachineStatus>| {
            status.spec.stage == MachineStage::Running && status.spec.ready
        })
    }

    /// The service runs, and its health check, if it has one, succeeds.
    #[cfg(feature = "def-v1alpha1")]
    pub fn service_up(id: impl Into<String>) -> Condition<crate::resource::v1alpha1::Service> {
        use crate::resource::v1alpha1::Service;

        Condition::of_one(id, |service: &crate::resource::Object<Service>| {
            service.spec.running && (service.spec.healthy || service.spec.unknown)
        })
    }

    /// The volume, such as `EPHEMERAL`, can be used.
    #[cfg(feature = "def-block")]
    pub fn volume_ready(id: impl Into<String>) -> Condition<crate::resource::block::VolumeStatus> {
        use crate::resource::{block::VolumeStatus, enums::VolumePhase};

        Condition::of_one(id, |volume: &crate::resource::Object<VolumeStatus>| {
            volume.spec.phase == VolumePhase::Ready
        })
    }

    /// The node has this hostname.
    #[cfg(feature = "def-network")]
    pub fn hostname(name: impl Into<String>) -> Condition<crate::resource::network::HostnameStatus> {
        use crate::resource::network::HostnameStatus;

        let name = name.into();
        Condition::of_one(
            "hostname",
            move |status: &crate::resource::Object<HostnameStatus>| status.spec.hostname == name,
        )
    }

    /// The node knows at least so many members of the cluster, itself included. Needs discovery.
    #[cfg(feature = "def-cluster")]
    pub fn members(count: usize) -> Condition<crate::resource::cluster::Member> {
        Condition::new(move |members| members.len() >= count)
    }
}
