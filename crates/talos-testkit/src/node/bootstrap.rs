//! The beginning of an etcd cluster.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Node;
use super::sequence::services;
use super::services::ServiceState;

impl Node {
    /// Whether the machine's etcd has data.
    pub(crate) fn has_etcd_data(&self) -> bool {
        self.etcd_data.load(Ordering::Relaxed)
    }

    /// Makes the machine's etcd the first member of a new cluster.
    pub(crate) async fn bootstrap_etcd(self: &Arc<Self>) {
        self.service_moves("etcd", ServiceState::Finished, "Bootstrap requested");
        self.etcd_data.store(true, Ordering::Relaxed);
        services::start(self, "etcd").await;
        self.cluster.bootstrapped.send_replace(true);
    }

    /// Removes the data of the machine's etcd.
    pub(super) fn wipe_etcd(&self) {
        self.etcd_data.store(false, Ordering::Relaxed);
    }

    /// Lets the node's etcd member leave its cluster.
    pub(super) async fn leave_etcd(&self) {
        self.etcd_data.store(false, Ordering::Relaxed);
    }
}
