//! The network between the machines: who is found under which name, and who answers.

pub(crate) mod addressing;
pub(crate) mod endpoint;
pub(crate) mod link;
pub(crate) mod machine;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

use crate::apid::{Apid, listener};
use crate::error::SimError;
use crate::fault::{Certificate, FaultBook, LinkEnd, LinkVerdict};
use crate::node::power::ApiMode;
use crate::node::{ClusterFacts, MachineRole};
use crate::record::Recorder;
use crate::tls::ClusterTls;
use crate::trustd::{self, Trustd};
use link::Links;
pub(crate) use machine::Machine;
use machine::Plan;

/// How long `apid` waits for a connection to another node.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// All machines of a cluster, and what they share.
pub(crate) struct Network {
    machines: Vec<Arc<Machine>>,
    /// Machines by address, hostname and FQDN.
    directory: HashMap<String, usize>,
    pub(crate) facts: Arc<ClusterFacts>,
    pub(crate) recorder: Recorder,
    pub(crate) faults: FaultBook,
    pub(crate) links: Arc<Links>,
    pub(crate) tls: ClusterTls,
    /// What machines show to `trustd`.
    pub(crate) token: String,
    /// Everything that serves this cluster, so that a shutdown can wait for it.
    pub(crate) tasks: TaskTracker,
    /// The runtime that the cluster was started in.
    pub(crate) runtime: tokio::runtime::Handle,
}

/// What the machines of a network share.
pub(crate) struct Shared {
    pub(crate) facts: Arc<ClusterFacts>,
    pub(crate) recorder: Recorder,
    pub(crate) faults: FaultBook,
    pub(crate) tls: ClusterTls,
    pub(crate) token: String,
}

/// A machine that answered the dial, and the token that ends with its current life.
pub(crate) struct Peer {
    pub(crate) machine: Arc<Machine>,
    pub(crate) life: CancellationToken,
}

impl Network {
    pub(crate) fn new(plans: Vec<Plan>, shared: Shared) -> Arc<Self> {
        let mut directory = HashMap::new();
        for (index, (identity, ..)) in plans.iter().enumerate() {
            let addresses = identity
                .addresses()
                .into_iter()
                .map(|address| address.to_string());
            for name in addresses.chain([identity.hostname.clone(), identity.fqdn()]) {
                directory.entry(name).or_insert(index);
            }
        }
        let Shared {
            facts,
            recorder,
            faults,
            tls,
            token,
        } = shared;
        Arc::new_cyclic(|network| {
            facts.connect(Weak::clone(network));
            Self {
                machines: plans
                    .into_iter()
                    .enumerate()
                    .map(|(index, plan)| Arc::new(Machine::new(index, plan, Weak::clone(network))))
                    .collect(),
                directory,
                facts,
                recorder,
                faults,
                links: Arc::default(),
                tls,
                token,
                tasks: TaskTracker::new(),
                runtime: tokio::runtime::Handle::current(),
            }
        })
    }

    pub(crate) fn machines(&self) -> &[Arc<Machine>] {
        &self.machines
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        // An address has many spellings, the directory knows one.
        let canonical = name.parse::<IpAddr>().ok().map(|address| address.to_string());
        let listed = self.directory.get(canonical.as_deref().unwrap_or(name)).copied();
        listed.or_else(|| {
            // Configurations can give machines other names.
            let renamed = |machine: &&Arc<Machine>| machine.has_name(name);
            self.machines.iter().find(renamed).map(|machine| machine.index)
        })
    }

    /// The socket address of a machine, which somebody accepts from when this returns.
    pub(crate) fn open(self: &Arc<Self>, machine: &Arc<Machine>) -> Result<SocketAddr, SimError> {
        let _runtime = self.runtime.enter();
        let opened = machine.endpoint.open()?;
        if opened.first {
            self.apply_faults();
            self.begin_accepting(machine);
        }
        Ok(opened.address)
    }

    /// The socket address of a machine's `trustd`; `None` for workers.
    pub(crate) fn open_trustd(
        self: &Arc<Self>,
        machine: &Arc<Machine>,
    ) -> Result<Option<SocketAddr>, SimError> {
        if machine.identity.role != MachineRole::ControlPlane {
            return Ok(None);
        }
        let _runtime = self.runtime.enter();
        let opened = machine.trustd.open()?;
        if opened.first {
            self.begin_trusting(machine);
        }
        Ok(Some(opened.address))
    }

    fn begin_trusting(self: &Arc<Self>, machine: &Arc<Machine>) {
        if let Some(life) = machine.life() {
            let trustd = Trustd {
                network: Arc::clone(self),
                machine: Arc::clone(machine),
            };
            self.tasks.spawn_on(trustd::accept(trustd, life), &self.runtime);
        }
    }

    /// Begins the life of a machine, unless it is alive, and accepts connections during it.
    pub(crate) fn switch_on(self: &Arc<Self>, machine: &Arc<Machine>) -> Result<(), SimError> {
        let _runtime = self.runtime.enter();
        machine.endpoint.bring_up()?;
        let trusts = machine.node().api() == ApiMode::Secure;
        if trusts {
            machine.trustd.bring_up()?;
        }
        if machine.node().power_on().is_some() {
            if machine.endpoint.is_open() {
                self.begin_accepting(machine);
            }
            if trusts && machine.trustd.is_open() {
                self.begin_trusting(machine);
            }
        }
        Ok(())
    }

    fn begin_accepting(self: &Arc<Self>, machine: &Arc<Machine>) {
        if let Some(life) = machine.life() {
            let apid = Apid {
                network: Arc::clone(self),
                machine: Arc::clone(machine),
            };
            self.tasks.spawn_on(listener::accept(apid, life), &self.runtime);
        }
    }

    /// Brings sockets and connections in line with the faults that there are.
    pub(crate) fn apply_faults(&self) {
        let _runtime = self.runtime.enter();
        for machine in &self.machines {
            if machine.endpoint.is_open()
                && let Err(error) = machine.endpoint.refuse(self.faults.refuses(machine.index))
            {
                tracing::warn!(%error, node = %machine.identity.address, "reopening an endpoint failed");
            }
        }
        self.links
            .each(|node, link| link.silence(self.faults.silences(node)));
    }

    /// Ends all machines for good.
    pub(crate) fn power_off(&self) {
        for machine in &self.machines {
            machine.end();
        }
        #[cfg(feature = "kubernetes")]
        if let Some(kubernetes) = self.facts.kubernetes() {
            kubernetes.end();
        }
        self.tasks.close();
    }

    /// Connects the `apid` of `from` to that of `target`, or fails as grpc-go's dial fails on a Talos node.
    pub(crate) async fn dial(&self, from: &Arc<Machine>, target: &str) -> Result<Peer, Status> {
        let host = target
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(target);
        let loopback = host
            .parse::<IpAddr>()
            .is_ok_and(|address| address == IpAddr::from([127, 0, 0, 1]));
        let machine = if loopback {
            Some(from)
        } else {
            self.find(host).map(|index| &self.machines[index])
        };
        let Some(machine) = machine else {
            return Err(unreachable(&match host.parse::<IpAddr>() {
                Ok(address) => format!("dial tcp {}: connect: no route to host", socket(address)),
                Err(_) => format!("dial tcp: lookup {host} on 127.0.0.53:53: no such host"),
            }));
        };
        let address = socket(host.parse().unwrap_or(machine.identity.address));
        let refused = || unreachable(&format!("dial tcp {address}: connect: connection refused"));
        let LinkVerdict { delay, end, .. } = self.faults.hop(from.index, machine.index);
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        match end {
            None => {}
            Some(LinkEnd::Refuse) => return Err(refused()),
            Some(LinkEnd::Reset) => {
                return Err(handshake_failed(&format!(
                    "read tcp {}->{address}: read: connection reset by peer",
                    SocketAddr::from((from.identity.address, 40_000))
                )));
            }
            Some(LinkEnd::BlackHole) => {
                tokio::time::sleep(CONNECT_TIMEOUT).await;
                return Err(unreachable(&format!("dial tcp {address}: i/o timeout")));
            }
            Some(LinkEnd::Certificate(certificate)) => {
                return Err(handshake_failed(&bad_certificate(certificate, machine, host)));
            }
        }
        match machine.life() {
            Some(_) if machine.node().api() == ApiMode::Maintenance => Err(handshake_failed(
                &bad_certificate(Certificate::ForeignAuthority, machine, host),
            )),
            Some(life) => Ok(Peer {
                machine: Arc::clone(machine),
                life,
            }),
            None => Err(refused()),
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("machines", &self.machines.len())
            .finish_non_exhaustive()
    }
}

/// What Go's TLS stack says about such a certificate of `machine`, dialled as `host`.
fn bad_certificate(certificate: Certificate, machine: &Machine, host: &str) -> String {
    let now = crate::clock::Moment::now();
    let reason = match certificate {
        Certificate::Expired => format!(
            "certificate has expired or is not yet valid: current time {} is after {}",
            now.rfc3339(),
            now.shifted(Duration::from_secs(3600), true).rfc3339()
        ),
        Certificate::NotYetValid => format!(
            "certificate has expired or is not yet valid: current time {} is before {}",
            now.rfc3339(),
            now.shifted(Duration::from_secs(3600), false).rfc3339()
        ),
        Certificate::WrongName => format!("certificate is valid for {}, not {host}", crate::tls::WRONG_NAME),
        Certificate::ForeignAuthority => "certificate signed by unknown authority".to_owned(),
    };
    tracing::debug!(node = %machine.identity.address, reason, "refusing a peer's certificate");
    format!("tls: failed to verify certificate: x509: {reason}")
}

/// `apid` always dials port 50000 of other nodes.
fn socket(address: IpAddr) -> String {
    SocketAddr::from((address, 50000)).to_string()
}

fn unreachable(error: &str) -> Status {
    Status::unavailable(format!(
        "connection error: desc = \"transport: Error while dialing: {error}\""
    ))
}

fn handshake_failed(error: &str) -> Status {
    Status::unavailable(format!(
        "connection error: desc = \"transport: authentication handshake failed: {error}\""
    ))
}
