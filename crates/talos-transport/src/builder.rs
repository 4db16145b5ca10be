//! [`ChannelBuilder`]: the settings of a channel.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower_layer::Layer;
use tower_service::Service;
use zeroize::Zeroizing;

use crate::body::ResponseBody;
use crate::channel::Channel;
use crate::connect::{AnyConnector, Connect, Establish, SocketConnector};
use crate::endpoint::Endpoint;
use crate::layer::{NODE, NODES, Next, PROXY_FROM, UserLayers};
use crate::pool::{DEFAULT_EJECTION, DEFAULT_LONGEST_EJECTION, PickPolicy, Pool, PoolOptions};
use crate::retry::RetryConfig;
use crate::stack::StackSettings;
use crate::tls::TlsConfig;

/// How long one attempt to connect to one endpoint may take by default, TLS and the first HTTP/2 frame included.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Collects the settings of a [`Channel`], see [`Channel::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct ChannelBuilder {
    endpoints: Vec<Endpoint>,
    tls: Option<TlsConfig>,
    connect_timeout: Duration,
    stack: StackSettings,
    basic_auth: bool,
    user_agent: Option<String>,
    pool: PoolOptions,
    connector: AnyConnector,
    /// The first mistake in what was set; reported by [`build`](Self::build).
    error: Option<BuildError>,
}

/// Why a channel cannot be built, or cannot have these endpoints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is nothing to connect to.
    #[error("at least one endpoint is needed")]
    NoEndpoint,
    /// A limit on time that nothing can keep.
    #[error("the timeout {setting:?} must not be zero")]
    ZeroTimeout {
        /// Name of the setting.
        setting: &'static str,
    },
    /// A network endpoint without TLS settings. Talos never speaks plaintext over the network.
    #[error("endpoint {endpoint} needs TLS settings")]
    NoTls {
        /// The first such endpoint.
        endpoint: Endpoint,
    },
    /// A password would travel in the clear.
    #[error("basic authentication is refused on {endpoint}, which is not encrypted")]
    BasicAuthWithoutTls {
        /// The first unencrypted endpoint.
        endpoint: Endpoint,
    },
    /// The name of a piece of metadata is not lower-case letters, digits, `_`, `-` and `.`, or it ends with `-bin`.
    #[error("{name:?} is not the name of a text metadata value")]
    MetadataName {
        /// The rejected name.
        name: String,
    },
    /// The name is one that gRPC, HTTP or the routing of calls uses for itself.
    #[error("metadata {name:?} is set by the channel itself")]
    ReservedMetadata {
        /// The rejected name.
        name: String,
    },
    /// A value contains something other than visible ASCII characters and spaces. The value is not shown.
    #[error("the value of {name:?} is not ASCII text")]
    MetadataValue {
        /// Name of the metadata.
        name: String,
    },
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
            error: None,
        }
    }

    /// TLS settings for all network endpoints, which cannot do without. Unix sockets never use them.
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls = Some(tls);
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
    /// the outermost.
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

    /// Makes byte streams in another way than by the machine's own sockets. TLS still comes on top.
    pub fn connector(mut self, connector: impl Connect) -> Self {
        self.connector = AnyConnector::new(connector);
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
            tls: self.tls,
            timeout: self.connect_timeout,
            port_in_authority: AtomicBool::new(self.endpoints.len() == 1),
        };
        let pool = Pool::new(dial, &self.pool, self.endpoints);
        Ok(Channel::assemble(Arc::new(pool), rules, self.stack))
    }

    fn fail(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }
}

/// What the other settings ask of endpoints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndpointRules {
    tls: bool,
    basic_auth: bool,
}

impl EndpointRules {
    pub(crate) fn check(self, endpoints: &[Endpoint]) -> Result<(), BuildError> {
        if endpoints.is_empty() {
            return Err(BuildError::NoEndpoint);
        }
        if !self.tls
            && let Some(endpoint) = endpoints.iter().find(|endpoint| !endpoint.is_unix())
        {
            return Err(BuildError::NoTls {
                endpoint: endpoint.clone(),
            });
        }
        if self.basic_auth
            && let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.is_unix())
        {
            return Err(BuildError::BasicAuthWithoutTls {
                endpoint: endpoint.clone(),
            });
        }
        Ok(())
    }
}

/// The endpoints without repetitions, in their order.
pub(crate) fn distinct(endpoints: impl IntoIterator<Item = Endpoint>) -> Vec<Endpoint> {
    let mut seen = HashSet::new();
    let mut endpoints: Vec<_> = endpoints.into_iter().collect();
    endpoints.retain(|endpoint| seen.insert(endpoint.clone()));
    endpoints
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
            .finish_non_exhaustive()
    }
}

fn text_metadata(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), BuildError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.');
    let invalid = || BuildError::MetadataName {
        name: name.to_owned(),
    };
    if !name.bytes().all(allowed) || name.ends_with("-bin") {
        return Err(invalid());
    }
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
    let routing = [NODE, NODES, PROXY_FROM, RUNTIME].contains(&header);
    if routing || name.starts_with("grpc-") || HTTP_OWN.contains(&name) {
        return Err(BuildError::ReservedMetadata {
            name: name.to_owned(),
        });
    }
    let visible = value.bytes().all(|b| (b' '..=b'~').contains(&b));
    let value = HeaderValue::from_str(value).ok().filter(|_| visible);
    value
        .map(|value| (header, value))
        .ok_or_else(|| BuildError::MetadataValue {
            name: name.to_owned(),
        })
}

const CONTEXT: HeaderName = HeaderName::from_static("context");
const RUNTIME: HeaderName = HeaderName::from_static("runtime");
const OWN_AGENT: &str = concat!("talos-transport/", env!("CARGO_PKG_VERSION"));
/// Headers with a meaning in HTTP/2 or gRPC; `authorization` has one as well, but callers may need it.
const HTTP_OWN: [&str; 9] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];
