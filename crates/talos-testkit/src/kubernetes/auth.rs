//! Who a client is, by its certificate or its token.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use serde_json::json;
use tokio_rustls::TlsAcceptor;

use super::failure::Failure;
use super::route::Target;
use crate::pki::{CertificateAuthority, LeafFacts, PkiError, ServerIdentity};
use crate::sync::Guarded;
use crate::tls::chain_verifier;

/// The group that may do everything.
const MASTERS: &str = "system:masters";

/// The name and the groups of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) groups: Vec<String>,
}

impl User {
    /// Whether the user may do this; those of `system:masters` may do everything, others look at versions.
    pub(super) fn authorize(&self, verb: &str, target: &Target) -> Result<(), Failure> {
        if self.groups.iter().any(|group| group == MASTERS) {
            return Ok(());
        }
        let name = &self.name;
        match target {
            Target::Health | Target::Version | Target::Discovery(_) => Ok(()),
            Target::Unknown(path) => Err(Failure::forbidden(
                format!("forbidden: User \"{name}\" cannot {verb} path \"{path}\""),
                json!({}),
            )),
            Target::Object(object) => {
                let kind = object.kind.names();
                let resource = match &object.subresource {
                    Some(part) => format!("{}/{part}", kind.plural),
                    None => kind.plural.to_owned(),
                };
                let (which, mut details) = match &object.name {
                    Some(which) => (
                        format!(" \"{which}\""),
                        json!({"name": which, "kind": kind.plural}),
                    ),
                    None => (String::new(), json!({"kind": kind.plural})),
                };
                if !kind.group.is_empty() {
                    details["group"] = json!(kind.group);
                }
                let place = match &object.namespace {
                    Some(namespace) => format!("in the namespace \"{namespace}\""),
                    None => "at the cluster scope".to_owned(),
                };
                let message = format!(
                    "{}{which} is forbidden: User \"{name}\" cannot {verb} resource \"{resource}\" in API group \
                     \"{}\" {place}",
                    object.kind.qualified(),
                    kind.group
                );
                Err(Failure::forbidden(message, details))
            }
        }
    }
}

/// Takes any certificate in the handshake, as Kubernetes does, and verifies it afterwards.
pub(super) struct Authenticator {
    chain: Arc<dyn ClientCertVerifier>,
    /// Users by their tokens.
    tokens: Guarded<Vec<(String, User)>>,
}

impl Authenticator {
    pub(super) fn new(authority: &CertificateAuthority) -> Result<Self, Error> {
        Ok(Self {
            chain: chain_verifier(authority, Arc::new(default_provider()))?,
            tokens: Guarded::default(),
        })
    }

    /// A token for a user, as service accounts have.
    pub(super) fn issue_token(&self, user: User) -> Result<String, PkiError> {
        let mut random = [0; 24];
        let filled = SystemRandom::new().fill(&mut random);
        filled.map_err(|_| PkiError::Random)?;
        let token = URL_SAFE_NO_PAD.encode(random);
        self.tokens.lock().push((token.clone(), user));
        Ok(token)
    }

    /// The user that the token of a request names; `None` if it has none.
    pub(super) fn bearer(&self, headers: &HeaderMap) -> Option<Result<User, Failure>> {
        let token = headers
            .get(AUTHORIZATION)?
            .to_str()
            .ok()?
            .strip_prefix("Bearer ")?;
        let tokens = self.tokens.lock();
        let known = tokens.iter().find(|(known, _)| known == token);
        Some(
            known
                .map(|(_, user)| user.clone())
                .ok_or_else(Failure::unauthorized),
        )
    }

    /// TLS with HTTP/2 and HTTP/1.1.
    pub(super) fn acceptor(self: &Arc<Self>, identity: ServerIdentity) -> Result<TlsAcceptor, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_client_cert_verifier(Arc::new(AnyCertificate {
                chain: Arc::clone(&self.chain),
            }))
            .with_single_cert(vec![identity.certificate], identity.key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// The user that a client's certificates name; without a common name they name nobody.
    pub(super) fn user(&self, certificates: Option<&[CertificateDer<'_>]>) -> Result<User, Failure> {
        let (leaf, intermediates) = certificates
            .and_then(|certificates| certificates.split_first())
            .ok_or_else(Failure::unauthorized)?;
        let verified = self
            .chain
            .verify_client_cert(leaf, intermediates, UnixTime::now());
        verified.map_err(|error| {
            tracing::debug!(%error, "the certificate of a client of Kubernetes does not count");
            Failure::unauthorized()
        })?;
        let facts = LeafFacts::parse(leaf).ok_or_else(Failure::unauthorized)?;
        Ok(User {
            name: facts.common_name.ok_or_else(Failure::unauthorized)?,
            groups: facts.organizations,
        })
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

/// Lets a handshake succeed with any certificate, and without one.
#[derive(Debug)]
struct AnyCertificate {
    chain: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// What stands for a verb of HTTP in rules and messages.
pub(super) fn verb(method: &http::Method, named: bool, watch: bool) -> Result<&'static str, Failure> {
    Ok(match *method {
        http::Method::GET | http::Method::HEAD if watch => "watch",
        http::Method::GET | http::Method::HEAD if named => "get",
        http::Method::GET | http::Method::HEAD => "list",
        http::Method::POST => "create",
        http::Method::PUT => "update",
        http::Method::PATCH => "patch",
        http::Method::DELETE if named => "delete",
        _ => return Err(Failure::method_not_allowed()),
    })
}
