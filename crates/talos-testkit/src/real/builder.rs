//! Starts a cluster in containers.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::cleanup::Cleanup;
use super::connection::Credentials;
use super::engine::Engine;
use super::ready::{self, Target};
use super::recipe::{self, Common, NodePlan, Privileges};
use super::subnet::Subnet;
use super::{RealCluster, RealError, RealNode};
use crate::machine_config::ConfigPlan;
use crate::node::MachineRole;
use crate::pki::ClientCertSpec;
use crate::secrets::{Secrets, characters};
use crate::talosconfig::Talosconfig;

/// The release that is started when no image is asked for.
const IMAGE: &str = "ghcr.io/siderolabs/talos:v1.14.0";

/// Describes a cluster to start in containers. See [`RealCluster::docker`].
#[derive(Debug, Clone)]
#[must_use]
pub struct RealClusterBuilder {
    host: Option<String>,
    image: String,
    name: Option<String>,
    control_planes: usize,
    workers: usize,
    subnet: Option<String>,
    privileges: Privileges,
    cpus: u16,
    memory_mib: u32,
    kubernetes: Option<String>,
    patience: Duration,
}

impl Default for RealClusterBuilder {
    fn default() -> Self {
        Self {
            host: None,
            image: IMAGE.to_owned(),
            name: None,
            control_planes: 1,
            workers: 0,
            subnet: None,
            privileges: Privileges::Full,
            cpus: 2,
            memory_mib: 2048,
            kubernetes: None,
            patience: Duration::from_secs(600),
        }
    }
}

impl RealClusterBuilder {
    /// The engine to use: `unix:///path`, `npipe:////./pipe/name`, or `tcp://host:port` without TLS. Default:
    /// what the environment variable `DOCKER_HOST` says, else the system's usual socket.
    pub fn engine(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The image of the nodes; pulled, without credentials, if the engine does not have it. Default:
    /// `ghcr.io/siderolabs/talos:v1.14.0`.
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.image = image.into();
        self
    }

    /// Name of the cluster, of its network and at the beginning of its containers' names. Default:
    /// `talos-testkit-` and eight random characters.
    pub fn cluster_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Number of control plane nodes. Default: 1.
    pub fn control_planes(mut self, count: usize) -> Self {
        self.control_planes = count;
        self
    }

    /// Number of workers. Default: 0.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// The network of the nodes, with a prefix of 8 to 29 bits. Its first address belongs to the engine, the
    /// nodes follow. Default: the first of 10.5.0.0/24, 10.5.1.0/24, … that the engine has not in use.
    pub fn subnet(mut self, subnet: impl Into<String>) -> Self {
        self.subnet = Some(subnet.into());
        self
    }

    /// What the containers may do. Default: [`Privileges::Full`], which Talos needs.
    pub fn privileges(mut self, privileges: Privileges) -> Self {
        self.privileges = privileges;
        self
    }

    /// Limits of each node: processors, and memory in MiB. Default: 2 and 2048.
    pub fn size(mut self, cpus: u16, memory_mib: u32) -> Self {
        self.cpus = cpus;
        self.memory_mib = memory_mib;
        self
    }

    /// Also runs etcd and Kubernetes of this release, such as `1.37.0`, whose images the nodes then pull.
    /// Default: neither; the nodes serve the Talos API and need no network. Such a node needs Talos 1.14.
    pub fn kubernetes(mut self, release: impl Into<String>) -> Self {
        self.kubernetes = Some(release.into());
        self
    }

    /// How long each node may take until it is ready. Default: ten minutes.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Starts the nodes, control planes first, and waits until the API of each answers and it is booting or
    /// running; with Kubernetes, also starts etcd. Does not wait for Kubernetes.
    ///
    /// What has been started is removed again when this fails or is cancelled.
    ///
    /// # Errors
    ///
    /// [`RealError`]; one about a node that does not come up holds the end of its log.
    pub async fn start(self) -> Result<RealCluster, RealError> {
        if self.control_planes == 0 {
            return Err(RealError::NoControlPlane);
        }
        let subnet: Option<Subnet> = self.subnet.as_deref().map(str::parse).transpose()?;
        let name = match &self.name {
            Some(name) => checked(name)?,
            None => format!("talos-testkit-{}", characters(8)?),
        };
        let engine = Engine::connect(self.host.as_deref()).await?;
        let filter = recipe::cluster_filter(&name);
        if !engine.containers(&filter).await?.is_empty() || !engine.networks(&filter).await?.is_empty() {
            return Err(RealError::Exists { name });
        }
        engine.provide(&self.image).await?;
        let cleanup = Cleanup::new(self.host.clone(), name.clone());
        let subnet = self.network(&engine, &name, subnet).await?;
        let secrets = Secrets::generate()?;
        let plans = self.plans(&name, subnet, &secrets);
        let common = Common {
            cluster: name.clone(),
            image: self.image.clone(),
            privileges: self.privileges.clone(),
            cpus: self.cpus,
            memory_mib: self.memory_mib,
            kubernetes: self.kubernetes.is_some(),
        };
        let (planes, workers) = plans.split_at(self.control_planes);
        for group in [planes, workers] {
            let runs = group
                .iter()
                .map(|plan| engine.run(&plan.name, recipe::container(&common, plan)));
            try_join_all(runs).await?;
        }
        let nodes = try_join_all(plans.iter().map(|plan| node(&engine, plan))).await?;
        let client = secrets.talos.issue_client(&ClientCertSpec::new(["os:admin"]))?;
        let endpoints: Vec<_> = nodes
            .iter()
            .filter(|node| node.role == MachineRole::ControlPlane)
            .map(|node| node.endpoint.clone())
            .collect();
        let ca_pem = secrets.talos.certificate_pem();
        let talosconfig = Talosconfig {
            context: &name,
            endpoints: &endpoints,
            nodes: &[],
            ca_pem: &ca_pem,
            client: &client,
        };
        let cluster = RealCluster {
            talosconfig: talosconfig.render(),
            name,
            endpoints,
            nodes,
            origin: Some((engine, cleanup)),
        };
        let (_, context) = super::credentials_file::current(&cluster.talosconfig)?;
        self.settle(&cluster, &context.credentials()?).await?;
        Ok(cluster)
    }

    /// Makes the network: the one asked for, or the first that overlaps with none.
    async fn network(&self, engine: &Engine, name: &str, asked: Option<Subnet>) -> Result<Subnet, RealError> {
        let nodes = self.control_planes + self.workers;
        let candidates: Vec<_> = match asked {
            Some(subnet) => vec![subnet],
            None => Subnet::candidates().collect(),
        };
        for subnet in candidates {
            if nodes > subnet.room() {
                return Err(RealError::TooManyNodes {
                    nodes,
                    subnet: subnet.to_string(),
                });
            }
            if engine.create_network(recipe::network(name, subnet)).await? {
                return Ok(subnet);
            }
        }
        Err(match asked {
            Some(subnet) => RealError::Engine {
                doing: format!("making the network {name}"),
                source: format!("{subnet} overlaps with another network of the engine").into(),
            },
            None => RealError::NoFreeSubnet,
        })
    }

    fn plans(&self, name: &str, subnet: Subnet, secrets: &Secrets) -> Vec<NodePlan> {
        let config = ConfigPlan {
            cluster: name,
            first: subnet.node(0).into(),
            kubernetes: self.kubernetes.as_deref(),
            install: None,
            discovery: false,
            secrets,
        };
        let numbered = |role, count| (1..=count).map(move |number| (role, number));
        numbered(MachineRole::ControlPlane, self.control_planes)
            .chain(numbered(MachineRole::Worker, self.workers))
            .enumerate()
            .map(|(index, (role, number))| NodePlan {
                name: recipe::node_name(name, role, number),
                role,
                address: subnet.node(index),
                config: config.legacy(role),
            })
            .collect()
    }

    /// Waits for all nodes, then starts etcd on the first one by the text of its address.
    async fn settle(&self, cluster: &RealCluster, credentials: &Credentials) -> Result<(), RealError> {
        let engine = cluster.origin.as_ref().map(|(engine, _)| engine);
        let target = |node: &'_ RealNode| Target {
            name: node.name.clone(),
            endpoint: node.endpoint.clone(),
            node: None,
            engine: engine.cloned(),
        };
        let waits = cluster
            .nodes
            .iter()
            .map(|node| async move { ready::wait(&target(node), credentials, self.patience).await });
        try_join_all(waits).await?;
        let planes = cluster
            .nodes
            .iter()
            .filter(|node| node.role == MachineRole::ControlPlane);
        match planes.min_by_key(|node| node.address.clone()) {
            Some(first) if self.kubernetes.is_some() => {
                ready::bootstrap(&target(first), credentials, self.patience).await
            }
            _ => Ok(()),
        }
    }
}

/// Where a node is that has been started.
async fn node(engine: &Engine, plan: &NodePlan) -> Result<RealNode, RealError> {
    let endpoint = match engine.published(&plan.name, recipe::API_PORT).await {
        Ok(endpoint) => endpoint,
        // What has stopped already publishes nothing.
        Err(error) => return Err(engine.exited(&plan.name).await?.unwrap_or(error)),
    };
    Ok(RealNode {
        name: plan.name.clone(),
        address: plan.address.to_string(),
        role: plan.role,
        endpoint: endpoint.to_string(),
    })
}

fn checked(name: &str) -> Result<String, RealError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let begins = name
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_lowercase());
    if begins && name.len() <= 40 && name.bytes().all(fits) {
        Ok(name.to_owned())
    } else {
        Err(RealError::Name {
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_hosts() {
        for name in ["", "-a", "1a", "A", "a_b", "a.b", &"a".repeat(41)] {
            assert!(matches!(checked(name), Err(RealError::Name { .. })), "{name}");
        }
        for name in ["a", "talos-default", "a1-"] {
            assert_eq!(checked(name).unwrap(), name);
        }
    }

    #[test]
    fn control_planes_come_before_workers() {
        let builder = RealCluster::docker().control_planes(2).workers(1);
        let secrets = Secrets::generate().unwrap();
        let plans = builder.plans("t", "10.5.0.0/24".parse().unwrap(), &secrets);
        let names: Vec<_> = plans
            .iter()
            .map(|plan| format!("{} {}", plan.name, plan.address))
            .collect();
        assert_eq!(
            names,
            [
                "t-controlplane-1 10.5.0.2",
                "t-controlplane-2 10.5.0.3",
                "t-worker-1 10.5.0.4"
            ]
        );
    }

    #[tokio::test]
    async fn nonsense_is_refused_before_the_engine_is_asked() {
        let nowhere = || RealCluster::docker().engine("unix:///nowhere/docker.sock");
        let error = nowhere().control_planes(0).start().await.unwrap_err();
        assert!(matches!(error, RealError::NoControlPlane), "{error}");
        let error = nowhere().subnet("10.5.0.0").start().await.unwrap_err();
        assert!(matches!(error, RealError::Subnet { .. }), "{error}");
        let error = nowhere().cluster_name("No").start().await.unwrap_err();
        assert!(matches!(error, RealError::Name { .. }), "{error}");
    }
}
