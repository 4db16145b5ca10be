//! `trustd`, which signs what workers ask for.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::pki_types::{CertificateDer, ServerName};
use talos_proto::securityapi::CertificateRequest;
use talos_proto::securityapi::security_service_client::SecurityServiceClient;
use talos_testkit::{Code, SimCluster};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::*;

use crate::four_nodes;
use crate::wire::{Wire, client_config, with};

/// A DER element.
fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = match contents.len() {
        short @ ..0x80 => vec![u8::try_from(short).unwrap()],
        long => {
            let long = u16::try_from(long).unwrap().to_be_bytes();
            vec![0x82, long[0], long[1]]
        }
    };
    [&[tag], length.as_slice(), contents].concat()
}

fn attribute(oid: &[u8], value: &str) -> Vec<u8> {
    let pair = [der(0x06, oid), der(0x0c, value.as_bytes())].concat();
    der(0x31, &der(0x30, &pair))
}

/// A request by hand: `O=os:admin, CN=worker`, one name and two addresses; and its public key.
fn request() -> (String, Vec<u8>) {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let key = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let algorithm = der(0x30, &der(0x06, &[0x2b, 0x65, 0x70]));
    let bits = |bytes: &[u8]| der(0x03, &[&[0], bytes].concat());
    let public = der(
        0x30,
        &[algorithm.clone(), bits(key.public_key().as_ref())].concat(),
    );
    let subject = [
        attribute(&[0x55, 4, 10], "os:admin"),
        attribute(&[0x55, 4, 3], "worker"),
    ]
    .concat();
    let names = [
        der(0x82, b"worker.example.org"),
        der(0x87, &[10, 5, 0, 9]),
        der(0x87, &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]),
    ]
    .concat();
    let names = [der(0x06, &[0x55, 0x1d, 0x11]), der(0x04, &der(0x30, &names))].concat();
    let extensions = der(0x31, &der(0x30, &der(0x30, &names)));
    let wanted = [
        der(0x06, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 0x0e]),
        extensions,
    ]
    .concat();
    let attributes = der(0xa0, &der(0x30, &wanted));
    let info = der(
        0x30,
        &[der(0x02, &[0]), der(0x30, &subject), public.clone(), attributes].concat(),
    );
    let signature = bits(key.sign(&info).as_ref());
    let request = der(0x30, &[info, algorithm, signature].concat());
    (pem("CERTIFICATE REQUEST", &request), public)
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// A client without a certificate, and the certificate that the server presents.
async fn connect(cluster: &SimCluster, address: SocketAddr) -> (SecurityServiceClient<Wire>, Vec<u8>) {
    let config = client_config(cluster.authority().certificate_der(), None);
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::from(address.ip());
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
        .unwrap();
    let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let origin: http::Uri = format!("https://{address}").parse().unwrap();
    let wire = Wire::from_parts(sender, origin.clone());
    (SecurityServiceClient::with_origin(wire, origin), certificate)
}

fn asking(csr: impl Into<Bytes>, token: &str) -> tonic::Request<CertificateRequest> {
    with(CertificateRequest { csr: csr.into() }, &[("token", token)])
}

// covers: securityapi.SecurityService/Certificate
#[tokio::test]
async fn a_worker_gets_a_server_certificate_and_never_one_for_clients() {
    let cluster = four_nodes().start().await.unwrap();
    let address = cluster.node(1).trustd_addr().unwrap().unwrap();
    let (mut trustd, _) = connect(&cluster, address).await;
    let (csr, public) = request();
    let reply = trustd
        .certificate(asking(csr, cluster.machine_token()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.ca, cluster.ca_pem());
    let (_, block) = parse_x509_pem(&reply.crt).unwrap();
    let signed = block.parse_x509().unwrap();
    assert_eq!(signed.subject().to_string(), "CN=worker", "no organization");
    assert_eq!(signed.issuer().to_string(), "O=talos");
    assert_eq!(signed.public_key().raw, public);
    let usage = signed.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && !usage.key_encipherment());
    let purposes = signed.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.server_auth && !purposes.client_auth);
    let validity = signed.validity();
    assert_eq!(
        validity.not_after.timestamp() - validity.not_before.timestamp(),
        86_400
    );
    let names = &signed
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names;
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    // It is good for a server of the cluster.
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(cluster.authority().certificate_der().to_vec().into())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap();
    for name in ["worker.example.org", "10.5.0.9", "fd00::9"] {
        rustls::client::danger::ServerCertVerifier::verify_server_cert(
            &*verifier,
            &CertificateDer::from(block.contents.clone()),
            &[],
            &ServerName::try_from(name).unwrap(),
            &[],
            rustls::pki_types::UnixTime::now(),
        )
        .unwrap();
    }
}

#[tokio::test]
async fn requests_are_refused_in_order_token_pem_der() {
    let cluster = four_nodes().start().await.unwrap();
    let address = cluster.node(0).trustd_addr().unwrap().unwrap();
    let (mut trustd, _) = connect(&cluster, address).await;
    let (csr, _) = request();
    let token = cluster.machine_token().to_owned();
    assert_eq!((token.len(), token.find('.')), (23, Some(6)));
    let without = trustd
        .certificate(CertificateRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        (without.code(), without.message()),
        (Code::Unauthenticated, "missing token")
    );
    let cases = [
        (
            csr.clone(),
            "abcdef.0123456789abcdef",
            Code::Unauthenticated,
            "invalid token",
        ),
        (csr.clone(), "", Code::Unauthenticated, "invalid token"),
        (
            "nothing".to_owned(),
            token.as_str(),
            Code::InvalidArgument,
            "failed to decode CSR",
        ),
        (
            pem("CERTIFICATE", b"x"),
            token.as_str(),
            Code::InvalidArgument,
            "failed to decode CSR",
        ),
    ];
    for (csr, token, code, message) in cases {
        let status = trustd.certificate(asking(csr, token)).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message));
    }
    let broken = pem("CERTIFICATE REQUEST", &[0x30, 3, 2, 1, 0]);
    let status = trustd.certificate(asking(broken, &token)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("failed to parse CSR: "), "{status}");
}

#[tokio::test]
async fn only_control_planes_have_it_and_only_while_they_are_up() {
    let cluster = four_nodes().start().await.unwrap();
    assert_eq!(cluster.node(3).trustd_addr().unwrap(), None);
    let node = cluster.node(0);
    let address = node.trustd_addr().unwrap().unwrap();
    let (_, certificate) = connect(&cluster, address).await;
    let (_, certificate) = X509Certificate::from_der(&certificate).unwrap();
    assert_eq!(certificate.subject().to_string(), format!("CN={}", node.fqdn()));
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && usage.key_encipherment());
    node.kill();
    TcpStream::connect(address).await.unwrap_err();
    node.revive().unwrap();
    connect(&cluster, address).await;
}
