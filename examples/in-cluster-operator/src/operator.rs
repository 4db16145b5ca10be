//! One node after the other.

use std::{pin::pin, time::Duration};

use examples::chain;
use futures_util::TryStreamExt as _;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams},
};
use serde_json::{Value, json};
use talos_client::{
    Client, Node as Machine,
    workflow::{
        kubernetes::{DrainError, DrainOptions, Kubernetes, KubernetesError},
        track::{TrackError, TrackOptions},
    },
};
use tokio::time::{Instant, sleep};

use crate::{
    place::Place,
    request::{BOOT, CORDONED, MESSAGE, REBOOT, State, Task, is_open, next},
};

/// How long the operator waits before it asks again after a failure, or for changes that it has not heard of.
const PAUSE: Duration = Duration::from_secs(5);

/// How long a machine may need to go down after it was told to. When it is still there, it was not told.
const SETTLED: Duration = Duration::from_secs(60);

/// How long things may take.
pub(crate) struct Times {
    pub(crate) drain: Duration,
    pub(crate) reboot: Duration,
    /// Between two looks at whatever is waited for.
    pub(crate) look: Duration,
}

/// Reboots nodes that ask for it.
pub(crate) struct Operator {
    talos: Client,
    kubernetes: Kubernetes,
    nodes: Api<Node>,
    times: Times,
}

/// Why a node is not rebooted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    #[error("the node has no internal address")]
    NoAddress,
    #[error("the machine cannot be asked")]
    Machine(#[from] talos_client::Error),
    #[error("its annotations cannot be changed")]
    Annotations(#[from] kube::Error),
    #[error("nothing was rebooted")]
    Drain(#[from] DrainError),
    #[error("the node stays cordoned")]
    Reboot(#[from] TrackError),
    #[error("the node was rebooted")]
    Kubernetes(#[from] KubernetesError),
}

impl Operator {
    pub(crate) async fn new(place: &Place, times: Times) -> Result<Self, KubernetesError> {
        Ok(Self {
            talos: place.talos.clone(),
            kubernetes: place.kubernetes.clone(),
            nodes: Api::all(place.kubernetes.client().await?),
            times,
        })
    }

    /// Waits until a node is to be rebooted.
    pub(crate) async fn next_task(&self) -> Task {
        loop {
            match self.look().await {
                Ok(Some(task)) => return task,
                Ok(None) => {}
                Err(error) => {
                    eprintln!("asking Kubernetes again: {}", chain(&error));
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// A task, or `None` when something has changed, and it is time for another look.
    async fn look(&self) -> kube::Result<Option<Task>> {
        let nodes = self.nodes.list(&ListParams::default()).await?;
        if let Some(task) = next(&nodes.items) {
            return Ok(Some(task));
        }
        let version = nodes.metadata.resource_version.unwrap_or_default();
        let events = self.nodes.watch(&WatchParams::default(), &version).await?;
        let mut events = pin!(events);
        while let Some(event) = events.try_next().await? {
            match event {
                WatchEvent::Added(node) | WatchEvent::Modified(node) if is_open(&node) => break,
                // The version is too old for a watch, for example.
                WatchEvent::Error(_) => break,
                _ => {}
            }
        }
        Ok(None)
    }

    /// Drains, reboots and uncordons the node, or what of that is left to do. `tell` hears how far it is.
    pub(crate) async fn work(&self, task: &Task, tell: impl Fn(&str)) -> Result<(), WorkError> {
        let machine = self
            .talos
            .node(task.address.as_deref().ok_or(WorkError::NoAddress)?)?;
        let boot = self.boot_of(&machine, task).await?;
        let begun = match &task.boot {
            Some(begun) => begun.clone(),
            None => {
                self.begin(task, &boot).await?;
                boot.clone()
            }
        };
        if boot == begun {
            self.drain(task, &machine, &tell).await?;
            let rebooting = json!({REBOOT: State::Rebooting.as_str()});
            self.annotate(task, &rebooting).await?;
            let options = TrackOptions::new(self.times.reboot).interval(self.times.look);
            machine.reboot().and_wait(options).finish().await?;
            tell("rebooted");
        } else {
            tell("was rebooted by the operator before this one");
        }
        self.kubernetes.wait_ready(&machine, self.times.reboot).await?;
        tell("ready");
        self.uncordon(task, &machine, &tell).await?;
        Ok(())
    }

    /// The boot that the machine is in, when it answers. One that was told to reboot may be on its way.
    async fn boot_of(&self, machine: &Machine, task: &Task) -> Result<String, WorkError> {
        let began = Instant::now();
        loop {
            match machine.boot_id().await {
                Ok(boot) if task.told && task.boot.as_ref() == Some(&boot) && began.elapsed() < SETTLED => {}
                Ok(boot) => return Ok(boot),
                Err(error) if task.told && error.is_retriable() && began.elapsed() < self.times.reboot => {}
                Err(error) => return Err(error.into()),
            }
            sleep(self.times.look).await;
        }
    }

    async fn drain(&self, task: &Task, machine: &Machine, tell: impl Fn(&str)) -> Result<(), DrainError> {
        let options = DrainOptions::new()
            .timeout(self.times.drain)
            .interval(self.times.look.min(Duration::from_secs(1)));
        let mut drain = self.kubernetes.drain(machine, options);
        while let Some(progress) = drain.next_progress().await {
            tell(&progress.to_string());
        }
        let Err(error) = drain.finish().await else {
            return Ok(());
        };
        // The machine runs as before, so pods may come as before.
        if let Err(error) = self.uncordon(task, machine, &tell).await {
            tell(&format!("stays cordoned: {}", chain(&error)));
        }
        Err(error)
    }

    /// Notes down what another operator has to know to go on.
    async fn begin(&self, task: &Task, boot: &str) -> Result<(), WorkError> {
        self.annotate(
            task,
            &json!({
                REBOOT: State::InProgress.as_str(),
                BOOT: boot,
                CORDONED: task.cordoned.to_string(),
                MESSAGE: null,
            }),
        )
        .await?;
        Ok(())
    }

    /// Ends our own cordon; one that was there before stays.
    async fn uncordon(
        &self,
        task: &Task,
        machine: &Machine,
        tell: impl Fn(&str),
    ) -> Result<(), KubernetesError> {
        if task.cordoned {
            tell("stays cordoned, as it was before");
        } else if self.kubernetes.uncordon(machine).await? {
            tell("uncordoned");
        }
        Ok(())
    }

    /// Says at the node what came of it. Asks again until Kubernetes has taken it: a finished reboot must not be repeated.
    pub(crate) async fn finish(&self, task: &Task, outcome: &Result<(), WorkError>) -> kube::Result<()> {
        let (state, message) = match outcome {
            Ok(()) => (State::Done, None),
            Err(error) => (State::Failed, Some(chain(error))),
        };
        let annotations = json!({
            REBOOT: state.as_str(),
            MESSAGE: message,
            BOOT: null,
            CORDONED: null,
        });
        loop {
            match self.annotate(task, &annotations).await {
                // The node is gone.
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    return Err(kube::Error::Api(status));
                }
                Err(error) => {
                    eprintln!("asking Kubernetes again: {}", chain(&error));
                    sleep(PAUSE).await;
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    async fn annotate(&self, task: &Task, annotations: &Value) -> kube::Result<()> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        self.nodes
            .patch(&task.name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }
}
