//! The Go state server of `interop/`, over a unix socket.

use talos_client::{
    Client,
    resource::{Conflict, NewResource, WatchEvent},
};

// covers: cosi.resource.State/Create
#[tokio::test]
#[ignore = "needs the Go state server that cargo xtask interop starts"]
async fn go_state_server_is_read_and_written() {
    let path = std::env::var("TALOS_INTEROP_STATE_SOCKET").expect("the path of the socket");
    let client = Client::builder()
        .endpoints([format!("unix://{path}")])
        .build()
        .expect("a client");
    let widgets = client.state("default", "Widgets.example.org").owner("rust");
    let mut watch = widgets.watch().start();
    let first = watch.next_event().await.expect("no end").expect("no error");
    assert!(matches!(first, WatchEvent::Bootstrapped), "{first:?}");
    let made = widgets
        .create(
            NewResource::new("one")
                .yaml("size: 1\n")
                .label("a", "b")
                .finalizer("mine"),
        )
        .await
        .expect("made");
    let created = watch.next_event().await.expect("no end").expect("no error");
    assert!(
        matches!(&created, WatchEvent::Created(object) if object.metadata.id == "one"),
        "{created:?}"
    );
    let again = widgets
        .create(NewResource::new("one"))
        .await
        .expect_err("it exists");
    assert_eq!(Conflict::of(&again), Some(Conflict::AlreadyExists));
    widgets.update(made.clone()).await.expect("changed");
    let stale = widgets.update(made).await.expect_err("somebody was faster");
    assert_eq!(Conflict::of(&stale), Some(Conflict::Version));
    let other = widgets.clone().owner("somebody else");
    let foreign = other.update_with("one", |_| {}).await.expect_err("not theirs");
    assert_eq!(Conflict::of(&foreign), Some(Conflict::Owner));
    let held = widgets.destroy("one").await.expect_err("held");
    assert_eq!(Conflict::of(&held), Some(Conflict::Finalizers));
    widgets
        .update_with("one", |object| object.metadata.finalizers.clear())
        .await
        .expect("let go");
    widgets.teardown_and_destroy("one").await.expect("gone");
    assert!(widgets.get("one").await.expect_err("gone").is_not_found());
    assert!(widgets.list().await.expect("listed").is_empty());
}
