//! How long a simulated cluster takes until its first call is answered, and what a large one costs.

use std::time::{Duration, Instant};

use anyhow::Result;
use talos_client::Client;
use talos_client::config::Talosconfig;
use talos_testkit::SimCluster;

use crate::memory;
use crate::report::Line;
use crate::stats::median;

const SMALL_ROUNDS: usize = 11;
const LARGE_ROUNDS: usize = 3;

/// The name of a node of a simulated cluster.
pub fn name(index: usize) -> String {
    let host = index + 2;
    format!("10.5.{}.{}", host / 256, host % 256)
}

pub async fn start(nodes: usize) -> Result<SimCluster> {
    let control_planes = nodes.min(3);
    let workers = nodes - control_planes;
    let builder = SimCluster::builder()
        .control_planes(control_planes)
        .workers(workers);
    Ok(builder.recording(false).start().await?)
}

pub async fn measure() -> Result<Vec<Line>> {
    let small = rounds(SMALL_ROUNDS, 3).await?;
    let before = memory::resident()?;
    memory::reset_peak()?;
    let large = rounds(LARGE_ROUNDS, 1_000).await?;
    let extra = memory::peak()?.saturating_sub(before) as f64 / 1e6;
    Ok(vec![
        Line::below("SimCluster of 3", small, 150.0, "ms"),
        Line::below("SimCluster of 1,000", large, 5_000.0, "ms"),
        Line::below("memory of 1,000", extra, 300.0, "MB"),
    ])
}

async fn rounds(count: usize, nodes: usize) -> Result<f64> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        times.push(round(nodes).await?.as_secs_f64() * 1e3);
    }
    Ok(median(&mut times))
}

async fn round(nodes: usize) -> Result<Duration> {
    let begin = Instant::now();
    let cluster = start(nodes).await?;
    let talosconfig = Talosconfig::parse(cluster.talosconfig())?;
    let client = Client::builder().talosconfig(talosconfig).build()?;
    client.version().await?;
    let time = begin.elapsed();
    cluster.shutdown().await;
    Ok(time)
}
