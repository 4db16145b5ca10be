//! The first start of etcd in a cluster.

use std::sync::Arc;

use super::{Recover, RecoverError};
use crate::node::Node;
use crate::node::sequence::services;
use crate::node::services::ServiceState;

impl Node {
    /// Makes the machine the first member of a new cluster: its etcd ends, gets data, and is started again in
    /// the background. What has to be checked before is the caller's business.
    pub(crate) fn bootstrap_etcd(self: &Arc<Self>, recover: Option<Recover>) -> Result<(), RecoverError> {
        self.service_moves("etcd", ServiceState::Finished, "Bootstrap requested");
        self.cluster.etcd.bootstrap(self, recover)?;
        let node = Arc::clone(self);
        self.spawn(async move { services::start(&node, "etcd").await });
        Ok(())
    }
}
