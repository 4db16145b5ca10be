//! Reading the talosconfig of a running client again.

use std::{
    collections::HashSet,
    mem,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use talos_transport::{
    Channel, Endpoint, EndpointsHandle,
    tls::{TlsConfig, TlsHandle, WeakTlsHandle},
};
use tokio::sync::watch;

use super::{
    ConfigError, Context, Talosconfig,
    watch::{ReloadError, ReloadStatus, Reloaded, Reloads},
};
use crate::{
    client::Pem,
    error::{Error, ErrorKind, Result},
};

/// Where a client's settings came from, and what they were.
pub(crate) struct Source {
    path: PathBuf,
    /// Name of the context. It stays the same whatever the file makes the current one: another context is another cluster.
    name: String,
    /// The context as it was when the client was built.
    built: Context,
    /// Its credentials, decoded.
    pem: Pem,
    given: Given,
}

/// What was given to the builder, and goes before what the file says.
#[derive(Clone, Default)]
pub(crate) struct Given {
    pub(crate) pem: Pem,
    pub(crate) endpoints: Option<Vec<Endpoint>>,
    pub(crate) cluster: bool,
}

/// Looks at the file on request, and replaces the client's credentials when they have changed.
pub(crate) struct Reloader {
    path: PathBuf,
    name: String,
    built: Context,
    given: Given,
    /// Weak, so that watching ends with the last user of the channel.
    tls: WeakTlsHandle,
    endpoints: EndpointsHandle,
    /// What is in use. Locked for the whole of a look, so that looks come one after another.
    used: Mutex<Used>,
    status: watch::Sender<ReloadStatus>,
}

/// What of a talosconfig is in use, and taken over from a changed one.
#[derive(Clone, PartialEq, Eq)]
struct Used {
    pem: Pem,
    endpoints: Vec<Endpoint>,
}

impl Given {
    /// Whether nothing is left for the file to say about credentials.
    pub(crate) fn credentials(&self) -> bool {
        self.pem.ca.is_some() && self.pem.identity.is_some()
    }
}

impl Source {
    pub(crate) fn new(path: &Path, name: &str, context: &Context, pem: Pem, given: Given) -> Self {
        Self {
            path: path.to_owned(),
            name: name.to_owned(),
            built: context.clone(),
            pem,
            given,
        }
    }
}

impl Reloader {
    pub(crate) fn new(source: Source, channel: &Channel, tls: &TlsHandle) -> Self {
        let Source {
            path,
            name,
            mut built,
            pem,
            given,
        } = source;
        // They are kept decoded; once is enough.
        (built.ca, built.crt, built.key) = (None, None, None);
        Self {
            path,
            name,
            built,
            used: Mutex::new(Used {
                pem: given.pem.or(pem),
                endpoints: channel.endpoints(),
            }),
            given,
            tls: tls.downgrade(),
            endpoints: channel.endpoints_handle(),
            status: watch::Sender::new(ReloadStatus::default()),
        }
    }

    pub(crate) fn observe(&self) -> Reloads {
        Reloads::new(self.status.subscribe())
    }

    /// Looks at the file at this interval until the channel is gone.
    pub(crate) fn watch(self: Arc<Self>, interval: Duration) -> Result<(), ReloadError> {
        if interval.is_zero() {
            return Err(ReloadError::ZeroInterval);
        }
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ReloadError::NoRuntime)?;
        runtime.spawn(async move {
            while tokio::time::timeout(interval, self.tls.dropped()).await.is_err() {
                // What came of it has been traced and noted.
                let _ = self.reload().await;
            }
        });
        Ok(())
    }

    /// Looks at the file now.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<Reloaded> {
        let this = Arc::clone(self);
        let look = tokio::task::spawn_blocking(move || this.look());
        look.await
            .map_err(|error| Error::local(ErrorKind::Config, error))?
    }

    fn look(&self) -> Result<Reloaded> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.read(&used).and_then(|(now, tls, reloaded)| {
            if reloaded.endpoints_replaced {
                self.set_endpoints(&now.endpoints)?;
            }
            if let (Some(tls), Some(handle)) = (tls, self.tls.upgrade()) {
                handle.replace(tls);
            }
            *used = now;
            Ok(reloaded)
        });
        self.note(&result);
        result
    }

    /// The first change that is made; if it is refused, so is the file.
    fn set_endpoints(&self, endpoints: &[Endpoint]) -> Result<()> {
        let set = self.endpoints.set(endpoints.iter().cloned());
        set.map(drop)
            .map_err(|error| Error::local(ErrorKind::Config, error))
    }

    /// Reads the file, and makes a TLS configuration if its credentials are not the used ones. Nothing is changed yet, so
    /// that a file is taken over as a whole or not at all.
    fn read(&self, used: &Used) -> Result<(Used, Option<TlsConfig>, Reloaded)> {
        let talosconfig = Talosconfig::load(&self.path)?;
        let origin = talosconfig.origin();
        let (name, context) = talosconfig.select(Some(&self.name))?;
        let endpoints = match &self.given.endpoints {
            Some(given) => given.clone(),
            None => context.parse_endpoints(name, &origin)?,
        };
        let pem = self.given.pem.or(context.decode(name, &origin)?);
        let lost = [
            ("ca", used.pem.ca.is_some() && pem.ca.is_none()),
            ("crt", used.pem.identity.is_some() && pem.identity.is_none()),
        ];
        if let Some((field, _)) = lost.into_iter().find(|(_, lost)| *lost) {
            return Err(Error::local(
                ErrorKind::Config,
                ReloadError::Lost {
                    path: self.path.clone(),
                    context: name.to_owned(),
                    field,
                },
            ));
        }
        let replaced = pem != used.pem;
        let tls = replaced.then(|| pem.tls_config()).transpose();
        let tls = tls.map_err(|source| ConfigError::Credentials {
            origin: origin.clone(),
            context: name.to_owned(),
            source,
        })?;
        let reloaded = Reloaded {
            replaced,
            endpoints_replaced: !same(&endpoints, &used.endpoints),
            endpoints: endpoints.clone(),
            needs_new_client: self.differences(context),
        };
        Ok((Used { pem, endpoints }, tls, reloaded))
    }

    fn differences(&self, now: &Context) -> Vec<&'static str> {
        let built = &self.built;
        let cluster = !self.given.cluster && now.cluster != built.cluster;
        [
            ("nodes", now.nodes != built.nodes),
            ("auth", now.auth != built.auth),
            ("cluster", cluster),
            ("proxy-url", now.proxy_url != built.proxy_url),
        ]
        .into_iter()
        .filter_map(|(field, differs)| differs.then_some(field))
        .collect()
    }

    /// Makes the outcome of a look known. What has been said before is only said again for those who debug.
    fn note(&self, result: &Result<Reloaded>) {
        let (path, context) = (self.path.display(), self.name.as_str());
        let mut status = self.status.borrow().clone();
        status.looks += 1;
        match result {
            Ok(reloaded) => {
                if status.last_error.take().is_some() {
                    tracing::info!(talosconfig = %path, context, "the talosconfig can be used again");
                }
                if reloaded.replaced {
                    status.replacements += 1;
                    status.last_replacement = Some(SystemTime::now());
                    tracing::info!(talosconfig = %path, context, "credentials replaced");
                }
                if reloaded.endpoints_replaced {
                    status.endpoint_replacements += 1;
                    tracing::info!(talosconfig = %path, context, "endpoints replaced");
                }
                let fields = reloaded.needs_new_client.clone();
                if mem::replace(&mut status.needs_new_client, fields) != reloaded.needs_new_client
                    && !reloaded.needs_new_client.is_empty()
                {
                    let fields = reloaded.needs_new_client.join(", ");
                    tracing::warn!(
                        talosconfig = %path, context, fields,
                        "the talosconfig has changed in what only a new client takes over"
                    );
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                if status.last_error.as_ref() == Some(&error) {
                    tracing::debug!(talosconfig = %path, context, error, "the talosconfig still cannot be used");
                } else {
                    tracing::warn!(
                        talosconfig = %path, context, error,
                        "the talosconfig cannot be used; going on with the credentials as they are"
                    );
                }
                status.last_error = Some(error);
            }
        }
        self.status.send_replace(status);
    }
}

/// Whether these are the same endpoints, in whatever order, since the order has no meaning.
fn same(one: &[Endpoint], other: &[Endpoint]) -> bool {
    let set = |endpoints: &[Endpoint]| endpoints.iter().cloned().collect::<HashSet<_>>();
    set(one) == set(other)
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader")
            .field("path", &self.path)
            .field("context", &self.name)
            .field("status", &*self.status.borrow())
            .finish_non_exhaustive()
    }
}
