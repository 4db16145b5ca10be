//! An endpoint in front of a cluster that wants requests to be signed, as Omni does.
//!
//! Omni has no client certificates: it knows OpenPGP keys, of users and of service accounts, and checks a signature
//! in the metadata of every call. [`SimOmni`] does that, and hands calls with a good signature on to a node of the
//! cluster.
//!
//! ```
//! use talos_testkit::SimCluster;
//! use talos_testkit::omni::SimOmni;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), talos_testkit::SimError> {
//! let cluster = SimCluster::builder().start().await?;
//! let omni = SimOmni::in_front_of(&cluster)?;
//!
//! // What the program under test is given: a talosconfig without secrets, and the value of OMNI_SERVICE_ACCOUNT_KEY.
//! let talosconfig = omni.talosconfig("somebody@example.org");
//! let key = omni.service_account("ci", ["os:reader"])?;
//! # let _ = (talosconfig, key);
//! # Ok(())
//! # }
//! ```
//!
//! What is simulated is the check of signatures ([`SignatureVerifier`]). Behind it a call arrives at a node with the
//! roles that its identity was accepted with, and with all its metadata. Logins of users (`auth.AuthService`) and the
//! rest of Omni's own API are not simulated: without a signature they are refused as everything else is.

mod front;
mod key;
mod openpgp;
mod verifier;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::task::AbortHandle;

use crate::clock::Moment;
use crate::cluster::SimCluster;
use crate::error::SimError;
use crate::network::{Network, addressing};
use crate::pki::{CertificateAuthority, KeyAlgorithm, ONE_DAY, PkiError, ValidityWindow};
use crate::sync::Guarded;
use crate::talosconfig::scalar;
use crate::tls;
pub use openpgp::{OpenPgpError, PublicKey};
pub use verifier::{SignatureProblem, SignatureVerifier};

/// An endpoint with TLS that answers signed calls only, and hands them on to a cluster. Dropping it closes the
/// endpoint and its connections.
pub struct SimOmni {
    front: Arc<Front>,
    address: SocketAddr,
    authority: CertificateAuthority,
    accepting: AbortHandle,
}

/// A call that was not handed on, because its signature is missing or no good.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RefusedCall {
    /// gRPC path, for example `/machine.MachineService/Version`.
    pub method: String,
    /// What is wrong; the client hears no more than `invalid signature`.
    pub problem: SignatureProblem,
}

/// What the tasks that serve share.
struct Front {
    network: Arc<Network>,
    known: Guarded<Known>,
    refused: Guarded<Vec<RefusedCall>>,
}

/// Who may call, and as what.
#[derive(Default)]
struct Known {
    verifier: SignatureVerifier,
    /// Roles by identity; those named last count.
    roles: Vec<(String, Vec<String>)>,
}

impl SimOmni {
    /// Opens an endpoint on 127.0.0.1, on a port that the system chooses, for calls to `cluster`. It knows nobody yet.
    ///
    /// # Errors
    ///
    /// [`SimError`] if there is no free port, or no randomness for a key.
    pub fn in_front_of(cluster: &SimCluster) -> Result<Self, SimError> {
        let network = Arc::clone(cluster.network());
        let authority = CertificateAuthority::self_signed(Some("omni"), KeyAlgorithm::Ed25519)?;
        let (names, addresses) = (vec!["localhost".to_owned()], vec![Ipv4Addr::LOCALHOST.into()]);
        let validity = ValidityWindow::For(ONE_DAY);
        let identity = authority.issue_server("localhost", names, addresses, validity)?;
        let acceptor = tls::acceptor_for_everybody(identity)?;
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let _runtime = network.runtime.enter();
        let listener = addressing::listen(wanted)?;
        let address = listener.local_addr().map_err(|source| SimError::Listen {
            address: wanted,
            source,
        })?;
        let front = Arc::new(Front {
            network: Arc::clone(&network),
            known: Guarded::default(),
            refused: Guarded::default(),
        });
        let accepting = network
            .runtime
            .spawn(front::accept(Arc::clone(&front), listener, acceptor));
        Ok(Self {
            front,
            address,
            authority,
            accepting: accepting.abort_handle(),
        })
    }

    /// `https://127.0.0.1:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Certificate of the authority that signed the endpoint's own, as PEM. Of Omni itself, systems know the authority.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.authority.certificate_pem()
    }

    /// A talosconfig as Omni hands it out: one context with this endpoint and the name of the cluster, whose requests
    /// are to be signed by `identity`, unless a service account does. It has the authority in it and no secrets.
    #[must_use]
    pub fn talosconfig(&self, identity: &str) -> String {
        let name = scalar(&self.front.network.facts.name);
        let (endpoint, identity) = (scalar(&self.endpoint()), scalar(identity));
        let ca = STANDARD.encode(self.ca_pem());
        format!(
            "context: {name}\n\
             contexts:\n\
             \x20   {name}:\n\
             \x20       endpoints:\n\
             \x20           - {endpoint}\n\
             \x20       ca: {ca}\n\
             \x20       auth:\n\
             \x20           siderov1:\n\
             \x20               identity: {identity}\n\
             \x20       cluster: {name}\n"
        )
    }

    /// Makes a service account whose calls have `roles`, and returns its key, **which is a secret**: the value of
    /// `OMNI_SERVICE_ACCOUNT_KEY`. A second one of this name has another key; both are accepted, with the roles named
    /// last.
    ///
    /// `name` must be ASCII without spaces, or no client can use it.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub fn service_account(
        &self,
        name: &str,
        roles: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<String, PkiError> {
        let user_id = format!("{name} <{name}@serviceaccount.omni.sidero.dev>");
        let armored = key::make(&user_id, Moment::now())?;
        let value = serde_json::json!({"name": name, "pgp_key": armored}).to_string();
        self.accept(name, &armored, roles).map_err(|_| PkiError::Key)?;
        Ok(STANDARD.encode(value))
    }

    /// Accepts signatures of `identity` by this armored key, of which the public part is enough, beside those of keys
    /// that were accepted before. Its calls have `roles`, by whichever key they are signed.
    ///
    /// # Errors
    ///
    /// If that is no Ed25519 key of version 4.
    pub fn accept(
        &self,
        identity: &str,
        armored: &str,
        roles: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<(), OpenPgpError> {
        let key = PublicKey::from_armor(armored)?;
        let mut known = self.front.known.lock();
        known.verifier.accept(identity, key);
        known.roles.retain(|(name, _)| name != identity);
        let roles = roles.into_iter().map(Into::into).collect();
        known.roles.push((identity.to_owned(), roles));
        Ok(())
    }

    /// Forgets all keys of `identity`: its calls are refused from now on.
    pub fn revoke(&self, identity: &str) {
        self.front.known.lock().verifier.forget(identity);
    }

    /// The calls that were refused so far, oldest first. Those that were handed on are in
    /// [`SimCluster::requests`].
    #[must_use]
    pub fn refused(&self) -> Vec<RefusedCall> {
        self.front.refused.lock().clone()
    }
}

impl Drop for SimOmni {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for SimOmni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimOmni")
            .field("endpoint", &self.endpoint())
            .finish_non_exhaustive()
    }
}
