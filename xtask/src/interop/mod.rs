//! `cargo xtask interop`: the programs in `interop/`, written in Go, against what this workspace builds.
//!
//! Go's gRPC, TLS, protobuf and protobuf compiler share nothing with ours, and the official client stands on
//! the same ones. The client program drives every RPC against `talos-sim`; [`judge`] compares what it reports
//! with [`table`]. The state server is the other end for the client's resource API. Needs Go; everything
//! else of this repository does not.

mod judge;
mod process;
mod table;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use self::process::{Background, capture, quiet, visible};
use crate::descriptors::ProtoTree;
use crate::methods::{Methods, ServedBy};
use crate::workspace;

/// Folder of the Go programs, relative to the repository root.
const FOLDER: &str = "interop";

/// The sample of every resource type, which the Go programs decode as well; relative to the root.
const SAMPLES: &str = "crates/talos-proto/tests/data/resources.jsonl";

/// Environment variable that tells a test of the client where the state server listens.
const STATE_SOCKET: &str = "TALOS_INTEROP_STATE_SOCKET";

/// Name that the tests against the state server share.
const STATE_TESTS: &str = "go_state_server";

/// Arguments of `cargo xtask interop`.
#[derive(Debug, Args)]
pub struct Interop {
    /// Write what the client program reports to this file as well
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Judge only the steps whose name begins with this, and not whether every RPC was called
    #[arg(long, value_name = "PREFIX")]
    only: Option<String>,
}

/// Runs `cargo xtask interop`, reporting to `output`.
pub fn run(arguments: &Interop, output: &mut dyn Write) -> Result<ExitCode> {
    let root = workspace::root();
    require_go()?;
    let scratch = tempfile::tempdir().context("making a temporary folder")?;

    writeln!(output, "== interop: build and check the Go programs")?;
    let binaries = scratch.path().join("bin");
    std::fs::create_dir(&binaries).context("making a folder for the programs")?;
    for arguments in [
        vec!["vet", "./..."],
        vec!["test", "./..."],
        vec!["build", "-o", path(&binaries)?, "./cmd/..."],
    ] {
        visible(Command::new("go").args(arguments).current_dir(root.join(FOLDER)))?;
    }

    let mut problems = samples(&root, &binaries, output)?;
    problems.extend(client(arguments, &root, scratch.path(), &binaries, output)?);
    if arguments.only.is_none() {
        state_server(&root, scratch.path(), &binaries, output)?;
    }
    for problem in &problems {
        writeln!(output, "FAILED  {problem}")?;
    }
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn require_go() -> Result<()> {
    let version = Command::new("go").arg("version").output();
    ensure!(
        version.is_ok_and(|version| version.status.success()),
        "Go is not installed; `cargo xtask interop` builds the programs in {FOLDER}/ with it"
    );
    Ok(())
}

/// Lets Go decode the sample of every resource type, and encode it again.
fn samples(root: &Path, binaries: &Path, output: &mut dyn Write) -> Result<Vec<String>> {
    writeln!(output, "== interop: samples of every resource type")?;
    let file = root.join(SAMPLES);
    let mut command = Command::new(binaries.join("vectors"));
    command
        .arg("-file")
        .arg(&file)
        .arg("-protos")
        .arg(root.join("proto"));
    let (status, text) = capture(&mut command)?;
    output.write_all(text.as_bytes())?;
    Ok(match status.success() {
        true => Vec::new(),
        false => vec![format!("{SAMPLES} does not agree with Go's protobuf")],
    })
}

/// Drives a simulated cluster with the client program.
fn client(
    arguments: &Interop,
    root: &Path,
    scratch: &Path,
    binaries: &Path,
    output: &mut dyn Write,
) -> Result<Vec<String>> {
    writeln!(output, "== interop: the Go client against talos-sim")?;
    let simulator = build_simulator(root)?;
    let talosconfig = scratch.join("talosconfig");
    let mut command = Command::new(simulator);
    command
        .args(["--nodes", "3+2", "--seed", "1", "--talosconfig-out"])
        .arg(&talosconfig);
    let mut simulator = Background::start(command)?;
    simulator
        .wait_for(|| std::fs::read(&talosconfig).is_ok_and(|text| text.ends_with(b"\n")))
        .context("waiting for talos-sim to write its talosconfig")?;

    let mut command = Command::new(binaries.join("client"));
    command
        .arg("-talosconfig")
        .arg(&talosconfig)
        .arg("-protos")
        .arg(root.join("proto"));
    if let Some(prefix) = &arguments.only {
        command.arg("-only").arg(prefix);
    }
    // The exit code says no more than the lines do.
    let (_, reported) = capture(&mut command)?;
    if let Some(file) = &arguments.report {
        std::fs::write(file, &reported).with_context(|| format!("writing {}", file.display()))?;
    }
    let verdict = match &arguments.only {
        Some(prefix) => judge::judge(&reported, &table::beginning_with(prefix), &BTreeSet::new())?,
        None => judge::judge(&reported, table::STEPS, &rpcs(root)?)?,
    };
    writeln!(output, "{verdict}")?;
    Ok(verdict.problems)
}

/// The RPCs that an `apid` serves, as `package.Service/Method`.
fn rpcs(root: &Path) -> Result<BTreeSet<String>> {
    let tree = ProtoTree::load(&root.join("proto"))?;
    let methods = Methods::load(root, &tree.pool)?;
    Ok(methods
        .all
        .iter()
        .filter(|method| method.facts.served_by == ServedBy::Apid)
        .map(|method| format!("{}.{}/{}", method.package, method.service, method.name))
        .collect())
}

/// Builds `talos-sim` and says where it is.
fn build_simulator(root: &Path) -> Result<PathBuf> {
    let mut command = cargo(root);
    command.args(["build", "--locked", "-p", "talos-testkit", "--features", "sim"]);
    command.args([
        "--bin",
        "talos-sim",
        "--message-format",
        "json-render-diagnostics",
    ]);
    let (status, messages) = capture(&mut command)?;
    ensure!(status.success(), "building talos-sim failed");
    for message in messages.lines() {
        let message: serde_json::Value =
            serde_json::from_str(message).context("reading a message of cargo")?;
        if message["target"]["name"] == "talos-sim"
            && let Some(executable) = message["executable"].as_str()
        {
            return Ok(executable.into());
        }
    }
    bail!("cargo did not say where talos-sim is")
}

/// Runs the tests of the client that want a COSI state written in Go.
fn state_server(root: &Path, scratch: &Path, binaries: &Path, output: &mut dyn Write) -> Result<()> {
    writeln!(
        output,
        "== interop: the client's resources against the Go state server"
    )?;
    let tests = |last: &[&str]| {
        let mut command = cargo(root);
        command.args(["test", "--locked", "-p", "talos-client", "--all-features"]);
        command.args(["--test", "it", "--", "--ignored"]).args(last);
        command
    };
    let listed = quiet(&mut tests(&["--list", STATE_TESTS]))?;
    if !listed.lines().any(|line| line.ends_with(": test")) {
        writeln!(
            output,
            "no test of talos-client is called {STATE_TESTS}: nothing to run"
        )?;
        return Ok(());
    }
    let socket = scratch.join("state.sock");
    let mut command = Command::new(binaries.join("stateserver"));
    command
        .arg("-socket")
        .arg(&socket)
        .arg("-protos")
        .arg(root.join("proto"));
    let mut server = Background::start(command)?;
    server
        .wait_for(|| socket.exists())
        .context("waiting for the Go state server")?;
    visible(tests(&[STATE_TESTS]).env(STATE_SOCKET, &socket))
}

/// The cargo that runs this.
fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn path(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))
}
