//! `machine.LVMService`: which function answers which RPC.

use talos_proto::machine::lvm_service_server::LvmService;
use talos_proto::machine::*;

use super::{Handlers, rpc};
use crate::machined::rpc::storage;

#[rustfmt::skip]
impl LvmService for Handlers {
    rpc! { unary logical_volume_remove(LvmServiceLogicalVolumeRemoveRequest) -> () = storage::logical_volume_remove }
    rpc! { unary volume_group_remove(LvmServiceVolumeGroupRemoveRequest) -> () = storage::volume_group_remove }
    rpc! { unary physical_volume_remove(LvmServicePhysicalVolumeRemoveRequest) -> () = storage::physical_volume_remove }
}
