//! Client certificates that a cluster issues.

use std::{fmt, time::Duration};

use bytes::Bytes;
use talos_proto::{machine as proto, methods::Role, methods::machine::machine_service as methods};
use talos_transport::tls::{CertificateFacts, Identity};
use zeroize::Zeroizing;

use crate::{
    Node,
    call::{CallInfo, Target, request},
    error::Result,
};

/// How much longer a certificate may be valid than was asked for, and still count as what was asked for.
const LONGER: Duration = Duration::from_secs(60 * 60);
/// How much shorter.
const SHORTER: Duration = Duration::from_secs(60);

/// Who the certificate is for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    roles: Vec<Role>,
    lifetime: Duration,
}

request! {
    /// What certificate to issue; made by [`Node::generate_client_configuration`].
    pub struct GenerateClientConfigurationRequest(Wanted) {}

    /// Lets the node make a key and sign a certificate for it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for no roles and for a lifetime of zero; nothing is sent then. `Unimplemented` on worker
    /// nodes. `Malformed` where the node grants other roles or another lifetime than it was asked for, or a key
    /// that does not belong to the certificate; and every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing on the node remembers the certificate.
    send(target, message) -> ClientConfiguration {
        target.generate_client_configuration(message).await
    }
}

/// A new client certificate with its key, and the authorities to trust.
///
/// The key is wiped from memory when dropped, and not shown by `Debug`.
#[derive(Clone)]
pub struct ClientConfiguration {
    ca: Bytes,
    crt: Bytes,
    key: Zeroizing<Vec<u8>>,
    #[cfg_attr(
        not(feature = "talosconfig"),
        allow(dead_code, reason = "read as a talosconfig")
    )]
    talosconfig: Zeroizing<Vec<u8>>,
    facts: CertificateFacts,
}

impl ClientConfiguration {
    /// Certificates of the cluster's authorities, in PEM; during a rotation there are several.
    pub fn ca_pem(&self) -> &[u8] {
        &self.ca
    }

    /// The client certificate, in PEM.
    pub fn certificate_pem(&self) -> &[u8] {
        &self.crt
    }

    /// The **private key**, in PEM.
    pub fn key_pem(&self) -> &[u8] {
        &self.key
    }

    /// Roles and validity of the certificate.
    pub fn certificate(&self) -> &CertificateFacts {
        &self.facts
    }

    /// A context with these credentials that reaches the cluster as `old` does: its endpoints, nodes, cluster and
    /// proxy are kept, its own credentials are not.
    #[cfg(feature = "talosconfig")]
    pub fn renewed(&self, old: &crate::config::Context) -> crate::config::Context {
        let mut context = old.clone();
        context.auth = None;
        context
            .set_ca_pem(&self.ca)
            .set_client_certificate_pem(&self.crt, &*self.key);
        context
    }

    /// The talosconfig as the node made it: one context, named after the role and the cluster, **without
    /// endpoints**, which nodes do not know.
    ///
    /// [`Talosconfig::renew`](crate::config::Talosconfig::renew) puts the credentials into a talosconfig that is
    /// in use.
    ///
    /// # Errors
    ///
    /// What [`Talosconfig::parse`](crate::config::Talosconfig::parse) says about it.
    #[cfg(feature = "talosconfig")]
    pub fn talosconfig(&self) -> Result<crate::config::Talosconfig, crate::config::ConfigError> {
        crate::config::Talosconfig::parse(&*self.talosconfig)
    }
}

impl fmt::Debug for ClientConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfiguration")
            .field("certificate", &self.facts)
            .finish_non_exhaustive()
    }
}

impl Target {
    async fn generate_client_configuration(&self, wanted: Wanted) -> Result<ClientConfiguration> {
        let method = &methods::GENERATE_CLIENT_CONFIGURATION;
        if wanted.roles.is_empty() {
            return Err(self.invalid_input(method, "a certificate without roles may do nothing"));
        }
        let crt_ttl = Some(self.positive(method, "the lifetime", wanted.lifetime)?);
        let roles = wanted.roles.iter().map(ToString::to_string).collect();
        let request = proto::GenerateClientConfigurationRequest { roles, crt_ttl };
        let (message, call) = self
            .single_of(method, request, |request| async {
                self.machine().generate_client_configuration(request).await
            })
            .await?;
        ClientConfiguration::check(message, &wanted, &call)
    }
}

impl ClientConfiguration {
    fn check(message: proto::GenerateClientConfiguration, wanted: &Wanted, call: &CallInfo) -> Result<Self> {
        // Copies of what came off the wire stay in the receive buffers; these at least are wiped.
        let key = Zeroizing::new(message.key.to_vec());
        let talosconfig = Zeroizing::new(message.talosconfig.to_vec());
        let identity = Identity::from_pem(&message.crt, &*key).map_err(|error| {
            call.malformed("no certificate with its key in the answer")
                .with_source(error)
        })?;
        let facts = identity.certificate().clone();
        let mut granted: Vec<&str> = facts.organizations().iter().map(String::as_str).collect();
        let mut roles: Vec<&str> = wanted.roles.iter().map(|role| role.as_str()).collect();
        for list in [&mut granted, &mut roles] {
            list.sort_unstable();
            list.dedup();
        }
        if granted != roles {
            return Err(call.malformed(format!(
                "the certificate is for {}, asked for was {}",
                granted.join(", "),
                roles.join(", ")
            )));
        }
        let lifetime = facts
            .not_after()
            .duration_since(facts.not_before())
            .unwrap_or_default();
        if lifetime + SHORTER < wanted.lifetime || lifetime > wanted.lifetime.saturating_add(LONGER) {
            return Err(call.malformed(format!(
                "the certificate is valid for {lifetime:?}, asked for was {:?}",
                wanted.lifetime
            )));
        }
        Ok(Self {
            ca: message.ca,
            crt: message.crt,
            key,
            talosconfig,
            facts,
        })
    }
}

impl Node {
    /// Issues a client certificate with these roles, valid from now on for `lifetime`; control plane nodes only.
    ///
    /// Give a program no more roles than it needs: [`Role::Reader`] to look, [`Role::EtcdBackup`] to take
    /// snapshots. Certificates cannot be revoked, so give it no more time than it needs, either.
    ///
    /// ```
    /// # use talos_client::Client;
    /// use std::time::Duration;
    /// use talos_client::{Role, config::Talosconfig};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = talos_testkit::SimCluster::builder().start().await?;
    /// # let mut talosconfig = Talosconfig::parse(cluster.talosconfig())?;
    /// # let client = Client::builder().talosconfig(talosconfig.clone()).build()?;
    /// # let node = client.node(cluster.node(0).name())?;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("reader.talosconfig");
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// let issued = node.generate_client_configuration([Role::Reader], day).send().await?;
    /// // The endpoints and nodes of the current context, with the new credentials.
    /// talosconfig.renew(None, &issued)?;
    /// talosconfig.save_to(&path)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Upstream: `machine.MachineService/GenerateClientConfiguration` · talosctl config new · since Talos 1.7 or
    /// older · role os:admin · read-only
    pub fn generate_client_configuration(
        &self,
        roles: impl IntoIterator<Item = Role>,
        lifetime: Duration,
    ) -> GenerateClientConfigurationRequest {
        let wanted = Wanted {
            roles: roles.into_iter().collect(),
            lifetime,
        };
        GenerateClientConfigurationRequest::new(self.target(), wanted)
    }
}
