//! Another Talos on all nodes of a cluster, one after the other.
//!
//! ```text
//! cargo run -p rolling-upgrade
//! cargo run -p rolling-upgrade -- --talosconfig ~/.talos/config --image ghcr.io/siderolabs/installer:v1.14.1
//! cargo run -p rolling-upgrade -- --talosconfig ~/.talos/config --image ghcr.io/siderolabs/installer:v1.14.1 --yes
//! ```
//!
//! It says what it would do, and does it if it is told so by `--yes`; a simulated cluster needs no such permission. Run
//! again after a failure, it goes on with the nodes that are left. Kubernetes nodes are not drained: that is what
//! `ClusterUpgrade::drain` of the feature `kube-latest` is for.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::{
    error::Error,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use examples::ClusterArguments;
use talos_client::workflow::{
    track::{TrackOptions, TrackStep},
    upgrade::{ClusterUpgrade, PlannedStep, UpgradePlan, UpgradeStep},
};
use talos_testkit::SimCluster;

/// What the simulated cluster runs before.
const SIMULATED_BEFORE: &str = "v1.13.2";
/// What it runs after.
const SIMULATED_IMAGE: &str = "ghcr.io/siderolabs/installer:v1.14.0";

/// Upgrades Talos on all nodes of a cluster.
#[derive(Debug, Parser)]
#[command(name = "rolling-upgrade")]
struct Arguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The installer image; required with a talosconfig
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Upgrade, instead of only saying what would be done
    #[arg(long)]
    yes: bool,
    /// Go on although etcd, and Kubernetes with it, is away while a control plane node reboots
    #[arg(long)]
    force: bool,
    /// Say all that is heard of each node, instead of milestones
    #[arg(long)]
    verbose: bool,
    /// How long the reboot of a node may take, in minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 30)]
    reboot_minutes: u64,
    /// How many control plane nodes a simulated cluster has
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    simulated_control_planes: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    examples::exit(run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let image = match (arguments.image, &arguments.cluster.talosconfig) {
        (Some(image), _) => image,
        (None, None) => SIMULATED_IMAGE.to_owned(),
        (None, Some(_)) => return Err("to which release? name an installer with --image".into()),
    };
    let simulated = SimCluster::builder()
        .control_planes(arguments.simulated_control_planes)
        .workers(2)
        .talos_version(SIMULATED_BEFORE);
    let cluster = arguments.cluster.open(simulated, |client| client).await?;
    let mut track = TrackOptions::new(Duration::from_secs(arguments.reboot_minutes.saturating_mul(60)));
    if cluster.simulated.is_some() {
        // Simulated machines are quick, so look at them more often.
        track = track.interval(Duration::from_millis(50));
    }
    // All members, whichever nodes the talosconfig lists: etcd has to be seen from all of them.
    let upgrade = ClusterUpgrade::to(&cluster.client, image)
        .force(arguments.force)
        .track(track);

    let plan = upgrade.plan().await?;
    println!("{plan}");
    if !may_begin(&plan, arguments.force) {
        return Err("nothing was done".into());
    }
    if plan.is_empty() {
        println!("all nodes run {} already", plan.target);
        return Ok(());
    }
    if !arguments.yes && cluster.simulated.is_none() {
        println!("nothing was done; to upgrade, run this again with --yes");
        return Ok(());
    }

    let began = Instant::now();
    let mut run = upgrade.start();
    while let Some(progress) = run.next_progress().await {
        if !arguments.verbose && !is_milestone(&progress.step) {
            continue;
        }
        println!("{:7.1} s  {progress}", began.elapsed().as_secs_f64());
    }
    match run.finish().await {
        Ok(report) => {
            println!("\n{report}");
            Ok(())
        }
        Err(error) => {
            if let Some(report) = error.report() {
                println!("\n{report}");
            }
            Err(error.into())
        }
    }
}

fn is_milestone(step: &UpgradeStep) -> bool {
    match step {
        UpgradeStep::Pulling { percent } => percent.is_none(),
        UpgradeStep::Rebooting(progress) => {
            matches!(progress.step, TrackStep::InDoubt | TrackStep::Rebooted)
        }
        UpgradeStep::Hook { .. } => false,
        _ => true,
    }
}

/// Whether the upgrade would begin at all.
fn may_begin(plan: &UpgradePlan, force: bool) -> bool {
    let possible = plan
        .nodes
        .iter()
        .all(|node| !matches!(node.step, PlannedStep::Refused(_)));
    possible && (force || plan.quorum.is_none())
}
