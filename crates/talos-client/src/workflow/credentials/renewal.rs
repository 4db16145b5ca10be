//! A new certificate in place of one that ends soon.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::report::{ContextCredentials, CredentialState};
use crate::{
    Client, MemberRole, Node, Role,
    config::Talosconfig,
    error::{Error, ErrorKind, Origin, Result},
    workflow::{Reporter, Run},
};

/// The lifetime of a new certificate where the old one does not say: what talosctl asks for, a year.
const YEAR: Duration = Duration::from_secs(8_760 * 60 * 60);

/// A renewal of the certificate in one context of a talosconfig file.
///
/// The new one has the roles and the lifetime of the old one. It is tried before the file is replaced, so that a file
/// that works is never replaced by one that does not.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `run`"]
pub struct CredentialRenewal {
    path: PathBuf,
    context: Option<String>,
    by: Option<String>,
    node: Option<String>,
    lifetime: Option<Duration>,
    always: bool,
    now: Option<SystemTime>,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RenewalProgress {
    /// The certificate at hand was looked at.
    Found(CredentialState),
    /// A new one was issued.
    Issued,
    /// The new one works.
    Tried,
    /// The file has it.
    Saved,
}

/// What came of a renewal.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RenewalReport {
    /// The context.
    pub context: String,
    /// Whether there is a new certificate; false where the old one lasts.
    pub renewed: bool,
    /// The end of the certificate that the file has now.
    pub ends: SystemTime,
}

impl fmt::Display for RenewalProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Found(CredentialState::ExpiresSoon) => "the certificate expires soon",
            Self::Found(_) => "the certificate was looked at",
            Self::Issued => "a new certificate was issued",
            Self::Tried => "the new certificate works",
            Self::Saved => "the file has the new certificate",
        })
    }
}

impl CredentialRenewal {
    /// Of the current context of this file.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            context: None,
            by: None,
            node: None,
            lifetime: None,
            always: false,
            now: None,
        }
    }

    /// Of this context.
    pub fn context(mut self, name: impl Into<String>) -> Self {
        self.context = Some(name.into());
        self
    }

    /// Signs in with another context of the file to ask for the certificate. Only administrators may ask, so
    /// contexts with lesser roles need this. Default: the context itself.
    pub fn signed_in_with(mut self, context: impl Into<String>) -> Self {
        self.by = Some(context.into());
        self
    }

    /// Asks this control plane node. Default: the first one that [`Client::discover`] finds.
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.node = Some(name.into());
        self
    }

    /// How long the new certificate is valid. Default: as long as the old one was.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Renews a certificate that lasts, too. Default: false, only one that
    /// [expires soon](CredentialState::ExpiresSoon).
    pub fn always(mut self, always: bool) -> Self {
        self.always = always;
        self
    }

    /// The time that counts, in place of the clock's.
    pub fn at(mut self, now: SystemTime) -> Self {
        self.now = Some(now);
        self
    }

    /// Looks, asks for a certificate, tries it, and replaces the file.
    ///
    /// Other contexts stay as they are, changes that were made to the file meanwhile included. May be run again.
    ///
    /// # Errors
    ///
    /// `Config` where the file or the context cannot be used; `FailedPrecondition` of this machine where the
    /// certificate has expired and cannot renew itself, and where there is none; `PermissionDenied` for less than an
    /// administrator; and as for [`Node::generate_client_configuration`]. The file is as it was then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the run leaves the file as it was; a certificate that was issued by then is of no use to anybody.
    pub fn run(self) -> Run<RenewalProgress, RenewalReport> {
        Run::new(|reporter| self.renew(reporter))
    }

    async fn renew(self, reporter: Reporter<RenewalProgress>) -> Result<RenewalReport> {
        let now = self.now.unwrap_or_else(SystemTime::now);
        let talosconfig = self.load().await?;
        let (name, _) = talosconfig.select(self.context.as_deref())?;
        let name = name.to_owned();
        let by = self.by.as_deref().unwrap_or(&name);
        let found = ContextCredentials::of(&talosconfig, &name, now);
        reporter.report(RenewalProgress::Found(found.state.clone()));
        let Some(old) = talosconfig.certificate(Some(&name))? else {
            return Err(refused(&format!(
                "context {name:?} has no certificate that could be renewed"
            )));
        };
        match found.state {
            CredentialState::Expired if by == name => {
                return Err(refused(&format!(
                    "the certificate of context {name:?} has expired and cannot renew itself: a new one takes \
                     another administrator, or the key of the cluster's own authority"
                )));
            }
            CredentialState::Valid | CredentialState::NotYetValid if !self.always => {
                return Ok(RenewalReport {
                    context: name,
                    renewed: false,
                    ends: old.not_after(),
                });
            }
            _ => {}
        }
        let roles = old.organizations().iter().map(|role| role.parse::<Role>());
        let roles: Vec<Role> = roles
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| Error::local(ErrorKind::Config, error))?;
        let lifetime = old.not_after().duration_since(old.not_before()).ok();
        let lifetime = self.lifetime.or(lifetime).unwrap_or(YEAR);

        let client = Client::builder()
            .talosconfig(talosconfig.clone())
            .context(by)
            .build()?;
        let node = control_plane(&client, self.node.as_deref()).await?;
        let issued = node.generate_client_configuration(roles, lifetime).send().await?;
        reporter.report(RenewalProgress::Issued);

        let mut renewed = talosconfig;
        renewed.renew(Some(&name), &issued)?;
        let client = Client::builder().talosconfig(renewed).context(&name).build()?;
        match client.node(node.name())?.version().await {
            Ok(_) => {}
            // Every role may connect, but not every one may ask for this.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
        reporter.report(RenewalProgress::Tried);

        // What others wrote meanwhile stays.
        let path = self.path.clone();
        let context = name.clone();
        let ends = issued.certificate().not_after();
        blocking(move || {
            let mut current = Talosconfig::load(path)?;
            current.renew(Some(&context), &issued)?;
            current.save()
        })
        .await?;
        reporter.report(RenewalProgress::Saved);
        Ok(RenewalReport {
            context: name,
            renewed: true,
            ends,
        })
    }

    async fn load(&self) -> Result<Talosconfig> {
        let path = self.path.clone();
        blocking(|| Talosconfig::load(path)).await
    }
}

/// This node, or the first control plane node that is found.
async fn control_plane(client: &Client, name: Option<&str>) -> Result<Node> {
    if let Some(name) = name {
        return client.node(name);
    }
    let (members, _) = client.discover().await?;
    let members = members.into_iter().map(|member| (member.role, member.node));
    let mut nodes = members.filter_map(|(role, node)| (role == MemberRole::ControlPlane).then_some(node));
    nodes.next().ok_or_else(|| {
        Error::new(ErrorKind::NotFound, Origin::Local)
            .with_message("no control plane node is known, name one")
    })
}

fn refused(text: &str) -> Error {
    Error::new(ErrorKind::FailedPrecondition, Origin::Local).with_message(text)
}

async fn blocking<T, E>(work: impl FnOnce() -> std::result::Result<T, E> + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    E: Into<Error> + Send + 'static,
{
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| Error::local(ErrorKind::Io, error))?;
    done.map_err(Into::into)
}
