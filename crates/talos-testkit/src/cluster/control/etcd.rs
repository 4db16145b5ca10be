//! The node's member of etcd.

use crate::node::etcd;
use crate::{EtcdAlarm, SimCluster, SimNode};

impl SimCluster {
    /// Whether etcd has been bootstrapped, so that there is a cluster to be part of. See
    /// [`SimClusterBuilder::bootstrapped`](crate::SimClusterBuilder::bootstrapped).
    #[must_use]
    pub fn is_bootstrapped(&self) -> bool {
        *self.network.facts.bootstrapped.borrow()
    }

    /// Waits until a member of etcd runs. Nodes are ready a little later.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn wait_until_bootstrapped(&self) {
        self.network.facts.until_bootstrapped().await;
    }

    /// Hostname of the node whose etcd leads; `None` while too few members run.
    #[must_use]
    pub fn etcd_leader(&self) -> Option<String> {
        self.network.facts.etcd.leader(self.node(0).node())
    }
}

impl SimNode {
    /// Bootstraps etcd on this node, as the RPC `Bootstrap` does that somebody else sends; says whether
    /// that was possible. It is not for workers, nodes with data of etcd and nodes that are down. Returns
    /// at once; [`SimCluster::wait_until_bootstrapped`] waits.
    pub fn bootstrap(&self) -> bool {
        let node = self.node();
        let possible = node.runs_etcd() && node.life().is_some() && !etcd::has_data(node);
        possible && node.bootstrap_etcd(None).is_ok()
    }

    /// Sets whether the node's configuration has etcd in it. A control plane node without cannot be
    /// bootstrapped; what already runs goes on. Default: it has.
    pub fn set_etcd_configured(&self, configured: bool) {
        *self.node().etcd_configured.lock() = configured;
    }

    /// Id of the node's etcd member; `None` for workers and for nodes that left the cluster.
    #[must_use]
    pub fn etcd_member_id(&self) -> Option<u64> {
        let node = self.node();
        node.cluster.etcd.member(node).map(|member| member.id)
    }

    /// Whether the node's etcd member runs: the node is up, its service `etcd` is running, and it has data.
    #[must_use]
    pub fn etcd_is_running(&self) -> bool {
        etcd::runs(self.node())
    }

    /// Sets the size of the database in bytes, rounded up to pages of 4 KiB, and how much of it is in use.
    /// Snapshots are as large as the database, and made up from the seed while they are sent. Default: 2 MiB,
    /// half of it in use.
    ///
    /// # Panics
    ///
    /// If the node is no member.
    pub fn set_etcd_database(&self, size: u64, in_use: u64) {
        let size = size.next_multiple_of(4096).max(5 * 4096);
        self.change_member(|member| {
            member.database = (size, in_use.min(size));
            member.contents = None;
        });
    }

    /// Raises or clears an alarm of the node's member.
    ///
    /// # Panics
    ///
    /// If the node is no member.
    pub fn set_etcd_alarm(&self, alarm: EtcdAlarm, raised: bool) {
        self.change_member(|member| {
            member.alarms.retain(|other| *other != alarm);
            if raised {
                member.alarms.push(alarm);
                member.alarms.sort();
            }
        });
    }

    /// Makes the node's member a learner, which has no vote, or a voter. Default: voter.
    ///
    /// # Panics
    ///
    /// If the node is no member.
    pub fn set_etcd_learner(&self, learner: bool) {
        self.change_member(|member| member.learner = learner);
    }

    fn change_member(&self, change: impl FnOnce(&mut etcd::Member)) {
        let node = self.node();
        let changed = node.cluster.etcd.change(node, change);
        assert!(changed, "{} is no member of etcd", self.hostname());
    }
}
