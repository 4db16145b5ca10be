//! Bytes and lines.

use std::pin::pin;

use talos_client::{Code, ErrorKind, Origin};
use talos_testkit::KernelPriority;
use tokio::io::{AsyncBufReadExt, AsyncReadExt};

use crate::support::Sim;

async fn lines(stream: talos_client::stream::ByteStream) -> Vec<String> {
    let mut stream = stream.lines();
    let mut lines = Vec::new();
    while let Some(line) = stream.next_line().await {
        lines.push(line.expect("a line"));
    }
    lines
}

// covers: machine.MachineService/Logs
#[tokio::test]
async fn logs_are_complete_by_default_and_as_long_as_asked_for() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(0);
    for number in 0..50 {
        // Longer than a chunk altogether, so lines are cut where chunks end.
        node.append_log("etcd", &format!("{number}: {}", "x".repeat(number * 7)));
    }
    let all = lines(sim.node(0).logs("etcd").send().await.expect("opened")).await;
    assert!(all.len() >= 50, "{} lines", all.len());
    for number in 0..50 {
        let expected = format!("{number}: {}", "x".repeat(number * 7));
        assert_eq!(all[all.len() - 50 + number], expected);
    }
    for tail in [0, 1, 10] {
        let some = lines(
            sim.node(0)
                .logs("etcd")
                .tail_lines(tail)
                .send()
                .await
                .expect("opened"),
        )
        .await;
        assert_eq!(some, all[all.len() - tail as usize..], "the last {tail}");
    }
}

// covers: machine.MachineService/Logs
#[tokio::test]
async fn followed_logs_go_on_and_end_with_the_stream() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(0);
    node.append_log("kubelet", "before");
    let mut stream = sim
        .node(0)
        .logs("kubelet")
        .tail_lines(1)
        .follow(true)
        .send()
        .await
        .expect("opened")
        .lines();
    assert_eq!(stream.next_line().await.expect("open").expect("a line"), "before");
    {
        let mut next = pin!(stream.next_line());
        let waiting =
            std::future::poll_fn(|cx| std::task::Poll::Ready(next.as_mut().poll(cx).is_pending())).await;
        assert!(waiting, "nothing new yet");
    }
    for text in ["one", "two"] {
        node.append_log("kubelet", text);
        assert_eq!(stream.next_line().await.expect("open").expect("a line"), text);
    }
    drop(stream);
    let ended = sim
        .cluster
        .requests()
        .wait_for(|call| call.method.ends_with("/Logs") && call.code.is_some())
        .await;
    assert_eq!(
        ended.code,
        Some(talos_testkit::Code::Cancelled),
        "dropping the stream cancels the call"
    );
}

// covers: machine.MachineService/Logs
#[tokio::test]
async fn logs_of_an_unknown_service_are_an_error() {
    let sim = Sim::start().await;
    let error = sim
        .node(0)
        .logs("nosuchservice")
        .send()
        .await
        .expect_err("unknown");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::Unknown, Origin::Node),
        "{error:#}"
    );
    assert_eq!(error.message(), Some(r#"log "nosuchservice" was not registered"#));
    assert_eq!(error.code(), Some(Code::Unknown));
}

// covers: machine.MachineService/Logs
#[tokio::test]
async fn bytes_that_are_no_text_do_not_stop_the_lines() {
    let sim = Sim::start().await;
    sim.cluster.node(0).append_log_bytes("etcd", b"caf\xe9\nnext\n");
    let shown = lines(
        sim.node(0)
            .logs("etcd")
            .tail_lines(2)
            .send()
            .await
            .expect("opened"),
    )
    .await;
    assert_eq!(shown, ["caf\u{fffd}", "next"]);
    let raw = sim
        .node(0)
        .logs("etcd")
        .tail_lines(2)
        .send()
        .await
        .expect("opened");
    assert_eq!(
        raw.collect_up_to(100).await.expect("small"),
        &b"caf\xe9\nnext\n"[..]
    );
}

// covers: machine.MachineService/Dmesg
#[tokio::test]
async fn kernel_messages_are_lines() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(0);
    node.append_kernel_message(KernelPriority::Warning, "something odd");
    let all = lines(sim.node(0).dmesg().send().await.expect("opened")).await;
    assert!(
        all.last().expect("has one").ends_with("]: something odd"),
        "{all:?}"
    );
    assert!(all.iter().all(|line| line.contains(": [")), "{all:?}");

    let target = sim.node(0);
    let opening = tokio::spawn(async move {
        let mut stream = target.dmesg().follow(true).only_new(true).send().await?.lines();
        stream.next_line().await.expect("open")
    });
    sim.cluster
        .requests()
        .wait_for(|call| call.method.ends_with("/Dmesg") && call.code.is_none() && !call.messages.is_empty())
        .await;
    node.append_kernel_message(KernelPriority::Info, "new");
    let line = opening.await.expect("not panicked").expect("a line");
    assert!(line.ends_with("]: new"), "{line}");
}

// covers: machine.MachineService/Read
#[tokio::test]
async fn a_file_is_a_reader() {
    let sim = Sim::start().await;
    let contents: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    sim.cluster.node(0).write_file("/var/big", contents.clone());

    let mut read = Vec::new();
    let file = sim.node(0).read("/var/big").await.expect("opened");
    file.into_async_read().read_to_end(&mut read).await.expect("read");
    assert!(read == contents, "{} bytes of {}", read.len(), contents.len());

    let mut first = String::new();
    let mut release = sim
        .node(0)
        .read("/etc/os-release")
        .await
        .expect("opened")
        .into_async_read();
    release.read_line(&mut first).await.expect("read");
    assert!(first.ends_with('\n') && first.contains('='), "{first:?}");
}

// covers: machine.MachineService/Read
#[tokio::test]
async fn collecting_stops_at_the_limit() {
    let sim = Sim::start().await;
    sim.cluster.node(0).write_file("/var/file", vec![7; 5_000]);
    let read = || async { sim.node(0).read("/var/file").await.expect("opened") };
    assert_eq!(
        read().await.collect_up_to(5_000).await.expect("fits").len(),
        5_000
    );
    let error = read()
        .await
        .collect_up_to(4_999)
        .await
        .expect_err("one byte too many");
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:#}");
}

// covers: machine.MachineService/Read
#[tokio::test]
async fn what_cannot_be_read_is_told_apart() {
    let sim = Sim::start().await;
    let missing = sim.node(0).read("/no/such/file").await.expect_err("missing");
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing:#}");
    assert_eq!(
        missing.message(),
        Some("stat /no/such/file: no such file or directory")
    );
    let folder = sim.node(0).read("/etc").await.expect_err("a folder");
    assert_eq!(folder.kind(), ErrorKind::Unknown, "{folder:#}");
    assert_eq!(folder.message(), Some("path must be a regular file"));
    let error = std::io::Error::from(missing);
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_node_that_dies_breaks_the_stream_with_an_error() {
    let sim = Sim::start().await;
    let mut stream = sim
        .node(1)
        .logs("machined")
        .follow(true)
        .send()
        .await
        .expect("opened");
    stream.next_chunk().await.expect("open").expect("history");
    sim.cluster.node(1).kill();
    let error = loop {
        match stream.next_chunk().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("the end of a dead node's stream is not an end"),
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}");
    assert!(
        stream.next_chunk().await.is_none(),
        "nothing comes after an error"
    );
}
