//! Going back to an older etcd.

use std::{fmt, str::FromStr};

use talos_proto::{
    machine::{EtcdClusterDowngrade, EtcdDowngradeEnableRequest, EtcdDowngradeValidateRequest},
    methods::machine::machine_service as methods,
};

use super::Etcd;
use crate::{call::CallInfo, error::Result};

/// A version of etcd to which a cluster can be taken back: `MAJOR.MINOR`, 3.5 or newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtcdVersion {
    major: u16,
    minor: u16,
}

/// A text is not an [`EtcdVersion`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdVersionError {
    /// Not two numbers with a dot between them.
    #[error("an etcd version to go back to is MAJOR.MINOR, such as 3.5")]
    Form,
    /// etcd cannot go back so far.
    #[error("etcd can be taken back to 3.5 and newer versions only")]
    TooOld,
}

impl EtcdVersion {
    /// # Errors
    ///
    /// [`EtcdVersionError::TooOld`] before 3.5.
    pub const fn new(major: u16, minor: u16) -> Result<Self, EtcdVersionError> {
        if major < 3 || (major == 3 && minor < 5) {
            return Err(EtcdVersionError::TooOld);
        }
        Ok(Self { major, minor })
    }
}

impl fmt::Display for EtcdVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for EtcdVersion {
    type Err = EtcdVersionError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits
                .then(|| text.parse().ok())
                .flatten()
                .ok_or(EtcdVersionError::Form)
        };
        let (major, minor) = input.split_once('.').ok_or(EtcdVersionError::Form)?;
        Self::new(number(major)?, number(minor)?)
    }
}

/// The version that the cluster is going to have; etcd says it in a message of its own.
fn cluster_version((message, call): (Option<EtcdClusterDowngrade>, CallInfo)) -> Result<String> {
    match message {
        Some(downgrade) => Ok(downgrade.cluster_version),
        None => Err(call.malformed("the reply has no cluster version")),
    }
}

impl Etcd {
    /// Whether the cluster could go back to this version; returns the version that it has now.
    ///
    /// # Errors
    ///
    /// `Unknown` with etcd's words where it could not, such as `etcdserver: invalid downgrade target version`,
    /// and every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/EtcdDowngradeValidate` · talosctl etcd downgrade validate · since Talos
    /// 1.11 · role os:admin · read-only
    pub async fn validate_downgrade(&self, version: EtcdVersion) -> Result<String> {
        let target = &self.target;
        let message = EtcdDowngradeValidateRequest {
            version: version.to_string(),
        };
        let (reply, call) = target
            .single_of(&methods::ETCD_DOWNGRADE_VALIDATE, message, |request| async {
                target.machine().etcd_downgrade_validate(request).await
            })
            .await?;
        cluster_version((reply.cluster_downgrade, call))
    }

    /// Begins to take the cluster back to this version: etcd rewrites its data for it, and members of it may
    /// then join. Returns the version that the cluster has now.
    ///
    /// # Errors
    ///
    /// As for [`Etcd::validate_downgrade`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call; the downgrade may have begun.
    ///
    /// Upstream: `machine.MachineService/EtcdDowngradeEnable` · talosctl etcd downgrade enable · since Talos
    /// 1.11 · role os:admin · unsafe
    pub async fn enable_downgrade(&self, version: EtcdVersion) -> Result<String> {
        let target = &self.target;
        let message = EtcdDowngradeEnableRequest {
            version: version.to_string(),
        };
        let (reply, call) = target
            .single_of(&methods::ETCD_DOWNGRADE_ENABLE, message, |request| async {
                target.machine().etcd_downgrade_enable(request).await
            })
            .await?;
        cluster_version((reply.cluster_downgrade, call))
    }

    /// Gives a downgrade up that has begun; returns the version that the cluster has now.
    ///
    /// # Errors
    ///
    /// `Unknown` with etcd's words where none has begun, and every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call; the downgrade may be given up all the same.
    ///
    /// Upstream: `machine.MachineService/EtcdDowngradeCancel` · talosctl etcd downgrade cancel · since Talos
    /// 1.11 · role os:admin · unsafe
    pub async fn cancel_downgrade(&self) -> Result<String> {
        let target = &self.target;
        let (reply, call) = target
            .single_of(&methods::ETCD_DOWNGRADE_CANCEL, (), |request| async {
                target.machine().etcd_downgrade_cancel(request).await
            })
            .await?;
        cluster_version((reply.cluster_downgrade, call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_major_and_minor_from_3_5_on() {
        for text in ["3.5", "3.6", "3.10", "4.0"] {
            assert_eq!(text.parse::<EtcdVersion>().expect(text).to_string(), text);
        }
        for text in ["3.4", "3.0", "2.9", "0.0"] {
            assert_eq!(
                text.parse::<EtcdVersion>(),
                Err(EtcdVersionError::TooOld),
                "{text}"
            );
        }
        for text in [
            "", "3", "3.5.1", "v3.5", "3.", ".5", "3.+5", "3.-5", "3.99999", "3 .5",
        ] {
            assert_eq!(text.parse::<EtcdVersion>(), Err(EtcdVersionError::Form), "{text}");
        }
    }
}
