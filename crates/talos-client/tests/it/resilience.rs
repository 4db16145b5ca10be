//! Which calls are made again, and how long they may take.

use std::time::Duration;

use talos_client::{
    CallOptions, Client, ErrorKind, Origin, Timeouts,
    proto::machine::{RebootRequest, machine_service_client::MachineServiceClient},
    transport::{Attempts, RetryClass, RetryConfig},
};

use crate::support::{Sim, builder_for};

const VERSION: &str = "/machine.MachineService/Version";

#[tokio::test]
async fn reads_go_on_while_one_endpoint_lives() {
    let sim = Sim::start().await;
    for killed in 0..3 {
        sim.client.version().await.expect("answered");
        let used = sim
            .cluster
            .requests()
            .of(VERSION)
            .pop()
            .expect("received")
            .endpoint;
        if killed < 2 {
            sim.cluster.node_by_name(&used).expect("one of ours").kill();
        }
    }
}

#[tokio::test]
async fn a_dead_node_is_asked_for_three_times_and_through_another_endpoint() {
    let sim = Sim::start().await;
    sim.cluster.node(3).kill();
    let error = sim.node(3).version().await.expect_err("it is dead");
    assert_eq!(
        (error.kind(), error.origin(), error.attempts()),
        (ErrorKind::Unavailable, Origin::Endpoint, 3),
        "{error:#}"
    );
    assert!(
        error.to_string().contains("unavailable after 3 attempts:"),
        "{error}"
    );
    let calls = sim.cluster.requests().of(VERSION);
    let mut through: Vec<_> = calls.iter().map(|call| &call.endpoint).collect();
    assert_eq!(through.len(), 3);
    through.dedup();
    assert!(through.len() > 1, "always through {through:?}");
}

#[tokio::test]
async fn retries_can_be_switched_off_for_a_client_and_for_a_call() {
    let sim = Sim::start().await;
    sim.cluster.node(3).kill();
    let name = sim.cluster.node(3).name();
    let off = RetryConfig::off();
    let client = builder_for(&sim.cluster).retry(off).build().expect("a client");
    let node = client.node(&name).expect("a name");
    let twice = CallOptions::new().retry(RetryConfig::new().max_attempts(2));
    for (node, expected) in [
        (node.clone(), 1),
        (node.with_options(twice), 2),
        (sim.node(3).with_options(CallOptions::new().retry(off)), 1),
    ] {
        sim.cluster.requests().clear();
        let error = node.version().await.expect_err("it is dead");
        assert_eq!(error.attempts(), expected, "{error:#}");
        assert_eq!(sim.cluster.requests().of(VERSION).len() as u32, expected);
    }
}

#[tokio::test]
async fn a_stream_to_a_dead_node_is_opened_again_like_a_read() {
    let sim = Sim::start().await;
    sim.cluster.node(3).kill();
    let error = sim.node(3).read("/etc/os-release").await.expect_err("it is dead");
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::Unavailable, 3),
        "{error:#}"
    );
}

#[tokio::test]
async fn an_unsafe_call_is_sent_once_even_if_its_node_cannot_be_reached() {
    let sim = Sim::start().await;
    sim.cluster.node(3).kill();
    let attempts = Attempts::new();
    let mut request = tonic::Request::new(RebootRequest::default());
    let name = sim.cluster.node(3).name().parse().expect("a name");
    request
        .extensions_mut()
        .insert(talos_client::transport::Node(name));
    request.extensions_mut().insert(attempts.clone());
    assert_eq!(RetryClass::default(), RetryClass::Unprocessed);
    let status = MachineServiceClient::new(sim.client.raw())
        .reboot(request)
        .await
        .expect_err("it is dead");
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert_eq!(attempts.count(), 1);
    assert_eq!(
        sim.cluster.requests().of("/machine.MachineService/Reboot").len(),
        1
    );
}

#[tokio::test]
async fn limits_on_silence_are_for_streams_that_have_them() {
    let sim = Sim::start().await;
    sim.cluster.node(0).append_log("kubelet", "before");
    let node = sim.node(0);
    let follow = node.logs("kubelet").tail_lines(1).follow(true);
    let short = CallOptions::new().idle_timeout(Duration::from_millis(1));

    // The line may take longer to come than this, so either of the two waits may be the one that fails.
    let error = match follow.with_options(short).send().await {
        Err(error) => error,
        Ok(mut stream) => loop {
            match stream.next_chunk().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("a followed log does not end"),
            }
        },
    };
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::Timeout, Origin::Local),
        "{error:#}"
    );
    assert!(
        format!("{error:#}").contains("nothing received within 1ms"),
        "{error:#}"
    );
}

#[tokio::test]
async fn no_time_at_all_fails_the_call_before_anything_is_sent() {
    let sim = Sim::start().await;
    let error = sim
        .node(0)
        .with_timeout(Duration::ZERO)
        .version()
        .await
        .expect_err("no time");
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::Timeout, 0),
        "{error:#}"
    );
    let none = CallOptions::new().timeout(Duration::ZERO);
    let error = sim
        .client
        .clone()
        .with_options(none)
        .version()
        .await
        .expect_err("no time");
    assert!(error.is_timeout());
    assert!(sim.cluster.requests().all().is_empty());
}

#[tokio::test]
async fn a_client_without_time_is_not_built() {
    let sim = Sim::start().await;
    let refused = |client: talos_client::Result<Client>, setting: &str| {
        let error = client.expect_err(setting);
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = format!("{error:#}");
        assert!(
            text.contains(&format!("the timeout {setting:?} must not be zero")),
            "{text}"
        );
    };
    let builder = || builder_for(&sim.cluster);
    refused(builder().timeout(Duration::ZERO).build(), "quick");
    refused(
        builder().connect_timeout(Duration::ZERO).build(),
        "connect_timeout",
    );
    let mut timeouts = Timeouts::default();
    timeouts.transfer_idle = Some(Duration::ZERO);
    refused(builder().timeouts(timeouts).build(), "transfer_idle");
}

#[tokio::test]
async fn a_client_can_be_without_limits() {
    let sim = Sim::start().await;
    let mut timeouts = Timeouts::default();
    timeouts.quick = None;
    let client = builder_for(&sim.cluster)
        .timeouts(timeouts)
        .build()
        .expect("a client");
    client.version().await.expect("answered");
    let call = sim.received(VERSION);
    assert_eq!(call.metadata_values("grpc-timeout").count(), 0);
}

#[tokio::test]
async fn layers_of_the_user_see_calls_and_attempts() {
    use http::HeaderValue;
    use tonic::body::Body;
    use tower::util::MapRequestLayer;

    let sim = Sim::start().await;
    sim.cluster.node(3).kill();
    let name = |value: &'static str, header: &'static str| {
        MapRequestLayer::new(move |mut request: http::Request<Body>| {
            request
                .headers_mut()
                .append(header, HeaderValue::from_static(value));
            request
        })
    };
    let client = builder_for(&sim.cluster)
        .call_layer(name("call", "x-layer"))
        .attempt_layer(name("attempt", "x-layer"))
        .build()
        .expect("a client");
    let node = client.node(sim.cluster.node(3).name()).expect("a name");
    node.version().await.expect_err("it is dead");
    let calls = sim.cluster.requests().of(VERSION);
    assert_eq!(calls.len(), 3);
    for call in calls {
        let seen: Vec<_> = call.metadata_values("x-layer").collect();
        assert_eq!(seen, ["call", "attempt"]);
    }
}
