//! An operator for the cluster that it runs in: reboots a node when somebody asks for it by an annotation.
//!
//! ```text
//! cargo run -p in-cluster-operator
//! kubectl apply -f examples/in-cluster-operator/manifests/operator.yaml
//! kubectl annotate node talos-1 talos.example/reboot=requested
//! ```
//!
//! The node is drained, rebooted through the Talos API, waited for, and uncordoned; then the annotation says `done`, or
//! `failed` with the reason beside it. One node at a time, and whatever was begun is finished first: what is known of it is
//! in annotations, so that an operator that is restarted goes on where the one before was. It may have to, as it is
//! evicted itself from the node that it runs on.
//!
//! In a pod it finds both APIs by the secrets there: Talos puts a talosconfig into one (and renews it) for a
//! `ServiceAccount` of `talos.dev`. At a desk, `--talosconfig` of an administrator does. Else it is a simulated cluster.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for logs and the terminal"
)]

mod operator;
mod place;
mod request;

use std::{error::Error, future::Future, process::ExitCode, time::Duration};

use clap::Parser;
use examples::chain;

use operator::{Operator, Times};

/// Reboots nodes whose annotation `talos.example/reboot` says `requested`.
#[derive(Debug, Parser)]
#[command(name = "in-cluster-operator")]
struct Arguments {
    #[command(flatten)]
    place: place::Arguments,
    /// How long moving pods away from a node may take, in seconds; 300, and 3 on a simulated cluster
    #[arg(long, value_name = "SECONDS")]
    drain_seconds: Option<u64>,
    /// How long a node may take to come back, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    reboot_seconds: u64,
    /// End after so many reboots, done or failed; without it, a simulated cluster ends when all that is asked for is
    #[arg(long, value_name = "COUNT")]
    count: Option<usize>,
}

#[tokio::main]
async fn main() -> ExitCode {
    examples::exit(run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let place = arguments.place.open().await?;
    let drain = arguments.drain_seconds;
    let times = Times {
        drain: Duration::from_secs(drain.unwrap_or_else(|| if place.simulated.is_some() { 3 } else { 300 })),
        reboot: Duration::from_secs(arguments.reboot_seconds),
        // Simulated machines are quick, so look at them more often.
        look: Duration::from_millis(if place.simulated.is_some() { 50 } else { 2000 }),
    };
    let operator = Operator::new(&place, times).await?;
    let count = arguments.count.or(place.requested);
    tokio::select! {
        outcome = reboot(&operator, count) => outcome?,
        // Nothing is undone: the next operator goes on.
        () = told_to_end() => println!("told to end"),
    }
    Ok(())
}

/// Does what is asked for, for ever or so many times.
async fn reboot(operator: &Operator, count: Option<usize>) -> Result<(), Box<dyn Error>> {
    let mut left = count;
    while left != Some(0) {
        let task = operator.next_task().await;
        println!("{}: begins", task.name);
        let outcome = operator
            .work(&task, |line| println!("{}: {line}", task.name))
            .await;
        match &outcome {
            Ok(()) => println!("{}: done", task.name),
            Err(error) => println!("{}: failed: {}", task.name, chain(error)),
        }
        operator.finish(&task, &outcome).await?;
        left = left.map(|left| left - 1);
    }
    Ok(())
}

/// Kubernetes sends SIGTERM before it ends a pod.
async fn told_to_end() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        terminate.recv().await;
        return;
    }
    either(tokio::signal::ctrl_c()).await;
}

/// Without signals, nobody tells.
async fn either(signal: impl Future<Output = std::io::Result<()>>) {
    if signal.await.is_err() {
        std::future::pending().await
    }
}
