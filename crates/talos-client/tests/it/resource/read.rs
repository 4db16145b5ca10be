//! Resources.

use talos_client::{
    ErrorKind,
    resource::{
        DecodeError, Phase, RawSpec, Resource,
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

/// Types of somebody else, of which one is spelled as no node spells it.
#[derive(Debug)]
struct Misspelled;
#[derive(Debug)]
struct Own(String);

impl Resource for Misspelled {
    const TYPE: &'static str = "machinestatuses.runtime.talos.dev";
    const NAMESPACE: &'static str = "runtime";
    const DEFAULT_ID: Option<&'static str> = Some("machine");

    fn decode(_: RawSpec) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

impl Resource for Own {
    const TYPE: &'static str = "MachineStatuses.runtime.talos.dev";
    const NAMESPACE: &'static str = "runtime";
    const DEFAULT_ID: Option<&'static str> = Some("machine");

    fn decode(spec: RawSpec) -> Result<Self, DecodeError> {
        Ok(Self(spec.yaml))
    }
}

#[tokio::test]
async fn a_type_in_another_case_is_an_error_and_no_empty_list() {
    let sim = Sim::start().await;
    let node = sim.node(0);
    let resources = node.resources();
    let list = resources.list::<Misspelled>().await.map(|found| found.len());
    let streamed = resources.list::<Misspelled>().stream().await.map(drop);
    let got = resources.get::<Misspelled>().await.map(drop);
    let mut watch = resources.watch::<Misspelled>().start();
    let watched = watch.next_event().await.expect("an error").map(drop);
    let errors = [
        list.expect_err("list"),
        streamed.expect_err("stream"),
        got.expect_err("get"),
        watched.expect_err("watch"),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        let text = error.to_string();
        assert!(
            text.contains("\"machinestatuses.runtime.talos.dev\"")
                && text.contains("\"MachineStatuses.runtime.talos.dev\""),
            "{text}"
        );
    }
    assert!(watch.next_event().await.is_none(), "it is over");

    let own = resources.get::<Own>().await.expect("spelled right");
    assert!(own.spec.0.contains("stage"), "{}", own.spec.0);
    assert_eq!(resources.list::<Own>().await.expect("spelled right").len(), 1);
    let mut watch = resources.watch::<Own>().start();
    watch
        .next_event()
        .await
        .expect("an event")
        .expect("spelled right");
}
