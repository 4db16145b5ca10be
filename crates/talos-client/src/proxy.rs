//! Proxies between a client and its endpoints.
//!
//! A client looks at three places, and the first one that has an answer is followed:
//!
//! 1. [`ClientBuilder::proxy`](crate::ClientBuilder::proxy);
//! 2. `proxy-url` of the talosconfig's context: `direct`, or the URL of a proxy for everything. It is passed over if
//!    [`ClientBuilder::tls`](crate::ClientBuilder::tls) is used, as all the context says about connecting;
//! 3. the environment, see [`ProxyEnvironment`].
//!
//! ```no_run
//! use talos_client::{
//!     Client,
//!     proxy::{NoProxy, Proxy, ProxyEnvironment, ProxyPolicy},
//! };
//!
//! # async fn example(config: talos_client::config::Talosconfig, password: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let proxy = "http://proxy.example.org:3128".parse::<Proxy>()?.with_credentials("me", password)?;
//! let policy = ProxyPolicy::except(proxy, NoProxy::from_list("10.0.0.0/8,.internal"));
//! let client = Client::builder().talosconfig(config.clone()).proxy(policy).build()?;
//!
//! // What the talosconfig says, but whatever the environment says.
//! let environment = ProxyEnvironment::default();
//! let client = Client::builder().talosconfig(config).proxy_environment(environment).build()?;
//! # Ok(()) }
//! ```

use std::{env, ffi::OsString};

#[doc(inline)]
pub use talos_transport::proxy::*;
use zeroize::Zeroizing;

use crate::secret::SecretString;

/// What the environment says about proxies, in the variables that talosctl reads.
///
/// | Variable | Holds |
/// |---|---|
/// | `HTTPS_PROXY`, else `https_proxy` | URL of the proxy |
/// | `NO_PROXY`, else `no_proxy` | endpoints that are reached without it, see [`NoProxy`] |
///
/// A variable that is empty counts as unset. `HTTP_PROXY` and `ALL_PROXY` are not read, since connections to Talos are
/// TLS. A value without a scheme, such as `proxy.example.org:3128`, is an `http` proxy, and so is one with a scheme
/// that is not known. Loopback addresses are never reached through a proxy of the environment.
///
/// The variables are read once, when this value is made; `default()` is an environment that says nothing.
#[derive(Debug, Clone, Default)]
pub struct ProxyEnvironment {
    proxy: Option<Variable>,
    no_proxy: NoProxy,
}

#[derive(Debug, Clone)]
struct Variable {
    name: &'static str,
    /// `None` if it is not Unicode.
    value: Option<SecretString>,
}

/// Why the proxy that the environment names cannot be used. The value is never shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyEnvironmentError {
    /// The value is not the URL of a proxy.
    #[error("the environment variable {variable} is unusable")]
    Url {
        /// The variable.
        variable: &'static str,
        /// What is wrong.
        #[source]
        source: ProxyUrlError,
    },
    /// The value is not Unicode text.
    #[error("the environment variable {variable} is not Unicode text")]
    NotUnicode {
        /// The variable.
        variable: &'static str,
    },
}

impl ProxyEnvironment {
    /// Looks at the environment of this process.
    pub fn from_env() -> Self {
        Self::with_variables(|name| env::var_os(name))
    }

    /// Looks at the variables that `variable` returns.
    pub fn with_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let first = |names: [&'static str; 2]| {
            names
                .into_iter()
                .filter_map(|name| Some((name, variable(name)?)))
                .find(|(_, value)| !value.is_empty())
        };
        let proxy = first(["HTTPS_PROXY", "https_proxy"]).map(|(name, value)| Variable {
            name,
            value: value.into_string().ok().map(SecretString::new),
        });
        let no_proxy = match first(["NO_PROXY", "no_proxy"]) {
            Some((_, list)) => NoProxy::from_list(&list.to_string_lossy()),
            None => NoProxy::default(),
        };
        Self { proxy, no_proxy }
    }

    /// What follows from the variables.
    ///
    /// # Errors
    ///
    /// The proxy variable is set, but not to anything that can be used.
    pub fn policy(&self) -> Result<ProxyPolicy, ProxyEnvironmentError> {
        let Some(Variable { name, value }) = &self.proxy else {
            return Ok(ProxyPolicy::direct());
        };
        let variable = *name;
        let value = value
            .as_ref()
            .ok_or(ProxyEnvironmentError::NotUnicode { variable })?;
        let proxy = with_scheme(value.expose().trim_ascii())
            .parse()
            .map_err(|source| ProxyEnvironmentError::Url { variable, source })?;
        Ok(ProxyPolicy::except(proxy, self.no_proxy.clone()))
    }
}

/// The value with a scheme that is known.
fn with_scheme(value: &str) -> Zeroizing<String> {
    let (scheme, rest) = match value.split_once("://") {
        Some((scheme, rest)) => match scheme.parse::<ProxyScheme>() {
            Ok(_) => return Zeroizing::new(value.to_owned()),
            Err(ProxyUrlError::UnsupportedScheme { scheme }) => (Some(scheme), rest),
            // What stands before `://` is no scheme, but part of a password perhaps.
            Err(_) => (None, value),
        },
        None => (None, value),
    };
    if let Some(scheme) = scheme {
        tracing::warn!(
            scheme,
            "the environment names a proxy of an unknown kind, taking it for an HTTP proxy"
        );
    }
    Zeroizing::new(format!("http://{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> ProxyEnvironment {
        ProxyEnvironment::with_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    /// The proxy that is used for this endpoint.
    fn proxy(variables: &[(&str, &str)], endpoint: &str) -> Option<String> {
        let policy = environment(variables)
            .policy()
            .unwrap_or_else(|error| panic!("{variables:?}: {error}"));
        let endpoint = endpoint.parse().expect("an endpoint");
        policy.proxy_for(&endpoint).map(ToString::to_string)
    }

    #[test]
    fn variables_in_capitals_go_first_and_empty_ones_do_not_count() {
        let (upper, lower) = ("http://upper:1", "http://lower:1");
        for (variables, expected) in [
            (
                [("HTTPS_PROXY", upper), ("https_proxy", lower)].as_slice(),
                Some(upper),
            ),
            (&[("HTTPS_PROXY", ""), ("https_proxy", lower)], Some(lower)),
            (&[("https_proxy", lower)], Some(lower)),
            (&[("https_proxy", "")], None),
            (&[], None),
            (
                &[("HTTP_PROXY", upper), ("http_proxy", upper), ("ALL_PROXY", upper)],
                None,
            ),
            (
                &[
                    ("HTTPS_PROXY", upper),
                    ("NO_PROXY", "10.5.0.2"),
                    ("no_proxy", "x"),
                ],
                None,
            ),
            (
                &[
                    ("HTTPS_PROXY", upper),
                    ("NO_PROXY", ""),
                    ("no_proxy", "10.0.0.0/8"),
                ],
                None,
            ),
            (
                &[("HTTPS_PROXY", upper), ("NO_PROXY", "x"), ("no_proxy", "*")],
                Some(upper),
            ),
        ] {
            assert_eq!(proxy(variables, "10.5.0.2").as_deref(), expected, "{variables:?}");
        }
        assert_eq!(proxy(&[("HTTPS_PROXY", upper)], "127.0.0.1"), None);
    }

    #[test]
    fn values_may_lack_a_scheme_or_have_an_unknown_one() {
        for (value, expected) in [
            ("proxy:3128", "http://proxy:3128"),
            ("proxy", "http://proxy:80"),
            ("user:secret@proxy:1", "http://proxy:1"),
            ("[fd00::1]:3128", "http://[fd00::1]:3128"),
            (" http://proxy:3128/\n", "http://proxy:3128"),
            ("ftp://user:secret@proxy:21", "http://proxy:21"),
            ("socks4://proxy:1080", "http://proxy:1080"),
            ("https://proxy", "https://proxy:443"),
            ("SOCKS5://proxy", "socks5://proxy:1080"),
            ("socks5h://proxy", "socks5://proxy:1080"),
            ("direct", "http://direct:80"),
        ] {
            let found = proxy(&[("HTTPS_PROXY", value)], "example.org");
            assert_eq!(found.as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn an_unusable_variable_is_an_error_that_names_it_and_shows_nothing_of_it() {
        for value in [
            "http://SECRET@proxy:port",
            "user:SECRET:port",
            "us:SEC://RET@proxy",
            "http://user:SECRET%@proxy",
            "SECRET ",
            "ftp://SECRET@",
        ] {
            let value = value.replace("SECRET ", "SECR ET ");
            let environment = environment(&[("https_proxy", &value)]);
            let error = environment.policy().expect_err(&value);
            assert!(
                matches!(
                    &error,
                    ProxyEnvironmentError::Url {
                        variable: "https_proxy",
                        ..
                    }
                ),
                "{value}: {error:?}"
            );
            let source = std::error::Error::source(&error).expect("a reason");
            let shown = format!("{error} {error:?} {source} {source:?} {environment:?}");
            assert!(!shown.contains("SEC"), "{value}: {shown}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_unicode_is_an_error() {
        use std::os::unix::ffi::OsStringExt as _;

        let environment = ProxyEnvironment::with_variables(|name| {
            (name == "HTTPS_PROXY").then(|| OsString::from_vec(b"http://\xff@proxy".to_vec()))
        });
        let variable = "HTTPS_PROXY";
        assert_eq!(
            environment.policy().unwrap_err(),
            ProxyEnvironmentError::NotUnicode { variable }
        );
    }
}
