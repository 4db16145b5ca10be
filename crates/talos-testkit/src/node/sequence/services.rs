//! Starting and stopping services, one state after the other.

use std::sync::Arc;

use crate::node::Node;
use crate::node::etcd;
use crate::node::services::{self, ServiceState};

/// Services that end before volumes are unmounted, in this order.
const WORKLOAD: [&str; 4] = ["kubelet", "etcd", "cri", "udevd"];

/// Takes a service through its start, up to its first successful health check.
pub(crate) async fn start(node: &Arc<Node>, id: &str) {
    prepare(node, id).await;
    run(node, id).await;
}

/// The part of a start before the service does anything.
async fn prepare(node: &Arc<Node>, id: &str) {
    if node.services.state(id) == Some(ServiceState::Running) {
        return;
    }
    node.service_moves(id, ServiceState::Starting, "Starting service");
    node.service_moves(id, ServiceState::Waiting, services::waiting_for(id));
    node.short_tick().await;
    node.service_moves(id, ServiceState::Preparing, "Running pre state");
}

async fn run(node: &Arc<Node>, id: &str) {
    if node.services.state(id) == Some(ServiceState::Running) {
        return;
    }
    node.service_moves(id, ServiceState::Preparing, "Creating service runner");
    if id == "etcd" {
        node.cluster.etcd.join(node);
    }
    let started = services::started(id, node.services.new_pid(id));
    node.service_moves(id, ServiceState::Running, &started);
    if id == "etcd" {
        node.cluster.set_bootstrapped();
    }
    node.short_tick().await;
    node.service_checked(id, true, "");
}

/// Stops a service, unless it has stopped already.
pub(crate) async fn stop(node: &Arc<Node>, id: &str) {
    let live = |state| {
        !matches!(
            state,
            ServiceState::Finished | ServiceState::Failed | ServiceState::Skipped
        )
    };
    if !node.services.state(id).is_some_and(live) {
        return;
    }
    node.service_moves(
        id,
        ServiceState::Stopping,
        &services::stopping(id, node.services.pid(id)),
    );
    node.short_tick().await;
    node.service_moves(id, ServiceState::Finished, "Service finished successfully");
}

/// Starts what a configured machine runs, and waits until it runs. etcd needs a bootstrapped cluster.
pub(super) async fn start_all(node: &Arc<Node>) {
    let wanted = node.wanted_services();
    for id in &wanted {
        if *id != "etcd" {
            start(node, id).await;
        } else if node.services.state(id) != Some(ServiceState::Preparing) {
            prepare(node, id).await;
        }
    }
    if wanted.contains(&"etcd") {
        if !etcd::has_data(node) {
            node.cluster.until_bootstrapped().await;
        }
        run(node, "etcd").await;
    }
}

pub(super) async fn stop_workload(node: &Arc<Node>) {
    for id in WORKLOAD {
        stop(node, id).await;
    }
}

/// Stops every service, `apid` last.
pub(super) async fn stop_all(node: &Arc<Node>) {
    let ids = node.services.all().into_iter().map(|(id, _)| id);
    for id in ids.filter(|id| id != "apid") {
        stop(node, &id).await;
    }
    stop(node, "apid").await;
}
