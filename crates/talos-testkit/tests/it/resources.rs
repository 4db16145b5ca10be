//! The resource API.

use prost::Message as _;
use talos_proto::cosi::resource::{
    CreateRequest, DestroyRequest, Event, EventType, GetRequest, ListRequest, Metadata, Resource, Spec,
    TeardownRequest, UpdateRequest, WatchOptions, WatchRequest, WatchResponse,
};
use talos_proto::definitions::cluster::MemberSpec;
use talos_proto::definitions::runtime::{MachineStatusSpec, VersionSpec};
use talos_testkit::{MachineStage, ServiceState, SimCluster};
use tonic::{Code, Status, Streaming};

use crate::wire::{Wire, with};
use crate::{four_nodes, single};

const MACHINE_STATUS: &str = "MachineStatuses.runtime.talos.dev";
const MEMBER: &str = "Members.cluster.talos.dev";
const SERVICE: &str = "Services.v1alpha1.talos.dev";

pub(crate) async fn get(wire: &Wire, namespace: &str, kind: &str, id: &str) -> Result<Resource, Status> {
    let request = GetRequest {
        namespace: namespace.to_owned(),
        r#type: kind.to_owned(),
        id: id.to_owned(),
        options: None,
    };
    Ok(wire.state().get(request).await?.into_inner().resource.unwrap())
}

pub(crate) async fn list(wire: &Wire, namespace: &str, kind: &str) -> Result<Vec<Resource>, Status> {
    let request = ListRequest {
        namespace: namespace.to_owned(),
        r#type: kind.to_owned(),
        options: None,
    };
    let mut stream = wire.state().list(request).await?.into_inner();
    let mut found = Vec::new();
    while let Some(response) = stream.message().await? {
        found.push(response.resource.unwrap());
    }
    Ok(found)
}

pub(crate) fn metadata(resource: &Resource) -> &Metadata {
    resource.metadata.as_ref().unwrap()
}

pub(crate) fn spec(resource: &Resource) -> &Spec {
    resource.spec.as_ref().unwrap()
}

#[tokio::test]
async fn a_resource_has_metadata_and_its_spec_twice() {
    let cluster = single().await;
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &["os:reader"]).await;
    let resource = get(&wire, "runtime", MACHINE_STATUS, "machine").await.unwrap();
    let found = metadata(&resource);
    assert_eq!(
        (found.namespace.as_str(), found.r#type.as_str()),
        ("runtime", MACHINE_STATUS)
    );
    assert_eq!((found.id.as_str(), found.version.as_str()), ("machine", "1"));
    assert_eq!(
        (found.owner.as_str(), found.phase.as_str()),
        ("runtime.MachineStatusController", "running")
    );
    assert_eq!(found.created, found.updated);
    let decoded = MachineStatusSpec::decode(spec(&resource).proto_spec.clone()).unwrap();
    assert_eq!(decoded.stage, 4);
    assert!(decoded.status.unwrap().ready);
    assert_eq!(
        spec(&resource).yaml_spec,
        "stage: running\nstatus:\n    ready: true\n    unmetConditions: []\n"
    );
    let version = get(&wire, "runtime", "Versions.runtime.talos.dev", "version")
        .await
        .unwrap();
    assert_eq!(spec(&version).yaml_spec, "version: v1.14.0\nname: Talos\n");
    let decoded = VersionSpec::decode(spec(&version).proto_spec.clone()).unwrap();
    assert_eq!(
        (decoded.name.as_str(), decoded.version.as_str()),
        ("Talos", "v1.14.0")
    );
    let hostname = get(&wire, "network", "HostnameStatuses.net.talos.dev", "hostname")
        .await
        .unwrap();
    assert_eq!(
        spec(&hostname).yaml_spec,
        "hostname: sim-controlplane-1\ndomainname: \"\"\n"
    );
    let boot_id = get(&wire, "runtime", "BootIDs.runtime.talos.dev", "boot-id")
        .await
        .unwrap();
    assert!(spec(&boot_id).yaml_spec.contains(&cluster.node(0).boot_id()));
}

#[tokio::test]
async fn all_nodes_agree_about_the_members() {
    let cluster = four_nodes().start().await.unwrap();
    cluster.node(3).set_talos_version("v1.13.9");
    for index in [0, 3] {
        let wire = Wire::admin(&cluster, &cluster.node(index)).await;
        let members = list(&wire, "cluster", MEMBER).await.unwrap();
        let ids: Vec<_> = members
            .iter()
            .map(|member| metadata(member).id.as_str())
            .collect();
        let expected = [
            "sim-controlplane-1",
            "sim-controlplane-2",
            "sim-controlplane-3",
            "sim-worker-1",
        ];
        assert_eq!(ids, expected);
        let worker = MemberSpec::decode(spec(&members[3]).proto_spec.clone()).unwrap();
        assert_eq!((worker.machine_type, worker.control_plane), (3, None));
        assert_eq!(worker.operating_system, "Talos (v1.13.9)");
        assert_eq!(worker.addresses[0].ip.as_ref(), [10, 5, 0, 5]);
        let first = MemberSpec::decode(spec(&members[0]).proto_spec.clone()).unwrap();
        assert_eq!(first.control_plane.unwrap().api_server_port, 6443);
        assert!(
            spec(&members[0])
                .yaml_spec
                .contains("machineType: controlplane\n")
        );
    }
}

#[tokio::test]
async fn the_access_policy_asks_type_then_sensitivity_then_namespace() {
    let cluster = single().await;
    let reader = Wire::with_roles(&cluster, &cluster.node(0), &["os:reader"]).await;
    let admin = Wire::admin(&cluster, &cluster.node(0)).await;
    let config = "MachineConfigs.config.talos.dev";
    let denied = [
        (
            &reader,
            "nowhere",
            "Nonsense",
            "resource type \"Nonsense\" is not supported",
        ),
        (
            &reader,
            "runtime",
            "machinestatus",
            "resource type \"machinestatus\" is not supported",
        ),
        (&reader, "nowhere", config, "not authorized"),
        (
            &admin,
            "nowhere",
            config,
            "namespace \"nowhere\" is not supported",
        ),
        (&reader, "", MACHINE_STATUS, "namespace \"\" is not supported"),
    ];
    for (wire, namespace, kind, message) in denied {
        for status in [
            get(wire, namespace, kind, "x").await.unwrap_err(),
            list(wire, namespace, kind).await.unwrap_err(),
            watch(wire, namespace, kind, None, WatchOptions::default())
                .await
                .unwrap_err(),
        ] {
            assert_eq!(
                (status.code(), status.message()),
                (Code::PermissionDenied, message)
            );
        }
    }
    // Another spelling, or another namespace, passes and finds nothing.
    assert_eq!(
        list(&admin, "runtime", &MACHINE_STATUS.to_uppercase())
            .await
            .unwrap(),
        []
    );
    assert_eq!(list(&admin, "cluster", MACHINE_STATUS).await.unwrap(), []);
    let status = get(&admin, "runtime", MACHINE_STATUS, "x").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(
        status.message(),
        "resource MachineStatuses.runtime.talos.dev(runtime/x@undefined) doesn't exist"
    );
}

#[tokio::test]
async fn nobody_may_write() {
    let cluster = single().await;
    let mut state = Wire::admin(&cluster, &cluster.node(0)).await.state();
    let whole = Resource {
        metadata: Some(Metadata::default()),
        spec: Some(Spec::default()),
    };
    let headless = Resource {
        metadata: None,
        ..whole.clone()
    };
    let bodiless = Resource {
        spec: None,
        ..whole.clone()
    };
    let create = |resource| CreateRequest {
        resource,
        options: None,
    };
    let update = |new_resource| UpdateRequest {
        new_resource,
        options: None,
    };
    let refused = (Code::PermissionDenied, "write access is not allowed");
    let headless_text = (Code::Unknown, "metadata is missing");
    let bodiless_text = (Code::Unknown, "spec is missing");
    let teardown = |id: &str| TeardownRequest {
        namespace: "runtime".to_owned(),
        r#type: MACHINE_STATUS.to_owned(),
        id: id.to_owned(),
        options: None,
    };
    let outcomes = [
        (
            state.create(create(Some(whole.clone()))).await.unwrap_err(),
            refused,
        ),
        (state.create(create(None)).await.unwrap_err(), headless_text),
        (
            state.create(create(Some(headless))).await.unwrap_err(),
            headless_text,
        ),
        (
            state.update(update(Some(bodiless))).await.unwrap_err(),
            bodiless_text,
        ),
        (state.update(update(Some(whole))).await.unwrap_err(), refused),
        (
            state.destroy(DestroyRequest::default()).await.unwrap_err(),
            refused,
        ),
        (state.teardown(teardown("machine")).await.unwrap_err(), refused),
    ];
    for (status, expected) in outcomes {
        assert_eq!((status.code(), status.message()), expected);
    }
    assert_eq!(
        state.teardown(teardown("x")).await.unwrap_err().code(),
        Code::NotFound
    );
}

pub(crate) async fn watch(
    wire: &Wire,
    namespace: &str,
    kind: &str,
    id: Option<&str>,
    options: WatchOptions,
) -> Result<Streaming<WatchResponse>, Status> {
    let request = WatchRequest {
        namespace: namespace.to_owned(),
        r#type: kind.to_owned(),
        id: id.map(str::to_owned),
        options: Some(options),
        api_version: 1,
    };
    let mut stream = wire.state().watch(request).await?.into_inner();
    let first = stream.message().await?.unwrap();
    assert_eq!(
        first.event,
        [],
        "the first message only says that the watch is on"
    );
    Ok(stream)
}

pub(crate) async fn next(stream: &mut Streaming<WatchResponse>) -> Event {
    let mut events = stream.message().await.unwrap().unwrap().event;
    assert_eq!(events.len(), 1);
    events.remove(0)
}

/// Kind of an event, and id and version of its resource.
pub(crate) fn summary(event: &Event) -> (EventType, &str, &str) {
    let found = metadata(event.resource.as_ref().unwrap());
    (event.event_type(), &found.id, &found.version)
}

#[tokio::test]
async fn a_single_watch_begins_with_the_present_and_goes_on_with_changes() {
    let cluster = four_nodes().start().await.unwrap();
    let node = cluster.node(1);
    let wire = Wire::admin(&cluster, &node).await;
    let mut stream = watch(
        &wire,
        "runtime",
        MACHINE_STATUS,
        Some("machine"),
        WatchOptions::default(),
    )
    .await
    .unwrap();
    let event = next(&mut stream).await;
    assert_eq!(summary(&event), (EventType::Created, "machine", "1"));
    assert_eq!(event.bookmark, None);
    node.set_stage(MachineStage::Rebooting);
    let event = next(&mut stream).await;
    assert_eq!(summary(&event), (EventType::Updated, "machine", "2"));
    assert_eq!(metadata(event.old.as_ref().unwrap()).version, "1");
    assert_eq!(event.bookmark.unwrap().len(), 16);
    assert!(
        spec(&event.resource.unwrap())
            .yaml_spec
            .starts_with("stage: rebooting\n")
    );

    let mut stream = watch(
        &wire,
        "runtime",
        MACHINE_STATUS,
        Some("nothing"),
        WatchOptions::default(),
    )
    .await
    .unwrap();
    let event = next(&mut stream).await;
    assert_eq!(summary(&event), (EventType::Destroyed, "nothing", "undefined"));
    assert_eq!(event.resource.unwrap().spec, Some(Spec::default()));
}

#[tokio::test]
async fn a_kind_watch_bootstraps_in_order_and_resumes_from_its_bookmark() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let bootstrap = WatchOptions {
        bootstrap_contents: true,
        ..WatchOptions::default()
    };
    let mut stream = watch(&wire, "runtime", SERVICE, None, bootstrap).await.unwrap();
    let mut ids = Vec::new();
    let bookmark = loop {
        let event = next(&mut stream).await;
        match event.event_type() {
            EventType::Created => ids.push(summary(&event).1.to_owned()),
            EventType::Bootstrapped => {
                assert_eq!(summary(&event), (EventType::Bootstrapped, "", "undefined"));
                break event.bookmark.unwrap();
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(ids.is_sorted() && ids.len() == 11, "{ids:?}");
    node.set_service_state("kubelet", ServiceState::Finished, "done");
    assert_eq!(
        summary(&next(&mut stream).await),
        (EventType::Destroyed, "kubelet", "1")
    );
    drop(stream);
    node.set_service_state("kubelet", ServiceState::Running, "again");
    node.set_service_health("kubelet", true, "");

    let resume = WatchOptions {
        start_from_bookmark: Some(bookmark.clone()),
        ..WatchOptions::default()
    };
    let mut stream = watch(&wire, "runtime", SERVICE, None, resume).await.unwrap();
    assert_eq!(
        summary(&next(&mut stream).await),
        (EventType::Destroyed, "kubelet", "1")
    );
    assert_eq!(
        summary(&next(&mut stream).await),
        (EventType::Created, "kubelet", "1")
    );
    assert_eq!(
        summary(&next(&mut stream).await),
        (EventType::Updated, "kubelet", "2")
    );

    let foreign: Vec<u8> = bookmark.iter().map(|byte| !byte).collect();
    let stale = WatchOptions {
        start_from_bookmark: Some(foreign.into()),
        ..WatchOptions::default()
    };
    let status = watch(&wire, "runtime", SERVICE, None, stale).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::FailedPrecondition, "invalid watch bookmark")
    );
}

#[tokio::test]
async fn tails_replay_the_last_events() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    for stage in [
        MachineStage::Upgrading,
        MachineStage::Rebooting,
        MachineStage::Running,
    ] {
        node.set_stage(stage);
    }
    for id in [None, Some("machine")] {
        let tail = WatchOptions {
            tail_events: 2,
            ..WatchOptions::default()
        };
        let mut stream = watch(&wire, "runtime", MACHINE_STATUS, id, tail).await.unwrap();
        assert_eq!(
            summary(&next(&mut stream).await),
            (EventType::Updated, "machine", "3")
        );
        assert_eq!(
            summary(&next(&mut stream).await),
            (EventType::Updated, "machine", "4")
        );
    }
}

#[tokio::test]
async fn aggregated_watches_put_events_together_and_old_clients_see_no_new_kinds() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let options = WatchOptions {
        bootstrap_contents: true,
        aggregated: true,
        ..WatchOptions::default()
    };
    let mut stream = watch(&wire, "runtime", SERVICE, None, options.clone())
        .await
        .unwrap();
    let events = stream.message().await.unwrap().unwrap().event;
    assert_eq!(events.len(), 12);
    assert_eq!(events[11].event_type(), EventType::Bootstrapped);
    let request = WatchRequest {
        namespace: "runtime".to_owned(),
        r#type: SERVICE.to_owned(),
        options: Some(options),
        ..WatchRequest::default()
    };
    let mut stream = wire.state().watch(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    let events = stream.message().await.unwrap().unwrap().event;
    assert!(
        events
            .iter()
            .all(|event| event.event_type() == EventType::Created)
            && events.len() == 11
    );
}

#[tokio::test]
async fn a_bookmark_can_be_had_without_contents() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let options = WatchOptions {
        bootstrap_bookmark: true,
        ..WatchOptions::default()
    };
    let mut stream = watch(&wire, "runtime", MACHINE_STATUS, None, options)
        .await
        .unwrap();
    let event = next(&mut stream).await;
    assert_eq!(summary(&event), (EventType::Noop, "", "undefined"));
    node.set_stage(MachineStage::ShuttingDown);
    let resume = WatchOptions {
        start_from_bookmark: event.bookmark,
        ..WatchOptions::default()
    };
    let mut stream = watch(&wire, "runtime", MACHINE_STATUS, None, resume)
        .await
        .unwrap();
    assert_eq!(
        summary(&next(&mut stream).await),
        (EventType::Updated, "machine", "2")
    );
}

#[tokio::test]
async fn options_that_exclude_each_other_are_refused() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let bootstrap = WatchOptions {
        bootstrap_contents: true,
        ..WatchOptions::default()
    };
    let labels = WatchOptions {
        label_query: vec![Default::default()],
        ..WatchOptions::default()
    };
    let both = WatchOptions {
        tail_events: 1,
        ..bootstrap.clone()
    };
    let cases = [
        (
            Some("machine"),
            bootstrap,
            Code::Unimplemented,
            "bootstrap contents is not implemented for resource watch",
        ),
        (
            Some("machine"),
            labels,
            Code::Unimplemented,
            "label query is not implemented for resource watch",
        ),
        (
            None,
            both,
            Code::Unknown,
            "cannot use tail events with bootstrap contents",
        ),
    ];
    for (id, options, code, message) in cases {
        let status = watch(&wire, "runtime", MACHINE_STATUS, id, options)
            .await
            .unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message));
    }
}

#[tokio::test]
async fn a_watcher_that_does_not_keep_up_is_told_once() {
    let cluster = SimCluster::builder().start().await.unwrap();
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let tail = WatchOptions {
        tail_events: 1,
        ..WatchOptions::default()
    };
    let mut stream = watch(&wire, "runtime", SERVICE, None, tail).await.unwrap();
    // The test does not yield meanwhile, so that the node cannot send either.
    for n in 0..1_200 {
        node.set_service_health("etcd", n % 2 == 0, &"x".repeat(10));
    }
    let error = loop {
        let event = next(&mut stream).await;
        if event.event_type() == EventType::Errored {
            break event;
        }
    };
    assert_eq!(error.resource, None);
    let text = error.error.unwrap();
    let start = "buffer overrun: namespace \"runtime\" type \"Services.v1alpha1.talos.dev\", write pos ";
    assert!(
        text.starts_with(start) && text.ends_with(", capacity 1024"),
        "{text}"
    );
    // The stream stays open; the connection still works.
    wire.state()
        .get(with(GetRequest::default(), &[]))
        .await
        .unwrap_err();
}
