//! The Docker engine: the requests that a cluster needs, with errors of ours.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse, NetworkCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, InspectContainerOptions,
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
};
use futures_util::future::join_all;
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::RealError;

/// Seconds that a container has to end by itself.
const STOP_SECONDS: i32 = 30;
/// Lines of a log that go into an error.
const LOG_LINES: &str = "40";

/// A connection to an engine.
#[derive(Clone)]
pub(super) struct Engine {
    docker: Docker,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// Adds what was tried to an error of the engine.
trait Doing<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, RealError>;
}

impl<T> Doing<T> for Result<T, Error> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, RealError> {
        self.map_err(|source| RealError::Engine {
            doing: doing(),
            source: source.into(),
        })
    }
}

fn is_status(error: &Error, wanted: u16) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code, .. } if *status_code == wanted)
}

impl Engine {
    /// Connects to `host`, such as `unix:///var/run/docker.sock`, or to where `DOCKER_HOST` says.
    pub(super) async fn connect(host: Option<&str>) -> Result<Self, RealError> {
        let docker = match host {
            Some(host) => Docker::connect_with_host(host),
            None => Docker::connect_with_defaults(),
        };
        let doing = || "connecting to the Docker engine".to_owned();
        let docker = docker.doing(doing)?.negotiate_version().await.doing(doing)?;
        Ok(Self { docker })
    }

    /// The kernel that containers run on.
    async fn kernel(&self) -> String {
        let info = self.docker.info().await.ok();
        info.and_then(|info| info.kernel_version)
            .unwrap_or_else(|| "of unknown version".to_owned())
    }

    /// Pulls `image` unless the engine has it.
    pub(super) async fn provide(&self, image: &str) -> Result<(), RealError> {
        match self.docker.inspect_image(image).await {
            Ok(_) => return Ok(()),
            Err(error) if is_status(&error, 404) => {}
            Err(error) => return Err(error).doing(|| format!("looking for the image {image}")),
        }
        let options = CreateImageOptionsBuilder::new().from_image(image).build();
        let mut progress = self.docker.create_image(Some(options), None, None);
        while let Some(step) = progress.next().await {
            step.doing(|| format!("pulling the image {image}"))?;
        }
        Ok(())
    }

    /// Whether a network has been made, or overlaps with one that is there.
    pub(super) async fn create_network(&self, request: NetworkCreateRequest) -> Result<bool, RealError> {
        let name = request.name.clone();
        match self.docker.create_network(request).await {
            Ok(_) => Ok(true),
            Err(Error::DockerResponseServerError {
                status_code: 403 | 400,
                message,
            }) if message.contains("overlaps") => Ok(false),
            Err(error) => Err(error).doing(|| format!("making the network {name}")),
        }
    }

    /// Makes a container and starts it.
    pub(super) async fn run(&self, name: &str, body: ContainerCreateBody) -> Result<(), RealError> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        self.docker
            .create_container(Some(options), body)
            .await
            .doing(|| format!("making the container {name}"))?;
        self.docker
            .start_container(name, None::<StartContainerOptions>)
            .await
            .doing(|| format!("starting the container {name}"))
    }

    async fn inspect(&self, name: &str) -> Result<ContainerInspectResponse, RealError> {
        self.docker
            .inspect_container(name, None::<InspectContainerOptions>)
            .await
            .doing(|| format!("looking at the container {name}"))
    }

    /// Where the engine publishes a port of a container.
    pub(super) async fn published(&self, name: &str, port: &str) -> Result<SocketAddr, RealError> {
        let ports = self
            .inspect(name)
            .await?
            .network_settings
            .and_then(|settings| settings.ports);
        let binding = ports.and_then(|mut ports| ports.remove(port)?);
        let address = binding.into_iter().flatten().find_map(|binding| {
            let ip = binding.host_ip?.parse().ok()?;
            Some(SocketAddr::new(ip, binding.host_port?.parse().ok()?))
        });
        address.ok_or_else(|| RealError::Engine {
            doing: format!("finding where port {port} of {name} is published"),
            source: "the engine names no address".into(),
        })
    }

    /// The error for a container that has stopped; `None` while it runs.
    pub(super) async fn exited(&self, name: &str) -> Result<Option<RealError>, RealError> {
        let state = self.inspect(name).await?.state.unwrap_or_default();
        if state.running != Some(false) {
            return Ok(None);
        }
        Ok(Some(RealError::Exited {
            node: name.to_owned(),
            exit_code: state.exit_code.unwrap_or_default(),
            kernel: self.kernel().await,
            log: self.log_tail(name).await,
        }))
    }

    /// The end of a container's log, or why there is none.
    pub(super) async fn log_tail(&self, name: &str) -> String {
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .tail(LOG_LINES)
            .build();
        let lines: Result<Vec<_>, _> = self.docker.logs(name, Some(options)).try_collect().await;
        match lines {
            Ok(lines) => lines.iter().map(ToString::to_string).collect(),
            Err(error) => format!("(no log: {error})"),
        }
    }

    /// Names of all containers with the labels, stopped ones too.
    pub(super) async fn containers(&self, labels: &[String]) -> Result<Vec<String>, RealError> {
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filter(labels))
            .build();
        let found = self.docker.list_containers(Some(options)).await;
        let found = found.doing(|| "listing the containers".to_owned())?;
        Ok(found.into_iter().filter_map(|summary| summary.id).collect())
    }

    /// Names of all networks with the labels.
    pub(super) async fn networks(&self, labels: &[String]) -> Result<Vec<String>, RealError> {
        let options = ListNetworksOptionsBuilder::new().filters(&filter(labels)).build();
        let found = self.docker.list_networks(Some(options)).await;
        let found = found.doing(|| "listing the networks".to_owned())?;
        Ok(found.into_iter().filter_map(|network| network.id).collect())
    }

    /// Removes all containers with the labels, with their volumes, then all networks with them. Goes on after
    /// a failure, and gives the first one.
    pub(super) async fn remove(&self, labels: &[String]) -> Result<usize, RealError> {
        let containers = self.containers(labels).await?;
        let results = join_all(containers.iter().map(|id| self.remove_container(id))).await;
        let mut outcome: Result<(), RealError> = results.into_iter().collect();
        for network in self.networks(labels).await? {
            let removed = self.docker.remove_network(&network).await;
            let removed = tolerant(removed).doing(|| "removing a network".to_owned());
            outcome = outcome.and(removed);
        }
        outcome.map(|()| containers.len())
    }

    async fn remove_container(&self, id: &str) -> Result<(), RealError> {
        let stop = StopContainerOptionsBuilder::new().t(STOP_SECONDS).build();
        if let Err(error) = self.docker.stop_container(id, Some(stop)).await {
            tracing::debug!(container = id, %error, "stopping a container failed");
        }
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let removed = self.docker.remove_container(id, Some(options)).await;
        tolerant(removed).doing(|| "removing a container".to_owned())
    }
}

/// What is gone, or on its way out, is removed.
fn tolerant(removed: Result<(), Error>) -> Result<(), Error> {
    match removed {
        Err(error) if is_status(&error, 404) || is_status(&error, 409) => Ok(()),
        other => other,
    }
}

fn filter(labels: &[String]) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), labels.to_vec())])
}
