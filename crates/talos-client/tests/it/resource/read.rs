//! Resources.

use talos_client::{
    ErrorKind,
    resource::{
        Phase, Resource,
        runtime::{MachineStage, MachineStatus},
    },
};

use crate::support::{Sim, metadata};

// covers: cosi.resource.State/Get
#[tokio::test]
async fn the_machine_status_is_typed() {
    let sim = Sim::start().await;
    let status = sim
        .node(1)
        .resources()
        .get::<MachineStatus>()
        .await
        .expect("answered");
    assert_eq!(
        (status.spec.stage, status.spec.ready),
        (MachineStage::Running, true),
        "{status:?}"
    );
    assert_eq!(
        (status.metadata.r#type.as_str(), status.metadata.id.as_str()),
        (MachineStatus::TYPE, "machine")
    );
    assert_eq!(status.metadata.phase, Phase::Running);
    assert!(status.metadata.created.is_some());
    let call = sim.received("/cosi.resource.State/Get");
    assert_eq!(metadata(&call, "node"), [sim.cluster.node(1).name()]);
}

// covers: cosi.resource.State/Get
#[tokio::test]
async fn an_unhealthy_service_shows_in_the_machine_status() {
    let sim = Sim::start().await;
    sim.cluster
        .node(0)
        .set_service_health("kubelet", false, "no answer");
    let status = sim
        .node(0)
        .resources()
        .get::<MachineStatus>()
        .await
        .expect("answered")
        .spec;
    assert!(!status.ready, "{status:?}");
    assert_eq!(status.unmet_conditions.len(), 1, "{status:?}");
    assert_eq!(status.unmet_conditions[0].name, "services");
    assert_eq!(status.unmet_conditions[0].reason, "kubelet not healthy");
}

// covers: cosi.resource.State/Get
#[tokio::test]
async fn a_resource_that_does_not_exist_is_not_found() {
    let sim = Sim::start().await;
    let error = sim
        .node(0)
        .resources()
        .get_by_id::<MachineStatus>("nothing")
        .await
        .expect_err("no such id");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:#}");
    assert!(error.is_not_found() && !error.is_retriable());
}
