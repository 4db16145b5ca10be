//! Machines that answer only for themselves: in maintenance mode, and on a socket of their own.

use std::{
    convert::Infallible,
    error::Error as _,
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use talos_client::{
    ErrorKind, Node,
    local::{Local, LocalError},
    maintenance::{Maintenance, MaintenanceError},
    proto::machine::{Version, VersionInfo, VersionResponse},
    transport::Fingerprint,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, pki_types::PrivateKeyDer},
};

/// A machine that knows its version, and notes what it is told. It ends when dropped.
pub(crate) struct Machine {
    pub(crate) endpoint: String,
    certificate: String,
    received: Arc<Mutex<Vec<HeaderMap>>>,
    _accepting: JoinSet<()>,
}

impl Machine {
    /// As in maintenance mode: a certificate that nobody has signed, and none asked for.
    pub(crate) async fn in_maintenance() -> Self {
        let names = ["maintenance-service.talos.dev".to_owned()];
        let certificate = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(certificate.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|tls| {
                tls.with_no_client_auth()
                    .with_single_cert(vec![certificate.cert.der().clone()], key)
            })
            .expect("TLS settings");
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = listener.local_addr().expect("an address").to_string();
        let received = Arc::default();
        let noting = Arc::clone(&received);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, noting) = (acceptor.clone(), Arc::clone(&noting));
                connections.spawn(async move {
                    // Clients that do not trust it go away.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, noting).await;
                    }
                });
            }
        });
        Self {
            endpoint,
            certificate: certificate.cert.pem(),
            received,
            _accepting: accepting,
        }
    }

    fn on_socket(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let received = Arc::default();
        let noting = Arc::clone(&received);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&noting)));
            }
        });
        Self {
            endpoint: path.display().to_string(),
            certificate: String::new(),
            received,
            _accepting: accepting,
        }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_certificate_pem(&self.certificate).expect("a certificate")
    }

    /// The values of this metadata in the calls since the last time.
    pub(crate) fn told(&self, name: &str) -> Vec<Vec<String>> {
        let received = self.received.lock().expect("no panic");
        received
            .iter()
            .map(|headers| {
                let values = headers.get_all(name).iter();
                values
                    .map(|value| value.to_str().expect("text").to_owned())
                    .collect()
            })
            .collect()
    }
}

async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    received: Arc<Mutex<Vec<HeaderMap>>>,
) {
    let service = hyper::service::service_fn(move |request| answer(request, Arc::clone(&received)));
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // Clients end connections as they like.
    let _ = connection.serve_connection(TokioIo::new(io), service).await;
}

async fn answer(
    request: Request<Incoming>,
    received: Arc<Mutex<Vec<HeaderMap>>>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    assert_eq!(head.uri.path(), "/machine.MachineService/Version");
    body.collect().await?;
    received.lock().expect("no panic").push(head.headers);
    let version = Version {
        version: Some(VersionInfo {
            tag: "v1.14.0".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let reply = VersionResponse {
        messages: vec![version],
    };
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(reply.encoded_len()).expect("short"));
    frame.put_slice(&reply.encode_to_vec());
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(frame.freeze()).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(body.boxed_unsync());
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", grpc);
    Ok(response)
}

pub(crate) async fn version(node: &Node) -> String {
    node.version().await.expect("answered").tag().to_owned()
}

// covers: machine.MachineService/Version
#[tokio::test]
async fn a_machine_in_maintenance_is_known_by_its_fingerprint_and_told_no_node() {
    let (machine, other) = (Machine::in_maintenance().await, Machine::in_maintenance().await);
    let node = Maintenance::at(&machine.endpoint)
        .fingerprint(other.fingerprint())
        .fingerprint(machine.fingerprint())
        .build()
        .expect("a handle");
    assert_eq!(node.name().as_str(), "127.0.0.1");
    assert_eq!(version(&node).await, "v1.14.0");
    for name in ["node", "nodes", "authorization", "context", "talos-role"] {
        assert_eq!(machine.told(name), [[""; 0]], "{name}");
    }
    assert_eq!(machine.told("runtime"), [["Talos"]]);

    let wrong = Maintenance::at(&machine.endpoint)
        .fingerprint(other.fingerprint())
        .build()
        .expect("a handle");
    let error = wrong.version().await.expect_err("another machine");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error:#}");
    let seen = machine.fingerprint().to_string();
    assert!(
        format!("{error:#}").contains(&seen),
        "{error:#} does not show {seen}"
    );
    assert_eq!(error.node().map(|node| node.as_str()), Some("127.0.0.1"));
    assert_eq!(machine.told("runtime").len(), 1, "nothing was sent");
}

// covers: machine.MachineService/Version
#[tokio::test]
async fn verification_is_skipped_only_if_that_is_said() {
    let machine = Machine::in_maintenance().await;
    let error = Maintenance::at(&machine.endpoint)
        .build()
        .expect_err("nothing to know it by");
    assert_eq!(error.kind(), ErrorKind::Config);
    let source = error.source().and_then(|source| source.downcast_ref());
    assert!(
        matches!(source, Some(MaintenanceError::NoFingerprint { .. })),
        "{error:#}"
    );
    let node = Maintenance::at(&machine.endpoint)
        .dangerous()
        .skip_verification()
        .build()
        .expect("a handle");
    assert_eq!(version(&node).await, "v1.14.0");

    for endpoint in ["unix:///run/machine.sock", "not an endpoint"] {
        let error = Maintenance::at(endpoint)
            .fingerprint(machine.fingerprint())
            .build();
        assert_eq!(error.expect_err(endpoint).kind(), ErrorKind::Config, "{endpoint}");
    }
}

// covers: machine.MachineService/Version
#[tokio::test]
async fn what_is_set_about_endpoints_and_credentials_has_no_effect_in_maintenance() {
    let machine = Machine::in_maintenance().await;
    let node = Maintenance::at(&machine.endpoint)
        .fingerprint(machine.fingerprint())
        .settings(|builder| builder.endpoints(["10.5.0.77"]).cluster("main").ca_pem("no PEM"))
        .build()
        .expect("a handle");
    assert_eq!(version(&node).await, "v1.14.0");
    assert_eq!(machine.told("context"), [[""; 0]]);
}

// covers: machine.MachineService/Version
#[tokio::test]
async fn the_socket_of_a_node_is_told_each_role_and_no_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("machine.sock");
    let machine = Machine::on_socket(&path);
    let node = Local::with_roles(["os:reader", "os:etcd:backup"])
        .path(&path)
        .build()
        .expect("a handle");
    assert_eq!(node.name().as_str(), "localhost");
    assert_eq!(version(&node).await, "v1.14.0");
    assert_eq!(machine.told("talos-role"), [["os:reader", "os:etcd:backup"]]);
    for name in ["node", "nodes"] {
        assert_eq!(machine.told(name), [[""; 0]], "{name}");
    }
    assert!(machine.endpoint.ends_with("machine.sock"));
}

#[tokio::test]
async fn a_socket_without_role_or_path_is_refused_and_a_missing_one_is_told() {
    let error = Local::with_roles([" "]).build().expect_err("no role");
    let source = error.source().and_then(|source| source.downcast_ref());
    assert!(matches!(source, Some(LocalError::NoRole)), "{error:#}");
    for (path, role) in [("relative.sock", "os:reader"), ("/run/machine.sock", "no\ntext")] {
        let error = Local::with_roles([role]).path(path).build().expect_err(path);
        assert_eq!(error.kind(), ErrorKind::Config, "{error:#}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let node = Local::with_roles(["os:admin"])
        .path(folder.path().join("machine.sock"))
        .build()
        .expect("a handle");
    let error = node.version().await.expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error:#}");
}
