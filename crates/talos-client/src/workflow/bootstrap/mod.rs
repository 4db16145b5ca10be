//! From machines without a configuration to a cluster that runs.
//!
//! ```no_run
//! use talos_client::{Client, maintenance::Maintenance, workflow::bootstrap::ClusterBootstrap};
//!
//! # async fn example(client: Client, fingerprint: &str, yaml: String) -> Result<(), Box<dyn std::error::Error>> {
//! let node = client.node("10.5.0.2")?;
//! let machine = Maintenance::at("10.5.0.2").fingerprint(fingerprint.parse()?).build()?;
//! let mut run = ClusterBootstrap::of([node.clone()]).configure(node, machine, yaml).start();
//! while let Some(progress) = run.next_progress().await {
//!     println!("{progress}");
//! }
//! let cluster = run.finish().await?;
//! cluster.kubeconfig.save_to("kubeconfig")?;
//! # Ok(())
//! # }
//! ```
//!
//! It may be run again at any time, also on a cluster that runs: configurations are sent only to machines that have none,
//! and etcd is bootstrapped only where no control plane node knows a member of it.

mod error;
mod progress;
mod run;

pub use self::{
    error::BootstrapError,
    progress::{BootstrapProgress, BootstrapStep},
    run::{Bootstrapped, ClusterBootstrap},
};
