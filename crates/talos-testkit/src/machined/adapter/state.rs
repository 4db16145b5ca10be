//! `cosi.resource.State`: which function answers which RPC.

use talos_proto::cosi::resource::state_server::State;
use talos_proto::cosi::resource::*;

use super::{Handlers, rpc};
use crate::machined::rpc::resources;

#[rustfmt::skip]
impl State for Handlers {
    rpc! { unary get(GetRequest) -> GetResponse = resources::read::get }
    rpc! { server list(ListRequest) -> ListStream: ListResponse = resources::read::list }
    rpc! { unary create(CreateRequest) -> CreateResponse = resources::write::create }
    rpc! { unary update(UpdateRequest) -> UpdateResponse = resources::write::update }
    rpc! { unary destroy(DestroyRequest) -> DestroyResponse = resources::write::destroy }
    rpc! { server watch(WatchRequest) -> WatchStream: WatchResponse = resources::watch::watch }
    rpc! { unary teardown(TeardownRequest) -> TeardownResponse = resources::write::teardown }
    rpc! { unary teardown_and_destroy(TeardownAndDestroyRequest) -> TeardownAndDestroyResponse = resources::write::teardown_and_destroy }
}
