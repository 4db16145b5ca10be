//! Clusters that are no simulation. Those in containers need a Docker engine; docs/testing-real-clusters.md
//! says how to run them.

mod existing;
mod stand_in;
mod talos;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};
use talos_testkit::real::{RealCluster, RealNode};
use tonic::Request;

use crate::wire::{Wire, handshake};

/// Connects to a node's own API with the cluster's talosconfig.
async fn dial(cluster: &RealCluster, node: &RealNode) -> Wire {
    let address = node.endpoint.parse().unwrap();
    let stream = handshake(address, client_config(cluster.talosconfig()))
        .await
        .unwrap();
    Wire::over(stream, address).await
}

/// The release that a node says it has; `node` is sent along if there is one.
async fn version(wire: &Wire, node: Option<&str>) -> String {
    let mut request = Request::new(());
    if let Some(node) = node {
        request.metadata_mut().insert("node", node.parse().unwrap());
    }
    let reply = wire.machine().version(request).await.unwrap().into_inner();
    reply.messages[0].version.as_ref().unwrap().tag.clone()
}

fn client_config(talosconfig: &str) -> ClientConfig {
    let field = |name: &str| {
        let mut lines = talosconfig.lines().map(str::trim);
        let text = lines.find_map(|line| line.strip_prefix(name)).unwrap();
        let pem = STANDARD.decode(text.trim()).unwrap();
        x509_parser::pem::parse_x509_pem(&pem).unwrap().1.contents
    };
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(field("ca: "))).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(field("key: ")));
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![CertificateDer::from(field("crt: "))], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}
