//! Resources: a list of 10,000, a watch of as many with 50,000 updates, and what a reflector holds.
//!
//! The yardstick is the generated stub with each spec decoded by prost: what code by hand would do, without the types that ours
//! makes of it.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use prost::Message as _;
use talos_client::Node;
use talos_client::resource::network::AddressStatus;
use talos_client::resource::{Resource as _, Store, WatchEvent};
use talos_proto::cosi::resource::state_client::StateClient;
use talos_proto::cosi::resource::{EventType, ListRequest, Resource, WatchOptions, WatchRequest};
use talos_proto::definitions::network::AddressStatusSpec;
use tokio::process::Command;
use tonic::transport::Channel;

use crate::access::Server;
use crate::report::Line;
use crate::resource_server::{RESOURCES, UPDATES};
use crate::stats::Pairs;
use crate::{memory, raw, unary};

const ROUNDS: usize = 10;
/// Events a second that a watch has to keep up with.
const RATE: f64 = 50_000.0;

pub async fn measure() -> Result<Vec<Line>> {
    let server = Server::start(&["fast"]).await?;
    let (node, stub) = (server.client()?.node(unary::NODE)?, raw::state(&server)?);
    // Connects, and lets the server encode.
    list(&node).await?;
    list_by_hand(&stub).await?;
    watch(&node).await?;
    watch_by_hand(&stub).await?;
    let mut lists = Pairs::default();
    let mut watches = Pairs::default();
    for round in 0..ROUNDS {
        if round % 2 == 0 {
            let ours = list(&node).await?;
            lists.push(ours, list_by_hand(&stub).await?);
            let ours = watch(&node).await?;
            watches.push(ours, watch_by_hand(&stub).await?);
        } else {
            let theirs = list_by_hand(&stub).await?;
            lists.push(list(&node).await?, theirs);
            let theirs = watch_by_hand(&stub).await?;
            watches.push(watch(&node).await?, theirs);
        }
    }
    let detail = |pairs: &Pairs| format!("{:.0} to {:.0} items/s", pairs.ours(), pairs.theirs());
    let mut lines = vec![
        Line::at_least("list of 10,000 resources", lists.ratio(), 0.9, &detail(&lists)),
        Line::at_least(
            "watch with 50,000 updates",
            watches.ratio(),
            0.9,
            &detail(&watches),
        ),
        Line {
            name: "events a watch keeps up with".to_owned(),
            measured: format!("{:.0} /s", watches.ours()),
            bar: format!(">= {RATE:.0} /s"),
            ok: watches.ours() >= RATE,
        },
    ];
    lines.push(held().await?);
    Ok(lines)
}

/// Lists all, and returns how many came in a second.
async fn list(node: &Node) -> Result<f64> {
    let begin = Instant::now();
    let found = node.resources().list::<AddressStatus>().await?;
    rate(begin, found.len(), RESOURCES)
}

async fn list_by_hand(stub: &StateClient<Channel>) -> Result<f64> {
    let begin = Instant::now();
    let request = raw::request(all(), unary::NODE)?;
    let mut stream = stub.clone().list(request).await?.into_inner();
    let mut found = Vec::new();
    while let Some(reply) = stream.message().await? {
        found.push(by_hand(reply.resource)?);
    }
    rate(begin, found.len(), RESOURCES)
}

fn by_hand(resource: Option<Resource>) -> Result<(Resource, AddressStatusSpec)> {
    let resource = resource.context("a resource")?;
    let spec = resource.spec.as_ref().context("a spec")?;
    let spec = AddressStatusSpec::decode(spec.proto_spec.clone())?;
    Ok((resource, spec))
}

/// Watches until all was told, and returns how many events came in a second.
async fn watch(node: &Node) -> Result<f64> {
    let begin = Instant::now();
    let mut watch = node.resources().watch::<AddressStatus>().start();
    let mut events = 0;
    while events < RESOURCES + UPDATES {
        match watch.next_event().await.context("the watch goes on")?? {
            WatchEvent::Created(_) | WatchEvent::Updated { .. } => events += 1,
            WatchEvent::Bootstrapped => {}
            other => anyhow::bail!("unexpected: {other:?}"),
        }
    }
    rate(begin, events, RESOURCES + UPDATES)
}

async fn watch_by_hand(stub: &StateClient<Channel>) -> Result<f64> {
    let begin = Instant::now();
    let request = WatchRequest {
        namespace: AddressStatus::NAMESPACE.to_owned(),
        r#type: AddressStatus::TYPE.to_owned(),
        id: None,
        options: Some(WatchOptions {
            bootstrap_contents: true,
            ..WatchOptions::default()
        }),
        api_version: 1,
    };
    let request = raw::request(request, unary::NODE)?;
    let mut stream = stub.clone().watch(request).await?.into_inner();
    let mut events = 0;
    while events < RESOURCES + UPDATES {
        let reply = stream.message().await?.context("the watch goes on")?;
        for event in reply.event {
            if event.event_type() == EventType::Bootstrapped {
                continue;
            }
            by_hand(event.resource)?;
            if event.old.is_some() {
                by_hand(event.old)?;
            }
            events += 1;
        }
    }
    rate(begin, events, RESOURCES + UPDATES)
}

/// What a store holds an item, next to a map of the messages as they came. Each is measured in a process of its own: memory that
/// was freed before would be used again, and not seen to grow.
async fn held() -> Result<Line> {
    let (ours, theirs) = (held_by("store").await?, held_by("map").await?);
    let each = |bytes: u64| bytes as f64 / RESOURCES as f64;
    Ok(Line::at_most(
        "memory of a store an item",
        ours as f64 / theirs as f64,
        1.0,
        &format!("{:.0} to {:.0} bytes", each(ours), each(theirs)),
    ))
}

async fn held_by(what: &str) -> Result<u64> {
    let program = std::env::current_exe().context("looking for this program")?;
    let output = Command::new(program)
        .args(["hold", what])
        .kill_on_drop(true)
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "hold {what}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let bytes = String::from_utf8(output.stdout)?.trim().parse()?;
    ensure!(bytes > 0, "{what} holds nothing");
    Ok(bytes)
}

/// By how much this process grows when it holds all resources, in a `store` or in a `map` by hand.
pub async fn hold(what: &str) -> Result<u64> {
    let server = Server::start(&["fast"]).await?;
    let (node, stub) = (server.client()?.node(unary::NODE)?, raw::state(&server)?);
    // Both have their connection before, and the server has encoded all.
    drop(node.resources().list::<AddressStatus>().stream().await?);
    let request = raw::request(all(), unary::NODE)?;
    drop(stub.clone().list(request).await?);
    let before = memory::resident()?;
    match what {
        "store" => {
            let watch = node.resources().watch::<AddressStatus>().start();
            let (store, mut reflector) = Store::new(watch);
            while !store.is_ready() {
                reflector.next_event().await.context("the watch goes on")??;
            }
            ensure!(store.len() == RESOURCES, "{} of {RESOURCES} came", store.len());
            Ok(memory::resident()?.saturating_sub(before))
        }
        "map" => {
            let request = raw::request(all(), unary::NODE)?;
            let mut stream = stub.clone().list(request).await?.into_inner();
            let mut map = BTreeMap::new();
            while let Some(reply) = stream.message().await? {
                let (resource, spec) = by_hand(reply.resource)?;
                let id = resource.metadata.as_ref().context("metadata")?.id.clone();
                map.insert(id, (resource, spec));
            }
            ensure!(map.len() == RESOURCES, "{} of {RESOURCES} came", map.len());
            Ok(memory::resident()?.saturating_sub(before))
        }
        other => anyhow::bail!("there is no {other:?} to hold them"),
    }
}

fn all() -> ListRequest {
    ListRequest {
        namespace: AddressStatus::NAMESPACE.to_owned(),
        r#type: AddressStatus::TYPE.to_owned(),
        options: None,
    }
}

fn rate(begin: Instant, seen: usize, expected: usize) -> Result<f64> {
    ensure!(seen == expected, "{seen} of {expected} came");
    Ok(seen as f64 / begin.elapsed().as_secs_f64())
}
