//! Values in META, and who reads them.
#![expect(deprecated, reason = "older clients still use the upgrade of MachineService")]

use talos_proto::machine::{MetaDeleteRequest, MetaWriteRequest, RebootRequest, UpgradeRequest};
use talos_testkit::{Code, PlatformMode, SimCluster, SimNode};
use tonic::Status;

use crate::power::ready_after;
use crate::single;
use crate::wire::{Wire, failure};

async fn write(wire: &Wire, key: u32, value: &str) -> Result<usize, Status> {
    let request = MetaWriteRequest {
        key,
        value: value.to_owned().into(),
    };
    let reply = wire.machine().meta_write(request).await?;
    Ok(reply.into_inner().messages.len())
}

async fn delete(wire: &Wire, key: u32) -> Result<usize, Status> {
    let reply = wire.machine().meta_delete(MetaDeleteRequest { key }).await?;
    Ok(reply.into_inner().messages.len())
}

fn resource(node: &SimNode, id: &str) -> Option<String> {
    let key = node
        .resources()
        .get("runtime", "MetaKeys.runtime.talos.dev", id)?;
    Some(key.yaml_spec().to_owned())
}

// covers: machine.MachineService/MetaWrite
// covers: machine.MachineService/MetaDelete
#[tokio::test]
async fn values_are_resources_and_outlive_a_reboot() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::with_roles(&cluster, &node, &["os:meta:writer"]).await;
    assert_eq!(write(&wire, 12, "first").await.unwrap(), 1);
    assert_eq!(write(&wire, 12, "second").await.unwrap(), 1);
    assert_eq!(write(&wire, 255, "a: b").await.unwrap(), 1);
    assert_eq!(resource(&node, "0x0c").unwrap(), "value: second\n");
    assert_eq!(resource(&node, "0xff").unwrap(), "value: \"a: b\"\n");
    assert_eq!(node.meta(12).unwrap(), "second");
    let before = node.boot_id();
    let admin = Wire::admin(&cluster, &node).await;
    admin.machine().reboot(RebootRequest::default()).await.unwrap();
    node.wait_until_ready_after(&before).await;
    assert_eq!(resource(&node, "0x0c").unwrap(), "value: second\n");
    let wire = Wire::with_roles(&cluster, &node, &["os:meta:writer"]).await;
    assert_eq!(delete(&wire, 12).await.unwrap(), 1);
    assert_eq!((resource(&node, "0x0c"), node.meta(12)), (None, None));
    assert_eq!(
        failure(delete(&wire, 12).await),
        (Code::NotFound, "meta key not found".to_owned())
    );
}

// covers: machine.MachineService/MetaWrite
// covers: machine.MachineService/MetaDelete
#[tokio::test]
async fn keys_room_and_platform_are_checked() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let too_large = (Code::InvalidArgument, "key must be a uint8".to_owned());
    assert_eq!(failure(write(&wire, 256, "").await), too_large);
    assert_eq!(failure(delete(&wire, u32::MAX).await), too_large);
    node.set_meta_capacity(40);
    write(&wire, 12, "0123456789").await.unwrap();
    let full = (Code::ResourceExhausted, "meta write failed".to_owned());
    assert_eq!(failure(write(&wire, 13, "0123456789abcdef").await), full);
    assert_eq!(node.meta(13), None);
    write(&wire, 12, "01234567890123456789").await.unwrap();

    let cluster = SimCluster::builder()
        .platform(PlatformMode::Container)
        .start()
        .await
        .unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let container = (
        Code::FailedPrecondition,
        "method is not supported in container mode".to_owned(),
    );
    assert_eq!(failure(write(&wire, 256, "").await), container);
    assert_eq!(failure(delete(&wire, 12).await), container);
}

// covers: machine.MachineService/MetaDelete
// covers: machine.MachineService/Upgrade
#[tokio::test]
async fn a_staged_upgrade_is_in_meta_until_the_next_boot() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let image = "ghcr.io/siderolabs/installer:v1.14.7";
    let request = UpgradeRequest {
        image: image.to_owned(),
        stage: true,
        ..UpgradeRequest::default()
    };
    let before = node.boot_id();
    node.hold_task("stopDBus");
    wire.machine().upgrade(request.clone()).await.unwrap();
    assert_eq!(node.meta(7).unwrap(), image);
    assert!(resource(&node, "0x07").unwrap().contains(image) && node.meta(8).is_some());
    node.release_task("stopDBus");
    let wire = ready_after(&cluster, &node, &before).await;
    assert_eq!((node.meta(7), node.meta(8)), (None, None));
    let reply = wire.machine().version(()).await.unwrap().into_inner();
    assert_eq!(reply.messages[0].version.as_ref().unwrap().tag, "v1.14.7");

    // Whoever deletes the tag takes the upgrade back.
    let before = node.boot_id();
    node.hold_task("stopDBus");
    let request = UpgradeRequest {
        image: "ghcr.io/siderolabs/installer:v1.14.8".to_owned(),
        ..request
    };
    wire.machine().upgrade(request).await.unwrap();
    delete(&wire, 7).await.unwrap();
    node.release_task("stopDBus");
    let wire = ready_after(&cluster, &node, &before).await;
    let reply = wire.machine().version(()).await.unwrap().into_inner();
    assert_eq!(reply.messages[0].version.as_ref().unwrap().tag, "v1.14.7");
}
