//! Assembles a cluster.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::SimCluster;
use super::addressing::{self, Listen};
use super::endpoint::Endpoint;
use super::kubeconfig;
use super::mains::Mains;
use crate::error::SimError;
use crate::network::Network;
use crate::node::platform::PlatformMode;
use crate::node::power::Timings;
use crate::node::stats::DEFAULT_TAG;
use crate::node::{ClusterFacts, Identity, MachineRole, Making, Node};
use crate::pki::CertificateAuthority;
use crate::record::Recorder;
use crate::rng::SimRng;
use crate::tls;

/// Describes a cluster to simulate. See [`SimCluster::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct SimClusterBuilder {
    control_planes: usize,
    workers: usize,
    name: String,
    domain: String,
    seed: u64,
    tag: String,
    listen: Listen,
    recording: bool,
    platform: PlatformMode,
    timings: Timings,
    bootstrapped: bool,
}

impl Default for SimClusterBuilder {
    fn default() -> Self {
        Self {
            control_planes: 1,
            workers: 0,
            name: "sim".to_owned(),
            domain: String::new(),
            seed: 0,
            tag: DEFAULT_TAG.to_owned(),
            listen: Listen::default(),
            recording: true,
            platform: PlatformMode::default(),
            timings: Timings::default(),
            bootstrapped: true,
        }
    }
}

impl SimClusterBuilder {
    /// Number of control plane nodes. Default: 1.
    pub fn control_planes(mut self, count: usize) -> Self {
        self.control_planes = count;
        self
    }

    /// Number of workers. Default: 0.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// Name of the cluster: the context in its talosconfig, and the beginning of its nodes' hostnames.
    /// Default: `sim`.
    pub fn cluster_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// DNS domain of the nodes, so that a node's FQDN is `<hostname>.<domain>`. Default: none, as in
    /// clusters that `talosctl cluster create` makes; the FQDN is then the hostname.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = domain.into();
        self
    }

    /// Seed of everything the nodes make up: boot ids, node ids, where byte streams are cut. Certificates
    /// and keys are always fresh. Default: 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Talos release of all nodes, with the leading `v`. An older release knows fewer RPCs. Default:
    /// `v1.14.0`, the release whose behaviour is simulated.
    pub fn talos_version(mut self, tag: impl Into<String>) -> Self {
        self.tag = tag.into();
        self
    }

    /// Where the endpoints listen. Default: [`Listen::Auto`].
    pub fn listen(mut self, listen: Listen) -> Self {
        self.listen = listen;
        self
    }

    /// Whether [`SimCluster::requests`] records calls, with their bodies. Switch it off for measurements.
    /// Default: on.
    pub fn recording(mut self, on: bool) -> Self {
        self.recording = on;
        self
    }

    /// What the machines run on. Default: [`PlatformMode::Metal`].
    pub fn platform(mut self, mode: PlatformMode) -> Self {
        self.platform = mode;
        self
    }

    /// How fast the machines are. Default: [`Timings::default`], which is fast.
    pub fn timings(mut self, timings: Timings) -> Self {
        self.timings = timings;
        self
    }

    /// Starts all nodes; they answer when this returns.
    ///
    /// Must be called within a Tokio runtime, which runs the nodes until the cluster is dropped.
    ///
    /// # Errors
    ///
    /// [`SimError`] when there is no control plane node, no free port, or no randomness for keys.
    pub async fn start(self) -> Result<SimCluster, SimError> {
        let count = self.control_planes + self.workers;
        if self.control_planes == 0 {
            return Err(SimError::NoControlPlane);
        }
        if count > addressing::ROOM {
            return Err(SimError::TooManyNodes {
                asked: count,
                room: addressing::ROOM,
            });
        }
        let authority = CertificateAuthority::new_talos()?;
        let kubernetes = CertificateAuthority::new_kubernetes()?;
        let facts = Arc::new(ClusterFacts {
            kubeconfig: kubeconfig::render(&self.name, addressing::node_address(0), &kubernetes)?,
            name: self.name.clone(),
            members: Arc::default(),
            bootstrapped: watch::Sender::new(self.bootstrapped),
        });
        let making = Making {
            tag: self.tag.clone(),
            platform: self.platform,
            timings: self.timings,
        };
        let rng = SimRng::new(self.seed);
        let listen = self.listen.resolve();
        let mut nodes = Vec::with_capacity(count);
        let mut endpoints = Vec::with_capacity(count);
        for index in 0..count {
            let listener = addressing::listen(SocketAddr::new(listen.loopback(index), 0))?;
            let address = listener.local_addr().map_err(|source| SimError::Listen {
                address: listen.loopback(index),
                source,
            })?;
            let rng = rng.fork(&format!("node {index}"));
            let identity = self.identity(index, address, &rng);
            let acceptor = TlsAcceptor::from(tls::server_config(
                certificate(&authority, &identity)?,
                &authority,
            )?);
            nodes.push(Node::booted(identity, Arc::clone(&facts), &making, rng));
            endpoints.push(Endpoint::new(address, acceptor, listener));
        }
        let network = Arc::new(Network::new(nodes, Recorder::new(self.recording)));
        let cluster = SimCluster {
            facts,
            authority,
            network,
            endpoints: endpoints.into(),
            tasks: TaskTracker::new(),
        };
        for index in 0..count {
            let handle = cluster.handle(index);
            handle.node().plug_in(Box::new(Mains::of(&handle)));
            handle.switch_on();
        }
        Ok(cluster)
    }

    fn identity(&self, index: usize, listen: SocketAddr, rng: &SimRng) -> Identity {
        let (role, number) = match index.checked_sub(self.control_planes) {
            None => (MachineRole::ControlPlane, index + 1),
            Some(worker) => (MachineRole::Worker, worker + 1),
        };
        Identity {
            role,
            hostname: format!("{}-{}-{number}", self.name, role.as_str()),
            domain: self.domain.clone(),
            address: addressing::node_address(index),
            listen,
            node_id: rng.fork("node id").hex(44),
        }
    }
}

/// The certificate of a node carries every name and address it is reached by.
fn certificate(
    authority: &CertificateAuthority,
    identity: &Identity,
) -> Result<crate::pki::ServerIdentity, SimError> {
    let fqdn = identity.fqdn();
    let names = vec![identity.hostname.clone(), fqdn.clone()];
    let addresses: Vec<IpAddr> = vec![identity.address, identity.listen.ip(), Ipv4Addr::LOCALHOST.into()];
    Ok(authority.issue_server(&fqdn, names, addresses)?)
}
