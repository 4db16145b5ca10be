//! `talos-sim`: a simulated Talos cluster as a program, for clients in any language.

mod args;
mod home;
mod signals;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use args::Args;
use clap::Parser as _;
use home::Home;
use signals::Signals;
use talos_testkit::SimCluster;
use talos_testkit::scenario::Scenario;
use tracing_subscriber::EnvFilter;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let args = Args::parse();
    log(&args);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&*error),
    }
}

/// Says why the program ends, with all causes.
fn fail(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    let mut text = format!("talos-sim: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::FAILURE
}

fn log(args: &Args) {
    let default = if args.quiet {
        "warn"
    } else {
        "info,talos_testkit::calls=debug"
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(std::io::stderr)
        .init();
}

async fn run(args: Args) -> Result<(), Failure> {
    // Before anybody is told that the program runs.
    let mut signals = Signals::new()?;
    let scenario = match &args.scenario {
        None => None,
        Some(path) => {
            let loaded = Scenario::load(path);
            Some(loaded.map_err(|error| Place {
                what: path.display().to_string(),
                error: error.into(),
            })?)
        }
    };
    let cluster = args.builder(scenario.as_ref()).start().await?;
    if let Some(scenario) = &scenario {
        scenario.apply(&cluster)?;
    }
    if let Some(folder) = &args.unix_sockets {
        serve_sockets(&cluster, folder)?;
    }
    let home = Home::new(args.talosconfig_out.as_deref())?;
    let written = cluster
        .talosconfig_builder()
        .roles(&args.roles)
        .write_to(home.talosconfig());
    written.map_err(|error| Place {
        what: format!("writing {}", home.talosconfig().display()),
        error: error.into(),
    })?;
    if let Some(folder) = &args.machine_configs_out {
        write_machine_configs(&cluster, folder).map_err(|error| Place {
            what: format!("writing machine configurations to {}", folder.display()),
            error: error.into(),
        })?;
    }
    if let Some(path) = &args.kubeconfig_out {
        write_private(path, cluster.kubeconfig()).map_err(|error| Place {
            what: format!("writing {}", path.display()),
            error: error.into(),
        })?;
    }
    announce(&cluster, &home)?;
    let outcome = serve(&cluster, scenario.as_ref(), &mut signals).await;
    tracing::info!("stopping");
    tokio::select! {
        () = cluster.shutdown() => {}
        signal = signals.next() => tracing::warn!("{signal}: not waiting for the nodes"),
    }
    outcome
}

/// Serves until a signal comes, while the timeline of the scenario happens.
async fn serve(
    cluster: &SimCluster,
    scenario: Option<&Scenario>,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let story = async {
        if let Some(scenario) = scenario {
            scenario.play(cluster).await?;
        }
        std::future::pending::<Result<(), Failure>>().await
    };
    tokio::select! {
        signal = signals.next() => {
            tracing::info!("{signal}");
            Ok(())
        }
        failed = story => failed,
    }
}

/// Says where everything is, on standard output.
fn announce(cluster: &SimCluster, home: &Home) -> Result<(), Failure> {
    let mut text = format!("talosconfig: {}\n", home.talosconfig().display());
    let nodes: Vec<_> = (0..cluster.nodes().len())
        .map(|index| cluster.node(index))
        .collect();
    let _ = writeln!(text, "endpoints: {}", cluster.endpoints().join(","));
    if let Some(kubernetes) = cluster.kubernetes() {
        let _ = writeln!(text, "kubernetes: {}", kubernetes.url());
    }
    // Those of many workers say little, and cost an open socket each.
    for node in nodes.iter().take(32) {
        let endpoint = node.try_socket_addr()?;
        let _ = writeln!(
            text,
            "node {} {} {} {endpoint}",
            node.name(),
            node.hostname(),
            node.role().as_str()
        );
        if node.is_in_maintenance() {
            let _ = writeln!(text, "fingerprint of {}: {}", node.name(), node.fingerprint()?);
        }
    }
    if nodes.len() > 32 {
        let _ = writeln!(text, "and {} more", nodes.len() - 32);
    }
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()?;
    Ok(())
}

/// Writes a file that only its owner may read, in the place of one that is there.
fn write_private(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let written = written.and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        // What could not be written is of no use, and the first error says more than another one.
        let _ = std::fs::remove_file(&new);
    }
    written
}

/// Writes a configuration for each role that the cluster has, readable by the owner only.
fn write_machine_configs(cluster: &SimCluster, folder: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let nodes = (0..cluster.nodes().len()).map(|index| cluster.node(index));
    let mut written = std::collections::BTreeSet::new();
    for node in nodes {
        let role = node.role().as_str();
        if !written.insert(role) {
            continue;
        }
        write_private(
            &folder.join(format!("{role}.yaml")),
            &node.generated_machine_config(),
        )?;
    }
    Ok(())
}

#[cfg(unix)]
fn serve_sockets(cluster: &SimCluster, folder: &std::path::Path) -> Result<(), Failure> {
    for name in cluster.nodes() {
        let Some(node) = cluster.node_by_name(&name) else {
            continue;
        };
        let folder = folder.join(&name);
        std::fs::create_dir_all(&folder).map_err(|error| Place {
            what: format!("creating {}", folder.display()),
            error: error.into(),
        })?;
        let path = folder.join("machine.sock");
        node.serve_unix(&path)?;
        tracing::info!(node = name, socket = %path.display(), "serving machined");
    }
    Ok(())
}

#[cfg(not(unix))]
fn serve_sockets(_: &SimCluster, _: &std::path::Path) -> Result<(), Failure> {
    Err("Unix sockets are for Unix systems".into())
}

/// An error with the file it is about.
#[derive(Debug)]
struct Place {
    what: String,
    error: Failure,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.what)
    }
}

impl std::error::Error for Place {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.error)
    }
}
