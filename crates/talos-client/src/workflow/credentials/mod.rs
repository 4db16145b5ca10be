//! The client certificates of a talosconfig: when they end, new ones in time, and ones that may do less.
//!
//! Certificates of Talos cannot be revoked, and one that has expired cannot renew itself: then only the cluster's own
//! key helps. So look at [`CredentialReport`] in time, and let [`CredentialRenewal`] do its work while the old
//! certificate is valid.
//!
//! ```
//! use std::time::SystemTime;
//! use talos_client::{config::Talosconfig, workflow::credentials::{CredentialRenewal, CredentialReport}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = talos_testkit::SimCluster::builder().start().await?;
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("config");
//! # std::fs::write(&path, cluster.talosconfig())?;
//! let report = CredentialReport::of(&Talosconfig::load(&path)?, SystemTime::now());
//! for context in &report.contexts {
//!     println!("{context}");
//! }
//! // Only if it ends soon; the file is replaced once the new certificate was found to work.
//! CredentialRenewal::new(&path).run().await?;
//! # Ok(())
//! # }
//! ```

mod issue;
mod renewal;
mod report;

pub use self::{
    issue::{RoleConfig, RoleConfigs, least_role},
    renewal::{CredentialRenewal, RenewalProgress, RenewalReport},
    report::{ContextCredentials, CredentialReport, CredentialState},
};
