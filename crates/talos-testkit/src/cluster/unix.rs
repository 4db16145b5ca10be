//! The socket that a node's `machined` has for programs on the machine.

use std::path::Path;
use std::sync::Arc;

use talos_proto::common::{PemEncodedCertificate, PemEncodedCertificateAndKey};
use talos_proto::definitions::runtime::ApiServiceConfigSpec;
use talos_proto::definitions::secrets::ApiCertsSpec;

use super::SimNode;
use crate::apid::{Apid, listener};
use crate::error::SimError;
use crate::node::resources::handle::SimResource;

impl SimNode {
    /// Serves the API of the node's `machined` on a Unix socket at `path`, as Talos does for programs on the
    /// machine: HTTP/2 without TLS, roles from `talos-role` metadata alone, `node` and `nodes` ignored. A real
    /// `apid` can be put in front of it; the resources that it reads (`ApiCertificates`, `APIServiceConfigs`)
    /// are there. The socket is served until the node goes down.
    ///
    /// # Errors
    ///
    /// [`SimError::Socket`] if something is at `path`, or nothing can be; [`SimError::Stopped`] if the node is
    /// down.
    pub fn serve_unix(&self, path: impl AsRef<Path>) -> Result<(), SimError> {
        let path = path.as_ref();
        let _runtime = self.network.runtime.enter();
        let listener = tokio::net::UnixListener::bind(path).map_err(|source| SimError::Socket {
            path: path.to_owned(),
            source,
        })?;
        let life = self.machine().life().ok_or(SimError::Stopped)?;
        self.put_what_apid_reads()?;
        let apid = Apid {
            network: Arc::clone(&self.network),
            machine: Arc::clone(self.machine()),
        };
        self.network.tasks.spawn_on(
            listener::accept_local(apid, listener, life),
            &self.network.runtime,
        );
        Ok(())
    }

    fn put_what_apid_reads(&self) -> Result<(), SimError> {
        let machine = self.machine();
        let tls = &self.network.tls;
        let server = tls.issue_pem(&machine.identity)?;
        let ca = tls.authority.certificate_pem();
        let client = match self.is_control_plane() {
            true => Some(
                tls.authority
                    .issue_client(&crate::pki::ClientCertSpec::new(["os:impersonator"]))?,
            ),
            false => None,
        };
        let pair = |certificate: &str, key: &str| PemEncodedCertificateAndKey {
            crt: certificate.to_owned().into(),
            key: key.to_owned().into(),
        };
        let certificates = ApiCertsSpec {
            client: client
                .as_ref()
                .map(|client| pair(&client.certificate_pem, &client.key_pem)),
            server: Some(pair(&server.0, &server.1)),
            accepted_c_as: vec![PemEncodedCertificate {
                crt: ca.clone().into(),
            }],
            skip_verifying_client_cert: false,
        };
        let resources = self.resources();
        let indented = |pem: &str| pem.replace('\n', "\n        ");
        let yaml = format!(
            "acceptedCAs:\n    - crt: |-\n        {}\nserver:\n    crt: |-\n        {}\n    key: |-\n        {}\n",
            indented(ca.trim_end()),
            indented(server.0.trim_end()),
            indented(server.1.trim_end())
        );
        resources.put(
            SimResource::new("ApiCertificates.secrets.talos.dev", "api")
                .owner("secrets.APIController")
                .proto(&certificates)
                .yaml(yaml),
        );
        let config = ApiServiceConfigSpec {
            listen_address: ":50000".to_owned(),
            ..ApiServiceConfigSpec::default()
        };
        resources.put(
            SimResource::new("APIServiceConfigs.runtime.talos.dev", "apid")
                .owner("runtime.APIServiceConfigController")
                .proto(&config)
                .yaml(
                    "listenAddress: :50000\nnodeRoutingDisabled: false\nreadonlyRoleMode: false\n\
                     skipVerifyingClientCert: false\n",
                ),
        );
        Ok(())
    }
}
