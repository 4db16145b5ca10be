//! Client certificates: what to ask for and what comes out.

use std::fmt;
use std::time::Duration;

use super::certificate::Validity;
use super::key::KeyAlgorithm;
use crate::clock::Moment;

/// A purpose in the Extended Key Usage list of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtendedKeyUsage {
    /// TLS client authentication, the only purpose `apid` accepts in a client's certificate.
    ClientAuth,
    /// TLS server authentication.
    ServerAuth,
}

impl ExtendedKeyUsage {
    pub(crate) const fn encoded(self) -> &'static [u8] {
        match self {
            Self::ServerAuth => &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01],
            Self::ClientAuth => &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02],
        }
    }
}

/// What a client certificate should look like. The default is what `talosctl config new` gets: Ed25519,
/// one organization per role, Extended Key Usage exactly `clientAuth`, valid for one year from now.
///
/// ```
/// use std::time::Duration;
/// use talos_testkit::pki::{CertificateAuthority, ClientCertSpec, ExtendedKeyUsage};
///
/// # fn main() -> Result<(), talos_testkit::pki::PkiError> {
/// let stranger = CertificateAuthority::new_talos()?;
/// let foreign = stranger.issue_client(&ClientCertSpec::new(["os:admin"]))?;
/// let expired = stranger.issue_client(&ClientCertSpec::new(["os:admin"]).expired())?;
/// let both = ClientCertSpec::new(["os:admin"])
///     .extended_key_usage([ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::ClientAuth]);
/// # let _ = (foreign, expired, both);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ClientCertSpec {
    pub(crate) organizations: Vec<String>,
    pub(crate) common_name: Option<String>,
    pub(crate) validity: ValidityWindow,
    pub(crate) extended_key_usage: Vec<ExtendedKeyUsage>,
    pub(crate) key_algorithm: KeyAlgorithm,
}

/// The validity of a certificate relative to the moment it is issued.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ValidityWindow {
    For(Duration),
    Expired,
    NotYet,
}

const HOUR: Duration = Duration::from_secs(3_600);
const YEAR: Duration = Duration::from_secs(8_760 * 3_600);

impl ClientCertSpec {
    /// A certificate whose subject holds one organization for each of `roles`, sorted as Talos does.
    pub fn new(roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut organizations: Vec<String> = roles.into_iter().map(Into::into).collect();
        organizations.sort();
        Self {
            organizations,
            common_name: None,
            validity: ValidityWindow::For(YEAR),
            extended_key_usage: vec![ExtendedKeyUsage::ClientAuth],
            key_algorithm: KeyAlgorithm::default(),
        }
    }

    /// Adds a common name, which is the name of the user where Kubernetes reads the certificate. Talos does not
    /// look at it. Default: none.
    pub fn common_name(mut self, name: impl Into<String>) -> Self {
        self.common_name = Some(name.into());
        self
    }

    /// Lets the certificate expire after `duration`. Default: 365 days.
    pub fn valid_for(mut self, duration: Duration) -> Self {
        self.validity = ValidityWindow::For(duration);
        self
    }

    /// Makes a certificate that expired an hour ago.
    pub fn expired(mut self) -> Self {
        self.validity = ValidityWindow::Expired;
        self
    }

    /// Makes a certificate that becomes valid in an hour.
    pub fn not_yet_valid(mut self) -> Self {
        self.validity = ValidityWindow::NotYet;
        self
    }

    /// Sets the Extended Key Usage list; an empty one leaves the extension out. Default: `clientAuth`.
    pub fn extended_key_usage(mut self, purposes: impl IntoIterator<Item = ExtendedKeyUsage>) -> Self {
        self.extended_key_usage = purposes.into_iter().collect();
        self
    }

    /// Sets the kind of key. Default: Ed25519.
    pub fn key_algorithm(mut self, algorithm: KeyAlgorithm) -> Self {
        self.key_algorithm = algorithm;
        self
    }
}

impl ValidityWindow {
    pub(crate) fn absolute(self) -> Validity {
        let now = Moment::now();
        match self {
            Self::For(duration) => Validity::starting_now(duration),
            Self::Expired => Validity {
                not_before: now.shifted(2 * HOUR, true),
                not_after: now.shifted(HOUR, true),
            },
            Self::NotYet => Validity {
                not_before: now.shifted(HOUR, false),
                not_after: now.shifted(2 * HOUR, false),
            },
        }
    }
}

/// A client certificate with its key, as PEM text with the labels Talos uses.
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientCert {
    /// The certificate, one `CERTIFICATE` block.
    pub certificate_pem: String,
    /// The private key: `ED25519 PRIVATE KEY` (PKCS#8 inside) or `EC PRIVATE KEY` (SEC 1 inside).
    pub key_pem: String,
    pub(crate) certificate_der: Vec<u8>,
    pub(crate) key_pkcs8_der: Vec<u8>,
}

impl ClientCert {
    /// The certificate in DER.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate_der
    }

    /// The private key in PKCS#8 DER, ready for a TLS library that does not know Talos's PEM label.
    #[must_use]
    pub fn key_pkcs8_der(&self) -> &[u8] {
        &self.key_pkcs8_der
    }
}

impl fmt::Debug for ClientCert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCert")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}
