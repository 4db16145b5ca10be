//! Which proxy a client uses: the one set by hand, else the context's, else the environment's.

use talos_transport::ChannelBuilder;

use super::ClientBuilder;
#[cfg(feature = "talosconfig")]
use crate::config::{ConfigError, Context, Origin};
use crate::error::Result;
#[cfg(feature = "proxy")]
use crate::{
    client::builder::config_error,
    proxy::{ProxyEnvironment, ProxyEnvironmentError, ProxyPolicy},
};

#[cfg(feature = "proxy")]
impl ClientBuilder {
    /// Reaches the endpoints through a proxy, and looks neither at the talosconfig nor at the environment for one. A
    /// [`Proxy`](crate::proxy::Proxy) alone is used for every endpoint, [`ProxyPolicy::direct`] for none.
    ///
    /// Default: see the module [`proxy`](crate::proxy).
    pub fn proxy(mut self, policy: impl Into<ProxyPolicy>) -> Self {
        self.proxy = Some(policy.into());
        self
    }

    /// Uses this instead of the process's environment to look for a proxy. Default:
    /// [`ProxyEnvironment::from_env`] when the client is built, and not again later.
    pub fn proxy_environment(mut self, environment: ProxyEnvironment) -> Self {
        self.proxy_environment = Some(environment);
        self
    }

    /// Takes over what a context says, unless there is a policy already.
    #[cfg(feature = "talosconfig")]
    pub(super) fn take_proxy_of(
        &mut self,
        context: &Context,
        name: &str,
        origin: &Origin,
    ) -> Result<(), ConfigError> {
        if self.proxy.is_none() {
            self.proxy = context.proxy_policy(name, origin)?;
        }
        Ok(())
    }

    pub(super) fn with_proxy(&mut self, channel: ChannelBuilder) -> Result<ChannelBuilder> {
        Ok(channel.proxy(self.proxy_policy().map_err(config_error)?))
    }

    fn proxy_policy(&mut self) -> Result<ProxyPolicy, ProxyEnvironmentError> {
        match (self.proxy.take(), self.proxy_environment.take()) {
            (Some(policy), _) => Ok(policy),
            (None, Some(environment)) => environment.policy(),
            (None, None) => ProxyEnvironment::from_env().policy(),
        }
    }
}

#[cfg(not(feature = "proxy"))]
impl ClientBuilder {
    /// Refuses a context that cannot be followed in this build.
    #[cfg(feature = "talosconfig")]
    pub(super) fn take_proxy_of(
        &mut self,
        context: &Context,
        name: &str,
        origin: &Origin,
    ) -> Result<(), ConfigError> {
        match &context.proxy_url {
            Some(url) if url.expose() != "direct" => Err(ConfigError::FeatureDisabled {
                origin: origin.clone(),
                context: name.to_owned(),
                field: "proxy-url",
                feature: "proxy",
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn with_proxy(&mut self, channel: ChannelBuilder) -> Result<ChannelBuilder> {
        Ok(channel)
    }
}

#[cfg(all(test, feature = "proxy", feature = "talosconfig"))]
mod tests {
    use super::*;
    use crate::{client::Client, proxy::Proxy};

    #[test]
    fn the_builder_goes_before_the_context_and_that_before_the_environment() {
        let own: Proxy = "http://own:1".parse().expect("a proxy");
        let (context, environment) = ("http://context:1", "http://environment:1");
        for (explicit, context, environment, expected) in [
            (None, None, None, None),
            (None, None, Some(environment), Some(environment)),
            (None, Some(context), None, Some(context)),
            (None, Some(context), Some(environment), Some(context)),
            (None, Some(context), Some("not a proxy"), Some(context)),
            (None, Some("direct"), Some(environment), None),
            (
                Some(own.clone().into()),
                Some(context),
                Some(environment),
                Some("http://own:1"),
            ),
            (
                Some(own.clone().into()),
                None,
                Some(environment),
                Some("http://own:1"),
            ),
            (
                Some(own.into()),
                Some("not a proxy"),
                Some("not a proxy"),
                Some("http://own:1"),
            ),
            (
                Some(ProxyPolicy::direct()),
                Some(context),
                Some(environment),
                None,
            ),
        ] {
            let name = format!("{explicit:?}, {context:?}, {environment:?}");
            let environment = ProxyEnvironment::with_variables(|name| {
                let value = environment.filter(|_| name == "HTTPS_PROXY");
                value.map(Into::into)
            });
            let mut builder = Client::builder().proxy_environment(environment);
            builder.proxy = explicit;
            let mut settings = Context::new(["10.5.0.2"]);
            settings.proxy_url = context.map(Into::into);
            builder
                .take_proxy_of(&settings, "main", &Origin::Memory)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let policy = builder
                .proxy_policy()
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let chosen = policy.proxy_for(&"10.5.0.2".parse().expect("an endpoint"));
            assert_eq!(chosen.map(ToString::to_string).as_deref(), expected, "{name}");
        }
    }
}
