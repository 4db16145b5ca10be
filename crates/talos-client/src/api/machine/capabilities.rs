//! What a node can do.

use talos_proto::methods::{MethodInfo, Release};

use super::Version;
use crate::{
    Node,
    call::Facts,
    error::{Result, Unimplemented},
};

/// What a node can do, by the release it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    facts: Facts,
}

impl Capabilities {
    /// The release as the node names it, such as `v1.14.0-rc.1`.
    pub fn tag(&self) -> &str {
        &self.facts.tag
    }

    /// The release up to the minor number; `None` for a build that is not named like one.
    pub fn release(&self) -> Option<Release> {
        self.facts.release()
    }

    /// The platform's mode, such as `metal` or `container`; `None` early in the boot.
    pub fn mode(&self) -> Option<&str> {
        self.facts.mode.as_deref()
    }

    /// Whether the node has a machine configuration; without one it is in maintenance mode.
    pub fn is_configured(&self) -> bool {
        self.facts.configured
    }

    /// Whether the node knows a call, as far as its release tells. A build that is not named like a release counts as
    /// the newest.
    ///
    /// ```
    /// use talos_client::proto::methods::machine::image_service;
    ///
    /// # use talos_client::{Client, config::Talosconfig};
    /// #
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = talos_testkit::SimCluster::builder().start().await?;
    /// # let client = Client::builder().talosconfig(Talosconfig::parse(cluster.talosconfig())?).build()?;
    /// # let node = client.node(cluster.node(0).name())?;
    /// let can = node.capabilities().await?;
    /// println!("signatures can be checked: {}", can.supports(&image_service::VERIFY));
    /// # Ok(())
    /// # }
    /// ```
    pub fn supports(&self, method: &MethodInfo) -> bool {
        self.missing(method).is_none()
    }

    /// Why the node does not know a call; `None` where it does.
    pub fn missing(&self, method: &MethodInfo) -> Option<Unimplemented> {
        let release = self.release()?;
        if method.available_in(release) {
            return None;
        }
        Some(match method.removed_in {
            Some(in_release) if in_release <= release => Unimplemented::Removed { in_release },
            _ => Unimplemented::TooOld { since: method.since },
        })
    }
}

impl From<&Version> for Facts {
    fn from(version: &Version) -> Self {
        Self {
            tag: version.tag().to_owned(),
            mode: version.mode().map(str::to_owned),
            configured: version.rbac().is_some(),
        }
    }
}

impl Node {
    /// What the node can do. It is asked once, by [`Node::version`], and the answer is kept for all handles of the
    /// client until the node goes down or cannot be reached.
    ///
    /// # Errors
    ///
    /// As for [`Node::version`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: others who wait for the same answer ask themselves.
    pub async fn capabilities(&self) -> Result<Capabilities> {
        let target = self.target();
        let probe = async { Ok(Facts::from(&target.version().await?)) };
        let facts = target.releases.get_or_probe(self.name(), probe).await?;
        Ok(Capabilities { facts })
    }
}
