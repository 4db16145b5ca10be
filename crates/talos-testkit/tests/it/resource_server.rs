//! The resource server by itself.

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use talos_proto::cosi::resource::state_client::StateClient;
use talos_proto::cosi::resource::{
    CreateOptions, CreateRequest, DestroyRequest, EventType, GetRequest, Metadata, Resource, Spec,
    TeardownAndDestroyRequest, TeardownRequest, UpdateOptions, UpdateRequest, WatchRequest,
};
use talos_testkit::{SimResource, SimState};
use tokio::net::{TcpStream, UnixStream};
use tonic::{Code, Status};

use crate::wire::Wire;

const KIND: &str = "Widgets.example.org";

/// A connection to a server without TLS.
async fn connect(state: &SimState) -> StateClient<Wire> {
    let socket = TcpStream::connect(state.endpoint()).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
        .await
        .unwrap();
    tokio::spawn(connection);
    Wire::plain(sender, state.endpoint()).state()
}

fn widget(id: &str, version: &str) -> Option<Resource> {
    let metadata = Metadata {
        namespace: "default".to_owned(),
        r#type: KIND.to_owned(),
        id: id.to_owned(),
        version: version.to_owned(),
        phase: "running".to_owned(),
        ..Metadata::default()
    };
    Some(Resource {
        metadata: Some(metadata),
        spec: Some(Spec {
            yaml_spec: format!("version: {version}\n"),
            ..Spec::default()
        }),
    })
}

fn create(id: &str, owner: &str) -> CreateRequest {
    CreateRequest {
        resource: widget(id, ""),
        options: Some(CreateOptions {
            owner: owner.to_owned(),
        }),
    }
}

fn update(id: &str, version: &str, owner: &str, phase: Option<&str>) -> UpdateRequest {
    UpdateRequest {
        new_resource: widget(id, version),
        options: Some(UpdateOptions {
            owner: owner.to_owned(),
            expected_phase: phase.map(str::to_owned),
        }),
    }
}

fn told(status: &Status) -> (Code, &str) {
    (status.code(), status.message())
}

// covers: cosi.resource.State/Create, cosi.resource.State/Update
#[tokio::test]
async fn writes_conflict_as_upstream_says() {
    let state = SimState::builder().plain().start().await.unwrap();
    let mut client = connect(&state).await;
    let created = client.create(create("a", "me")).await.unwrap().into_inner();
    let metadata = created.resource.unwrap().metadata.unwrap();
    assert_eq!((metadata.version.as_str(), metadata.owner.as_str()), ("1", "me"));
    assert!(metadata.created.is_some());

    let status = client.create(create("a", "me")).await.unwrap_err();
    assert_eq!(
        told(&status),
        (
            Code::AlreadyExists,
            "resource Widgets.example.org(default/a@1) already exists"
        )
    );
    let status = client.update(update("a", "1", "you", None)).await.unwrap_err();
    assert_eq!(
        told(&status),
        (
            Code::PermissionDenied,
            "resource Widgets.example.org(default/a@1) is owned by \"me\""
        )
    );
    let status = client.update(update("a", "7", "me", None)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    let status = client
        .update(update("a", "1", "me", Some("tearingDown")))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let status = client.update(update("b", "1", "me", None)).await.unwrap_err();
    assert_eq!(
        told(&status),
        (
            Code::NotFound,
            "resource Widgets.example.org(default/b@undefined) doesn't exist"
        )
    );
    let updated = client
        .update(update("a", "1", "me", Some("running")))
        .await
        .unwrap();
    let metadata = updated.into_inner().resource.unwrap().metadata.unwrap();
    assert_eq!((metadata.version.as_str(), metadata.owner.as_str()), ("2", "me"));
    let status = client.create(CreateRequest::default()).await.unwrap_err();
    assert_eq!(told(&status), (Code::Unknown, "metadata is missing"));
}

fn destroy(id: &str) -> DestroyRequest {
    DestroyRequest {
        namespace: "default".to_owned(),
        r#type: KIND.to_owned(),
        id: id.to_owned(),
        options: None,
    }
}

// covers: cosi.resource.State/Destroy, cosi.resource.State/Teardown, cosi.resource.State/TeardownAndDestroy
#[tokio::test]
async fn finalizers_keep_a_resource_until_they_are_gone() {
    let state = SimState::builder().plain().start().await.unwrap();
    let mut client = connect(&state).await;
    state
        .resources()
        .put(SimResource::new(KIND, "a").finalizer("one").finalizer("two"));
    let status = client.destroy(destroy("a")).await.unwrap_err();
    assert_eq!(
        told(&status),
        (
            Code::FailedPrecondition,
            "resource Widgets.example.org(default/a@1) has pending finalizers one, two"
        )
    );
    let teardown = TeardownRequest {
        namespace: "default".to_owned(),
        r#type: KIND.to_owned(),
        id: "a".to_owned(),
        options: None,
    };
    assert!(
        !client
            .teardown(teardown.clone())
            .await
            .unwrap()
            .into_inner()
            .destroy_ready
    );
    assert!(
        !client
            .teardown(teardown)
            .await
            .unwrap()
            .into_inner()
            .destroy_ready
    );
    let stored = state.resources().get("default", KIND, "a").unwrap();
    assert_eq!((stored.phase(), stored.version()), ("tearingDown", "2"));

    let whole = TeardownAndDestroyRequest {
        namespace: "default".to_owned(),
        r#type: KIND.to_owned(),
        id: "a".to_owned(),
        options: None,
    };
    let mut waiting = client.clone();
    let waiting = tokio::spawn(async move { waiting.teardown_and_destroy(whole).await });
    // Whatever the order of the two, the resource goes only with the last finalizer.
    state.resources().remove_finalizer("default", KIND, "a", "one");
    client.get(get("a")).await.unwrap();
    state.resources().remove_finalizer("default", KIND, "a", "two");
    waiting.await.unwrap().unwrap();
    let status = client.get(get("a")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(
        client.destroy(destroy("a")).await.unwrap_err().code(),
        Code::NotFound
    );
}

fn get(id: &str) -> GetRequest {
    GetRequest {
        namespace: "default".to_owned(),
        r#type: KIND.to_owned(),
        id: id.to_owned(),
        options: None,
    }
}

#[tokio::test]
async fn older_servers_have_no_teardown() {
    let state = SimState::builder()
        .plain()
        .without_teardown()
        .start()
        .await
        .unwrap();
    let mut client = connect(&state).await;
    let status = client.teardown(TeardownRequest::default()).await.unwrap_err();
    assert_eq!(
        told(&status),
        (
            Code::Unimplemented,
            "unknown method Teardown for service cosi.resource.State"
        )
    );
}

// covers: cosi.resource.State/Watch
#[tokio::test]
async fn a_unix_socket_serves_watches_and_a_restart_refuses_old_bookmarks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.sock");
    let state = SimState::builder().unix_socket(&path).start().await.unwrap();
    let socket = UnixStream::connect(&path).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut client = Wire::plain(sender, "localhost").state();
    let request = WatchRequest {
        namespace: "default".to_owned(),
        r#type: KIND.to_owned(),
        api_version: 1,
        ..WatchRequest::default()
    };
    let mut events = client.watch(request.clone()).await.unwrap().into_inner();
    assert!(events.message().await.unwrap().unwrap().event.is_empty());
    client.create(create("a", "")).await.unwrap();
    let event = events.message().await.unwrap().unwrap().event.remove(0);
    assert_eq!(event.event_type(), EventType::Created);
    state.restart();
    let resumed = WatchRequest {
        options: Some(talos_proto::cosi::resource::WatchOptions {
            start_from_bookmark: event.bookmark,
            ..Default::default()
        }),
        ..request
    };
    let status = client.watch(resumed).await.unwrap_err();
    assert_eq!(
        told(&status),
        (Code::FailedPrecondition, "invalid watch bookmark")
    );
    assert!(state.resources().list("default", KIND).is_empty());
}
