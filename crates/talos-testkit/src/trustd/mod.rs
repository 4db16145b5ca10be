//! `trustd` of control plane nodes: signs the server certificates of workers.

mod csr;

use std::future::poll_fn;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use talos_proto::securityapi::security_service_server::{SecurityService, SecurityServiceServer};
use talos_proto::securityapi::{CertificateRequest, CertificateResponse};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Request, Response, Status};
use tower_service::Service as _;

use crate::machined::policy;
use crate::network::{Machine, Network};
pub(crate) use csr::SigningRequest;

/// Most bytes in a request; grpc-go's default.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;

const SERVICE: &str = "securityapi.SecurityService";

/// The `trustd` of one machine.
#[derive(Debug, Clone)]
pub(crate) struct Trustd {
    pub(crate) network: Arc<Network>,
    pub(crate) machine: Arc<Machine>,
}

/// Accepts connections until `life` ends, which also ends the connections.
pub(crate) async fn accept(trustd: Trustd, life: CancellationToken) {
    let ended = life.clone();
    let accepting = async move {
        loop {
            let Ok(socket) = poll_fn(|cx| trustd.machine.trustd.poll_accept(cx)).await else {
                tokio::task::yield_now().await;
                continue;
            };
            let served = serve(trustd.clone(), socket);
            let tasks = &trustd.network.tasks;
            tasks.spawn(ended.clone().run_until_cancelled_owned(served));
        }
    };
    life.run_until_cancelled_owned(accepting).await;
}

async fn serve(trustd: Trustd, socket: TcpStream) {
    let (network, machine) = (&trustd.network, &trustd.machine);
    let acceptor = match machine.tls.trustd(&network.tls, &machine.identity) {
        Ok(acceptor) => acceptor,
        Err(error) => {
            tracing::error!(%error, "no TLS configuration");
            return;
        }
    };
    let stream = match acceptor.accept(socket).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "TLS handshake with trustd failed");
            return;
        }
    };
    let service = SecurityServiceServer::new(trustd.clone()).max_decoding_message_size(MAX_MESSAGE);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let mut service = service.clone();
        async move {
            let path = request.uri().path().trim_start_matches('/');
            match path.rsplit_once('/') {
                Some((SERVICE, "Certificate")) => service.call(request.map(Body::new)).await,
                Some((service, name)) => Ok(policy::unknown(service, name, service == SERVICE).into_http()),
                None => {
                    let path = crate::text::go_quoted(request.uri().path());
                    Ok(Status::unimplemented(format!("malformed method name: {path}")).into_http())
                }
            }
        }
    });
    let connection =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection to trustd ended");
    }
}

#[tonic::async_trait]
impl SecurityService for Trustd {
    async fn certificate(
        &self,
        request: Request<CertificateRequest>,
    ) -> Result<Response<CertificateResponse>, Status> {
        let token = request.metadata().get("token");
        let configured = self.machine.node().configuration.token();
        let wanted = configured.as_deref().unwrap_or(&self.network.token);
        match token {
            None => return Err(Status::unauthenticated("missing token")),
            Some(token) if token.as_bytes() != wanted.as_bytes() => {
                return Err(Status::unauthenticated("invalid token"));
            }
            Some(_) => {}
        }
        let csr = &request.get_ref().csr;
        let der = csr::decode(csr).ok_or_else(|| Status::invalid_argument("failed to decode CSR"))?;
        let wanted = SigningRequest::parse(&der)
            .ok_or_else(|| Status::invalid_argument("failed to parse CSR: asn1: structure error"))?;
        let authority = &self.network.tls.authority;
        let certificate = authority
            .sign_request(wanted)
            .map_err(|error| Status::internal(format!("failed to sign CSR: {error}")))?;
        Ok(Response::new(CertificateResponse {
            ca: authority.certificate_pem().into(),
            crt: certificate.into(),
        }))
    }
}
