//! 512 MiB in messages of 1,024 bytes to a sink, next to the raw stub.

use std::time::Instant;

use anyhow::{Result, ensure};
use talos_client::Node;
use talos_proto::machine::ReadRequest;
use talos_proto::machine::machine_service_client::MachineServiceClient;
use tonic::transport::Channel;

use crate::access::Server;
use crate::report::Line;
use crate::server::CHUNK;
use crate::stats::Pairs;
use crate::{memory, raw, unary};

pub const MIB: usize = 1024 * 1024;
/// In slices, so that both sides take turns.
const SLICES: usize = 16;
const SLICE: usize = 32 * MIB;

pub async fn measure() -> Result<Vec<Line>> {
    let server = Server::start(&["fast"]).await?;
    let (node, stub) = (server.client()?.node(unary::NODE)?, raw::stub(&server)?);
    // Connects, and warms the allocator up.
    ours(&node, MIB).await?;
    theirs(&stub, MIB).await?;
    let mut rates = Pairs::default();
    for slice in 0..SLICES {
        let (ours, theirs) = if slice % 2 == 0 {
            let ours = ours(&node, SLICE).await?;
            (ours, theirs(&stub, SLICE).await?)
        } else {
            let theirs = theirs(&stub, SLICE).await?;
            (ours(&node, SLICE).await?, theirs)
        };
        rates.push(ours, theirs);
    }
    let detail = format!("{:.0} to {:.0} MiB/s", rates.ours(), rates.theirs());
    let mut lines = vec![Line::at_least("stream of 512 MiB", rates.ratio(), 1.0, &detail)];
    drop((node, stub));
    for size in [128, 512, 10 * 1024] {
        // A connection of its own each time.
        let node = server.client()?.node(unary::NODE)?;
        ours(&node, CHUNK).await?;
        let before = memory::resident()?;
        memory::reset_peak()?;
        ours(&node, size * MIB).await?;
        let extra = memory::peak()?.saturating_sub(before) as f64 / MIB as f64;
        lines.push(Line::below(&format!("memory of {size} MiB"), extra, 32.0, "MiB"));
    }
    Ok(lines)
}

/// Reads so many bytes, and returns MiB per second.
pub async fn ours(node: &Node, bytes: usize) -> Result<f64> {
    let begin = Instant::now();
    let mut stream = node.read(format!("/{bytes}")).await?;
    let mut seen = 0;
    while let Some(chunk) = stream.next_chunk().await {
        seen += chunk?.len();
    }
    rate(begin, seen, bytes)
}

/// The same with the raw stub.
pub async fn theirs(stub: &MachineServiceClient<Channel>, bytes: usize) -> Result<f64> {
    let begin = Instant::now();
    let request = ReadRequest {
        path: format!("/{bytes}"),
    };
    let request = raw::request(request, unary::NODE)?;
    let mut stream = stub.clone().read(request).await?.into_inner();
    let mut seen = 0;
    while let Some(data) = stream.message().await? {
        seen += data.bytes.len();
    }
    rate(begin, seen, bytes)
}

fn rate(begin: Instant, seen: usize, bytes: usize) -> Result<f64> {
    ensure!(seen == bytes, "{seen} of {bytes} bytes came");
    Ok(bytes as f64 / MIB as f64 / begin.elapsed().as_secs_f64())
}
