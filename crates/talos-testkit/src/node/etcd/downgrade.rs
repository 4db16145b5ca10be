//! Versions of etcd, and going back to an older one.

use std::fmt;

use talos_proto::methods::Release;

use super::{EtcdCluster, EtcdError};
use crate::node::Node;

/// A version such as `3.6`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MinorVersion {
    pub(crate) major: u64,
    pub(crate) minor: u64,
}

impl fmt::Display for MinorVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.0", self.major, self.minor)
    }
}

/// The etcd that Talos of release `tag` runs.
pub(crate) fn version(tag: &str) -> (MinorVersion, &'static str) {
    let minor = |minor| MinorVersion { major: 3, minor };
    match tag.parse::<Release>() {
        Ok(release) if release < Release::new(1, 11) => (minor(5), "3.5.21"),
        Ok(release) if release < Release::new(1, 14) => (minor(6), "3.6.6"),
        _ => (minor(7), "3.7.1"),
    }
}

/// What the data of a member are stored as.
pub(crate) fn storage_version(tag: &str, downgrade: Option<MinorVersion>) -> MinorVersion {
    downgrade.unwrap_or_else(|| version(tag).0)
}

impl EtcdCluster {
    /// Says whether the cluster could go back to `target`.
    pub(crate) fn validate_downgrade(&self, node: &Node, target: MinorVersion) -> Result<(), EtcdError> {
        self.quorum(node)?;
        if self.state.lock().downgrade.is_some() {
            return Err(EtcdError::DowngradeInProgress);
        }
        let (current, _) = version(&node.version.lock().tag);
        let below = current.major == target.major && target.minor + 1 == current.minor;
        if below {
            Ok(())
        } else {
            Err(EtcdError::InvalidDowngradeTarget)
        }
    }

    pub(crate) fn enable_downgrade(&self, node: &Node, target: MinorVersion) -> Result<(), EtcdError> {
        self.validate_downgrade(node, target)?;
        self.state.lock().downgrade = Some(target);
        Ok(())
    }

    pub(crate) fn cancel_downgrade(&self, node: &Node) -> Result<(), EtcdError> {
        self.quorum(node)?;
        match self.state.lock().downgrade.take() {
            Some(_) => Ok(()),
            None => Err(EtcdError::NoDowngrade),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_talos_has_its_etcd() {
        assert_eq!(version("v1.10.4").0.to_string(), "3.5.0");
        assert_eq!(version("v1.13.0").0.to_string(), "3.6.0");
        assert_eq!(version("v1.14.2").1, "3.7.1");
        assert_eq!(version("unreleased").1, "3.7.1");
    }
}
