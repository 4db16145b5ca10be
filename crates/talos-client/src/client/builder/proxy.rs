//! Which proxy a client uses: the one set by hand, else the context's, else the environment's.

use talos_transport::ChannelBuilder;

use super::ClientBuilder;
#[cfg(feature = "talosconfig")]
use crate::config::{ConfigError, Context, Origin};
use crate::error::Result;
#[cfg(feature = "proxy")]
use crate::{
    client::builder::config_error,
    proxy::{ProxyEnvironment, ProxyPolicy},
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
        let policy = match (self.proxy.take(), self.proxy_environment.take()) {
            (Some(policy), _) => policy,
            (None, Some(environment)) => environment.policy().map_err(config_error)?,
            (None, None) => ProxyEnvironment::from_env().policy().map_err(config_error)?,
        };
        Ok(channel.proxy(policy))
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
