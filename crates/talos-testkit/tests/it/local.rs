//! The Unix socket of `machined`.

use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use talos_proto::cosi::resource::GetRequest;
use talos_proto::definitions::secrets::ApiCertsSpec;
use talos_testkit::{Code, SimCluster, SimError, SimNode};
use tokio::net::UnixStream;

use crate::faults::version;
use crate::four_nodes;
use crate::wire::{Wire, with};

async fn connect(node: &SimNode, path: &std::path::Path) -> Wire {
    node.serve_unix(path).unwrap();
    let stream = UnixStream::connect(path).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    Wire::from_parts(sender, "http://localhost".parse().unwrap())
}

async fn cluster() -> (SimCluster, tempfile::TempDir) {
    (four_nodes().start().await.unwrap(), tempfile::tempdir().unwrap())
}

#[tokio::test]
async fn roles_come_from_metadata_alone_and_nothing_is_routed() {
    let (cluster, folder) = cluster().await;
    let wire = connect(&cluster.node(3), &folder.path().join("machine.sock")).await;
    let refused = (Code::PermissionDenied, "not authorized".to_owned());
    assert_eq!(version(&wire, &[]).await, refused);
    let reader = ("talos-role", "os:reader");
    for routing in [("node", "10.5.0.2"), ("nodes", "10.5.0.2"), ("node", "nowhere")] {
        let request = with((), &[reader, routing]);
        let reply = wire.machine().hostname(request).await.unwrap().into_inner();
        assert_eq!(reply.messages[0].hostname, "sim-worker-1");
        assert!(reply.messages[0].metadata.is_none());
    }
    let call = &cluster.requests().of("Hostname")[0];
    assert_eq!((call.endpoint.as_str(), call.connection), ("10.5.0.5", 0));
    assert_eq!(call.roles, ["os:reader"]);
}

#[tokio::test]
async fn what_apid_needs_is_among_the_resources() {
    let (cluster, folder) = cluster().await;
    for (index, control_plane) in [(0, true), (3, false)] {
        let path = folder.path().join(format!("{index}.sock"));
        let wire = connect(&cluster.node(index), &path).await;
        let get = |namespace: &str, kind: &str, id: &str| GetRequest {
            namespace: namespace.to_owned(),
            r#type: kind.to_owned(),
            id: id.to_owned(),
            ..GetRequest::default()
        };
        let certificates = get("secrets", "ApiCertificates.secrets.talos.dev", "api");
        let request = with(certificates.clone(), &[("talos-role", "os:reader")]);
        assert_eq!(
            wire.state().get(request).await.unwrap_err().code(),
            Code::PermissionDenied
        );
        let request = with(certificates, &[("talos-role", "os:admin")]);
        let reply = wire.state().get(request).await.unwrap().into_inner();
        let spec = ApiCertsSpec::decode(reply.resource.unwrap().spec.unwrap().proto_spec).unwrap();
        assert_eq!(spec.client.is_some(), control_plane);
        assert_eq!(spec.accepted_c_as[0].crt, cluster.ca_pem());
        let key = String::from_utf8(spec.server.unwrap().key.to_vec()).unwrap();
        assert!(key.starts_with("-----BEGIN ED25519 PRIVATE KEY-----\n"));
        let config = get("runtime", "APIServiceConfigs.runtime.talos.dev", "apid");
        let request = with(config, &[("talos-role", "os:reader")]);
        wire.state().get(request).await.unwrap();
    }
}

#[tokio::test]
async fn a_path_in_use_is_named() {
    let (cluster, folder) = cluster().await;
    let path = folder.path().join("machine.sock");
    let node = cluster.node(0);
    let wire = connect(&node, &path).await;
    let error = node.serve_unix(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("listening on {} failed", path.display())
    );
    node.kill();
    assert_ne!(
        wire.machine().version(()).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let error = node.serve_unix(folder.path().join("other.sock")).unwrap_err();
    assert!(matches!(error, SimError::Stopped), "{error}");
}
