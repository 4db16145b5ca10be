//! Proxies: which endpoints are reached through one ([`ProxyPolicy`]), and how ([`Proxy`]).
//!
//! ```
//! use talos_transport::proxy::{NoProxy, Proxy, ProxyPolicy, ProxyUrlError};
//!
//! # fn example() -> Result<(), ProxyUrlError> {
//! let proxy: Proxy = "http://user:password@proxy.example.org:3128".parse()?;
//! // Nothing of the password is ever printed.
//! assert_eq!(proxy.to_string(), "http://proxy.example.org:3128");
//!
//! let everything = ProxyPolicy::all(proxy.clone());
//! let outside_only = ProxyPolicy::except(proxy, NoProxy::from_list("10.0.0.0/8,.internal"));
//! # Ok(()) }
//! # example().unwrap();
//! ```
//!
//! A proxy only forwards bytes: TLS with the endpoint goes through it from end to end, verified as without a proxy. Host
//! names of endpoints are passed on as they are, so it is the proxy that resolves them, and they need to be known only
//! there. Unix sockets are never proxied.
//!
//! | Scheme | Default port | What happens |
//! |---|---|---|
//! | `http` | 80 | `CONNECT` over HTTP/1.1; user and password as `Basic` authorization |
//! | `https` | 443 | the same within TLS to the proxy, see [`Proxy::with_verification`] |
//! | `socks5`, `socks5h` | 1080 | SOCKS version 5; user and password as RFC 1929 |
//!
//! All of it, from the dial of the proxy on, counts towards the channel's connect timeout. What goes wrong on the
//! proxy's side is a [`ProxyError`], which names the proxy.

mod credentials;
mod error;
mod http;
mod no_proxy;
mod policy;
mod rewind;
mod socks;
mod tunnel;
mod url;

pub use self::error::{ProxyError, ProxyFailure, ProxyStage, SocksReply};
pub use self::no_proxy::NoProxy;
pub use self::policy::ProxyPolicy;
pub(crate) use self::tunnel::Tunnels;
pub use self::url::{Proxy, ProxyScheme, ProxyUrlError};
