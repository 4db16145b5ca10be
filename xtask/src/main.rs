//! `cargo xtask`: maintainer tasks. See `cargo xtask --help`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{codegen, workspace};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Maintainer tasks of the Talos client workspace")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Regenerate the code of talos-proto from proto/
    Codegen {
        /// Write nothing; list the files that are not up to date and fail if there are any
        #[arg(long)]
        check: bool,
    },
}

#[expect(clippy::print_stderr, reason = "a program reports its failure on stderr")]
fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "a program prints its result on stdout")]
fn run(task: Task) -> anyhow::Result<ExitCode> {
    let root = workspace::root();
    match task {
        Task::Codegen { check } => {
            let outputs = codegen::generate(&root)?;
            if check {
                let stale = outputs.differences(&root)?;
                for difference in &stale {
                    println!("{difference}");
                }
                if !stale.is_empty() {
                    anyhow::bail!("{} generated files are not up to date; run `cargo xtask codegen`", stale.len());
                }
                println!("codegen: up to date");
            } else {
                for change in outputs.write(&root)? {
                    println!("{change}");
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
