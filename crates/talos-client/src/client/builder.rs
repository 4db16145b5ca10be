//! Making a [`Client`] from a talosconfig, from PEM, or from parts of both.

use std::{fmt, time::Duration};

use http::{Request, Response};
use talos_transport::{
    Channel, ChannelBuilder, Endpoint, ResponseBody, RetryConfig,
    layer::Next,
    tls::{TlsError, TlsHandle},
};
use tonic::body::Body;
use tower_layer::Layer;
use tower_service::Service;
use zeroize::Zeroizing;

use super::{Client, Inner, Pem};
use crate::{
    call::{Releases, Timeouts},
    error::{Error, ErrorKind, Result},
};

#[cfg(feature = "talosconfig")]
mod from_talosconfig;
mod proxy;
#[cfg(feature = "talosconfig")]
mod signature;

/// Collects where a cluster is and who we are there.
///
/// What is set here goes before what the talosconfig says. Nothing is checked before
/// [`ClientBuilder::build`], and nothing is dialled even then.
///
/// ```no_run
/// use talos_client::Client;
///
/// # fn example(ca: &[u8], crt: &[u8], key: &[u8]) -> talos_client::Result<()> {
/// let client = Client::builder()
///     .endpoints(["10.5.0.2", "10.5.0.3"])
///     .ca_pem(ca)
///     .client_certificate_pem(crt, key)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is made before `build`"]
pub struct ClientBuilder {
    endpoints: Vec<String>,
    pem: Pem,
    tls: Option<TlsHandle>,
    cluster: Option<String>,
    timeouts: Timeouts,
    retry: RetryConfig,
    connect_timeout: Option<Duration>,
    #[cfg(feature = "proxy")]
    proxy: Option<crate::proxy::ProxyPolicy>,
    #[cfg(feature = "proxy")]
    proxy_environment: Option<crate::proxy::ProxyEnvironment>,
    layers: Vec<LayerStep>,
    #[cfg(feature = "talosconfig")]
    talosconfig: Option<crate::config::Talosconfig>,
    #[cfg(feature = "talosconfig")]
    context: Option<String>,
    #[cfg(feature = "talosconfig")]
    watch: Option<Duration>,
    #[cfg(feature = "siderov1")]
    siderov1: Option<crate::siderov1::SideroV1Config>,
    #[cfg(feature = "siderov1")]
    signed_by: Option<crate::siderov1::Subject>,
}

/// Adds one of the user's layers to the channel.
type LayerStep = Box<dyn FnOnce(ChannelBuilder) -> ChannelBuilder + Send + Sync>;

/// What the builder and the talosconfig come to.
struct Settings {
    endpoints: Vec<Endpoint>,
    tls: TlsHandle,
    cluster: Option<String>,
    basic_auth: Option<(String, Zeroizing<String>)>,
    context_nodes: Vec<talos_transport::NodeName>,
    #[cfg(feature = "talosconfig")]
    source: Result<crate::config::Source, crate::config::ReloadError>,
}

impl ClientBuilder {
    pub(super) fn new() -> Self {
        Self {
            endpoints: Vec::new(),
            pem: Pem::default(),
            tls: None,
            cluster: None,
            timeouts: Timeouts::default(),
            retry: RetryConfig::new(),
            connect_timeout: None,
            #[cfg(feature = "proxy")]
            proxy: None,
            #[cfg(feature = "proxy")]
            proxy_environment: None,
            layers: Vec::new(),
            #[cfg(feature = "talosconfig")]
            talosconfig: None,
            #[cfg(feature = "talosconfig")]
            context: None,
            #[cfg(feature = "talosconfig")]
            watch: None,
            #[cfg(feature = "siderov1")]
            siderov1: None,
            #[cfg(feature = "siderov1")]
            signed_by: None,
        }
    }

    /// Takes endpoints and credentials from a talosconfig.
    #[cfg(feature = "talosconfig")]
    pub fn talosconfig(mut self, talosconfig: crate::config::Talosconfig) -> Self {
        self.talosconfig = Some(talosconfig);
        self
    }

    /// Uses this context of the talosconfig. Default: the one that it names as current.
    #[cfg(feature = "talosconfig")]
    pub fn context(mut self, name: impl Into<String>) -> Self {
        self.context = Some(name.into());
        self
    }

    /// Reads the talosconfig's file again at this interval, such as
    /// [`ClientBuilder::DEFAULT_WATCH_INTERVAL`], and uses the endpoints and credentials of the context from then on if
    /// they are others. Default: the file is read once.
    ///
    /// For the secret that Talos mounts into pods and renews there, and for files that a program of yours
    /// renews. The contents are compared, so symbolic links may be swapped and nothing happens if only the
    /// file's time changes. The client stays with the context it began with, even if the file makes another
    /// one current. Calls under way go on; those that begin later use a new connection with the new
    /// credentials, and fail if the servers do not accept those. A file that is missing, half written or broken
    /// changes nothing and is reported by [`Client::reloads`] and through `tracing`, and so is a context that
    /// has lost its CA or its client certificate. [`Client::reload`] does the same at once.
    ///
    /// Only certificates, the key and `endpoints` are taken over, the latter unless they were given to the builder: `nodes`,
    /// `cluster`, `auth` and `proxy-url` stay as they were, and a change to them is reported as in need of a new client.
    ///
    /// Watching ends when the client and everything made from it is gone. It needs a Tokio runtime when the
    /// client is built, and a talosconfig that came from a file.
    #[cfg(feature = "talosconfig")]
    pub fn watch_talosconfig(mut self, interval: Duration) -> Self {
        self.watch = Some(interval);
        self
    }

    /// Dials these endpoints, which must all lead to the same cluster. An empty list changes nothing.
    ///
    /// The forms that are understood are those of [`Endpoint`]; the default port is 50000.
    pub fn endpoints(mut self, endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.endpoints = endpoints.into_iter().map(Into::into).collect();
        self
    }

    /// Trusts the authorities in this PEM text, which may hold several certificates. Default: those of the
    /// talosconfig's context; without any, the system's.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.pem.ca = Some(pem.into());
        self
    }

    /// Shows this certificate, with the roles it grants. Default: that of the talosconfig's context;
    /// without any, none is shown, and apid refuses the connection except in maintenance mode.
    pub fn client_certificate_pem(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.pem.identity = Some((certificate.into(), Zeroizing::new(key.into())));
        self
    }

    /// Uses this TLS configuration, and nothing of what the talosconfig or the other methods say about
    /// certificates: fingerprints, another cryptography provider, or no verification. Nor is the context's
    /// `proxy-url` used, as in talosctl; a proxy of the environment still is. Requests are not signed either.
    ///
    /// A [`TlsConfig`](talos_transport::TlsConfig), or a [`TlsHandle`] through which it can be replaced later.
    pub fn tls(mut self, tls: impl Into<TlsHandle>) -> Self {
        self.tls = Some(tls.into());
        self
    }

    /// Names the cluster in the metadata `context` of every call, which Omni needs. Default: what the
    /// talosconfig's context says; nothing otherwise.
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.cluster = Some(name.into());
        self
    }

    /// Limits the time of calls that read something or are only acknowledged, [`Timeouts::quick`]. Default:
    /// [`Client::DEFAULT_TIMEOUT`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.quick = Some(timeout);
        self
    }

    /// Limits the time of all calls, by kind. Default: see [`Timeouts`].
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// How often failed calls are made again, and when. Default: [`RetryConfig::new`], up to three attempts.
    ///
    /// What is made again is not up to this: calls that read or can be repeated without harm, and of the
    /// others those that certainly had no effect. Of streams only what has not begun.
    pub fn retry(mut self, retry: RetryConfig) -> Self {
        self.retry = retry;
        self
    }

    /// Adds a layer around every call, see [`talos_transport::ChannelBuilder::call_layer`]. The first one added
    /// is the outermost.
    ///
    /// ```
    /// use http::{HeaderValue, Request};
    /// use talos_client::Client;
    /// use tonic::body::Body;
    /// use tower::util::MapRequestLayer;
    ///
    /// let who = MapRequestLayer::new(|mut request: Request<Body>| {
    ///     request.headers_mut().insert("x-requested-by", HeaderValue::from_static("backup"));
    ///     request
    /// });
    /// let builder = Client::builder().call_layer(who);
    /// ```
    pub fn call_layer<L>(self, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = Response<ResponseBody>, Error = tonic::Status>,
        L::Service: Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send + 'static,
    {
        self.customize(|channel| channel.call_layer(layer))
    }

    /// Adds a layer around every attempt of a call, see [`talos_transport::ChannelBuilder::attempt_layer`]. The
    /// first one added is the outermost.
    pub fn attempt_layer<L>(self, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = Response<ResponseBody>, Error = tonic::Status>,
        L::Service: Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send + 'static,
    {
        self.customize(|channel| channel.attempt_layer(layer))
    }

    /// Finds the addresses of names in another way than the system's, see
    /// [`talos_transport::ChannelBuilder::resolver`].
    pub fn resolver(self, resolver: impl talos_transport::connect::Resolve) -> Self {
        self.customize(|channel| channel.resolver(resolver))
    }

    fn customize(
        mut self,
        step: impl FnOnce(ChannelBuilder) -> ChannelBuilder + Send + Sync + 'static,
    ) -> Self {
        self.layers.push(Box::new(step));
        self
    }

    /// Limits the time of one attempt to connect to one endpoint, TLS included. Default:
    /// [`talos_transport::DEFAULT_CONNECT_TIMEOUT`].
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Checks everything that can be checked without a server, and makes the client.
    ///
    /// With the feature `proxy`, the variables `HTTPS_PROXY` and `NO_PROXY` of the environment are read now, and not
    /// again later, unless it was said before which proxy to use.
    ///
    /// # Errors
    ///
    /// `Config`. The source is a [`ConfigError`](crate::config::ConfigError) where the talosconfig is at
    /// fault, a [`TlsError`](talos_transport::tls::TlsError), an
    /// [`EndpointError`](talos_transport::EndpointError), a
    /// [`BuildError`](talos_transport::BuildError), a `ProxyEnvironmentError` if the environment names an unusable
    /// proxy, a `SideroV1Error` if requests are to be signed and cannot be, or a
    /// [`ReloadError`](crate::config::ReloadError) if the talosconfig cannot be watched.
    pub fn build(mut self) -> Result<Client> {
        self.timeouts.check().map_err(config_error)?;
        let (timeouts, connect_timeout) = (self.timeouts.clone(), self.connect_timeout);
        let (retry, layers) = (self.retry, std::mem::take(&mut self.layers));
        let settings = self.settings()?;
        let user_agent = concat!("talos-client/", env!("CARGO_PKG_VERSION"));
        let mut channel = Channel::builder(settings.endpoints)
            .tls(settings.tls)
            .user_agent(user_agent)
            .retry(retry);
        if let Some(cluster) = settings.cluster {
            channel = channel.context(&cluster);
        }
        if let Some((username, password)) = settings.basic_auth {
            channel = channel.basic_auth(&username, &password);
        }
        if let Some(timeout) = connect_timeout {
            channel = channel.connect_timeout(timeout);
        }
        let channel = self.with_proxy(channel)?;
        #[cfg(feature = "siderov1")]
        let channel = self.with_signer(channel)?;
        let channel = layers.into_iter().fold(channel, |channel, layer| layer(channel));
        let channel = channel.build().map_err(config_error)?;
        Ok(Client::new(Inner {
            #[cfg(feature = "talosconfig")]
            reloader: Client::reloader(&channel, settings.source, self.watch)?,
            channel,
            timeouts: timeouts.into(),
            context_nodes: settings.context_nodes,
            releases: Releases::default(),
        }))
    }

    /// Forgets whatever was said about endpoints and credentials in favour of these.
    pub(crate) fn dial_only(mut self, endpoint: Endpoint, tls: talos_transport::TlsConfig) -> Self {
        self.pem = Pem::default();
        self.cluster = None;
        #[cfg(feature = "talosconfig")]
        {
            (self.talosconfig, self.context, self.watch) = (None, None, None);
        }
        #[cfg(feature = "siderov1")]
        {
            self.signed_by = None;
        }
        self.endpoints([endpoint.to_string()]).tls(tls)
    }

    #[cfg(not(feature = "talosconfig"))]
    fn settings(&mut self) -> Result<Settings> {
        Ok(Settings {
            endpoints: self.own_endpoints()?,
            tls: self.tls_handle(Pem::default()).map_err(config_error)?,
            cluster: self.cluster.take(),
            basic_auth: None,
            context_nodes: Vec::new(),
        })
    }

    fn own_endpoints(&self) -> Result<Vec<Endpoint>> {
        self.endpoints
            .iter()
            .map(|text| text.parse().map_err(config_error))
            .collect()
    }

    /// The TLS settings, from the builder's parts and where it has none from the given ones.
    fn tls_handle(&mut self, pem: Pem) -> Result<TlsHandle, TlsError> {
        match self.tls.take() {
            Some(tls) => Ok(tls),
            None => self.pem.or(pem).tls_config().map(TlsHandle::new),
        }
    }
}

fn config_error(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::local(ErrorKind::Config, error)
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ClientBuilder");
        debug
            .field("endpoints", &self.endpoints)
            .field("ca", &self.pem.ca.is_some())
            .field("identity", &self.pem.identity.is_some())
            .field("tls", &self.tls.is_some())
            .field("cluster", &self.cluster)
            .field("timeouts", &self.timeouts)
            .field("retry", &self.retry)
            .field("connect_timeout", &self.connect_timeout)
            .field("layers", &self.layers.len());
        #[cfg(feature = "proxy")]
        debug
            .field("proxy", &self.proxy)
            .field("proxy_environment", &self.proxy_environment);
        #[cfg(feature = "talosconfig")]
        debug
            .field("talosconfig", &self.talosconfig)
            .field("context", &self.context)
            .field("watch", &self.watch);
        #[cfg(feature = "siderov1")]
        debug.field("siderov1", &self.siderov1);
        debug.finish()
    }
}
