//! Shows every node of a cluster: version, stage, services, memory, load and the last log lines.
//!
//! Without arguments it starts a simulated cluster in this process and looks at that. With a talosconfig it
//! looks at a real one:
//!
//! ```text
//! cargo run --example quickstart
//! cargo run --example quickstart -- --talosconfig ~/.talos/config --nodes 10.5.0.2,10.5.0.3
//! ```
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod report;

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::Parser;
use futures_util::{StreamExt, stream};
use report::{Paint, Report};
use talos_client::{Client, Node, config::Talosconfig};
use talos_testkit::SimCluster;

/// How many nodes are asked at the same time.
const CONCURRENCY: usize = 16;

/// Shows version, stage, services, memory and log lines of every node of a Talos cluster.
#[derive(Debug, Parser)]
#[command(name = "quickstart")]
struct Arguments {
    /// Look at the real cluster of this talosconfig, instead of a simulated one
    #[arg(long, value_name = "FILE")]
    talosconfig: Option<PathBuf>,
    /// Use this context of the talosconfig, instead of its current one
    #[arg(long, value_name = "NAME", requires = "talosconfig")]
    context: Option<String>,
    /// Ask these nodes, instead of those of the context (or its endpoints, if it lists none)
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    nodes: Vec<String>,
    /// Show this many of the last log lines of each node's machined
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    lines: u32,
    /// Switch this node of the simulated cluster off before looking
    #[arg(long, value_name = "NODE", conflicts_with = "talosconfig")]
    kill: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    // RUST_LOG=talos_client=debug,talos_transport=debug shows the calls.
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// Prints all nodes; true if at least one answered.
async fn run(arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    // Lives until the end of this function, and the simulated nodes with it.
    let mut simulated = None;
    let talosconfig = match &arguments.talosconfig {
        Some(path) => Talosconfig::load(path)?,
        None => {
            let cluster = SimCluster::builder().control_planes(3).start().await?;
            for name in &arguments.kill {
                let node = cluster
                    .node_by_name(name)
                    .ok_or_else(|| format!("no simulated node {name:?}"))?;
                node.kill();
            }
            let text = cluster.talosconfig_builder().nodes(cluster.nodes()).render()?;
            let talosconfig = Talosconfig::parse(text)?;
            simulated = Some(cluster);
            talosconfig
        }
    };
    let paint = Paint::for_stdout();
    let (name, context) = talosconfig.select(arguments.context.as_deref())?;
    let kind = if simulated.is_some() {
        "simulated cluster"
    } else {
        "cluster"
    };
    println!(
        "{kind} {} through {}\n",
        paint.bold(name),
        context.endpoints.join(", ")
    );

    let mut builder = Client::builder().talosconfig(talosconfig.clone());
    if let Some(name) = &arguments.context {
        builder = builder.context(name);
    }
    let client = builder.build()?;
    let nodes = nodes(&client, &arguments.nodes, &context.endpoints)?;

    let reports = stream::iter(nodes).map(|node| async move {
        let report = Report::of(&node, arguments.lines).await;
        (node, report)
    });
    // Side by side, but printed in the order in which they were named.
    let mut reports = reports.buffered(CONCURRENCY);
    let mut answered = false;
    while let Some((node, report)) = reports.next().await {
        match report {
            Ok(report) => {
                answered = true;
                report.print(&node, paint);
            }
            Err(error) => println!(
                "{} {}  {error:#}\n",
                paint.red("x"),
                paint.bold(node.name().as_str())
            ),
        }
    }
    drop(simulated);
    Ok(answered)
}

/// The nodes that were named, else those of the context, else its endpoints.
fn nodes(client: &Client, named: &[String], endpoints: &[String]) -> Result<Vec<Node>, Box<dyn Error>> {
    let named: Vec<Node> = named
        .iter()
        .map(|name| client.node(name))
        .collect::<Result<_, _>>()?;
    if !named.is_empty() {
        return Ok(named);
    }
    let of_context = client.context_nodes();
    if !of_context.is_empty() {
        return Ok(of_context);
    }
    let mut nodes = Vec::new();
    for text in endpoints {
        let endpoint: talos_client::Endpoint = text.parse()?;
        let host = endpoint
            .host()
            .ok_or("a unix socket is not a node, name some with --nodes")?;
        nodes.push(client.node(host)?);
    }
    Ok(nodes)
}
