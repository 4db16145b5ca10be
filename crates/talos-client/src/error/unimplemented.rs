//! Why a node does not implement a call.

use std::fmt;

use talos_proto::methods::{MethodInfo, Release};

/// Why a server answered `UNIMPLEMENTED`: not only nodes that are too old do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unimplemented {
    /// The server does not know the call: it is older than the release that brought it.
    TooOld {
        /// That release; `None` for calls that every release since 1.7 has.
        since: Option<Release>,
    },
    /// The server does not know the call any more.
    Removed {
        /// The release that removed it.
        in_release: Release,
    },
    /// The node is a worker, and only control plane nodes can do it.
    ControlPlaneOnly,
    /// The node has no machine configuration yet, so it does not know whether it is a control plane node.
    NoMachineType,
    /// The node is in maintenance mode, and of a release that can do little there (1.12 or older).
    MaintenanceMode,
    /// The node runs as an agent, which cannot do it.
    AgentMode,
    /// Something in the request is not implemented; the message says what.
    Request,
}

impl Unimplemented {
    /// What the text of the status says (Talos v1.14, `internal/app/machined/internal/server/v1alpha1`; v1.12,
    /// `internal/app/maintenance`; grpc-go's server for methods that it does not know).
    pub(super) fn of_status(method: Option<&MethodInfo>, release: Option<Release>, message: &str) -> Self {
        if message.starts_with("unknown service ") || message.starts_with("unknown method ") {
            let since = method.and_then(|method| method.since);
            let removed = method.and_then(|method| method.removed_in);
            return match (removed, release) {
                (Some(in_release), Some(release)) if in_release <= release => Self::Removed { in_release },
                // Of a node whose release is not known, the table alone has to decide.
                (Some(in_release), None) if since.is_none() => Self::Removed { in_release },
                _ => Self::TooOld { since },
            };
        }
        if message.ends_with("is only available on control plane nodes") {
            return Self::ControlPlaneOnly;
        }
        if message.starts_with("machine type is not set") {
            return Self::NoMachineType;
        }
        if message.ends_with("in agent mode") {
            return Self::AgentMode;
        }
        let maintenance = message.ends_with("in maintenance mode")
            || message.ends_with("in the maintenance mode")
            || (message.starts_with("method ") && message.ends_with(" not implemented"));
        if maintenance {
            return Self::MaintenanceMode;
        }
        Self::Request
    }
}

impl fmt::Display for Unimplemented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooOld { since: Some(since) } => {
                write!(f, "the server is too old, Talos has this call since {since}")
            }
            Self::TooOld { since: None } => f.write_str("the server does not know this call"),
            Self::Removed { in_release } => write!(f, "Talos {in_release} removed this call"),
            Self::ControlPlaneOnly => f.write_str("the node is not a control plane node"),
            Self::NoMachineType => f.write_str("the node has no machine configuration yet"),
            Self::MaintenanceMode => f.write_str("the node is in maintenance mode"),
            Self::AgentMode => f.write_str("the node runs as an agent"),
            Self::Request => f.write_str("the node cannot do what the request asks for"),
        }
    }
}

#[cfg(test)]
mod tests {
    use talos_proto::methods::machine::{lvm_service, machine_service};

    use super::*;

    #[test]
    fn texts_of_the_facts_are_understood() {
        let lvm = &lvm_service::VOLUME_GROUP_REMOVE;
        let bootstrap = &machine_service::BOOTSTRAP;
        let upgrade = &machine_service::UPGRADE;
        let (old, new) = (Release::new(1, 12), Release::new(1, 18));
        let cases = [
            (
                lvm,
                None,
                "unknown service machine.LVMService",
                Unimplemented::TooOld {
                    since: Some(Release::new(1, 14)),
                },
            ),
            (
                bootstrap,
                Some(old),
                "unknown method Bootstrap for service machine.MachineService",
                Unimplemented::TooOld { since: None },
            ),
            (
                upgrade,
                Some(new),
                "unknown method Upgrade for service machine.MachineService",
                Unimplemented::Removed { in_release: new },
            ),
            (
                upgrade,
                None,
                "unknown method Upgrade for service machine.MachineService",
                Unimplemented::Removed { in_release: new },
            ),
            (
                upgrade,
                Some(old),
                "unknown method Upgrade for service machine.MachineService",
                Unimplemented::TooOld { since: None },
            ),
            (
                bootstrap,
                None,
                "bootstrap is only available on control plane nodes",
                Unimplemented::ControlPlaneOnly,
            ),
            (
                bootstrap,
                None,
                "machine type is not set, cannot use bootstrap API",
                Unimplemented::NoMachineType,
            ),
            (
                upgrade,
                None,
                "API is not implemented in agent mode",
                Unimplemented::AgentMode,
            ),
            (
                upgrade,
                None,
                "API is not implemented in maintenance mode",
                Unimplemented::MaintenanceMode,
            ),
            (
                upgrade,
                None,
                "client configuration (talosconfig) can't be generated in the maintenance mode",
                Unimplemented::MaintenanceMode,
            ),
            (
                upgrade,
                None,
                "method ServiceList not implemented",
                Unimplemented::MaintenanceMode,
            ),
            (
                upgrade,
                None,
                "the REBOOT mode is not supported, please use AUTO or NO_REBOOT modes instead",
                Unimplemented::Request,
            ),
            (
                upgrade,
                None,
                "bootstrap contents is not implemented for resource watch",
                Unimplemented::Request,
            ),
        ];
        for (method, release, message, expected) in cases {
            let found = Unimplemented::of_status(Some(method), release, message);
            assert_eq!(found, expected, "{message}");
        }
    }
}
