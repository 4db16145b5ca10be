//! Assembles a cluster.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use super::{SimCluster, kubeconfig};
use crate::clock::Moment;
use crate::error::SimError;
use crate::fault::FaultBook;
#[cfg(feature = "kubernetes")]
use crate::kubernetes::{Door, Kubernetes};
use crate::network::addressing::{self, Listen};
use crate::network::endpoint::Endpoint;
use crate::network::machine::Blueprint;
use crate::network::{Network, Shared};
use crate::node::boot::UPTIME;
use crate::node::platform::PlatformMode;
use crate::node::power::Timings;
use crate::node::resources::specs;
use crate::node::stats::DEFAULT_TAG;
use crate::node::{ClusterFacts, Identity, MachineRole, Making};
use crate::pki::CertificateAuthority;
use crate::record::Recorder;
use crate::rng::SimRng;
use crate::secrets::Secrets;
use crate::tls::ClusterTls;

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
    first_port: Option<u16>,
    extra_names: Vec<String>,
    recording: bool,
    platform: PlatformMode,
    timings: Timings,
    bootstrapped: bool,
    authority: Option<AuthorityPem>,
    maintenance: (Bound<usize>, Bound<usize>),
    #[cfg(feature = "kubernetes")]
    kubernetes: bool,
}

/// An authority that is brought along.
#[derive(Clone)]
struct AuthorityPem {
    certificate: String,
    key: String,
}

impl fmt::Debug for AuthorityPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorityPem").finish_non_exhaustive()
    }
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
            first_port: None,
            extra_names: Vec::new(),
            recording: true,
            platform: PlatformMode::default(),
            timings: Timings::default(),
            bootstrapped: true,
            authority: None,
            maintenance: (Bound::Excluded(0), Bound::Excluded(0)),
            #[cfg(feature = "kubernetes")]
            kubernetes: false,
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

    /// Uses fixed ports: this one for the first node and the following ones for the others, or this one for
    /// all nodes if they have addresses of their own ([`Listen::DistinctLoopback`]). All of them are opened
    /// when the cluster starts. Default: the system chooses ports.
    pub fn first_port(mut self, port: u16) -> Self {
        self.first_port = Some(port);
        self
    }

    /// Further names and addresses in the server certificates of all nodes, such as that of the host that
    /// clients reach the simulator by. Default: none.
    pub fn cert_sans(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.extra_names = names.into_iter().map(Into::into).collect();
        self
    }

    /// Whether [`SimCluster::requests`] records calls, with their bodies, and the Kubernetes API its requests, if
    /// the cluster serves it. Switch it off for measurements.
    /// Default: on.
    pub fn recording(mut self, on: bool) -> Self {
        self.recording = on;
        self
    }

    /// Brings the authority of the Talos API along, as PEM text: its certificate and its Ed25519 key, as a
    /// machine configuration or a secrets bundle has them. Default: a new one.
    pub fn authority(mut self, certificate: impl Into<String>, key: impl Into<String>) -> Self {
        self.authority = Some(AuthorityPem {
            certificate: certificate.into(),
            key: key.into(),
        });
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

    /// Whether etcd has been bootstrapped. If not, all nodes are configured and wait for that: no member of etcd
    /// runs, control plane nodes are still booting, and no node is ready. [`SimNode::bootstrap`] or the RPC
    /// `Bootstrap` ends it. Default: it has.
    ///
    /// [`SimNode::bootstrap`]: crate::SimNode::bootstrap
    pub fn bootstrapped(mut self, bootstrapped: bool) -> Self {
        self.bootstrapped = bootstrapped;
        self
    }

    /// Which nodes begin without a configuration, in maintenance mode, by their places in
    /// [`SimCluster::nodes`]: `..` for all of them, `3..` for those from the fourth on. They are not installed,
    /// and know nothing of their cluster before `ApplyConfiguration` tells them, with
    /// [`SimNode::generated_machine_config`] for example. If no control plane node is left, etcd is not
    /// bootstrapped. Default: none.
    ///
    /// [`SimNode::generated_machine_config`]: crate::SimNode::generated_machine_config
    pub fn maintenance(mut self, nodes: impl RangeBounds<usize>) -> Self {
        self.maintenance = (nodes.start_bound().cloned(), nodes.end_bound().cloned());
        self
    }

    /// Whether the cluster serves the Kubernetes API, at the address in its kubeconfig: see
    /// [`kubernetes`](crate::kubernetes). All nodes come into being when the cluster starts. Default: it does
    /// not, and nothing listens there.
    #[cfg(feature = "kubernetes")]
    pub fn kubernetes(mut self, on: bool) -> Self {
        self.kubernetes = on;
        self
    }

    /// Starts all nodes; they answer when this returns.
    ///
    /// Must be called within a Tokio runtime, which runs the nodes until the cluster is dropped.
    ///
    /// # Errors
    ///
    /// [`SimError`] when there is no control plane node, no free port, no randomness for keys, or the authority
    /// brought along is none.
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
        let authority = Arc::new(match &self.authority {
            Some(pem) => CertificateAuthority::from_pem(&pem.certificate, &pem.key)?,
            None => CertificateAuthority::new_talos()?,
        });
        let secrets = Secrets::around(Arc::clone(&authority))?;
        let token = secrets.trustd_token.clone();
        let waits = |index: usize| self.maintenance.contains(&index);
        let bootstrapped = self.bootstrapped && !(0..self.control_planes).all(waits);
        let listen = self.listen.resolve();
        #[cfg(feature = "kubernetes")]
        let door = match self.kubernetes {
            true => Some(Door::open(listen)?),
            false => None,
        };
        let server = format!("https://{}:6443", addressing::node_address(0));
        #[cfg(feature = "kubernetes")]
        let server = door.as_ref().map_or(server, |door| door.url.clone());
        let facts = Arc::new(ClusterFacts::new(
            self.name.clone(),
            kubeconfig::render(&self.name, &server, &secrets.kubernetes)?,
            secrets,
            self.tag.clone(),
            bootstrapped,
        ));
        let making = Making {
            tag: self.tag.clone(),
            platform: self.platform,
            timings: self.timings,
        };
        let rng = SimRng::new(self.seed);
        let boot = Moment::now().shifted(UPTIME, true);
        let mut plans = Vec::with_capacity(count);
        for index in 0..count {
            let address = self.address(listen, index)?;
            let rng = rng.fork(&format!("node {index}"));
            let identity = self.identity(index, address.ip(), &rng);
            if !waits(index) {
                facts.members.put(specs::member(&identity, &self.tag));
            }
            if bootstrapped && !waits(index) && identity.role == MachineRole::ControlPlane {
                facts.etcd.enroll(&identity, &rng);
            }
            let blueprint = Blueprint {
                facts: Arc::clone(&facts),
                making: making.clone(),
                rng,
                boot,
                maintenance: waits(index),
            };
            plans.push((identity, Endpoint::new(address), blueprint));
        }
        let shared = Shared {
            facts,
            recorder: Recorder::new(self.recording),
            faults: FaultBook::new(rng.fork("faults")),
            tls: ClusterTls::new(authority, self.extra_names.clone())?,
            token,
        };
        let network = Network::new(plans, shared);
        for machine in network.machines() {
            if machine.identity.role == MachineRole::ControlPlane || self.first_port.is_some() {
                network.open(machine)?;
            }
        }
        for machine in network.machines() {
            if !bootstrapped || waits(machine.index) {
                machine.node().go_on();
            }
        }
        #[cfg(feature = "kubernetes")]
        if let Some(door) = door {
            Kubernetes::start(&network, door, &self.extra_names, rng.fork("kubernetes"))?;
        }
        Ok(SimCluster { network })
    }

    /// Where the node at `index` listens.
    fn address(&self, listen: Listen, index: usize) -> Result<SocketAddr, SimError> {
        let ip = listen.address(index);
        let Some(first) = self.first_port else {
            return Ok(SocketAddr::new(ip, 0));
        };
        // Addresses of their own let all nodes use the same port, as real nodes do.
        let offset = if listen == Listen::DistinctLoopback {
            0
        } else {
            index
        };
        let port =
            u16::try_from(usize::from(first) + offset).map_err(|_| SimError::NoPort { first, index })?;
        Ok(SocketAddr::new(ip, port))
    }

    fn identity(&self, index: usize, listen: IpAddr, rng: &SimRng) -> Identity {
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
