//! Talosconfigs for programs and people who need less than an administrator.

use std::time::Duration;

use talos_proto::methods::by_path;

use crate::{
    Node, Role,
    config::{Context, Talosconfig},
    error::{Error, ErrorKind, Origin, Result},
    workflow::Run,
};

/// Talosconfigs with few roles, each for a program or a person.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `run`"]
pub struct RoleConfigs {
    node: Node,
    like: Context,
    wanted: Vec<(Vec<Role>, Duration)>,
}

/// A talosconfig of one context.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RoleConfig {
    /// What it may do.
    pub roles: Vec<Role>,
    /// The talosconfig. Its context is called as the node called it, such as `reader@CLUSTER`;
    /// [`Talosconfig::save_to`] writes it.
    pub talosconfig: Talosconfig,
}

impl RoleConfigs {
    /// Issued by this control plane node, for who reaches the cluster as this context does: its endpoints, nodes,
    /// cluster name and proxy are taken over, and nothing of its credentials.
    pub fn new(node: &Node, like: &Context) -> Self {
        let mut like = like.clone();
        (like.ca, like.crt, like.key, like.auth) = (None, None, None, None);
        Self {
            node: node.clone(),
            like,
            wanted: Vec::new(),
        }
    }

    /// One more, with these roles for this time. Certificates cannot be revoked, so give no more of either than it
    /// takes; [`least_role`] tells the roles.
    pub fn with(mut self, roles: impl IntoIterator<Item = Role>, lifetime: Duration) -> Self {
        self.wanted.push((roles.into_iter().collect(), lifetime));
        self
    }

    /// Asks for all of them, one after the other. Each is an item of progress when it is there, too.
    ///
    /// # Errors
    ///
    /// As for [`Node::generate_client_configuration`], and `Config` if the node's talosconfig cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing on the node remembers the certificates.
    pub fn run(self) -> Run<RoleConfig, Vec<RoleConfig>> {
        Run::new(|reporter| async move {
            let mut configs = Vec::new();
            for (roles, lifetime) in self.wanted {
                let issued = self.node.generate_client_configuration(roles.clone(), lifetime);
                let issued = issued.send().await?;
                let named = issued.talosconfig()?;
                let (name, _) = named.select(None)?;
                let mut talosconfig = Talosconfig::new();
                talosconfig.add(name, issued.renewed(&self.like))?;
                let config = RoleConfig { roles, talosconfig };
                reporter.report(config.clone());
                configs.push(config);
            }
            Ok(configs)
        })
    }
}

/// The least role with which all these RPCs can be called, each named as `/machine.MachineService/Logs` or
/// `machine.MachineService/Logs`.
///
/// The least powerful one of those that are enough for all; the administrator's is enough for everything.
///
/// ```
/// use talos_client::{Role, workflow::credentials::least_role};
///
/// let role = least_role(["machine.MachineService/EtcdSnapshot", "machine.MachineService/EtcdStatus"])?;
/// assert_eq!(role, Role::EtcdBackup);
/// assert_eq!(least_role(["machine.MachineService/Version"])?, Role::Reader);
/// # Ok::<_, talos_client::Error>(())
/// ```
///
/// # Errors
///
/// `InvalidInput` for an RPC that is not known, and where none is given.
pub fn least_role(methods: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Role> {
    /// The least powerful first; the impersonator is for nodes among themselves.
    const ORDER: [Role; 6] = [
        Role::ImageVerifier,
        Role::MetaWriter,
        Role::EtcdBackup,
        Role::Reader,
        Role::Operator,
        Role::Admin,
    ];
    let invalid = |text: String| Error::new(ErrorKind::InvalidInput, Origin::Local).with_message(text);
    let mut enough = ORDER.to_vec();
    let mut any = false;
    for method in methods {
        let method = method.as_ref();
        let path = format!("/{}", method.trim_start_matches('/'));
        let info = by_path(&path).ok_or_else(|| invalid(format!("there is no RPC {method:?}")))?;
        any = true;
        enough.retain(|role| *role == Role::Admin || info.roles.contains(role));
    }
    match enough.first() {
        Some(role) if any => Ok(*role),
        _ => Err(invalid("no RPC was named".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_role_is_enough_and_no_more() {
        let least = |methods: &[&str]| least_role(methods).expect("a role");
        assert_eq!(least(&["/machine.MachineService/Logs"]), Role::Reader);
        assert_eq!(
            least(&["machine.MachineService/Reboot", "machine.MachineService/Logs"]),
            Role::Operator
        );
        assert_eq!(least(&["machine.MachineService/EtcdSnapshot"]), Role::EtcdBackup);
        assert_eq!(
            least(&[
                "machine.MachineService/EtcdSnapshot",
                "machine.MachineService/Reset"
            ]),
            Role::Admin
        );
        for unknown in [&["machine.MachineService/Frob"][..], &[]] {
            let error = least_role(unknown).expect_err("unknown");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }
}
