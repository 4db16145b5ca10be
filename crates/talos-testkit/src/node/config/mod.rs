//! The configuration of a machine.

use std::sync::Arc;

use super::Node;
use super::power::ApiMode;

impl Node {
    /// The task that finds the configuration; the API of a configured machine is up when it ends.
    pub(super) async fn load_config(self: &Arc<Self>) {
        self.network_is_up();
        self.connect(ApiMode::Secure);
    }

    pub(super) fn needs_install(&self) -> bool {
        false
    }
}

impl Node {
    /// Lets the node's etcd member leave its cluster.
    pub(super) async fn leave_etcd(&self) {}
}
