//! A cluster that is there already.

use std::net::IpAddr;
use std::time::Duration;

use prost::Message as _;
use talos_proto::common::NetIp;
use talos_proto::cosi::resource::ListRequest;
use talos_proto::definitions::cluster::MemberSpec;
use talos_proto::definitions::enums::MachineType;
use tonic::Status;

use super::connection::{Connection, Credentials, request};
use super::ready::{self, Target};
use super::{RealCluster, RealError, RealNode, credentials_file};
use crate::node::MachineRole;

/// How long an existing cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

impl RealCluster {
    /// Takes the cluster of a talosconfig's current context. Its nodes are the members that the cluster has
    /// discovered; one without discovery has none here. Dropping the value leaves the cluster alone.
    ///
    /// # Errors
    ///
    /// [`RealError::Talosconfig`] when the text cannot be used, [`RealError::NotReady`] when no endpoint of it
    /// answers for half a minute.
    pub async fn from_talosconfig(text: &str) -> Result<Self, RealError> {
        let (name, context) = credentials_file::current(text)?;
        let credentials = context.credentials()?;
        let mut failure = None;
        for endpoint in context.endpoints.iter().map(|endpoint| address(endpoint)) {
            let target = Target {
                name: endpoint.clone(),
                endpoint: endpoint.clone(),
                node: None,
                engine: None,
            };
            let patience = PATIENCE / u32::try_from(context.endpoints.len()).unwrap_or(u32::MAX);
            match ready::wait(&target, &credentials, patience).await {
                Ok(()) => {
                    let nodes = members(&endpoint, &credentials).await;
                    return Ok(Self {
                        name,
                        talosconfig: text.to_owned(),
                        endpoints: context.endpoints,
                        nodes: nodes.map_err(|status| not_ready(&endpoint, &status))?,
                        origin: None,
                    });
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| RealError::talosconfig("it has no endpoints")))
    }
}

fn not_ready(endpoint: &str, status: &Status) -> RealError {
    RealError::NotReady {
        node: endpoint.to_owned(),
        waited: PATIENCE,
        last: format!("listing the members: {:?}: {}", status.code(), status.message()),
        log: String::new(),
    }
}

/// Asks for the members of the cluster, control planes first, by name.
async fn members(endpoint: &str, credentials: &Credentials) -> Result<Vec<RealNode>, Status> {
    let connection = Connection::open(endpoint, credentials).await?;
    let list = ListRequest {
        namespace: "cluster".to_owned(),
        r#type: "Members.cluster.talos.dev".to_owned(),
        options: None,
    };
    let mut stream = connection.state().list(request(list, None)).await?.into_inner();
    let mut nodes = Vec::new();
    while let Some(reply) = stream.message().await? {
        let spec = reply
            .resource
            .and_then(|resource| resource.spec)
            .unwrap_or_default();
        let spec =
            MemberSpec::decode(spec.proto_spec).map_err(|error| Status::internal(error.to_string()))?;
        let Some(address) = spec.addresses.first().and_then(ip) else {
            continue;
        };
        nodes.push(RealNode {
            role: match spec.machine_type() {
                MachineType::TypeWorker => MachineRole::Worker,
                _ => MachineRole::ControlPlane,
            },
            endpoint: self::address(&address.to_string()),
            address: address.to_string(),
            name: spec.hostname,
        });
    }
    nodes.sort_by(|a, b| {
        let worker = |node: &RealNode| node.role == MachineRole::Worker;
        (worker(a), &a.name).cmp(&(worker(b), &b.name))
    });
    Ok(nodes)
}

fn ip(address: &NetIp) -> Option<IpAddr> {
    match address.ip.len() {
        4 => <[u8; 4]>::try_from(&address.ip[..]).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(&address.ip[..]).ok().map(IpAddr::from),
    }
}

/// Host and port of an endpoint, the way talosconfigs have them.
fn address(endpoint: &str) -> String {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or_default();
    if let Ok(ip) = rest.trim_matches(['[', ']']).parse::<IpAddr>() {
        return std::net::SocketAddr::new(ip, 50000).to_string();
    }
    match rest.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => rest.to_owned(),
        _ if endpoint.starts_with("https://") => format!("{rest}:443"),
        _ => format!("{rest}:50000"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_get_the_port_of_apid() {
        let cases = [
            ("10.5.0.2", "10.5.0.2:50000"),
            ("10.5.0.2:1", "10.5.0.2:1"),
            ("fd00::2", "[fd00::2]:50000"),
            ("[fd00::2]", "[fd00::2]:50000"),
            ("[fd00::2]:1", "[fd00::2]:1"),
            ("example.org", "example.org:50000"),
            ("https://example.org", "example.org:443"),
            ("https://example.org:444/x", "example.org:444"),
            ("grpc://example.org", "example.org:50000"),
        ];
        for (endpoint, expected) in cases {
            assert_eq!(address(endpoint), expected, "{endpoint}");
        }
    }
}
