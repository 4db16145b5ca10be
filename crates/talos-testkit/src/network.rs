//! The network between the machines: who is found under which name, and who answers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::machined::Machined;
use crate::node::Node;
use crate::record::Recorder;

/// A machine with its API.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) node: Arc<Node>,
    pub(crate) machined: Machined,
}

/// All machines of a cluster.
#[derive(Debug)]
pub(crate) struct Network {
    machines: Vec<Arc<Machine>>,
    /// Machines by address, hostname and FQDN.
    directory: HashMap<String, usize>,
    pub(crate) recorder: Recorder,
}

/// A machine that answered the dial, and the token that ends with its current life.
pub(crate) struct Peer {
    pub(crate) machine: Arc<Machine>,
    pub(crate) life: CancellationToken,
}

impl Network {
    pub(crate) fn new(nodes: impl IntoIterator<Item = Node>, recorder: Recorder) -> Self {
        let machines: Vec<_> = nodes
            .into_iter()
            .map(|node| {
                let node = Arc::new(node);
                Arc::new(Machine {
                    machined: Machined::new(Arc::clone(&node)),
                    node,
                })
            })
            .collect();
        let mut directory = HashMap::new();
        for (index, machine) in machines.iter().enumerate() {
            let identity = &machine.node.identity;
            let addresses = identity
                .addresses()
                .into_iter()
                .map(|address| address.to_string());
            for name in addresses.chain([identity.hostname.clone(), identity.fqdn()]) {
                directory.entry(name).or_insert(index);
            }
        }
        Self {
            machines,
            directory,
            recorder,
        }
    }

    pub(crate) fn machines(&self) -> &[Arc<Machine>] {
        &self.machines
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        // An address has many spellings, the directory knows one.
        let canonical = name.parse::<IpAddr>().ok().map(|address| address.to_string());
        self.directory.get(canonical.as_deref().unwrap_or(name)).copied()
    }

    /// Connects the `apid` of `from` to that of `target`, or fails as grpc-go's dial fails on a Talos node.
    pub(crate) fn dial(&self, from: &Arc<Machine>, target: &str) -> Result<Peer, Status> {
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
        match machine.node.life() {
            Some(life) => Ok(Peer {
                machine: Arc::clone(machine),
                life,
            }),
            None => {
                let socket = socket(host.parse().unwrap_or(machine.node.identity.address));
                Err(unreachable(&format!(
                    "dial tcp {socket}: connect: connection refused"
                )))
            }
        }
    }
}

/// `apid` always dials port 50000 of other nodes.
fn socket(address: IpAddr) -> String {
    std::net::SocketAddr::from((address, 50000)).to_string()
}

fn unreachable(error: &str) -> Status {
    Status::unavailable(format!(
        "connection error: desc = \"transport: Error while dialing: {error}\""
    ))
}
