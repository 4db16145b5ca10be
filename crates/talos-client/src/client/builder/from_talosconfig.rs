//! What a talosconfig adds to what was set by hand.

use talos_transport::NodeName;
use zeroize::Zeroizing;

use super::{ClientBuilder, Pem, Settings, config_error};
use crate::{
    config::{Auth, ConfigError, Context, Given, Origin, ReloadError, Source, Talosconfig},
    error::Result,
};

impl ClientBuilder {
    pub(super) fn settings(&mut self) -> Result<Settings> {
        let talosconfig = match (self.talosconfig.take(), &self.context) {
            (Some(talosconfig), _) => talosconfig,
            (None, Some(_)) => Talosconfig::new(),
            (None, None) => {
                return Ok(Settings {
                    endpoints: self.own_endpoints()?,
                    tls: self.tls_handle(Pem::default()).map_err(config_error)?,
                    cluster: self.cluster.take(),
                    basic_auth: None,
                    context_nodes: Vec::new(),
                    source: Err(ReloadError::NoFile),
                });
            }
        };
        let origin = talosconfig.origin();
        // The context comes first, so that a wrong name is what the error says, not missing endpoints.
        let (name, context) = talosconfig.select(self.context.as_deref())?;
        let own_endpoints = self.own_endpoints()?;
        let given = Given {
            pem: self.pem.clone(),
            endpoints: Some(own_endpoints).filter(|endpoints| !endpoints.is_empty()),
            cluster: self.cluster.is_some(),
        };
        let endpoints = match &given.endpoints {
            Some(endpoints) => endpoints.clone(),
            None => context.parse_endpoints(name, &origin)?,
        };
        let context_nodes = nodes(name, context, &origin)?;
        let cluster = self.cluster.take().or_else(|| context.cluster.clone());
        if let Some(tls) = self.tls.take() {
            // It replaces how the context would connect, credentials and proxy included, as in talosctl.
            return Ok(Settings {
                endpoints,
                tls,
                cluster,
                basic_auth: None,
                context_nodes,
                source: Err(ReloadError::CredentialsGiven),
            });
        }
        let pem = context.decode(name, &origin)?;
        let basic_auth = basic_auth(context);
        self.take_signature_of(context, name, &origin)?;
        self.take_proxy_of(context, name, &origin)?;
        let tls = self
            .tls_handle(pem.clone())
            .map_err(|source| ConfigError::Credentials {
                origin: origin.clone(),
                context: name.to_owned(),
                source,
            })?;
        let source = if given.credentials() {
            Err(ReloadError::CredentialsGiven)
        } else {
            match talosconfig.path() {
                Some(path) => Ok(Source::new(path, name, context, pem, given)),
                None => Err(ReloadError::NoFile),
            }
        };
        Ok(Settings {
            endpoints,
            tls,
            cluster,
            basic_auth,
            context_nodes,
            source,
        })
    }
}

/// User name and password, for proxies in front of Talos that ask for them.
fn basic_auth(context: &Context) -> Option<(String, Zeroizing<String>)> {
    match &context.auth {
        Some(Auth::Basic { username, password }) => {
            Some((username.clone(), Zeroizing::new(password.expose().to_owned())))
        }
        Some(Auth::SideroV1 { .. }) | None => None,
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
