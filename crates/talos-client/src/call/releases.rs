//! Which releases the nodes run, found out once and shared by all handles of a client.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use talos_proto::methods::{MethodInfo, Release};
use talos_transport::NodeName;
use tokio::sync::OnceCell;

use super::Target;
use crate::error::{Error, ErrorKind, Result};

/// How many nodes are remembered; a client that talks to more begins anew.
const MOST: usize = 16 * 1024;

/// What a node is, as far as that decides what it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) tag: String,
    pub(crate) mode: Option<String>,
    /// Whether it has a machine configuration.
    pub(crate) configured: bool,
}

impl Facts {
    pub(crate) fn release(&self) -> Option<Release> {
        self.tag.parse().ok()
    }
}

/// What is known about nodes. What a node answered may be out of date as soon as it reboots, so everything is
/// forgotten that a call shows to be in doubt: a node that was told to go down, or cannot be reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Releases(Arc<Mutex<HashMap<NodeName, Entry>>>);

#[derive(Debug, Default)]
struct Entry {
    facts: Arc<OnceCell<Facts>>,
    #[cfg_attr(
        not(all(feature = "image", feature = "machine")),
        allow(dead_code, reason = "see `newer_or_older`")
    )]
    /// Paths of the calls that the node turned out not to know.
    lacking: Vec<&'static str>,
}

impl Releases {
    /// The facts of a node, found out by `probe` if they are not known. Callers at the same time wait for one probe.
    pub(crate) async fn get_or_probe(
        &self,
        node: &NodeName,
        probe: impl Future<Output = Result<Facts>>,
    ) -> Result<Facts> {
        let cell = Arc::clone(&self.entry(&mut self.lock(), node).facts);
        cell.get_or_try_init(|| probe).await.cloned()
    }

    /// Remembers what a node has just said.
    pub(crate) fn learn(&self, node: &NodeName, facts: Facts) {
        let mut nodes = self.lock();
        let entry = self.entry(&mut nodes, node);
        if entry.facts.get() != Some(&facts) {
            *entry = Entry {
                facts: Arc::new(OnceCell::new_with(Some(facts))),
                lacking: Vec::new(),
            };
        }
    }

    pub(crate) fn forget(&self, node: &NodeName) {
        self.lock().remove(node);
    }

    fn release(&self, node: &NodeName) -> Option<Release> {
        self.lock().get(node)?.facts.get()?.release()
    }

    /// Whether the node is known not to know this call.
    #[cfg_attr(
        not(all(feature = "image", feature = "machine")),
        allow(dead_code, reason = "see `newer_or_older`")
    )]
    fn lacks(&self, node: &NodeName, method: &MethodInfo) -> bool {
        let nodes = self.lock();
        let Some(entry) = nodes.get(node) else {
            return false;
        };
        let too_old = |facts: &Facts| {
            facts
                .release()
                .is_some_and(|release| !method.available_in(release))
        };
        entry.lacking.contains(&method.path) || entry.facts.get().is_some_and(too_old)
    }

    #[cfg_attr(
        not(all(feature = "image", feature = "machine")),
        allow(dead_code, reason = "see `newer_or_older`")
    )]
    fn remember_lack(&self, node: &NodeName, method: &MethodInfo) {
        let mut nodes = self.lock();
        let entry = self.entry(&mut nodes, node);
        if !entry.lacking.contains(&method.path) {
            entry.lacking.push(method.path);
        }
    }

    fn entry<'a>(&self, nodes: &'a mut HashMap<NodeName, Entry>, node: &NodeName) -> &'a mut Entry {
        if nodes.len() >= MOST && !nodes.contains_key(node) {
            nodes.clear();
        }
        nodes.entry(node.clone()).or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeName, Entry>> {
        // The map is whole at every moment, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target {
    /// Makes a call in the newer of two ways that a node may know, or the older one if it does not know that.
    ///
    /// Whether it does is remembered for this node until it goes down, so that only the first call tries in vain. Only
    /// a server that does not know `method` at all makes this fall back; that a node is in another mode, or not a
    /// control plane node, is an error as ever.
    #[cfg_attr(
        not(all(feature = "image", feature = "machine")),
        allow(dead_code, reason = "for the image service that Talos 1.13 brought")
    )]
    pub(crate) async fn newer_or_older<T>(
        &self,
        method: &'static MethodInfo,
        newer: impl Future<Output = Result<T>>,
        older: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        if let Some(node) = self.route.node()
            && self.releases.lacks(node, method)
        {
            return older.await;
        }
        match newer.await {
            Err(error) if error.is_unknown_method() => {
                if let Some(node) = self.route.node() {
                    self.releases.remember_lack(node, method);
                }
                tracing::debug!(
                    method = method.path,
                    "not known to the server, calling what came before it"
                );
                older.await
            }
            result => result,
        }
    }

    /// Notes what a call shows about the node, which may be more than its caller asked for.
    pub(super) fn note_success(&self, method: &MethodInfo) {
        // After these it may come back with another release.
        let goes_down = matches!(
            (method.service, method.name),
            (
                "machine.MachineService",
                "Reboot" | "Reset" | "Rollback" | "Shutdown" | "Upgrade"
            ) | ("machine.LifecycleService", _)
        );
        if let (true, Some(node)) = (goes_down, self.route.node()) {
            self.releases.forget(node);
        }
    }

    pub(super) fn note_failure(&self, method: &MethodInfo, error: Error) -> Error {
        let Some(node) = self.route.node() else {
            return error;
        };
        match error.kind() {
            ErrorKind::Connect | ErrorKind::Unavailable => {
                self.releases.forget(node);
                error
            }
            ErrorKind::Unimplemented => {
                let release = self.releases.release(node);
                let error = error.with_release(release);
                if error.is_unknown_method() && release.is_some_and(|release| method.available_in(release)) {
                    // It says that it does not know what it should, so it is not what it was.
                    self.releases.forget(node);
                }
                error
            }
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use talos_proto::methods::machine::{image_service, lvm_service};

    use super::*;

    fn facts(tag: &str) -> Facts {
        Facts {
            tag: tag.to_owned(),
            mode: None,
            configured: true,
        }
    }

    fn node(name: &str) -> NodeName {
        name.parse().expect("a name")
    }

    #[tokio::test]
    async fn a_node_is_probed_once_until_it_is_forgotten() {
        let (releases, node) = (Releases::default(), node("10.5.0.2"));
        let failed = async { Err(Error::new(ErrorKind::Timeout, crate::Origin::Local)) };
        releases
            .get_or_probe(&node, failed)
            .await
            .expect_err("failures are not kept");
        let probe = async { Ok(facts("v1.13.0")) };
        let never = || async { panic!("known already") };
        assert_eq!(
            releases.get_or_probe(&node, probe).await.expect("probed").tag,
            "v1.13.0"
        );
        assert_eq!(
            releases.get_or_probe(&node, never()).await.expect("known").tag,
            "v1.13.0"
        );
        assert!(releases.lacks(&node, &lvm_service::VOLUME_GROUP_REMOVE));
        assert!(!releases.lacks(&node, &image_service::PULL));

        releases.learn(&node, facts("v1.14.0"));
        assert!(!releases.lacks(&node, &lvm_service::VOLUME_GROUP_REMOVE));
        releases.forget(&node);
        let probe = async { Ok(facts("v1.15.0")) };
        assert_eq!(
            releases.get_or_probe(&node, probe).await.expect("probed").tag,
            "v1.15.0"
        );
    }

    #[test]
    fn what_a_node_lacks_is_remembered_until_it_says_that_it_is_another_release() {
        let (releases, node) = (Releases::default(), node("10.5.0.2"));
        let method = &image_service::PULL;
        releases.remember_lack(&node, method);
        assert!(releases.lacks(&node, method));
        releases.learn(&node, facts("v1.13.0"));
        assert!(!releases.lacks(&node, method));
    }

    #[test]
    fn the_number_of_nodes_is_bounded() {
        let releases = Releases::default();
        for number in 0..=MOST {
            releases.learn(&node(&format!("node-{number}")), facts("v1.14.0"));
        }
        assert!(releases.lock().len() <= MOST);
    }
}
