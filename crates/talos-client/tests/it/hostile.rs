//! Servers that lie, stop in the middle, or send what nobody should: bounded, and reported.

use std::error::Error as _;

use talos_client::{
    CallOptions, ErrorKind, Origin,
    api::{containerd::Containerd, lifecycle::InstallerExit},
    proto::{common::Data, machine},
    stream::LineStream,
};

use crate::scripted::{Scripted, Step, ok};

fn data(bytes: impl Into<bytes::Bytes>) -> Step {
    let bytes = bytes.into();
    Step::message(&Data {
        bytes,
        ..Data::default()
    })
}

/// In messages as Talos sends them.
pub(crate) fn chunks(bytes: &[u8]) -> Vec<Step> {
    bytes.chunks(1024).map(|chunk| data(chunk.to_vec())).collect()
}

#[tokio::test]
async fn a_stream_that_stops_in_the_middle_is_not_complete() {
    let whole = data("one");
    for (rest, expected) in [
        (
            Some(Step::Raw((&[0, 0, 0, 0, 9, 0x12, 7, b't'][..]).into())),
            "the stream ended in the middle of a message",
        ),
        (
            Some(Step::Raw((&[0, 0][..]).into())),
            "the stream ended in the middle of a message",
        ),
        (None, "the stream ended without a status"),
    ] {
        let steps = [whole.clone()].into_iter().chain(rest).chain([Step::Stop]);
        let server = Scripted::always(steps.collect()).await;
        let mut stream = server.node().read("/file").await.expect("opened");
        assert_eq!(stream.next_chunk().await.expect("open").expect("a chunk"), "one");
        let error = stream.next_chunk().await.expect("open").expect_err("no end");
        assert_eq!(
            (error.kind(), error.origin(), error.message()),
            (ErrorKind::Malformed, Origin::Local, Some(expected))
        );
        assert!(stream.next_chunk().await.is_none());
        let request: machine::ReadRequest = server.ended().await.message();
        assert_eq!(request.path, "/file");
    }
}

#[tokio::test]
async fn a_message_of_four_gigabytes_is_refused_before_it_comes() {
    let steps = vec![Step::Raw((&[0, 0xff, 0xff, 0xff, 0xff][..]).into()), Step::Hang];
    let server = Scripted::always(steps).await;
    let mut stream = server.node().read("/file").await.expect("opened");
    let error = stream.next_chunk().await.expect("open").expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:#}");
    let compressed = vec![Step::Raw((&[1, 0, 0, 0, 0][..]).into()), Step::Hang];
    let server = Scripted::always(compressed).await;
    let mut stream = server.node().read("/file").await.expect("opened");
    let error = stream.next_chunk().await.expect("open").expect_err("compressed");
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error:#}");
}

#[tokio::test]
async fn a_line_without_end_comes_in_pieces() {
    let length = 3 * LineStream::MAX_LINE + 5;
    let server = Scripted::always(ok(vec![b'x'; length]
        .chunks(100_000)
        .map(|chunk| data(chunk.to_vec()))))
    .await;
    let mut lines = server.node().logs("etcd").send().await.expect("opened").lines();
    let mut pieces = Vec::new();
    while let Some(line) = lines.next_line().await {
        pieces.push(line.expect("a piece").len());
    }
    let max = LineStream::MAX_LINE;
    assert_eq!(pieces, [max, max, max, 5]);
}

// covers: machine.MachineService/List
#[tokio::test]
async fn a_file_of_a_size_below_zero_or_a_name_that_is_no_text_ends_the_list() {
    let file = |size| {
        Step::message(&machine::FileInfo {
            name: "/etc/a".to_owned(),
            relative_name: "a".to_owned(),
            size,
            ..Default::default()
        })
    };
    let no_text = Step::Message((&[0x12, 2, 0xff, 0xfe][..]).into());
    for bad in [file(-1), no_text] {
        let server = Scripted::always(ok([file(1), bad, file(2)])).await;
        let mut files = server.node().list("/etc").send().await.expect("opened");
        assert_eq!(files.next_entry().await.expect("open").expect("a file").size(), 1);
        let error = files.next_entry().await.expect("open").expect_err("no file");
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error:#}");
        assert!(files.next_entry().await.is_none(), "nothing comes after an error");
    }
}

// covers: machine.LifecycleService/Upgrade
// covers: machine.LifecycleService/Install
#[tokio::test]
async fn an_installer_has_succeeded_only_if_it_says_so() {
    use machine::lifecycle_service_install_progress::Response;

    let progress = |response| machine::LifecycleServiceInstallProgress {
        response: Some(response),
    };
    let upgrade = |response| {
        Step::message(&machine::LifecycleServiceUpgradeResponse {
            progress: Some(progress(response)),
        })
    };
    let line = upgrade(Response::Message("writing\n".to_owned()));
    let run = |steps| async {
        let server = Scripted::always(ok(steps)).await;
        let mut installer = server
            .node()
            .lifecycle()
            .upgrade("ghcr.io/siderolabs/installer:v1.14.0")
            .send()
            .await
            .expect("opened");
        assert_eq!(
            installer.next_line().await.expect("open").expect("a line"),
            "writing"
        );
        let request: machine::LifecycleServiceUpgradeRequest = server.ended().await.message();
        assert_eq!(
            request.containerd.map(|store| (store.driver, store.namespace)),
            Some((1, 1))
        );
        installer.next_line().await.transpose()
    };
    assert_eq!(
        run(vec![line.clone(), upgrade(Response::ExitCode(0))])
            .await
            .expect("succeeded"),
        None
    );
    let missing = run(vec![line.clone()]).await.expect_err("no exit code");
    assert_eq!(
        (missing.kind(), missing.message()),
        (ErrorKind::Malformed, Some("the installer's exit code is missing"))
    );
    let failed = run(vec![line, upgrade(Response::ExitCode(7))])
        .await
        .expect_err("failed");
    assert_eq!(
        (failed.kind(), failed.origin()),
        (ErrorKind::Internal, Origin::Node)
    );
    let exit = failed
        .source()
        .and_then(|source| source.downcast_ref::<InstallerExit>());
    assert_eq!(exit.map(|exit| exit.code()), Some(7));

    let install = Step::message(&machine::LifecycleServiceInstallResponse {
        progress: Some(progress(Response::ExitCode(0))),
    });
    let server = Scripted::always(ok([install])).await;
    let lifecycle = server.node().lifecycle();
    lifecycle
        .install("installer", "/dev/vda")
        .containerd(Containerd::InMemory)
        .send()
        .await
        .expect("opened")
        .finish()
        .await
        .expect("succeeded");
    let request: machine::LifecycleServiceInstallRequest = server.ended().await.message();
    assert_eq!(request.destination.expect("a disk").disk, "/dev/vda");
    for disk in ["", "vda", "/dev/", "/etc/passwd"] {
        let error = lifecycle.install("installer", disk).send().await.expect_err(disk);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{disk:?}");
    }
    assert_eq!(server.received().len(), 1, "nothing was sent");
}

// covers: machine.ImageService/Pull
#[tokio::test]
async fn a_pull_has_succeeded_only_if_it_names_the_image() {
    use machine::image_service_pull_response::Response;

    let step = |response| {
        Step::message(&machine::ImageServicePullResponse {
            response: Some(response),
        })
    };
    let name = step(Response::Name("repo@sha256:0".to_owned()));
    let progress = step(Response::PullProgress(machine::ImageServicePullProgress {
        layer_id: "sha256:1".to_owned(),
        progress: Some(machine::ImageServicePullLayerProgress {
            status: 9,
            offset: -5,
            total: 10,
            elapsed: None,
        }),
    }));
    for (steps, expected) in [
        (
            vec![progress.clone()],
            "the node did not say the name of the image",
        ),
        (
            vec![step(Response::Name(String::new()))],
            "the name of the image is empty",
        ),
        (
            vec![name.clone(), name.clone()],
            "the node goes on after the name of the image",
        ),
    ] {
        let server = Scripted::always(ok(steps)).await;
        let pull = server
            .node()
            .images()
            .pull("repo:tag")
            .send()
            .await
            .expect("opened");
        let error = pull.finish().await.expect_err("not there");
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Malformed, Some(expected))
        );
    }
    let server = Scripted::always(ok([progress, name])).await;
    let mut pull = server
        .node()
        .images()
        .pull("repo:tag")
        .send()
        .await
        .expect("opened");
    let step = pull.next_progress().await.expect("open").expect("a step");
    assert_eq!((step.offset, step.total), (None, Some(10)), "{step:?}");
    assert_eq!(pull.name(), None, "not there yet");
    assert!(pull.next_progress().await.is_none());
    assert_eq!(pull.name(), Some("repo@sha256:0"));
}

// covers: machine.DebugService/ContainerRun
#[tokio::test]
async fn a_container_without_an_exit_code_has_not_ended_well() {
    use machine::debug_container_run_response::Resp;

    let output = Step::message(&machine::DebugContainerRunResponse {
        resp: Some(Resp::StdoutData("hello".into())),
    });
    let server = Scripted::always(ok([output])).await;
    let session = server
        .node()
        .debug_container("image")
        .send()
        .await
        .expect("started");
    let (_input, mut output) = session.split();
    assert_eq!(output.next_chunk().await.expect("open").expect("output"), "hello");
    let error = output
        .next_chunk()
        .await
        .expect("open")
        .expect_err("no exit code");
    assert_eq!(error.message(), Some("the container's exit code is missing"));
    assert_eq!(output.exit_code(), None);
}

// covers: machine.MachineService/PacketCapture
#[tokio::test]
async fn what_is_no_capture_is_refused_and_an_empty_one_is_none() {
    for steps in [
        ok([data("this is no capture, whatever it is")]),
        ok([data("short")]),
        ok([]),
    ] {
        let server = Scripted::always(steps).await;
        let error = server
            .node()
            .capture_packets("eth0")
            .send()
            .await
            .expect_err("no capture");
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error:#}");
    }
}

// covers: machine.MachineService/EtcdMemberList
#[tokio::test]
async fn a_member_without_an_id_is_no_member() {
    let reply = machine::EtcdMemberListResponse {
        messages: vec![machine::EtcdMembers {
            members: vec![machine::EtcdMember::default()],
            ..Default::default()
        }],
    };
    let server = Scripted::always(ok([Step::message(&reply)])).await;
    let error = server.node().etcd().members().send().await.expect_err("no id");
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error:#}");
}

// covers: machine.MachineService/EtcdSnapshot
#[tokio::test]
async fn a_snapshot_that_is_not_complete_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    for bytes in [vec![7; 512], vec![7; 544], vec![7; 100], Vec::new()] {
        let server = Scripted::always(ok(chunks(&bytes))).await;
        let error = server
            .node()
            .etcd()
            .snapshot()
            .to_file(&path)
            .await
            .expect_err("not complete");
        assert_eq!(
            error.kind(),
            ErrorKind::Malformed,
            "{} bytes: {error:#}",
            bytes.len()
        );
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            0,
            "nothing is left"
        );
    }
}

#[tokio::test]
async fn a_snapshot_that_goes_silent_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let silent = Scripted::always(vec![data("some"), Step::Hang]).await;
    // On a busy machine it may be over before the first byte comes; that is no different.
    let hurried = CallOptions::new().idle_timeout(std::time::Duration::from_millis(200));
    let error = silent
        .node()
        .etcd()
        .snapshot()
        .with_options(hurried)
        .to_file(&path)
        .await
        .expect_err("silent");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:#}");
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        0,
        "nothing is left"
    );
}
