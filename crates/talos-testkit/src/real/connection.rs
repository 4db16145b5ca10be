//! The barest client: generated stubs over one connection over TLS. As everywhere in the testkit, nothing of
//! the client library is in it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use talos_proto::cosi::resource::state_client::StateClient;
use talos_proto::machine::machine_service_client::MachineServiceClient;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::body::Body;
use tower_service::Service;

use super::RealError;

/// How long one attempt to connect or to call may take.
pub(super) const ATTEMPT: Duration = Duration::from_secs(2);

/// Who we are, and whom we trust.
#[derive(Clone)]
pub(super) struct Credentials {
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    pub(super) fn new(
        authorities: Vec<CertificateDer<'static>>,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, RealError> {
        let unusable = |error: rustls::Error| RealError::talosconfig(error.to_string());
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority).map_err(unusable)?;
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            config: Arc::new(config),
        })
    }
}

/// One connection to an `apid`.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    sender: SendRequest<Body>,
    origin: Uri,
}

impl Connection {
    /// Connects to `endpoint`, host and port.
    pub(super) async fn open(endpoint: &str, credentials: &Credentials) -> Result<Self, Status> {
        let attempt = Self::handshakes(endpoint, credentials);
        match tokio::time::timeout(ATTEMPT, attempt).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(Status::unavailable(error.to_string())),
            Err(_) => Err(Status::unavailable("timed out while connecting")),
        }
    }

    async fn handshakes(
        endpoint: &str,
        credentials: &Credentials,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let origin: Uri = format!("https://{endpoint}").parse()?;
        let host = origin.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned())?;
        let socket = TcpStream::connect(endpoint).await?;
        let connector = TlsConnector::from(Arc::clone(&credentials.config));
        let stream = TokioIo::new(connector.connect(name, socket).await?);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        // Ends with the last sender.
        tokio::spawn(connection);
        Ok(Self { sender, origin })
    }

    pub(super) fn machine(&self) -> MachineServiceClient<Self> {
        MachineServiceClient::with_origin(self.clone(), self.origin.clone())
    }

    pub(super) fn state(&self) -> StateClient<Self> {
        StateClient::with_origin(self.clone(), self.origin.clone())
    }
}

impl Service<Request<Body>> for Connection {
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

/// A request with what a Talos client sends along: a deadline, and the node that is to answer.
pub(super) fn request<T>(message: T, node: Option<&str>) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(ATTEMPT);
    if let Some(node) = node.and_then(|node| node.parse().ok()) {
        request.metadata_mut().insert("node", node);
    }
    request
}
