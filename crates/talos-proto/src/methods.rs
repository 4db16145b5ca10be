//! What every RPC is like: its path, how it streams, whether it may be repeated, who may call it, and since
//! and until which Talos release it exists.
//!
//! The table is always compiled, whatever features are on, and needs neither prost nor tonic. Retry policies,
//! error hints and documentation read it. There is a constant per RPC, in a module per service:
//!
//! ```
//! use talos_proto::methods::machine::machine_service;
//! use talos_proto::methods::{Safety, by_path};
//!
//! const REBOOT: &str = machine_service::REBOOT.path;
//! assert_eq!(REBOOT, "/machine.MachineService/Reboot");
//!
//! let method = by_path(REBOOT).ok_or("unknown RPC")?;
//! assert_eq!(method.safety, Safety::Unsafe);
//! # Ok::<_, &str>(())
//! ```

mod release;
mod role;
#[rustfmt::skip]
#[path = "generated/methods.rs"]
mod table;

use std::fmt;

pub use release::{ParseReleaseError, Release};
pub use role::{ParseRoleError, Role};
pub use table::*;

/// Everything known about one RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MethodInfo {
    /// Full name of the service, such as `machine.MachineService`.
    pub service: &'static str,
    /// Name of the RPC within its service, such as `Version`.
    pub name: &'static str,
    /// Path of the HTTP/2 request, such as `/machine.MachineService/Version`.
    pub path: &'static str,
    /// Which sides send a stream of messages.
    pub streaming: Streaming,
    /// Whether a call may be repeated when its outcome is unknown.
    pub safety: Safety,
    /// Roles outside maintenance mode: any one of them is enough.
    ///
    /// Empty where roles do not apply, that is where [`served_by`](Self::served_by) is not
    /// [`ServedBy::Apid`].
    pub roles: &'static [Role],
    /// Whether only control plane nodes implement it; others answer `UNIMPLEMENTED`.
    pub control_plane_only: bool,
    /// What a caller without a client certificate gets from a node in maintenance mode.
    pub maintenance: Maintenance,
    /// Who serves it.
    pub served_by: ServedBy,
    /// Talos release that introduced it; `None` if all releases since 1.7 have it.
    pub since: Option<Release>,
    /// Whether new code should use something else.
    pub deprecated: bool,
    /// Talos release that removes it, if that is announced.
    pub removed_in: Option<Release>,
    /// What to call instead, in order, as `service/name`; empty unless it is deprecated.
    pub replacement: &'static [&'static str],
    /// Whether the deprecated `nodes` header (one request, several nodes) is accepted.
    pub aggregatable: bool,
}

impl MethodInfo {
    /// Whether Talos `release` has this RPC, as far as is known.
    ///
    /// Releases before 1.7 are not covered by the table and count like 1.7.
    #[must_use]
    pub fn available_in(&self, release: Release) -> bool {
        self.since.is_none_or(|since| since <= release)
            && self.removed_in.is_none_or(|removed| release < removed)
    }
}

/// The full name, such as `machine.MachineService/Version`.
impl fmt::Display for MethodInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.name)
    }
}

/// Which sides of an RPC send a stream of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Streaming {
    /// One request, one response.
    Unary,
    /// A stream of requests, one response.
    Client,
    /// One request, a stream of responses.
    Server,
    /// Streams in both directions.
    Bidirectional,
}

impl Streaming {
    /// Whether the caller sends a stream, which nobody can replay for it.
    #[must_use]
    pub const fn client_streams(self) -> bool {
        matches!(self, Self::Client | Self::Bidirectional)
    }

    /// Whether the response is a stream.
    #[must_use]
    pub const fn server_streams(self) -> bool {
        matches!(self, Self::Server | Self::Bidirectional)
    }
}

/// What a client may do when it does not know whether a call took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Safety {
    /// Changes nothing on the node: repeat it freely.
    ReadOnly,
    /// Repeating the same request ends in the same state, does no harm and gets the same kind of answer.
    Idempotent,
    /// Anything else: never send it twice.
    Unsafe,
}

impl Safety {
    /// Whether a call may be repeated after an unknown outcome.
    #[must_use]
    pub const fn may_repeat(self) -> bool {
        matches!(self, Self::ReadOnly | Self::Idempotent)
    }
}

/// What a caller without a client certificate gets from a node in maintenance mode (Talos 1.13 and newer).
///
/// A caller that comes in through SideroLink is an administrator there and gets more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Maintenance {
    /// The call is carried out.
    Allowed,
    /// `PERMISSION_DENIED`.
    Denied,
    /// `UNIMPLEMENTED`, because it takes a control plane node.
    Unimplemented,
    /// Nobody listens.
    NotServed,
}

/// Which program serves an RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServedBy {
    /// The API of every node, port 50000, authorized by [roles](Role).
    Apid,
    /// The certificate service of control plane nodes, port 50001, authorized by the machine token.
    Trustd,
    /// The image builder; no node serves it.
    Imager,
}

/// Finds an RPC by the path of its HTTP/2 request, such as `/machine.MachineService/Version`.
#[must_use]
pub fn by_path(path: &str) -> Option<&'static MethodInfo> {
    let index = METHODS.binary_search_by(|method| method.path.cmp(path)).ok()?;
    METHODS.get(index)
}

/// Finds an RPC by the full name of its service and its own name.
#[must_use]
pub fn lookup(service: &str, name: &str) -> Option<&'static MethodInfo> {
    METHODS
        .iter()
        .find(|method| method.service == service && method.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_path_and_by_its_names() {
        for method in METHODS {
            assert_eq!(by_path(method.path), Some(method));
            assert_eq!(lookup(method.service, method.name), Some(method));
            assert_eq!(method.path, format!("/{method}"));
        }
        assert_eq!(by_path("/machine.MachineService/"), None);
        assert_eq!(by_path("machine.MachineService/Version"), None);
        assert_eq!(by_path("/machine.MachineService/GenerateConfiguration"), None);
        assert_eq!(lookup("machine.MachineService", "Nothing"), None);
    }

    #[test]
    fn rows_are_unique() {
        assert!(
            METHODS.windows(2).all(|pair| pair[0].path < pair[1].path),
            "sorted without duplicates"
        );
    }

    #[test]
    fn names_of_replacements_exist_and_are_not_deprecated_themselves() {
        for method in METHODS {
            assert_eq!(method.deprecated, !method.replacement.is_empty(), "{method}");
            for replacement in method.replacement {
                let found = by_path(&format!("/{replacement}"));
                assert!(
                    found.is_some_and(|found| !found.deprecated),
                    "{method} -> {replacement}"
                );
            }
        }
    }

    #[test]
    fn roles_apply_exactly_where_apid_serves() {
        for method in METHODS {
            assert_eq!(
                method.roles.is_empty(),
                method.served_by != ServedBy::Apid,
                "{method}"
            );
            assert_eq!(
                method.maintenance == Maintenance::NotServed,
                method.served_by != ServedBy::Apid,
                "{method}"
            );
        }
    }

    #[test]
    fn a_stream_from_the_client_is_never_safe_to_repeat() {
        for method in METHODS.iter().filter(|method| method.streaming.client_streams()) {
            assert_eq!(method.safety, Safety::Unsafe, "{method}");
        }
    }

    #[test]
    fn everybody_who_may_change_a_node_is_more_than_a_reader() {
        for method in METHODS.iter().filter(|method| method.safety != Safety::ReadOnly) {
            assert!(!method.roles.contains(&Role::Reader), "{method}");
        }
    }

    #[test]
    fn actions_that_end_in_a_reboot_or_loss_are_unsafe() {
        use machine::{lifecycle_service, machine_service};
        for method in [
            machine_service::APPLY_CONFIGURATION,
            machine_service::BOOTSTRAP,
            machine_service::REBOOT,
            machine_service::RESET,
            machine_service::ROLLBACK,
            machine_service::SHUTDOWN,
            machine_service::UPGRADE,
            lifecycle_service::INSTALL,
            lifecycle_service::UPGRADE,
            storage::storage_service::BLOCK_DEVICE_WIPE,
        ] {
            assert_eq!(method.safety, Safety::Unsafe, "{method}");
        }
    }

    #[test]
    fn availability_follows_the_release() {
        let upgrade = machine::machine_service::UPGRADE;
        assert!(upgrade.available_in(Release::new(1, 7)) && upgrade.available_in(Release::new(1, 17)));
        assert!(!upgrade.available_in(Release::new(1, 18)));
        let pull = machine::image_service::PULL;
        assert!(!pull.available_in(Release::new(1, 12)) && pull.available_in(Release::new(1, 13)));
    }
}
