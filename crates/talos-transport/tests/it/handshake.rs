//! Who is trusted, who is not, and how a failure is explained.

use std::time::{Duration, SystemTime};

use talos_transport::{
    Alert, Channel, ConnectReason, Fingerprint, HandshakeError, Identity, RetryConfig, ServerVerification,
    TlsConfig,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tonic::Code;

use crate::client::{
    builder, channel, connect_reason, echo, everything_printed, handshake_error, tls, tls_with,
};
use crate::pki::{Algorithm, Ca, Pair, Validity, base64_of};
use crate::server::{Server, ServerTls, TLS_1_2, TLS_1_3};

const LOOPBACK: &[&str] = &["127.0.0.1"];

/// A server as a Talos node runs it, and what a talosconfig for it holds.
async fn talos() -> (Ca, Server, Pair) {
    let ca = Ca::new();
    let server = Server::start(ServerTls::new(ca.server(LOOPBACK), &ca.pem)).await;
    let client = ca.client();
    (ca, server, client)
}

/// The status of a call that cannot work.
async fn failure(channel: &Channel) -> tonic::Status {
    let status = echo(channel).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    status
}

#[tokio::test]
async fn client_keys_of_every_algorithm_are_accepted() {
    for algorithm in [Algorithm::Ed25519, Algorithm::Ecdsa, Algorithm::Rsa] {
        let ca = Ca::with(algorithm);
        let server = Server::start(ServerTls::new(ca.server(LOOPBACK), &ca.pem)).await;
        let client = ca.client_with(algorithm, Validity::Now);
        echo(&channel(server.endpoint(), tls(&ca, &client)))
            .await
            .unwrap_or_else(|e| panic!("{algorithm:?}: {e}"));
    }
}

#[tokio::test]
async fn tls_1_2_is_enough() {
    let ca = Ca::new();
    let settings = ServerTls {
        versions: &TLS_1_2,
        ..ServerTls::new(ca.server(LOOPBACK), &ca.pem)
    };
    let server = Server::start(settings).await;
    echo(&channel(server.endpoint(), tls(&ca, &ca.client())))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_that_negotiates_no_protocol_is_tolerated() {
    let ca = Ca::new();
    let settings = ServerTls {
        alpn: vec![],
        ..ServerTls::new(ca.server(LOOPBACK), &ca.pem)
    };
    let server = Server::start(settings).await;
    echo(&channel(server.endpoint(), tls(&ca, &ca.client())))
        .await
        .unwrap();
}

#[tokio::test]
async fn one_of_several_cas_is_enough() {
    let (ca, server, client) = talos().await;
    let both = format!("{}{}", Ca::new().pem, ca.pem);
    let tls = tls_with(ServerVerification::ca_pem(both).unwrap(), &client);
    echo(&channel(server.endpoint(), tls)).await.unwrap();
}

#[tokio::test]
async fn a_server_of_another_cluster_is_refused() {
    // All Talos CAs have the same subject, so only the signature tells them apart.
    let (_, server, client) = talos().await;
    let status = failure(&channel(server.endpoint(), tls(&Ca::new(), &client))).await;
    assert!(
        matches!(handshake_error(&status), HandshakeError::UnknownIssuer),
        "{status:?}"
    );
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn an_address_must_be_among_those_of_the_certificate() {
    let ca = Ca::new();
    let certificate = ca.server(&["10.5.0.2", "cp-1", "*.example.org"]);
    let server = Server::start(ServerTls::new(certificate, &ca.pem)).await;
    let status = failure(&channel(server.endpoint(), tls(&ca, &ca.client()))).await;
    match handshake_error(&status) {
        HandshakeError::NameMismatch { expected, presented } => {
            assert_eq!(expected, "127.0.0.1");
            assert_eq!(presented, &["10.5.0.2", "cp-1", "*.example.org"]);
        }
        other => panic!("{other:?}"),
    }
    assert!(
        status
            .message()
            .contains("valid for 10.5.0.2, cp-1, *.example.org, not for 127.0.0.1"),
        "{status}"
    );
}

#[tokio::test]
async fn a_name_must_be_among_those_of_the_certificate() {
    let ca = Ca::new();
    let server = Server::start(ServerTls::new(ca.server(LOOPBACK), &ca.pem)).await;
    let endpoint = format!("localhost:{}", server.address().port()).parse().unwrap();
    let status = failure(&channel(endpoint, tls(&ca, &ca.client()))).await;
    match handshake_error(&status) {
        HandshakeError::NameMismatch { expected, presented } => {
            assert_eq!(
                (expected.as_str(), presented.as_slice()),
                ("localhost", &["127.0.0.1".to_owned()][..])
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_name_that_is_in_the_certificate_is_resolved_and_accepted() {
    let ca = Ca::new();
    let server = Server::start(ServerTls::new(ca.server(&["localhost"]), &ca.pem)).await;
    let endpoint = format!("localhost:{}", server.address().port()).parse().unwrap();
    echo(&channel(endpoint, tls(&ca, &ca.client()))).await.unwrap();
}

#[tokio::test]
async fn the_server_name_can_be_overridden() {
    let ca = Ca::new();
    let server = Server::start(ServerTls::new(ca.server(&["cp.example.org"]), &ca.pem)).await;
    let client = ca.client();
    let with_name = |name: &str| {
        TlsConfig::builder(ServerVerification::ca_pem(&ca.pem).unwrap())
            .identity(Identity::from_pem(&client.certificate, &client.key).unwrap())
            .server_name(name)
            .build()
            .unwrap()
    };
    echo(&channel(server.endpoint(), with_name("cp.example.org")))
        .await
        .unwrap();
    let status = failure(&channel(server.endpoint(), with_name("other.example.org"))).await;
    assert!(
        matches!(handshake_error(&status), HandshakeError::NameMismatch { .. }),
        "{status:?}"
    );
}

#[tokio::test]
async fn the_time_of_a_server_certificate_is_checked() {
    let ca = Ca::new();
    let client = ca.client();
    let date = |days| SystemTime::UNIX_EPOCH + Duration::from_secs(86_400) * days;

    let expired = ca.server_valid(LOOPBACK, Validity::Expired);
    let server = Server::start(ServerTls::new(expired, &ca.pem)).await;
    let status = failure(&channel(server.endpoint(), tls(&ca, &client))).await;
    match handshake_error(&status) {
        HandshakeError::Expired { not_after } => assert_eq!(*not_after, Some(date(18_628))),
        other => panic!("{other:?}"),
    }
    assert!(status.message().contains("2021-01-01T00:00:00Z"), "{status}");

    let future = ca.server_valid(LOOPBACK, Validity::Future);
    let server = Server::start(ServerTls::new(future, &ca.pem)).await;
    let status = failure(&channel(server.endpoint(), tls(&ca, &client))).await;
    match handshake_error(&status) {
        HandshakeError::NotYetValid { not_before } => assert_eq!(*not_before, Some(date(43_830))),
        other => panic!("{other:?}"),
    }
}

/// With TLS 1.3 the server judges our certificate when our side of the handshake is over already.
#[tokio::test]
async fn the_servers_verdict_on_our_certificate_is_told() {
    let ca = Ca::new();
    let maintenance = || {
        TlsConfig::builder(ServerVerification::ca_pem(&ca.pem).unwrap())
            .build()
            .unwrap()
    };
    for versions in [&TLS_1_3, &TLS_1_2] {
        let settings = ServerTls {
            versions,
            ..ServerTls::new(ca.server(LOOPBACK), &ca.pem)
        };
        let server = Server::start(settings).await;
        for (name, tls, expected) in [
            (
                "none",
                maintenance(),
                &[Alert::CertificateRequired, Alert::HandshakeFailure][..],
            ),
            (
                "of an unknown CA",
                tls(&ca, &Ca::new().client()),
                &[Alert::UnknownCa, Alert::BadCertificate, Alert::Other(51)],
            ),
            (
                "expired",
                tls(&ca, &ca.client_with(Algorithm::Ed25519, Validity::Expired)),
                &[Alert::CertificateExpired],
            ),
        ] {
            let status = failure(&channel(server.endpoint(), tls)).await;
            match handshake_error(&status) {
                HandshakeError::Alert { alert } => assert!(expected.contains(alert), "{name}: {status:?}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        assert!(server.requests().is_empty());
    }
}

#[tokio::test]
async fn a_server_can_be_known_by_fingerprint_alone() {
    let unknown_ca = Ca::new();
    let pair = unknown_ca.server_valid(&["maintenance-service.talos.dev"], Validity::Expired);
    let fingerprint = Fingerprint::of_certificate_pem(&pair.certificate).unwrap();
    let server = Server::start(ServerTls::without_client_certificates(pair)).await;
    let pinned = |pins: &[Fingerprint]| {
        let verification = ServerVerification::fingerprints(pins.iter().copied()).unwrap();
        channel(
            server.endpoint(),
            TlsConfig::builder(verification).build().unwrap(),
        )
    };
    let other = Fingerprint::from([7; 32]);

    echo(&pinned(&[other, fingerprint])).await.unwrap();

    let status = failure(&pinned(&[other])).await;
    match handshake_error(&status) {
        HandshakeError::FingerprintMismatch { seen, accepted } => {
            assert_eq!((*seen, &accepted[..]), (fingerprint, &[other][..]));
        }
        unexpected => panic!("{unexpected:?}"),
    }
    assert!(status.message().contains(&fingerprint.to_string()), "{status}");
}

#[tokio::test]
async fn skipping_verification_must_be_asked_for_and_then_accepts_anything() {
    let pair = Ca::new().server_valid(&["elsewhere"], Validity::Expired);
    let server = Server::start(ServerTls::without_client_certificates(pair)).await;
    let skip = TlsConfig::builder(ServerVerification::dangerous().skip())
        .build()
        .unwrap();
    echo(&channel(server.endpoint(), skip)).await.unwrap();
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
            let endpoint = talos_transport::Endpoint::try_from(address).unwrap();
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
        let endpoint = talos_transport::Endpoint::try_from(listener.local_addr().unwrap()).unwrap();
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
        let endpoint = talos_transport::Endpoint::try_from(listener.local_addr().unwrap()).unwrap();
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
    let endpoint = talos_transport::Endpoint::try_from(listener.local_addr().unwrap()).unwrap();
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

#[tokio::test]
async fn failures_print_no_secret() {
    let (ca, server, client) = talos().await;
    let stranger = Ca::new().client();
    let secrets = [base64_of(&client.key), base64_of(&stranger.key)];
    for tls in [tls(&Ca::new(), &client), tls(&ca, &stranger)] {
        let channel = channel(server.endpoint(), tls);
        let status = failure(&channel).await;
        let printed = format!("{}{channel:?}", everything_printed(&status));
        for secret in &secrets {
            assert!(!printed.contains(&secret[20..]));
        }
    }
}
