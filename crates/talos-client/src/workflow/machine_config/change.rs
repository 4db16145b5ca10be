//! Reading, patching, checking and applying.

use std::{fmt, time::Duration};

use super::{ConfigPatch, ConfigTrial, PatchError, document, patch};
use crate::{
    Node, SecretString,
    api::machine::{AppliedConfiguration, ApplyMode},
    error::{Error, Result},
    resource::config::MachineConfig,
    workflow::{Reporter, Run},
};

/// A change of the machine configuration of a node.
///
/// It begins with the configuration in force, or with another text, and applies patches to it in the order in which
/// they were given. Everything is checked here as far as that can be before anything is sent; the node checks the
/// rest, and refuses what it does not like as a whole.
///
/// **A node has no way to refuse a change that is based on an older configuration**: of two changes at the same time,
/// the later one undoes the earlier one.
#[derive(Clone)]
#[must_use = "nothing is sent before `preview`, `run` or `try_for`"]
pub struct ConfigChange {
    node: Node,
    text: Option<SecretString>,
    patches: Vec<ConfigPatch>,
    mode: ApplyMode,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigChangeProgress {
    /// The configuration in force was read.
    Read,
    /// The new one is ready, and may be one.
    Checked,
    /// There is nothing to change.
    Unchanged,
    /// It was sent to the node.
    Sent,
    /// The node has it.
    Applied,
}

impl fmt::Display for ConfigChangeProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "the configuration was read",
            Self::Checked => "the new configuration is ready",
            Self::Unchanged => "there is nothing to change",
            Self::Sent => "the new configuration was sent",
            Self::Applied => "the node has the new configuration",
        })
    }
}

/// What came of a change.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConfigChangeReport {
    /// The configuration says all of it already; nothing was sent.
    Unchanged,
    /// The node's answer.
    Applied(AppliedConfiguration),
    /// The connection broke before the node answered, and it turned out to have the new configuration.
    Confirmed,
}

/// What a change would do. `Debug` shows nothing of the configuration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConfigPreview {
    /// The new configuration.
    pub text: SecretString,
    /// The difference in the node's words, **secrets included**.
    pub diff: SecretString,
    /// Whether there is anything to change.
    pub changed: bool,
}

/// A configuration before and after a change.
pub(super) struct Prepared {
    pub(super) old: SecretString,
    pub(super) new: SecretString,
}

impl Prepared {
    fn is_changed(&self) -> bool {
        !document::same(self.old.expose(), self.new.expose())
    }
}

impl ConfigChange {
    /// Of the configuration in force on this node.
    pub fn new(node: &Node) -> Self {
        Self {
            node: node.clone(),
            text: None,
            patches: Vec::new(),
            mode: ApplyMode::Auto,
        }
    }

    /// Puts this configuration in place of the one in force; patches are applied to it.
    pub fn replace_with(mut self, config: impl Into<SecretString>) -> Self {
        self.text = Some(config.into());
        self
    }

    /// Applies this patch, after those that were given before.
    pub fn patch(mut self, patch: ConfigPatch) -> Self {
        self.patches.push(patch);
        self
    }

    /// When it takes effect. Default: [`ApplyMode::Auto`]. For a trial that can be confirmed, use
    /// [`ConfigChange::try_for`].
    pub fn mode(mut self, mode: ApplyMode) -> Self {
        self.mode = mode;
        self
    }

    /// Reads the configuration in force.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` for less than an administrator, `NotFound` for a node without one, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn read(node: &Node) -> Result<SecretString> {
        let config = node.resources().get::<MachineConfig>().await?;
        Ok(config.spec.text)
    }

    /// Makes the new configuration, and asks the node what it would do. Nothing is changed, and a trial that is
    /// under way on the node goes on.
    ///
    /// # Errors
    ///
    /// As for [`ConfigChange::run`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn preview(&self) -> Result<ConfigPreview> {
        let prepared = self.prepare().await?;
        // Any other mode would end a trial, even in a dry run.
        let mode = ApplyMode::Try {
            timeout: ApplyMode::TRY_TIMEOUT,
        };
        let request = self.node.apply_configuration(prepared.new.expose().to_owned());
        let answer = request.mode(mode).dry_run(true).send().await?;
        Ok(ConfigPreview {
            changed: prepared.is_changed(),
            text: prepared.new,
            diff: SecretString::new(answer.details),
        })
    }

    /// Reads, patches, checks and applies.
    ///
    /// Where nothing would change, nothing is sent. If the connection breaks before the node answers, it is asked
    /// what configuration it has. May be run again as far as the patches may: one that appends to a list appends
    /// again.
    ///
    /// # Errors
    ///
    /// `InvalidInput` with a [`PatchError`], before anything is sent; `InvalidArgument` with all that the node finds
    /// wrong, and as for [`ConfigChange::read`] and [`Node::apply_configuration`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the run after the configuration was sent leaves it open whether the node applies it.
    pub fn run(self) -> Run<ConfigChangeProgress, ConfigChangeReport> {
        Run::new(|reporter| async move {
            let prepared = self.prepared(&reporter).await?;
            if !prepared.is_changed() {
                reporter.report(ConfigChangeProgress::Unchanged);
                return Ok(ConfigChangeReport::Unchanged);
            }
            let report = match self.send(&prepared.new, self.mode, &reporter).await {
                Ok(answer) => ConfigChangeReport::Applied(answer),
                Err(error) if self.has(&prepared.new, &error).await => ConfigChangeReport::Confirmed,
                Err(error) => return Err(error),
            };
            reporter.report(ConfigChangeProgress::Applied);
            Ok(report)
        })
    }

    /// Applies the change on trial: **the node takes it back after this time**, unless it is confirmed with
    /// [`ConfigTrial::confirm`] by then. So a change that cuts the node off undoes itself. Nothing is written to the
    /// node's disk before.
    ///
    /// Do not begin a second trial while one is under way: the node then goes back to the configuration of the first.
    ///
    /// # Errors
    ///
    /// As for [`ConfigChange::run`], and `InvalidInput` for a trial of no time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the run after the configuration was sent leaves it to the node to take it back.
    pub fn try_for(self, timeout: Duration) -> Run<ConfigChangeProgress, ConfigTrial> {
        Run::new(move |reporter| async move {
            let prepared = self.prepared(&reporter).await?;
            // The node's time begins later than ours, so that ours is over first.
            let trial = ConfigTrial::new(&self.node, prepared, timeout);
            self.send(trial.text(), ApplyMode::Try { timeout }, &reporter)
                .await?;
            reporter.report(ConfigChangeProgress::Applied);
            Ok(trial)
        })
    }

    async fn prepared(&self, reporter: &Reporter<ConfigChangeProgress>) -> Result<Prepared> {
        let old = Self::read(&self.node).await?;
        reporter.report(ConfigChangeProgress::Read);
        let prepared = self.prepare_from(old)?;
        reporter.report(ConfigChangeProgress::Checked);
        Ok(prepared)
    }

    async fn prepare(&self) -> Result<Prepared> {
        let old = Self::read(&self.node).await?;
        Ok(self.prepare_from(old)?)
    }

    fn prepare_from(&self, old: SecretString) -> Result<Prepared, PatchError> {
        let base = self.text.as_ref().unwrap_or(&old);
        let new = if self.patches.is_empty() {
            // Comments stay if nothing is patched.
            document::check(&document::read(base.expose())?)?;
            base.clone()
        } else {
            patch::apply_all(base.expose(), &self.patches)?
        };
        Ok(Prepared { old, new })
    }

    async fn send(
        &self,
        text: &SecretString,
        mode: ApplyMode,
        reporter: &Reporter<ConfigChangeProgress>,
    ) -> Result<AppliedConfiguration> {
        let request = self.node.apply_configuration(text.expose().to_owned()).mode(mode);
        reporter.report(ConfigChangeProgress::Sent);
        request.send().await
    }

    /// Whether the node has this configuration although its answer did not arrive.
    async fn has(&self, text: &SecretString, error: &Error) -> bool {
        if error
            .code()
            .is_some_and(|_| !error.is_unreachable() && !error.is_timeout())
        {
            return false;
        }
        let id = match self.mode {
            ApplyMode::Staged => "persistent",
            _ => "v1alpha1",
        };
        let config = self.node.resources().get_by_id::<MachineConfig>(id).await;
        config.is_ok_and(|config| document::same(config.spec.text.expose(), text.expose()))
    }
}

impl fmt::Debug for ConfigChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigChange")
            .field("node", self.node.name())
            .field("text", &self.text)
            .field("patches", &self.patches)
            .field("mode", &self.mode)
            .finish()
    }
}
