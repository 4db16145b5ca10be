//! `inspect.InspectService`: which function answers which RPC.

use talos_proto::inspect::ControllerRuntimeDependenciesResponse;
use talos_proto::inspect::inspect_service_server::InspectService;

use super::{Handlers, rpc};
use crate::machined::rpc::inspect;

#[rustfmt::skip]
impl InspectService for Handlers {
    rpc! { unary controller_runtime_dependencies(()) -> ControllerRuntimeDependenciesResponse = inspect::controller_runtime_dependencies }
}
