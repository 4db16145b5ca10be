//! One of three endpoints dies under load: what callers see of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use talos_client::config::Talosconfig;
use talos_client::transport::{DEFAULT_CONNECT_TIMEOUT, EndpointState};
use talos_client::{Client, Error};
use talos_testkit::{SimCluster, SimNode};
use tokio::task::JoinSet;

use crate::relay::Relay;
use crate::report::Line;

const CALLERS: usize = 32;
/// Load before and after.
const SETTLE: Duration = Duration::from_millis(500);

pub async fn measure() -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (name, swallow) in [("failover, killed", false), ("failover, black hole", true)] {
        let load = round(swallow).await?;
        let slowest = load.slowest.as_secs_f64();
        let limit = DEFAULT_CONNECT_TIMEOUT.as_secs_f64();
        lines.push(Line {
            name: name.to_owned(),
            measured: format!(
                "{} of {} failed, slowest {:.0} ms",
                load.failures.len(),
                load.calls,
                slowest * 1e3
            ),
            bar: format!("0, < {limit:.0} s"),
            ok: load.failures.is_empty() && slowest < limit,
        });
    }
    Ok(lines)
}

#[derive(Default)]
struct Load {
    calls: usize,
    slowest: Duration,
    failures: Vec<Error>,
}

async fn round(swallow: bool) -> Result<Load> {
    let cluster = SimCluster::builder()
        .control_planes(3)
        .recording(false)
        .start()
        .await?;
    let mut relays = Vec::new();
    for index in 0..3 {
        relays.push(Relay::start(cluster.node(index).socket_addr()).await?);
    }
    let endpoints: Vec<_> = relays.iter().map(|relay| relay.address().to_string()).collect();
    let talosconfig = cluster.talosconfig_builder().endpoints(endpoints).render()?;
    let client = Client::builder()
        .talosconfig(Talosconfig::parse(talosconfig)?)
        .build()?;
    client.version().await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(load(client.clone(), Arc::clone(&stop)));
    }
    tokio::time::sleep(SETTLE).await;
    let (relay, node) = used(&client, &relays, &cluster)?;
    if swallow {
        relay.swallow();
        // Long enough for calls that were caught in it.
        tokio::time::sleep(DEFAULT_CONNECT_TIMEOUT + SETTLE).await;
    } else {
        node.kill();
        tokio::time::sleep(4 * SETTLE).await;
    }
    stop.store(true, Ordering::Relaxed);
    let loads = callers.join_all().await;
    cluster.shutdown().await;
    Ok(loads.into_iter().fold(Load::default(), |sum, one| Load {
        calls: sum.calls + one.calls,
        slowest: sum.slowest.max(one.slowest),
        failures: sum.failures.into_iter().chain(one.failures).collect(),
    }))
}

/// The endpoint that is in use.
fn used<'a>(client: &Client, relays: &'a [Relay], cluster: &SimCluster) -> Result<(&'a Relay, SimNode)> {
    let states = client.raw().endpoints_state();
    let ready = states
        .iter()
        .filter(|endpoint| endpoint.state == EndpointState::Ready)
        .max_by_key(|endpoint| endpoint.in_flight)
        .context("no endpoint is connected")?;
    let index = relays
        .iter()
        .position(|relay| relay.address().to_string() == ready.endpoint.to_string())
        .context("an endpoint is a relay")?;
    Ok((&relays[index], cluster.node(index)))
}

async fn load(client: Client, stop: Arc<AtomicBool>) -> Load {
    let mut load = Load::default();
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let result = client.version().await;
        load.slowest = load.slowest.max(begin.elapsed());
        load.calls += 1;
        if let Err(error) = result {
            load.failures.push(error);
        }
    }
    load
}
