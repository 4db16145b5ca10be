//! The machine that this program runs on, through a socket of its own.
//!
//! Programs on a node, such as extension services, reach its API without certificates through a unix socket. They say which
//! roles they claim; the node grants those that the calling process may have. Calls answer for this machine alone, whatever
//! node they name, so there is a [`Node`] here and no way to another one.
//!
//! ```no_run
//! use talos_client::local::Local;
//!
//! # async fn example() -> talos_client::Result<()> {
//! let node = Local::with_roles(["os:reader"]).build()?;
//! println!("{}", node.version().await?.tag());
//! # Ok(())
//! # }
//! ```

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use talos_transport::{Channel, Endpoint, NodeName, RetryConfig};

use crate::{
    Node,
    call::{CallOptions, Releases, Route, Target, Timeouts},
    error::{Error, ErrorKind, Result},
};

/// How to reach this machine.
#[derive(Clone, Debug)]
#[must_use = "nothing is made before `build`"]
pub struct Local {
    path: PathBuf,
    roles: Vec<String>,
    timeouts: Timeouts,
    retry: RetryConfig,
    connect_timeout: Option<Duration>,
}

/// What is wrong with a [`Local`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// Without a role, the node refuses every call.
    #[error("no role is claimed, so the node would refuse every call")]
    NoRole,
}

impl Local {
    /// Where nodes have the socket.
    pub const DEFAULT_PATH: &str = "/system/run/machined/machine.sock";

    /// Claims these roles, such as `os:reader` and `os:admin`.
    pub fn with_roles(roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            path: PathBuf::from(Self::DEFAULT_PATH),
            roles: roles.into_iter().map(Into::into).collect(),
            timeouts: Timeouts::default(),
            retry: RetryConfig::new(),
            connect_timeout: None,
        }
    }

    /// Uses this socket. Default: [`Local::DEFAULT_PATH`].
    pub fn path(mut self, path: impl AsRef<Path>) -> Self {
        self.path = path.as_ref().to_owned();
        self
    }

    /// Limits the time of all calls, by kind. Default: see [`Timeouts`].
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// How often failed calls are made again, and when. Default: as for
    /// [`ClientBuilder::retry`](crate::ClientBuilder::retry).
    pub fn retry(mut self, retry: RetryConfig) -> Self {
        self.retry = retry;
        self
    }

    /// Limits the time of one attempt to connect. Default: [`talos_transport::DEFAULT_CONNECT_TIMEOUT`].
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Makes a handle. Nothing is dialled, so a socket that does not exist shows with the first call.
    ///
    /// The handle's [`name`](Node::name) is `localhost`; calls name no node.
    ///
    /// # Errors
    ///
    /// `Config`. The source is a [`LocalError`], an [`EndpointError`](talos_transport::EndpointError) for a path that is not
    /// absolute, or a [`BuildError`](talos_transport::BuildError) for a role that is not text and for times of zero.
    pub fn build(self) -> Result<Node> {
        self.timeouts.check().map_err(config)?;
        if self.roles.iter().all(|role| role.trim().is_empty()) {
            return Err(config(LocalError::NoRole));
        }
        let endpoint = Endpoint::unix(&self.path).map_err(config)?;
        let mut channel = Channel::builder([endpoint])
            .user_agent(concat!("talos-client/", env!("CARGO_PKG_VERSION")))
            .retry(self.retry);
        for role in &self.roles {
            channel = channel.metadata(ROLE, role);
        }
        if let Some(timeout) = self.connect_timeout {
            channel = channel.connect_timeout(timeout);
        }
        let name: NodeName = "localhost".parse().map_err(config)?;
        let target = Target {
            channel: channel.build().map_err(config)?,
            route: Route::Dialled(name.clone()),
            timeouts: Arc::new(self.timeouts),
            options: CallOptions::new(),
            releases: Releases::default(),
        };
        Ok(Node::new(target, name))
    }
}

fn config(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::local(ErrorKind::Config, error)
}

/// The metadata that claims a role, once for each.
const ROLE: &str = "talos-role";
