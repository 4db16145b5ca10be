//! Which machines a cluster has.

use std::net::IpAddr;

use prost::Message as _;
use talos_proto::{
    cosi::resource::{self as cosi, state_client::StateClient},
    machine as proto,
    methods::{cosi::resource::state, machine::machine_service as methods},
};
use talos_transport::MAX_MESSAGE_SIZE;

use super::Client;
use crate::{
    Node,
    call::Target,
    error::{Error, Result},
};

/// What a machine is in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemberRole {
    /// It runs etcd and the control plane.
    ControlPlane,
    /// It runs workloads only.
    Worker,
    /// Nobody said.
    Unknown,
}

/// Where a list of machines comes from; see [`Client::discover`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemberSource {
    /// The resources `Members`, made by cluster discovery: every machine.
    Discovery,
    /// The members of etcd: control plane nodes only.
    Etcd,
    /// `nodes` of the talosconfig's context: whatever its owner wrote.
    Talosconfig,
}

/// A machine of a cluster.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Member {
    /// The handle for it, by its first address.
    pub node: Node,
    /// Its host name; `None` where nobody said.
    pub hostname: Option<String>,
    /// All its addresses, in the source's order.
    pub addresses: Vec<IpAddr>,
    /// What it is.
    pub role: MemberRole,
}

/// The resource's message, which talos-proto has with the feature `def-cluster` only.
#[derive(Clone, PartialEq, prost::Message)]
struct MemberSpec {
    #[prost(message, repeated, tag = "2")]
    addresses: Vec<NetIp>,
    #[prost(string, tag = "3")]
    hostname: String,
    #[prost(int32, tag = "4")]
    machine_type: i32,
}

/// An address as its four or sixteen bytes.
#[derive(Clone, PartialEq, prost::Message)]
struct NetIp {
    #[prost(bytes = "vec", tag = "1")]
    ip: Vec<u8>,
}

impl NetIp {
    fn address(&self) -> Option<IpAddr> {
        match self.ip.len() {
            4 => <[u8; 4]>::try_from(self.ip.as_slice()).ok().map(IpAddr::from),
            16 => <[u8; 16]>::try_from(self.ip.as_slice()).ok().map(IpAddr::from),
            _ => None,
        }
    }
}

/// A machine before it has a handle.
#[derive(Debug, PartialEq)]
struct Found {
    hostname: Option<String>,
    addresses: Vec<IpAddr>,
    role: MemberRole,
}

impl From<MemberSpec> for Found {
    fn from(spec: MemberSpec) -> Self {
        Self {
            addresses: spec.addresses.iter().filter_map(NetIp::address).collect(),
            hostname: Some(spec.hostname).filter(|name| !name.is_empty()),
            role: match spec.machine_type {
                1 | 2 => MemberRole::ControlPlane,
                3 => MemberRole::Worker,
                _ => MemberRole::Unknown,
            },
        }
    }
}

impl From<proto::EtcdMember> for Found {
    fn from(member: proto::EtcdMember) -> Self {
        Self {
            addresses: member.peer_urls.iter().filter_map(|url| host_of(url)).collect(),
            hostname: Some(member.hostname).filter(|name| !name.is_empty()),
            role: MemberRole::ControlPlane,
        }
    }
}

/// The address in a URL such as `https://10.5.0.2:2380` or `https://[fd00::1]:2380`.
fn host_of(url: &str) -> Option<IpAddr> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next()?,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host.parse().ok()
}

impl Target {
    /// The machines that cluster discovery knows.
    async fn members(&self) -> Result<Vec<Found>> {
        let request = cosi::ListRequest {
            namespace: "cluster".to_owned(),
            r#type: "Members.cluster.talos.dev".to_owned(),
            options: None,
        };
        let (mut stream, call) = self
            .call(&state::LIST, request, |request| async {
                StateClient::new(self.channel.clone())
                    .max_decoding_message_size(MAX_MESSAGE_SIZE)
                    .list(request)
                    .await
            })
            .await?;
        let mut members = Vec::new();
        loop {
            let item = match stream.message().await {
                Ok(None) => return Ok(members),
                Ok(Some(item)) => item,
                Err(status) => return Err(call.fail(status)),
            };
            let spec = item
                .resource
                .and_then(|resource| resource.spec)
                .unwrap_or_default();
            let spec = MemberSpec::decode(spec.proto_spec)
                .map_err(|error| call.malformed("a member cannot be read").with_source(error))?;
            members.push(spec.into());
        }
    }

    async fn etcd_members_found(&self) -> Result<Vec<Found>> {
        let request = proto::EtcdMemberListRequest { query_local: true };
        let message = self
            .single(&methods::ETCD_MEMBER_LIST, request, |request| async {
                self.machine().etcd_member_list(request).await
            })
            .await?;
        Ok(message.members.into_iter().map(Found::from).collect())
    }
}

impl Client {
    /// The machines of the cluster, sorted by role and name, from the best source that has any, and which one that was.
    ///
    /// Asked are, in this order: cluster discovery, which knows every machine and is on unless the machine
    /// configuration turns it off; etcd, which knows control plane nodes only; and the talosconfig's context, of which
    /// nobody knows whether it is complete. The next one is asked where a source has nothing, is not there, or is not
    /// for the role of this client. Whoever answers at the endpoints is asked, so the answer is as that node sees it.
    ///
    /// ```
    /// # use talos_client::{Client, config::Talosconfig};
    /// #
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = talos_testkit::SimCluster::builder().control_planes(3).workers(1).start().await?;
    /// # let client = Client::builder().talosconfig(Talosconfig::parse(cluster.talosconfig())?).build()?;
    /// let (members, source) = client.discover().await?;
    /// println!("{} machines, says {source:?}", members.len());
    /// for member in members {
    ///     println!("{:?} {:?}: {}", member.role, member.hostname, member.node.version().await?.tag());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call: at once where no endpoint can be reached, and the first error
    /// where no source has anything.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `cosi.resource.State/List` · talosctl get members · since Talos 1.7 or older · role os:reader · read-only
    pub async fn discover(&self) -> Result<(Vec<Member>, MemberSource)> {
        let target = self.target();
        let mut first: Option<Error> = None;
        let mut keep = |result: Result<Vec<Found>>| match result {
            Ok(found) => Ok(found),
            // Another source cannot be reached either.
            Err(error) if error.is_unreachable() || error.is_timeout() => Err(error),
            Err(error) => {
                tracing::debug!(%error, "a source of members does not answer");
                first.get_or_insert(error);
                Ok(Vec::new())
            }
        };
        for source in [MemberSource::Discovery, MemberSource::Etcd] {
            let found = keep(match source {
                MemberSource::Discovery => target.members().await,
                _ => target.etcd_members_found().await,
            })?;
            let members = self.with_handles(found);
            if !members.is_empty() {
                return Ok((members, source));
            }
        }
        let unknown = |node: Node| Member {
            addresses: node.name().as_str().parse().into_iter().collect(),
            node,
            hostname: None,
            role: MemberRole::Unknown,
        };
        let members: Vec<Member> = self.context_nodes().into_iter().map(unknown).collect();
        match first {
            Some(error) if members.is_empty() => Err(error),
            _ => Ok((members, MemberSource::Talosconfig)),
        }
    }

    /// Members without an address cannot be asked anything, so they are left out.
    fn with_handles(&self, found: Vec<Found>) -> Vec<Member> {
        let member = |found: Found| {
            let node = self.node(found.addresses.first()?.to_string()).ok()?;
            Some(Member {
                node,
                hostname: found.hostname,
                addresses: found.addresses,
                role: found.role,
            })
        };
        let mut members: Vec<Member> = found.into_iter().filter_map(member).collect();
        members.sort_by(|a, b| {
            let worker = |member: &Member| member.role != MemberRole::ControlPlane;
            (worker(a), &a.hostname, &a.addresses).cmp(&(worker(b), &b.hostname, &b.addresses))
        });
        members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_out_of_urls_and_bytes() {
        let v4: IpAddr = "10.5.0.2".parse().expect("an address");
        let v6: IpAddr = "fd00::1".parse().expect("an address");
        for (url, expected) in [
            ("https://10.5.0.2:2380", Some(v4)),
            ("https://10.5.0.2", Some(v4)),
            ("https://[fd00::1]:2380", Some(v6)),
            ("https://[fd00::1", Some(v6)),
            ("https://cp-1:2380", None),
            ("10.5.0.2:2380", None),
            ("", None),
        ] {
            assert_eq!(host_of(url), expected, "{url}");
        }
        assert_eq!(
            NetIp {
                ip: vec![10, 5, 0, 2]
            }
            .address(),
            Some(v4)
        );
        assert_eq!(NetIp { ip: vec![1, 2, 3] }.address(), None);
        let mut bytes = vec![0; 16];
        (bytes[0], bytes[15]) = (0xfd, 1);
        assert_eq!(NetIp { ip: bytes }.address(), Some(v6));
    }

    #[test]
    fn a_member_has_the_role_of_its_machine_type() {
        let role = |machine_type| {
            Found::from(MemberSpec {
                machine_type,
                ..Default::default()
            })
            .role
        };
        assert_eq!(role(0), MemberRole::Unknown);
        assert_eq!(
            (role(1), role(2)),
            (MemberRole::ControlPlane, MemberRole::ControlPlane)
        );
        assert_eq!((role(3), role(4)), (MemberRole::Worker, MemberRole::Unknown));
    }
}
