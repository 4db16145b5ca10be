//! Nodes of Kubernetes: their names, whether pods may come, whether they are ready.

use std::{future::Future, time::Duration};

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Kubernetes, KubernetesError, objects::Node as KubeNode};
use crate::{
    Node,
    resource::k8s::Nodename,
    workflow::{deadline, leaves_time},
};

/// On nodes that an upgrade has cordoned and has to uncordon, whichever process goes on with it.
const CORDONED: &str = "talos-client/cordoned-by-upgrade";

/// Somebody else changes the node at the same time: so often at most.
const CONFLICTS: u32 = 10;

/// What became of a cordon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cordon {
    /// Pods may not come any more.
    Done,
    /// It was there, and is ours by its mark.
    Ours,
    /// It was there, made by somebody else.
    Foreign,
}

/// What the machine is called in Kubernetes; `None` if it does not register there.
pub(in crate::workflow) async fn name_of(node: &Node) -> Result<Option<String>, KubernetesError> {
    let name = node.resources().get_by_id::<Nodename>("nodename").await;
    let spec = name.map(|resource| resource.spec);
    match spec {
        Ok(spec) => Ok(Some(spec)
            .filter(|spec| !spec.skip_node_registration)
            .map(|spec| spec.nodename)),
        Err(error) => Err(KubernetesError::Name {
            node: node.name().clone(),
            source: Box::new(error),
        }),
    }
}

impl Kubernetes {
    /// What the machine is called in Kubernetes, as it says itself; `None` if its kubelet does not register it there.
    ///
    /// # Errors
    ///
    /// [`KubernetesError::Name`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn node_name(&self, node: &Node) -> Result<Option<String>, KubernetesError> {
        name_of(node).await
    }

    /// Lets no more pods come to a node; those that are there stay. Says whether that was not so before.
    ///
    /// # Errors
    ///
    /// [`KubernetesError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the node is cordoned; it may be done again.
    pub async fn cordon(&self, node: &Node) -> Result<bool, KubernetesError> {
        match name_of(node).await? {
            Some(name) => Ok(self.keep_pods_away(&name, false).await? == Cordon::Done),
            None => Ok(false),
        }
    }

    /// Lets pods come to a node again, whoever cordoned it. Says whether it was cordoned.
    ///
    /// # Errors
    ///
    /// [`KubernetesError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the node is cordoned; it may be done again.
    pub async fn uncordon(&self, node: &Node) -> Result<bool, KubernetesError> {
        match name_of(node).await? {
            Some(name) => self.let_pods_come(&name, true).await,
            None => Ok(false),
        }
    }

    /// Waits until Kubernetes says that a node is ready, and says so about **this** boot of the machine: for up to 40
    /// seconds after a reboot, Kubernetes still shows what was before. Looks every 2 seconds.
    ///
    /// Returns at once for machines that do not register in Kubernetes.
    ///
    /// # Errors
    ///
    /// [`KubernetesError::NotReady`] when the time is over; [`KubernetesError`] for what waiting does not mend.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_ready(&self, node: &Node, timeout: Duration) -> Result<(), KubernetesError> {
        match name_of(node).await? {
            Some(name) => {
                let interval = Duration::from_secs(2);
                self.until_ready(node, &name, timeout, interval, |_| ()).await
            }
            None => Ok(()),
        }
    }

    pub(in crate::workflow) async fn nodes(&self) -> Result<Api<KubeNode>, KubernetesError> {
        Ok(Api::all(self.client().await?))
    }

    /// Cordons a node. With `mark`, a cordon of ours can be told from one that was there.
    pub(super) async fn keep_pods_away(&self, name: &str, mark: bool) -> Result<Cordon, KubernetesError> {
        self.change(name, |node| {
            if node.is_cordoned() {
                return Err(if node.has_annotation(CORDONED) {
                    Cordon::Ours
                } else {
                    Cordon::Foreign
                });
            }
            let mut patch = json!({"spec": {"unschedulable": true}});
            if mark {
                patch["metadata"] = json!({"annotations": {CORDONED: "true"}});
            }
            Ok(patch)
        })
        .await
        .map(|unchanged| unchanged.unwrap_or(Cordon::Done))
    }

    /// Uncordons a node: any, or only one that has our mark.
    pub(in crate::workflow) async fn let_pods_come(
        &self,
        name: &str,
        any: bool,
    ) -> Result<bool, KubernetesError> {
        let unchanged = self.change(name, |node| {
            let due = node.has_annotation(CORDONED) || any && node.is_cordoned();
            let patch = json!({
                "metadata": {"annotations": {CORDONED: null}},
                "spec": {"unschedulable": null},
            });
            if due { Ok(patch) } else { Err(()) }
        });
        Ok(unchanged.await?.is_none())
    }

    /// Whether a node is cordoned by an upgrade that has not been finished.
    pub(in crate::workflow) async fn is_left_cordoned(&self, name: &str) -> Result<bool, KubernetesError> {
        let nodes = self.nodes().await?;
        let node = self.find(&what(name), &nodes, name).await?;
        Ok(node.is_some_and(|node| node.has_annotation(CORDONED)))
    }

    /// Changes a node as it is, and not as it may have become meanwhile. What `decide` returns as an error means that
    /// nothing is to be changed.
    async fn change<T>(
        &self,
        name: &str,
        decide: impl Fn(&KubeNode) -> Result<Value, T>,
    ) -> Result<Option<T>, KubernetesError> {
        let (nodes, what) = (self.nodes().await?, what(name));
        let mut conflicts = 0;
        loop {
            let node = self.ask(&what, nodes.get(name)).await?;
            let mut patch = match decide(&node) {
                Ok(patch) => patch,
                Err(unchanged) => return Ok(Some(unchanged)),
            };
            if let Some(version) = &node.metadata.resource_version {
                patch["metadata"]["resourceVersion"] = json!(version);
            }
            let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
            let patched = self.ask(&what, nodes.patch(name, &params, &patch)).await;
            match patched {
                Ok(_) => return Ok(None),
                Err(error) if error.code() == Some(409) && conflicts < CONFLICTS => conflicts += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until the node is ready after the boot that the machine is in; `tell` gets every new reason to wait.
    pub(in crate::workflow) async fn until_ready(
        &self,
        node: &Node,
        name: &str,
        timeout: Duration,
        interval: Duration,
        tell: impl Fn(&str),
    ) -> Result<(), KubernetesError> {
        let deadline = deadline(timeout);
        let mut last = String::new();
        loop {
            let Some(reason) = self.look_ready(node, name).await? else {
                return Ok(());
            };
            if reason != last {
                tell(&reason);
                last = reason;
            }
            if Instant::now() >= deadline {
                return Err(KubernetesError::NotReady {
                    name: name.to_owned(),
                    after: timeout,
                    reason: last,
                });
            }
            sleep(interval).await;
        }
    }

    /// Why the node is not ready.
    async fn look_ready(&self, node: &Node, name: &str) -> Result<Option<String>, KubernetesError> {
        let boot = match node.boot_id().await {
            Ok(boot) => Some(boot),
            // Whoever may not ask has to believe Kubernetes.
            Err(error) if error.is_denied() || error.is_unimplemented() => None,
            Err(error) if error.is_retriable() => return Ok(Some(format!("{error:#}"))),
            Err(error) => {
                let (node, source) = (node.name().clone(), Box::new(error));
                return Err(KubernetesError::Name { node, source });
            }
        };
        let look = async { self.find(&what(name), &self.nodes().await?, name).await };
        match look.await {
            Ok(Some(found)) => Ok(found.not_ready(boot.as_deref())),
            Ok(None) => Ok(Some("Kubernetes does not know it yet".to_owned())),
            Err(error) if error.is_retriable() => Ok(Some(chain(&error))),
            Err(error) => Err(error),
        }
    }
}

/// Repeats what fails in a way that passes, until the time is over; `tell` gets the reasons.
pub(in crate::workflow) async fn persist<T, Fut>(
    deadline: Instant,
    interval: Duration,
    tell: impl Fn(String),
    call: impl Fn() -> Fut,
) -> Result<T, KubernetesError>
where
    Fut: Future<Output = Result<T, KubernetesError>>,
{
    loop {
        match call().await {
            Err(error) if error.is_retriable() && leaves_time(interval, deadline) => {
                tell(chain(&error));
                sleep(interval).await;
            }
            result => return result,
        }
    }
}

/// A failure with its causes, in one line.
pub(in crate::workflow) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // kube prints causes as a part of what they caused.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

fn what(name: &str) -> String {
    format!("node {name}")
}
