//! Installation and upgrade by the lifecycle service.

use talos_proto::common::{ContainerDriver, ContainerdInstance, ContainerdNamespace};
use talos_proto::machine::lifecycle_service_client::LifecycleServiceClient;
use talos_proto::machine::lifecycle_service_install_progress::Response;
use talos_proto::machine::{
    InstallArtifactsSource, InstallDestination, LifecycleServiceInstallRequest,
    LifecycleServiceUpgradeRequest, RebootRequest,
};
use talos_testkit::{Code, PlatformMode, SimCluster};
use tonic::Status;

use crate::power::ready_after;
use crate::single;
use crate::wire::Wire;

const IMAGE: &str = "ghcr.io/siderolabs/installer:v1.14.7";

fn containerd() -> Option<ContainerdInstance> {
    Some(ContainerdInstance {
        driver: ContainerDriver::Cri.into(),
        namespace: ContainerdNamespace::NsSystem.into(),
    })
}

fn request(image: &str) -> LifecycleServiceUpgradeRequest {
    LifecycleServiceUpgradeRequest {
        containerd: containerd(),
        source: Some(InstallArtifactsSource {
            image_name: image.to_owned(),
        }),
    }
}

/// The lines, and the exit code.
async fn upgrade(
    wire: &Wire,
    request: LifecycleServiceUpgradeRequest,
) -> Result<(Vec<String>, Option<i32>), Status> {
    let mut stream = lifecycle(wire).upgrade(request).await?.into_inner();
    let mut lines = Vec::new();
    let mut exit_code = None;
    while let Some(message) = stream.message().await? {
        assert_eq!(exit_code, None, "the exit code comes last");
        match message.progress.unwrap().response.unwrap() {
            Response::Message(line) => lines.push(line),
            Response::ExitCode(code) => exit_code = Some(code),
        }
    }
    Ok((lines, exit_code))
}

fn lifecycle(wire: &Wire) -> LifecycleServiceClient<Wire> {
    LifecycleServiceClient::with_origin(wire.clone(), wire.origin())
}

// covers: machine.LifecycleService/Upgrade
#[tokio::test]
async fn an_upgrade_tells_its_progress_and_counts_from_the_next_boot_on() {
    let cluster = single().await;
    let node = cluster.node(0);
    let boot = node.boot_id();
    let wire = Wire::admin(&cluster, &node).await;
    let (lines, exit_code) = upgrade(&wire, request(IMAGE)).await.unwrap();
    assert_eq!(exit_code, Some(0));
    assert!(
        lines.len() > 1 && lines.iter().all(|line| line.ends_with('\n')),
        "{lines:?}"
    );
    assert_eq!(node.boot_id(), boot, "the reboot is the client's business");
    wire.machine().reboot(RebootRequest::default()).await.unwrap();
    let wire = ready_after(&cluster, &node, &boot).await;
    let version = wire.machine().version(()).await.unwrap().into_inner();
    assert_eq!(version.messages[0].version.as_ref().unwrap().tag, "v1.14.7");
}

// covers: machine.LifecycleService/Upgrade
#[tokio::test]
async fn a_failed_installer_is_no_failed_call() {
    let cluster = single().await;
    let node = cluster.node(0);
    let boot = node.boot_id();
    let wire = Wire::admin(&cluster, &node).await;
    node.fail_next_install(3, "no space left on device");
    let (lines, exit_code) = upgrade(&wire, request(IMAGE)).await.unwrap();
    assert_eq!(exit_code, Some(3));
    assert_eq!(lines.last().unwrap(), "no space left on device\n");
    wire.machine().reboot(RebootRequest::default()).await.unwrap();
    let wire = ready_after(&cluster, &node, &boot).await;
    let version = wire.machine().version(()).await.unwrap().into_inner();
    assert_eq!(version.messages[0].version.as_ref().unwrap().tag, "v1.14.0");
}

// covers: machine.LifecycleService/Upgrade
#[tokio::test]
async fn one_installer_runs_at_a_time() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let mut first = lifecycle(&wire)
        .upgrade(request(IMAGE))
        .await
        .unwrap()
        .into_inner();
    first.message().await.unwrap();
    let status = upgrade(&wire, request(IMAGE)).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (
            Code::FailedPrecondition,
            "another installation/upgrade is already in progress"
        )
    );
    while first.message().await.unwrap().is_some() {}
    upgrade(&wire, request(IMAGE)).await.unwrap();
}

// covers: machine.LifecycleService/Upgrade
// covers: machine.LifecycleService/Install
#[tokio::test]
async fn requests_are_checked() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let status = upgrade(&wire, request("")).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "installer image name is required")
    );
    let no_containerd = LifecycleServiceUpgradeRequest {
        containerd: None,
        ..request(IMAGE)
    };
    let status = upgrade(&wire, no_containerd).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (
            Code::Internal,
            "upgrade failed: rpc error: code = InvalidArgument desc = invalid containerd namespace NS_UNKNOWN"
        )
    );
    let install = LifecycleServiceInstallRequest::default();
    let status = lifecycle(&wire).install(install).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::AlreadyExists, "machine is already installed")
    );
    for (mode, code) in [
        (PlatformMode::Container, Code::FailedPrecondition),
        (PlatformMode::MetalAgent, Code::Unimplemented),
    ] {
        let cluster = SimCluster::builder().platform(mode).start().await.unwrap();
        let wire = Wire::admin(&cluster, &cluster.node(0)).await;
        assert_eq!(upgrade(&wire, request(IMAGE)).await.unwrap_err().code(), code);
    }
}

/// An installation to `disk`.
pub(crate) fn install_request(disk: &str) -> LifecycleServiceInstallRequest {
    LifecycleServiceInstallRequest {
        containerd: containerd(),
        source: request(IMAGE).source,
        destination: Some(InstallDestination {
            disk: disk.to_owned(),
        }),
    }
}

/// Installs and returns the exit code.
pub(crate) async fn install(wire: &Wire, disk: &str) -> Result<Option<i32>, Status> {
    let mut stream = lifecycle(wire).install(install_request(disk)).await?.into_inner();
    let mut exit_code = None;
    while let Some(message) = stream.message().await? {
        if let Some(Response::ExitCode(code)) = message.progress.unwrap().response {
            exit_code = Some(code);
        }
    }
    Ok(exit_code)
}
