//! Hardware of a node, and what runs on it.

use crate::{SimDisk, SimInterface, SimMount, SimNode, SimPod, SimProcess, SimProcessors, SimSocket};

impl SimNode {
    /// Sets the processors. Default: four of them, at 2 GHz.
    pub fn set_processors(&self, processors: SimProcessors) {
        *self.node().hardware.processors.lock() = Some(processors);
    }

    /// Sets all mounted file systems. Default: those of a node that was just installed, which follow its disks.
    pub fn set_mounts(&self, mounts: impl IntoIterator<Item = SimMount>) {
        *self.node().hardware.mounts.lock() = Some(mounts.into_iter().collect());
    }

    /// Sets all network interfaces. Default: `cni0`, `eth0`, `flannel.1` and `lo`, with counters that grow.
    pub fn set_interfaces(&self, interfaces: impl IntoIterator<Item = SimInterface>) {
        *self.node().hardware.interfaces.lock() = Some(interfaces.into_iter().collect());
    }

    /// Sets all sockets. Default: those that the node's services listen on, and a few connections.
    pub fn set_sockets(&self, sockets: impl IntoIterator<Item = SimSocket>) {
        *self.node().hardware.sockets.lock() = Some(sockets.into_iter().collect());
    }

    /// Sets all disks. Default: `vda` of 10 GiB with Talos on it, and `vdb` of 10 GiB with nothing on it.
    pub fn set_disks(&self, disks: impl IntoIterator<Item = SimDisk>) {
        self.node().set_disks(disks.into_iter().collect());
    }

    /// The disks as they are now, after what calls did to them.
    #[must_use]
    pub fn disks(&self) -> Vec<SimDisk> {
        self.node().disks()
    }

    /// Sets all processes, which `/proc` shows as well. Default: those of the kernel, of Talos, of its running
    /// services and of the containers.
    pub fn set_processes(&self, processes: impl IntoIterator<Item = SimProcess>) {
        *self.node().own_processes.lock() = Some(processes.into_iter().collect());
    }

    /// The processes as they are now.
    #[must_use]
    pub fn processes(&self) -> Vec<SimProcess> {
        self.node().processes()
    }

    /// Sets all pods. Default: those that Talos and flannel bring along.
    pub fn set_pods(&self, pods: impl IntoIterator<Item = SimPod>) {
        self.node().pods.set(pods.into_iter().collect());
    }

    /// Ids of the containers of all ready pods, sandboxes included: what calls name them by.
    #[must_use]
    pub fn pod_containers(&self) -> Vec<String> {
        let containers = self.node().containers("k8s.io").into_iter();
        containers.map(|container| container.id).collect()
    }

    /// Adds a line to the log of a pod's container, given by its id, with the current time in front.
    pub fn append_container_log(&self, id: &str, line: &str) {
        let node = self.node();
        node.register_container_logs();
        node.append_container_log(id, line);
    }
}
