//! Clock, volumes, captures and debug containers of a node.

use bytes::Bytes;

use crate::{DebugContainer, PacketCapture, SimArray, SimNode, SimVolumeGroup};

impl SimNode {
    /// Sets the time server that the node is configured with. Default: `time.cloudflare.com`.
    pub fn set_time_server(&self, server: impl Into<String>) {
        self.node().clock.set_server(server.into());
    }

    /// Sets how far time servers are ahead of the node's clock, in nanoseconds. Default: 0.
    pub fn set_time_offset(&self, nanos: i64) {
        self.node().clock.set_offset_nanos(nanos);
    }

    /// Lets time servers not answer, with what is said about it, or answer again. Default: they answer.
    pub fn set_time_failure(&self, failure: Option<&str>) {
        self.node().clock.set_failure(failure.map(str::to_owned));
    }

    /// Sets whether the node has set its clock. One that has not is not ready, and cannot be bootstrapped.
    /// Default: it has.
    pub fn set_time_in_sync(&self, in_sync: bool) {
        self.node().set_time_in_sync(in_sync);
    }

    /// Sets all volume groups of LVM, and the devices that are prepared for it and belong to none. Default:
    /// none.
    pub fn set_volume_groups(
        &self,
        groups: impl IntoIterator<Item = SimVolumeGroup>,
        free: impl IntoIterator<Item = impl Into<String>>,
    ) {
        let volumes = &self.node().logical_volumes;
        *volumes.groups.lock() = groups.into_iter().collect();
        *volumes.free.lock() = free.into_iter().map(Into::into).collect();
    }

    /// The volume groups as they are now.
    #[must_use]
    pub fn volume_groups(&self) -> Vec<SimVolumeGroup> {
        self.node().logical_volumes.groups.lock().clone()
    }

    /// Sets all arrays of disks. Default: none.
    pub fn set_arrays(&self, arrays: impl IntoIterator<Item = SimArray>) {
        *self.node().logical_volumes.arrays.lock() = arrays.into_iter().collect();
    }

    /// The arrays as they are now.
    #[must_use]
    pub fn arrays(&self) -> Vec<SimArray> {
        self.node().logical_volumes.arrays.lock().clone()
    }

    /// Packet captures that were started on the node, in order.
    #[must_use]
    pub fn packet_captures(&self) -> Vec<PacketCapture> {
        self.node().captures.all()
    }

    /// Lets a packet go over an interface: whoever captures there, and lets it through its filter, sees it.
    pub fn send_packet(&self, interface: &str, packet: impl Into<Bytes>) {
        self.node().captures.send(interface, packet.into());
    }

    /// Debug containers that were started on the node, in order, with what has become of them.
    #[must_use]
    pub fn debug_containers(&self) -> Vec<DebugContainer> {
        self.node().debug_containers.all()
    }
}
