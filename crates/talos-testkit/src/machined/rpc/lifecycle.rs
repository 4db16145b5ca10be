//! Installation and upgrade by an installer that runs while the caller listens. Neither restarts the machine.

use futures_util::StreamExt as _;
use talos_proto::common::ContainerdInstance;
use talos_proto::machine::lifecycle_service_install_progress::Response as Part;
use talos_proto::machine::{
    InstallArtifactsSource, LifecycleServiceInstallProgress, LifecycleServiceInstallRequest,
    LifecycleServiceInstallResponse, LifecycleServiceUpgradeRequest, LifecycleServiceUpgradeResponse,
};
use tonic::Status;

use super::images::{connect, store};
use super::{Call, Items};
use crate::node::images::reference::Reference;
use crate::node::installer::{self, Order, Output, Turn};
use crate::text::{go_error, go_quoted};

pub(in crate::machined) async fn install(
    call: Call,
    request: LifecycleServiceInstallRequest,
) -> Result<Items<LifecycleServiceInstallResponse>, Status> {
    let turn = turn(&call)?;
    if call.node.installation.lock().is_installed() {
        return Err(Status::already_exists("machine is already installed"));
    }
    let image = image_name(request.source)?;
    let disk = request.destination.unwrap_or_default().disk;
    if disk.is_empty() {
        return Err(Status::invalid_argument("destination disk is required"));
    }
    if call.node.disk(&disk).is_none() {
        return Err(Status::invalid_argument(format!(
            "invalid disk path: lstat {disk}: no such file or directory"
        )));
    }
    prepare(&call, request.containerd, &image)
        .map_err(|error| Status::internal(format!("installation failed: {error}")))?;
    let order = Order {
        image,
        disk: Some(disk),
    };
    let output = installer::run(turn, order).map(|output| {
        Ok(LifecycleServiceInstallResponse {
            progress: Some(progress(output)),
        })
    });
    Ok(output.boxed())
}

pub(in crate::machined) async fn upgrade(
    call: Call,
    request: LifecycleServiceUpgradeRequest,
) -> Result<Items<LifecycleServiceUpgradeResponse>, Status> {
    let turn = turn(&call)?;
    if !call.node.installation.lock().is_installed() {
        return Err(Status::failed_precondition("machine is not installed"));
    }
    let image = image_name(request.source)?;
    if !call.node.disks().iter().any(|disk| disk.system_disk) {
        return Err(Status::internal("system disk not found"));
    }
    prepare(&call, request.containerd, &image)
        .map_err(|error| Status::internal(format!("upgrade failed: {error}")))?;
    let output = installer::run(turn, Order { image, disk: None }).map(|output| {
        Ok(LifecycleServiceUpgradeResponse {
            progress: Some(progress(output)),
        })
    });
    Ok(output.boxed())
}

/// What both look at first.
fn turn(call: &Call) -> Result<Turn, Status> {
    call.not_in_agent()?;
    call.not_in_container()?;
    let turn = call.node.begin_installation();
    turn.ok_or_else(|| Status::failed_precondition("another installation/upgrade is already in progress"))
}

fn image_name(source: Option<InstallArtifactsSource>) -> Result<String, Status> {
    let image = source.unwrap_or_default().image_name;
    if image.is_empty() {
        return Err(Status::invalid_argument("installer image name is required"));
    }
    Ok(image)
}

/// Whether the container of the installer can run. Whatever is wrong is but a text to the caller.
fn prepare(call: &Call, instance: Option<ContainerdInstance>, image: &str) -> Result<(), String> {
    let namespace = store(instance).map_err(|status| go_error(&status))?;
    connect(&call.node, namespace).map_err(|status| go_error(&status))?;
    if !call.node.has_image(namespace, image) {
        let full = Reference::parse(image).map_or_else(|_| image.to_owned(), |full| full.to_string());
        return Err(format!(
            "installer image {} not found in containerd store: image {}: not found",
            go_quoted(image),
            go_quoted(&full)
        ));
    }
    match call.node.installer.lock().container_failure.take() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn progress(output: Output) -> LifecycleServiceInstallProgress {
    let part = match output {
        Output::Line(line) => Part::Message(line),
        Output::Exit(code) => Part::ExitCode(code),
    };
    LifecycleServiceInstallProgress { response: Some(part) }
}
