//! Installers that run while the caller listens.

use talos_proto::common::{ContainerDriver, ContainerdInstance, ContainerdNamespace};
use talos_proto::machine::image_service_pull_response::Response as PullPart;
use talos_proto::machine::lifecycle_service_install_progress::Response as Part;
use talos_proto::machine::*;
use talos_testkit::{Code, PlatformMode, SimCluster, SimNode};
use tonic::{Status, Streaming};

use crate::power::ready_after;
use crate::single;
use crate::wire::{Wire, all, failure};

const INSTALLER: &str = "ghcr.io/siderolabs/installer:v1.14.2";

fn instance() -> Option<ContainerdInstance> {
    Some(ContainerdInstance {
        driver: ContainerDriver::Cri.into(),
        namespace: ContainerdNamespace::NsSystem.into(),
    })
}

/// Pulls an image and returns its pinned name.
async fn pull(wire: &Wire, image: &str) -> String {
    let request = ImageServicePullRequest {
        containerd: instance(),
        image_ref: image.to_owned(),
    };
    let stream = wire.images().pull(request).await.unwrap().into_inner();
    match all(stream).await.unwrap().pop().unwrap().response.unwrap() {
        PullPart::Name(name) => name,
        other => panic!("{other:?}"),
    }
}

fn upgrade(image: &str) -> LifecycleServiceUpgradeRequest {
    LifecycleServiceUpgradeRequest {
        containerd: instance(),
        source: Some(InstallArtifactsSource {
            image_name: image.to_owned(),
        }),
    }
}

fn install(image: &str, disk: &str) -> LifecycleServiceInstallRequest {
    LifecycleServiceInstallRequest {
        containerd: instance(),
        source: Some(InstallArtifactsSource {
            image_name: image.to_owned(),
        }),
        destination: Some(InstallDestination {
            disk: disk.to_owned(),
        }),
    }
}

/// The lines, and the exit code after them.
fn split(parts: Vec<Part>) -> (Vec<String>, i32) {
    let mut lines = Vec::new();
    for part in parts {
        match part {
            Part::Message(line) => lines.push(line),
            Part::ExitCode(code) => return (lines, code),
        }
    }
    panic!("no exit code after {lines:?}")
}

async fn run_upgrade(
    wire: &Wire,
    request: LifecycleServiceUpgradeRequest,
) -> Result<(Vec<String>, i32), Status> {
    let stream = wire.lifecycle().upgrade(request).await?.into_inner();
    let items = all(stream).await?.into_iter();
    Ok(split(
        items
            .map(|item| item.progress.unwrap().response.unwrap())
            .collect(),
    ))
}

async fn run_install(
    wire: &Wire,
    request: LifecycleServiceInstallRequest,
) -> Result<(Vec<String>, i32), Status> {
    let stream = wire.lifecycle().install(request).await?.into_inner();
    let items = all(stream).await?.into_iter();
    Ok(split(
        items
            .map(|item| item.progress.unwrap().response.unwrap())
            .collect(),
    ))
}

async fn reboot(cluster: &SimCluster, node: &SimNode, wire: &Wire) -> String {
    let before = node.boot_id();
    wire.machine().reboot(RebootRequest::default()).await.unwrap();
    let wire = ready_after(cluster, node, &before).await;
    let reply = wire.machine().version(()).await.unwrap().into_inner();
    reply.messages[0].version.as_ref().unwrap().tag.clone()
}

// covers: machine.LifecycleService/Upgrade
#[tokio::test]
async fn an_upgrade_counts_from_the_next_reboot_on() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let name = pull(&wire, INSTALLER).await;
    let boot = node.boot_id();
    let (lines, exit) = run_upgrade(&wire, upgrade(&name)).await.unwrap();
    assert_eq!(exit, 0);
    assert!(
        lines.len() > 1 && lines.iter().all(|line| line.ends_with('\n')),
        "{lines:?}"
    );
    assert_eq!(
        (node.boot_id(), node.running_sequence()),
        (boot, None),
        "nothing restarts"
    );
    assert_eq!(reboot(&cluster, &node, &wire).await, "v1.14.2");
}

// covers: machine.LifecycleService/Upgrade
#[tokio::test]
async fn an_exit_code_is_no_error_of_the_call() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let name = pull(&wire, INSTALLER).await;
    node.set_next_installer_exit(6, "the disk is on fire\ngiving up");
    let (lines, exit) = run_upgrade(&wire, upgrade(&name)).await.unwrap();
    assert_eq!(exit, 6);
    assert_eq!(lines[lines.len() - 2..], ["the disk is on fire\n", "giving up\n"]);
    let far = pull(&wire, "ghcr.io/siderolabs/installer:v1.18.0").await;
    let (lines, exit) = run_upgrade(&wire, upgrade(&far)).await.unwrap();
    assert_ne!(exit, 0);
    assert!(lines.last().unwrap().contains("too old"), "{lines:?}");
    assert_eq!(
        reboot(&cluster, &node, &wire).await,
        "v1.14.0",
        "nothing was written"
    );
}

// covers: machine.LifecycleService/Upgrade
#[tokio::test]
async fn what_keeps_an_upgrade_from_beginning_is_an_error() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let refused = async |request| failure(run_upgrade(&wire, request).await);
    assert_eq!(
        refused(LifecycleServiceUpgradeRequest::default()).await,
        (
            Code::InvalidArgument,
            "installer image name is required".to_owned()
        )
    );
    let (code, message) = refused(upgrade("example.org/nope:1")).await;
    assert_eq!(code, Code::Internal);
    let begin = "upgrade failed: installer image \"example.org/nope:1\" not found in containerd store: ";
    assert!(message.starts_with(begin), "{message}");
    let name = pull(&wire, INSTALLER).await;
    let unset = LifecycleServiceUpgradeRequest {
        containerd: None,
        ..upgrade(&name)
    };
    assert_eq!(
        refused(unset).await,
        (
            Code::Internal,
            "upgrade failed: rpc error: code = InvalidArgument desc = invalid containerd namespace NS_UNKNOWN"
                .to_owned()
        )
    );
    node.fail_next_installer("no space left on device");
    assert_eq!(
        refused(upgrade(&name)).await,
        (
            Code::Internal,
            "upgrade failed: no space left on device".to_owned()
        )
    );
    node.uninstall();
    assert_eq!(
        refused(upgrade(&name)).await,
        (Code::FailedPrecondition, "machine is not installed".to_owned())
    );
}

// covers: machine.LifecycleService/Upgrade
// covers: machine.LifecycleService/Install
#[tokio::test]
async fn only_one_installer_runs_and_none_goes_on_without_its_caller() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let name = pull(&wire, INSTALLER).await;
    node.hold_installer(true);
    let stream = wire.lifecycle().upgrade(upgrade(&name)).await.unwrap();
    let mut stream: Streaming<LifecycleServiceUpgradeResponse> = stream.into_inner();
    stream.message().await.unwrap().unwrap();
    let busy = (
        Code::FailedPrecondition,
        "another installation/upgrade is already in progress".to_owned(),
    );
    assert_eq!(failure(run_upgrade(&wire, upgrade(&name)).await), busy);
    assert_eq!(
        failure(run_install(&wire, install(&name, "/dev/vdb")).await),
        busy
    );
    drop(stream);
    node.hold_installer(false);
    // The node learns of it a little later.
    loop {
        match run_upgrade(&wire, upgrade("")).await {
            Err(status) if status.code() == Code::InvalidArgument => break,
            Err(status) => assert_eq!(status.code(), Code::FailedPrecondition),
            Ok(_) => panic!("an image is required"),
        }
    }
    assert_eq!(
        reboot(&cluster, &node, &wire).await,
        "v1.14.0",
        "nothing was written"
    );
}

// covers: machine.LifecycleService/Install
#[tokio::test]
async fn an_installation_makes_a_system_disk() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let name = pull(&wire, INSTALLER).await;
    let refused = async |request| failure(run_install(&wire, request).await);
    assert_eq!(
        refused(LifecycleServiceInstallRequest::default()).await,
        (Code::AlreadyExists, "machine is already installed".to_owned())
    );
    node.uninstall();
    let get = |kind: &str, id: &str| node.resources().get("runtime", kind, id);
    assert!(get("SystemDisks.block.talos.dev", "system-disk").is_none());
    let meta = get("VolumeStatuses.block.talos.dev", "META").unwrap();
    assert!(
        meta.yaml_spec().starts_with("phase: missing\n"),
        "{}",
        meta.yaml_spec()
    );
    assert_eq!(
        refused(install("", "/dev/vdb")).await,
        (
            Code::InvalidArgument,
            "installer image name is required".to_owned()
        )
    );
    assert_eq!(
        refused(install(&name, "")).await,
        (Code::InvalidArgument, "destination disk is required".to_owned())
    );
    let (code, message) = refused(install(&name, "/dev/none")).await;
    assert_eq!(code, Code::InvalidArgument);
    assert!(message.starts_with("invalid disk path: "), "{message}");
    let (code, message) = refused(install("example.org/nope:1", "/dev/vdb")).await;
    assert_eq!(code, Code::Internal);
    assert!(
        message.starts_with("installation failed: installer image "),
        "{message}"
    );
    let (_, exit) = run_install(&wire, install(&name, "/dev/vdb")).await.unwrap();
    assert_eq!(exit, 0);
    assert!(node.is_installed());
    let system = get("SystemDisks.block.talos.dev", "system-disk").unwrap();
    assert!(
        system.yaml_spec().contains("diskID: vdb\n"),
        "{}",
        system.yaml_spec()
    );
    let meta = get("VolumeStatuses.block.talos.dev", "META").unwrap();
    assert!(meta.yaml_spec().contains("/dev/vdb4"), "{}", meta.yaml_spec());
    assert_eq!(reboot(&cluster, &node, &wire).await, "v1.14.2");
}

// covers: machine.LifecycleService/Install
// covers: machine.LifecycleService/Upgrade
#[tokio::test]
async fn not_every_platform_and_release_has_it() {
    let cases = [
        (
            PlatformMode::MetalAgent,
            "v1.14.0",
            Code::Unimplemented,
            "API is not implemented in agent mode",
        ),
        (
            PlatformMode::Container,
            "v1.14.0",
            Code::FailedPrecondition,
            "method is not supported in container mode",
        ),
        (
            PlatformMode::Metal,
            "v1.12.4",
            Code::Unimplemented,
            "unknown service machine.LifecycleService",
        ),
    ];
    for (platform, tag, code, message) in cases {
        let builder = SimCluster::builder().platform(platform).talos_version(tag);
        let cluster = builder.start().await.unwrap();
        let wire = Wire::admin(&cluster, &cluster.node(0)).await;
        let expected = (code, message.to_owned());
        assert_eq!(failure(run_upgrade(&wire, upgrade("a")).await), expected);
        assert_eq!(failure(run_install(&wire, install("a", "b")).await), expected);
    }
}
