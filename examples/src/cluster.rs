//! Which cluster a program is about.

use std::{error::Error, path::PathBuf};

use clap::Args;
use talos_client::{Client, ClientBuilder, Node, config::Talosconfig};
use talos_testkit::{SimCluster, SimClusterBuilder};

/// Arguments of every program.
#[derive(Debug, Clone, Default, Args)]
pub struct ClusterArguments {
    /// Use the real cluster of this talosconfig, instead of a simulated one
    #[arg(long, value_name = "FILE")]
    pub talosconfig: Option<PathBuf>,
    /// Use this context of the talosconfig, instead of its current one
    #[arg(long, value_name = "NAME", requires = "talosconfig")]
    pub context: Option<String>,
}

/// A cluster, and a client of it.
#[derive(Debug)]
pub struct Opened {
    /// Knows all endpoints.
    pub client: Client,
    /// The nodes of the context, or all members of the cluster if it lists none.
    pub nodes: Vec<Node>,
    /// The simulated cluster, if it is one. It ends when this is dropped.
    pub simulated: Option<SimCluster>,
}

impl ClusterArguments {
    /// Reaches the cluster of the talosconfig, or starts `simulated`. `settings` may change the client.
    ///
    /// # Errors
    ///
    /// If the talosconfig cannot be used, the simulated cluster cannot be started, or nobody knows the members.
    pub async fn open(
        &self,
        simulated: SimClusterBuilder,
        settings: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Opened, Box<dyn Error>> {
        let (talosconfig, simulated) = match &self.talosconfig {
            Some(path) => (Talosconfig::load(path)?, None),
            None => {
                let cluster = simulated.start().await?;
                let text = cluster.talosconfig_builder().nodes(cluster.nodes()).render()?;
                (Talosconfig::parse(text)?, Some(cluster))
            }
        };
        let mut builder = Client::builder().talosconfig(talosconfig);
        if let Some(name) = &self.context {
            builder = builder.context(name);
        }
        let client = settings(builder).build()?;
        let mut nodes = client.context_nodes();
        if nodes.is_empty() {
            let (members, _) = client.discover().await?;
            nodes = members.into_iter().map(|member| member.node).collect();
        }
        Ok(Opened {
            client,
            nodes,
            simulated,
        })
    }
}
