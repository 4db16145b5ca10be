//! Runs the measurements of `benches`, which this crate does not depend on, and prints one line a number.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::footprint;

/// What `cargo xtask bench` is told.
#[derive(Debug, Args)]
pub struct Bench {
    /// Measure only these, see `--list`
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Print the names of all measurements
    #[arg(long)]
    list: bool,
}

/// The measurement that is ours: it builds programs and starts none.
const FOOTPRINT: &str = "footprint";

/// Measures with an optimized build. Returns whether all bars were reached.
pub fn run(root: &Path, arguments: &Bench, print: &mut dyn std::io::Write) -> Result<bool> {
    let mut only = arguments.only.clone();
    let footprint = only.is_empty() || only.iter().any(|name| name == FOOTPRINT);
    let others = only.is_empty() || only.iter().any(|name| name != FOOTPRINT);
    only.retain(|name| name != FOOTPRINT);
    let mut ok = true;
    if others || arguments.list {
        let mut bench = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        bench.current_dir(root).args([
            "run",
            "--release",
            "--quiet",
            "--package",
            "benches",
            "--bin",
            "bench",
            "--",
        ]);
        for name in &only {
            bench.args(["--only", name]);
        }
        if arguments.list {
            bench.arg("--list");
        }
        let status = bench.status().context("running cargo")?;
        // 1 is a bar that was missed; the program has said what went wrong otherwise.
        ensure!(
            status.success() || status.code() == Some(1),
            "the measurements ended with {status}"
        );
        ok &= status.success();
    }
    if arguments.list {
        writeln!(print, "{FOOTPRINT}")?;
    } else if footprint {
        let report = footprint::measure(root, true)?;
        write!(print, "{report}")?;
        ok &= !report.is_short();
    }
    Ok(ok)
}
