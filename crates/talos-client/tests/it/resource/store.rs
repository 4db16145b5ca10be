//! Stores and conditions.

use std::time::Duration;

use talos_client::resource::{Condition, Resource, Store, block::Disk, conditions, enums::MachineStage};
use talos_testkit::{MachineStage as SimStage, ServiceState, SimResource};

use crate::support::Sim;

fn disk(id: &str) -> SimResource {
    SimResource::new(Disk::TYPE, id)
}

#[tokio::test]
async fn a_store_keeps_the_old_state_until_the_new_one_is_whole() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(0);
    node.resources().put(disk("one"));
    let handle = sim.node(0);
    let request = handle
        .resources()
        .watch::<Disk>()
        .ids_matching("^(one|two|three)$")
        .backoff(Duration::from_millis(1), Duration::from_millis(5));
    let (store, mut reflector) = Store::new(request.start());
    assert!(!store.is_ready() && store.is_empty());
    while !store.is_ready() {
        reflector.next_event().await.expect("no end").expect("no error");
    }
    assert_eq!(store.len(), 1);
    let before = store.snapshot();
    node.resources().put(disk("two"));
    while store.get("two").is_none() {
        reflector.next_event().await.expect("no end").expect("no error");
    }
    assert_eq!(before.len(), 1, "a snapshot does not change");

    node.kill();
    node.restart_resources();
    for id in ["one", "three"] {
        node.resources().put(disk(id));
    }
    node.revive().expect("it comes back");
    // However the events are cut, nobody ever sees a store that is half empty.
    while store.get("three").is_none() {
        reflector.next_event().await.expect("no end").expect("no error");
        let ids: Vec<_> = store.snapshot().keys().cloned().collect();
        assert!(ids == ["one", "two"] || ids == ["one", "three"], "{ids:?}");
    }
    node.resources().destroy("runtime", Disk::TYPE, "one");
    while store.len() > 1 {
        reflector.next_event().await.expect("no end").expect("no error");
    }
    assert_eq!(store.list()[0].metadata.id, "three");
}

#[tokio::test]
async fn a_store_is_filled_by_a_task_of_the_users() {
    let sim = Sim::start().await;
    let watch = sim
        .node(0)
        .resources()
        .watch::<talos_client::resource::cluster::Member>()
        .start();
    let (members, reflector) = Store::new(watch);
    let task = tokio::spawn(reflector.run());
    members.ready().await;
    assert_eq!(members.len(), 4);
    let mut changes = members.changes();
    changes.mark_unchanged();
    sim.cluster.node(1).set_talos_version("v1.13.3");
    changes.changed().await.expect("the store is there");
    let changed = members.get("sim-controlplane-2").expect("a member");
    assert_eq!(changed.spec.operating_system, "Talos (v1.13.3)");
    task.abort();
}

// covers: cosi.resource.State/Watch
#[tokio::test]
async fn conditions_are_waited_for() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(0);
    let handle = sim.node(0);
    let resources = handle.resources();
    resources
        .wait_for(conditions::machine_ready())
        .await
        .expect("it runs");
    resources.wait_for(conditions::members(4)).await.expect("four");
    resources
        .wait_for(conditions::volume_ready("EPHEMERAL"))
        .await
        .expect("ready");
    resources
        .wait_for(conditions::hostname("sim-controlplane-1"))
        .await
        .expect("its name");
    resources
        .wait_for(conditions::service_up("kubelet"))
        .await
        .expect("up");

    node.set_service_state("kubelet", ServiceState::Finished, "stopped");
    let back = resources.wait_for(conditions::service_up("kubelet"));
    let (found, ()) = tokio::join!(back, async {
        tokio::task::yield_now().await;
        node.set_service_state("kubelet", ServiceState::Running, "started");
        node.set_service_health("kubelet", true, "fine");
    });
    assert!(found.expect("up again").contains_key("kubelet"));

    let stage = resources.wait_for(conditions::machine_stage(MachineStage::Upgrading));
    let (found, ()) = tokio::join!(stage, async {
        node.set_stage(SimStage::Upgrading);
    });
    found.expect("it upgrades");

    node.resources().put(disk("goes"));
    let gone = resources.wait_for(Condition::<Disk>::gone("goes"));
    let (found, ()) = tokio::join!(gone, async {
        node.resources().destroy("runtime", Disk::TYPE, "goes");
    });
    found.expect("it is gone");
}
