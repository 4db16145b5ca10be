//! From an endpoint to a byte stream that leads there through its proxy.

use std::sync::Arc;

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
#[derive(Debug, Clone)]
pub(crate) struct Tunnels {
    policy: ProxyPolicy,
    user_agent: String,
    /// There if, and only if, the policy's one proxy is an `https` proxy.
    tls: Option<Arc<ClientConfig>>,
}

impl Tunnels {
    /// TLS with a proxy uses the cryptography provider that TLS with the endpoints uses, if there is such.
    pub(crate) fn new(
        policy: ProxyPolicy,
        user_agent: String,
        endpoints_tls: Option<&TlsHandle>,
    ) -> Result<Self, BuildError> {
        let tls = match policy.proxy() {
            Some(proxy) if proxy.scheme() == ProxyScheme::Https => {
                let endpoints_tls = endpoints_tls.map(|tls| tls.credentials().tls.client());
                let provider = endpoints_tls.as_ref().map(|tls| tls.crypto_provider());
                let config = client_config(proxy, provider);
                Some(config.map_err(|source| BuildError::ProxyTls {
                    proxy: proxy.to_string(),
                    source,
                })?)
            }
            _ => None,
        };
        Ok(Self {
            policy,
            user_agent,
            tls,
        })
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
        if let Some(tls) = &self.tls {
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
}

async fn handshake(
    tls: &Arc<ClientConfig>,
    proxy: &Proxy,
    io: BoxedIo,
) -> Result<TlsStream<BoxedIo>, ProxyFailure> {
    let name = proxy.address().server_name();
    let name = name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
    let name = name.expect("hosts follow the rules of TLS server names");
    TlsConnector::from(Arc::clone(tls))
        .connect(name, io)
        .await
        .map_err(ProxyFailure::from_io)
}

/// TLS with a proxy: no client certificate and, as `CONNECT` here is HTTP/1.1, no ALPN.
fn client_config(
    proxy: &Proxy,
    provider: Option<&Arc<CryptoProvider>>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider::resolve(provider)?;
    let system;
    let verification = match proxy.verification() {
        Some(verification) => verification,
        None => {
            system = ServerVerification::native_roots()?;
            &system
        }
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
