//! What keeps etcd well: backups, and changes that do not cost its quorum.
//!
//! [`EtcdBackup`] saves snapshots that are verified, and removes old ones. [`EtcdRecovery`] brings one back.
//! [`EtcdMembers`] looks at all members at once, and takes one out, defragments them one by one, or clears alarms.
//!
//! ```
//! use talos_client::workflow::etcd::{EtcdBackup, EtcdMembers};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = talos_testkit::SimCluster::builder().control_planes(3).start().await?;
//! # let talosconfig = talos_client::config::Talosconfig::parse(cluster.talosconfig())?;
//! # let client = talos_client::Client::builder().talosconfig(talosconfig).build()?;
//! # let node = client.node(cluster.node(0).name())?;
//! # let folder = tempfile::tempdir()?;
//! // The seven newest stay, and what is older is removed once the new one is complete.
//! let mut backup = EtcdBackup::new(&node).keep(7).to_folder(folder.path());
//! while let Some(progress) = backup.next_progress().await {
//!     println!("{progress}");
//! }
//! println!("{}", backup.finish().await?.snapshot.path().display());
//!
//! let members = EtcdMembers::discover(&client).await?;
//! println!("{}", members.survey().await?.quorum());
//! members.defragment().run().await?.into_result()?;
//! # Ok(())
//! # }
//! ```

mod alarms;
mod backup;
mod defragment;
mod recovery;
mod refusal;
mod remove;
mod rotation;
mod survey;

pub use self::{
    alarms::{EtcdAlarmClearing, EtcdAlarmProgress, EtcdAlarmReport},
    backup::{EtcdBackup, EtcdBackupProgress, EtcdBackupReport, WrittenSnapshot},
    defragment::{DefragmentedMember, EtcdDefragmentProgress, EtcdDefragmentReport, EtcdDefragmentation},
    recovery::{EtcdRecovery, EtcdRecoveryProgress},
    refusal::EtcdRefusal,
    remove::{EtcdRemoval, EtcdRemovalProgress, EtcdRemovalWay},
    survey::{EtcdMemberHealth, EtcdMembers, EtcdQuorum, EtcdSurvey},
};
