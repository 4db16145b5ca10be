//! [`ProxyPolicy`]: which endpoints are reached through which proxy.

use std::str::FromStr;

use super::{NoProxy, Proxy, ProxyUrlError};
use crate::Endpoint;

/// Decides for each endpoint whether it is reached through a proxy. Default: never.
///
/// The text form is that of `proxy-url` in a talosconfig: `direct`, or the URL of a [`Proxy`] for everything.
#[derive(Debug, Clone, Default)]
pub struct ProxyPolicy {
    proxy: Option<Proxy>,
    /// `None` has no exceptions at all, not even for this machine.
    except: Option<NoProxy>,
}

impl ProxyPolicy {
    /// No proxy for anything.
    pub fn direct() -> Self {
        Self::default()
    }

    /// This proxy for every endpoint, loopback addresses included. Only unix sockets are not proxied.
    pub fn all(proxy: Proxy) -> Self {
        Self {
            proxy: Some(proxy),
            except: None,
        }
    }

    /// This proxy for every endpoint that the list does not exclude. Every list excludes loopback addresses.
    pub fn except(proxy: Proxy, list: NoProxy) -> Self {
        Self {
            proxy: Some(proxy),
            except: Some(list),
        }
    }

    /// The proxy to use for this endpoint, if any.
    pub fn proxy_for(&self, endpoint: &Endpoint) -> Option<&Proxy> {
        let excluded = match &self.except {
            Some(list) => list.excludes(endpoint),
            None => endpoint.is_unix(),
        };
        self.proxy.as_ref().filter(|_| !excluded)
    }
}

impl From<Proxy> for ProxyPolicy {
    fn from(proxy: Proxy) -> Self {
        Self::all(proxy)
    }
}

impl FromStr for ProxyPolicy {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "direct" {
            return Ok(Self::direct());
        }
        text.parse().map(Self::all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(policy: &ProxyPolicy, endpoint: &str) -> Option<String> {
        let endpoint = endpoint.parse().unwrap();
        policy.proxy_for(&endpoint).map(ToString::to_string)
    }

    #[test]
    fn chooses_by_endpoint() {
        let proxy: Proxy = "http://proxy:3128".parse().unwrap();
        let through = Some("http://proxy:3128".to_owned());
        for (policy, outside, inside, local) in [
            (ProxyPolicy::direct(), None, None, None),
            ("direct".parse().unwrap(), None, None, None),
            (ProxyPolicy::default(), None, None, None),
            (
                ProxyPolicy::all(proxy.clone()),
                through.clone(),
                through.clone(),
                through.clone(),
            ),
            (
                "http://proxy:3128".parse().unwrap(),
                through.clone(),
                through.clone(),
                through.clone(),
            ),
            (
                ProxyPolicy::except(proxy.clone(), NoProxy::default()),
                through.clone(),
                through.clone(),
                None,
            ),
            (
                ProxyPolicy::except(proxy, NoProxy::from_list("10.0.0.0/8")),
                through,
                None,
                None,
            ),
        ] {
            assert_eq!(chosen(&policy, "example.org"), outside, "{policy:?}");
            assert_eq!(chosen(&policy, "10.5.0.2"), inside, "{policy:?}");
            assert_eq!(chosen(&policy, "127.0.0.1"), local, "{policy:?}");
            assert_eq!(chosen(&policy, "unix:///run/machined.sock"), None, "{policy:?}");
        }
        assert_eq!(
            "Direct".parse::<ProxyPolicy>().unwrap_err(),
            ProxyUrlError::MissingScheme
        );
    }
}
