//! What a client that reads its talosconfig again tells about it.

use std::{path::PathBuf, time::SystemTime};

use talos_transport::Endpoint;
use tokio::sync::watch;

/// Why the talosconfig of a client cannot be read again, or cannot be used once it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The client was built without a talosconfig, or with one that was not loaded from a file.
    #[error("the client was not made from a talosconfig file, so there is none to read again")]
    NoFile,
    /// Certificates and key were all given to the builder, and go before those of the file.
    #[error("the credentials were given to the builder, so those of the talosconfig are not used")]
    CredentialsGiven,
    /// Watching was asked for without a pause between two looks.
    #[error("the interval for watching the talosconfig is zero")]
    ZeroInterval,
    /// The client is to watch its talosconfig but was built outside a Tokio runtime, where nothing can be started.
    #[error("watching the talosconfig needs a Tokio runtime")]
    NoRuntime,
    /// The context had this and has it no more: more likely a file that is being written than a wish to go on without.
    #[error("context {context:?} in talosconfig {} has no `{field}` any more", .path.display())]
    Lost {
        /// The file.
        path: PathBuf,
        /// The context.
        context: String,
        /// `ca` or `crt`.
        field: &'static str,
    },
}

/// What reading the talosconfig again came to, see [`Client::reload`](crate::Client::reload).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    pub(super) replaced: bool,
    pub(super) endpoints_replaced: bool,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) needs_new_client: Vec<&'static str>,
}

/// How reading the talosconfig again has gone so far, see [`Reloads`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReloadStatus {
    pub(super) looks: u64,
    pub(super) replacements: u64,
    pub(super) endpoint_replacements: u64,
    pub(super) last_replacement: Option<SystemTime>,
    pub(super) last_error: Option<String>,
    pub(super) needs_new_client: Vec<&'static str>,
}

/// Observes the looks that a client takes at its talosconfig, see [`Client::reloads`](crate::Client::reloads).
///
/// It does not keep the client alive.
#[derive(Debug, Clone)]
pub struct Reloads(watch::Receiver<ReloadStatus>);

impl Reloaded {
    /// Whether the file has other credentials than those in use, so that they were replaced.
    pub fn replaced(&self) -> bool {
        self.replaced
    }

    /// Whether the context has other endpoints than those in use, so that they were replaced. Never if endpoints were given to
    /// the builder.
    pub fn endpoints_replaced(&self) -> bool {
        self.endpoints_replaced
    }

    /// The endpoints in use: those that were given to the builder, else those that the context has now.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The fields of the context that differ from those the client was built with, and that only a new client takes over:
    /// some of `nodes`, `auth`, `cluster`, `proxy-url`.
    pub fn needs_new_client(&self) -> &[&'static str] {
        &self.needs_new_client
    }
}

impl ReloadStatus {
    /// How many times the file was looked at, successfully or not. Building the client does not count.
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// How many times the credentials were replaced.
    pub fn replacements(&self) -> u64 {
        self.replacements
    }

    /// How many times the endpoints were replaced.
    pub fn endpoint_replacements(&self) -> u64 {
        self.endpoint_replacements
    }

    /// When the credentials were last replaced.
    pub fn last_replacement(&self) -> Option<SystemTime> {
        self.last_replacement
    }

    /// Why the last look failed, with all causes; `None` if it did not. The credentials in use are the last good ones.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// What [`Reloaded::needs_new_client`] said at the last successful look.
    pub fn needs_new_client(&self) -> &[&'static str] {
        &self.needs_new_client
    }
}

impl Reloads {
    pub(super) fn new(receiver: watch::Receiver<ReloadStatus>) -> Self {
        Self(receiver)
    }

    /// How it has gone so far.
    pub fn status(&self) -> ReloadStatus {
        self.0.borrow().clone()
    }

    /// Waits for the next look at the file and tells how it has gone so far. Looks in quick succession may be told as one.
    /// `None` once the client and everything made from it is gone.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost; the next call returns at once if there was a look meanwhile.
    pub async fn next(&mut self) -> Option<ReloadStatus> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }
}
