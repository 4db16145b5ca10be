//! Prints the Talos version of the node at `10.5.0.2`.

use talos_client::Client;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder()
        .endpoints(["10.5.0.2"])
        .ca_pem(std::fs::read("ca.crt")?)
        .client_certificate_pem(std::fs::read("client.crt")?, std::fs::read("client.key")?)
        .build()?;
    println!("{}", client.node("10.5.0.2")?.version().await?.tag());
    Ok(())
}
