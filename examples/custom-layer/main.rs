//! Layers of one's own around calls and around their attempts.
//!
//! The outer one adds a header and measures each call as the program sees it; the inner one counts what is really sent. One of
//! the simulated nodes fails its first two calls, so that the two differ.
//!
//! ```text
//! cargo run --example custom-layer
//! cargo run --example custom-layer -- --talosconfig ~/.talos/config
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

mod layer;

use std::error::Error;

use clap::Parser;
use examples::ClusterArguments;
use layer::{Attempts, Times};
use talos_testkit::{Code, SimCluster, fault::CallFault};

/// Measures calls and counts attempts by layers of its own.
#[derive(Debug, Parser)]
#[command(name = "custom-layer")]
struct Arguments {
    #[command(flatten)]
    cluster: ClusterArguments,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let (times, attempts) = (Times::default(), Attempts::default());
    let (for_calls, for_attempts) = (times.layer(), attempts.layer());
    let cluster = arguments
        .cluster
        .open(SimCluster::builder().control_planes(3), move |client| {
            client.call_layer(for_calls).attempt_layer(for_attempts)
        })
        .await?;
    if let Some(simulated) = &cluster.simulated {
        let flaky = CallFault::on_node("10.5.0.3").method("Version").calls(..=2);
        simulated.inject(flaky.status(Code::Unavailable, "flaky"))?;
    }

    for node in &cluster.nodes {
        match node.version().await {
            Ok(version) => println!("{}: {}", node.name(), version.tag()),
            Err(error) => println!("{}: {error:#}", node.name()),
        }
    }

    println!();
    for call in times.all() {
        println!("call     {} of {}: {:?}", call.method, call.node, call.time);
    }
    for (method, count) in attempts.all() {
        println!("attempts {method}: {count}");
    }
    Ok(())
}
