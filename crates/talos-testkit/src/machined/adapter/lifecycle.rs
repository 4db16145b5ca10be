//! `machine.LifecycleService`: which function answers which RPC.

use talos_proto::machine::lifecycle_service_server::LifecycleService;
use talos_proto::machine::*;

use super::{Handlers, rpc};
use crate::machined::rpc::lifecycle;

#[rustfmt::skip]
impl LifecycleService for Handlers {
    rpc! { server install(LifecycleServiceInstallRequest) -> InstallStream: LifecycleServiceInstallResponse = lifecycle::install }
    rpc! { server upgrade(LifecycleServiceUpgradeRequest) -> UpgradeStream: LifecycleServiceUpgradeResponse = lifecycle::upgrade }
}
