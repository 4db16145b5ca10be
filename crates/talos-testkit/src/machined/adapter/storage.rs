//! `storage.StorageService`: which function answers which RPC.

use talos_proto::storage::storage_service_server::StorageService;
use talos_proto::storage::{BlockDeviceWipeRequest, BlockDeviceWipeResponse, DisksResponse};

use super::{Handlers, rpc};
use crate::machined::rpc::storage;

#[rustfmt::skip]
impl StorageService for Handlers {
    rpc! { unary disks(()) -> DisksResponse = storage::disks }
    rpc! { unary block_device_wipe(BlockDeviceWipeRequest) -> BlockDeviceWipeResponse = storage::block_device_wipe }
}
