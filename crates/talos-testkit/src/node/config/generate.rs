//! The configuration that a machine of a simulated cluster has from the beginning.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::node::{ClusterFacts, Identity, MachineRole};
use crate::pki::CertificateAuthority;
use crate::rng::SimRng;
use crate::talosconfig::scalar;

/// What all machines of a cluster have in their configurations.
pub(crate) struct ConfigSecrets {
    ca: String,
    key: String,
    token: String,
    cluster_id: String,
    cluster_secret: String,
    endpoint: String,
}

impl ConfigSecrets {
    pub(crate) fn new(authority: &CertificateAuthority, control_plane: &str, rng: &SimRng) -> Self {
        let drawn = |purpose: &str, digits| rng.fork(purpose).hex(digits);
        Self {
            ca: STANDARD.encode(authority.certificate_pem()),
            key: STANDARD.encode(authority.key_pem()),
            token: format!("{}.{}", drawn("token id", 6), drawn("token secret", 16)),
            cluster_id: STANDARD.encode(drawn("cluster id", 32)),
            cluster_secret: STANDARD.encode(drawn("cluster secret", 32)),
            endpoint: format!("https://{control_plane}:6443"),
        }
    }
}

impl std::fmt::Debug for ConfigSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigSecrets")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// The configuration of the machine called `identity`.
pub(crate) fn config_of(identity: &Identity, facts: &ClusterFacts) -> String {
    let secrets = &facts.secrets;
    // Only control plane nodes can sign.
    let key = match identity.role {
        MachineRole::ControlPlane => secrets.key.as_str(),
        MachineRole::Worker => "\"\"",
    };
    let etcd = match identity.role {
        MachineRole::ControlPlane => "    etcd: {}\n",
        MachineRole::Worker => "",
    };
    format!(
        "version: v1alpha1\n\
         machine:\n\
         \x20   type: {kind}\n\
         \x20   token: {token}\n\
         \x20   ca:\n\
         \x20       crt: {ca}\n\
         \x20       key: {key}\n\
         \x20   certSANs: []\n\
         \x20   kubelet: {{}}\n\
         \x20   network:\n\
         \x20       hostname: {hostname}\n\
         \x20   install:\n\
         \x20       disk: /dev/sda\n\
         \x20       image: ghcr.io/siderolabs/installer:{tag}\n\
         \x20       wipe: false\n\
         cluster:\n\
         \x20   id: {id}\n\
         \x20   secret: {secret}\n\
         \x20   controlPlane:\n\
         \x20       endpoint: {endpoint}\n\
         \x20   clusterName: {cluster}\n\
         \x20   network:\n\
         \x20       dnsDomain: cluster.local\n\
         \x20       podSubnets:\n\
         \x20           - 10.244.0.0/16\n\
         \x20       serviceSubnets:\n\
         \x20           - 10.96.0.0/12\n\
         {etcd}",
        kind = identity.role.as_str(),
        token = secrets.token,
        ca = secrets.ca,
        hostname = scalar(&identity.hostname),
        tag = crate::node::stats::DEFAULT_TAG,
        id = secrets.cluster_id,
        secret = secrets.cluster_secret,
        endpoint = secrets.endpoint,
        cluster = scalar(&facts.name),
    )
}
