//! [`ChannelBuilder`]: the settings of a channel.

mod error;
mod metadata;
mod rules;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower_layer::Layer;
use tower_service::Service;
use zeroize::Zeroizing;

pub use self::error::BuildError;
use self::metadata::{CONTEXT, RUNTIME, text_metadata};
pub(crate) use self::rules::EndpointRules;
use self::rules::distinct;
use crate::body::ResponseBody;
use crate::channel::Channel;
#[cfg(feature = "proxy")]
use crate::connect::proxy::{ProxyPolicy, Tunnels};
use crate::connect::{AnyConnector, Connect, Establish, Resolve, SocketConnector};
use crate::endpoint::Endpoint;
use crate::layer::{AnySigner, Next, RequestSigner, UserLayers};
use crate::pool::{DEFAULT_EJECTION, DEFAULT_LONGEST_EJECTION, PickPolicy, Pool, PoolOptions};
use crate::retry::RetryConfig;
use crate::stack::StackSettings;
use crate::tls::TlsHandle;

/// How long one attempt to connect to one endpoint may take by default, TLS and the first HTTP/2 frame included.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Collects the settings of a [`Channel`], see [`Channel::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct ChannelBuilder {
    endpoints: Vec<Endpoint>,
    tls: Option<TlsHandle>,
    connect_timeout: Duration,
    stack: StackSettings,
    basic_auth: bool,
    user_agent: Option<String>,
    pool: PoolOptions,
    connector: AnyConnector,
    #[cfg(feature = "proxy")]
    proxy: ProxyPolicy,
    /// The first mistake in what was set; reported by [`build`](Self::build).
    error: Option<BuildError>,
}

impl ChannelBuilder {
    pub(crate) fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let mut metadata = HeaderMap::new();
        metadata.insert(RUNTIME, HeaderValue::from_static("Talos"));
        Self {
            endpoints: distinct(endpoints),
            tls: None,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            stack: StackSettings {
                metadata,
                retry: RetryConfig::new(),
                call_layers: UserLayers::default(),
                attempt_layers: UserLayers::default(),
                signer: None,
            },
            basic_auth: false,
            user_agent: None,
            pool: PoolOptions {
                policy: PickPolicy::default(),
                ejection: DEFAULT_EJECTION,
                longest_ejection: DEFAULT_LONGEST_EJECTION,
                seed: None,
            },
            connector: AnyConnector::new(SocketConnector::new()),
            #[cfg(feature = "proxy")]
            proxy: ProxyPolicy::direct(),
            error: None,
        }
    }

    /// TLS settings for all network endpoints, which cannot do without. Unix sockets never use them.
    ///
    /// A [`TlsConfig`](crate::TlsConfig), or a [`TlsHandle`] to share replaceable settings with other channels. Either can
    /// be replaced later through [`Channel::tls`].
    pub fn tls(mut self, tls: impl Into<TlsHandle>) -> Self {
        self.tls = Some(tls.into());
        self
    }

    /// Limit for one attempt to connect to one endpoint: name resolution, TCP, TLS, and the server's first frame.
    /// Default: [`DEFAULT_CONNECT_TIMEOUT`].
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        if timeout.is_zero() {
            self.fail(BuildError::ZeroTimeout {
                setting: "connect_timeout",
            });
        }
        self.connect_timeout = timeout;
        self
    }

    /// Sends this metadata with every call that does not have metadata of this name itself. Called again with the same
    /// name it adds a second value. `runtime: Talos` is always sent.
    ///
    /// Names are the gRPC ones: lower case, and not ending with `-bin`. Mistakes are reported by
    /// [`build`](Self::build).
    pub fn metadata(mut self, name: &str, value: &str) -> Self {
        match text_metadata(name, value) {
            Ok((name, value)) => {
                self.stack.metadata.append(name, value);
            }
            Err(error) => self.fail(error),
        }
        self
    }

    /// Sends the name of the cluster as `context` with every call, as Talos's own client does.
    pub fn context(mut self, cluster: &str) -> Self {
        self.stack.metadata.remove(CONTEXT);
        self.metadata("context", cluster)
    }

    /// Authenticates every call by user name and password, for proxies in front of Talos that ask for it.
    ///
    /// Refused by [`build`](Self::build) if an endpoint is not encrypted. The header is marked as sensitive, so that it
    /// is neither shown nor entered in compression tables.
    pub fn basic_auth(mut self, user: &str, password: &str) -> Self {
        let credentials = Zeroizing::new(format!("{user}:{password}"));
        let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(credentials.as_bytes())));
        let mut value = HeaderValue::from_str(&value).expect("base64 is a header value");
        value.set_sensitive(true);
        self.stack.metadata.insert(AUTHORIZATION, value);
        self.basic_auth = true;
        self
    }

    /// Puts `name/version` of the program in front of this crate's own in the `user-agent` of every call.
    pub fn user_agent(mut self, product: impl Into<String>) -> Self {
        self.user_agent = Some(product.into());
        self
    }

    /// Has every request signed just before it is sent, see [`RequestSigner`]. Default: requests are not signed.
    pub fn signer(mut self, signer: impl RequestSigner) -> Self {
        self.stack.signer = Some(AnySigner::new(signer));
        self
    }

    /// How calls are spread over several endpoints. Default: [`PickPolicy::StickyWithFailover`].
    pub fn pick_policy(mut self, policy: PickPolicy) -> Self {
        self.pool.policy = policy;
        self
    }

    /// How long an endpoint that failed is left alone: `first` after one failure, twice as long after each further one in a
    /// row, `longest` at most, each a fifth more or less at random. Then it is tried again in the background, if the
    /// channel was used in the last five minutes. Default: [`DEFAULT_EJECTION`] and [`DEFAULT_LONGEST_EJECTION`].
    ///
    /// Calls that find no other endpoint do not wait for this. A `first` below 10 ms counts as 10 ms, a `longest` below
    /// `first` as `first`.
    pub fn eject_for(mut self, first: Duration, longest: Duration) -> Self {
        self.pool.ejection = first;
        self.pool.longest_ejection = longest;
        self
    }

    /// Fixes what is random about several endpoints: the order in which they are tried first, and how much earlier or
    /// later than [`eject_for`](Self::eject_for) says they come back. By default it is not fixed, so that many clients with
    /// the same configuration do not all use the same endpoint.
    pub fn shuffle_seed(mut self, seed: u64) -> Self {
        self.pool.seed = Some(seed);
        self
    }

    /// How often failed calls are made again, and when. Default: [`RetryConfig::new`]; [`RetryConfig::off`] switches it off.
    pub fn retry(mut self, retry: RetryConfig) -> Self {
        self.stack.retry = retry;
        self
    }

    /// Adds a layer around every call: it sees a call once, however many attempts that takes, and everything the caller put
    /// into it. The first one added is the outermost.
    ///
    /// Deadlines count from when the layer passes the call on.
    ///
    /// ```
    /// use http::{HeaderValue, Request};
    /// use talos_transport::Channel;
    /// use tonic::body::Body;
    /// use tower::util::MapRequestLayer;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let who = MapRequestLayer::new(|mut request: Request<Body>| {
    ///     request.headers_mut().insert("x-requested-by", HeaderValue::from_static("backup"));
    ///     request
    /// });
    /// let channel = Channel::builder(["unix:///run/apid.sock".parse()?]).call_layer(who).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = Response<ResponseBody>, Error = Status>,
        L::Service: Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send + 'static,
    {
        self.stack.call_layers.push(layer);
        self
    }

    /// Adds a layer around every attempt: it sees what is sent, with the metadata of the channel and an
    /// [`Attempt`](crate::Attempt) among the extensions, and its failures are subject to retries. The first one added is
    /// the outermost. A [`signer`](Self::signer) comes after it, and signs what it lets through.
    pub fn attempt_layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = Response<ResponseBody>, Error = Status>,
        L::Service: Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send + 'static,
    {
        self.stack.attempt_layers.push(layer);
        self
    }

    /// Makes byte streams in another way than by the machine's own sockets. TLS still comes on top, and proxies are
    /// dialled in this way as well.
    pub fn connector(mut self, connector: impl Connect) -> Self {
        self.connector = AnyConnector::new(connector);
        self
    }

    /// Finds the addresses of names in another way than the system's. Replaces the [`connector`](Self::connector) by one that
    /// uses the machine's own sockets and this resolver.
    ///
    /// Names are resolved at each attempt to connect, so a changed answer is used from the next connection on. Behind a proxy
    /// it is the proxy that resolves, and this finds the proxy.
    pub fn resolver(self, resolver: impl Resolve) -> Self {
        self.connector(SocketConnector::new().resolver(resolver))
    }

    /// Reaches endpoints through a proxy, where the policy says so; a [`Proxy`](crate::proxy::Proxy) alone is used for
    /// all of them. Default: no proxy. The environment is not consulted.
    #[cfg(feature = "proxy")]
    pub fn proxy(mut self, policy: impl Into<ProxyPolicy>) -> Self {
        self.proxy = policy.into();
        self
    }

    /// Builds the channel. Nothing is dialled and no runtime is needed before the first call.
    ///
    /// # Errors
    ///
    /// The first mistake found, see [`BuildError`].
    pub fn build(mut self) -> Result<Channel, BuildError> {
        let rules = EndpointRules {
            tls: self.tls.is_some(),
            basic_auth: self.basic_auth,
        };
        rules.check(&self.endpoints)?;
        let agent = match &self.user_agent {
            Some(product) => format!("{product} {OWN_AGENT}"),
            None => OWN_AGENT.to_owned(),
        };
        match HeaderValue::from_str(&agent) {
            Ok(agent) => {
                self.stack.metadata.insert(USER_AGENT, agent);
            }
            Err(_) => self.fail(BuildError::MetadataValue {
                name: USER_AGENT.to_string(),
            }),
        }
        if let Some(error) = self.error {
            return Err(error);
        }
        let dial = Establish {
            connector: self.connector,
            #[cfg(feature = "proxy")]
            tunnels: Tunnels::new(self.proxy, agent, self.tls.as_ref(), &self.endpoints)?,
            tls: self.tls.clone(),
            timeout: self.connect_timeout,
            port_in_authority: AtomicBool::new(self.endpoints.len() == 1),
        };
        let pool = Pool::new(dial, &self.pool, self.endpoints);
        Ok(Channel::assemble(Arc::new(pool), self.tls, rules, self.stack))
    }

    fn fail(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }
}

impl fmt::Debug for ChannelBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelBuilder")
            .field("endpoints", &self.endpoints)
            .field("tls", &self.tls)
            .field("connect_timeout", &self.connect_timeout)
            .field("metadata", &self.stack.metadata.keys().collect::<Vec<_>>())
            .field("retry", &self.stack.retry)
            .field("user_agent", &self.user_agent)
            .field("signed", &self.stack.signer.is_some())
            .finish_non_exhaustive()
    }
}

const OWN_AGENT: &str = concat!("talos-transport/", env!("CARGO_PKG_VERSION"));
