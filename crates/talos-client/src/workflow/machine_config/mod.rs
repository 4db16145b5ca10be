//! Changing the machine configuration of nodes.
//!
//! A [`ConfigPatch`] changes the text as `talosctl patch` does: a strategic merge patch, which looks like a part of
//! the configuration, or a JSON patch. A [`ConfigChange`] reads the configuration of a node, patches it, checks the
//! outcome, and applies it: at once, with the next reboot, or on trial.
//!
//! ```
//! use talos_client::workflow::machine_config::ConfigPatch;
//!
//! let config = "version: v1alpha1\nmachine:\n  certSANs: [a.example.org]\n---\n\
//!     apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: one\n";
//! let patch = ConfigPatch::parse(
//!     "machine:\n  certSANs: [b.example.org]\n---\n\
//!      apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: two\n",
//! )?;
//! let patched = patch.apply(config)?;
//! assert!(patched.expose().contains("- b.example.org"));
//! assert!(patched.expose().contains("hostname: two"));
//! # Ok::<_, talos_client::workflow::machine_config::PatchError>(())
//! ```
//!
//! To a node, on trial, so that a mistake in the network undoes itself:
//!
//! ```no_run
//! use std::time::Duration;
//! use talos_client::workflow::machine_config::{ConfigChange, ConfigPatch};
//!
//! # async fn example(node: talos_client::Node) -> Result<(), Box<dyn std::error::Error>> {
//! let patch = ConfigPatch::parse("machine:\n  sysctls:\n    vm.swappiness: \"10\"\n")?;
//! let change = ConfigChange::new(&node).patch(patch);
//! let trial = change.try_for(Duration::from_secs(60)).await?;
//! // … see whether everything works, then keep it.
//! trial.confirm().await?;
//! # Ok(())
//! # }
//! ```

mod change;
mod document;
mod patch;
mod trial;

pub use self::{
    change::{ConfigChange, ConfigChangeProgress, ConfigChangeReport, ConfigPreview},
    patch::{ConfigPatch, PatchError, PatchInput},
    trial::ConfigTrial,
};
