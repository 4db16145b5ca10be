//! One call to each of a thousand nodes, next to the same calls made by hand.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::{StreamExt as _, stream};
use talos_client::{Client, Nodes};

use crate::access::Server;
use crate::report::Line;
use crate::stats::Pairs;
use crate::{memory, simcluster};

const NODES: usize = 1_000;
const ROUNDS: usize = 15;

pub async fn measure() -> Result<Vec<Line>> {
    let server = Server::start(&["sim", &NODES.to_string()]).await?;
    let client = server.client()?;
    // The endpoint connects to each node once.
    by_hand(&client, NODES).await?;
    let mut times = Pairs::default();
    for round in 0..ROUNDS {
        let (ours, theirs) = if round % 2 == 0 {
            let ours = ours(&client, NODES).await?;
            (ours, by_hand(&client, NODES).await?)
        } else {
            let theirs = by_hand(&client, NODES).await?;
            (ours(&client, NODES).await?, theirs)
        };
        times.push(ours.as_secs_f64() * 1e3, theirs.as_secs_f64() * 1e3);
    }
    let detail = format!("{:.0} to {:.0} ms", times.ours(), times.theirs());
    let mut lines = vec![Line::at_most("1,000 nodes", times.ratio(), 1.0, &detail)];
    drop(client);
    // All of them at the same time, which is the most it can take.
    for nodes in [NODES / 4, NODES] {
        let client = server.client()?;
        client.version().await?;
        let before = memory::resident()?;
        memory::reset_peak()?;
        all_at_once(&client, nodes).await?;
        let extra = memory::peak()?.saturating_sub(before) as f64 / 1024.0 / nodes as f64;
        let name = format!("memory a node of {nodes}");
        lines.push(Line::below(&name, extra, 64.0, "KiB"));
    }
    Ok(lines)
}

async fn ours(client: &Client, nodes: usize) -> Result<Duration> {
    let begin = Instant::now();
    let report = client
        .nodes(names(nodes))?
        .each(|node| async move { node.memory().await })
        .await;
    let time = begin.elapsed();
    let report = report.into_complete().map_err(talos_client::Error::from)?;
    ensure!(report.len() == nodes, "{} of {nodes} answered", report.len());
    Ok(time)
}

async fn all_at_once(client: &Client, nodes: usize) -> Result<()> {
    let report = client
        .nodes(names(nodes))?
        .concurrency(nodes)
        .each(|node| async move { node.memory().await })
        .await;
    ensure!(report.is_success(), "{:?}", report.failures().next());
    Ok(())
}

async fn by_hand(client: &Client, nodes: usize) -> Result<Duration> {
    let begin = Instant::now();
    let names = names(nodes);
    let handles = names
        .iter()
        .map(|name| client.node(name))
        .collect::<Result<Vec<_>, _>>()?;
    let answers: Vec<_> = stream::iter(handles)
        .map(|node| async move {
            let name = node.name().clone();
            (name, node.memory().await)
        })
        .buffer_unordered(Nodes::DEFAULT_CONCURRENCY)
        .collect()
        .await;
    let time = begin.elapsed();
    for (_, answer) in &answers {
        ensure!(answer.is_ok(), "{answer:?}");
    }
    ensure!(answers.len() == nodes, "{} of {nodes} answered", answers.len());
    Ok(time)
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(simcluster::name).collect()
}
