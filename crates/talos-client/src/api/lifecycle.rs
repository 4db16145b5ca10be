//! Installing and upgrading Talos.
//!
//! Both run an installer on the node and end with its exit code; neither reboots. The installer image has to be in
//! the node's store already.
//!
//! ```no_run
//! # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
//! let image = "ghcr.io/siderolabs/installer:v1.14.0";
//! let mut installer = node.lifecycle().upgrade(image).send().await?;
//! while let Some(line) = installer.next_line().await {
//!     println!("{}", line?);
//! }
//! // Now reboot.
//! # Ok(())
//! # }
//! ```

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use talos_proto::{
    machine::{
        InstallArtifactsSource, InstallDestination, LifecycleServiceInstallProgress,
        LifecycleServiceInstallRequest, LifecycleServiceInstallResponse, LifecycleServiceUpgradeRequest,
        LifecycleServiceUpgradeResponse, lifecycle_service_install_progress::Response,
    },
    methods::machine::lifecycle_service as methods,
};

use super::containerd::{Containerd, image_problem};
use crate::{
    Node,
    call::{CallInfo, Kind, Target, request},
    error::{Error, ErrorKind, Origin, Result},
    stream::Messages,
};

/// Installing and upgrading Talos on a node; made by [`Node::lifecycle`].
#[derive(Clone, Debug)]
pub struct Lifecycle {
    target: Target,
}

impl Node {
    /// Installing and upgrading Talos on this node. Nothing is sent.
    pub fn lifecycle(&self) -> Lifecycle {
        Lifecycle {
            target: self.target().clone(),
        }
    }
}

impl Lifecycle {
    /// **Writes Talos to a disk, and what was on it is lost.** For nodes in maintenance mode that are not installed.
    ///
    /// The disk is a path below `/dev`.
    ///
    /// Upstream: `machine.LifecycleService/Install` · since Talos 1.13 · role os:admin · unsafe
    pub fn install(&self, image: impl Into<String>, disk: impl Into<String>) -> InstallRequest {
        let install = Install {
            containerd: Containerd::System,
            image: image.into(),
            disk: disk.into(),
        };
        InstallRequest::new(&self.target, install)
    }

    /// Writes another Talos beside the one that runs; a reboot then starts it.
    ///
    /// The health of etcd is not looked at. Nodes before Talos 1.13 answer `Unimplemented`, they have
    /// `MachineService.Upgrade` alone.
    ///
    /// Upstream: `machine.LifecycleService/Upgrade` · talosctl upgrade · since Talos 1.13 · role os:admin · unsafe
    pub fn upgrade(&self, image: impl Into<String>) -> UpgradeRequest {
        let upgrade = Upgrade {
            containerd: Containerd::System,
            image: image.into(),
        };
        UpgradeRequest::new(&self.target, upgrade)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Install {
    containerd: Containerd,
    image: String,
    disk: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Upgrade {
    containerd: Containerd,
    image: String,
}

request! {
    /// What to install; made by [`Lifecycle::install`].
    pub struct InstallRequest(Install) {
        /// The store that the image is in. Default: [`Containerd::System`].
        fn containerd(install, containerd: Containerd) {
            install.containerd = containerd;
        }
    }

    /// Starts the installer.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty image and a disk that is not below `/dev`, `AlreadyExists` for a node that is
    /// installed, `FailedPrecondition` while another one runs, and every [`ErrorKind`] of a call; later ones arrive
    /// in the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future or the stream cancels the call; what the installer has done by then is done.
    send(target, install) -> Installer {
        let method = &methods::INSTALL;
        if let Some(problem) = image_problem(&install.image) {
            return Err(target.invalid_input(method, problem));
        }
        if install.disk.strip_prefix("/dev/").is_none_or(str::is_empty) {
            return Err(target.invalid_input(method, "the disk is not a path below /dev"));
        }
        let message = LifecycleServiceInstallRequest {
            containerd: Some(install.containerd.instance()),
            source: Some(InstallArtifactsSource { image_name: install.image }),
            destination: Some(InstallDestination { disk: install.disk }),
        };
        let messages = target.open(Kind::Work, method, message).await?;
        Ok(Installer::new(Inner::Install(messages)))
    }
}

request! {
    /// To what to upgrade; made by [`Lifecycle::upgrade`].
    pub struct UpgradeRequest(Upgrade) {
        /// The store that the image is in. Default: [`Containerd::System`].
        fn containerd(upgrade, containerd: Containerd) {
            upgrade.containerd = containerd;
        }
    }

    /// Starts the installer.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty image, `FailedPrecondition` for a node that is not installed and while another
    /// one runs, and every [`ErrorKind`] of a call; later ones arrive in the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future or the stream cancels the call; what the installer has done by then is done.
    send(target, upgrade) -> Installer {
        let method = &methods::UPGRADE;
        if let Some(problem) = image_problem(&upgrade.image) {
            return Err(target.invalid_input(method, problem));
        }
        let message = LifecycleServiceUpgradeRequest {
            containerd: Some(upgrade.containerd.instance()),
            source: Some(InstallArtifactsSource { image_name: upgrade.image }),
        };
        let messages = target.open(Kind::Work, method, message).await?;
        Ok(Installer::new(Inner::Upgrade(messages)))
    }
}

/// An installer that runs, as a stream of what it prints.
///
/// **The stream ends only if it succeeded.** An exit code other than 0, which Talos does not count as a failure of
/// the call, is an error with an [`InstallerExit`] as its source; no exit code at all is one, too.
///
/// # Errors
///
/// An item is an error, and the last one: `Internal` for an exit code other than 0, `Malformed` without one, and
/// every [`ErrorKind`] of a call.
///
/// # Cancel safety
///
/// Waiting for the next line may be cancelled at any time, nothing is lost.
#[must_use = "dropping it cancels the call"]
#[derive(Debug)]
pub struct Installer {
    inner: Inner,
    exit: Option<i32>,
    over: bool,
}

#[derive(Debug)]
enum Inner {
    Install(Messages<LifecycleServiceInstallResponse>),
    Upgrade(Messages<LifecycleServiceUpgradeResponse>),
}

/// The exit code of an installer that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the installer ended with exit code {code}: {}", self.meaning())]
pub struct InstallerExit {
    code: i32,
}

impl InstallerExit {
    /// The exit code, which is not 0.
    pub fn code(self) -> i32 {
        self.code
    }

    /// What Talos' installer means by it.
    pub fn meaning(self) -> &'static str {
        match self.code {
            2 => "invalid input",
            3 => "not supported",
            4 => "environment",
            5 => "missing dependency",
            6 => "input or output failed",
            7 => "installation failed",
            _ => "unknown failure",
        }
    }
}

impl Inner {
    fn call(&self) -> &CallInfo {
        match self {
            Self::Install(messages) => messages.call(),
            Self::Upgrade(messages) => messages.call(),
        }
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Option<LifecycleServiceInstallProgress>>>> {
        match self {
            Self::Install(messages) => messages.poll_next(cx).map_ok(|message| message.progress),
            Self::Upgrade(messages) => messages.poll_next(cx).map_ok(|message| message.progress),
        }
    }
}

impl Installer {
    fn new(inner: Inner) -> Self {
        Self {
            inner,
            exit: None,
            over: false,
        }
    }

    /// The next line that the installer prints, without its end; `None` once it has succeeded.
    ///
    /// # Errors
    ///
    /// As for the items of the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_line(&mut self) -> Option<Result<String>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Waits until the installer has succeeded, without its output.
    ///
    /// # Errors
    ///
    /// As for the items of the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call.
    pub async fn finish(mut self) -> Result<()> {
        while let Some(line) = self.next_line().await {
            line?;
        }
        Ok(())
    }

    fn end(&mut self) -> Option<Error> {
        let call = self.inner.call();
        match self.exit {
            Some(0) => None,
            Some(code) => {
                let exit = InstallerExit { code };
                Some(
                    call.error(ErrorKind::Internal, Origin::Node)
                        .with_message(exit.to_string())
                        .with_source(exit),
                )
            }
            None => Some(call.malformed("the installer's exit code is missing")),
        }
    }
}

impl Stream for Installer {
    type Item = Result<String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while !this.over {
            let progress = match ready!(this.inner.poll_next(cx)) {
                Some(Ok(progress)) => progress.and_then(|progress| progress.response),
                Some(Err(error)) => {
                    this.over = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.over = true;
                    return Poll::Ready(this.end().map(Err));
                }
            };
            match progress {
                Some(Response::Message(mut line)) => {
                    if line.ends_with('\n') {
                        line.pop();
                    }
                    return Poll::Ready(Some(Ok(line)));
                }
                Some(Response::ExitCode(code)) => this.exit = Some(code),
                // Something that this library does not know.
                None => {}
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_explained() {
        let exit = InstallerExit { code: 7 };
        assert_eq!(
            exit.to_string(),
            "the installer ended with exit code 7: installation failed"
        );
        assert_eq!(InstallerExit { code: 99 }.meaning(), "unknown failure");
    }
}
