//! What a machine does to its own node before it goes down.

use std::sync::Arc;
use std::time::Duration;

use super::controllers::MIRROR;
use super::core::Kubernetes;
use super::eviction;
use super::json::text;
use super::kind::{Key, Kind};
use super::objects::pod;
use crate::node::Node;

/// How long a machine waits for its pods, in times of their grace.
const PATIENCE: u32 = 10;

impl Kubernetes {
    /// Evicts what can be evicted from a machine that is about to go down, and waits a while for it to end. What
    /// a budget or a stubborn pod keeps there goes down with the machine.
    pub(crate) async fn drain(self: Arc<Self>, node: &Node) {
        let name = node.current_identity().hostname.to_lowercase();
        let evicted: Vec<Key> = self.change(|state| {
            let mut wanted = Vec::new();
            for (key, object) in state.store.of(Kind::Pod) {
                let kept = text(object, "/spec/nodeName") != name
                    || pod::is_terminating(object)
                    || object["metadata"]["annotations"].get(MIRROR).is_some()
                    || text(object, "/metadata/ownerReferences/0/kind") == "DaemonSet";
                if !kept {
                    wanted.push(key.clone());
                }
            }
            let nothing = serde_json::json!({});
            wanted.retain(|key| eviction::evict(state, key, &nothing, false).is_ok());
            wanted
        });
        let limit: Duration = node.timings.lock().grace * PATIENCE;
        let mut signals = self.signals();
        let gone = async {
            while evicted.iter().any(|key| self.is_leaving(key)) {
                if signals.changed().await.is_err() {
                    return;
                }
            }
        };
        // What has not ended by then goes down with the machine.
        let _ = tokio::time::timeout(limit, gone).await;
    }

    fn is_leaving(&self, key: &Key) -> bool {
        self.state()
            .store
            .get(key)
            .is_some_and(|object| pod::is_terminating(object))
    }
}
