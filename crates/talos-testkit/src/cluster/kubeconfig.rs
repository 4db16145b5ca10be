//! The administrator's kubeconfig of the simulated cluster.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::pki::{CertificateAuthority, ClientCert, ClientCertSpec, KeyAlgorithm, PkiError};
use crate::talosconfig::scalar;

/// How long the client certificate in it is valid.
const YEAR: Duration = Duration::from_secs(8_760 * 3_600);

/// The administrator's kubeconfig.
pub(super) fn render(
    cluster: &str,
    server: &str,
    authority: &CertificateAuthority,
) -> Result<String, PkiError> {
    let spec = ClientCertSpec::new(["system:masters"])
        .common_name("admin")
        .key_algorithm(KeyAlgorithm::EcdsaP256)
        .valid_for(YEAR);
    let admin = authority.issue_client(&spec)?;
    Ok(write(
        cluster,
        "admin",
        server,
        &authority.certificate_pem(),
        &admin,
    ))
}

/// A kubeconfig laid out as Talos writes it.
pub(crate) fn write(cluster: &str, user: &str, server: &str, ca_pem: &str, client: &ClientCert) -> String {
    let cluster_name = scalar(cluster);
    let user = scalar(&format!("{user}@{cluster}"));
    let ca = STANDARD.encode(ca_pem);
    let certificate = STANDARD.encode(&client.certificate_pem);
    let key = STANDARD.encode(&client.key_pem);
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: {cluster_name}\n\
         \x20 cluster:\n\
         \x20   server: {server}\n\
         \x20   certificate-authority-data: {ca}\n\
         users:\n\
         - name: {user}\n\
         \x20 user:\n\
         \x20   client-certificate-data: {certificate}\n\
         \x20   client-key-data: {key}\n\
         contexts:\n\
         - context:\n\
         \x20   cluster: {cluster_name}\n\
         \x20   namespace: default\n\
         \x20   user: {user}\n\
         \x20 name: {user}\n\
         current-context: {user}\n"
    )
}
