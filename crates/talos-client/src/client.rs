//! The client of a cluster, and how it is made.

use std::{sync::Arc, time::Duration};

use talos_transport::{Channel, NodeName, tls::CertificateFacts};

use crate::{
    call::{CallOptions, Releases, Route, Target, Timeouts},
    error::{Error, ErrorKind, Result},
    fanout::Nodes,
    node::Node,
};

mod builder;
#[cfg(all(feature = "machine", feature = "cosi"))]
mod discovery;
mod pem;
#[cfg(feature = "talosconfig")]
mod reload;

pub use builder::ClientBuilder;
#[cfg(all(feature = "machine", feature = "cosi"))]
pub use discovery::{Member, MemberRole, MemberSource};
pub(crate) use pem::Pem;

/// A Talos cluster, reached through any of its endpoints.
///
/// Cloning is cheap, and all clones share one connection. Nothing is dialled before the first call, and a
/// lost connection is replaced by the next one.
///
/// The methods here may be answered by any endpoint. Whatever is about one machine is a method of [`Node`],
/// so that it cannot end up on another one by accident.
///
/// ```no_run
/// use talos_client::Client;
///
/// # async fn example() -> talos_client::Result<()> {
/// // TALOSCONFIG, ~/.talos/config, or the service account of a pod.
/// let client = Client::try_default().await?;
/// let node = client.node("10.5.0.3")?;
/// println!("{} runs Talos {}", node.name(), node.version().await?.tag());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
    options: CallOptions,
}

#[derive(Debug)]
struct Inner {
    channel: Channel,
    timeouts: Arc<Timeouts>,
    context_nodes: Vec<NodeName>,
    /// What is known about the nodes.
    releases: Releases,
    /// Reads the talosconfig again, or says why it cannot.
    #[cfg(feature = "talosconfig")]
    reloader: std::result::Result<Arc<crate::config::Reloader>, crate::config::ReloadError>,
}

impl Client {
    /// Time a call may take that reads something or is only acknowledged, unless told otherwise: 30 seconds.
    /// [`Timeouts`] has the others.
    ///
    /// Talos waits up to 20 seconds for a connection to another node, so a shorter time turns the reason
    /// of a dead node into a mere timeout.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

    /// Starts with nothing: endpoints and credentials come from the builder.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// The cluster of the current context of the talosconfig that talosctl would use.
    ///
    /// See [`Lookup`](crate::config::Lookup) for where it is looked for. Nothing is dialled.
    ///
    /// # Errors
    ///
    /// `Config`, with a [`ConfigError`](crate::config::ConfigError) or
    /// [`TlsError`](talos_transport::tls::TlsError) as the source.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    #[cfg(feature = "talosconfig")]
    pub async fn try_default() -> Result<Self> {
        use crate::config::Talosconfig;

        let loaded = tokio::task::spawn_blocking(Talosconfig::load_default).await;
        let talosconfig = loaded.map_err(|error| Error::local(ErrorKind::Config, error))??;
        Self::builder().talosconfig(talosconfig).build()
    }

    /// The cluster of the current context of a talosconfig file.
    ///
    /// Nothing is dialled. Use [`ClientBuilder::talosconfig`] and [`ClientBuilder::context`] for another
    /// context.
    ///
    /// # Errors
    ///
    /// As for [`Client::try_default`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    #[cfg(feature = "talosconfig")]
    pub async fn from_talosconfig(path: impl Into<std::path::PathBuf>) -> Result<Self> {
        use crate::config::Talosconfig;

        let path = path.into();
        let loaded = tokio::task::spawn_blocking(|| Talosconfig::load(path)).await;
        let talosconfig = loaded.map_err(|error| Error::local(ErrorKind::Config, error))??;
        Self::builder().talosconfig(talosconfig).build()
    }

    fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
            options: CallOptions::new(),
        }
    }

    /// The same client, with these options for its calls and those of nodes made from it. What they leave
    /// open is as it was.
    #[must_use]
    pub fn with_options(mut self, options: CallOptions) -> Self {
        self.options = options.or(&self.options);
        self
    }

    /// A handle for one machine, by address or by a name that the endpoints can resolve.
    ///
    /// Nothing is sent; whether the machine exists shows with the first call.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a name that is empty, has a port or has characters that no host name has.
    pub fn node(&self, name: impl AsRef<str>) -> Result<Node> {
        let name = name
            .as_ref()
            .parse()
            .map_err(|error| Error::local(ErrorKind::InvalidInput, error))?;
        Ok(self.node_named(name))
    }

    /// Handles for several machines, to ask them the same; see [`fanout`](crate::fanout).
    ///
    /// # Errors
    ///
    /// `InvalidInput`, as for [`Client::node`], for the first name that is none.
    pub fn nodes(&self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Nodes> {
        names.into_iter().map(|name| self.node(name)).collect()
    }

    /// Several machines that one endpoint is to ask by itself, as older Talos clients do; see
    /// [`aggregate`](crate::fanout::aggregate). Prefer [`Client::nodes`].
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a name that is none, and if there is no name at all.
    #[cfg(feature = "machine")]
    pub fn aggregate(
        &self,
        names: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<crate::fanout::aggregate::Aggregate> {
        let nodes = self.nodes(names)?;
        if nodes.is_empty() {
            let message = "an aggregate needs at least one node";
            return Err(Error::new(ErrorKind::InvalidInput, crate::Origin::Local).with_message(message));
        }
        let names: Arc<[NodeName]> = nodes.iter().map(|node| node.name().clone()).collect();
        let target = self.target_of(Route::Aggregate(Arc::clone(&names)));
        Ok(crate::fanout::aggregate::Aggregate::new(target, names))
    }

    /// The nodes that the talosconfig's context lists under `nodes`, which may be none.
    ///
    /// talosctl sends its commands to them unless told otherwise; here they are never used silently.
    pub fn context_nodes(&self) -> Vec<Node> {
        self.inner
            .context_nodes
            .iter()
            .cloned()
            .map(|name| self.node_named(name))
            .collect()
    }

    /// Validity and subject of the client certificate that is in use now; its organizations are the roles it
    /// grants, such as `os:reader`. `None` where none is shown.
    ///
    /// A warning is traced once when a certificate has little of its life left, see
    /// [`CertificateFacts::expires_soon_from`], and an error when it has expired.
    pub fn certificate(&self) -> Option<CertificateFacts> {
        self.inner.channel.tls()?.certificate()
    }

    /// The channel behind every call, for stubs of your own or from [`proto`](crate::proto).
    ///
    /// It adds what Talos wants in every call. A request reaches a certain node if it has a
    /// [`talos_transport::Node`] among its extensions.
    pub fn raw(&self) -> Channel {
        self.inner.channel.clone()
    }

    /// A handle for the machine that is dialled, which answers whatever node is named.
    pub(crate) fn dialled(&self, name: NodeName) -> Node {
        Node::new(self.target_of(Route::Dialled(name.clone())), name)
    }

    fn node_named(&self, name: NodeName) -> Node {
        Node::new(self.target_of(Route::Node(name.clone())), name)
    }

    /// Whichever endpoint answers.
    #[cfg(any(feature = "machine", feature = "cosi"))]
    pub(crate) fn target(&self) -> Target {
        self.target_of(Route::Any)
    }

    fn target_of(&self, route: Route) -> Target {
        Target {
            channel: self.inner.channel.clone(),
            route,
            timeouts: Arc::clone(&self.inner.timeouts),
            options: self.options.clone(),
            releases: self.inner.releases.clone(),
        }
    }
}
