//! A live table of the members of a cluster, with the stage and the services of each machine.
//!
//! Without arguments it starts a simulated cluster in this process, plays with it and ends. With a talosconfig it
//! watches a real cluster until it is interrupted:
//!
//! ```text
//! cargo run --example watch-resources
//! cargo run --example watch-resources -- --talosconfig ~/.talos/config
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::{collections::BTreeMap, error::Error, path::PathBuf};

use clap::Parser;
use talos_client::resource::Object;
use talos_client::{
    Client, Node,
    config::Talosconfig,
    resource::{Reflector, Store, StoreEvent, cluster::Member, runtime::MachineStatus, v1alpha1::Service},
};
use talos_testkit::{MachineStage, SimCluster};
use tokio::{sync::mpsc, task::JoinSet};

/// Watches the members of a Talos cluster, their stages and services.
#[derive(Debug, Parser)]
#[command(name = "watch-resources")]
struct Arguments {
    /// Watch the real cluster of this talosconfig, instead of a simulated one
    #[arg(long, value_name = "FILE")]
    talosconfig: Option<PathBuf>,
}

/// What is known about one machine.
struct Machine {
    status: Store<Object<MachineStatus>>,
    services: Store<Object<Service>>,
}

/// Changes that wait to be shown. More of them say nothing new.
const WAKE_UPS: usize = 1;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let (client, simulated) = match &arguments.talosconfig {
        Some(path) => (
            Client::builder().talosconfig(Talosconfig::load(path)?).build()?,
            None,
        ),
        None => {
            let cluster = SimCluster::builder().control_planes(3).workers(1).start().await?;
            let talosconfig = cluster.talosconfig_builder().nodes(cluster.nodes()).render()?;
            let client = Client::builder()
                .talosconfig(Talosconfig::parse(talosconfig)?)
                .build()?;
            (client, Some(cluster))
        }
    };
    let nodes = client.context_nodes();
    let first = nodes.first().ok_or("the talosconfig lists no nodes")?;

    // Ends with this function, and the watches with it.
    let mut tasks = JoinSet::new();
    let (wake, mut changes) = mpsc::channel(WAKE_UPS);
    let (members, reflector) = Store::new(first.resources().watch::<Member>().start());
    tasks.spawn(follow(reflector, wake.clone()));
    let mut machines = BTreeMap::new();
    for node in &nodes {
        machines.insert(node.name().to_string(), watch(node, &mut tasks, &wake));
    }
    // A simulated cluster ends when it has shown all that it has to show.
    let mut scenes = simulated.as_ref().map(|cluster| scenes(cluster).into_iter());
    let (mut awaited, mut shown) = ("", String::new());
    while changes.recv().await.is_some() {
        let known = machines
            .values()
            .all(|machine| machine.status.is_ready() && machine.services.is_ready());
        if !members.is_ready() || !known {
            continue;
        }
        let table = table(&members, &machines);
        // Not every change shows.
        if table != shown {
            println!("{table}");
            shown.clone_from(&table);
        }
        match &mut scenes {
            Some(scenes) if table.contains(awaited) => match scenes.next() {
                Some(scene) => {
                    awaited = scene.shows;
                    (scene.play)();
                }
                None => break,
            },
            _ => {}
        }
    }
    Ok(())
}

fn watch(node: &Node, tasks: &mut JoinSet<()>, wake: &mpsc::Sender<()>) -> Machine {
    let (status, reflector) = Store::new(node.resources().watch::<MachineStatus>().start());
    tasks.spawn(follow(reflector, wake.clone()));
    let (services, reflector) = Store::new(node.resources().watch::<Service>().start());
    tasks.spawn(follow(reflector, wake.clone()));
    Machine { status, services }
}

/// Keeps a store up to date and says so.
async fn follow<T: talos_client::resource::Item>(mut reflector: Reflector<T>, wake: mpsc::Sender<()>) {
    while let Some(event) = reflector.next_event().await {
        match event {
            // A full channel wakes as well.
            Ok(StoreEvent::Changed) => drop(wake.try_send(())),
            Ok(_) => {}
            Err(error) => println!("{error:#}"),
        }
    }
}

fn table(members: &Store<Object<Member>>, machines: &BTreeMap<String, Machine>) -> String {
    let mut table = format!(
        "{:24} {:12} {:16} {:12} SERVICES\n",
        "MEMBER", "TYPE", "OS", "STAGE"
    );
    for member in members.list() {
        let address = member.spec.addresses.first().map(ToString::to_string);
        let machine = address.and_then(|address| machines.get(&address));
        let status = machine.and_then(|machine| machine.status.get("machine"));
        let stage = status.map_or_else(|| "-".to_owned(), |status| status.spec.stage.to_string());
        let services = machine.map(|machine| machine.services.list()).unwrap_or_default();
        let bad: Vec<_> = services
            .iter()
            .filter(|service| !service.spec.healthy && !service.spec.unknown)
            .map(|service| service.metadata.id.as_str())
            .collect();
        table += &format!(
            "{:24} {:12} {:16} {stage:12} {} of {} fine",
            member.metadata.id,
            member.spec.machine_type,
            member.spec.operating_system,
            services.len() - bad.len(),
            services.len()
        );
        if !bad.is_empty() {
            table += &format!(", but not {}", bad.join(", "));
        }
        table.push('\n');
    }
    table
}

/// Something that happens in a simulated cluster.
struct Scene {
    play: Box<dyn FnOnce()>,
    /// What the table shows once that has come here.
    shows: &'static str,
}

fn scenes(cluster: &SimCluster) -> Vec<Scene> {
    let (first, second, worker) = (cluster.node(0), cluster.node(1), cluster.node(3));
    let scene = |shows, play: Box<dyn FnOnce()>| Scene { play, shows };
    vec![
        scene(
            "but not kubelet",
            Box::new(move || first.set_service_health("kubelet", false, "no answer")),
        ),
        scene(
            "rebooting",
            Box::new(move || worker.set_stage(MachineStage::Rebooting)),
        ),
        scene("v1.14.1", Box::new(move || second.set_talos_version("v1.14.1"))),
    ]
}
