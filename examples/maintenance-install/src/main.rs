//! From machines that wait for a configuration, in maintenance mode, to a cluster that runs and its kubeconfig.
//!
//! ```text
//! cargo run -p maintenance-install
//! cargo run -p maintenance-install -- --talosconfig talosconfig --folder . \
//!     --control-plane 10.5.0.2,FINGERPRINT,controlplane.yaml --worker 10.5.0.3,FINGERPRINT,worker.yaml
//! ```
//!
//! The talosconfig and the configurations are those of the cluster to be, as `talosctl gen config` makes them; the
//! talosconfig names the control plane nodes as endpoints. Each machine shows its fingerprint on its console. A machine that
//! shows another one gets nothing: its configuration holds all secrets of the cluster.
//!
//! Run again after a failure, it goes on from there.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    time::Duration,
};

use clap::Parser;
use talos_client::{
    Client,
    config::Talosconfig,
    maintenance::Maintenance,
    transport::{Endpoint, Fingerprint},
    workflow::bootstrap::ClusterBootstrap,
};
use talos_testkit::SimCluster;

/// How many control plane nodes the simulated cluster is going to have.
const SIMULATED_CONTROL_PLANES: usize = 3;

/// Configures machines in maintenance mode and makes a cluster of them.
#[derive(Debug, Parser)]
#[command(name = "maintenance-install")]
struct Arguments {
    /// Install a real cluster, which is going to be reached by this talosconfig, instead of a simulated one
    #[arg(long, value_name = "FILE", requires = "control_plane")]
    talosconfig: Option<PathBuf>,
    /// A control plane node: its address, the fingerprint on its console, and the file with its configuration
    #[arg(long, value_name = "ADDRESS,FINGERPRINT,FILE", requires = "talosconfig")]
    control_plane: Vec<Place>,
    /// A worker, in the same way
    #[arg(long, value_name = "ADDRESS,FINGERPRINT,FILE", requires = "talosconfig")]
    worker: Vec<Place>,
    /// Where the kubeconfig is written to; required with a talosconfig, else a temporary folder
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// How long all of it may take, in seconds; a machine with another fingerprint is waited for as well
    #[arg(long, value_name = "SECONDS", default_value_t = 1200)]
    timeout: u64,
}

/// A machine on the command line.
#[derive(Clone, Debug)]
struct Place {
    /// Its host is what the node is called in the cluster.
    address: Endpoint,
    fingerprint: Fingerprint,
    file: PathBuf,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.splitn(3, ',').collect();
        let [address, fingerprint, file] = parts[..] else {
            return Err("address, fingerprint and file, with commas between them".to_owned());
        };
        let address: Result<Endpoint, _> = address.parse();
        let fingerprint: Result<Fingerprint, _> = fingerprint.parse();
        Ok(Self {
            address: address.map_err(|error| error.to_string())?,
            fingerprint: fingerprint.map_err(|error| error.to_string())?,
            file: file.into(),
        })
    }
}

/// A machine to be configured.
struct Machine {
    /// What it is called in the cluster.
    name: String,
    /// Where it waits.
    endpoint: String,
    fingerprint: Fingerprint,
    /// YAML with all its secrets.
    configuration: String,
    control_plane: bool,
}

/// What there is to install.
struct Plan {
    talosconfig: Talosconfig,
    machines: Vec<Machine>,
    /// The simulated cluster, if it is one. It ends when this is dropped.
    simulated: Option<SimCluster>,
}

#[tokio::main]
async fn main() -> ExitCode {
    examples::exit(run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    // Removed with what is in it when the program ends.
    let temporary = tempfile::tempdir()?;
    let folder = match (&arguments.folder, &arguments.talosconfig) {
        (Some(folder), _) => folder.clone(),
        (None, None) => temporary.path().to_owned(),
        (None, Some(_)) => return Err("where to write the kubeconfig? name a folder with --folder".into()),
    };
    fs::create_dir_all(&folder)?;
    let plan = match &arguments.talosconfig {
        Some(path) => real(path, &arguments)?,
        None => simulated().await?,
    };

    // Reaches the nodes when they are part of the cluster, and nobody before.
    let client = Client::builder().talosconfig(plan.talosconfig).build()?;
    let (mut control_planes, mut workers, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    for machine in plan.machines {
        let node = client.node(&machine.name)?;
        println!(
            "{}: expected with fingerprint {}",
            node.name(),
            machine.fingerprint
        );
        if machine.control_plane {
            control_planes.push(node.clone());
        } else {
            workers.push(node.clone());
        }
        let maintenance = Maintenance::at(&machine.endpoint).fingerprint(machine.fingerprint);
        waiting.push((node, maintenance.build()?, machine.configuration));
    }
    let mut bootstrap = ClusterBootstrap::of(control_planes)
        .workers(workers)
        .timeout(Duration::from_secs(arguments.timeout));
    for (node, machine, configuration) in waiting {
        bootstrap = bootstrap.configure(node, machine, configuration);
    }
    if plan.simulated.is_some() {
        // Simulated machines are quick, so look at them more often.
        bootstrap = bootstrap.interval(Duration::from_millis(50));
    }

    let mut run = bootstrap.start();
    while let Some(progress) = run.next_progress().await {
        println!("{progress}");
    }
    let cluster = run.finish().await?;
    let path = folder.join("kubeconfig");
    cluster.kubeconfig.save_to(&path)?;
    println!(
        "{} machines configured, etcd {}, kubeconfig in {}",
        cluster.configured.len(),
        if cluster.bootstrapped {
            "bootstrapped"
        } else {
            "as it was"
        },
        path.display()
    );
    Ok(())
}

/// The machines on the command line.
fn real(talosconfig: &Path, arguments: &Arguments) -> Result<Plan, Box<dyn Error>> {
    let machine = |place: &Place, control_plane| -> Result<Machine, Box<dyn Error>> {
        let configuration = fs::read_to_string(&place.file);
        Ok(Machine {
            name: place.address.host().ok_or("a machine has an address")?.to_owned(),
            endpoint: place.address.to_string(),
            fingerprint: place.fingerprint,
            configuration: configuration.map_err(|error| format!("{}: {error}", place.file.display()))?,
            control_plane,
        })
    };
    let mut machines = Vec::new();
    for place in &arguments.control_plane {
        machines.push(machine(place, true)?);
    }
    for place in &arguments.worker {
        machines.push(machine(place, false)?);
    }
    Ok(Plan {
        talosconfig: Talosconfig::load(talosconfig)?,
        machines,
        simulated: None,
    })
}

/// Simulated machines that wait, and what would be on their consoles.
async fn simulated() -> Result<Plan, Box<dyn Error>> {
    let cluster = SimCluster::builder()
        .control_planes(SIMULATED_CONTROL_PLANES)
        .workers(1)
        .maintenance(..)
        .start()
        .await?;
    let mut machines = Vec::new();
    for index in 0..cluster.nodes().len() {
        let machine = cluster.node(index);
        machines.push(Machine {
            name: machine.name().to_owned(),
            endpoint: machine.endpoint(),
            fingerprint: machine.fingerprint()?.parse()?,
            configuration: machine.generated_machine_config(),
            control_plane: index < SIMULATED_CONTROL_PLANES,
        });
    }
    Ok(Plan {
        talosconfig: Talosconfig::parse(cluster.talosconfig())?,
        machines,
        simulated: Some(cluster),
    })
}
