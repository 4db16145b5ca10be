//! Who gets through the TLS handshake, and what the certificates look like.

use std::sync::Arc;

use rustls::AlertDescription;
use talos_testkit::SimCluster;
use talos_testkit::pki::{CertificateAuthority, ClientCert, ClientCertSpec, ExtendedKeyUsage, KeyAlgorithm};
use tokio::io::AsyncReadExt as _;
use x509_parser::prelude::*;

use crate::wire::{Wire, client_config, handshake};
use crate::{four_nodes, single};

/// The alert that ends a connection with `cert`; `None` if the server sends something else first.
async fn alert(cluster: &SimCluster, cert: Option<&ClientCert>, tls12: bool) -> Option<AlertDescription> {
    let mut config = client_config(cluster.authority().certificate_der(), cert);
    if tls12 {
        config = tls12_only(config, cluster, cert);
    }
    // With TLS 1.3 the client is done before the server has looked at the certificate.
    let error = match handshake(cluster.node(0).socket_addr(), config).await {
        Err(error) => error,
        Ok(mut stream) => stream.read_u8().await.err()?,
    };
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        other => panic!("{other}"),
    }
}

fn tls12_only(
    config: rustls::ClientConfig,
    cluster: &SimCluster,
    cert: Option<&ClientCert>,
) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(cluster.authority().certificate_der().to_vec().into())
        .unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(config.crypto_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match cert {
        None => builder.with_no_client_auth(),
        Some(cert) => {
            let key = rustls::pki_types::PrivatePkcs8KeyDer::from(cert.key_pkcs8_der().to_vec());
            builder
                .with_client_auth_cert(vec![cert.certificate_der().to_vec().into()], key.into())
                .unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

#[tokio::test]
async fn unsuitable_client_certificates_get_the_alerts_of_go() {
    use ExtendedKeyUsage::{ClientAuth, ServerAuth};
    let cluster = single().await;
    let admin = || ClientCertSpec::new(["os:admin"]);
    let foreign = CertificateAuthority::new_talos().unwrap();
    let own = |spec: ClientCertSpec| cluster.authority().issue_client(&spec).unwrap();
    let cases = [
        (
            "foreign",
            foreign.issue_client(&admin()).unwrap(),
            AlertDescription::UnknownCA,
        ),
        (
            "expired",
            own(admin().expired()),
            AlertDescription::CertificateExpired,
        ),
        (
            "early",
            own(admin().not_yet_valid()),
            AlertDescription::CertificateExpired,
        ),
        (
            "server",
            own(admin().extended_key_usage([ServerAuth])),
            AlertDescription::BadCertificate,
        ),
        (
            "both",
            own(admin().extended_key_usage([ClientAuth, ServerAuth])),
            AlertDescription::BadCertificate,
        ),
        (
            "neither",
            own(admin().extended_key_usage([])),
            AlertDescription::BadCertificate,
        ),
    ];
    for (name, cert, expected) in cases {
        for tls12 in [false, true] {
            assert_eq!(
                alert(&cluster, Some(&cert), tls12).await,
                Some(expected),
                "{name} {tls12}"
            );
        }
    }
    assert_eq!(
        alert(&cluster, None, false).await,
        Some(AlertDescription::CertificateRequired)
    );
    let good = own(admin());
    assert_eq!(alert(&cluster, Some(&good), true).await, None);
}

#[tokio::test]
async fn elliptic_curve_keys_and_tls_1_2_are_served() {
    let cluster = single().await;
    let spec = ClientCertSpec::new(["os:reader"]).key_algorithm(KeyAlgorithm::EcdsaP256);
    let cert = cluster.authority().issue_client(&spec).unwrap();
    let config = client_config(cluster.authority().certificate_der(), Some(&cert));
    let config = tls12_only(config, &cluster, Some(&cert));
    let address = cluster.node(0).socket_addr();
    let stream = handshake(address, config).await.unwrap();
    assert_eq!(
        stream.get_ref().1.protocol_version(),
        Some(rustls::ProtocolVersion::TLSv1_2)
    );
    let wire = Wire::over(stream, address).await;
    wire.machine().version(()).await.unwrap();
}

#[tokio::test]
async fn http2_is_the_only_protocol_but_need_not_be_negotiated() {
    let cluster = single().await;
    let address = cluster.node(0).socket_addr();
    let cert = cluster.client_cert(["os:reader"]).unwrap();
    let mut config = client_config(cluster.authority().certificate_der(), Some(&cert));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let error = handshake(address, config.clone()).await.unwrap_err();
    let error = error
        .get_ref()
        .unwrap()
        .downcast_ref::<rustls::Error>()
        .unwrap()
        .clone();
    assert_eq!(
        error,
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)
    );
    config.alpn_protocols = Vec::new();
    let stream = handshake(address, config).await.unwrap();
    Wire::over(stream, address)
        .await
        .machine()
        .version(())
        .await
        .unwrap();
}

#[tokio::test]
async fn servers_present_their_names_for_a_day() {
    let cluster = four_nodes().domain("example.org").start().await.unwrap();
    for index in [1, 3] {
        let node = cluster.node(index);
        let cert = cluster.client_cert(["os:reader"]).unwrap();
        let config = client_config(cluster.authority().certificate_der(), Some(&cert));
        let stream = handshake(node.socket_addr(), config).await.unwrap();
        let der = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        let (_, server) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(server.subject().to_string(), format!("CN={}", node.fqdn()));
        assert_eq!(server.issuer().to_string(), "O=talos");
        let validity = server.validity();
        assert_eq!(
            validity.not_after.timestamp() - validity.not_before.timestamp(),
            86_400
        );
        assert!(server.basic_constraints().unwrap().is_none());
        assert_eq!(
            server.key_usage().unwrap().unwrap().value.flags,
            1,
            "digital signature only"
        );
        let purposes = server.extended_key_usage().unwrap().unwrap().value;
        assert!(purposes.server_auth && !purposes.client_auth);
        let names = &server
            .subject_alternative_name()
            .unwrap()
            .unwrap()
            .value
            .general_names;
        let dns = names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        assert_eq!(dns.collect::<Vec<_>>(), [node.hostname(), node.fqdn()]);
        let addresses = names.iter().filter_map(|name| match name {
            GeneralName::IPAddress(octets) => Some(<[u8; 4]>::try_from(*octets).unwrap()),
            _ => None,
        });
        let mut expected = vec![
            [10, 5, 0, u8::try_from(index).unwrap() + 2],
            [127, 0, 0, 1],
            match node.socket_addr().ip() {
                std::net::IpAddr::V4(v4) => v4.octets(),
                std::net::IpAddr::V6(_) => panic!("endpoints are IPv4"),
            },
        ];
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(addresses.collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn authority_and_clients_are_as_talos_makes_them() {
    let cluster = single().await;
    let der = cluster.authority().certificate_der().to_vec();
    let (_, authority) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(authority.subject().to_string(), "O=talos");
    assert_eq!(
        authority.signature_algorithm.algorithm.to_id_string(),
        "1.3.101.112"
    );
    assert!(authority.basic_constraints().unwrap().unwrap().value.ca);
    let validity = authority.validity();
    assert_eq!(
        validity.not_after.timestamp() - validity.not_before.timestamp(),
        87_600 * 3_600
    );
    let usage = authority.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && usage.key_cert_sign() && !usage.crl_sign());
    let purposes = authority.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.server_auth && purposes.client_auth);

    let client = cluster.client_cert(["os:reader", "os:etcd:backup"]).unwrap();
    let (_, client) = X509Certificate::from_der(client.certificate_der()).unwrap();
    let organizations: Vec<_> = client
        .subject()
        .iter_organization()
        .map(|value| value.as_str().unwrap())
        .collect();
    assert_eq!(organizations.len(), 2);
    assert!(organizations.contains(&"os:reader") && organizations.contains(&"os:etcd:backup"));
    assert_eq!(client.subject().iter_common_name().count(), 0);
    let validity = client.validity();
    assert_eq!(
        validity.not_after.timestamp() - validity.not_before.timestamp(),
        8_760 * 3_600
    );
    let purposes = client.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.client_auth && !purposes.server_auth);
}

#[tokio::test]
async fn every_cluster_has_an_authority_of_its_own() {
    let (one, other) = (single().await, single().await);
    let stranger = other.client_cert(["os:admin"]).unwrap();
    assert_eq!(
        alert(&one, Some(&stranger), false).await,
        Some(AlertDescription::UnknownCA)
    );
}
