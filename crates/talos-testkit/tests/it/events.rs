//! The event stream: where it begins, what it tells, how it ends.

use std::time::Duration;

use talos_proto::machine::{
    Event, EventsRequest, MachineStatusEvent, RebootRequest, ServiceStateEvent, machine_status_event,
    service_state_event,
};
use talos_testkit::{Code, MachineStage, ReadyCondition, ServiceState, SimNode};
use tonic::{Status, Streaming};

use crate::single;
use crate::wire::Wire;

/// Opens the stream and reads its hello.
pub(crate) async fn subscribe(wire: &Wire, request: EventsRequest) -> (Event, Streaming<Event>) {
    let mut stream = wire.machine().events(request).await.unwrap().into_inner();
    let hello = stream.message().await.unwrap().unwrap();
    (hello, stream)
}

/// What is kept, without waiting for more: the bus is asked to end its streams.
async fn replay(node: &SimNode, wire: &Wire, request: EventsRequest) -> Result<Vec<Event>, Status> {
    let (_, mut stream) = subscribe(wire, request).await;
    node.end_event_streams();
    let mut events = Vec::new();
    while let Some(event) = stream.message().await? {
        events.push(event);
    }
    Ok(events)
}

/// Reads on until an event satisfies `wanted`, and returns it.
pub(crate) async fn until(stream: &mut Streaming<Event>, wanted: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = stream.message().await.unwrap().unwrap();
        if wanted(&event) {
            return event;
        }
    }
}

pub(crate) fn decode<M: prost::Message + Default>(event: &Event, name: &str) -> Option<M> {
    let data = event.data.as_ref()?;
    let found = data.type_url.strip_prefix("talos/runtime/")? == name;
    found.then(|| M::decode(data.value.as_slice()).unwrap())
}

fn tail(count: i32) -> EventsRequest {
    EventsRequest {
        tail_events: count,
        ..EventsRequest::default()
    }
}

// covers: machine.MachineService/Events
#[tokio::test]
async fn the_first_message_says_hello() {
    let cluster = single().await;
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &["os:reader"]).await;
    let request = EventsRequest {
        with_actor_id: "me".to_owned(),
        ..EventsRequest::default()
    };
    let (hello, _) = subscribe(&wire, request).await;
    let data = hello.data.unwrap();
    assert_eq!((data.type_url.as_str(), data.value.len()), ("", 0));
    assert_eq!((hello.actor_id.as_str(), hello.id.len()), ("me", 20));
    let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'v').contains(&byte);
    assert!(hello.id.bytes().all(digits), "{}", hello.id);
}

// covers: machine.MachineService/Events
#[tokio::test]
async fn streams_begin_where_they_are_asked_to() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let count = async |request| replay(&node, &wire, request).await.unwrap().len();
    let all = replay(&node, &wire, tail(-1)).await.unwrap();
    assert!(all.len() > 60, "{}", all.len());
    assert!(all.iter().map(|event| &event.id).is_sorted());
    assert_eq!(count(EventsRequest::default()).await, 0);
    assert_eq!(count(tail(5)).await, 5);
    assert_eq!(count(tail(20)).await, 20);
    let after = |id: &str| EventsRequest {
        tail_id: id.to_owned(),
        ..EventsRequest::default()
    };
    assert_eq!(count(after(&all[all.len() - 15].id)).await, 14);
    assert_eq!(count(after("00000000000000000000")).await, all.len());
    let young = |seconds| EventsRequest {
        tail_seconds: seconds,
        ..EventsRequest::default()
    };
    assert_eq!(count(young(100_000)).await, all.len());
    assert!(count(young(300)).await < 10, "the boot was ten minutes ago");
    node.set_service_state("ext-hello", ServiceState::Starting, "Starting service");
    assert!(count(young(300)).await >= 1);
}

// covers: machine.MachineService/Events
#[tokio::test]
async fn bad_positions_are_reported_after_the_hello() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let id = node.events()[0].id.clone();
    let request = |tail_events, tail_id: &str, tail_seconds| EventsRequest {
        tail_events,
        tail_id: tail_id.to_owned(),
        tail_seconds,
        with_actor_id: String::new(),
    };
    let id_text = "WithTailID can't be specified at the same time with WithTailEvents or WithTailDuration";
    let duration_text =
        "WithTailDuration can't be specified at the same time with WithTailEvents or WithTailID";
    for (request, text) in [
        (request(1, &id, 0), id_text),
        (request(1, &id, 1), id_text),
        (request(-1, "", 1), duration_text),
        (request(0, &id, 1), duration_text),
        (
            request(0, "nonsense", 0),
            "error parsing tail_id: xid: invalid ID",
        ),
    ] {
        let (_, mut stream) = subscribe(&wire, request).await;
        let status = stream.message().await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unknown, text));
    }
}

// covers: machine.MachineService/Events
#[tokio::test]
async fn services_and_status_are_told() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let (_, mut stream) = subscribe(&wire, EventsRequest::default()).await;
    node.set_service_state("etcd", ServiceState::Stopping, "Sending SIGTERM");
    let event = stream.message().await.unwrap().unwrap();
    let service: ServiceStateEvent = decode(&event, "machine.ServiceStateEvent").unwrap();
    assert_eq!(service.service, "etcd");
    assert_eq!(service.action(), service_state_event::Action::Stopping);
    assert_eq!(service.message, "Sending SIGTERM");
    assert_eq!(service.health.unwrap().last_message, "service not running");
    let status = async |stream: &mut Streaming<Event>| {
        let event = stream.message().await.unwrap().unwrap();
        decode::<MachineStatusEvent>(&event, "machine.MachineStatusEvent").unwrap()
    };
    let unmet = status(&mut stream).await.status.unwrap();
    assert!(!unmet.ready);
    let conditions = unmet.unmet_conditions;
    assert_eq!(
        (conditions[0].name.as_str(), conditions[0].reason.as_str()),
        ("services", "etcd not running")
    );
    node.set_condition(ReadyCondition::Time, Some("time is not synced"));
    let names: Vec<_> = status(&mut stream)
        .await
        .status
        .unwrap()
        .unmet_conditions
        .into_iter()
        .map(|condition| condition.name)
        .collect();
    assert_eq!(names, ["time", "services"]);
    node.set_stage(MachineStage::Resetting);
    let event = status(&mut stream).await;
    assert_eq!(event.stage(), machine_status_event::MachineStage::Resetting);
    assert!(
        event.status.unwrap().ready,
        "conditions count while booting and running"
    );
}

// covers: machine.MachineService/Events
#[tokio::test]
async fn an_actor_sees_only_its_own_events_and_positions_are_counted_before() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    node.hold_task("stopAllPods");
    let reply = wire.machine().reboot(RebootRequest::default()).await.unwrap();
    let actor = reply.into_inner().messages.remove(0).actor_id;
    let (_, mut others) = subscribe(&wire, tail(-1)).await;
    until(&mut others, |event| event.actor_id == actor).await;
    node.set_service_state("etcd", ServiceState::Stopping, "x");
    let mine = |tail_events| EventsRequest {
        tail_events,
        with_actor_id: actor.clone(),
        ..EventsRequest::default()
    };
    let (_, mut stream) = subscribe(&wire, mine(-1)).await;
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(first.actor_id, actor);
    assert_eq!(
        first.data.unwrap().type_url,
        "talos/runtime/machine.SequenceEvent"
    );
    // The last event is that of the service.
    assert_eq!(replay(&node, &wire, mine(1)).await.unwrap().len(), 0);
}

// covers: machine.MachineService/Events
#[tokio::test]
async fn a_reader_that_the_ring_overruns_ends_without_an_error() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let (_, mut stream) = subscribe(&wire, EventsRequest::default()).await;
    // More than the ring and all windows between here and there hold.
    let text = "x".repeat(4096);
    (0..4000).for_each(|_| node.set_service_state("ext-noise", ServiceState::Waiting, &text));
    let mut seen = 0;
    while stream.message().await.unwrap().is_some() {
        seen += 1;
    }
    assert!(seen < 4000, "{seen}");
    assert_eq!(replay(&node, &wire, tail(-1)).await.unwrap().len(), 990);
    let call = cluster.requests().of("Events").remove(0);
    assert_eq!(call.code, Some(Code::Ok));
}

// covers: machine.MachineService/Events
#[tokio::test(start_paused = true)]
async fn seconds_are_those_of_the_runtime() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    node.set_service_state("ext-old", ServiceState::Waiting, "old");
    tokio::time::advance(Duration::from_secs(60)).await;
    node.set_service_state("ext-new", ServiceState::Waiting, "new");
    let request = EventsRequest {
        tail_seconds: 30,
        ..EventsRequest::default()
    };
    let events = replay(&node, &wire, request).await.unwrap();
    let services: Vec<_> = events
        .iter()
        .filter_map(|event| decode::<ServiceStateEvent>(event, "machine.ServiceStateEvent"))
        .map(|event| event.service)
        .collect();
    assert_eq!(services, ["ext-new"]);
}
