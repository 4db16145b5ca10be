//! A configuration on trial.

use std::{fmt, time::Duration};

use tokio::time::Instant;

use super::{ConfigChange, change::Prepared, document};
use crate::{
    Node, SecretString,
    api::machine::{AppliedConfiguration, ApplyMode},
    error::{Error, ErrorKind, Origin, Result},
    workflow::deadline,
};

/// A configuration that a node tries; made by [`ConfigChange::try_for`].
///
/// Dropping this does nothing, and the node takes the configuration back when its time is over.
#[must_use = "the node takes the configuration back unless it is confirmed"]
pub struct ConfigTrial {
    node: Node,
    prepared: Prepared,
    end: Instant,
}

impl ConfigTrial {
    pub(super) fn new(node: &Node, prepared: Prepared, timeout: Duration) -> Self {
        Self {
            node: node.clone(),
            prepared,
            end: deadline(timeout),
        }
    }

    /// The configuration on trial.
    pub fn text(&self) -> &SecretString {
        &self.prepared.new
    }

    /// How much time is left to confirm it.
    pub fn remaining(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Makes the configuration permanent, without a reboot.
    ///
    /// The node is asked first whether it still has it, since a configuration that it took back or that somebody
    /// else replaced must not come back by this.
    ///
    /// # Errors
    ///
    /// `FailedPrecondition` of this machine if the time is over or the node has another configuration by now, and as
    /// for [`Node::apply_configuration`]. The trial goes on if nothing was sent, so that it may be confirmed again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the configuration stays; it may be confirmed again.
    pub async fn confirm(&self) -> Result<AppliedConfiguration> {
        if self.remaining().is_zero() {
            return Err(over(
                "the trial is over, and the node went back to the configuration before",
            ));
        }
        let current = ConfigChange::read(&self.node).await?;
        if !document::same(current.expose(), self.text().expose()) {
            return Err(over("the node has another configuration than the one on trial"));
        }
        self.apply(self.text()).await
    }

    /// Goes back to the configuration before at once, without waiting for the node to do so.
    ///
    /// # Errors
    ///
    /// As for [`Node::apply_configuration`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it to the node.
    pub async fn undo(&self) -> Result<AppliedConfiguration> {
        self.apply(&self.prepared.old).await
    }

    async fn apply(&self, text: &SecretString) -> Result<AppliedConfiguration> {
        let request = self.node.apply_configuration(text.expose().to_owned());
        request.mode(ApplyMode::NoReboot).send().await
    }
}

fn over(text: &str) -> Error {
    Error::new(ErrorKind::FailedPrecondition, Origin::Local).with_message(text)
}

impl fmt::Debug for ConfigTrial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigTrial")
            .field("node", self.node.name())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
