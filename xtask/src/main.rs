//! `cargo xtask`: maintainer tasks. See `cargo xtask --help`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use xtask::coverage::Coverage;
use xtask::descriptors::ProtoTree;
use xtask::methods::Methods;
use xtask::output::Outputs;
use xtask::{bench, book, ci, codegen, coverage_page, faults, footprint, interop, protos, workspace};

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "Maintainer tasks of the Talos client workspace"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measure the client against the numbers it is held to, with an optimized build
    Bench(bench::Bench),
    /// Make a book of the guides in docs/, and check the links of all pages; needs mdBook
    Book(book::Book),
    /// Run the checks that every change has to pass, the same as in the hosted workflow
    Ci(ci::Ci),
    /// Regenerate the code of talos-proto and proto/provenance.lock.toml from proto/
    Codegen {
        /// Write nothing; list the files that are not up to date and fail if there are any
        #[arg(long)]
        check: bool,
    },
    /// Count the RPCs and resources that are typed and tested, and render docs/api-coverage.md
    Coverage {
        /// Write nothing; fail if the page is not up to date
        #[arg(long)]
        check: bool,
    },
    /// Run the fault tests of transport and client many times over, on two cores
    Faults(faults::Faults),
    /// Compare the dependencies of a small client program with those of a plain tonic program
    Footprint {
        /// Also build both: cold debug build time and size of the stripped release binary
        #[arg(long)]
        build: bool,
    },
    /// Let the Go programs in interop/ drive a simulated cluster, and judge what they see; needs Go
    Interop(interop::Interop),
    /// Compare proto/ with Talos, and bring it in line
    Protos(protos::Protos),
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
fn run(task: Task) -> Result<ExitCode> {
    let root = workspace::root();
    match task {
        Task::Ci(arguments) => return ci::run(&arguments, &mut std::io::stdout()),
        Task::Bench(arguments) => {
            let ok = bench::run(&root, &arguments, &mut std::io::stdout())?;
            return Ok(code(ok));
        }
        Task::Book(arguments) => {
            let ok = book::run(&root, &arguments, &mut std::io::stdout())?;
            return Ok(code(ok));
        }
        Task::Codegen { check } => {
            settle(&codegen::generate(&root)?, &root, check)?;
        }
        Task::Coverage { check } => {
            let tree = ProtoTree::load(&root.join("proto"))?;
            let methods = Methods::load(&root, &tree.pool)?;
            let coverage = Coverage::collect(&root, &methods)?;
            let mut outputs = Outputs::default();
            outputs.insert(coverage_page::PAGE, coverage_page::render(&methods, &coverage)?);
            println!("{}", coverage.summary(&methods));
            settle(&outputs, &root, check)?;
        }
        Task::Faults(arguments) => {
            let ok = faults::run(&root, &arguments, &mut std::io::stdout())?;
            return Ok(code(ok));
        }
        Task::Footprint { build } => {
            let report = footprint::measure(&root, build)?;
            print!("{report}");
            if report.is_short() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Task::Interop(arguments) => return interop::run(&arguments, &mut std::io::stdout()),
        Task::Protos(arguments) => return protos::run(&arguments, &mut std::io::stdout().lock()),
    }
    Ok(ExitCode::SUCCESS)
}

fn code(ok: bool) -> ExitCode {
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes `outputs`, or only checks that they are written already.
#[expect(clippy::print_stdout, reason = "a program prints its result on stdout")]
fn settle(outputs: &Outputs, root: &Path, check: bool) -> Result<()> {
    let differences = if check {
        outputs.differences(root)?
    } else {
        outputs.write(root)?
    };
    for difference in &differences {
        println!("{difference}");
    }
    ensure!(
        !check || differences.is_empty(),
        "{} generated files are not up to date; run without --check",
        differences.len()
    );
    Ok(())
}
