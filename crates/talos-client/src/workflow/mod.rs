//! What takes several calls: with waiting, checks and progress.
//!
//! A workflow is a [`Run`]: a future of what comes out, and a stream of how far it is. Nothing happens before it is
//! polled, no task is started, and dropping it stops it where it is.
//!
//! | Wanted | Use |
//! |---|---|
//! | a reboot, shutdown, reset or old upgrade that is over when the future is | [`track`] |
//! | a cluster from machines without a configuration | [`bootstrap`] |
//! | etcd backups, and changes of its members | [`etcd`] |
//! | to know whether the cluster is healthy | [`health`] |
//! | another Talos on one node, or on all of them | [`upgrade`] |
//! | the kubeconfig in a file that has others in it | [`kubeconfig`] |
//! | another machine configuration, by patches, on trial or for good | [`machine_config`] |
//! | certificates that last, and ones that may do less | [`credentials`] |
//! | pods moved away from a node, and to know when it is ready again | `kubernetes`, with the feature `kube` |
//! | what somebody needs to find out what is wrong, in one file | `support`, with the feature `support-bundle` |
//!
//! Every workflow may be run again after a failure, or after a program that was interrupted: it looks at what is done
//! already, and goes on from there.

pub mod bootstrap;
pub mod credentials;
mod deadline;
pub mod etcd;
pub mod health;
pub mod kubeconfig;
#[cfg(feature = "kube")]
pub mod kubernetes;
pub mod machine_config;
mod run;
#[cfg(feature = "support-bundle")]
pub mod support;
pub mod track;
pub mod upgrade;

pub use self::run::Run;
pub(crate) use self::{
    deadline::{deadline, leaves_time},
    run::Reporter,
};
