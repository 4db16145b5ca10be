//! The client of trustd, against a server that asks for the token as trustd does.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use hyper_util::rt::{TokioExecutor, TokioIo};
use talos_client::{
    ErrorKind,
    api::security::{TrustdClient, TrustdClientBuilder},
    proto::securityapi as proto,
    transport::{Fingerprint, ServerVerification},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, pki_types::PrivateKeyDer},
};
use tonic::{Request, Response, Status};
use tower::ServiceExt as _;

use crate::support::{Sim, shown};

const TOKEN: &str = "abcdef.0123456789abcdef";

/// Signs with a constant, and keeps the requests and the tokens they came with.
#[derive(Clone, Default)]
struct Trustd {
    received: Arc<Mutex<Vec<(String, proto::CertificateRequest)>>>,
}

#[tonic::async_trait]
impl proto::security_service_server::SecurityService for Trustd {
    async fn certificate(
        &self,
        request: Request<proto::CertificateRequest>,
    ) -> Result<Response<proto::CertificateResponse>, Status> {
        let token = request.metadata().get("token").cloned();
        let Some(token) = token else {
            return Err(Status::unauthenticated("missing token"));
        };
        let token = token.to_str().expect("ASCII").to_owned();
        if token != TOKEN {
            return Err(Status::unauthenticated("invalid token"));
        }
        let request = request.into_inner();
        if !request.csr.starts_with(b"-----BEGIN CERTIFICATE REQUEST-----") {
            return Err(Status::invalid_argument("failed to decode CSR"));
        }
        self.received.lock().expect("no panic").push((token, request));
        Ok(Response::new(proto::CertificateResponse {
            ca: "authorities".into(),
            crt: "certificate".into(),
        }))
    }
}

struct Served {
    trustd: Trustd,
    endpoint: String,
    ca: String,
    accepting: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Served {
    async fn start() -> Self {
        let certificate =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
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
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = listener.local_addr().expect("bound").to_string();
        let trustd = Trustd::default();
        let server = proto::security_service_server::SecurityServiceServer::new(trustd.clone());
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let stream = acceptor.accept(stream).await.expect("TLS");
                let server = server.clone();
                let service = hyper::service::service_fn(move |request| {
                    let server = server.clone();
                    async move { Ok::<_, Infallible>(server.oneshot(request).await.expect("infallible")) }
                });
                // Clients end connections as they like.
                tokio::spawn(
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self {
            trustd,
            endpoint,
            ca: certificate.cert.pem(),
            accepting,
        }
    }

    fn client(&self, token: &str) -> TrustdClientBuilder {
        TrustdClient::builder(token)
            .endpoints([self.endpoint.clone()])
            .verification(ServerVerification::ca_pem(&self.ca).expect("a CA"))
    }
}

// covers: securityapi.SecurityService/Certificate
#[tokio::test]
async fn a_request_is_signed_for_who_has_the_token() {
    let served = Served::start().await;
    let csr = "-----BEGIN CERTIFICATE REQUEST-----\n";
    let trustd = served.client(TOKEN).build().expect("a client");
    let signed = trustd.certificate(csr).await.expect("signed");
    assert_eq!(
        (&signed.ca_pem[..], &signed.certificate_pem[..]),
        (&b"authorities"[..], &b"certificate"[..])
    );
    let received = served.trustd.received.lock().expect("no panic").clone();
    assert_eq!(received.len(), 1);
    assert_eq!(
        (received[0].0.as_str(), &received[0].1.csr[..]),
        (TOKEN, csr.as_bytes())
    );
}

// covers: securityapi.SecurityService/Certificate
#[tokio::test]
async fn a_wrong_token_and_a_wrong_request_are_refused_and_the_token_is_not_shown() {
    let served = Served::start().await;
    let stranger = served.client("hunter2").build().expect("a client");
    let error = stranger.certificate("csr").await.expect_err("a wrong token");
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:#}");
    assert!(error.is_denied() && error.required_roles().is_empty());
    let text = format!("{} {stranger:?}", shown(&error));
    assert!(!text.contains("hunter2"), "{text}");

    let trustd = served.client(TOKEN).build().expect("a client");
    let error = trustd.certificate("nonsense").await.expect_err("no CSR");
    assert_eq!(error.message(), Some("failed to decode CSR"), "{error:#}");
    let error = trustd.certificate("").await.expect_err("empty");
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::InvalidInput, 0),
        "{error:#}"
    );
    assert!(served.trustd.received.lock().expect("no panic").is_empty());
}

// covers: securityapi.SecurityService/Certificate
#[tokio::test]
async fn the_trustd_of_a_cluster_signs_for_servers() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(1);
    let address = node.trustd_addr().expect("serves").expect("a control plane node");
    let builder = |token: &str| {
        TrustdClient::builder(token)
            .endpoints([address.to_string()])
            .verification(ServerVerification::ca_pem(sim.cluster.ca_pem()).expect("a CA"))
    };
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let csr = rcgen::CertificateParams::new(["worker.example.org".to_owned()])
        .and_then(|params| params.serialize_request(&key))
        .and_then(|csr| csr.pem())
        .expect("a request");

    let trustd = builder(sim.cluster.machine_token()).build().expect("a client");
    let signed = trustd.certificate(csr.clone()).await.expect("signed");
    assert_eq!(signed.ca_pem, sim.cluster.ca_pem());
    Fingerprint::of_certificate_pem(&signed.certificate_pem).expect("a certificate");

    let stranger = builder("wrong.token").build().expect("a client");
    let error = stranger.certificate(csr).await.expect_err("a wrong token");
    assert_eq!(error.message(), Some("invalid token"), "{error:#}");
    let error = trustd.certificate("nonsense").await.expect_err("no CSR");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error:#}");
}
