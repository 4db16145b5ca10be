//! Starting, stopping, recording, talosconfigs.

use std::io;

use talos_proto::machine::{LogsRequest, ReadRequest};
use talos_testkit::pki::ClientCertSpec;
use talos_testkit::{Code, Listen, MachineRole, SimCluster, SimError};
use tokio::net::TcpStream;

use crate::wire::{Wire, client_config, handshake, with};
use crate::{four_nodes, single};

async fn refused(node: &talos_testkit::SimNode) -> bool {
    TcpStream::connect(node.socket_addr())
        .await
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[tokio::test]
async fn a_killed_node_refuses_connections_and_breaks_those_it_had() {
    let cluster = four_nodes().start().await.unwrap();
    let node = cluster.node(1);
    let wire = Wire::admin(&cluster, &node).await;
    wire.machine().version(()).await.unwrap();
    let endpoint = node.endpoint();
    node.kill();
    assert!(refused(&node).await, "at once");
    node.kill();
    assert!(!node.is_running());
    wire.machine().version(()).await.unwrap_err();
    assert!(refused(&node).await);
    node.revive().unwrap();
    node.revive().unwrap();
    assert_eq!(node.endpoint(), endpoint);
    Wire::admin(&cluster, &node)
        .await
        .machine()
        .version(())
        .await
        .unwrap();
}

#[tokio::test]
async fn running_calls_break_with_the_connection() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let request = LogsRequest {
        namespace: "system".to_owned(),
        id: "etcd".to_owned(),
        follow: true,
        tail_lines: 1,
        ..LogsRequest::default()
    };
    let mut stream = wire.machine().logs(request).await.unwrap().into_inner();
    stream.message().await.unwrap();
    node.kill();
    while let Ok(message) = stream.message().await {
        assert!(message.is_some(), "a broken stream has no good end");
    }
    let call = cluster.requests().wait_for(|call| call.code.is_some()).await;
    assert_eq!(call.code, Some(Code::Cancelled));
}

#[tokio::test]
async fn dropping_a_cluster_closes_its_sockets() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    cluster.shutdown().await;
    assert!(refused(&node).await);
    wire.machine().version(()).await.unwrap_err();

    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let node = cluster.node(0);
    drop(cluster);
    assert!(refused(&node).await);
    wire.machine().version(()).await.unwrap_err();
    assert!(matches!(node.revive(), Err(SimError::Stopped)));
}

#[tokio::test]
async fn nodes_have_names_roles_and_endpoints() {
    let cluster = four_nodes()
        .cluster_name("prod")
        .domain("example.org")
        .start()
        .await
        .unwrap();
    assert_eq!(cluster.nodes(), ["10.5.0.2", "10.5.0.3", "10.5.0.4", "10.5.0.5"]);
    assert_eq!(cluster.endpoints().len(), 3);
    let worker = cluster.node_by_name("prod-worker-1.example.org").unwrap();
    assert_eq!(
        (worker.name().as_str(), worker.role()),
        ("10.5.0.5", MachineRole::Worker)
    );
    assert!(!cluster.endpoints().contains(&worker.endpoint()));
    for name in [
        "10.5.0.3",
        "prod-controlplane-2",
        "prod-controlplane-2.example.org",
    ] {
        assert_eq!(
            cluster.node_by_name(name).unwrap().endpoint(),
            cluster.endpoints()[1]
        );
    }
    assert!(cluster.node_by_name("nowhere").is_none());
    let error = SimCluster::builder()
        .control_planes(0)
        .workers(2)
        .start()
        .await
        .unwrap_err();
    assert!(matches!(error, SimError::NoControlPlane));
    let error = SimCluster::builder()
        .control_planes(70_000)
        .start()
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "70000 nodes were asked for, the simulated network has room for 65533"
    );
}

#[tokio::test]
async fn nodes_can_share_one_loopback_address() {
    let cluster = four_nodes().listen(Listen::SharedLoopback).start().await.unwrap();
    assert!(
        cluster
            .endpoints()
            .iter()
            .all(|endpoint| endpoint.starts_with("127.0.0.1:"))
    );
    let wire = Wire::admin(&cluster, &cluster.node(1)).await;
    let reply = wire
        .machine()
        .hostname(with((), &[("node", "10.5.0.4")]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.messages[0].hostname, "sim-controlplane-3");
    let reply = wire
        .machine()
        .hostname(with((), &[("node", "127.0.0.1")]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.messages[0].hostname, "sim-controlplane-2");
}

#[tokio::test]
async fn a_seed_repeats_what_nodes_make_up() {
    let ids = async |seed| {
        let cluster = SimCluster::builder()
            .control_planes(2)
            .seed(seed)
            .start()
            .await
            .unwrap();
        [cluster.node(0).boot_id(), cluster.node(1).boot_id()]
    };
    let first = ids(1).await;
    assert_eq!(first, ids(1).await);
    assert_ne!(first, ids(2).await);
    assert_ne!(first[0], first[1]);
}

#[tokio::test]
async fn calls_are_recorded_where_they_came_in() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &["os:reader"]).await;
    let request = ReadRequest {
        path: "/etc/hostname".to_owned(),
    };
    let metadata = [("node", "10.5.0.3"), ("x-test", "1"), ("x-test", "2")];
    wire.machine().read(with(request, &metadata)).await.unwrap_err();
    wire.machine()
        .hostname(with((), &[("nodes", "10.5.0.4"), ("nodes", "10.5.0.5")]))
        .await
        .unwrap();
    let calls = cluster.requests().all();
    let [read, hostname] = calls.as_slice() else {
        panic!("{calls:?}")
    };
    assert_eq!(
        (read.endpoint.as_str(), read.method.as_str()),
        ("10.5.0.2", "/machine.MachineService/Read")
    );
    assert_eq!(read.metadata_values("x-test").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(read.metadata_values("node").collect::<Vec<_>>(), ["10.5.0.3"]);
    assert_eq!(
        read.metadata_values("talos-role").count(),
        0,
        "as received, not as passed on"
    );
    assert_eq!(
        read.messages,
        [&[&[0x0a, 13], b"/etc/hostname".as_slice()].concat()[..]]
    );
    assert_eq!(
        (read.roles.as_slice(), read.handled_by.as_slice()),
        (
            ["os:reader".to_owned()].as_slice(),
            ["10.5.0.3".to_owned()].as_slice()
        )
    );
    assert_eq!(
        (read.code, read.status_message.as_str()),
        (Some(Code::PermissionDenied), "not authorized")
    );
    assert_eq!((hostname.handled_by.len(), hostname.code), (2, Some(Code::Ok)));
    assert_eq!(cluster.requests().of("Read").len(), 1);
    assert_eq!(cluster.requests().of("/machine.MachineService/Hostname").len(), 1);
    assert_eq!(
        cluster
            .requests()
            .matching(|call| call.code == Some(Code::Ok))
            .len(),
        1
    );
    cluster.requests().clear();
    assert_eq!(cluster.requests().all().len(), 0);
}

#[tokio::test]
async fn waiting_sees_calls_of_past_and_future() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let recorder = cluster.requests();
    let done = |call: &talos_testkit::RecordedCall| call.code == Some(Code::Ok);
    let (call, reply) = tokio::join!(recorder.wait_for(done), async {
        wire.machine().version(()).await
    });
    reply.unwrap();
    assert_eq!(call.method, "/machine.MachineService/Version");
    assert_eq!(
        recorder.wait_for(done).await.method,
        "/machine.MachineService/Version"
    );
}

#[tokio::test]
async fn recording_can_be_switched_off() {
    let cluster = SimCluster::builder().recording(false).start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    wire.machine().version(()).await.unwrap();
    assert_eq!(cluster.requests().all().len(), 0);
}

#[tokio::test]
async fn a_talosconfig_opens_the_cluster() {
    use base64::Engine as _;
    use rustls::pki_types::pem::PemObject as _;

    let cluster = four_nodes().cluster_name("prod").start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("talosconfig");
    std::fs::write(&path, "x".repeat(100_000)).unwrap();
    let config = cluster
        .talosconfig_builder()
        .nodes(cluster.nodes())
        .roles(["os:reader"]);
    config.write_to(&path).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let mut expected = "context: prod\ncontexts:\n    prod:\n        endpoints:\n".to_owned();
    for endpoint in cluster.endpoints() {
        expected.push_str(&format!("            - {endpoint}\n"));
    }
    expected.push_str("        nodes:\n");
    for node in cluster.nodes() {
        expected.push_str(&format!("            - {node}\n"));
    }
    assert!(text.starts_with(&expected), "{text}");
    let pem = |key: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("        {key}: ")))
            .unwrap();
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(line).unwrap()).unwrap()
    };
    assert_eq!(pem("ca"), cluster.ca_pem());
    assert!(pem("key").starts_with("-----BEGIN ED25519 PRIVATE KEY-----\n"));
    let ca = rustls::pki_types::CertificateDer::from_pem_slice(pem("ca").as_bytes()).unwrap();
    let chain = rustls::pki_types::CertificateDer::from_pem_slice(pem("crt").as_bytes()).unwrap();
    let key = pem("key").replace("ED25519 PRIVATE", "PRIVATE");
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca).unwrap();
    let mut tls = rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_client_auth_cert(vec![chain], key)
    .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let address = cluster.endpoints()[2].parse().unwrap();
    let wire = Wire::over(handshake(address, tls).await.unwrap(), address).await;
    wire.machine().version(()).await.unwrap();
    assert_eq!(cluster.requests().all()[0].roles, ["os:reader"]);
}

#[tokio::test]
async fn talosconfigs_say_what_they_are_told() {
    let cluster = single().await;
    let plain = cluster.talosconfig();
    assert!(
        plain.starts_with("context: sim\n") && !plain.contains("nodes:"),
        "{plain}"
    );
    assert!(
        cluster
            .talosconfig_for_roles(["os:operator"])
            .starts_with("context: sim\n")
    );
    let other = cluster
        .talosconfig_builder()
        .context("other")
        .endpoints(["127.0.0.1:1"])
        .certificate(ClientCertSpec::new(["os:admin"]).expired())
        .render()
        .unwrap();
    let expected =
        "context: other\ncontexts:\n    other:\n        endpoints:\n            - 127.0.0.1:1\n        ca: ";
    assert!(other.starts_with(expected), "{other}");
}

#[tokio::test]
async fn secrets_stay_out_of_debug_output() {
    let cluster = single().await;
    let cert = cluster.client_cert(["os:admin"]).unwrap();
    let text = format!(
        "{cert:?} {cluster:?} {:?} {:?}",
        cluster.node(0),
        cluster.talosconfig_builder()
    );
    assert!(!text.contains("PRIVATE KEY"), "{text}");
    let body: String = cert.key_pem.lines().nth(1).unwrap().to_owned();
    assert!(!text.contains(&body), "{text}");
    let config = client_config(cluster.authority().certificate_der(), Some(&cert));
    handshake(cluster.node(0).socket_addr(), config).await.unwrap();
}
