//! A machine that has no configuration yet.
//!
//! Such a machine waits for its configuration in *maintenance mode*: it has no certificates of a cluster, asks for none, and
//! answers as itself whatever node a call names. So there is no client of a cluster here but a [`Node`], the machine that is
//! dialled, from which no other can be reached.
//!
//! ```no_run
//! use talos_client::{maintenance::Maintenance, transport::Fingerprint};
//!
//! # async fn example(printed_on_the_console: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let fingerprint: Fingerprint = printed_on_the_console.parse()?;
//! let node = Maintenance::at("10.5.0.9").fingerprint(fingerprint).build()?;
//! println!("{}", node.version().await?.tag());
//! # Ok(())
//! # }
//! ```
//!
//! Callers are `os:reader` there, which may also apply a configuration, or `os:admin` over SideroLink. Up to Talos v1.12
//! maintenance mode is a small server of its own, which knows a few calls only. When a configuration is applied, the machine
//! ends all connections and comes back as a node of its cluster, with other certificates: make a
//! [`Client`] for it then.

use talos_transport::{Endpoint, Fingerprint, NodeName, ServerVerification, TlsConfig};

use crate::{
    Node,
    client::{Client, ClientBuilder},
    error::{Error, ErrorKind, Result},
};

/// How to reach a machine in maintenance mode, and how to be sure that it is the right one.
#[derive(Debug)]
#[must_use = "nothing is made before `build`"]
pub struct Maintenance {
    endpoint: String,
    fingerprints: Vec<Fingerprint>,
    skip: bool,
    settings: ClientBuilder,
}

/// What makes a connection that anybody in between can read and change, see [`Maintenance::dangerous`].
#[derive(Debug)]
#[must_use = "this does nothing by itself"]
pub struct DangerousMaintenance(Maintenance);

/// What is missing from a [`Maintenance`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MaintenanceError {
    /// Neither a fingerprint nor the explicit wish to do without.
    #[error(
        "the machine {endpoint} cannot be told from others: give the fingerprint that its console shows, or skip the verification explicitly"
    )]
    NoFingerprint {
        /// The machine.
        endpoint: Endpoint,
    },
    /// A socket of this machine, which is never in maintenance mode as seen from there.
    #[error("{endpoint} is not a machine of the network")]
    NotANetworkEndpoint {
        /// The endpoint.
        endpoint: Endpoint,
    },
}

impl Maintenance {
    /// The machine at this address or name, in a form that [`Endpoint`] understands; the default port is 50000.
    pub fn at(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            fingerprints: Vec::new(),
            skip: false,
            settings: Client::builder(),
        }
    }

    /// Accepts the machine whose certificate has this fingerprint: that of its public key, as the machine shows on its
    /// console. Called again, it adds another one that is accepted as well.
    ///
    /// The key changes every few hours and with the machine's addresses, so fingerprints are short-lived. A mismatch is an
    /// error that shows the fingerprint seen.
    pub fn fingerprint(mut self, fingerprint: Fingerprint) -> Self {
        self.fingerprints.push(fingerprint);
        self
    }

    /// Whatever makes the connection unsafe is behind this.
    pub fn dangerous(self) -> DangerousMaintenance {
        DangerousMaintenance(self)
    }

    /// Limits on time, retries, layers, resolver and proxies, as for any client. Endpoints, credentials and a talosconfig that
    /// are set there have no effect.
    ///
    /// A proxy is used if one is set there or named by the environment, as for any client.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// # use talos_client::maintenance::Maintenance;
    ///
    /// let machine = Maintenance::at("10.5.0.9").settings(|builder| builder.timeout(Duration::from_secs(60)));
    /// ```
    pub fn settings(mut self, change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        self.settings = change(self.settings);
        self
    }

    /// Checks everything that can be checked without the machine, and makes a handle for it. Nothing is dialled.
    ///
    /// The handle's [`name`](Node::name) is the host that is dialled; calls name no node.
    ///
    /// # Errors
    ///
    /// `Config`. The source is a [`MaintenanceError`], an [`EndpointError`](talos_transport::EndpointError), or one of those
    /// of [`ClientBuilder::build`].
    pub fn build(self) -> Result<Node> {
        let config = |error| Error::local(ErrorKind::Config, error);
        let parsed = self.endpoint.parse();
        let endpoint: Endpoint = parsed.map_err(|error| Error::local(ErrorKind::Config, error))?;
        let Some(host) = endpoint.host() else {
            return Err(config(MaintenanceError::NotANetworkEndpoint { endpoint }));
        };
        let name: NodeName = host
            .parse()
            .map_err(|error| Error::local(ErrorKind::Config, error))?;
        let verification = if self.skip {
            ServerVerification::dangerous().skip()
        } else if self.fingerprints.is_empty() {
            return Err(config(MaintenanceError::NoFingerprint { endpoint }));
        } else {
            ServerVerification::fingerprints(self.fingerprints)
                .map_err(|error| Error::local(ErrorKind::Config, error))?
        };
        let tls = TlsConfig::builder(verification)
            .build()
            .map_err(|error| Error::local(ErrorKind::Config, error))?;
        let client = self.settings.dial_only(endpoint, tls).build()?;
        Ok(client.dialled(name))
    }
}

impl DangerousMaintenance {
    /// **Accepts any machine.** Whoever is in between can pose as it, and gets what is sent to it: a machine configuration
    /// holds all secrets of a cluster. For networks that nobody else is in, and for calls that send nothing.
    pub fn skip_verification(self) -> Maintenance {
        Maintenance { skip: true, ..self.0 }
    }
}
