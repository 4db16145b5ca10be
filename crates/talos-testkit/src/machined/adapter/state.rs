//! `cosi.resource.State`: which function answers which RPC.

use talos_proto::cosi::resource::state_server::State;
use talos_proto::cosi::resource::*;

use super::{Handlers, rpc};
use crate::machined::rpc::resources;

#[rustfmt::skip]
impl State for Handlers {
    rpc! { unary get(GetRequest) -> GetResponse = resources::get }
    rpc! { server list(ListRequest) -> ListStream: ListResponse = resources::list }
    rpc! { unary create(CreateRequest) -> CreateResponse = resources::create }
    rpc! { unary update(UpdateRequest) -> UpdateResponse = resources::update }
    rpc! { unary destroy(DestroyRequest) -> DestroyResponse = resources::destroy }
    rpc! { server watch(WatchRequest) -> WatchStream: WatchResponse = resources::watch }
    rpc! { unary teardown(TeardownRequest) -> TeardownResponse = resources::teardown }
    rpc! { unary teardown_and_destroy(TeardownAndDestroyRequest) -> TeardownAndDestroyResponse = resources::teardown_and_destroy }
}
