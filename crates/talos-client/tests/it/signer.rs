//! The signing plug-in, behind a socket of its own.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use hyper_util::rt::{TokioExecutor, TokioIo};
use talos_client::{
    ErrorKind,
    api::signer::{Digest, SignatureScheme, SignerClient},
    proto::signerapi as proto,
    transport::{Channel, Endpoint},
};
use tokio::{net::UnixListener, task::JoinHandle};
use tonic::{Request, Response, Status};
use tower::ServiceExt as _;

/// A plug-in that signs with a constant, and keeps what it was asked.
#[derive(Clone, Default)]
struct PlugIn {
    requests: Arc<Mutex<Vec<proto::SignRequest>>>,
}

#[tonic::async_trait]
impl proto::signer_service_server::SignerService for PlugIn {
    async fn get_certificate(&self, _: Request<()>) -> Result<Response<proto::CertificateResponse>, Status> {
        Ok(Response::new(proto::CertificateResponse {
            cert_pem: "certificate".into(),
        }))
    }

    async fn get_public_key(&self, _: Request<()>) -> Result<Response<proto::PublicKeyResponse>, Status> {
        Ok(Response::new(proto::PublicKeyResponse {
            pub_key_pem: "public key".into(),
        }))
    }

    async fn sign(
        &self,
        request: Request<proto::SignRequest>,
    ) -> Result<Response<proto::SignResponse>, Status> {
        let request = request.into_inner();
        if request.digest.iter().all(|byte| *byte == 0) {
            return Err(Status::invalid_argument("a digest of zeroes"));
        }
        self.requests.lock().expect("no panic").push(request);
        Ok(Response::new(proto::SignResponse {
            signature: "signature".into(),
        }))
    }
}

struct Served {
    plug_in: PlugIn,
    client: SignerClient,
    serving: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn serve() -> Served {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("signer.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let plug_in = PlugIn::default();
    let server = proto::signer_service_server::SignerServiceServer::new(plug_in.clone());
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let server = server.clone();
            let service = hyper::service::service_fn(move |request| {
                let server = server.clone();
                async move { Ok::<_, Infallible>(server.oneshot(request).await.expect("infallible")) }
            });
            // Clients end connections as they like.
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    });
    let channel = Channel::builder([Endpoint::unix(&path).expect("a path")])
        .build()
        .expect("a channel");
    Served {
        plug_in,
        client: SignerClient::new(channel),
        serving,
        _folder: folder,
    }
}

// covers: signerapi.SignerService/GetCertificate
// covers: signerapi.SignerService/GetPublicKey
#[tokio::test]
async fn certificate_and_public_key_are_pem() {
    let served = serve();
    assert_eq!(
        served.client.certificate().await.expect("answered"),
        "certificate"
    );
    assert_eq!(served.client.public_key().await.expect("answered"), "public key");
}

// covers: signerapi.SignerService/Sign
#[tokio::test]
async fn a_digest_arrives_with_its_function_and_the_padding() {
    let served = serve();
    let cases = [
        (Digest::Sha256([1; 32]), SignatureScheme::RsaPkcs1v15, 32, 1, 1),
        (Digest::Sha384([2; 48]), SignatureScheme::RsaPss, 48, 2, 2),
        (Digest::Sha512([3; 64]), SignatureScheme::RsaPss, 64, 3, 2),
    ];
    for (digest, scheme, length, hash, padding) in cases {
        let signature = served.client.sign(digest, scheme).await.expect("signed");
        assert_eq!(signature, "signature");
        let request = served
            .plug_in
            .requests
            .lock()
            .expect("no panic")
            .pop()
            .expect("received");
        assert_eq!(
            (request.digest.len(), request.hash, request.scheme),
            (length, hash, padding)
        );
    }
    let refused = served
        .client
        .sign(Digest::Sha256([0; 32]), SignatureScheme::RsaPss)
        .await;
    let error = refused.expect_err("zeroes");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error:#}");
    assert_eq!(error.method(), Some("/signerapi.SignerService/Sign"));
}
