//! Making a [`Client`] from a talosconfig, from PEM, or from parts of both.

use std::{fmt, time::Duration};

use http::{Request, Response};
use talos_transport::{
    Channel, ChannelBuilder, Endpoint, ResponseBody, RetryConfig,
    layer::Next,
    tls::{Identity, ServerVerification, TlsConfig},
};
use tonic::body::Body;
use tower_layer::Layer;
use tower_service::Service;
use zeroize::Zeroizing;

use super::Client;
use crate::{
    call::Timeouts,
    error::{Error, ErrorKind, Result},
};

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
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
    tls: Option<TlsConfig>,
    cluster: Option<String>,
    timeouts: Timeouts,
    retry: RetryConfig,
    connect_timeout: Option<Duration>,
    layers: Vec<LayerStep>,
    #[cfg(feature = "talosconfig")]
    talosconfig: Option<crate::config::Talosconfig>,
    #[cfg(feature = "talosconfig")]
    context: Option<String>,
}

/// Adds one of the user's layers to the channel.
type LayerStep = Box<dyn FnOnce(ChannelBuilder) -> ChannelBuilder + Send + Sync>;

/// What the builder and the talosconfig come to.
struct Settings {
    endpoints: Vec<Endpoint>,
    tls: TlsConfig,
    cluster: Option<String>,
    basic_auth: Option<(String, Zeroizing<String>)>,
    context_nodes: Vec<talos_transport::NodeName>,
}

impl ClientBuilder {
    pub(super) fn new() -> Self {
        Self {
            endpoints: Vec::new(),
            ca: None,
            identity: None,
            tls: None,
            cluster: None,
            timeouts: Timeouts::default(),
            retry: RetryConfig::new(),
            connect_timeout: None,
            layers: Vec::new(),
            #[cfg(feature = "talosconfig")]
            talosconfig: None,
            #[cfg(feature = "talosconfig")]
            context: None,
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
        self.ca = Some(pem.into());
        self
    }

    /// Shows this certificate, with the roles it grants. Default: that of the talosconfig's context;
    /// without any, none is shown, and apid refuses the connection except in maintenance mode.
    pub fn client_certificate_pem(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.identity = Some((certificate.into(), Zeroizing::new(key.into())));
        self
    }

    /// Uses this TLS configuration, and nothing of what the talosconfig or the other methods say about
    /// certificates: fingerprints, another cryptography provider, or no verification.
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls = Some(tls);
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
    /// # Errors
    ///
    /// `Config`. The source is a [`ConfigError`](crate::config::ConfigError) where the talosconfig is at
    /// fault, a [`TlsError`](talos_transport::tls::TlsError), an
    /// [`EndpointError`](talos_transport::EndpointError), or a
    /// [`BuildError`](talos_transport::BuildError).
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
        let channel = layers.into_iter().fold(channel, |channel, layer| layer(channel));
        let channel = channel.build().map_err(config_error)?;
        Ok(Client::new(channel, timeouts, settings.context_nodes))
    }

    #[cfg(not(feature = "talosconfig"))]
    fn settings(&mut self) -> Result<Settings> {
        Ok(Settings {
            endpoints: self.own_endpoints()?,
            tls: self.tls_config(None, None)?,
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

    /// The TLS configuration, from the builder's parts and where it has none from the given ones.
    fn tls_config(
        &mut self,
        ca: Option<Vec<u8>>,
        identity: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
    ) -> Result<TlsConfig> {
        if let Some(tls) = self.tls.take() {
            return Ok(tls);
        }
        let verification = match self.ca.take().or(ca) {
            Some(pem) => ServerVerification::ca_pem(pem),
            None => ServerVerification::native_roots(),
        };
        let mut tls = TlsConfig::builder(verification.map_err(config_error)?);
        if let Some((certificate, key)) = self.identity.take().or(identity) {
            tls = tls.identity(Identity::from_pem(certificate, &*key).map_err(config_error)?);
        }
        tls.build().map_err(config_error)
    }
}

#[cfg(feature = "talosconfig")]
mod from_talosconfig {
    use talos_transport::{NodeName, tls::TlsError};

    use super::{ClientBuilder, Error, Result, Settings, Zeroizing};
    use crate::config::{Auth, ConfigError, Context, Origin, Talosconfig};

    impl ClientBuilder {
        pub(super) fn settings(&mut self) -> Result<Settings> {
            let talosconfig = match (self.talosconfig.take(), &self.context) {
                (Some(talosconfig), _) => talosconfig,
                (None, Some(_)) => Talosconfig::new(),
                (None, None) => {
                    return Ok(Settings {
                        endpoints: self.own_endpoints()?,
                        tls: self.tls_config(None, None)?,
                        cluster: self.cluster.take(),
                        basic_auth: None,
                        context_nodes: Vec::new(),
                    });
                }
            };
            let origin = talosconfig.origin();
            // The context comes first, so that a wrong name is what the error says, not missing endpoints.
            let (name, context) = talosconfig.select(self.context.as_deref())?;
            let endpoints = if self.endpoints.is_empty() {
                context.parse_endpoints(name, &origin)?
            } else {
                self.own_endpoints()?
            };
            let context_nodes = nodes(name, context, &origin)?;
            let cluster = self.cluster.take().or_else(|| context.cluster.clone());
            if self.tls.is_some() {
                // It replaces how the context would connect, credentials and proxy included, as in talosctl.
                let tls = self.tls_config(None, None)?;
                return Ok(Settings {
                    endpoints,
                    tls,
                    cluster,
                    basic_auth: None,
                    context_nodes,
                });
            }
            let pem = context.decode(name, &origin)?;
            let about_context = |error: Error| match error.into_source::<TlsError>() {
                Ok(source) => ConfigError::Credentials {
                    origin: origin.clone(),
                    context: name.to_owned(),
                    source,
                }
                .into(),
                Err(error) => error,
            };
            let basic_auth = authentication(name, context, &origin)?;
            let tls = self.tls_config(pem.ca, pem.identity).map_err(about_context)?;
            Ok(Settings {
                endpoints,
                tls,
                cluster,
                basic_auth,
                context_nodes,
            })
        }
    }

    /// What goes on top of the client certificate.
    fn authentication(
        name: &str,
        context: &Context,
        origin: &Origin,
    ) -> Result<Option<(String, Zeroizing<String>)>, ConfigError> {
        let unsupported = |field| ConfigError::Unsupported {
            origin: origin.clone(),
            context: name.to_owned(),
            field,
        };
        match &context.proxy_url {
            Some(url) if url.expose() != "direct" => return Err(unsupported("proxy-url")),
            _ => {}
        }
        match &context.auth {
            None => Ok(None),
            Some(Auth::Basic { username, password }) => Ok(Some((
                username.clone(),
                Zeroizing::new(password.expose().to_owned()),
            ))),
            Some(Auth::SideroV1 { .. }) => Err(unsupported("auth.siderov1")),
        }
    }

    fn nodes(name: &str, context: &Context, origin: &Origin) -> Result<Vec<NodeName>, ConfigError> {
        let parse = |text: &String| {
            text.parse().map_err(|source| ConfigError::Node {
                origin: origin.clone(),
                context: name.to_owned(),
                source,
            })
        };
        context.nodes.iter().map(parse).collect()
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
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .field("tls", &self.tls.is_some())
            .field("cluster", &self.cluster)
            .field("timeouts", &self.timeouts)
            .field("retry", &self.retry)
            .field("connect_timeout", &self.connect_timeout)
            .field("layers", &self.layers.len());
        #[cfg(feature = "talosconfig")]
        debug
            .field("talosconfig", &self.talosconfig)
            .field("context", &self.context);
        debug.finish()
    }
}
