//! A server that does next to nothing, so that what is measured is the client: `Version`, and `Read` of `/<bytes>`, which sends
//! that many bytes in messages of 1,024, one HTTP/2 frame each, as nodes do. Resources are in `resource_server.rs`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, PKCS_ED25519,
};
use talos_client::config::{Context as TalosContext, Talosconfig};
use talos_client::transport::tls::rustls;
use talos_proto::common::Data;
use talos_proto::machine::{PlatformInfo, ReadRequest, Version, VersionInfo, VersionResponse};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use self::rustls::pki_types::pem::PemObject as _;
use self::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::resource_server;

/// What nodes put into a message.
pub const CHUNK: usize = 1024;

/// Serves until it is dropped; the text is the talosconfig to reach it with.
pub async fn start() -> Result<(String, impl Future<Output = ()>)> {
    let authority = KeyPair::generate_for(&PKCS_ED25519)?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&authority)?;
    let issuer = Issuer::new(params, authority);
    let issue = |purpose, names: Vec<String>| -> Result<_> {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let mut params = CertificateParams::new(names)?;
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &issuer)?;
        Ok((certificate, key))
    };
    let (certificate, key) = issue(ExtendedKeyUsagePurpose::ServerAuth, vec!["127.0.0.1".to_owned()])?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.der().clone())?;
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.pem().as_bytes())?],
            PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())?,
        )?;
    config.alpn_protocols = vec![b"h2".to_vec()];

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (certificate, key) = issue(ExtendedKeyUsagePurpose::ClientAuth, Vec::new())?;
    let mut context = TalosContext::new([listener.local_addr()?.to_string()]);
    context.set_ca_pem(ca.pem());
    context.set_client_certificate_pem(certificate.pem(), key.serialize_pem());
    let mut talosconfig = Talosconfig::new();
    talosconfig.contexts.insert("bench".to_owned(), context);
    talosconfig.context = "bench".to_owned();
    let text = talosconfig.to_yaml().context("writing the talosconfig")?;
    Ok((text, serve(listener, TlsAcceptor::from(Arc::new(config)))))
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    let version = framed(&VersionResponse {
        messages: vec![Version {
            version: Some(VersionInfo {
                tag: "v1.14.0".to_owned(),
                sha: "0123abcd".to_owned(),
                go_version: "go1.26.1".to_owned(),
                os: "linux".to_owned(),
                arch: "amd64".to_owned(),
                ..Default::default()
            }),
            platform: Some(PlatformInfo {
                name: "metal".to_owned(),
                mode: "metal".to_owned(),
            }),
            ..Default::default()
        }],
    });
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, version) = (acceptor.clone(), version.clone());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(move |request| answer(request, version.clone()));
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            let _ = connection.await;
        });
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>, version: Bytes) -> Result<Response<Body>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let message = request.into_body().collect().await?.to_bytes();
    let messages = if path.starts_with("/cosi.") {
        Messages::each(resource_server::answer(
            &path,
            message.get(5..).unwrap_or_default(),
        ))
    } else if path.ends_with("/Read") {
        let path = message
            .get(5..)
            .and_then(|message| ReadRequest::decode(message).ok())
            .map(|request| request.path);
        let bytes = path.and_then(|path| path.strip_prefix('/')?.parse().ok());
        Messages::of(bytes.unwrap_or(0_usize) / CHUNK, framed(&chunk()))
    } else {
        Messages::of(1, version)
    };
    let mut response = Response::new(messages.boxed_unsync());
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", grpc);
    Ok(response)
}

fn chunk() -> Data {
    Data {
        metadata: None,
        bytes: Bytes::from(vec![b'x'; CHUNK]),
    }
}

/// A message as gRPC frames it.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put_slice(&message.encode_to_vec());
    frame.freeze()
}

/// Messages, then `OK`.
struct Messages {
    next: usize,
    count: usize,
    /// Sent one after the other, from the beginning again if there are fewer than `count`.
    messages: Arc<[Bytes]>,
    ended: bool,
}

impl Messages {
    /// The same message so many times.
    fn of(count: usize, message: Bytes) -> Self {
        Self {
            count,
            ..Self::each([message].into())
        }
    }

    fn each(messages: Arc<[Bytes]>) -> Self {
        Self {
            next: 0,
            count: messages.len(),
            messages,
            ended: false,
        }
    }
}

impl http_body::Body for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.next < self.count {
            let message = self.messages[self.next % self.messages.len()].clone();
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        self.ended = true;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}
