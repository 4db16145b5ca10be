//! The TLS side of a node: server configuration, and which client certificates pass.

mod verifier;

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::server::NoServerSessionStorage;

use crate::pki::{CertificateAuthority, ServerIdentity};
use verifier::TalosClientVerifier;

/// TLS 1.2 and 1.3, ALPN `h2`, no session tickets, a client certificate of `authority` required.
pub(crate) fn server_config(
    identity: ServerIdentity,
    authority: &CertificateAuthority,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(default_provider());
    let verifier = TalosClientVerifier::new(authority, Arc::clone(&provider))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(vec![identity.certificate], identity.key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}
