//! The TLS side of nodes: server configurations and certificates, and which client certificates pass.

mod verifier;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use tokio_rustls::TlsAcceptor;

use crate::error::SimError;
use crate::fault::Certificate;
use crate::node::Identity;
use crate::node::power::ApiMode;
use crate::pki::certificate::{DIGITAL_SIGNATURE, KEY_ENCIPHERMENT};
use crate::pki::{CertificateAuthority, ONE_DAY, ServerIdentity, ValidityWindow};
use crate::sync::Guarded;
use verifier::TalosClientVerifier;
#[cfg(feature = "kubernetes")]
pub(crate) use verifier::chain_verifier;

/// The name in the certificates of machines without a configuration.
const MAINTENANCE: &str = "maintenance-service.talos.dev";

/// The name in certificates that name another machine.
pub(crate) const WRONG_NAME: &str = "elsewhere.invalid";

/// What all nodes of a cluster use.
pub(crate) struct ClusterTls {
    pub(crate) authority: Arc<CertificateAuthority>,
    /// Names and addresses that every server certificate carries, beside those of its node.
    extra_names: Vec<String>,
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClusterTls {
    pub(crate) fn new(
        authority: Arc<CertificateAuthority>,
        extra_names: Vec<String>,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(default_provider());
        let verifier = TalosClientVerifier::new(&authority, Arc::clone(&provider))?;
        Ok(Self {
            authority,
            extra_names,
            provider,
            verifier: Arc::new(verifier),
        })
    }

    /// Every name and address that the node is reached by, and `more`.
    fn names(&self, identity: &Identity, more: &[String]) -> (Vec<String>, Vec<IpAddr>) {
        let mut names = vec![identity.hostname.clone(), identity.fqdn()];
        let mut addresses: Vec<IpAddr> = vec![identity.address, identity.listen, Ipv4Addr::LOCALHOST.into()];
        addresses.retain(|address| !address.is_unspecified());
        for extra in self.extra_names.iter().chain(more) {
            match extra.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => names.push(extra.clone()),
            }
        }
        (names, addresses)
    }

    /// A certificate that carries every name and address the node is reached by, or one with a fault.
    fn issue(
        &self,
        identity: &Identity,
        more: &[String],
        fault: Option<Certificate>,
    ) -> Result<ServerIdentity, SimError> {
        let fqdn = identity.fqdn();
        let (mut names, mut addresses) = self.names(identity, more);
        let mut validity = ValidityWindow::For(ONE_DAY);
        let stranger;
        let mut authority = &*self.authority;
        match fault {
            None => {}
            Some(Certificate::Expired) => validity = ValidityWindow::Expired,
            Some(Certificate::NotYetValid) => validity = ValidityWindow::NotYet,
            Some(Certificate::WrongName) => {
                names = vec![WRONG_NAME.to_owned()];
                addresses = Vec::new();
            }
            Some(Certificate::ForeignAuthority) => {
                stranger = CertificateAuthority::new_talos()?;
                authority = &stranger;
            }
        }
        Ok(authority.issue_server(&fqdn, names, addresses, validity)?)
    }

    /// A server certificate and its key for the node, as PEM with Talos's labels.
    #[cfg(unix)]
    pub(crate) fn issue_pem(&self, identity: &Identity) -> Result<(String, String), SimError> {
        let issued = self.issue(identity, &[], None)?;
        Ok((issued.certificate_pem(), issued.key_pem()))
    }

    fn config(&self, identity: ServerIdentity) -> Result<Arc<ServerConfig>, rustls::Error> {
        config(&self.provider, Some(&self.verifier), identity)
    }
}

/// TLS 1.2 and 1.3, ALPN `h2`, no session tickets; a client certificate is required if there is a verifier.
fn config(
    provider: &Arc<CryptoProvider>,
    verifier: Option<&Arc<dyn ClientCertVerifier>>,
    identity: ServerIdentity,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(vec![identity.certificate], identity.key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// TLS for a server of its own, with clients of `authority`.
pub(crate) fn acceptor(
    authority: &CertificateAuthority,
    identity: ServerIdentity,
) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(default_provider());
    let verifier: Arc<dyn ClientCertVerifier> =
        Arc::new(TalosClientVerifier::new(authority, Arc::clone(&provider))?);
    Ok(TlsAcceptor::from(config(&provider, Some(&verifier), identity)?))
}

/// TLS for a server that knows its clients by other means.
pub(crate) fn acceptor_for_everybody(identity: ServerIdentity) -> Result<TlsAcceptor, rustls::Error> {
    Ok(TlsAcceptor::from(config(
        &Arc::new(default_provider()),
        None,
        identity,
    )?))
}

impl fmt::Debug for ClusterTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterTls")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

/// The certificate of one node, made when somebody first wants to see it.
#[derive(Debug, Default)]
pub(crate) struct ServerTls {
    current: Guarded<Option<Presented>>,
    maintenance: Guarded<Option<Presented>>,
    trustd: Guarded<Option<Presented>>,
    /// Names that the configuration of the node adds.
    more_names: Guarded<Vec<String>>,
}

#[derive(Debug, Clone)]
struct Presented {
    certificate: Vec<u8>,
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// What the node's next connection is served with.
    pub(crate) fn acceptor(
        &self,
        cluster: &ClusterTls,
        identity: &Identity,
        api: ApiMode,
        fault: Option<Certificate>,
    ) -> Result<TlsAcceptor, SimError> {
        let config = match fault {
            None => self.presented(cluster, identity, api)?.config,
            Some(fault) => cluster.config(cluster.issue(identity, &[], Some(fault))?)?,
        };
        Ok(TlsAcceptor::from(config))
    }

    /// What `trustd` is served with: no client certificates, a key that may also encipher.
    pub(crate) fn trustd(&self, cluster: &ClusterTls, identity: &Identity) -> Result<TlsAcceptor, SimError> {
        let mut current = self.trustd.lock();
        if let Some(presented) = &*current {
            return Ok(TlsAcceptor::from(Arc::clone(&presented.config)));
        }
        let (names, addresses) = cluster.names(identity, &self.more_names.lock());
        let issued = cluster.authority.issue_server_for(
            DIGITAL_SIGNATURE | KEY_ENCIPHERMENT,
            &identity.fqdn(),
            names,
            addresses,
            ValidityWindow::For(ONE_DAY),
        )?;
        let presented = Presented {
            certificate: issued.certificate.to_vec(),
            config: config(&cluster.provider, None, issued)?,
        };
        Ok(TlsAcceptor::from(Arc::clone(&current.insert(presented).config)))
    }

    /// What a machine without a configuration is served with: signed by an authority that nobody ever sees.
    fn unknown(&self, cluster: &ClusterTls, identity: &Identity) -> Result<Presented, SimError> {
        let mut current = self.maintenance.lock();
        if let Some(presented) = &*current {
            return Ok(presented.clone());
        }
        let (names, mut addresses) = cluster.names(identity, &[]);
        addresses.push(Ipv6Addr::LOCALHOST.into());
        let authority = CertificateAuthority::new_talos()?;
        let validity = ValidityWindow::For(ONE_DAY);
        let issued = authority.issue_server(MAINTENANCE, names, addresses, validity)?;
        let presented = Presented {
            certificate: issued.certificate.to_vec(),
            config: config(&cluster.provider, None, issued)?,
        };
        Ok(current.insert(presented).clone())
    }

    /// DER of the node's certificate.
    pub(crate) fn certificate(
        &self,
        cluster: &ClusterTls,
        identity: &Identity,
        api: ApiMode,
    ) -> Result<Vec<u8>, SimError> {
        Ok(self.presented(cluster, identity, api)?.certificate)
    }

    /// Lets connections from now on see a new certificate with a new key.
    pub(crate) fn renew(&self) {
        *self.maintenance.lock() = None;
        *self.current.lock() = None;
    }

    /// As [`Self::renew`], with other names beside the usual ones.
    pub(crate) fn certify(&self, names: Vec<String>) {
        *self.more_names.lock() = names;
        *self.trustd.lock() = None;
        self.renew();
    }

    fn presented(
        &self,
        cluster: &ClusterTls,
        identity: &Identity,
        api: ApiMode,
    ) -> Result<Presented, SimError> {
        if api == ApiMode::Maintenance {
            return self.unknown(cluster, identity);
        }
        let mut current = self.current.lock();
        if let Some(presented) = &*current {
            return Ok(presented.clone());
        }
        let issued = cluster.issue(identity, &self.more_names.lock(), None)?;
        let certificate = issued.certificate.to_vec();
        let config = cluster.config(issued)?;
        Ok(current.insert(Presented { certificate, config }).clone())
    }
}
