//! The barest possible client: generated stubs over one hyper connection over rustls. Nothing of the
//! client library is involved, so that its mistakes cannot cancel out those of the simulator.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use talos_proto::cluster::cluster_service_client::ClusterServiceClient;
use talos_proto::common::Data;
use talos_proto::cosi::resource::state_client::StateClient;
use talos_proto::inspect::inspect_service_client::InspectServiceClient;
use talos_proto::machine::LogsRequest;
use talos_proto::machine::debug_service_client::DebugServiceClient;
use talos_proto::machine::image_service_client::ImageServiceClient;
use talos_proto::machine::lifecycle_service_client::LifecycleServiceClient;
use talos_proto::machine::lvm_service_client::LvmServiceClient;
use talos_proto::machine::machine_service_client::MachineServiceClient;
use talos_proto::machine::md_service_client::MdServiceClient;
use talos_proto::storage::storage_service_client::StorageServiceClient;
use talos_proto::time::time_service_client::TimeServiceClient;
use talos_testkit::pki::ClientCert;
use talos_testkit::{SimCluster, SimNode};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::{Status, Streaming};

/// A channel over one connection.
#[derive(Clone)]
pub(crate) struct Wire {
    sender: SendRequest<Body>,
    origin: Uri,
}

impl Wire {
    /// Connects to `node` as an administrator.
    pub(crate) async fn admin(cluster: &SimCluster, node: &SimNode) -> Self {
        Self::with_roles(cluster, node, &["os:admin"]).await
    }

    pub(crate) async fn with_roles(cluster: &SimCluster, node: &SimNode, roles: &[&str]) -> Self {
        let cert = cluster.client_cert(roles.iter().copied()).unwrap();
        let config = client_config(cluster.authority().certificate_der(), Some(&cert));
        let stream = handshake(node.socket_addr(), config).await.unwrap();
        Self::over(stream, node.socket_addr()).await
    }

    pub(crate) async fn over(stream: TlsStream<TcpStream>, address: SocketAddr) -> Self {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self {
            sender,
            origin: format!("https://{address}").parse().unwrap(),
        }
    }

    /// A connection without TLS.
    pub(crate) fn plain(sender: SendRequest<Body>, authority: &str) -> Self {
        Self {
            sender,
            origin: format!("http://{authority}").parse().unwrap(),
        }
    }

    pub(crate) const fn from_parts(sender: SendRequest<Body>, origin: Uri) -> Self {
        Self { sender, origin }
    }

    pub(crate) fn machine(&self) -> MachineServiceClient<Self> {
        MachineServiceClient::with_origin(self.clone(), self.origin.clone())
            .max_decoding_message_size(64 << 20)
    }

    pub(crate) fn state(&self) -> StateClient<Self> {
        StateClient::with_origin(self.clone(), self.origin.clone())
    }

    pub(crate) fn images(&self) -> ImageServiceClient<Self> {
        ImageServiceClient::with_origin(self.clone(), self.origin.clone())
    }

    pub(crate) fn lifecycle(&self) -> LifecycleServiceClient<Self> {
        LifecycleServiceClient::with_origin(self.clone(), self.origin.clone())
    }

    pub(crate) fn debug(&self) -> DebugServiceClient<Self> {
        DebugServiceClient::with_origin(self.clone(), self.origin.clone())
    }

    pub(crate) fn storage(&self) -> StorageServiceClient<Self> {
        StorageServiceClient::with_origin(self.clone(), self.origin.clone())
    }

    pub(crate) fn lvm(&self) -> LvmServiceClient<Self> {
        LvmServiceClient::with_origin(self.clone(), self.origin.clone())
    }

    pub(crate) fn md(&self) -> MdServiceClient<Self> {
        MdServiceClient::with_origin(self.clone(), self.origin.clone())
    }

    pub(crate) fn time(&self) -> TimeServiceClient<Self> {
        TimeServiceClient::with_origin(self.clone(), self.origin.clone())
    }

    pub(crate) fn cluster(&self) -> ClusterServiceClient<Self> {
        ClusterServiceClient::with_origin(self.clone(), self.origin.clone())
    }

    pub(crate) fn inspect(&self) -> InspectServiceClient<Self> {
        InspectServiceClient::with_origin(self.clone(), self.origin.clone())
    }

    /// All bytes of a log.
    pub(crate) async fn logs(
        &self,
        request: impl tonic::IntoRequest<LogsRequest>,
    ) -> Result<Vec<u8>, Status> {
        concat(self.machine().logs(request).await?.into_inner()).await
    }

    /// Sends a gRPC request with a path and body of any kind.
    pub(crate) async fn raw(&self, path: &str, headers: &[(&str, &str)], body: Body) -> Response<Incoming> {
        let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
        self.request("POST", path, &[&grpc, headers].concat(), body).await
    }

    /// Sends a gRPC request that may not get as far as an answer.
    pub(crate) async fn try_raw(&self, path: &str, body: Body) -> Result<Response<Incoming>, hyper::Error> {
        let uri = format!("{}{path}", self.origin.to_string().trim_end_matches('/'));
        let request = Request::post(uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body)
            .unwrap();
        self.sender.clone().send_request(request).await
    }

    /// Sends a request of any kind.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Response<Incoming> {
        let uri = format!("{}{path}", self.origin.to_string().trim_end_matches('/'));
        let mut request = Request::builder().method(method).uri(uri);
        for (key, value) in headers {
            request = request.header(*key, *value);
        }
        self.sender
            .clone()
            .send_request(request.body(body).unwrap())
            .await
            .unwrap()
    }
}

impl Service<Request<Body>> for Wire {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}

/// A TLS configuration that trusts `authority` and presents `cert`.
pub(crate) fn client_config(authority: &[u8], cert: Option<&ClientCert>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.to_vec())).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match cert {
        None => builder.with_no_client_auth(),
        Some(cert) => {
            let chain = vec![CertificateDer::from(cert.certificate_der().to_vec())];
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(cert.key_pkcs8_der().to_vec()));
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

pub(crate) async fn handshake(address: SocketAddr, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let name = ServerName::from(address.ip());
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

/// The bytes of a stream, none of whose pieces is larger than a node sends.
pub(crate) async fn concat(mut stream: Streaming<Data>) -> Result<Vec<u8>, Status> {
    let mut bytes = Vec::new();
    while let Some(Data { bytes: piece, .. }) = stream.message().await? {
        assert!((1..=1024).contains(&piece.len()), "{}", piece.len());
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// How a call ended, in headers or trailers.
pub(crate) async fn final_status(response: Response<Incoming>) -> Status {
    if let Some(status) = Status::from_header_map(response.headers()) {
        return status;
    }
    let collected = response.into_body().collect().await.unwrap();
    Status::from_header_map(collected.trailers().unwrap()).unwrap()
}

/// An uncompressed gRPC frame.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], length.as_slice(), message].concat().into()
}

/// A request with metadata.
pub(crate) fn with<T>(message: T, metadata: &[(&'static str, &str)]) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    for (key, value) in metadata {
        request.metadata_mut().append(*key, value.parse().unwrap());
    }
    request
}

/// All messages of a stream.
pub(crate) async fn all<T>(mut stream: Streaming<T>) -> Result<Vec<T>, Status> {
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await? {
        messages.push(message);
    }
    Ok(messages)
}

/// Code and message of the failure that `reply` is.
pub(crate) fn failure<T: std::fmt::Debug>(reply: Result<T, Status>) -> (tonic::Code, String) {
    let status = reply.unwrap_err();
    (status.code(), status.message().to_owned())
}
