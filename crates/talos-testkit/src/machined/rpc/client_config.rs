//! Credentials for further clients.

use std::time::Duration;

use talos_proto::machine::{
    GenerateClientConfiguration, GenerateClientConfigurationRequest, GenerateClientConfigurationResponse,
};
use tonic::Status;

use super::Call;
use crate::pki::ClientCertSpec;
use crate::talosconfig::Talosconfig;

pub(in crate::machined) async fn generate_client_configuration(
    call: Call,
    request: GenerateClientConfigurationRequest,
) -> Result<GenerateClientConfigurationResponse, Status> {
    call.control_plane_only("generate client configuration")?;
    let ttl = request.crt_ttl.and_then(|ttl| Duration::try_from(ttl).ok());
    let Some(ttl) = ttl.filter(|ttl| !ttl.is_zero()) else {
        return Err(Status::invalid_argument("crt_ttl should be positive"));
    };
    let cluster = &call.node.cluster;
    let spec = ClientCertSpec::new(&request.roles).valid_for(ttl);
    let client = cluster
        .authority
        .issue_client(&spec)
        .map_err(|error| Status::unknown(error.to_string()))?;
    let context = match request.roles.as_slice() {
        [role] => format!("{}@{}", role.strip_prefix("os:").unwrap_or(role), cluster.name),
        _ => cluster.name.clone(),
    };
    let ca_pem = cluster.authority.certificate_pem();
    let talosconfig = Talosconfig {
        context: &context,
        endpoints: &[],
        nodes: &[],
        ca_pem: &ca_pem,
        client: &client,
    };
    let message = GenerateClientConfiguration {
        metadata: None,
        talosconfig: talosconfig.render().into(),
        ca: ca_pem.into(),
        crt: client.certificate_pem.into(),
        key: client.key_pem.into(),
    };
    Ok(GenerateClientConfigurationResponse {
        messages: vec![message],
    })
}
