//! The program behind `cargo xtask bench`: measures, and prints one line a number.

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use benches::access::END;
use benches::report::Line;
use benches::{failover, fanout, resource, server, simcluster, stream, unary};
use clap::{Parser, Subcommand};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[derive(Debug, Parser)]
#[command(
    name = "bench",
    about = "Measures the client against the numbers it is held to"
)]
struct Arguments {
    /// Measure only these
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Print the names of all measurements
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Be the server of a measurement, until the input ends
    Serve {
        /// `fast` or `sim`
        kind: String,
        /// How many nodes `sim` has
        nodes: Option<usize>,
    },
    /// Hold all resources, and print how many bytes that takes
    Hold {
        /// `store` or `map`
        what: String,
    },
}

const NAMES: [&str; 6] = ["unary", "stream", "resources", "fanout", "failover", "simcluster"];

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a program reports its failure on stderr")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.task {
        Some(Task::Serve { kind, nodes }) => serve(&kind, nodes).await.map(|()| true),
        Some(Task::Hold { what }) => hold(&what).await.map(|()| true),
        None if arguments.list => list().await.map(|()| true),
        None => measure(&arguments.only).await,
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn list() -> Result<()> {
    let mut output = tokio::io::stdout();
    output.write_all((NAMES.join("\n") + "\n").as_bytes()).await?;
    Ok(output.flush().await?)
}

/// Returns whether all bars were reached.
async fn measure(only: &[String]) -> Result<bool> {
    for name in only {
        ensure!(NAMES.contains(&name.as_str()), "there is no measurement {name:?}");
    }
    ensure!(
        !cfg!(debug_assertions),
        "numbers of a build without optimization mean nothing; use `cargo xtask bench`"
    );
    let mut ok = true;
    for name in NAMES {
        if !only.is_empty() && !only.iter().any(|wanted| wanted == name) {
            continue;
        }
        let lines = run(name).await.with_context(|| format!("measuring {name}"))?;
        let mut output = tokio::io::stdout();
        for line in lines {
            ok &= line.ok;
            output.write_all(format!("{line}\n").as_bytes()).await?;
        }
        output.flush().await?;
    }
    Ok(ok)
}

async fn run(name: &str) -> Result<Vec<Line>> {
    match name {
        "unary" => unary::measure().await,
        "stream" => stream::measure().await,
        "resources" => resource::measure().await,
        "fanout" => fanout::measure().await,
        "failover" => failover::measure().await,
        _ => simcluster::measure().await,
    }
}

async fn hold(what: &str) -> Result<()> {
    let bytes = resource::hold(what).await?;
    let mut output = tokio::io::stdout();
    output.write_all(format!("{bytes}\n").as_bytes()).await?;
    Ok(output.flush().await?)
}

async fn serve(kind: &str, nodes: Option<usize>) -> Result<()> {
    match kind {
        "fast" => {
            let (talosconfig, serving) = server::start().await?;
            announce(&talosconfig).await?;
            tokio::select! {
                () = serving => {}
                () = input_ends() => {}
            }
        }
        "sim" => {
            let cluster = simcluster::start(nodes.context("how many nodes?")?).await?;
            announce(&cluster.talosconfig()).await?;
            input_ends().await;
        }
        other => anyhow::bail!("there is no server {other:?}"),
    }
    Ok(())
}

async fn announce(talosconfig: &str) -> Result<()> {
    let mut output = tokio::io::stdout();
    output
        .write_all(format!("{talosconfig}\n{END}\n").as_bytes())
        .await?;
    Ok(output.flush().await?)
}

/// The parent is gone, or has enough.
async fn input_ends() {
    let mut scratch = [0; 64];
    while matches!(tokio::io::stdin().read(&mut scratch).await, Ok(1..)) {}
}
