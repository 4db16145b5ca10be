//! What a machine makes of its configuration.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::machine_config::MachineConfig;
use crate::node::resources::{special, specs};
use crate::node::{Identity, MachineRole, Node, boot};

/// The parts of a configuration that change what the simulator shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Derived {
    pub(super) role: Option<MachineRole>,
    /// Hostname with its domain, if the configuration names one.
    hostname: Option<String>,
    time_server: Option<String>,
    cluster: Option<String>,
    labels: Vec<(String, String)>,
    pub(super) etcd: bool,
    /// Names and addresses in the server certificate, beside those that every machine has there.
    sans: Vec<String>,
}

impl Derived {
    pub(super) fn of(config: &MachineConfig) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let mut sans = config.cert_sans();
        sans.retain(|name| name != "127.0.0.1");
        Self {
            role: config.role(),
            hostname: owned(config.hostname()),
            time_server: owned(config.time_server()),
            cluster: owned(config.cluster_name()),
            labels: config.node_labels(),
            etcd: config.has_etcd(),
            sans,
        }
    }
}

impl Node {
    /// The machine's names and role as its configuration has them.
    pub(crate) fn current_identity(&self) -> Identity {
        let derived = self.configuration.derived.lock();
        let mut identity = Identity::clone(&self.identity);
        if let Some(role) = derived.role {
            identity.role = role;
        }
        if let Some(named) = &derived.hostname {
            let (hostname, domain) = named.split_once('.').unwrap_or((named, ""));
            hostname.clone_into(&mut identity.hostname);
            if !domain.is_empty() {
                domain.clone_into(&mut identity.domain);
            }
        }
        identity
    }

    /// Lets a changed configuration show everywhere.
    pub(super) fn take_over(self: &Arc<Self>) {
        self.derive();
        self.publish_config();
    }

    /// Takes over what the active configuration says, without a word in the resources about the
    /// configuration itself.
    pub(super) fn derive(&self) {
        let config = self.configuration.active();
        let derived = config.as_deref().map(Derived::of).unwrap_or_default();
        let before = std::mem::replace(&mut *self.configuration.derived.lock(), derived.clone());
        let complete = config.is_some_and(|config| config.legacy().is_some());
        self.configuration.complete.send_replace(complete);
        if before == derived {
            return;
        }
        if before.time_server != derived.time_server {
            self.clock.follow(derived.time_server.clone());
        }
        if before.hostname != derived.hostname {
            self.renamed(&before);
        }
        if before.sans != derived.sans || before.hostname != derived.hostname {
            let mut names = derived.sans.clone();
            names.extend(derived.hostname);
            self.certify(names);
        }
    }

    fn renamed(&self, before: &Derived) {
        let old = before.hostname.as_deref().unwrap_or(&self.identity.hostname);
        let old = old.split('.').next().unwrap_or_default();
        self.cluster.members.remove(old);
        boot::write_names(self);
        self.resources
            .put(specs::hostname_status(&self.current_identity()));
        self.publish_addresses();
        self.publish_version();
    }

    /// Puts the resources that follow from the configuration.
    pub(super) fn publish_derived(&self) {
        let derived = self.configuration.derived.lock().clone();
        self.resources.put(special::machine_type(derived.role));
        if derived.role.is_some() {
            let cluster = derived.cluster.as_deref().unwrap_or(&self.cluster.name);
            self.resources.put(special::cluster_info(cluster));
            self.resources.put(special::nodename(&self.current_identity()));
        }
        let labels = self.resources.collection("k8s", special::NODE_LABEL.name);
        let wanted: BTreeSet<_> = derived.labels.iter().map(|(key, _)| key.as_str()).collect();
        for old in labels.snapshot().resources {
            let id = old.metadata.as_ref().map_or("", |metadata| metadata.id.as_str());
            if !wanted.contains(id) {
                labels.remove(id);
            }
        }
        for (key, value) in &derived.labels {
            self.resources.put(special::node_label(key, value));
        }
    }
}
