//! `machine.DebugService`: which function answers which RPC.

use talos_proto::machine::debug_service_server::DebugService;
use talos_proto::machine::{DebugContainerRunRequest, DebugContainerRunResponse};

use super::{Handlers, rpc};
use crate::machined::rpc::debug;

#[rustfmt::skip]
impl DebugService for Handlers {
    rpc! { bidi container_run(DebugContainerRunRequest) -> ContainerRunStream: DebugContainerRunResponse = debug::container_run }
}
