//! Calls that are fed with bytes: backpressure, failing sources, and no repetition.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use talos_client::{
    CallOptions, ErrorKind,
    proto::{
        common::Data,
        machine::{self, image_service_import_request::Request},
    },
};
use tokio::io::{AsyncRead, ReadBuf};

use crate::scripted::{Scripted, Step, ok};

/// Reads as much as is wanted, and then fails or ends.
struct Source {
    left: u64,
    read: Arc<AtomicU64>,
    failure: Option<&'static str>,
}

impl Source {
    fn of(length: u64) -> Self {
        Self {
            left: length,
            read: Arc::default(),
            failure: None,
        }
    }
}

impl AsyncRead for Source {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0
            && let Some(failure) = self.failure
        {
            return Poll::Ready(Err(io::Error::other(failure)));
        }
        let length = buf
            .remaining()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        buf.put_slice(&vec![7; length]);
        self.left -= length as u64;
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

fn recovered() -> Vec<Step> {
    let reply = machine::EtcdRecoverResponse {
        messages: vec![machine::EtcdRecover::default()],
    };
    ok([Step::AwaitRequest, Step::message(&reply)])
}

// covers: machine.MachineService/EtcdRecover
#[tokio::test]
async fn all_of_it_arrives_in_messages_of_a_bounded_size() {
    let server = Scripted::always(recovered()).await;
    let told = Arc::new(AtomicU64::new(0));
    let last = Arc::clone(&told);
    server
        .node()
        .etcd()
        .recover(Source::of(1_000_000))
        .on_progress(move |bytes| last.store(bytes, Ordering::Relaxed))
        .send()
        .await
        .expect("uploaded");
    let call = server.ended().await;
    assert_eq!(call.end, Some(Ok(())));
    assert_eq!(call.path, "/machine.MachineService/EtcdRecover");
    assert_eq!(call.headers["node"], "10.5.0.3");
    let messages: Vec<Data> = call.messages();
    let lengths: Vec<_> = messages.iter().map(|message| message.bytes.len()).collect();
    assert_eq!(lengths.iter().sum::<usize>(), 1_000_000);
    assert!(
        lengths.iter().all(|length| (1..=32 * 1024).contains(length)),
        "{lengths:?}"
    );
    assert!(
        messages
            .iter()
            .all(|message| message.bytes.iter().all(|byte| *byte == 7))
    );
    assert_eq!(told.load(Ordering::Relaxed), 1_000_000);
}

#[tokio::test]
async fn a_source_that_fails_never_looks_like_the_end() {
    let server = Scripted::always(recovered()).await;
    let mut source = Source::of(100_000);
    source.failure = Some("the disk is gone");
    let error = server
        .node()
        .etcd()
        .recover(source)
        .send()
        .await
        .expect_err("the source failed");
    assert_eq!(error.kind(), ErrorKind::Io, "{error:#}");
    assert!(format!("{error:#}").contains("the disk is gone"), "{error:#}");
    let call = server.ended().await;
    assert!(matches!(call.end, Some(Err(_))), "{:?}", call.end);

    let error = server.node().etcd().recover(tokio::io::empty()).send().await;
    assert_eq!(error.expect_err("nothing to send").kind(), ErrorKind::Io);
    let calls = server
        .wait_for(|calls| calls.len() == 2 && calls.iter().all(|call| call.end.is_some()))
        .await;
    assert!(matches!(calls[1].end, Some(Err(_))), "{:?}", calls[1].end);
}

#[tokio::test]
async fn an_upload_that_is_dropped_is_reset() {
    let server = Scripted::always(vec![Step::Hang]).await;
    // Keeps the connection, which would end with its last user.
    let node = server.node();
    let source = Source::of(64 << 20);
    let call = node.etcd().recover(source).send();
    let upload = tokio::spawn(call);
    server
        .wait_for(|calls| calls.first().is_some_and(|call| call.body.len() > 100_000))
        .await;
    upload.abort();
    assert!(matches!(server.ended().await.end, Some(Err(_))));
}

#[tokio::test]
async fn a_node_that_does_not_read_stops_the_source_and_is_not_waited_for_for_ever() {
    let server = Scripted::always(vec![Step::DontRead, Step::Hang]).await;
    let source = Source::of(64 << 20);
    let read = Arc::clone(&source.read);
    let error = server
        .node()
        .etcd()
        .recover(source)
        .with_options(CallOptions::new().idle_timeout(Duration::from_millis(200)))
        .send()
        .await
        .expect_err("no progress");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:#}");
    let read = read.load(Ordering::Relaxed);
    assert!(read < 8 * 1024 * 1024, "{read} bytes were read ahead");
}

#[tokio::test]
async fn an_upload_is_never_repeated() {
    let server = Scripted::always(vec![
        Step::AwaitBytes(1),
        Step::Status(14, "connection error: desc = \"gone\""),
    ])
    .await;
    let error = server
        .node()
        .etcd()
        .recover(Source::of(100_000))
        .send()
        .await
        .expect_err("unavailable");
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::Unavailable, 1),
        "{error:#}"
    );
    assert_eq!(server.received().len(), 1);
}

// covers: machine.ImageService/Import
#[tokio::test]
async fn an_image_goes_to_the_store_that_was_named_first() {
    let reply = machine::ImageServiceImportResponse {
        name: "docker.io/library/alpine:3".to_owned(),
    };
    let server = Scripted::always(ok([Step::AwaitRequest, Step::message(&reply)])).await;
    let chunks =
        [vec![1; 100_000], vec![2; 5], Vec::new()].map(|chunk| Ok::<_, io::Error>(Bytes::from(chunk)));
    let name = server
        .node()
        .images()
        .of(talos_client::api::containerd::Containerd::InMemory)
        .import_stream(futures_util::stream::iter(chunks))
        .send()
        .await
        .expect("imported");
    assert_eq!(name, "docker.io/library/alpine:3");
    let messages: Vec<machine::ImageServiceImportRequest> = server.ended().await.messages();
    let (first, rest) = messages.split_first().expect("messages");
    let Some(Request::Containerd(store)) = first.request else {
        panic!("{first:?}")
    };
    assert_eq!((store.driver, store.namespace), (0, 1));
    let mut sent = Vec::new();
    for message in rest {
        let Some(Request::ImageChunk(chunk)) = &message.request else {
            panic!("{message:?}")
        };
        assert!(!chunk.bytes.is_empty() && chunk.bytes.len() <= 32 * 1024);
        sent.extend_from_slice(&chunk.bytes);
    }
    assert!(sent == [vec![1; 100_000], vec![2; 5]].concat());

    let nameless = Scripted::always(ok([
        Step::AwaitRequest,
        Step::message(&machine::ImageServiceImportResponse::default()),
    ]))
    .await;
    let error = nameless.node().images().import(Source::of(1)).send().await;
    assert_eq!(error.expect_err("no name").kind(), ErrorKind::Malformed);
}

// covers: machine.DebugService/ContainerRun
#[tokio::test]
async fn a_debug_container_whose_output_is_dropped_is_reset() {
    let output = Step::message(&machine::DebugContainerRunResponse {
        resp: Some(machine::debug_container_run_response::Resp::StdoutData(
            "# ".into(),
        )),
    });
    let server = Scripted::always(vec![output, Step::Hang]).await;
    let node = server.node();
    let session = node.debug_container("image").send().await.expect("started");
    let (_input, mut output) = session.split();
    assert_eq!(output.next_chunk().await.expect("open").expect("output"), "# ");
    drop(output);
    // The input is still there, and so is the connection.
    assert!(matches!(server.ended().await.end, Some(Err(_))));
}
