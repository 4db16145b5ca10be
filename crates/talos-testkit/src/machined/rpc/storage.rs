//! Disks, and what is made of them.

use talos_proto::machine::{
    LvmServiceLogicalVolumeRemoveRequest, LvmServicePhysicalVolumeRemoveRequest,
    LvmServiceVolumeGroupRemoveRequest, MdDestroyRequest,
};
use talos_proto::storage::block_device_wipe_descriptor::Method;
use talos_proto::storage::disk::DiskType;
use talos_proto::storage::{
    BlockDeviceWipe, BlockDeviceWipeRequest, BlockDeviceWipeResponse, Disk, Disks, DisksResponse,
};
use tonic::Status;

use super::Call;
use crate::node::disks::{DiskTransport, SimDisk, Wipe, WipeError};
use crate::node::lvm::VolumeError;

pub(in crate::machined) async fn disks(call: Call, _: ()) -> Result<DisksResponse, Status> {
    let disks = call.node.disks().into_iter().map(|disk| Disk {
        size: disk.size,
        r#type: disk_type(&disk).into(),
        device_name: format!("/dev/{}", disk.id),
        bus_path: format!("/virtual/{}", disk.id),
        subsystem: "/sys/class/block".to_owned(),
        model: disk.model,
        serial: disk.serial,
        wwid: disk.wwid,
        system_disk: disk.system_disk,
        readonly: disk.readonly,
        ..Disk::default()
    });
    Ok(DisksResponse {
        messages: vec![Disks {
            metadata: None,
            disks: disks.collect(),
        }],
    })
}

/// The first of these that holds.
fn disk_type(disk: &SimDisk) -> DiskType {
    match disk.transport {
        _ if disk.cdrom => DiskType::Cd,
        DiskTransport::Nvme => DiskType::Nvme,
        DiskTransport::Mmc => DiskType::Sd,
        _ if disk.rotational => DiskType::Hdd,
        DiskTransport::Unknown => DiskType::Unknown,
        _ => DiskType::Ssd,
    }
}

pub(in crate::machined) async fn block_device_wipe(
    call: Call,
    request: BlockDeviceWipeRequest,
) -> Result<BlockDeviceWipeResponse, Status> {
    for device in &request.devices {
        if Method::try_from(device.method).is_err() {
            return Err(Status::invalid_argument(format!(
                "unsupported wipe method {}",
                device.method
            )));
        }
    }
    let wipes: Vec<Wipe<'_>> = request
        .devices
        .iter()
        .map(|device| Wipe {
            device: &device.device,
            skip_volume_check: device.skip_volume_check,
            skip_secondary_check: device.skip_secondary_check,
            drop_partition: device.drop_partition,
        })
        .collect();
    call.node.wipe(&wipes).map_err(|error| match error {
        WipeError::NotFound(device) => Status::not_found(format!("blockdevice \"{device}\" not found")),
        WipeError::Unsupported(device, kind) => Status::invalid_argument(format!(
            "blockdevice \"{device}\" is of unsupported type \"{kind}\""
        )),
        WipeError::Refused(reason) => Status::failed_precondition(reason),
    })?;
    Ok(BlockDeviceWipeResponse {
        messages: vec![BlockDeviceWipe::default()],
    })
}

pub(in crate::machined) async fn logical_volume_remove(
    call: Call,
    request: LvmServiceLogicalVolumeRemoveRequest,
) -> Result<(), Status> {
    if request.volume_group.is_empty() || request.logical_volume.is_empty() {
        return Err(Status::invalid_argument(
            "volume_group and logical_volume must be set",
        ));
    }
    let volumes = &call.node.logical_volumes;
    volumes
        .remove_logical_volume(&request.volume_group, &request.logical_volume)
        .map_err(lvm)
}

pub(in crate::machined) async fn volume_group_remove(
    call: Call,
    request: LvmServiceVolumeGroupRemoveRequest,
) -> Result<(), Status> {
    if request.volume_group.is_empty() {
        return Err(Status::invalid_argument("volume_group must be set"));
    }
    call.node
        .logical_volumes
        .remove_group(&request.volume_group)
        .map_err(lvm)
}

pub(in crate::machined) async fn physical_volume_remove(
    call: Call,
    request: LvmServicePhysicalVolumeRemoveRequest,
) -> Result<(), Status> {
    if request.device.is_empty() {
        return Err(Status::invalid_argument("device must be set"));
    }
    let disks = call.node.disks();
    let partitioned = disks
        .iter()
        .any(|disk| format!("/dev/{}", disk.id) == request.device && !disk.partitions.is_empty());
    call.node
        .logical_volumes
        .remove_physical_volume(&request.device, partitioned)
        .map_err(lvm)
}

fn lvm(error: VolumeError) -> Status {
    match error {
        VolumeError::NotFound => Status::not_found("lvm: resource not found"),
        VolumeError::InUse => Status::failed_precondition("lvm: resource in use"),
        VolumeError::NotEmpty => Status::failed_precondition("lvm: resource not empty"),
        VolumeError::Open => Status::failed_precondition("lvm: logical volume is open"),
        VolumeError::Partitioned => Status::failed_precondition("lvm: device is partitioned"),
    }
}

pub(in crate::machined) async fn md_destroy(call: Call, request: MdDestroyRequest) -> Result<(), Status> {
    if request.device.is_empty() {
        return Err(Status::invalid_argument("device must be set"));
    }
    if !request.device.starts_with("/dev/") {
        return Err(Status::invalid_argument("device must be a full /dev path"));
    }
    call.node
        .logical_volumes
        .remove_array(&request.device)
        .map_err(|error| match error {
            VolumeError::NotFound => Status::not_found("md: array not found"),
            _ => Status::failed_precondition("md: resource in use"),
        })
}
