//! When certificates end.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use talos_transport::tls::Validity;

use crate::config::Talosconfig;

/// The certificates of all contexts of a talosconfig. Nothing is sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CredentialReport {
    /// The contexts, by name.
    pub contexts: Vec<ContextCredentials>,
}

/// The certificate of a context.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ContextCredentials {
    /// The name of the context.
    pub context: String,
    /// Whether it is the current one.
    pub current: bool,
    /// How it is.
    pub state: CredentialState,
    /// The roles, such as `os:reader`; empty without a certificate.
    pub roles: Vec<String>,
    /// The end of the certificate.
    pub ends: Option<SystemTime>,
    /// How much of it is left; zero if it is over.
    pub left: Option<Duration>,
}

/// How the certificate of a context is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialState {
    /// Valid for a while.
    Valid,
    /// Valid, and it is time to renew it: the last tenth of its life, or the last 30 days of it.
    ExpiresSoon,
    /// Over.
    Expired,
    /// Its time has not begun; or the clock of this machine is behind.
    NotYetValid,
    /// There is none: the context signs in by other means, or not at all.
    Missing,
    /// It cannot be read, and why. Shows nothing of it.
    Unusable(String),
}

impl CredentialReport {
    /// Looks at all contexts. `now` is the time that counts, usually [`SystemTime::now`].
    pub fn of(talosconfig: &Talosconfig, now: SystemTime) -> Self {
        let contexts = talosconfig.contexts.keys();
        let contexts = contexts.map(|name| ContextCredentials::of(talosconfig, name, now));
        Self {
            contexts: contexts.collect(),
        }
    }

    /// The contexts whose certificate needs somebody to do something, the soonest first.
    pub fn needing_attention(&self) -> Vec<&ContextCredentials> {
        let mut contexts: Vec<_> = self
            .contexts
            .iter()
            .filter(|context| context.needs_attention())
            .collect();
        contexts.sort_by_key(|context| context.ends);
        contexts
    }
}

impl ContextCredentials {
    pub(super) fn of(talosconfig: &Talosconfig, name: &str, now: SystemTime) -> Self {
        let mut found = Self {
            context: name.to_owned(),
            current: talosconfig.context == name,
            state: CredentialState::Missing,
            roles: Vec::new(),
            ends: None,
            left: None,
        };
        match talosconfig.certificate(Some(name)) {
            Ok(None) => {}
            Err(error) => found.state = CredentialState::Unusable(error.to_string()),
            Ok(Some(facts)) => {
                found.state = match facts.validity(now) {
                    Validity::Valid => CredentialState::Valid,
                    Validity::ExpiresSoon => CredentialState::ExpiresSoon,
                    Validity::NotYetValid => CredentialState::NotYetValid,
                    _ => CredentialState::Expired,
                };
                found.roles = facts.organizations().to_vec();
                found.ends = Some(facts.not_after());
                found.left = Some(facts.not_after().duration_since(now).unwrap_or_default());
            }
        }
        found
    }

    /// Whether somebody has to do something about it.
    pub fn needs_attention(&self) -> bool {
        !matches!(self.state, CredentialState::Valid | CredentialState::Missing)
    }
}

impl fmt::Display for ContextCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.left.unwrap_or_default().as_secs() / 86_400;
        write!(
            f,
            "{}{}: ",
            self.context,
            if self.current { " (current)" } else { "" }
        )?;
        match &self.state {
            CredentialState::Valid => write!(f, "valid for {days} days")?,
            CredentialState::ExpiresSoon => write!(f, "expires soon, in {days} days")?,
            CredentialState::Expired => f.write_str("expired")?,
            CredentialState::NotYetValid => f.write_str("not valid yet")?,
            CredentialState::Missing => f.write_str("no certificate")?,
            CredentialState::Unusable(why) => write!(f, "unusable: {why}")?,
        }
        if !self.roles.is_empty() {
            write!(f, ", {}", self.roles.join(", "))?;
        }
        Ok(())
    }
}
