//! Scenario files.

use talos_testkit::Code;
use talos_testkit::scenario::Scenario;

use crate::faults::version;
use crate::wire::Wire;

/// Line, column and text of what is wrong with `text`.
fn wrong(text: &str) -> (u64, u64, String) {
    let error = Scenario::parse(text).unwrap_err();
    (error.line().unwrap(), error.column().unwrap(), error.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_scenario_makes_a_cluster_and_happens_in_it() {
    let scenario = Scenario::parse(
        "
cluster:
  name: prod
  nodes: 2+1
  profile: v1.13
  seed: 7
nodes:
  10.5.0.3:
    profile: v1.12.4
    stage: booting
    services: { kubelet: Failed }
    log: { kubelet: [one, two] }
    files: { /etc/motd: hello }
  10.5.0.4:
    down: true
faults:
  - on: node
    node: 10.5.0.3
    method: [Version, Hostname]
    calls: 2..3
    status: { code: UNAVAILABLE, message: flaky }
  - on: endpoint
    method: Memory
    resetStream: REFUSED_STREAM
    afterMessages: 0
timeline:
  - at: 1m
    revive: prod-worker-1
  - at: 30s
    clearFaults: true
    fault: { on: node, status: { code: Aborted } }
",
    )
    .unwrap();
    let cluster = scenario.builder().start().await.unwrap();
    scenario.apply(&cluster).unwrap();
    assert_eq!(cluster.name(), "prod");
    assert_eq!(cluster.nodes().len(), 3);
    let (node, worker) = (cluster.node(1), cluster.node(2));
    assert!(!worker.is_running());
    let wire = Wire::admin(&cluster, &node).await;
    let reply = wire.machine().version(()).await.unwrap().into_inner();
    assert_eq!(reply.messages[0].version.as_ref().unwrap().tag, "v1.12.4");
    assert_eq!(version(&wire, &[]).await, (Code::Unavailable, "flaky".to_owned()));
    scenario.play(&cluster).await.unwrap();
    assert!(worker.is_running());
    assert_eq!(version(&wire, &[]).await.0, Code::Aborted);
}

#[tokio::test]
async fn a_scenario_may_begin_without_configurations() {
    let scenario = Scenario::parse("cluster: { nodes: 1+1, maintenance: true }\n").unwrap();
    let cluster = scenario.builder().start().await.unwrap();
    assert!(cluster.node(0).is_in_maintenance() && cluster.node(1).is_in_maintenance());
    assert!(!cluster.is_bootstrapped());
}

#[test]
fn what_is_wrong_has_line_and_column() {
    let cases = [
        ("cluster:\n  nodes: many\n", 2, 10, "write 3+2"),
        ("cluster:\n  profile: v0.1\n", 2, 12, "no Talos release"),
        (
            "faults:\n  - on: node\n    calls: 3..2\n",
            3,
            12,
            "range of calls",
        ),
        (
            "faults:\n  - on: node\n    status: { code: Fine }\n",
            3,
            21,
            "no status code",
        ),
        ("timeline:\n  - at: soon\n", 2, 9, "no duration"),
        ("nodes:\n  10.5.0.2:\n    stage: happy\n", 3, 12, "no stage"),
        (
            "nodes:\n  10.5.0.2:\n    services: { etcd: Tired }\n",
            3,
            23,
            "no state of a service",
        ),
        (
            "faults:\n  - on: node\n    refuse: true\n",
            2,
            9,
            "`refuse` means nothing for faults of calls",
        ),
        (
            "faults:\n  - on: connection\n    hang: true\n",
            2,
            9,
            "`hang` means nothing for faults of connections",
        ),
        (
            "faults:\n  - on: node\n    hang: true\n    disconnect: true\n",
            2,
            9,
            "exclude each other",
        ),
        (
            "faults:\n  - on: node\n    probability: 1.5\n",
            3,
            18,
            "between 0 and 1",
        ),
        (
            "timeline:\n  - at: 1s\n    fault: { on: node, fromNode: a }\n",
            3,
            18,
            "`fromNode` means nothing",
        ),
    ];
    for (text, line, column, expected) in cases {
        let (found_line, found_column, message) = wrong(text);
        assert!(message.contains(expected), "{text}{message}");
        assert_eq!((found_line, found_column), (line, column), "{text}{message}");
        assert!(
            message.starts_with(&format!("line {line}, column {column}: ")),
            "{message}"
        );
        assert_eq!(message.matches("line ").count(), 1, "{message}");
    }
    let (line, _, _) = wrong("cluster:\n  nodes: [\n");
    assert!(line >= 2);
    Scenario::parse("").unwrap();
}

#[tokio::test]
async fn nodes_that_are_not_there_are_found_out() {
    for (text, line, column) in [
        ("nodes:\n  10.5.0.9: { down: true }\n", 2, 3),
        (
            "faults:\n  - { on: connection, fromNode: x, refuse: true }\n",
            2,
            33,
        ),
    ] {
        let scenario = Scenario::parse(text).unwrap();
        let cluster = scenario.builder().start().await.unwrap();
        let error = scenario.apply(&cluster).unwrap_err();
        assert_eq!(
            (error.line(), error.column()),
            (Some(line), Some(column)),
            "{error}"
        );
        assert!(
            error.to_string().contains("the cluster has no node called"),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_scenario_can_begin_before_the_bootstrap() {
    let scenario = Scenario::parse(
        "
cluster: { nodes: 3, bootstrapped: false }
timeline:
  - at: 1m
    bootstrap: 10.5.0.3
",
    )
    .unwrap();
    let cluster = scenario.builder().start().await.unwrap();
    assert!(!cluster.is_bootstrapped());
    scenario.play(&cluster).await.unwrap();
    for index in 0..3 {
        cluster.node(index).wait_until_ready().await;
    }
}
