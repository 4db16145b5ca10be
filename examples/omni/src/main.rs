//! The machines of a cluster behind Omni, or any other endpoint that wants requests to be signed by a service account.
//!
//! ```text
//! cargo run -p omni
//! OMNI_SERVICE_ACCOUNT_KEY=… cargo run -p omni -- --talosconfig omni.yaml
//! OMNI_SERVICE_ACCOUNT_KEY=… OMNI_ENDPOINT=https://example.omni.siderolabs.io cargo run -p omni -- --cluster prod
//! ```
//!
//! Omni shows the key once, when the service account is made. There is no client certificate, and TLS is verified by
//! the system's roots: the signature on every call says who calls. The simulated cluster is behind an endpoint that
//! verifies signatures; with it, the program shows as well what becomes of signatures that are no good.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod machines;
mod place;

use std::{
    error::Error,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use clap::Parser;
use examples::chain;
use talos_client::{Client, ErrorKind, Origin, siderov1::SideroV1Config};

use place::{Place, Simulated};

/// Shows the machines of a cluster behind an endpoint that wants signed requests.
#[derive(Debug, Parser)]
#[command(name = "omni")]
struct Arguments {
    #[command(flatten)]
    place: place::Arguments,
    /// Ask these nodes, instead of those of the context, or all members of the cluster if it lists none
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    nodes: Vec<String>,
}

/// The service account of the simulated endpoint, and what its calls may do.
const ACCOUNT: &str = "reporter";
const ROLE: &str = "os:reader";

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}", chain(error.as_ref()));
            if let Some(advice) = error.downcast_ref().and_then(advice) {
                eprintln!("{advice}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Prints all machines; true if at least one answered.
async fn run(arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    let place = arguments.place.find().await?;
    let client = place.client(place.config.clone())?;
    println!("{}\n", place.title);
    let nodes = machines::nodes(&client, &arguments.nodes).await?;
    let answered = machines::print(nodes).await;
    if let Some(simulated) = &place.simulated {
        show_refusals(&place, simulated).await?;
    }
    Ok(answered)
}

/// What this program knows about an error that its user may not.
fn advice(error: &talos_client::Error) -> Option<&'static str> {
    match (error.kind(), error.origin()) {
        (ErrorKind::Unauthenticated, Origin::Local) => {
            Some("nothing was sent: there is no usable key to sign with")
        }
        (ErrorKind::Unauthenticated, _) => Some(
            "the signature was refused: is the service account still there, and is the clock of this machine right?",
        ),
        (ErrorKind::PermissionDenied, _) => {
            Some("the signature was accepted: what is missing is a role of the service account")
        }
        _ => None,
    }
}

/// Signatures that are no good, and what comes of them.
async fn show_refusals(place: &Place, simulated: &Simulated) -> Result<(), Box<dyn Error>> {
    println!("\nwhat is not accepted:\n");
    let behind = || SystemTime::now() - Duration::from_secs(10 * 60);
    let client = place.client(place.config.clone().clock(behind))?;
    show(simulated, "the clock is ten minutes behind", &client).await;

    // The same name, made by somebody else.
    let other = place::simulated_key(&simulated.elsewhere)?;
    let client = place.client(SideroV1Config::new().service_account_key(other))?;
    show(simulated, "the key is one of another Omni", &client).await;

    let client = place.client(place.config.clone())?;
    client.discover().await?;
    simulated.omni.revoke(ACCOUNT);
    show(simulated, "the service account is gone", &client).await;
    Ok(())
}

async fn show(simulated: &Simulated, title: &str, client: &Client) {
    println!("{title}");
    match client.discover().await {
        Ok(_) => println!("  accepted"),
        Err(error) => {
            println!("  {error}");
            println!("  {}", advice(&error).unwrap_or("not for its signature"));
        }
    }
    // No client is told as much.
    if let Some(refused) = simulated.omni.refused().last() {
        println!("  the endpoint's reason: {}", refused.problem);
    }
}
