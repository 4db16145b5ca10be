//! Disks, and what is removed from them.

use talos_client::{
    ErrorKind,
    api::storage::{BlockDevice, DiskType},
    proto::{machine, storage as proto},
};
use talos_testkit::{DiskTransport, SimArray, SimDisk, SimVolumeGroup};

use crate::support::Sim;

const WIPE: &str = "/storage.StorageService/BlockDeviceWipe";

// covers: storage.StorageService/Disks
#[tokio::test]
async fn disks_have_ids_kinds_and_sizes() {
    let sim = Sim::start().await;
    let mut system = SimDisk::new("nvme0n1", 20 << 30);
    system.transport = DiskTransport::Nvme;
    system.system_disk = true;
    let mut optical = SimDisk::new("sr0", 1 << 20);
    optical.cdrom = true;
    optical.readonly = true;
    optical.serial = String::new();
    sim.cluster.node(0).set_disks([system, optical]);

    let disks = sim.node(0).disks().await.expect("answered");
    assert_eq!(disks.len(), 2);
    assert_eq!((disks[0].path(), disks[0].id()), ("/dev/nvme0n1", "nvme0n1"));
    assert_eq!(
        (disks[0].disk_type(), disks[0].size()),
        (DiskType::Nvme, 20 << 30)
    );
    assert!(disks[0].is_system_disk() && !disks[0].is_read_only());
    assert_eq!(disks[0].serial(), Some("SIM-nvme0n1"));
    assert_eq!(disks[1].disk_type(), DiskType::Cd);
    assert!(disks[1].is_read_only() && !disks[1].is_system_disk());
    assert_eq!(disks[1].serial(), None);
    let () = sim.received_by(0, "/storage.StorageService/Disks");
}

// covers: storage.StorageService/BlockDeviceWipe
#[tokio::test]
async fn what_is_wiped_arrives_as_ids_with_its_switches() {
    let sim = Sim::start().await;
    let disk = SimDisk::new("vdb", 1 << 30).partition("data", 1 << 20, "xfs", "");
    sim.cluster
        .node(0)
        .set_disks([disk, SimDisk::new("vdc", 1 << 30)]);
    sim.node(0)
        .wipe_block_devices([
            BlockDevice::new("/dev/vdb1").drop_partition(true),
            BlockDevice::new("vdc")
                .overwrite(true)
                .skip_volume_check(true)
                .skip_secondary_check(true),
        ])
        .send()
        .await
        .expect("wiped");
    let request: proto::BlockDeviceWipeRequest = sim.received_by(0, WIPE);
    let expected = [
        proto::BlockDeviceWipeDescriptor {
            device: "vdb1".to_owned(),
            drop_partition: true,
            ..Default::default()
        },
        proto::BlockDeviceWipeDescriptor {
            device: "vdc".to_owned(),
            method: 1,
            skip_volume_check: true,
            skip_secondary_check: true,
            drop_partition: false,
        },
    ];
    assert_eq!(request.devices, expected);
    let disks = sim.cluster.node(0).disks();
    assert!(disks[0].partitions.is_empty(), "{disks:?}");
}

// covers: storage.StorageService/BlockDeviceWipe
#[tokio::test]
async fn a_disk_in_use_is_refused_by_the_node_and_an_impossible_id_here() {
    let sim = Sim::start().await;
    let none: [&str; 0] = [];
    let node = sim.node(0);
    for error in [
        node.wipe_block_devices(none).send().await.expect_err("none"),
        node.wipe_block_devices([""]).send().await.expect_err("empty"),
        node.wipe_block_devices(["disk/by-id/x"])
            .send()
            .await
            .expect_err("a path"),
    ] {
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::InvalidInput, 0),
            "{error:#}"
        );
    }
    assert!(sim.cluster.requests().all().is_empty());

    let error = node
        .wipe_block_devices(["nosuchdevice"])
        .send()
        .await
        .expect_err("none");
    assert!(error.is_not_found(), "{error:#}");
    let mut disk = SimDisk::new("vdb", 1 << 30);
    disk.readonly = true;
    sim.cluster.node(0).set_disks([disk]);
    let error = node
        .wipe_block_devices(["vdb"])
        .send()
        .await
        .expect_err("read-only");
    assert!(error.is_failed_precondition(), "{error:#}");
}

// covers: machine.LVMService/LogicalVolumeRemove
// covers: machine.LVMService/VolumeGroupRemove
// covers: machine.LVMService/PhysicalVolumeRemove
#[tokio::test]
async fn volumes_are_removed_from_the_inside_out() {
    let sim = Sim::start().await;
    let simulated = sim.cluster.node(0);
    let group = SimVolumeGroup::new("vg0", ["/dev/vdb"]).logical_volume("data", false);
    let none: [&str; 0] = [];
    simulated.set_volume_groups([group], none);
    let node = sim.node(0);

    let error = node.remove_volume_group("vg0").await.expect_err("not empty");
    assert!(error.is_failed_precondition(), "{error:#}");
    node.remove_logical_volume("vg0", "data").await.expect("removed");
    node.remove_volume_group("vg0").await.expect("removed");
    assert!(simulated.volume_groups().is_empty());
    let request: machine::LvmServiceLogicalVolumeRemoveRequest =
        sim.received_by(0, "/machine.LVMService/LogicalVolumeRemove");
    assert_eq!(
        (request.volume_group.as_str(), request.logical_volume.as_str()),
        ("vg0", "data")
    );
    let calls = sim.cluster.requests().of("/machine.LVMService/VolumeGroupRemove");
    let request: machine::LvmServiceVolumeGroupRemoveRequest = crate::support::message(&calls[1]);
    assert_eq!(request.volume_group, "vg0");

    node.remove_physical_volume("/dev/vdb").await.expect("removed");
    let request: machine::LvmServicePhysicalVolumeRemoveRequest =
        sim.received_by(0, "/machine.LVMService/PhysicalVolumeRemove");
    assert_eq!(request.device, "/dev/vdb");
    let error = node.remove_logical_volume("vg0", "data").await.expect_err("gone");
    assert!(error.is_not_found(), "{error:#}");
    for error in [
        node.remove_logical_volume("vg0", "").await.expect_err("empty"),
        node.remove_volume_group("").await.expect_err("empty"),
        node.remove_physical_volume("").await.expect_err("empty"),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

// covers: machine.MDService/Destroy
#[tokio::test]
async fn arrays_are_named_by_their_path() {
    let sim = Sim::start().await;
    let simulated = sim.cluster.node(0);
    simulated.set_arrays([SimArray::new("/dev/md0", ["/dev/vdb", "/dev/vdc"])]);
    let node = sim.node(0);
    for device in ["", "md0", "/dev/"] {
        let error = node.destroy_md_array(device).await.expect_err(device);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:#}");
    }
    node.destroy_md_array("/dev/md0").await.expect("removed");
    let request: machine::MdDestroyRequest = sim.received_by(0, "/machine.MDService/Destroy");
    assert_eq!(request.device, "/dev/md0");
    assert!(simulated.arrays().is_empty());
    let error = node.destroy_md_array("/dev/md0").await.expect_err("gone");
    assert!(error.is_not_found(), "{error:#}");
}
