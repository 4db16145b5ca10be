//! Signed requests to the simulated endpoint, and what the nodes behind it see.

use std::time::{Duration, SystemTime};

use talos_client::{Client, Error, ErrorKind, Node, config::Talosconfig, siderov1::SideroV1Config};
use talos_testkit::{
    SimCluster,
    omni::{SignatureProblem, SimOmni},
};

use crate::support::shown;

struct Setup {
    cluster: SimCluster,
    omni: SimOmni,
}

impl Setup {
    async fn new() -> Self {
        let cluster = SimCluster::builder().control_planes(3).workers(1).start().await;
        let cluster = cluster.expect("started");
        let omni = SimOmni::in_front_of(&cluster).expect("started");
        Self { cluster, omni }
    }

    fn account(&self, name: &str, role: &str) -> String {
        self.omni.service_account(name, [role]).expect("a key")
    }

    /// The worker, as the account with this key sees it.
    fn node(&self, config: SideroV1Config) -> Node {
        let talosconfig = self.omni.talosconfig("me@example.com");
        let client = Client::builder()
            .talosconfig(Talosconfig::parse(talosconfig).expect("a talosconfig"))
            .siderov1(config)
            .build();
        client.expect("a client").node("10.5.0.5").expect("a name")
    }

    fn last_problem(&self) -> SignatureProblem {
        self.omni.refused().pop().expect("a refused call").problem
    }
}

fn with_key(key: &str) -> SideroV1Config {
    SideroV1Config::new().service_account_key(key)
}

fn refused(outcome: Result<String, Error>) {
    let error = outcome.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:#}");
    assert_eq!(error.message(), Some("invalid signature"), "{error:#}");
}

#[tokio::test]
async fn calls_of_a_service_account_reach_nodes_with_its_roles() {
    let setup = Setup::new().await;
    let key = setup.account("ci", "os:reader");
    let node = setup.node(with_key(&key));
    assert_eq!(node.hostname().await.expect("an answer"), "sim-worker-1");
    let call = setup.cluster.requests().of("Hostname").pop().expect("a call");
    assert_eq!(call.endpoint, "10.5.0.2");
    assert_eq!(call.node(), Some("10.5.0.5"));
    assert_eq!(call.handled_by, ["10.5.0.5"]);
    assert_eq!(call.roles, ["os:reader"]);
    assert_eq!(call.metadata_values("context").collect::<Vec<_>>(), ["sim"]);
    let signature = call.metadata_values("x-sidero-signature").next();
    assert!(signature.is_some_and(|text| text.starts_with("siderov1 ci ")));

    setup.cluster.node(3).append_log("kubelet", "hello");
    let log = node.logs("kubelet").tail_lines(1).send().await.expect("a stream");
    let line = log.lines().next_line().await.expect("a line").expect("a line");
    assert_eq!(line, "hello");

    let error = node.reboot().send().await.expect_err("not allowed");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:#}");
    assert!(setup.omni.refused().is_empty());
}

#[tokio::test]
async fn another_node_is_the_way_in_when_the_first_one_is_down() {
    let setup = Setup::new().await;
    let node = setup.node(with_key(&setup.account("ci", "os:reader")));
    node.hostname().await.expect("an answer");
    setup.cluster.node(0).kill();
    assert_eq!(node.hostname().await.expect("an answer"), "sim-worker-1");
    let call = setup.cluster.requests().of("Hostname").pop().expect("a call");
    assert_eq!(call.endpoint, "10.5.0.3");
}

#[tokio::test]
async fn a_call_whose_way_in_goes_down_ends() {
    let setup = Setup::new().await;
    let node = setup.node(with_key(&setup.account("ci", "os:reader")));
    let log = node.logs("kubelet").follow(true).send().await.expect("a stream");
    let mut lines = log.lines();
    lines.next_line().await.expect("a line").expect("a line");
    setup.cluster.node(0).kill();
    let error = loop {
        match lines.next_line().await.expect("a line or an error") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}");
}

#[tokio::test]
async fn signatures_that_are_no_good_are_refused_for_a_reason() {
    let setup = Setup::new().await;
    let key = setup.account("ci", "os:reader");
    let late = || SystemTime::now() - Duration::from_secs(600);
    refused(setup.node(with_key(&key).clock(late)).hostname().await);
    assert_eq!(setup.last_problem(), SignatureProblem::Clock);

    let stranger = Setup::new().await.account("ci", "os:reader");
    refused(setup.node(with_key(&stranger)).hostname().await);
    let problem = setup.last_problem();
    assert!(
        matches!(&problem, SignatureProblem::UnknownKey { identity, .. } if identity == "ci"),
        "{problem:?}"
    );

    let node = setup.node(with_key(&key));
    node.hostname().await.expect("an answer");
    setup.omni.revoke("ci");
    refused(node.hostname().await);
    assert_eq!(setup.omni.refused().len(), 3, "service accounts try once");
    assert_eq!(setup.cluster.requests().attempts("Hostname"), 1);
}

#[tokio::test]
async fn the_key_of_an_account_is_in_no_text() {
    let setup = Setup::new().await;
    let key = setup.account("ci", "os:reader");
    let config = with_key(&key);
    setup.omni.revoke("ci");
    let error = setup.node(config.clone()).hostname().await.expect_err("refused");
    let texts = [
        format!("{config:?}"),
        shown(&error),
        format!("{:?}", setup.omni),
        format!("{:?}", setup.omni.refused()),
        setup.omni.talosconfig("me@example.com"),
    ];
    for text in texts {
        assert!(!text.contains(&key[..40]) && !text.contains("PRIVATE"), "{text}");
    }
}
