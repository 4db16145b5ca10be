//! `cluster.ClusterService`: which function answers which RPC.

use talos_proto::cluster::cluster_service_server::ClusterService;
use talos_proto::cluster::{HealthCheckProgress, HealthCheckRequest};

use super::{Handlers, rpc};
use crate::machined::rpc::health;

#[rustfmt::skip]
impl ClusterService for Handlers {
    rpc! { server health_check(HealthCheckRequest) -> HealthCheckStream: HealthCheckProgress = health::health_check }
}
