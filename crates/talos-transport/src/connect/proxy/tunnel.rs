//! From an endpoint to a byte stream that leads there through its proxy.

use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::ProxyStage;
use super::rewind::Rewind;
use super::{Proxy, ProxyError, ProxyFailure, ProxyPolicy, ProxyScheme, http, socks};
use crate::connect::{AnyConnector, BoxedIo};
use crate::tls::{ServerVerification, TlsError, TlsHandle, provider, verify};
use crate::{BuildError, Endpoint};

/// The proxies of a channel, ready to be used.
#[derive(Debug)]
pub(crate) struct Tunnels {
    policy: ProxyPolicy,
    user_agent: String,
    /// The cryptography that TLS with the endpoints uses.
    provider: Option<Arc<CryptoProvider>>,
    /// TLS with the policy's one proxy, made when it is first needed: the system's roots may be many, or missing.
    tls: OnceLock<Result<Arc<ClientConfig>, TlsError>>,
}

impl Tunnels {
    /// # Errors
    ///
    /// TLS with the proxy cannot be set up, and one of these endpoints needs it.
    pub(crate) fn new(
        policy: ProxyPolicy,
        user_agent: String,
        endpoints_tls: Option<&TlsHandle>,
        endpoints: &[Endpoint],
    ) -> Result<Self, BuildError> {
        let tunnels = Self {
            policy,
            user_agent,
            provider: endpoints_tls.map(|tls| Arc::clone(tls.credentials().tls.client().crypto_provider())),
            tls: OnceLock::new(),
        };
        if let Some(proxy) = endpoints.iter().find_map(|endpoint| tunnels.proxy_for(endpoint))
            && proxy.scheme() == ProxyScheme::Https
        {
            tunnels.tls(proxy).map_err(|source| BuildError::ProxyTls {
                proxy: proxy.to_string(),
                source,
            })?;
        }
        Ok(tunnels)
    }

    pub(crate) fn proxy_for(&self, endpoint: &Endpoint) -> Option<&Proxy> {
        self.policy.proxy_for(endpoint)
    }

    /// Makes a byte stream to `endpoint` through `proxy`, which is dialled by `connector`. `reached` is told how far it
    /// has come.
    pub(crate) async fn open(
        &self,
        proxy: &Proxy,
        endpoint: &Endpoint,
        connector: &AnyConnector,
        reached: impl FnMut(ProxyStage),
    ) -> Result<BoxedIo, ProxyError> {
        let stream = self.tunnel(proxy, endpoint, connector, reached).await;
        stream.map_err(|failure| ProxyError::new(proxy, failure))
    }

    async fn tunnel(
        &self,
        proxy: &Proxy,
        endpoint: &Endpoint,
        connector: &AnyConnector,
        mut reached: impl FnMut(ProxyStage),
    ) -> Result<BoxedIo, ProxyFailure> {
        reached(ProxyStage::Dial);
        let dialled = connector.connect(proxy.address()).await;
        let mut io = dialled.map_err(|reason| ProxyFailure::Dial(Box::new(reason)))?;
        if proxy.scheme() == ProxyScheme::Https {
            let tls = self.tls(proxy).map_err(ProxyFailure::TlsSetup)?;
            reached(ProxyStage::Tls);
            io = Box::new(handshake(tls, proxy, io).await?);
        }
        reached(ProxyStage::Answer);
        let credentials = proxy.credentials();
        match proxy.scheme() {
            ProxyScheme::Socks5 => {
                socks::connect(&mut io, endpoint, credentials).await?;
                Ok(io)
            }
            ProxyScheme::Http | ProxyScheme::Https => {
                let target = endpoint.authority();
                let early = http::connect(&mut io, &target, &self.user_agent, credentials).await?;
                Ok(if early.is_empty() {
                    io
                } else {
                    Box::new(Rewind::new(early, io))
                })
            }
        }
    }

    fn tls(&self, proxy: &Proxy) -> Result<Arc<ClientConfig>, TlsError> {
        self.tls
            .get_or_init(|| client_config(proxy.verification(), self.provider.as_ref()))
            .clone()
    }
}

async fn handshake(
    tls: Arc<ClientConfig>,
    proxy: &Proxy,
    io: BoxedIo,
) -> Result<TlsStream<BoxedIo>, ProxyFailure> {
    let name = proxy.address().server_name();
    let name = name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
    let name = name.expect("hosts follow the rules of TLS server names");
    TlsConnector::from(tls)
        .connect(name, io)
        .await
        .map_err(ProxyFailure::from_io)
}

/// TLS with a proxy: no client certificate and, as `CONNECT` here is HTTP/1.1, no ALPN.
fn client_config(
    verification: Option<&ServerVerification>,
    provider: Option<&Arc<CryptoProvider>>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider::resolve(provider)?;
    let verification = match verification {
        Some(verification) => verification.clone(),
        None => ServerVerification::native_roots()?,
    };
    let verifier = verify::verifier(&verification.0, &provider)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| TlsError::NoTlsVersion)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;
    use crate::connect::{Connect, ConnectReason};

    /// Dials an in-memory pipe, once, and notes what was dialled.
    struct Pipe(Mutex<Option<DuplexStream>>, Mutex<Vec<String>>);

    impl Connect for Arc<Pipe> {
        type Io = DuplexStream;

        async fn connect(&self, endpoint: &Endpoint) -> Result<Self::Io, ConnectReason> {
            self.1.lock().unwrap().push(endpoint.to_string());
            self.0.lock().unwrap().take().ok_or(ConnectReason::Refused)
        }
    }

    /// What can be read from a tunnel if the proxy says all of this at once, and `later` after it was read.
    async fn read_through(proxy: &str, at_once: &[u8], later: &[u8]) -> Vec<u8> {
        let (near, mut far) = tokio::io::duplex(4096);
        let pipe = Arc::new(Pipe(Mutex::new(Some(near)), Mutex::default()));
        let connector = AnyConnector::new(Arc::clone(&pipe));
        let policy: ProxyPolicy = proxy.parse().unwrap();
        let tunnels = Tunnels::new(policy, "agent".to_owned(), None, &[]).unwrap();
        let endpoint = "cp.example.org".parse().unwrap();
        let proxy = tunnels.proxy_for(&endpoint).unwrap();
        far.write_all(at_once).await.unwrap();
        let mut stages = Vec::new();
        let opened = tunnels.open(proxy, &endpoint, &connector, |stage| stages.push(stage));
        let mut tunnel = opened.await.unwrap();
        assert_eq!(stages, [ProxyStage::Dial, ProxyStage::Answer]);
        assert_eq!(*pipe.1.lock().unwrap(), [proxy.address().to_string()]);
        far.write_all(later).await.unwrap();
        drop(far);
        let mut read = Vec::new();
        tunnel.read_to_end(&mut read).await.unwrap();
        read
    }

    #[tokio::test]
    async fn nothing_the_endpoint_says_early_is_lost() {
        let http = b"HTTP/1.1 200 Connection established\r\nVia: proxy\r\n\r\nearly, ";
        assert_eq!(
            read_through("http://proxy:3128", http, b"late").await,
            b"early, late"
        );
        assert_eq!(
            read_through("http://proxy", &http[..http.len() - 7], b"late").await,
            b"late"
        );
        let socks = [&[5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0], b"early, ".as_slice()].concat();
        assert_eq!(
            read_through("socks5://proxy", &socks, b"late").await,
            b"early, late"
        );
    }

    #[tokio::test]
    async fn a_proxy_that_cannot_be_dialled_is_told_from_the_endpoint() {
        let connector = AnyConnector::new(Arc::new(Pipe(Mutex::default(), Mutex::default())));
        let policy: ProxyPolicy = "http://user:SECRET@proxy:3128".parse().unwrap();
        let tunnels = Tunnels::new(policy, String::new(), None, &[]).unwrap();
        let endpoint = "cp.example.org".parse().unwrap();
        let proxy = tunnels.proxy_for(&endpoint).unwrap();
        let error = tunnels
            .open(proxy, &endpoint, &connector, |_| ())
            .await
            .err()
            .unwrap();
        assert_eq!(
            crate::error::chain(&error),
            "no connection through the proxy http://proxy:3128: the proxy cannot be reached: connection refused"
        );
    }

    #[cfg(not(feature = "native-roots"))]
    #[test]
    fn an_https_proxy_names_the_missing_feature_if_an_endpoint_needs_it() {
        let build = |policy: ProxyPolicy| {
            let endpoints = ["10.5.0.2".parse().unwrap()];
            Tunnels::new(policy, String::new(), None, &endpoints).map(drop)
        };
        let proxy: Proxy = "https://user:SECRET@proxy".parse().unwrap();
        let error = build(ProxyPolicy::all(proxy.clone())).unwrap_err();
        assert_eq!(
            crate::error::chain(&error),
            "TLS with the proxy https://proxy:443 cannot be set up: this needs the feature `native-roots` of \
             talos-transport"
        );
        let excluded = crate::proxy::NoProxy::from_list("10.0.0.0/8");
        build(ProxyPolicy::except(proxy, excluded)).unwrap();
    }
}
