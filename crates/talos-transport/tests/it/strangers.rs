//! Servers that are not what they should be.

use talos_transport::{
    ConnectReason, Endpoint, Fingerprint, HandshakeError, RetryConfig, ServerVerification, TlsConfig,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tonic::Code;

use crate::client::{builder, channel, connect_reason, echo, handshake_error, tls};
use crate::pki::{Ca, Pair};
use crate::server::{ServerTls, TLS_1_2, TLS_1_3};

const LOOPBACK: &[&str] = &["127.0.0.1"];

/// The status of a call that cannot work.
async fn failure(channel: &talos_transport::Channel) -> tonic::Status {
    let status = echo(channel).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    status
}

#[tokio::test]
async fn a_web_server_is_not_taken_for_a_grpc_server() {
    let ca = Ca::new();
    let pair = ca.server(LOOPBACK);
    // Without ALPN the web server finds out by itself that it does not understand us.
    for alpn in [vec!["http/1.1"], vec![]] {
        let unaware = alpn.is_empty();
        let settings = ServerTls {
            alpn,
            ..ServerTls::without_client_certificates(pair.clone())
        };
        let acceptor = tokio_rustls::TlsAcceptor::from(settings.config());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::try_from(listener.local_addr().unwrap()).unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut request = [0; 24];
                stream.read_exact(&mut request).await.unwrap();
                let _ = stream
                    .write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                    .await;
                let _ = stream.shutdown().await;
            }
        });
        let tls = TlsConfig::builder(ServerVerification::ca_pem(&ca.pem).unwrap())
            .build()
            .unwrap();
        let status = failure(&channel(endpoint, tls)).await;
        match connect_reason(&status) {
            ConnectReason::NotHttp2 { answer } => {
                let expected = unaware.then_some("HTTP/1.1 400 Bad Request");
                assert_eq!(answer.as_deref(), expected);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_recognized() {
    for greeting in [&b"220 mail.example.org ESMTP\r\n"[..], b"\0\0\0\x04\0\0\0\0\0"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::try_from(listener.local_addr().unwrap()).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(greeting).await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let ca = Ca::new();
        let status = failure(&channel(endpoint, tls(&ca, &ca.client()))).await;
        assert!(
            matches!(handshake_error(&status), HandshakeError::NotTls),
            "{status:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_closed_at_once_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::try_from(listener.local_addr().unwrap()).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // Read what was sent, so that the end is orderly and not a reset.
        let _ = stream.read(&mut [0; 4096]).await;
    });
    let ca = Ca::new();
    // Later attempts would find nobody listening.
    let channel = builder(endpoint, tls(&ca, &ca.client())).retry(RetryConfig::off());
    let status = failure(&channel.build().unwrap()).await;
    assert!(
        matches!(connect_reason(&status), ConnectReason::ClosedEarly),
        "{status:?}"
    );
}

/// A server that shows somebody else's certificate does not have the key to it.
#[tokio::test]
async fn the_key_of_the_certificate_is_always_demanded() {
    let ca = Ca::new();
    for versions in [&TLS_1_3, &TLS_1_2] {
        let stolen = ca.server(LOOPBACK);
        let fingerprint = Fingerprint::of_certificate_pem(&stolen.certificate).unwrap();
        let address = impostor(&stolen, &ca.server(LOOPBACK), versions).await;
        for verification in [
            ServerVerification::dangerous().skip(),
            ServerVerification::fingerprints([fingerprint]).unwrap(),
            ServerVerification::ca_pem(&ca.pem).unwrap(),
        ] {
            let endpoint = Endpoint::try_from(address).unwrap();
            let name = format!("{verification:?}");
            let status = failure(&channel(
                endpoint,
                TlsConfig::builder(verification).build().unwrap(),
            ))
            .await;
            assert!(
                matches!(
                    handshake_error(&status),
                    HandshakeError::InvalidCertificate { .. }
                ),
                "{name}: {status:?}"
            );
        }
    }
}

/// Accepts TLS connections with one certificate and the key of another.
async fn impostor(
    stolen: &Pair,
    own: &Pair,
    versions: &'static [&'static rustls::SupportedProtocolVersion],
) -> std::net::SocketAddr {
    use rustls_pki_types::pem::PemObject as _;

    #[derive(Debug)]
    struct Mismatched(std::sync::Arc<rustls::sign::CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Mismatched {
        fn resolve(
            &self,
            _: rustls::server::ClientHello<'_>,
        ) -> Option<std::sync::Arc<rustls::sign::CertifiedKey>> {
            Some(std::sync::Arc::clone(&self.0))
        }
    }
    let certificate =
        rustls_pki_types::CertificateDer::from_pem_slice(stolen.certificate.as_bytes()).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&rustls_pki_types::PrivateKeyDer::Pkcs8(
        own.key_der.clone().into(),
    ))
    .unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![certificate], key);
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(std::sync::Arc::new(Mismatched(std::sync::Arc::new(certified))));
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let _ = acceptor.accept(stream).await;
        }
    });
    address
}
