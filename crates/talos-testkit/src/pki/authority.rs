//! Certificate authorities of a cluster.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::certificate::{CERT_SIGN, DIGITAL_SIGNATURE, Signer, Template, Validity};
use super::key::{KeyAlgorithm, PrivateKey};
use super::spec::{ClientCert, ClientCertSpec, ExtendedKeyUsage, ValidityWindow};
use super::{PkiError, pem};
use crate::trustd::SigningRequest;

const TEN_YEARS: Duration = Duration::from_secs(87_600 * 3_600);
/// How long server certificates are valid.
pub(crate) const ONE_DAY: Duration = Duration::from_secs(24 * 3_600);

/// A certificate authority that can issue client certificates: the simulated cluster's own, see
/// [`SimCluster::authority`](crate::SimCluster::authority), or a foreign one for tests.
pub struct CertificateAuthority {
    key: PrivateKey,
    subject: Vec<u8>,
    key_id: [u8; 20],
    certificate: CertificateDer<'static>,
}

/// The certificate and the key a node presents.
pub(crate) struct ServerIdentity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
}

#[cfg(unix)]
impl ServerIdentity {
    pub(crate) fn certificate_pem(&self) -> String {
        pem::encode(pem::CERTIFICATE, &self.certificate)
    }

    pub(crate) fn key_pem(&self) -> String {
        pem::encode(pem::ED25519_PRIVATE_KEY, self.key.secret_der())
    }
}

impl CertificateAuthority {
    /// A new authority with the subject and key type of a Talos cluster: `O=talos`, Ed25519, ten years.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub fn new_talos() -> Result<Self, PkiError> {
        Self::self_signed(Some("talos"), KeyAlgorithm::Ed25519)
    }

    /// The authority of Kubernetes in a Talos cluster: `O=kubernetes`, ECDSA P-256, ten years.
    pub(crate) fn new_kubernetes() -> Result<Self, PkiError> {
        Self::self_signed(Some("kubernetes"), KeyAlgorithm::EcdsaP256)
    }

    /// An authority whose subject has no more than an organization.
    pub(crate) fn self_signed(organization: Option<&str>, algorithm: KeyAlgorithm) -> Result<Self, PkiError> {
        let key = PrivateKey::generate(algorithm)?;
        let mut key_id = [0; 20];
        SystemRandom::new()
            .fill(&mut key_id)
            .map_err(|_| PkiError::Random)?;
        let template = Template {
            organizations: organization.map(str::to_owned).into_iter().collect(),
            common_name: None,
            other_names: Vec::new(),
            validity: Validity::starting_now(TEN_YEARS),
            key_usage: CERT_SIGN | DIGITAL_SIGNATURE,
            extended_key_usage: vec![ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::ClientAuth],
            dns_names: Vec::new(),
            addresses: Vec::new(),
            authority_key_id: Some(key_id),
        };
        let subject = template.subject();
        let signer = Signer {
            subject: &subject,
            key_id,
            key: &key,
        };
        let certificate = template.sign(&key.public_key_info(), &signer)?.into();
        Ok(Self {
            key,
            subject,
            key_id,
            certificate,
        })
    }

    /// The authority's certificate as one PEM block.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem::encode(pem::CERTIFICATE, &self.certificate)
    }

    /// An authority of parts that belong together.
    pub(super) fn assembled(
        key: PrivateKey,
        subject: Vec<u8>,
        key_id: [u8; 20],
        certificate: CertificateDer<'static>,
    ) -> Self {
        Self {
            key,
            subject,
            key_id,
            certificate,
        }
    }

    /// The authority's private key as one PEM block, with the label that Talos writes.
    pub(crate) fn key_pem(&self) -> String {
        self.key.to_pem()
    }

    /// The authority's certificate in DER.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// Issues a client certificate with a fresh key.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub fn issue_client(&self, spec: &ClientCertSpec) -> Result<ClientCert, PkiError> {
        let key = PrivateKey::generate(spec.key_algorithm)?;
        let template = Template {
            organizations: spec.organizations.clone(),
            common_name: spec.common_name.clone(),
            other_names: Vec::new(),
            validity: spec.validity.absolute(),
            key_usage: DIGITAL_SIGNATURE,
            extended_key_usage: spec.extended_key_usage.clone(),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            authority_key_id: None,
        };
        let certificate_der = template.sign(&key.public_key_info(), &self.signer())?;
        Ok(ClientCert {
            certificate_pem: pem::encode(pem::CERTIFICATE, &certificate_der),
            key_pem: key.to_pem(),
            certificate_der,
            key_pkcs8_der: key.pkcs8_der(),
        })
    }

    /// A server certificate for the node called `fqdn`.
    pub(crate) fn issue_server(
        &self,
        fqdn: &str,
        dns_names: Vec<String>,
        addresses: Vec<IpAddr>,
        validity: ValidityWindow,
    ) -> Result<ServerIdentity, PkiError> {
        self.issue_server_for(DIGITAL_SIGNATURE, fqdn, dns_names, addresses, validity)
    }

    /// As [`Self::issue_server`], for a key that is used as `key_usage` says.
    pub(crate) fn issue_server_for(
        &self,
        key_usage: u8,
        fqdn: &str,
        mut dns_names: Vec<String>,
        mut addresses: Vec<IpAddr>,
        validity: ValidityWindow,
    ) -> Result<ServerIdentity, PkiError> {
        dns_names.sort();
        dns_names.dedup();
        addresses.sort();
        addresses.dedup();
        let key = PrivateKey::generate(KeyAlgorithm::Ed25519)?;
        let template = Template {
            organizations: Vec::new(),
            common_name: Some(fqdn.to_owned()),
            other_names: Vec::new(),
            validity: validity.absolute(),
            key_usage,
            extended_key_usage: vec![ExtendedKeyUsage::ServerAuth],
            dns_names,
            addresses,
            authority_key_id: None,
        };
        let certificate = template.sign(&key.public_key_info(), &self.signer())?.into();
        Ok(ServerIdentity {
            certificate,
            key: PrivatePkcs8KeyDer::from(key.pkcs8_der()).into(),
        })
    }

    /// Signs what a worker asks of `trustd`: a server certificate for 24 hours, as PEM.
    pub(crate) fn sign_request(&self, wanted: SigningRequest) -> Result<String, PkiError> {
        let template = Template {
            organizations: Vec::new(),
            common_name: None,
            other_names: wanted.names,
            validity: Validity::starting_now(ONE_DAY),
            key_usage: DIGITAL_SIGNATURE,
            extended_key_usage: vec![ExtendedKeyUsage::ServerAuth],
            dns_names: wanted.dns_names,
            addresses: wanted.addresses,
            authority_key_id: None,
        };
        let certificate = template.sign(&wanted.public_key, &self.signer())?;
        Ok(pem::encode(pem::CERTIFICATE, &certificate))
    }

    fn signer(&self) -> Signer<'_> {
        Signer {
            subject: &self.subject,
            key_id: self.key_id,
            key: &self.key,
        }
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
