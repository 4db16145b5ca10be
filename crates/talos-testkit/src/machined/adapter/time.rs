//! `time.TimeService`: which function answers which RPC.

use talos_proto::time::time_service_server::TimeService;
use talos_proto::time::{TimeRequest, TimeResponse};

use super::{Handlers, rpc};
use crate::machined::rpc::time;

#[rustfmt::skip]
impl TimeService for Handlers {
    rpc! { unary time(()) -> TimeResponse = time::time }
    rpc! { unary time_check(TimeRequest) -> TimeResponse = time::time_check }
}
