//! Writes, on a server that allows them and on a node that does not.

use talos_client::{
    Client, ErrorKind,
    config::Talosconfig,
    resource::{Conflict, NewResource, Phase, StateResources, WatchEvent},
};
use talos_testkit::{SimResource, SimState};

use crate::support::Sim;

const KIND: &str = "Widgets.example.org";

async fn server() -> (SimState, StateResources) {
    let state = SimState::builder().start().await.expect("a server");
    let widgets = widgets(&state);
    (state, widgets)
}

fn widgets(state: &SimState) -> StateResources {
    let text = state.talosconfig().expect("random numbers").expect("TLS");
    let talosconfig = Talosconfig::parse(text).expect("a talosconfig");
    let client = Client::builder()
        .talosconfig(talosconfig)
        .build()
        .expect("a client");
    client.state("default", KIND)
}

fn conflict<T: std::fmt::Debug>(result: talos_client::Result<T>) -> Option<Conflict> {
    Conflict::of(&result.expect_err("refused"))
}

// covers: cosi.resource.State/Create, cosi.resource.State/Update
#[tokio::test]
async fn resources_are_made_read_and_changed() {
    let (_state, widgets) = server().await;
    let widgets = widgets.owner("me");
    let new = NewResource::new("one").yaml("size: 1\n").label("a", "b");
    let made = widgets.create(new.clone()).await.expect("made");
    assert_eq!(
        (made.metadata.version.as_str(), made.metadata.owner.as_str()),
        ("1", "me")
    );
    assert_eq!(conflict(widgets.create(new).await), Some(Conflict::AlreadyExists));

    let mut changed = made.clone();
    changed.spec.yaml = "size: 2\n".to_owned();
    let stored = widgets.update(changed.clone()).await.expect("changed");
    assert_eq!(stored.metadata.version, "2");
    assert_eq!(stored.metadata.labels["a"], "b");
    assert_eq!(conflict(widgets.update(changed).await), Some(Conflict::Version));
    let other = widgets.clone().owner("you");
    assert_eq!(conflict(other.update(stored).await), Some(Conflict::Owner));
    let found = widgets.get("one").await.expect("it is there");
    assert_eq!(found.spec.yaml, "size: 2\n");
    assert_eq!(widgets.list().await.expect("listed").len(), 1);
}

// covers: cosi.resource.State/Update
#[tokio::test]
async fn a_change_is_repeated_until_nobody_was_faster() {
    let (state, widgets) = server().await;
    widgets.create(NewResource::new("one")).await.expect("made");
    let mut tries = 0;
    let stored = widgets
        .update_with("one", |widget| {
            tries += 1;
            if tries < 3 {
                // Somebody else is faster.
                state
                    .resources()
                    .update("default", KIND, "one", |other| other.yaml("theirs: 1\n"));
            }
            widget.spec.yaml.push_str("ours: 1\n");
        })
        .await
        .expect("changed at last");
    assert_eq!((tries, stored.spec.yaml.as_str()), (3, "theirs: 1\nours: 1\n"));
}

// covers: cosi.resource.State/Teardown, cosi.resource.State/Destroy, cosi.resource.State/TeardownAndDestroy
#[tokio::test]
async fn finalizers_are_waited_for() {
    let (state, widgets) = server().await;
    widgets
        .create(NewResource::new("one").finalizer("theirs"))
        .await
        .expect("made");
    assert_eq!(conflict(widgets.destroy("one").await), Some(Conflict::Finalizers));
    assert!(!widgets.teardown("one").await.expect("begun"));
    let torn = widgets.get("one").await.expect("still there");
    assert_eq!(torn.metadata.phase, Phase::TearingDown);
    assert_eq!(conflict(widgets.update(torn).await), Some(Conflict::Phase));
    let (done, ()) = tokio::join!(widgets.teardown_and_destroy("one"), async {
        state
            .resources()
            .remove_finalizer("default", KIND, "one", "theirs");
    });
    done.expect("gone");
    let error = widgets.get("one").await.expect_err("gone");
    assert!(error.is_not_found());
    assert_eq!(
        error.kind(),
        widgets.destroy("one").await.expect_err("gone").kind()
    );
}

#[tokio::test]
async fn servers_without_teardown_are_served_by_updates() {
    let state = SimState::builder()
        .without_teardown()
        .start()
        .await
        .expect("a server");
    let widgets = widgets(&state);
    state.resources().put(
        SimResource::new(KIND, "one")
            .in_namespace("default")
            .finalizer("theirs"),
    );
    assert!(!widgets.teardown("one").await.expect("begun"));
    let stored = state
        .resources()
        .get("default", KIND, "one")
        .expect("still there");
    assert_eq!(stored.phase(), "tearingDown");
    state
        .resources()
        .remove_finalizer("default", KIND, "one", "theirs");
    widgets.teardown_and_destroy("one").await.expect("gone");
    assert!(state.resources().get("default", KIND, "one").is_none());
}

#[tokio::test]
async fn watches_work_on_any_server() {
    let (state, widgets) = server().await;
    let mut watch = widgets.watch().start();
    let first = watch.next_event().await.expect("no end").expect("no error");
    assert!(matches!(first, WatchEvent::Bootstrapped));
    widgets.create(NewResource::new("one")).await.expect("made");
    let created = watch.next_event().await.expect("no end").expect("no error");
    assert!(matches!(created, WatchEvent::Created(object) if object.metadata.id == "one"));
    drop(state);
}

// covers: cosi.resource.State/Create, cosi.resource.State/Destroy
#[tokio::test]
async fn talos_allows_no_writes_and_that_is_not_an_owner_conflict() {
    let sim = Sim::start().await;
    let disks = sim.client.state("runtime", "Disks.block.talos.dev");
    assert_eq!(
        conflict(disks.create(NewResource::new("x")).await),
        Some(Conflict::WritesNotAllowed)
    );
    let error = disks.destroy("x").await.expect_err("no writes");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(Conflict::of(&error), Some(Conflict::WritesNotAllowed));
    let nothing = sim
        .client
        .state("runtime", "Nonsense")
        .get("x")
        .await
        .expect_err("unknown");
    assert_eq!(Conflict::of(&nothing), None, "a read conflicts with nothing");
}
