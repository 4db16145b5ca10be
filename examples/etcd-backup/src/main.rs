//! A backup of etcd in a folder, with a progress bar, verification and rotation.
//!
//! ```text
//! cargo run -p etcd-backup
//! cargo run -p etcd-backup -- --talosconfig ~/.talos/config --folder /var/backups/etcd --keep 7
//! ```
//!
//! A talosconfig with the role `os:etcd:backup` that lists control plane nodes is enough.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::{error::Error, path::PathBuf};

use clap::Parser;
use examples::{ClusterArguments, Opened};
use indicatif::{ProgressBar, ProgressStyle};
use talos_client::{
    Node,
    workflow::etcd::{EtcdBackup, EtcdBackupProgress, EtcdMembers},
};
use talos_testkit::SimCluster;

/// How large the database of the simulated cluster is, in bytes.
const SIMULATED_DATABASE: u64 = 64 * 1024 * 1024;

/// Saves a snapshot of etcd.
#[derive(Debug, Parser)]
#[command(name = "etcd-backup")]
struct Arguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// Where the backups are; required with a talosconfig, else a temporary folder
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// How many backups are kept
    #[arg(long, value_name = "COUNT", default_value_t = 7)]
    keep: usize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    // Removed with what is in it when the program ends.
    let temporary = tempfile::tempdir()?;
    let folder = match (arguments.folder, &arguments.cluster.talosconfig) {
        (Some(folder), _) => folder,
        (None, None) => temporary.path().to_owned(),
        (None, Some(_)) => return Err("where to? name a folder with --folder".into()),
    };
    let simulated = SimCluster::builder().control_planes(3);
    let cluster = arguments.cluster.open(simulated, |client| client).await?;
    if let Some(simulated) = &cluster.simulated {
        for index in 0..3 {
            simulated
                .node(index)
                .set_etcd_database(SIMULATED_DATABASE, SIMULATED_DATABASE / 2);
        }
    }

    let node = follower(&cluster).await?;
    println!("from {} to {}", node.name(), folder.display());
    let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template(
        "{bar:40} {bytes} of about {total_bytes}, {bytes_per_sec}",
    )?);
    let mut run = EtcdBackup::new(&node).keep(arguments.keep).to_folder(folder);
    while let Some(progress) = run.next_progress().await {
        match progress {
            EtcdBackupProgress::Received { bytes, expected } => {
                if let Some(expected) = expected {
                    bar.set_length(expected.max(bytes));
                }
                bar.set_position(bytes);
            }
            other => bar.println(other.to_string()),
        }
    }
    let report = run.finish().await?;
    bar.finish();
    println!(
        "{}: {} bytes, verified",
        report.snapshot.path().display(),
        report.snapshot.bytes()
    );
    for path in &report.removed {
        println!("removed {}", path.display());
    }
    report.rotation?;
    Ok(())
}

/// A member that does not lead has more time. Which one that is takes discovery, which a backup's role may not be
/// allowed; then any node of the context will do.
async fn follower(cluster: &Opened) -> Result<Node, Box<dyn Error>> {
    let members = match EtcdMembers::discover(&cluster.client).await {
        Ok(members) => members,
        Err(_) => EtcdMembers::of(cluster.nodes.iter().cloned().collect()),
    };
    let survey = members.survey().await?;
    let mut able = survey
        .members
        .into_iter()
        .filter(|member| member.takes_part())
        .collect::<Vec<_>>();
    able.sort_by_key(|member| member.is_leader());
    let node = able.into_iter().find_map(|member| member.node);
    Ok(node.ok_or("no member of etcd answers")?)
}
