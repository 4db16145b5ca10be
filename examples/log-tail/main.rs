//! The log of a service on all nodes of a cluster, as it is written.
//!
//! Survives reboots of nodes and the loss of endpoints; where lines are missing it says so.
//!
//! ```text
//! cargo run --example log-tail
//! cargo run --example log-tail -- --talosconfig ~/.talos/config kubelet
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::error::Error;

use clap::Parser;
use examples::ClusterArguments;
use talos_client::{Nodes, api::logs::LogItem};
use talos_testkit::SimCluster;

/// Follows the log of a service on all nodes.
#[derive(Debug, Parser)]
#[command(name = "log-tail")]
struct Arguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The service
    #[arg(default_value = "kubelet")]
    service: String,
    /// Begin with so many of the last lines of each node
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    tail: u32,
    /// End after so many lines; without it, a simulated cluster ends when it has shown what it can
    #[arg(long, value_name = "COUNT")]
    lines: Option<usize>,
}

/// How many lines simulated nodes write while they are looked at, and how these begin.
const SCENES: usize = 6;
const SCENE: &str = "simulated line";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let simulated = SimCluster::builder().control_planes(3);
    let cluster = arguments.cluster.open(simulated, |client| client).await?;
    let service = &arguments.service;

    let nodes: Nodes = cluster.nodes.iter().cloned().collect();
    let mut lines = nodes.streams(|node| async move {
        let log = node.logs(service).tail_lines(arguments.tail);
        Ok::<_, talos_client::Error>(log.reattach())
    });

    let mut scenes = cluster.simulated.as_ref().map(|cluster| scenes(cluster, service));
    scenes.iter_mut().flatten().next();
    let (mut shown, mut simulated) = (0, 0);
    while let Some((node, item)) = lines.next_item().await {
        match item {
            Ok(LogItem::Line(line)) => {
                println!("{node}: {line}");
                shown += 1;
                simulated += usize::from(line.starts_with(SCENE));
            }
            Ok(LogItem::Gap(gap)) => println!("{node}: -- lines may be missing: {} --", gap.reason),
            Ok(_) => {}
            // The others go on.
            Err(error) => println!("{node}: {error:#}"),
        }
        if arguments.lines.is_some_and(|lines| shown >= lines) {
            break;
        }
        // A simulated cluster writes the next line when one was shown, and ends when all of its own were.
        if let Some(scenes) = &mut scenes {
            scenes.next();
            if simulated == SCENES {
                break;
            }
        }
    }
    Ok(())
}

/// Lines that simulated nodes write, one with each step.
fn scenes(cluster: &SimCluster, service: &str) -> impl Iterator<Item = ()> {
    let service = service.to_owned();
    let nodes = [cluster.node(0), cluster.node(1), cluster.node(2)];
    (1..=SCENES)
        .zip(nodes.into_iter().cycle())
        .map(move |(number, node)| {
            node.append_log(&service, &format!("{SCENE} {number} of {}", node.hostname()));
        })
}
