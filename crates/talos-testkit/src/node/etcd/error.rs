//! What etcd says when it does not do what it was asked for.

use std::fmt;
use std::net::IpAddr;

/// Why etcd does not do what it was asked for, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EtcdError {
    /// The member that was asked does not run.
    Down(IpAddr),
    /// Too few members run.
    TimedOut,
    NotFound,
    /// Without the member there would be no quorum.
    Unhealthy,
    /// There is nobody to hand over to.
    OnlyMember,
    InvalidDowngradeTarget,
    DowngradeInProgress,
    NoDowngrade,
}

impl fmt::Display for EtcdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Down(address) => {
                let socket = std::net::SocketAddr::from((*address, 2379));
                return write!(
                    f,
                    "connection error: desc = \"transport: Error while dialing: dial tcp {socket}: connect: \
                     connection refused\""
                );
            }
            Self::TimedOut => "etcdserver: request timed out",
            Self::NotFound => "etcdserver: member not found",
            Self::Unhealthy => "etcdserver: unhealthy cluster",
            Self::OnlyMember => "cannot forfeit leadership, only one member",
            Self::InvalidDowngradeTarget => "etcdserver: invalid downgrade target version",
            Self::DowngradeInProgress => "etcdserver: cluster has a downgrade job in progress",
            Self::NoDowngrade => "etcdserver: no inflight downgrade job",
        })
    }
}
