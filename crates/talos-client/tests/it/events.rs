//! Events, and feeds of events and logs across lost connections and reboots.

use prost::Message as _;
use talos_client::{
    ErrorKind, NodeName,
    api::{
        events::{EventGapReason, EventItem, EventPayload, MachineStage},
        logs::{LogGapReason, LogItem},
        machine::ServiceState,
    },
    proto::machine,
};
use talos_testkit::ServiceState as SimState;

use crate::support::Sim;

/// The requests that the cluster received, in order.
fn requests(sim: &Sim) -> Vec<machine::EventsRequest> {
    let calls = sim.cluster.requests().of("/machine.MachineService/Events");
    let message =
        |message: &bytes::Bytes| machine::EventsRequest::decode(message.clone()).expect("a request");
    calls.iter().map(|call| message(&call.messages[0])).collect()
}

/// Ends all connections, since any control plane node may be the endpoint of a call.
fn disconnect(sim: &Sim) {
    for index in 0..3 {
        sim.cluster.node(index).disconnect_clients();
    }
}

/// The message of a change of this service's state, if it is one.
fn said(payload: &EventPayload) -> Option<&str> {
    match payload {
        EventPayload::ServiceState(event) if event.service == "kubelet" => Some(&event.message),
        _ => None,
    }
}

// covers: machine.MachineService/Events
#[tokio::test]
async fn events_begin_where_asked_and_are_typed() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(0);
    node.set_service_state("kubelet", SimState::Stopping, "one");
    node.set_service_state("kubelet", SimState::Running, "two");
    // The stage of the machine is told about between them.
    let mut events = sim.node(0).events().last(4).send().await.expect("opened");
    assert!(events.began_at().is_some());
    let mut saying = async |wanted: &str| loop {
        let event = events.next_event().await.expect("open").expect("an event");
        if said(event.payload()) == Some(wanted) {
            return event;
        }
    };
    let two = saying("two").await;
    let EventPayload::ServiceState(state) = two.payload() else {
        panic!("{two:?}")
    };
    assert_eq!(
        (state.service.as_str(), &state.state, state.message.as_str()),
        ("kubelet", &ServiceState::Running, "two")
    );
    assert_eq!(two.actor_id(), None);
    node.set_service_state("kubelet", SimState::Stopping, "three");
    let three = saying("three").await;
    assert!(three.id() > two.id());

    let mut after = sim
        .node(0)
        .events()
        .after(two.id().expect("an id"))
        .send()
        .await
        .expect("opened");
    loop {
        let again = after.next_event().await.expect("open").expect("an event");
        assert!(again.id() > two.id(), "{again:?}");
        if again.id() == three.id() {
            break;
        }
    }
    let sent = requests(&sim);
    assert_eq!(sent[0].tail_events, 4);
    assert_eq!(sent[1].tail_id, two.id().expect("an id").to_string());
    assert!(sent.iter().all(|request| request.with_actor_id.is_empty()));

    node.end_event_streams();
    while let Some(event) = events.next_event().await {
        event.expect("an end in good order is no error");
    }
    let error = sim.node(0).events().actor("").send().await.expect_err("no actor");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(requests(&sim).len(), 2, "nothing was sent");
}

// covers: machine.MachineService/Events
#[tokio::test]
async fn a_feed_goes_on_after_the_last_event_and_repeats_none() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(1);
    for text in ["one", "two"] {
        node.set_service_state("kubelet", SimState::Running, text);
    }
    let mut feed = sim.node(1).events().last(2).reattach();
    let mut seen = Vec::new();
    for (number, text) in ["three", "four", "five"].into_iter().enumerate() {
        while seen.len() < number + 2 {
            match feed.next_item().await.expect("open").expect("an item") {
                EventItem::Event(event) => seen.push(said(event.payload()).expect("ours").to_owned()),
                other => panic!("nothing is missing: {other:?}"),
            }
        }
        // While nobody listens.
        if number == 1 {
            disconnect(&sim);
        } else {
            node.end_event_streams();
        }
        node.set_service_state("kubelet", SimState::Running, text);
    }
    let last = feed.next_item().await.expect("open").expect("an item");
    assert!(matches!(last, EventItem::Event(event) if said(event.payload()) == Some("five")));
    assert_eq!(seen, ["one", "two", "three", "four"]);
    let sent = requests(&sim);
    assert_eq!(sent[0].tail_events, 2);
    assert!(
        sent[1..].iter().all(|request| !request.tail_id.is_empty()),
        "{sent:?}"
    );
}

// covers: machine.MachineService/Events
#[tokio::test]
async fn a_feed_tells_what_more_events_than_are_kept_hide() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(0);
    for text in ["one", "two"] {
        node.set_service_state("kubelet", SimState::Running, text);
    }
    let mut feed = sim.node(0).events().last(2).reattach();
    for text in ["one", "two"] {
        let item = feed.next_item().await.expect("open").expect("an item");
        assert!(matches!(item, EventItem::Event(event) if said(event.payload()) == Some(text)));
    }
    node.end_event_streams();
    for number in 0..1100 {
        node.set_service_state("kubelet", SimState::Running, &number.to_string());
    }
    let EventItem::Gap(gap) = feed.next_item().await.expect("open").expect("an item") else {
        panic!("events are missing");
    };
    assert_eq!(gap.reason, EventGapReason::HistoryLost);
    assert!(gap.after.is_some());
    let EventItem::Event(event) = feed.next_item().await.expect("open").expect("an item") else {
        panic!("one gap only");
    };
    let first: u32 = said(event.payload()).expect("ours").parse().expect("a number");
    assert!(first > 0, "the oldest that is kept");
}

// covers: machine.MachineService/Events
#[tokio::test]
async fn a_feed_survives_a_reboot_and_says_so() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(1);
    let before = node.boot_id();
    assert_eq!(sim.node(1).boot_id().await.expect("known"), before);
    let mut feed = sim.node(1).events().reattach();
    feed.attached().await.expect("attached");
    sim.node(1).reboot().send().await.expect("accepted");
    let mut rebooted = false;
    loop {
        match feed.next_item().await.expect("open").expect("an item") {
            EventItem::Gap(gap) => {
                assert_eq!(gap.reason, EventGapReason::Rebooted);
                assert!(!rebooted, "one reboot only");
                rebooted = true;
            }
            EventItem::Event(event) if rebooted => {
                if let EventPayload::MachineStatus(status) = event.payload()
                    && status.stage == MachineStage::Running
                {
                    break;
                }
            }
            _ => {}
        }
    }
    assert_ne!(node.boot_id(), before);
    assert_ne!(sim.node(1).boot_id().await.expect("known"), before);
}

#[tokio::test]
async fn a_feed_ends_with_a_failure_that_does_not_pass() {
    let sim = Sim::start().await;
    let nobody = sim.client_with_roles(&["os:etcd:backup"]);
    let node = nobody.node(sim.cluster.node(0).name()).expect("a name");
    let mut feed = node.events().reattach();
    let error = feed.next_item().await.expect("open").expect_err("denied");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:#}");
    assert_eq!(
        error.node().map(NodeName::as_str),
        Some(sim.cluster.node(0).name().as_str())
    );
    assert!(feed.next_item().await.is_none());
    let mut log = node.logs("kubelet").reattach();
    let error = log.next_item().await.expect("open").expect_err("denied");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:#}");
    assert!(log.next_item().await.is_none());
}

async fn next(feed: &mut talos_client::api::logs::LogFeed) -> LogItem {
    feed.next_item().await.expect("open").expect("an item")
}

fn line(text: &str) -> LogItem {
    LogItem::Line(text.to_owned())
}

// covers: machine.MachineService/Logs
#[tokio::test]
async fn a_log_with_times_goes_on_where_it_was_left() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(0);
    let texts = [
        "2099-01-02T03:04:05.1Z one",
        "2099-01-02T03:04:05.2Z two",
        "2099-01-02T03:04:05.2Z two again",
        "2099-01-02T03:04:05.3Z three",
    ];
    node.append_log("etcd", texts[0]);
    let mut feed = sim.node(0).logs("etcd").tail_lines(1).reattach();
    assert_eq!(next(&mut feed).await, line(texts[0]));
    node.append_log("etcd", texts[1]);
    assert_eq!(next(&mut feed).await, line(texts[1]));
    disconnect(&sim);
    for text in &texts[2..] {
        node.append_log("etcd", text);
    }
    assert_eq!(next(&mut feed).await, line(texts[2]));
    assert_eq!(next(&mut feed).await, line(texts[3]));
    let calls = sim.cluster.requests().of("/machine.MachineService/Logs");
    let sent: Vec<_> = calls
        .iter()
        .map(|call| machine::LogsRequest::decode(call.messages[0].clone()).expect("a request"))
        .map(|request| (request.follow, request.tail_lines))
        .collect();
    assert_eq!(sent, [(true, 1), (true, -1)]);
}

// covers: machine.MachineService/Logs
#[tokio::test]
async fn a_log_without_times_has_a_gap() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(0);
    node.append_log("etcd", "one");
    let mut feed = sim.node(0).logs("etcd").tail_lines(1).reattach();
    assert_eq!(next(&mut feed).await, line("one"));
    disconnect(&sim);
    // Nodes answer with the first line only, so it has to come once the log is open again.
    let appended = async {
        sim.cluster
            .requests()
            .wait_for(|call| {
                call.method.ends_with("/Logs")
                    && call.messages.first().is_some_and(|message| {
                        machine::LogsRequest::decode(message.clone())
                            .is_ok_and(|request| request.tail_lines == 0)
                    })
            })
            .await;
        node.append_log("etcd", "two");
    };
    let (item, ()) = tokio::join!(next(&mut feed), appended);
    let LogItem::Gap(gap) = item else {
        panic!("{item:?}")
    };
    assert_eq!((gap.reason, gap.after), (LogGapReason::NoTimes, None));
    assert_eq!(next(&mut feed).await, line("two"));
}
