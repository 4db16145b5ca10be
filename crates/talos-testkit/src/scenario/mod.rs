//! Scenario files: a cluster, what goes wrong in it, and what happens when, as YAML.
//!
//! `talos-sim --scenario FILE` runs one; tests can load the same file:
//!
//! ```
//! use talos_testkit::scenario::Scenario;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let scenario = Scenario::parse(
//!     "
//! cluster:
//!   nodes: 3+1
//!   profile: v1.13
//! faults:
//!   - on: node
//!     node: 10.5.0.3
//!     method: Version
//!     calls: 2..3
//!     status: { code: Unavailable, message: flaky }
//!   - on: connection
//!     node: 10.5.0.4
//!     blackHole: true
//! timeline:
//!   - at: 30s
//!     kill: 10.5.0.5
//!   - at: 1m
//!     revive: 10.5.0.5
//! ",
//! )?;
//! let cluster = scenario.builder().start().await?;
//! scenario.apply(&cluster)?;
//! tokio::select! {
//!     result = scenario.play(&cluster) => result?,
//!     () = async { /* … the test … */ } => {}
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The README of the crate shows all keys. Unknown keys are errors, and every error says where
//! it is: `line 4, column 12: …`.

mod error;
mod fault;
mod file;
mod timeline;
mod value;

use std::path::Path;

pub use error::ScenarioError;
use file::File;
pub use value::{NodeCounts, ProfileTag};

use crate::{SimCluster, SimClusterBuilder};

/// A scenario that has been read.
#[derive(Debug, Clone)]
pub struct Scenario {
    file: File,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] with line and column, when the text is no YAML or no scenario.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let options = serde_saphyr::options! { with_snippet: false };
        let file: File = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| ScenarioError::yaml(&error))?;
        file.check()?;
        Ok(Self { file })
    }

    /// Reads a scenario from a file.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] when the file cannot be read; else as [`Self::parse`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ScenarioError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| ScenarioError::read(path, source))?;
        Self::parse(&text)
    }

    /// A cluster as the scenario wants it; what it does not mention has the usual default.
    pub fn builder(&self) -> SimClusterBuilder {
        self.file.cluster.apply(SimCluster::builder())
    }

    /// As [`Self::builder`], starting from a cluster that is described in part.
    pub fn apply_to_builder(&self, builder: SimClusterBuilder) -> SimClusterBuilder {
        self.file.cluster.apply(builder)
    }

    /// Brings nodes into the state that the scenario wants, and injects its faults.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] if it names a node that the cluster does not have.
    pub fn apply(&self, cluster: &SimCluster) -> Result<(), ScenarioError> {
        for (name, wanted) in &self.file.nodes {
            let node = error::found(cluster, name)?;
            wanted.apply(&node);
        }
        for fault in &self.file.faults {
            fault.inject(cluster)?;
        }
        Ok(())
    }

    /// Lets the timeline happen, on Tokio's clock, and returns after its last entry.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] if an entry names a node that the cluster does not have, or cannot be carried out.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future lets the rest of the timeline not happen.
    pub async fn play(&self, cluster: &SimCluster) -> Result<(), ScenarioError> {
        timeline::play(&self.file.timeline, cluster).await
    }
}
