//! The same calls to several nodes.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use talos_client::{ErrorKind, Node, NodeName, Nodes, Origin};
use talos_testkit::SimCluster;
use tokio::sync::Notify;

use crate::support::{Sim, metadata};

const VERSION: &str = "/machine.MachineService/Version";
const MEMORY: &str = "/machine.MachineService/Memory";
const LOGS: &str = "/machine.MachineService/Logs";

fn names(nodes: &[impl AsRef<str>]) -> Vec<NodeName> {
    nodes
        .iter()
        .map(|name| name.as_ref().parse().expect("a name"))
        .collect()
}

// covers: machine.MachineService/Hostname
#[tokio::test]
async fn each_node_is_asked_by_its_own_name_and_the_order_is_kept() {
    let sim = Sim::start().await;
    let mut order = sim.cluster.nodes();
    order.reverse();
    let nodes = sim.client.nodes(order.iter().chain(&order)).expect("names");
    assert_eq!(nodes.len(), 4, "names that come twice count once");
    let report = nodes.each(|node| async move { node.hostname().await }).await;
    assert_eq!(report.nodes().cloned().collect::<Vec<_>>(), names(&order));
    for (node, hostname) in &report {
        let sim_node = sim.cluster.node_by_name(node.as_str()).expect("ours");
        assert_eq!(hostname.as_ref().expect("answered"), &sim_node.hostname());
    }
    let calls = sim.cluster.requests().of("/machine.MachineService/Hostname");
    let asked: BTreeSet<_> = calls.iter().flat_map(|call| metadata(call, "node")).collect();
    assert_eq!((calls.len(), asked.len()), (4, 4));
    assert!(calls.iter().all(|call| metadata(call, "nodes").is_empty()));
}

// covers: machine.MachineService/Memory
#[tokio::test]
async fn a_dead_node_is_its_own_failure_only() {
    let sim = Sim::start().await;
    sim.cluster.node(2).kill();
    let dead = sim.cluster.node(2).name();
    let nodes = sim.client.nodes(sim.cluster.nodes()).expect("names");
    let report = nodes.each(|node| async move { node.memory().await }).await;
    assert_eq!(report.successes().count(), 3);
    let error = report.get(&dead).expect("an entry").as_ref().expect_err("dead");
    assert_eq!(
        (error.kind(), error.origin(), error.node().map(NodeName::as_str)),
        (ErrorKind::Unavailable, Origin::Endpoint, Some(dead.as_str()))
    );
    let (successes, failures) = report.split();
    assert_eq!((successes.len(), failures.len()), (3, 1));
}

#[tokio::test]
async fn failing_fast_gives_the_others_up() {
    let sim = Sim::start().await;
    let nodes = sim.client.nodes(sim.cluster.nodes()).expect("names");
    let (finished, failing) = (Cell::new(0), sim.cluster.node(1).name());
    let given_up = Rc::new(Cell::new(0));
    let failure = nodes
        .try_each(|node| {
            let (guard, finished, failing) = (GivenUp(Rc::clone(&given_up)), &finished, &failing);
            async move {
                let _guard = guard;
                if node.name().as_str() == failing {
                    return node.read("/does/not/exist").await.map(drop);
                }
                std::future::pending::<()>().await;
                finished.set(finished.get() + 1);
                Ok(())
            }
        })
        .await
        .expect_err("one fails");
    assert_eq!(failure.node().as_str(), failing);
    assert_eq!((finished.get(), given_up.get()), (0, 4), "all futures are gone");
    let error = talos_client::Error::from(failure);
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:#}");

    let nodes = sim.client.nodes(sim.cluster.nodes()).expect("names");
    let all = nodes.try_each(|node| async move { node.version().await }).await;
    assert_eq!(all.expect("all answer").len(), 4);
}

/// Counts the futures that are gone.
struct GivenUp(Rc<Cell<usize>>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[tokio::test]
async fn no_more_calls_are_under_way_than_allowed_and_all_are_made() {
    let sim = Sim::of(SimCluster::builder().control_planes(1).workers(19)).await;
    for (limit, expected) in [(0, 1), (1, 1), (7, 7), (64, 20)] {
        let running = Rc::new(RefCell::new((0_usize, 0_usize)));
        let nodes = sim.client.nodes(sim.cluster.nodes()).expect("names");
        let report = nodes
            .concurrency(limit)
            .each(|node| {
                let running = Rc::clone(&running);
                async move {
                    {
                        let (now, most) = &mut *running.borrow_mut();
                        *now += 1;
                        *most = (*most).max(*now);
                    }
                    let result = node.version().await;
                    running.borrow_mut().0 -= 1;
                    result
                }
            })
            .await;
        assert!(report.is_success(), "{:?}", report.failures().next());
        assert_eq!(
            (report.len(), running.borrow().1),
            (20, expected),
            "limit {limit}"
        );
    }
    assert_eq!(sim.cluster.requests().of(VERSION).len(), 4 * 20);
}

#[tokio::test]
async fn results_come_as_they_are_there() {
    let sim = Sim::start().await;
    let slow = sim.cluster.node(0).name();
    let released = Rc::new(Notify::new());
    let nodes = sim.client.nodes(sim.cluster.nodes()).expect("names");
    let mut results = nodes.results(|node| {
        let (released, slow) = (Rc::clone(&released), slow.clone());
        async move {
            if node.name().as_str() == slow {
                released.notified().await;
            }
            node.version().await
        }
    });
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (node, result) = results.next_result().await.expect("three are quick");
        result.expect("answered");
        seen.push(node);
    }
    assert!(!seen.contains(&slow.parse().expect("a name")));
    released.notify_one();
    assert_eq!(
        results.next_result().await.expect("the slow one").0.as_str(),
        slow
    );
    assert!(results.next_result().await.is_none());
}

#[tokio::test]
async fn nothing_to_ask_is_no_failure_and_a_name_that_is_none_is() {
    let sim = Sim::start().await;
    let none: [&str; 0] = [];
    let nodes = sim.client.nodes(none).expect("no names");
    assert!(nodes.is_empty());
    let report = nodes.each(|node| async move { node.version().await }).await;
    assert!(report.is_empty() && report.is_success());

    let error = sim
        .client
        .nodes(["10.5.0.2", "10.5.0.3:50000"])
        .expect_err("a port");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(sim.cluster.requests().all().is_empty());
}

// covers: machine.MachineService/Logs
#[tokio::test]
async fn streams_of_all_nodes_are_one_and_a_failure_ends_only_its_own() {
    let sim = Sim::start().await;
    for index in 0..3 {
        sim.cluster
            .node(index)
            .append_log("fan", &format!("first of {index}"));
    }
    // The fourth one has no such log.
    let through_the_first = crate::support::builder_for(&sim.cluster)
        .endpoints([sim.cluster.node(0).endpoint()])
        .build()
        .expect("a client");
    let names = sim.cluster.nodes();
    let nodes: Nodes = names
        .iter()
        .map(|name| through_the_first.node(name).expect("a name"))
        .collect();
    let mut lines =
        nodes.streams(|node: Node| async move { Ok(node.logs("fan").follow(true).send().await?.lines()) });
    let mut seen: BTreeMap<String, Vec<Result<String, ErrorKind>>> = BTreeMap::new();
    for _ in 0..4 {
        let (node, line) = lines.next_item().await.expect("open");
        let entry = seen.entry(node.to_string()).or_default();
        entry.push(line.map_err(|error| error.kind()));
    }
    for index in 0..3 {
        let of_node = &seen[&sim.cluster.node(index).name()];
        assert_eq!(*of_node, [Ok(format!("first of {index}"))]);
    }
    let failed = &seen[&sim.cluster.node(3).name()];
    assert!(matches!(failed.as_slice(), [Err(_)]), "{failed:?}");
    assert_eq!(lines.nodes_left(), 3);

    sim.cluster.node(1).append_log("fan", "second");
    let (node, line) = lines.next_item().await.expect("open");
    assert_eq!(node.as_str(), sim.cluster.node(1).name());
    assert_eq!(line.expect("a line"), "second");

    sim.cluster.node(2).kill();
    let (node, line) = lines.next_item().await.expect("open");
    assert_eq!(node.as_str(), sim.cluster.node(2).name());
    line.expect_err("its node died");
    sim.cluster.node(0).append_log("fan", "third");
    assert_eq!(lines.next_item().await.expect("open").1.expect("a line"), "third");

    let asked = sim.cluster.requests().of(LOGS);
    assert!(asked.iter().all(|call| metadata(call, "node").len() == 1));
    drop(lines);
    // The calls under way end with the stream.
    let node = sim.cluster.node(0).name();
    let ended = async {
        while sim
            .cluster
            .requests()
            .of(LOGS)
            .iter()
            .any(|call| call.handled_by == [node.clone()] && call.code.is_none())
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), ended)
        .await
        .expect("the node hears of it");
}

// covers: machine.MachineService/Version, machine.MachineService/Memory
#[tokio::test]
async fn an_aggregate_is_one_call_and_tells_nodes_apart() {
    let sim = Sim::start().await;
    sim.cluster.node(3).kill();
    let order = sim.cluster.nodes();
    let aggregate = sim.client.aggregate(order.iter().chain(&order)).expect("names");
    assert_eq!(aggregate.nodes(), names(&order));
    let replies = aggregate.memory().await.expect("the endpoint answers");
    assert_eq!(replies.nodes().cloned().collect::<Vec<_>>(), names(&order));
    assert_eq!(replies.successes().count(), 3);
    let error = replies
        .get(&order[3])
        .expect("an entry")
        .as_ref()
        .expect_err("dead");
    assert_eq!(
        (error.kind(), error.node().map(NodeName::as_str)),
        (ErrorKind::Unavailable, Some(order[3].as_str())),
        "{error:#}"
    );
    let calls = sim.cluster.requests().of(MEMORY);
    let [call] = calls.as_slice() else {
        panic!("{calls:#?}")
    };
    assert_eq!(metadata(call, "nodes"), order);
    assert_eq!(metadata(call, "node"), [""; 0]);

    let replies = sim.client.aggregate(&order[..1]).expect("a name").version().await;
    assert!(replies.expect("answered").is_success());
    let none: [&str; 0] = [];
    let error = sim.client.aggregate(none).expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

// covers: machine.MachineService/Version
#[tokio::test]
async fn a_worker_that_is_asked_about_itself_is_one_of_the_aggregate() {
    let sim = Sim::start().await;
    let worker = sim.cluster.node(3);
    let client = crate::support::builder_for(&sim.cluster)
        .endpoints([worker.endpoint()])
        .build()
        .expect("a client");
    let replies = client.aggregate([worker.name()]).expect("a name").version().await;
    let replies = replies.expect("answered");
    assert!(replies.get(worker.name()).expect("an entry").is_ok());
}
