//! What a unary call costs through the whole stack, next to the raw stub.

use std::time::{Duration, Instant};

use anyhow::Result;
use talos_client::Node;
use talos_proto::machine::machine_service_client::MachineServiceClient;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::access::Server;
use crate::raw;
use crate::report::Line;
use crate::stats::{Pairs, median, micros};

/// The node of all calls; the server does not look at it.
pub const NODE: &str = "10.5.0.2";
const ROUNDS: usize = 60;
/// Calls of a round, one after the other.
const SEQUENTIAL: usize = 250;
/// Calls of a round, many at a time.
const CONCURRENT: usize = 4_000;
const IN_FLIGHT: usize = 64;

pub async fn measure() -> Result<Vec<Line>> {
    let server = Server::start(&["fast"]).await?;
    let (node, stub) = (server.client()?.node(NODE)?, raw::stub(&server)?);
    let mut latency = Pairs::default();
    let mut throughput = Pairs::default();
    for round in 0..ROUNDS {
        // Whoever goes first has no advantage in the end.
        let (ours, theirs) = if round % 2 == 0 {
            let ours = sequential(|| ours(&node)).await?;
            (ours, sequential(|| theirs(&stub)).await?)
        } else {
            let theirs = sequential(|| theirs(&stub)).await?;
            (sequential(|| ours(&node)).await?, theirs)
        };
        latency.push(ours, theirs);
    }
    for round in 0..ROUNDS {
        let (ours, theirs) = if round % 2 == 0 {
            let ours = concurrent_ours(&node).await?;
            (ours, concurrent_theirs(&stub).await?)
        } else {
            let theirs = concurrent_theirs(&stub).await?;
            (concurrent_ours(&node).await?, theirs)
        };
        let rate = |time: Duration| CONCURRENT as f64 / time.as_secs_f64();
        throughput.push(rate(ours), rate(theirs));
    }
    let detail = format!("{:.0} to {:.0} µs", latency.ours(), latency.theirs());
    let rates = format!("{:.0} to {:.0} calls/s", throughput.ours(), throughput.theirs());
    Ok(vec![
        Line::at_most("unary, p50", latency.ratio(), 1.1, &detail),
        Line::at_least("unary, 64 in flight", throughput.ratio(), 0.95, &rates),
    ])
}

pub async fn ours(node: &Node) -> Result<()> {
    node.version().await?;
    Ok(())
}

pub async fn theirs(stub: &MachineServiceClient<Channel>) -> Result<()> {
    stub.clone().version(raw::request((), NODE)?).await?;
    Ok(())
}

/// The median of a round, in microseconds.
async fn sequential<F: Future<Output = Result<()>>>(call: impl Fn() -> F) -> Result<f64> {
    let mut times = Vec::with_capacity(SEQUENTIAL);
    for _ in 0..SEQUENTIAL {
        let begin = Instant::now();
        call().await?;
        times.push(micros(begin.elapsed()));
    }
    Ok(median(&mut times))
}

async fn concurrent_ours(node: &Node) -> Result<Duration> {
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let node = node.clone();
        tasks.spawn(async move {
            for _ in 0..CONCURRENT / IN_FLIGHT {
                ours(&node).await?;
            }
            anyhow::Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect::<Result<()>>()?;
    Ok(begin.elapsed())
}

async fn concurrent_theirs(stub: &MachineServiceClient<Channel>) -> Result<Duration> {
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let stub = stub.clone();
        tasks.spawn(async move {
            for _ in 0..CONCURRENT / IN_FLIGHT {
                theirs(&stub).await?;
            }
            anyhow::Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect::<Result<()>>()?;
    Ok(begin.elapsed())
}
