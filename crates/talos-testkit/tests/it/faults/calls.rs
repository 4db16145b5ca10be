//! Calls that fail, wait, or hang.

use std::time::Duration;

use futures_util::FutureExt as _;
use talos_testkit::fault::CallFault;
use talos_testkit::{Code, SimError};

use super::{VERSION, empty, reason, version};
use crate::wire::Wire;
use crate::{four_nodes, single};

fn flaky(text: &str) -> (Code, String) {
    (Code::Unavailable, text.to_owned())
}

fn fine() -> (Code, String) {
    (Code::Ok, String::new())
}

#[tokio::test]
async fn a_status_can_be_given_to_certain_calls_of_a_node() {
    let cluster = four_nodes().start().await.unwrap();
    let fault = CallFault::on_node("10.5.0.3").method("Version").calls(2..=3);
    let fault = cluster.inject(fault.status(Code::Unavailable, "flaky")).unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let other = Wire::admin(&cluster, &cluster.node(1)).await;
    let node = [("node", "10.5.0.3")];
    assert_eq!(version(&wire, &node).await, fine());
    assert_eq!(
        version(&other, &[]).await,
        flaky("flaky"),
        "by another endpoint, too"
    );
    assert_eq!(version(&wire, &[]).await, fine(), "another node");
    wire.machine()
        .hostname(crate::wire::with((), &node))
        .await
        .unwrap();
    assert_eq!(version(&wire, &node).await, flaky("flaky"));
    assert_eq!(version(&wire, &node).await, fine());
    assert_eq!((fault.seen(), fault.hits()), (4, 2));
    let recorded = cluster.requests();
    assert_eq!(recorded.attempts("Version"), 5);
    assert_eq!(recorded.count(|call| call.code == Some(Code::Unavailable)), 2);
}

#[tokio::test]
async fn faults_are_asked_in_order_until_one_settles_the_matter() {
    let cluster = single().await;
    let counting = cluster.inject(CallFault::on_nodes()).unwrap();
    let first = CallFault::on_nodes().calls(2..).status(Code::Internal, "first");
    let first = cluster.inject(first).unwrap();
    let second = CallFault::on_nodes().status(Code::Unavailable, "second");
    let second = cluster.inject(second).unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    assert_eq!(version(&wire, &[]).await, flaky("second"));
    assert_eq!(version(&wire, &[]).await, (Code::Internal, "first".to_owned()));
    first.remove();
    assert_eq!(version(&wire, &[]).await, flaky("second"));
    assert_eq!((counting.hits(), first.hits(), second.hits()), (3, 1, 2));
    cluster.clear_faults();
    assert_eq!(version(&wire, &[]).await, fine());
    assert_eq!(counting.seen(), 3);
}

#[tokio::test]
async fn places_are_told_apart() {
    let cluster = four_nodes().start().await.unwrap();
    let status =
        |fault: CallFault, text: &str| cluster.inject(fault.status(Code::Unavailable, text)).unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let node = [("node", "10.5.0.3")];

    let hop = status(CallFault::on_hop_to("10.5.0.3").from_node("10.5.0.2"), "hop");
    assert_eq!(version(&wire, &node).await, flaky("hop"));
    assert_eq!(version(&wire, &[]).await, fine());
    let other = Wire::admin(&cluster, &cluster.node(2)).await;
    assert_eq!(version(&other, &node).await, fine(), "the hop from another node");
    hop.remove();

    let endpoint = status(CallFault::on_endpoint("sim-controlplane-1"), "endpoint");
    assert_eq!(version(&wire, &node).await, flaky("endpoint"));
    assert_eq!(version(&other, &node).await, fine());
    endpoint.remove();

    let any = status(CallFault::on_hops(), "any hop");
    assert_eq!(
        version(&wire, &[("node", "10.5.0.2")]).await,
        flaky("any hop"),
        "to itself"
    );
    assert_eq!(version(&wire, &[]).await, fine());
    any.remove();
}

#[tokio::test]
async fn a_call_that_fails_at_the_endpoint_has_no_effect_and_is_recorded() {
    let cluster = single().await;
    let fault = CallFault::on_endpoints().status(Code::ResourceExhausted, "no");
    cluster.inject(fault).unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    assert_eq!(version(&wire, &[]).await.0, Code::ResourceExhausted);
    let call = &cluster.requests().all()[0];
    assert!(call.handled_by.is_empty());
    assert_eq!(
        (call.code, call.status_message.as_str()),
        (Some(Code::ResourceExhausted), "no")
    );
    assert_eq!((call.number, call.connection, call.name()), (1, 1, "Version"));
    assert_eq!(
        call.authority.as_deref(),
        Some(cluster.node(0).endpoint().as_str())
    );
}

#[tokio::test]
async fn an_answer_can_be_lost_after_the_call_took_effect() {
    let cluster = four_nodes().start().await.unwrap();
    let lost = CallFault::on_endpoint("10.5.0.2").disconnect().after_messages(0);
    cluster.inject(lost).unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    wire.machine().version(()).await.unwrap_err();
    let call = cluster.requests().wait_for(|call| call.code.is_some()).await;
    assert_eq!(call.handled_by, ["10.5.0.2"]);
    let relayed = CallFault::on_node("10.5.0.3").disconnect().after_messages(0);
    cluster.inject(relayed).unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(1)).await;
    assert_eq!(version(&wire, &[]).await, flaky("error reading from server: EOF"));
    assert_eq!(
        version(&wire, &[("node", "10.5.0.4")]).await,
        fine(),
        "the client's connection lives"
    );
}

#[tokio::test]
async fn streams_are_reset_with_any_code() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let reset = cluster.inject(CallFault::on_endpoints().reset_stream(7)).unwrap();
    let error = wire.try_raw(VERSION, empty()).await.unwrap_err();
    assert_eq!(reason(&error), Some(h2::Reason::REFUSED_STREAM));
    reset.remove();
    cluster.inject(CallFault::on_nodes().reset_stream(7)).unwrap();
    let expected = "stream terminated by RST_STREAM with error code: REFUSED_STREAM";
    assert_eq!(version(&wire, &[]).await, flaky(expected));
    let codes: Vec<_> = cluster.requests().all().iter().map(|call| call.code).collect();
    assert_eq!(codes, [Some(Code::Unavailable); 2]);
}

#[tokio::test]
async fn a_hanging_call_answers_no_deadline_on_an_endpoint_and_does_on_a_node() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let hanging = cluster.inject(CallFault::on_endpoints().hang()).unwrap();
    let mut call = Box::pin(wire.raw(VERSION, &[("grpc-timeout", "1n")], empty()));
    tokio::select! {
        _ = &mut call => panic!("an answer"),
        () = hanging.wait_for_hits(1) => {}
    }
    hanging.remove();
    assert_eq!(version(&wire, &[]).await, fine());
    assert!(
        (&mut call).now_or_never().is_none(),
        "a fault that was removed has hit what it has hit"
    );
    cluster.inject(CallFault::on_nodes().hang()).unwrap();
    let (code, message) = version(&wire, &[("grpc-timeout", "20m")]).await;
    assert_eq!(
        (code, message.as_str()),
        (Code::DeadlineExceeded, "context deadline exceeded")
    );
}

#[tokio::test(start_paused = true)]
async fn delays_add_up() {
    let cluster = single().await;
    for seconds in [100, 20] {
        let late = CallFault::on_nodes().delay(Duration::from_secs(seconds));
        cluster.inject(late).unwrap();
    }
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let sent = tokio::time::Instant::now();
    assert_eq!(version(&wire, &[]).await, fine());
    assert!(sent.elapsed() >= Duration::from_secs(120));
    assert!(sent.elapsed() < Duration::from_secs(180));
}

#[tokio::test]
async fn luck_is_repeated_with_the_seed() {
    let mut runs = Vec::new();
    for seed in [3, 3, 4] {
        let cluster = crate::four_nodes().seed(seed).start().await.unwrap();
        let fault = CallFault::on_nodes()
            .probability(0.5)
            .status(Code::Aborted, "bad luck");
        cluster.inject(fault).unwrap();
        let wire = Wire::admin(&cluster, &cluster.node(0)).await;
        let mut codes = Vec::new();
        for _ in 0..32 {
            codes.push(version(&wire, &[]).await.0);
        }
        assert!(
            codes.contains(&Code::Ok) && codes.contains(&Code::Aborted),
            "{codes:?}"
        );
        runs.push(codes);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn names_that_are_no_nodes_are_refused() {
    let cluster = single().await;
    let error = cluster.inject(CallFault::on_node("nowhere").hang()).unwrap_err();
    assert!(matches!(&error, SimError::UnknownNode { name } if name == "nowhere"));
    assert_eq!(error.to_string(), "the cluster has no node called nowhere");
    let hop = CallFault::on_hops().from_node("nobody").hang();
    cluster.node(0).inject(hop).unwrap_err();
}
