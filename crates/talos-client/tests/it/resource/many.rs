//! Several nodes at once.

use std::collections::BTreeSet;

use talos_client::resource::{ManyNodes, WatchEvent, runtime::MachineStatus};
use talos_testkit::MachineStage;

use crate::support::Sim;

// covers: cosi.resource.State/List
#[tokio::test]
async fn each_node_answers_or_fails_by_itself() {
    let sim = Sim::start().await;
    sim.cluster.node(2).kill();
    let nodes = ManyNodes::new((0..4).map(|index| sim.node(index))).at_once(2);
    let found = nodes.list::<MachineStatus>().await;
    assert_eq!(found.len(), 4);
    for (index, (name, result)) in found.iter().enumerate() {
        assert_eq!(name, sim.node(index).name(), "in the order of the nodes");
        if index == 2 {
            assert!(
                result.as_ref().is_err_and(talos_client::Error::is_retriable),
                "{result:?}"
            );
        } else {
            assert_eq!(result.as_ref().expect("alive").len(), 1);
        }
    }
}

// covers: cosi.resource.State/Watch
#[tokio::test]
async fn watches_are_merged_and_nodes_join_and_leave() {
    let sim = Sim::start().await;
    let mut many = ManyNodes::new((0..2).map(|index| sim.node(index))).watch::<MachineStatus>();
    let mut whole = BTreeSet::new();
    while whole.len() < 2 {
        let (node, event) = many.next_event().await;
        if let WatchEvent::Bootstrapped = event.expect("no error") {
            whole.insert(node);
        }
    }
    let late = sim.node(3);
    many.add(
        late.name().clone(),
        late.resources().watch::<MachineStatus>().start(),
    );
    sim.cluster.node(3).set_stage(MachineStage::Upgrading);
    loop {
        let (node, event) = many.next_event().await;
        assert_eq!(&node, late.name());
        if let WatchEvent::Bootstrapped = event.expect("no error") {
            break;
        }
    }
    assert!(many.remove(sim.node(0).name()));
    assert!(!many.remove(sim.node(0).name()));
    sim.cluster.node(0).set_stage(MachineStage::Rebooting);
    sim.cluster.node(1).set_stage(MachineStage::ShuttingDown);
    let (node, event) = many.next_event().await;
    assert_eq!(&node, sim.node(1).name());
    assert!(matches!(event.expect("no error"), WatchEvent::Updated { .. }));
    assert_eq!(many.nodes().count(), 2);
}
