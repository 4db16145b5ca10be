//! Logs of services and of the kernel.

use talos_proto::machine::{DmesgRequest, LogsRequest};
use talos_testkit::KernelPriority;
use tonic::Code;

use crate::wire::{Wire, concat};
use crate::{four_nodes, single};

fn request(id: &str, tail_lines: i32) -> LogsRequest {
    LogsRequest {
        namespace: "system".to_owned(),
        id: id.to_owned(),
        tail_lines,
        ..LogsRequest::default()
    }
}

#[tokio::test]
async fn tail_lines_zero_is_nothing_and_negative_is_everything() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let before = text(wire.logs(request("kubelet", -1)).await.unwrap());
    node.append_log("kubelet", "one");
    node.append_log("kubelet", "zwei ✓");
    assert_eq!(text(wire.logs(request("kubelet", 0)).await.unwrap()), "");
    assert_eq!(text(wire.logs(request("kubelet", 1)).await.unwrap()), "zwei ✓\n");
    assert_eq!(
        text(wire.logs(request("kubelet", 2)).await.unwrap()),
        "one\nzwei ✓\n"
    );
    let all = text(wire.logs(request("kubelet", -1)).await.unwrap());
    assert_eq!(all, format!("{before}one\nzwei ✓\n"));
}

#[tokio::test]
async fn every_service_has_a_log() {
    let cluster = four_nodes().start().await.unwrap();
    for index in [0, 3] {
        let wire = Wire::admin(&cluster, &cluster.node(index)).await;
        let services = wire.machine().service_list(()).await.unwrap().into_inner();
        let registered = wire.machine().logs_containers(()).await.unwrap().into_inner();
        for service in &services.messages[0].services {
            assert!(
                !wire.logs(request(&service.id, -1)).await.unwrap().is_empty(),
                "{}",
                service.id
            );
            assert!(registered.messages[0].ids.contains(&service.id), "{}", service.id);
        }
    }
}

#[tokio::test]
async fn unknown_logs_have_the_texts_of_talos() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let container = |namespace: &str, driver: i32| LogsRequest {
        namespace: namespace.to_owned(),
        id: "x".to_owned(),
        driver,
        ..LogsRequest::default()
    };
    let cases = [
        (
            request("nosuchservice", -1),
            Code::Unknown,
            "log \"nosuchservice\" was not registered",
        ),
        (
            container("", 0),
            Code::InvalidArgument,
            "namespace can't be empty",
        ),
        (container("k8s.io", 1), Code::Unknown, "container \"x\" not found"),
        (container("other", 0), Code::Unknown, "container \"x\" not found"),
        (
            container("other", 1),
            Code::Unknown,
            "CRI inspector is supported only for K8s namespace",
        ),
        (
            container("other", 7),
            Code::InvalidArgument,
            "unsupported driver \"7\"",
        ),
    ];
    for (request, code, message) in cases {
        let status = wire.logs(request).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message));
    }
    let kubelet = LogsRequest {
        id: "kubelet".to_owned(),
        tail_lines: 1,
        ..LogsRequest::default()
    };
    assert!(
        !wire.logs(kubelet).await.unwrap().is_empty(),
        "the namespace of kubelet does not matter"
    );
}

#[tokio::test]
async fn following_shows_history_then_what_comes() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let follow = LogsRequest {
        follow: true,
        ..request("etcd", 1)
    };
    node.append_log("etcd", "last");
    let mut stream = wire.machine().logs(follow).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while seen != b"last\n" {
        seen.extend_from_slice(&stream.message().await.unwrap().unwrap().bytes);
    }
    node.append_log_bytes("etcd", b"ha");
    assert_eq!(stream.message().await.unwrap().unwrap().bytes, "ha");
    node.append_log_bytes("etcd", b"lf");
    assert_eq!(stream.message().await.unwrap().unwrap().bytes, "lf");
}

#[tokio::test]
async fn large_logs_come_in_pieces_cut_anywhere() {
    let cluster = single().await;
    let node = cluster.node(0);
    let line = "äöü".repeat(400);
    (0..20).for_each(|_| node.append_log("cri", &line));
    let wire = Wire::admin(&cluster, &node).await;
    let mut stream = wire
        .machine()
        .logs(request("cri", 20))
        .await
        .unwrap()
        .into_inner();
    let mut pieces = Vec::new();
    while let Some(data) = stream.message().await.unwrap() {
        pieces.push(data.bytes);
    }
    assert!(pieces.iter().all(|piece| (1..=1024).contains(&piece.len())));
    assert_eq!(
        String::from_utf8(pieces.concat()).unwrap(),
        format!("{line}\n").repeat(20)
    );
    assert!(
        pieces.iter().any(|piece| std::str::from_utf8(piece).is_err()),
        "no cut inside a character"
    );
}

#[tokio::test]
async fn every_call_leaves_a_line_with_apid_and_machined() {
    let cluster = single().await;
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &["os:reader"]).await;
    wire.machine().memory(()).await.unwrap();
    wire.machine()
        .read(talos_proto::machine::ReadRequest::default())
        .await
        .unwrap_err();
    let apid = String::from_utf8(wire.logs(request("apid", 2)).await.unwrap()).unwrap();
    let [memory, read] = apid.lines().collect::<Vec<_>>().try_into().unwrap();
    assert!(memory.contains(" OK [/machine.MachineService/Memory] ") && memory.contains(" stream Success ("));
    assert!(
        read.contains(" PermissionDenied [/machine.MachineService/Read] "),
        "{read}"
    );
    assert!(read.contains(" stream not authorized ("), "{read}");
    let machined = String::from_utf8(wire.logs(request("machined", 3)).await.unwrap()).unwrap();
    let memory = machined.lines().next().unwrap();
    assert!(
        memory.contains(" unary Success (") && memory.contains("talos-role=os:reader"),
        "{memory}"
    );
}

#[tokio::test]
async fn kernel_messages_come_one_by_one() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    node.append_kernel_message(KernelPriority::Warning, "disk is tired");
    let mut stream = wire
        .machine()
        .dmesg(DmesgRequest::default())
        .await
        .unwrap()
        .into_inner();
    let mut last = String::new();
    while let Some(data) = stream.message().await.unwrap() {
        last = String::from_utf8(data.bytes.to_vec()).unwrap();
        assert_eq!(last.matches('\n').count(), 1, "{last}");
        assert!(last.ends_with('\n'), "{last}");
    }
    assert!(
        last.starts_with("kern: warning: [") && last.ends_with("Z]: disk is tired\n"),
        "{last}"
    );

    let only_new = DmesgRequest {
        follow: false,
        tail: true,
    };
    assert_eq!(
        concat(wire.machine().dmesg(only_new).await.unwrap().into_inner())
            .await
            .unwrap(),
        b""
    );
    let follow = DmesgRequest {
        follow: true,
        tail: false,
    };
    let mut stream = wire.machine().dmesg(follow).await.unwrap().into_inner();
    while stream.message().await.unwrap().unwrap().bytes != last {}
    node.append_kernel_message(KernelPriority::Error, "new");
    let line = stream.message().await.unwrap().unwrap().bytes;
    assert!(
        line.starts_with(b"kern:     err: [") && line.ends_with(b"Z]: new\n"),
        "{line:?}"
    );
}
