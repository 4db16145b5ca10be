//! `cosi.resource.State`: which function answers which RPC.

use talos_proto::cosi::resource::state_server::State;
use talos_proto::cosi::resource::*;

use super::{Handlers, rpc};
use crate::machined::rpc::later;

#[rustfmt::skip]
impl State for Handlers {
    rpc! { unary get(GetRequest) -> GetResponse = later }
    rpc! { server list(ListRequest) -> ListStream: ListResponse = later }
    rpc! { unary create(CreateRequest) -> CreateResponse = later }
    rpc! { unary update(UpdateRequest) -> UpdateResponse = later }
    rpc! { unary destroy(DestroyRequest) -> DestroyResponse = later }
    rpc! { server watch(WatchRequest) -> WatchStream: WatchResponse = later }
    rpc! { unary teardown(TeardownRequest) -> TeardownResponse = later }
    rpc! { unary teardown_and_destroy(TeardownAndDestroyRequest) -> TeardownAndDestroyResponse = later }
}
