//! Where the operator works.

use std::{env, error::Error, path::PathBuf};

use clap::Args;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use talos_client::{Client, ClientBuilder, config::Talosconfig, workflow::kubernetes::Kubernetes};
use talos_testkit::{
    SimCluster,
    kubernetes::{KubeBudget, KubePod, PodOwner},
};

use crate::request::{REBOOT, State};

/// Is set in every pod.
const IN_POD: &str = "KUBERNETES_SERVICE_HOST";

#[derive(Debug, Args)]
#[group(id = "place")]
pub(crate) struct Arguments {
    /// Work from a desk, as the administrator of this talosconfig
    #[arg(long, value_name = "FILE")]
    talosconfig: Option<PathBuf>,
}

/// A cluster with both its APIs.
pub(crate) struct Place {
    pub(crate) talos: Client,
    pub(crate) kubernetes: Kubernetes,
    /// The simulated cluster, if it is one. It ends when this is dropped.
    pub(crate) simulated: Option<SimCluster>,
    /// How many reboots are asked for there.
    pub(crate) requested: Option<usize>,
}

impl Arguments {
    pub(crate) async fn open(self) -> Result<Place, Box<dyn Error>> {
        if let Some(path) = self.talosconfig {
            let talos = Client::builder().talosconfig(Talosconfig::load(path)?).build()?;
            return Ok(Place {
                kubernetes: Kubernetes::of(&talos),
                talos,
                simulated: None,
                requested: None,
            });
        }
        if env::var_os(IN_POD).is_some() {
            let talosconfig = tokio::task::spawn_blocking(Talosconfig::load_default).await??;
            // Talos renews the secret, and with it the file.
            let talos = Client::builder()
                .talosconfig(talosconfig)
                .watch_talosconfig(ClientBuilder::DEFAULT_WATCH_INTERVAL)
                .build()?;
            return Ok(Place {
                talos,
                kubernetes: Kubernetes::in_pod()?,
                simulated: None,
                requested: None,
            });
        }
        simulated().await
    }
}

/// Two workers are to be rebooted, one of which has a pod that may not go.
async fn simulated() -> Result<Place, Box<dyn Error>> {
    let cluster = SimCluster::builder()
        .control_planes(3)
        .workers(2)
        .kubernetes(true)
        .start()
        .await?;
    let sim = cluster.kubernetes().ok_or("the cluster serves no Kubernetes")?;
    let pod = |name: &str, node: &str| {
        KubePod::new("default", name)
            .owned_by(PodOwner::ReplicaSet, "web")
            .label("app", "web")
            .on_node(node)
    };
    sim.add_pods([pod("web-1", "sim-worker-1"), pod("web-2", "sim-controlplane-1")]);
    let precious = KubePod::new("default", "precious").label("app", "precious");
    sim.add_pod(precious.on_node("sim-worker-2"));
    sim.set_budget(
        KubeBudget::new("default", "precious")
            .selects("app", "precious")
            .min_available(1),
    );

    let talos = Client::builder()
        .talosconfig(Talosconfig::parse(cluster.talosconfig())?)
        .build()?;
    let kubernetes = Kubernetes::of(&talos);
    let nodes: Api<Node> = Api::all(kubernetes.client().await?);
    let requested = ["sim-worker-1", "sim-worker-2"];
    for name in requested {
        let patch = json!({"metadata": {"annotations": {REBOOT: State::Requested.as_str()}}});
        nodes
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        println!(
            "as if by: kubectl annotate node {name} {REBOOT}={}",
            State::Requested.as_str()
        );
    }
    Ok(Place {
        talos,
        kubernetes,
        simulated: Some(cluster),
        requested: Some(requested.len()),
    })
}
