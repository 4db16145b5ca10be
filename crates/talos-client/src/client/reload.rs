//! Reading the talosconfig again while the client is in use.

use std::{sync::Arc, time::Duration};

use super::{Client, ClientBuilder};
use crate::{
    config::{ReloadError, Reloaded, Reloader, Reloads, Source},
    error::{Error, ErrorKind, Result},
};

impl ClientBuilder {
    /// A good interval for [`ClientBuilder::watch_talosconfig`]: 30 seconds.
    ///
    /// Kubernetes brings a changed secret into pods within about a minute, and certificates are renewed long
    /// before they expire; looking more often gains nothing.
    pub const DEFAULT_WATCH_INTERVAL: Duration = Duration::from_secs(30);
}

impl Client {
    /// Reads the talosconfig's file now, and uses the endpoints and credentials of the context from then on if
    /// they are others; see [`ClientBuilder::watch_talosconfig`] for what exactly changes. Works with and without
    /// watching.
    ///
    /// # Errors
    ///
    /// `Config`, and everything stays as it was. The source is a [`ReloadError`], or the
    /// [`ConfigError`](crate::config::ConfigError) that building a client from the file would give.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; a look that was begun is finished in any case.
    pub async fn reload(&self) -> Result<Reloaded> {
        match &self.inner.reloader {
            Ok(reloader) => reloader.reload().await,
            Err(error) => Err(Error::local(ErrorKind::Config, error.clone())),
        }
    }

    /// Observes how reading the talosconfig again goes, by watching and by [`Client::reload`]. `None` for a
    /// client whose credentials came from elsewhere.
    pub fn reloads(&self) -> Option<Reloads> {
        let reloader = self.inner.reloader.as_ref().ok()?;
        Some(reloader.observe())
    }

    /// What reads the talosconfig again, and its task if that is to happen at an interval.
    pub(super) fn reloader(
        channel: &talos_transport::Channel,
        source: Result<Source, ReloadError>,
        watch: Option<Duration>,
    ) -> Result<Result<Arc<Reloader>, ReloadError>> {
        let tls = channel.tls().ok_or(ReloadError::NoFile);
        let reloader = source.and_then(|source| Ok(Arc::new(Reloader::new(source, channel, tls?))));
        if let Some(interval) = watch {
            let watched = reloader.clone().and_then(|reloader| reloader.watch(interval));
            watched.map_err(|error| Error::local(ErrorKind::Config, error))?;
        }
        Ok(reloader)
    }
}
