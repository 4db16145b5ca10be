//! The log of a service on all nodes of a cluster, as it is written.
//!
//! Survives reboots of nodes and the loss of endpoints; where lines are missing it says so.
//!
//! ```text
//! cargo run --example log-tail
//! cargo run --example log-tail -- --talosconfig ~/.talos/config kubelet
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::{collections::HashSet, error::Error, process::ExitCode, time::Duration};

use clap::Parser;
use examples::ClusterArguments;
use talos_client::{Nodes, api::logs::LogItem};
use talos_testkit::SimCluster;
use tokio::time::timeout;

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

/// How many lines of simulated nodes are shown while these are looked at, and how the lines begin.
const SCENES: usize = 6;
const SCENE: &str = "simulated line";

/// So long nothing is shown until each simulated node writes a line all the same.
const QUIET: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> ExitCode {
    examples::exit(run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let simulated = SimCluster::builder().control_planes(3);
    let cluster = arguments.cluster.open(simulated, |client| client).await?;
    let service = &arguments.service;

    let nodes: Nodes = cluster.nodes.iter().cloned().collect();
    let mut lines = nodes.streams(|node| async move {
        let log = node.logs(service).tail_lines(arguments.tail);
        Ok::<_, talos_client::Error>(log.reattach())
    });

    let simulated = cluster.simulated.as_ref();
    let mut scenes = simulated.map(|cluster| Scenes {
        cluster,
        service,
        written: 0,
    });
    let patience = if scenes.is_some() { QUIET } else { Duration::MAX };
    let mut heard = HashSet::new();
    let (mut shown, mut staged) = (0, 0);
    loop {
        let Ok(next) = timeout(patience, lines.next_item()).await else {
            // Lines written while the program did not listen yet may be lost: silence brings others.
            if let Some(scenes) = &mut scenes {
                cluster.nodes.iter().for_each(|_| scenes.write());
            }
            continue;
        };
        let Some((node, item)) = next else {
            // All have failed for good.
            return Err("no node shows this log any longer".into());
        };
        match item {
            Ok(LogItem::Line(line)) => {
                println!("{node}: {line}");
                shown += 1;
                staged += usize::from(line.starts_with(SCENE));
            }
            Ok(LogItem::Gap(gap)) => println!("{node}: -- lines may be missing: {} --", gap.reason),
            Ok(_) => {}
            // The others go on.
            Err(error) => println!("{node}: {error:#}"),
        }
        if staged == SCENES || arguments.lines.is_some_and(|lines| shown >= lines) {
            return Ok(());
        }
        // One line shown brings the next one, once all nodes are listened to.
        heard.insert(node);
        if let Some(scenes) = &mut scenes
            && heard.len() == cluster.nodes.len()
            && scenes.written < SCENES
        {
            scenes.write();
        }
    }
}

/// Lines that simulated nodes write, one after the other.
struct Scenes<'a> {
    cluster: &'a SimCluster,
    service: &'a str,
    written: usize,
}

impl Scenes<'_> {
    fn write(&mut self) {
        let node = self.cluster.node(self.written % self.cluster.nodes().len());
        self.written += 1;
        let line = format!("{SCENE} {} of {}", self.written, node.hostname());
        node.append_log(self.service, &line);
    }
}
