//! The containers of a node: Talos' own services, and those of Kubernetes.

use talos_proto::{common::ContainerDriver, machine as proto, methods::machine::machine_service as methods};

use crate::{Node, error::Result};

/// Which containers of a node.
///
/// Talos wants a namespace of containerd and a driver, of which not every pair means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContainerScope {
    /// Talos' own services, such as `apid` and `etcd`.
    System,
    /// The pods of Kubernetes and their containers, as the CRI has them.
    Kubernetes,
}

impl ContainerScope {
    pub(crate) fn namespace(self) -> String {
        match self {
            Self::System => "system",
            Self::Kubernetes => "k8s.io",
        }
        .to_owned()
    }

    pub(crate) fn driver(self) -> ContainerDriver {
        match self {
            Self::System => ContainerDriver::Containerd,
            Self::Kubernetes => ContainerDriver::Cri,
        }
    }
}

/// A container, or the sandbox of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerInfo {
    raw: proto::ContainerInfo,
}

impl ContainerInfo {
    /// Its id, as [`Node::container_logs`] and [`Node::restart_container`] take it: the name of a service, the
    /// `namespace/pod` of a sandbox, or `namespace/pod:container:` and 12 characters.
    pub fn id(&self) -> &str {
        &self.raw.id
    }

    /// Its name within the pod, or that of the service.
    pub fn name(&self) -> &str {
        &self.raw.name
    }

    /// The pod, as `namespace/pod`; the container's own id outside Kubernetes.
    pub fn pod_id(&self) -> &str {
        &self.raw.pod_id
    }

    /// Whether this is the sandbox of a pod and not one of its containers.
    pub fn is_sandbox(&self) -> bool {
        self.raw.pod_id == self.raw.id && self.raw.id.contains('/')
    }

    /// Its image.
    pub fn image(&self) -> &str {
        &self.raw.image
    }

    /// Process id on the node; `None` if it does not run.
    pub fn pid(&self) -> Option<u32> {
        Some(self.raw.pid).filter(|pid| *pid != 0)
    }

    /// What it is doing, in the words of its runtime: `RUNNING`, `CONTAINER_EXITED`, `SANDBOX_READY`, …
    pub fn status(&self) -> &str {
        &self.raw.status
    }

    /// The message as it came.
    pub fn into_inner(self) -> proto::ContainerInfo {
        self.raw
    }
}

/// What a container uses.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerStats {
    raw: proto::Stat,
}

impl ContainerStats {
    /// Its id, as in [`ContainerInfo::id`].
    pub fn id(&self) -> &str {
        &self.raw.id
    }

    /// Its name within the pod, or that of the service.
    pub fn name(&self) -> &str {
        &self.raw.name
    }

    /// The pod, as `namespace/pod`; the container's own id outside Kubernetes.
    pub fn pod_id(&self) -> &str {
        &self.raw.pod_id
    }

    /// Memory in use, in bytes.
    pub fn memory_usage(&self) -> u64 {
        self.raw.memory_usage
    }

    /// Time on a CPU since it was started, in nanoseconds.
    pub fn cpu_usage(&self) -> u64 {
        self.raw.cpu_usage
    }

    /// The message as it came.
    pub fn into_inner(self) -> proto::Stat {
        self.raw
    }
}

impl Node {
    /// The containers of the node. Of Kubernetes, only pods whose sandbox is ready are listed.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/Containers` · talosctl containers · since Talos 1.7 or older · role
    /// os:reader · read-only
    pub async fn containers(&self, scope: ContainerScope) -> Result<Vec<ContainerInfo>> {
        let target = self.target();
        let message = proto::ContainersRequest {
            namespace: scope.namespace(),
            driver: scope.driver().into(),
        };
        let reply = target
            .single(&methods::CONTAINERS, message, |request| async {
                target.machine().containers(request).await
            })
            .await?;
        let info = |raw| ContainerInfo { raw };
        Ok(reply.containers.into_iter().map(info).collect())
    }

    /// What the containers of the node use.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/Stats` · talosctl stats · since Talos 1.7 or older · role os:reader ·
    /// read-only
    pub async fn container_stats(&self, scope: ContainerScope) -> Result<Vec<ContainerStats>> {
        let target = self.target();
        let message = proto::StatsRequest {
            namespace: scope.namespace(),
            driver: scope.driver().into(),
        };
        let reply = target
            .single(&methods::STATS, message, |request| async {
                target.machine().stats(request).await
            })
            .await?;
        let stats = |raw| ContainerStats { raw };
        Ok(reply.stats.into_iter().map(stats).collect())
    }

    /// Ends a container by SIGTERM, so that who supervises it starts it again.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty id, `Unknown` with `container "…" not found`, and every [`ErrorKind`](crate::ErrorKind) of a
    /// call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call; the container may be ended all the same.
    ///
    /// Upstream: `machine.MachineService/Restart` · talosctl restart · since Talos 1.7 or older · role
    /// os:operator · unsafe
    pub async fn restart_container(&self, scope: ContainerScope, id: impl Into<String>) -> Result<()> {
        let target = self.target();
        let method = &methods::RESTART;
        let message = proto::RestartRequest {
            namespace: scope.namespace(),
            id: id.into(),
            driver: scope.driver().into(),
        };
        if message.id.is_empty() {
            return Err(target.invalid_input(method, "the container's id is empty"));
        }
        target
            .ack(method, message, |request| async {
                target.machine().restart(request).await
            })
            .await
    }

    /// The services that have a log, sorted; [`Node::logs`] takes each of them.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/LogsContainers` · since Talos 1.7 or older · role os:reader · read-only
    pub async fn logs_containers(&self) -> Result<Vec<String>> {
        let target = self.target();
        let reply = target
            .single(&methods::LOGS_CONTAINERS, (), |request| async {
                target.machine().logs_containers(request).await
            })
            .await?;
        let mut ids = reply.ids;
        ids.sort_unstable();
        Ok(ids)
    }
}
