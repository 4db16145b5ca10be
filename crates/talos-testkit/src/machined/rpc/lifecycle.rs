//! Installation and upgrade by an installer image, with its output as a stream.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use talos_proto::common::{ContainerDriver, ContainerdInstance, ContainerdNamespace};
use talos_proto::machine::lifecycle_service_install_progress::Response;
use talos_proto::machine::{
    LifecycleServiceInstallProgress, LifecycleServiceInstallRequest, LifecycleServiceInstallResponse,
    LifecycleServiceUpgradeRequest, LifecycleServiceUpgradeResponse,
};
use tonic::Status;

use super::{Call, Items};
use crate::node::Node;
use crate::node::installation::{InstallerRun, release_of};

pub(in crate::machined) async fn install(
    call: Call,
    request: LifecycleServiceInstallRequest,
) -> Result<Items<LifecycleServiceInstallResponse>, Status> {
    not_here(&call)?;
    let run = call.node.installer.lock().begin().ok_or_else(busy)?;
    if call.node.installation.lock().is_installed() {
        return Err(Status::already_exists("machine is already installed"));
    }
    let image = request.source.unwrap_or_default().image_name;
    if image.is_empty() {
        return Err(Status::invalid_argument("installer image name is required"));
    }
    let disk = request.destination.unwrap_or_default().disk;
    if disk.is_empty() {
        return Err(Status::invalid_argument("destination disk is required"));
    }
    if call.node.disk(&disk).is_none() {
        return Err(Status::invalid_argument(format!(
            "invalid disk path: lstat {disk}: no such file or directory"
        )));
    }
    let tag = prepare(&call, request.containerd.as_ref(), &image, "installation").await?;
    let steps = [
        format!("installing Talos {tag} to {disk}\n"),
        "creating partitions\n".to_owned(),
        "copying the boot assets\n".to_owned(),
        format!("installation of {tag} complete\n"),
    ];
    let output = output(&call.node, run, steps, move |node| {
        let mut installation = node.installation.lock();
        installation.upgrade(&tag);
        installation.install();
    });
    let output = output.map(|progress| {
        Ok(LifecycleServiceInstallResponse {
            progress: Some(progress),
        })
    });
    Ok(Box::pin(output))
}

pub(in crate::machined) async fn upgrade(
    call: Call,
    request: LifecycleServiceUpgradeRequest,
) -> Result<Items<LifecycleServiceUpgradeResponse>, Status> {
    not_here(&call)?;
    let run = call.node.installer.lock().begin().ok_or_else(busy)?;
    if !call.node.installation.lock().is_installed() {
        return Err(Status::failed_precondition("machine is not installed"));
    }
    let image = request.source.unwrap_or_default().image_name;
    if image.is_empty() {
        return Err(Status::invalid_argument("installer image name is required"));
    }
    let tag = prepare(&call, request.containerd.as_ref(), &image, "upgrade").await?;
    let steps = [
        format!("upgrading Talos to {tag}\n"),
        "copying the boot assets\n".to_owned(),
        format!("upgrade to {tag} complete\n"),
    ];
    let output = output(&call.node, run, steps, move |node| {
        node.installation.lock().upgrade(&tag)
    });
    let output = output.map(|progress| {
        Ok(LifecycleServiceUpgradeResponse {
            progress: Some(progress),
        })
    });
    Ok(Box::pin(output))
}

fn not_here(call: &Call) -> Result<(), Status> {
    call.not_in_agent()?;
    if call.node.platform.is_container() {
        return Err(Status::failed_precondition("not supported in container mode"));
    }
    Ok(())
}

fn busy() -> Status {
    Status::failed_precondition("another installation/upgrade is already in progress")
}

/// Finds the image in the store of containerd; the release that it brings.
async fn prepare(
    call: &Call,
    containerd: Option<&ContainerdInstance>,
    image: &str,
    what: &str,
) -> Result<String, Status> {
    let failed = |reason: String| Status::internal(format!("{what} failed: {reason}"));
    if let Err(error) = check_containerd(containerd) {
        return Err(failed(format!(
            "rpc error: code = InvalidArgument desc = {error}"
        )));
    }
    if let Some(error) = call.node.installer.lock().pull_failure.take() {
        return Err(failed(format!(
            "installer image \"{image}\" not found in containerd store: {error}"
        )));
    }
    let current = call.node.version.lock().tag.clone();
    Ok(release_of(image).unwrap_or(current))
}

/// Which containerd holds the image.
fn check_containerd(containerd: Option<&ContainerdInstance>) -> Result<(), String> {
    let containerd = containerd.cloned().unwrap_or_default();
    let driver = ContainerDriver::try_from(containerd.driver);
    let namespace = ContainerdNamespace::try_from(containerd.namespace);
    match (driver, namespace) {
        (Ok(ContainerDriver::Containerd), Ok(ContainerdNamespace::NsSystem))
        | (Ok(ContainerDriver::Cri), Ok(ContainerdNamespace::NsSystem | ContainerdNamespace::NsCri)) => {
            Ok(())
        }
        (Ok(ContainerDriver::Containerd), Ok(ContainerdNamespace::NsCri)) => {
            Err("cannot use CRI namespace with containerd driver".to_owned())
        }
        (Ok(_), _) => Err("invalid containerd namespace NS_UNKNOWN".to_owned()),
        (Err(_), _) => Err(format!("invalid containerd driver {}", containerd.driver)),
    }
}

/// The installer's lines, one a step of time, and its exit code; `success` is what it does in the end.
fn output<S: FnOnce(&Node) + Send + 'static, const N: usize>(
    node: &Arc<Node>,
    run: InstallerRun,
    steps: [String; N],
    success: S,
) -> impl futures_core::Stream<Item = LifecycleServiceInstallProgress> + Send + use<S, N> {
    let mut lines = VecDeque::from(steps);
    let failure = node.installer.lock().failure.take();
    let (exit_code, success) = match failure {
        None => (0, Some(success)),
        Some((code, text)) => {
            lines.truncate(1);
            lines.push_back(format!("{}\n", text.trim_end_matches('\n')));
            (code, None)
        }
    };
    let state = (Arc::clone(node), Some(run), lines, success, false);
    stream::unfold(state, move |(node, run, mut lines, success, done)| async move {
        if done {
            return None;
        }
        node.tick().await;
        let response = match lines.pop_front() {
            Some(line) => Response::Message(line),
            None => Response::ExitCode(exit_code),
        };
        let last = matches!(response, Response::ExitCode(_));
        let (run, success) = if last {
            if let Some(success) = success {
                success(&node);
            }
            drop(run);
            (None, None)
        } else {
            (run, success)
        };
        let progress = LifecycleServiceInstallProgress {
            response: Some(response),
        };
        Some((progress, (node, run, lines, success, last)))
    })
}
