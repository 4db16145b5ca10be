//! Watches that live through everything.

use std::time::Duration;

use talos_client::{
    ErrorKind,
    resource::{DynamicObject, Item, Watch, WatchEvent, WatchRequest, block::Disk},
};
use talos_testkit::{SimResource, SimResources};

use crate::support::Sim;

const DISK: &str = "Disks.block.talos.dev";

fn disk(id: &str) -> SimResource {
    SimResource::new(DISK, id)
}

/// Tries again without much of a pause.
fn hurried<T: Item>(request: WatchRequest<T>) -> WatchRequest<T> {
    request.backoff(Duration::from_millis(1), Duration::from_millis(5))
}

/// The next events as short texts, `Interrupted` left out.
async fn told<T: Item>(watch: &mut Watch<T>, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < count {
        let id = |item: &T| item.metadata().id.clone();
        told.push(
            match watch.next_event().await.expect("no end").expect("no error") {
                WatchEvent::Created(item) => format!("+{}", id(&item)),
                WatchEvent::Updated { new, .. } => format!("~{}", id(&new)),
                WatchEvent::Destroyed(item) => format!("-{}", id(&item)),
                WatchEvent::Absent => "absent".to_owned(),
                WatchEvent::Bootstrapped => "whole".to_owned(),
                WatchEvent::Restarted => "anew".to_owned(),
                _ => continue,
            },
        );
    }
    told
}

/// A node without disks but these.
fn only(resources: &SimResources, ids: &[&str]) {
    for found in resources.list("runtime", DISK) {
        resources.destroy("runtime", DISK, found.id());
    }
    for id in ids {
        resources.put(disk(id));
    }
}

// covers: cosi.resource.State/Watch
#[tokio::test]
async fn a_watch_tells_what_is_there_and_what_changes() {
    let sim = Sim::start().await;
    let resources = sim.cluster.node(0).resources();
    only(&resources, &["b", "a"]);
    let mut watch = sim.node(0).resources().watch::<Disk>().start();
    assert_eq!(told(&mut watch, 3).await, ["+a", "+b", "whole"]);
    assert!(watch.bookmark().is_some());
    resources.put(disk("c"));
    resources.update("runtime", DISK, "a", |disk| disk.label("x", "y"));
    resources.destroy("runtime", DISK, "b");
    assert_eq!(told(&mut watch, 3).await, ["+c", "~a", "-b"]);
    let calls = sim.cluster.requests().of("/cosi.resource.State/Watch");
    assert_eq!(calls.len(), 1);
}

// covers: cosi.resource.State/Watch
#[tokio::test]
async fn old_and_new_come_together_and_filters_turn_updates_into_creations() {
    use talos_client::resource::Labels;

    let sim = Sim::start().await;
    let resources = sim.cluster.node(0).resources();
    only(&resources, &["a"]);
    let node = sim.node(0);
    let mut all = node.resources().watch::<Disk>().only_changes().start();
    let labels = Labels::new().equal("x", "y");
    let mut some = node.resources().watch::<Disk>().labels(labels).start();
    assert_eq!(told(&mut some, 1).await, ["whole"]);
    // `only_changes` tells nothing of its own: the change has to come after it is open.
    let (first, _) = tokio::join!(all.next_event(), async {
        loop {
            if sim.cluster.requests().of("/cosi.resource.State/Watch").len() == 2 {
                break;
            }
            tokio::task::yield_now().await;
        }
        resources.update("runtime", DISK, "a", |disk| disk.label("x", "y"));
    });
    let WatchEvent::Updated { old: Some(old), new } = first.expect("no end").expect("no error") else {
        panic!("an update with both");
    };
    assert!(old.metadata.labels.is_empty() && new.metadata.labels["x"] == "y");
    assert_eq!(told(&mut some, 1).await, ["+a"]);
    resources.put(disk("a"));
    assert_eq!(told(&mut some, 1).await, ["-a"]);
}

// covers: cosi.resource.State/Watch
#[tokio::test]
async fn a_watch_resumes_through_another_endpoint_without_losing_or_doubling() {
    let sim = Sim::start().await;
    // The worker answers through an endpoint only, so that the endpoint can go while it stays.
    let worker = sim.cluster.node(3);
    let resources = worker.resources();
    only(&resources, &["a"]);
    let mut watch = hurried(sim.node(3).resources().watch::<Disk>()).start();
    assert_eq!(told(&mut watch, 2).await, ["+a", "whole"]);
    for (round, id) in ["b", "c", "d"].iter().enumerate() {
        let call = sim
            .cluster
            .requests()
            .of("/cosi.resource.State/Watch")
            .pop()
            .expect("a call");
        let endpoint = (0..3)
            .map(|index| sim.cluster.node(index))
            .find(|node| node.name() == call.endpoint)
            .expect("a control plane node");
        endpoint.kill();
        resources.put(disk(id));
        resources.put(disk("last"));
        let expected = if round == 0 { "+last" } else { "~last" };
        assert_eq!(told(&mut watch, 2).await, [format!("+{id}"), expected.to_owned()]);
        endpoint.revive().expect("it comes back");
    }
}

// covers: cosi.resource.State/Watch
#[tokio::test]
async fn a_reboot_is_a_new_beginning_that_is_announced() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(0);
    let resources = node.resources();
    only(&resources, &["a", "b"]);
    let mut watch = hurried(sim.node(0).resources().watch::<Disk>()).start();
    assert_eq!(told(&mut watch, 3).await, ["+a", "+b", "whole"]);
    node.kill();
    node.restart_resources();
    only(&node.resources(), &["b", "c"]);
    node.revive().expect("it comes back");
    assert_eq!(told(&mut watch, 4).await, ["anew", "+b", "+c", "whole"]);
    resources.put(disk("d"));
    assert_eq!(told(&mut watch, 1).await, ["+d"]);
}

// covers: cosi.resource.State/Watch
#[tokio::test]
async fn an_overrun_is_a_new_beginning_too() {
    let sim = Sim::start().await;
    let resources = sim.cluster.node(0).resources();
    only(&resources, &["a"]);
    let mut watch = sim.node(0).resources().watch::<Disk>().start();
    assert_eq!(told(&mut watch, 2).await, ["+a", "whole"]);
    resources.overrun("runtime", DISK);
    resources.put(disk("b"));
    let WatchEvent::Interrupted(error) = watch.next_event().await.expect("no end").expect("no error") else {
        panic!("the node has said that it was too slow");
    };
    let text = error.message().unwrap_or_default();
    assert!(text.starts_with("buffer overrun: "), "{error:#}");
    assert_eq!(told(&mut watch, 4).await, ["anew", "+a", "+b", "whole"]);
}

// covers: cosi.resource.State/Watch
#[tokio::test]
async fn one_resource_is_watched_from_before_its_birth_to_after_its_death() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(0);
    let resources = node.resources();
    only(&resources, &[]);
    let mut watch = hurried(sim.node(0).resources().watch_one::<Disk>("a")).start();
    assert_eq!(told(&mut watch, 1).await, ["absent"]);
    resources.put(disk("other"));
    resources.put(disk("a"));
    resources.destroy("runtime", DISK, "a");
    assert_eq!(told(&mut watch, 2).await, ["+a", "-a"]);
    node.kill();
    node.restart_resources();
    node.revive().expect("it comes back");
    assert_eq!(told(&mut watch, 2).await, ["anew", "absent"]);
}

// covers: cosi.resource.State/Watch
#[tokio::test]
async fn a_bookmark_is_taken_up_by_another_watch() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(0);
    let resources = node.resources();
    only(&resources, &["a"]);
    let handle = sim.node(0);
    let mut first = handle.resources().watch::<Disk>().start();
    told(&mut first, 2).await;
    let bookmark = first.bookmark().expect("whole").clone();
    drop(first);
    resources.put(disk("b"));
    let request = || handle.resources().watch::<Disk>().resume(bookmark.clone());
    let mut second = request().start();
    assert_eq!(told(&mut second, 1).await, ["+b"]);
    node.restart_resources();
    let mut third = request().start();
    // Disks that every node has are there again.
    assert_eq!(told(&mut third, 4).await, ["anew", "+vda", "+vdb", "whole"]);
}

// covers: cosi.resource.State/Watch
#[tokio::test]
async fn tails_and_aggregated_messages_tell_the_same() {
    let sim = Sim::start().await;
    let resources = sim.cluster.node(0).resources();
    only(&resources, &["a", "b", "c"]);
    let handle = sim.node(0);
    let mut tail = handle.resources().watch::<Disk>().tail(2).start();
    assert_eq!(told(&mut tail, 2).await, ["+b", "+c"]);
    let mut batched = handle.resources().watch::<Disk>().aggregated(true).start();
    assert_eq!(told(&mut batched, 4).await, ["+a", "+b", "+c", "whole"]);
}

// covers: cosi.resource.State/Watch
#[tokio::test]
async fn a_watch_that_can_never_be_is_an_error_and_the_end() {
    use talos_client::resource::config::MachineConfig;

    let sim = Sim::start().await;
    let reader = sim.client_with_roles(&["os:reader"]);
    let node = reader.node(sim.cluster.node(0).name()).expect("a name");
    let mut watch = node.resources().watch::<MachineConfig>().start();
    let error = watch.next_event().await.expect("an item").expect_err("denied");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(watch.next_event().await.is_none());
    let mut watch = sim.node(0).resources().watch::<Disk>().ids_matching("(").start();
    let error = watch
        .next_event()
        .await
        .expect("an item")
        .expect_err("no expression");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(watch.next_event().await.is_none());
}

// covers: cosi.resource.State/Watch
#[tokio::test]
async fn patience_has_an_end_where_it_is_asked_for() {
    let sim = Sim::start().await;
    let mut watch = hurried(sim.node(0).resources().watch::<Disk>())
        .give_up_after(Duration::ZERO)
        .start();
    told(&mut watch, 1).await;
    for index in 0..3 {
        sim.cluster.node(index).kill();
    }
    let error = loop {
        match watch.next_event().await.expect("an item") {
            Ok(WatchEvent::Interrupted(_) | WatchEvent::Created(_) | WatchEvent::Bootstrapped) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert!(error.is_retriable(), "{error:#}");
    assert!(watch.next_event().await.is_none());
}

// covers: cosi.resource.State/Watch
#[tokio::test]
async fn a_broken_spec_is_an_item_and_the_watch_goes_on() {
    let sim = Sim::start().await;
    let resources = sim.cluster.node(0).resources();
    only(&resources, &[]);
    let mut watch = sim.node(0).resources().watch::<Disk>().start();
    assert_eq!(told(&mut watch, 1).await, ["whole"]);
    resources.put(disk("broken").proto_bytes(vec![0xff]));
    resources.put(disk("fine"));
    let error = watch
        .next_event()
        .await
        .expect("an item")
        .expect_err("it is broken");
    assert!(format!("{error:#}").contains("runtime/broken"), "{error:#}");
    assert_eq!(told(&mut watch, 1).await, ["+fine"]);
    let dynamic = sim.node(0).resources().dynamic("disks").await.expect("known");
    let mut raw: Watch<DynamicObject> = dynamic.watch().start();
    assert_eq!(told(&mut raw, 3).await, ["+broken", "+fine", "whole"]);
}
