//! Prints the Talos version of the node at `10.5.0.2`, with nothing but tonic and the stubs.

use talos_proto::machine::machine_service_client::MachineServiceClient;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let identity = Identity::from_pem(std::fs::read("client.crt")?, std::fs::read("client.key")?);
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(std::fs::read("ca.crt")?)).identity(identity);
    let channel = Endpoint::from_static("https://10.5.0.2:50000").tls_config(tls)?.connect_lazy();
    let reply = MachineServiceClient::new(channel).version(()).await?.into_inner();
    for version in reply.messages.into_iter().filter_map(|message| message.version) {
        println!("{}", version.tag);
    }
    Ok(())
}
