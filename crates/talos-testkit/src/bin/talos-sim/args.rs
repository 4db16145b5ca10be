//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Parser;
use talos_testkit::scenario::{NodeCounts, ProfileTag, Scenario};
use talos_testkit::{Listen, SimCluster, SimClusterBuilder};

/// Simulates a Talos Linux cluster that serves the Talos API on this machine until it is stopped.
#[derive(Debug, Parser)]
#[command(name = "talos-sim", version, about, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// How many nodes: control plane nodes, and workers after a plus [default: 1, or what the scenario says]
    #[arg(long, value_name = "3+2")]
    pub(crate) nodes: Option<NodeCounts>,

    /// Name of the cluster, and of the context in the talosconfig
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// DNS domain of the nodes
    #[arg(long)]
    pub(crate) domain: Option<String>,

    /// Talos release that the nodes behave like, from v1.8 on [default: the newest that is simulated]
    #[arg(long, value_name = "v1.13")]
    pub(crate) profile: Option<ProfileTag>,

    /// Seed of everything that nodes make up, and of the luck of faults
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// Scenario file: nodes, faults and what happens when; options here go before what it says
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<PathBuf>,

    /// Start with nodes that are configured, but wait for `Bootstrap`
    #[arg(long)]
    pub(crate) not_bootstrapped: bool,

    /// Where to write the talosconfig [default: a folder of its own for temporary files]
    #[arg(long, value_name = "FILE")]
    pub(crate) talosconfig_out: Option<PathBuf>,

    /// Role in the talosconfig's certificate; may be repeated
    #[arg(long = "role", value_name = "ROLE", default_value = "os:admin")]
    pub(crate) roles: Vec<String>,

    /// Where to listen: `auto`, `distinct` (127.0.0.2, 127.0.0.3, …), `shared` (127.0.0.1), or an address of
    /// this machine that all nodes share, such as 0.0.0.0
    #[arg(long, value_name = "WHERE", default_value = "auto", value_parser = listen)]
    pub(crate) listen: Listen,

    /// Port of the first node; the others have the following ones, or the same one at addresses of their own
    /// [default: free ports]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) ports: Option<u16>,

    /// Name or address that clients reach this machine by, for the server certificates; may be repeated
    #[arg(long = "cert-san", value_name = "NAME")]
    pub(crate) cert_sans: Vec<String>,

    /// Folder for Unix sockets with the API of each node's machined: `<node>/machine.sock`
    #[arg(long, value_name = "FOLDER")]
    pub(crate) unix_sockets: Option<PathBuf>,

    /// Let all nodes begin in maintenance mode, without a configuration; their fingerprints are printed
    #[arg(long)]
    pub(crate) maintenance: bool,

    /// Serve the Kubernetes API, too; it is at the address in the kubeconfig of the nodes, which is printed
    #[arg(long)]
    pub(crate) kubernetes: bool,

    /// Where to write the administrator's kubeconfig
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig_out: Option<PathBuf>,

    /// Folder for machine configurations that make a node a part of the cluster: `controlplane.yaml` and
    /// `worker.yaml`
    #[arg(long, value_name = "FOLDER")]
    pub(crate) machine_configs_out: Option<PathBuf>,

    /// Log nothing but warnings. `RUST_LOG` says more exactly what is logged
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

const AFTER_HELP: &str = "\
Standard output has the path of the talosconfig and the endpoints, standard error the log. The talosconfig is
written when all nodes answer, as the last thing before that. The program ends on SIGINT or SIGTERM.";

impl Args {
    /// The cluster that is asked for.
    pub(crate) fn builder(&self, scenario: Option<&Scenario>) -> SimClusterBuilder {
        let mut builder = SimCluster::builder().listen(self.listen).recording(false);
        if let Some(scenario) = scenario {
            builder = scenario.apply_to_builder(builder);
        }
        if let Some(counts) = self.nodes {
            builder = builder
                .control_planes(counts.control_planes)
                .workers(counts.workers);
        }
        if let Some(name) = &self.name {
            builder = builder.cluster_name(name);
        }
        if let Some(domain) = &self.domain {
            builder = builder.domain(domain);
        }
        if let Some(ProfileTag(tag)) = &self.profile {
            builder = builder.talos_version(tag);
        }
        if let Some(seed) = self.seed {
            builder = builder.seed(seed);
        }
        if self.not_bootstrapped {
            builder = builder.bootstrapped(false);
        }
        if let Some(port) = self.ports {
            builder = builder.first_port(port);
        }
        if !self.cert_sans.is_empty() {
            builder = builder.cert_sans(&self.cert_sans);
        }
        if self.kubernetes {
            builder = builder.kubernetes(true);
        }
        if self.maintenance {
            builder = builder.maintenance(..);
        }
        builder
    }
}

fn listen(text: &str) -> Result<Listen, String> {
    match text {
        "auto" => Ok(Listen::Auto),
        "distinct" => Ok(Listen::DistinctLoopback),
        "shared" => Ok(Listen::SharedLoopback),
        address => address
            .parse::<IpAddr>()
            .map(Listen::Ip)
            .map_err(|_| "write auto, distinct, shared or an IP address of this machine".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn wrong_values_are_explained() {
        for (arguments, expected) in [
            (["talos-sim", "--nodes", "0+2"], "at least one control plane node"),
            (["talos-sim", "--nodes", "three"], "write 3+2"),
            (
                ["talos-sim", "--profile", "v1.2"],
                "no Talos release from v1.8 on",
            ),
            (["talos-sim", "--listen", "everywhere"], "auto, distinct, shared"),
            (["talos-sim", "--ports", "0"], "1..=65535"),
        ] {
            let error = Args::try_parse_from(arguments).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
