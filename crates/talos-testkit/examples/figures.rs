//! How fast simulated clusters start and how much memory they take:
//! `cargo run --release -p talos-testkit --example figures`.
#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::time::{Duration, Instant};

use talos_testkit::{SimCluster, SimError};

/// The least time in which `control_planes` and `workers` start, of five.
async fn start(control_planes: usize, workers: usize) -> Result<Duration, SimError> {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        let cluster = SimCluster::builder()
            .control_planes(control_planes)
            .workers(workers)
            .start()
            .await?;
        best = best.min(began.elapsed());
        cluster.shutdown().await;
    }
    Ok(best)
}

/// Resident memory of this process in KiB; `None` where the system does not say.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[tokio::main]
async fn main() -> Result<(), SimError> {
    // First of all: memory that was given back would not be seen growing again.
    let before = resident();
    let cluster = SimCluster::builder()
        .control_planes(3)
        .workers(997)
        .recording(false)
        .start()
        .await?;
    let started = resident();
    let began = Instant::now();
    for index in 0..cluster.nodes().len() {
        // What a node knows comes into being with the first look at it.
        let _ = cluster.node(index).boot_id();
    }
    println!("1000 nodes looked at: {:?}", began.elapsed());
    if let (Some(before), Some(started), Some(all)) = (before, started, resident()) {
        println!("memory of 1000 nodes: {} KiB", started.saturating_sub(before));
        println!(
            "memory of 1000 nodes that were looked at: {} KiB",
            all.saturating_sub(before)
        );
    }
    cluster.shutdown().await;
    println!("3 nodes ready: {:?}", start(3, 0).await?);
    println!("1000 nodes ready: {:?}", start(3, 997).await?);
    Ok(())
}
