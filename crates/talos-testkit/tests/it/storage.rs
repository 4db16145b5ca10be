//! Disks, wiping them, and what is made of them.

use talos_proto::machine::*;
use talos_proto::storage::disk::DiskType;
use talos_proto::storage::{BlockDeviceWipeDescriptor, BlockDeviceWipeRequest};
use talos_testkit::{DiskTransport, SimArray, SimDisk, SimNode, SimVolumeGroup};
use tonic::{Code, Status};

use crate::wire::{Wire, failure};
use crate::{four_nodes, single};

// covers: storage.StorageService/Disks
#[tokio::test]
async fn disks_have_a_type_that_follows_from_how_they_are_attached() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::with_roles(&cluster, &node, &["os:reader"]).await;
    let list = async || {
        wire.storage().disks(()).await.unwrap().into_inner().messages[0]
            .disks
            .clone()
    };
    let before = list().await;
    assert_eq!(
        (before[0].device_name.as_str(), before[0].system_disk),
        ("/dev/vda", true)
    );
    assert_eq!(
        (before[1].device_name.as_str(), before[1].system_disk),
        ("/dev/vdb", false)
    );
    let disk = |id: &str, change: fn(&mut SimDisk)| {
        let mut disk = SimDisk::new(id, 1 << 30);
        change(&mut disk);
        disk
    };
    node.set_disks([
        disk("sr0", |disk| (disk.cdrom, disk.readonly) = (true, true)),
        disk("nvme0n1", |disk| disk.transport = DiskTransport::Nvme),
        disk("mmcblk0", |disk| disk.transport = DiskTransport::Mmc),
        disk("sda", |disk| {
            (disk.transport, disk.rotational) = (DiskTransport::Sata, true)
        }),
        disk("sdb", |disk| disk.transport = DiskTransport::Sata),
        disk("xda", |disk| disk.transport = DiskTransport::Unknown),
    ]);
    let after = list().await;
    let types: Vec<_> = after.iter().map(|disk| disk.r#type()).collect();
    let expected = [
        DiskType::Cd,
        DiskType::Nvme,
        DiskType::Sd,
        DiskType::Hdd,
        DiskType::Ssd,
        DiskType::Unknown,
    ];
    assert_eq!(types, expected);
    assert!(after[0].readonly && after[0].size == 1 << 30);
}

fn device(id: &str) -> BlockDeviceWipeDescriptor {
    BlockDeviceWipeDescriptor {
        device: id.to_owned(),
        ..BlockDeviceWipeDescriptor::default()
    }
}

async fn wipe(wire: &Wire, devices: Vec<BlockDeviceWipeDescriptor>) -> Result<(), Status> {
    let reply = wire
        .storage()
        .block_device_wipe(BlockDeviceWipeRequest { devices })
        .await?;
    assert_eq!(reply.into_inner().messages.len(), 1);
    Ok(())
}

fn disk(node: &SimNode, id: &str) -> SimDisk {
    node.disks().into_iter().find(|disk| disk.id == id).unwrap()
}

// covers: storage.StorageService/BlockDeviceWipe
#[tokio::test]
async fn a_wipe_takes_what_is_on_a_device_and_perhaps_its_partition() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let disks = SimDisk::new("vdb", 1 << 30)
        .partition("one", 1 << 20, "xfs", "")
        .partition("two", 1 << 20, "ext4", "");
    node.set_disks([disks]);
    wipe(&wire, vec![device("vdb1")]).await.unwrap();
    let after = disk(&node, "vdb");
    assert_eq!(
        (after.partitions.len(), after.partitions[0].filesystem.as_str()),
        (2, "")
    );
    let drop = BlockDeviceWipeDescriptor {
        drop_partition: true,
        method: 1,
        ..device("vdb1")
    };
    wipe(&wire, vec![drop]).await.unwrap();
    assert_eq!(disk(&node, "vdb").partitions[0].id, "vdb2");
    wipe(&wire, vec![device("vdb")]).await.unwrap();
    assert!(disk(&node, "vdb").partitions.is_empty());
}

// covers: storage.StorageService/BlockDeviceWipe
#[tokio::test]
async fn nothing_is_wiped_when_one_device_must_not_be() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let mut used = SimDisk::new("vdc", 1 << 30).partition("p", 1 << 20, "", "");
    used.partitions[0].used_by = vec!["dm-0".to_owned()];
    used.used_by = vec!["vdb".to_owned()];
    let mut cdrom = SimDisk::new("sr0", 1 << 30);
    cdrom.cdrom = true;
    let mut readonly = SimDisk::new("vdd", 1 << 30);
    readonly.readonly = true;
    let mut busy = SimDisk::new("vde", 1 << 30);
    busy.busy = true;
    let good = SimDisk::new("vdb", 1 << 30).partition("p", 1 << 20, "xfs", "");
    let system = node.disks().remove(0);
    node.set_disks([system, good, used, cdrom, readonly, busy]);
    let cases = [
        ("no", Code::NotFound, "blockdevice \"no\" not found"),
        (
            "dm-0",
            Code::InvalidArgument,
            "blockdevice \"dm-0\" is of unsupported type \"dm\"",
        ),
        (
            "vdd",
            Code::FailedPrecondition,
            "blockdevice \"vdd\" is read-only",
        ),
        ("sr0", Code::FailedPrecondition, "blockdevice \"sr0\" is a CD-ROM"),
        (
            "vdc",
            Code::FailedPrecondition,
            "blockdevice \"vdc\" is in use by disk \"vdb\"",
        ),
        (
            "vdc1",
            Code::FailedPrecondition,
            "blockdevice \"vdc1\" is in use by blockdevice \"dm-0\"",
        ),
        (
            "vda6",
            Code::FailedPrecondition,
            "blockdevice \"vda6\" is in use by volume \"EPHEMERAL\"",
        ),
        (
            "vda",
            Code::FailedPrecondition,
            "blockdevice \"vda\" is in use by volume \"META\"",
        ),
    ];
    for (id, code, message) in cases {
        let found = failure(wipe(&wire, vec![device("vdb"), device(id)]).await);
        assert_eq!(found, (code, message.to_owned()));
    }
    assert_eq!(disk(&node, "vdb").partitions.len(), 1, "still there");
    let wrong = BlockDeviceWipeDescriptor {
        method: 5,
        ..device("vdb")
    };
    let found = failure(wipe(&wire, vec![wrong]).await);
    assert_eq!(
        found,
        (Code::InvalidArgument, "unsupported wipe method 5".to_owned())
    );
    let found = failure(wipe(&wire, vec![device("vde")]).await);
    let message = "block device \"vde\" is mounted or in use";
    assert_eq!(found, (Code::FailedPrecondition, message.to_owned()));
    let anyway = BlockDeviceWipeDescriptor {
        skip_secondary_check: true,
        ..device("vdc")
    };
    let volume = BlockDeviceWipeDescriptor {
        skip_volume_check: true,
        ..device("vda5")
    };
    wipe(&wire, vec![anyway, volume]).await.unwrap();
    assert_eq!(disk(&node, "vda").partitions[4].volume, "");
}

// covers: machine.LVMService/LogicalVolumeRemove
// covers: machine.LVMService/VolumeGroupRemove
// covers: machine.LVMService/PhysicalVolumeRemove
#[tokio::test]
async fn logical_volumes_go_from_the_top_down() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let group = SimVolumeGroup::new("vg", ["/dev/vdb"])
        .logical_volume("lv", false)
        .logical_volume("open", true);
    node.set_volume_groups([group], [""; 0]);
    let lv = async |volume_group: &str, logical_volume: &str| {
        let request = LvmServiceLogicalVolumeRemoveRequest {
            volume_group: volume_group.to_owned(),
            logical_volume: logical_volume.to_owned(),
        };
        wire.lvm().logical_volume_remove(request).await
    };
    let vg = async |volume_group: &str| {
        let volume_group = volume_group.to_owned();
        let request = LvmServiceVolumeGroupRemoveRequest { volume_group };
        wire.lvm().volume_group_remove(request).await
    };
    let pv = async |device: &str| {
        let device = device.to_owned();
        wire.lvm()
            .physical_volume_remove(LvmServicePhysicalVolumeRemoveRequest { device })
            .await
    };
    let unset = |what: &str| (Code::InvalidArgument, format!("{what} must be set"));
    assert_eq!(
        failure(lv("vg", "").await),
        unset("volume_group and logical_volume")
    );
    assert_eq!(failure(vg("").await), unset("volume_group"));
    assert_eq!(failure(pv("").await), unset("device"));
    let missing = (Code::NotFound, "lvm: resource not found".to_owned());
    assert_eq!(failure(lv("vg", "no").await), missing);
    assert_eq!(failure(vg("no").await), missing);
    assert_eq!(failure(pv("/dev/no").await), missing);
    let precondition = |what: &str| (Code::FailedPrecondition, format!("lvm: {what}"));
    assert_eq!(
        failure(lv("vg", "open").await),
        precondition("logical volume is open")
    );
    lv("vg", "lv").await.unwrap();
    assert_eq!(failure(vg("vg").await), precondition("resource not empty"));
    assert_eq!(failure(pv("/dev/vdb").await), precondition("resource in use"));
    assert_eq!(
        failure(pv("/dev/vda").await),
        precondition("device is partitioned")
    );
    node.set_volume_groups([SimVolumeGroup::new("vg", ["/dev/vdb"])], [""; 0]);
    vg("vg").await.unwrap();
    assert_eq!(node.volume_groups(), []);
    pv("/dev/vdb").await.unwrap();
    assert_eq!(failure(pv("/dev/vdb").await), missing);
}

// covers: machine.MDService/Destroy
#[tokio::test]
async fn arrays_are_destroyed_unless_they_are_used() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    node.set_arrays([
        SimArray::new("/dev/md0", ["/dev/vdb", "/dev/vdc"]),
        SimArray::new("/dev/md1", ["/dev/vdd"]).in_use(),
    ]);
    let destroy = async |device: &str| {
        let device = device.to_owned();
        wire.md().destroy(MdDestroyRequest { device }).await
    };
    let cases = [
        ("", Code::InvalidArgument, "device must be set"),
        ("md0", Code::InvalidArgument, "device must be a full /dev path"),
        ("/dev/md9", Code::NotFound, "md: array not found"),
        ("/dev/md1", Code::FailedPrecondition, "md: resource in use"),
    ];
    for (device, code, message) in cases {
        assert_eq!(failure(destroy(device).await), (code, message.to_owned()));
    }
    destroy("/dev/md0").await.unwrap();
    let left: Vec<_> = node.arrays().into_iter().map(|array| array.device).collect();
    assert_eq!(left, ["/dev/md1"]);
}

// covers: cosi.resource.State/Get
// covers: storage.StorageService/Disks
#[tokio::test]
async fn the_old_rpc_and_the_resources_agree_about_disks() {
    use prost::Message as _;
    use talos_proto::definitions::block::{DeviceSpec, DiskSpec};

    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let mut disk = SimDisk::new("nvme0n1", 5 << 30).partition("data", 1 << 30, "xfs", "");
    disk.transport = DiskTransport::Nvme;
    disk.readonly = true;
    disk.partitions[0].used_by = vec!["dm-0".to_owned()];
    node.set_disks([disk, SimDisk::new("vdc", 1 << 30)]);
    let reply = wire.storage().disks(()).await.unwrap().into_inner();
    let told = reply.messages[0].disks.iter();
    let resources = node.resources().list("runtime", "Disks.block.talos.dev");
    assert_eq!(resources.len(), told.len());
    for (old, new) in told.zip(&resources) {
        let spec = DiskSpec::decode(new.proto_spec().clone()).unwrap();
        assert_eq!(old.device_name, format!("/dev/{}", new.id()));
        assert_eq!(old.device_name, spec.dev_path);
        assert_eq!((old.size, old.readonly), (spec.size, spec.readonly));
        assert_eq!((&old.serial, &old.model), (&spec.serial, &spec.model));
        assert_eq!(old.bus_path, spec.bus_path);
    }
    assert!(resources[0].yaml_spec().contains("transport: nvme\n"));
    let devices = node.resources().list("runtime", "BlockDevices.block.talos.dev");
    let ids: Vec<_> = devices.iter().map(talos_testkit::SimResource::id).collect();
    assert_eq!(ids, ["nvme0n1", "nvme0n1p1", "vdc"]);
    let partition = DeviceSpec::decode(devices[1].proto_spec().clone()).unwrap();
    assert_eq!(
        (partition.parent.as_str(), partition.partition_number),
        ("nvme0n1", 1)
    );
    assert_eq!(partition.secondaries, ["dm-0"]);
    let volumes = node.resources().list("runtime", "VolumeStatuses.block.talos.dev");
    assert_eq!(volumes.len(), 3);
    assert!(
        volumes
            .iter()
            .all(|volume| volume.yaml_spec().starts_with("phase: missing\n"))
    );
}

// covers: cosi.resource.State/Get
#[tokio::test]
async fn resources_follow_the_disks_and_the_member_of_etcd() {
    let cluster = four_nodes().start().await.unwrap();
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let get = |kind: &str, namespace: &str, id: &str| {
        let stored = node.resources().get(namespace, kind, id)?;
        Some(stored.yaml_spec().to_owned())
    };
    let volume = |id: &str| get("DiscoveredVolumes.block.talos.dev", "runtime", id);
    assert!(volume("vda5").unwrap().contains("name: xfs\n"));
    let skip = BlockDeviceWipeDescriptor {
        skip_volume_check: true,
        ..device("vda5")
    };
    wipe(&wire, vec![skip.clone()]).await.unwrap();
    assert!(volume("vda5").unwrap().contains("name: \"\"\n"));
    let drop = BlockDeviceWipeDescriptor {
        drop_partition: true,
        ..skip
    };
    wipe(&wire, vec![drop]).await.unwrap();
    assert_eq!(volume("vda5"), None);
    let system = get("SystemDisks.block.talos.dev", "runtime", "system-disk").unwrap();
    assert_eq!(system, "diskID: vda\ndevPath: \"/dev/vda\"\n");
    let id = node.etcd_member_id().unwrap();
    let member = get("EtcdMembers.etcd.talos.dev", "etcd", "local").unwrap();
    assert!(member.contains(&format!("{id:016x}")), "{member}");
    wire.machine()
        .etcd_leave_cluster(EtcdLeaveClusterRequest {})
        .await
        .unwrap();
    assert_eq!(get("EtcdMembers.etcd.talos.dev", "etcd", "local"), None);
}
