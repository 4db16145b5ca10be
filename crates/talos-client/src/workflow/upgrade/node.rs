//! One node.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    NoHooks, NodeUpgradeError, PlannedNode, PlannedStep, UpgradeHooks, UpgradeProgress, UpgradeStep,
    path::tag_of,
    plan::Runs,
    pull::{PullEnd, pull},
};
use crate::{
    MemberRole, Node,
    api::{containerd::Containerd, machine::RebootMode},
    error::{Error, Result},
    workflow::{Reporter, Run, track::TrackOptions},
};

/// Another Talos on one node.
#[derive(Clone, Debug)]
#[must_use = "nothing is done before `start`"]
pub struct NodeUpgrade {
    node: Node,
    pub(super) image: String,
    pub(super) target: Option<String>,
    pub(super) options: Options,
}

/// What is the same for all nodes of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) containerd: Containerd,
    pub(super) mode: RebootMode,
    pub(super) stall: Duration,
    pub(super) track: TrackOptions,
    pub(super) force: bool,
    pub(super) hooks: Arc<dyn UpgradeHooks>,
    #[cfg(feature = "kube")]
    pub(super) drain: Option<super::drain::Draining>,
}

/// A step that may be repeated is made so often at most.
const ATTEMPTS: u32 = 4;

impl Options {
    pub(super) fn new() -> Self {
        Self {
            containerd: Containerd::System,
            mode: RebootMode::Default,
            stall: Duration::from_secs(120),
            track: TrackOptions::default(),
            force: false,
            hooks: Arc::new(NoHooks),
            #[cfg(feature = "kube")]
            drain: None,
        }
    }
}

impl NodeUpgrade {
    /// Upgrades this node by an installer image, such as `ghcr.io/siderolabs/installer:v1.14.1`.
    ///
    /// **The health of etcd is not looked at.** [`ClusterUpgrade`](super::ClusterUpgrade) does, for one node as well.
    pub fn to(node: &Node, image: impl Into<String>) -> Self {
        Self {
            node: node.clone(),
            image: image.into(),
            target: None,
            options: Options::new(),
        }
    }

    /// Sets the release that the node has to run afterwards, as its version says it. Default: the tag of the image; if that
    /// is no release, what runs afterwards is not looked at.
    pub fn target_version(mut self, tag: impl Into<String>) -> Self {
        self.target = Some(tag.into());
        self
    }

    /// Sets how the node reboots. Default: [`RebootMode::Default`].
    pub fn reboot_mode(mut self, mode: RebootMode) -> Self {
        self.options.mode = mode;
        self
    }

    /// Sets how long nothing more of the image may come. Default: 2 minutes.
    pub fn pull_stall(mut self, time: Duration) -> Self {
        self.options.stall = time;
        self
    }

    /// Sets how the reboot is followed, and how long it may take. Default: [`TrackOptions::default`].
    pub fn track(mut self, options: impl Into<TrackOptions>) -> Self {
        self.options.track = options.into();
        self
    }

    /// Pulls the image, runs the installer, reboots the node, waits until it is back, and sees which release it runs. A node
    /// that runs it already is left alone.
    ///
    /// Pulling and installing are made again when the connection breaks, up to three times. Nodes before Talos 1.13 are
    /// upgraded by the call that does all of it.
    ///
    /// # Errors
    ///
    /// [`NodeUpgradeError`]. Before the reboot the node runs on as it was.
    ///
    /// # Cancel safety
    ///
    /// Dropping the run stops a pull or an installer, which may be run again. A reboot that has begun goes on.
    pub fn start(self) -> Run<UpgradeProgress, (), NodeUpgradeError> {
        Run::new(move |reporter| async move {
            let version = self.node.version().await;
            let from = version.map_err(look)?.tag().to_owned();
            let target = self
                .target
                .clone()
                .or_else(|| tag_of(&self.image).map(str::to_owned));
            // A target that is no release compares with nothing.
            let compared = target.as_deref().unwrap_or_default();
            let runs = Runs {
                talos: from,
                kubernetes: None,
            };
            let planned = PlannedNode::new(self.node.clone(), None, MemberRole::Unknown, runs, compared);
            let report = Report {
                reporter,
                node: self.node.clone(),
                position: (1, 1),
            };
            if planned.step == PlannedStep::AlreadyThere {
                leftover(&planned, &self.options, &report).await?;
                report.step(UpgradeStep::AlreadyThere);
                return Ok(());
            }
            if planned.step != PlannedStep::LegacyUpgrade {
                pull_image(&self.node, &self.image, &self.options, &report).await?;
            }
            let mut prepared = false;
            upgrade(
                &planned,
                &self.image,
                target.as_deref(),
                &self.options,
                &mut prepared,
                &report,
            )
            .await
        })
    }
}

/// Reports about one node.
pub(super) struct Report {
    pub(super) reporter: Reporter<UpgradeProgress>,
    pub(super) node: Node,
    pub(super) position: (usize, usize),
}

impl Report {
    pub(super) fn step(&self, step: UpgradeStep) {
        self.reporter.report(self.item(step));
    }

    pub(super) fn item(&self, step: UpgradeStep) -> UpgradeProgress {
        UpgradeProgress {
            node: self.node.name().clone(),
            position: self.position,
            step,
        }
    }
}

fn look(error: Error) -> NodeUpgradeError {
    NodeUpgradeError::Look(Box::new(error))
}

/// Upgrades a node that has the image, and runs the hooks around its reboot. `prepared` is whether the one after it is due.
pub(super) async fn upgrade(
    planned: &PlannedNode,
    image: &str,
    target: Option<&str>,
    options: &Options,
    prepared: &mut bool,
    report: &Report,
) -> Result<(), NodeUpgradeError> {
    let node = &planned.node;
    if planned.step == PlannedStep::LegacyUpgrade {
        before_reboot(planned, options, prepared, report).await?;
        #[expect(deprecated, reason = "what older nodes have")]
        let request = node
            .legacy_upgrade(image)
            .force(options.force)
            .reboot_mode(options.mode);
        reboot(options, report, || {
            request.clone().and_wait(options.track.clone())
        })
        .await?;
    } else {
        install(node, image, options, report).await?;
        before_reboot(planned, options, prepared, report).await?;
        let request = node.reboot().mode(options.mode);
        reboot(options, report, || {
            request.clone().and_wait(options.track.clone())
        })
        .await?;
    }
    if let Some(expected) = target {
        let version = node.version().await;
        let found = version.map_err(look)?.tag().to_owned();
        if found != expected {
            let expected = expected.to_owned();
            return Err(NodeUpgradeError::OtherRelease { expected, found });
        }
    }
    after_upgrade(planned, options, prepared, report).await?;
    report.step(UpgradeStep::Done);
    Ok(())
}

async fn before_reboot(
    planned: &PlannedNode,
    options: &Options,
    prepared: &mut bool,
    report: &Report,
) -> Result<(), NodeUpgradeError> {
    let hook = "before_reboot";
    report.step(UpgradeStep::Hook { name: hook });
    // Half of it may be done when it fails.
    *prepared = true;
    let done = options.hooks.before_reboot(planned).await;
    done.map_err(|source| NodeUpgradeError::Hook { hook, source })?;
    #[cfg(feature = "kube")]
    if let Some(drain) = &options.drain
        && planned.step != PlannedStep::LegacyUpgrade
    {
        drain.before_reboot(&planned.node, report).await?;
    }
    Ok(())
}

pub(super) async fn after_upgrade(
    planned: &PlannedNode,
    options: &Options,
    prepared: &mut bool,
    report: &Report,
) -> Result<(), NodeUpgradeError> {
    #[cfg(feature = "kube")]
    if let Some(drain) = &options.drain
        && planned.step != PlannedStep::LegacyUpgrade
    {
        drain.after_upgrade(&planned.node, report).await?;
    }
    let hook = "after_upgrade";
    report.step(UpgradeStep::Hook { name: hook });
    let done = options.hooks.after_upgrade(planned).await;
    done.map_err(|source| NodeUpgradeError::Hook { hook, source })?;
    *prepared = false;
    Ok(())
}

/// Sees to a node that runs the release already, and that nobody says is prepared.
pub(super) async fn leftover(
    planned: &PlannedNode,
    options: &Options,
    report: &Report,
) -> Result<(), NodeUpgradeError> {
    #[cfg(feature = "kube")]
    if let Some(drain) = &options.drain {
        drain.leftover(&planned.node, report).await?;
    }
    #[cfg(not(feature = "kube"))]
    let _ = (planned, options, report);
    Ok(())
}

/// Lets a node pull the image. It has it until it runs another release, or is reset.
pub(super) async fn pull_image(
    node: &Node,
    image: &str,
    options: &Options,
    report: &Report,
) -> Result<(), NodeUpgradeError> {
    let images = node.images().of(options.containerd);
    let mut attempt = 1;
    loop {
        let pulled = pull(&images, image, options.stall, |percent| {
            report.step(UpgradeStep::Pulling { percent });
        });
        match pulled.await {
            Ok(()) => return Ok(()),
            Err(PullEnd::Failed(error)) if error.is_retriable() && attempt < ATTEMPTS => {
                again(&error, attempt, options, report).await;
                attempt += 1;
            }
            Err(PullEnd::Failed(error)) => return Err(NodeUpgradeError::Pull(Box::new(error))),
            Err(PullEnd::Stalled { percent }) => {
                let after = options.stall;
                return Err(NodeUpgradeError::PullStalled { after, percent });
            }
        }
    }
}

/// Runs the installer. It writes beside what runs, so it may be run again.
async fn install(
    node: &Node,
    image: &str,
    options: &Options,
    report: &Report,
) -> Result<(), NodeUpgradeError> {
    let mut attempt = 1;
    loop {
        match install_once(node, image, options, report).await {
            Ok(()) => return Ok(()),
            // Also while the installer of the attempt before has not ended.
            Err(error) if error.is_retriable() && attempt < ATTEMPTS => {
                again(&error, attempt, options, report).await;
                attempt += 1;
            }
            Err(error) => return Err(NodeUpgradeError::Install(Box::new(error))),
        }
    }
}

async fn install_once(node: &Node, image: &str, options: &Options, report: &Report) -> Result<()> {
    let request = node.lifecycle().upgrade(image).containerd(options.containerd);
    let mut installer = request.send().await?;
    while let Some(line) = installer.next_line().await {
        report.step(UpgradeStep::Installer { line: line? });
    }
    Ok(())
}

async fn again(error: &Error, attempt: u32, options: &Options, report: &Report) {
    report.step(UpgradeStep::Again {
        reason: error.to_string(),
    });
    sleep(options.track.interval * attempt).await;
}

/// Reboots, and asks again if the node has certainly not begun because the call did not get through.
async fn reboot(
    options: &Options,
    report: &Report,
    begin: impl Fn() -> Run<
        crate::workflow::track::TrackProgress,
        crate::workflow::track::Tracked,
        crate::workflow::track::TrackError,
    >,
) -> Result<(), NodeUpgradeError> {
    use crate::workflow::track::TrackError;

    let mut attempt = 1;
    loop {
        let followed = report
            .reporter
            .follow(begin(), |progress| report.item(UpgradeStep::Rebooting(progress)));
        match followed.await {
            Ok(_) => return Ok(()),
            Err(TrackError::NotBegun { source, .. }) if source.is_retriable() && attempt < ATTEMPTS => {
                again(&source, attempt, options, report).await;
                attempt += 1;
            }
            Err(error) => return Err(NodeUpgradeError::Reboot(Box::new(error))),
        }
    }
}
