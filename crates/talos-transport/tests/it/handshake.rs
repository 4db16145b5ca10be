//! Who is trusted, who is not, and how a failure is explained.

use std::time::{Duration, SystemTime};

use talos_transport::{Alert, Channel, Fingerprint, HandshakeError, Identity, ServerVerification, TlsConfig};
use tonic::Code;

use crate::client::{channel, echo, everything_printed, handshake_error, tls, tls_with};
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

#[tokio::test]
#[cfg(feature = "native-roots")]
async fn system_roots_do_not_trust_a_cluster_of_our_own() {
    use talos_transport::tls::TlsError;

    match ServerVerification::native_roots() {
        Ok(verification) => {
            let (_ca, server, client) = talos().await;
            let status = failure(&channel(server.endpoint(), tls_with(verification, &client))).await;
            assert!(
                matches!(handshake_error(&status), HandshakeError::UnknownIssuer),
                "{status:?}"
            );
        }
        // A machine without a certificate store, as minimal containers are.
        Err(TlsError::SystemRoots { .. }) => {
            assert!(rustls_native_certs::load_native_certs().certs.is_empty());
        }
        Err(error) => panic!("{error:?}"),
    }
}
