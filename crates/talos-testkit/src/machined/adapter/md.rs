//! `machine.MDService`: which function answers which RPC.

use talos_proto::machine::MdDestroyRequest;
use talos_proto::machine::md_service_server::MdService;

use super::{Handlers, rpc};
use crate::machined::rpc::storage;

#[rustfmt::skip]
impl MdService for Handlers {
    rpc! { unary destroy(MdDestroyRequest) -> () = storage::md_destroy }
}
