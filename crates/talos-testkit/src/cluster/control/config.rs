//! Control over the configuration of a node.

use crate::SimNode;

/// The machine's configuration.
impl SimNode {
    /// The configuration that the node runs with, as YAML, with all its secrets; `None` in maintenance mode, if
    /// no part of a configuration has been applied yet.
    #[must_use]
    pub fn machine_config(&self) -> Option<String> {
        let active = self.node().configuration.active()?;
        Some(active.as_str().to_owned())
    }

    /// The configuration that the node is going to boot with, as YAML. It differs from
    /// [`Self::machine_config`] after a configuration has been staged, or while one is tried.
    #[must_use]
    pub fn persistent_machine_config(&self) -> Option<String> {
        let persistent = self.node().configuration.persistent()?;
        Some(persistent.as_str().to_owned())
    }

    /// A configuration for this node, as YAML, that makes it a part of its cluster; what it begins with, unless
    /// it begins in maintenance mode.
    #[must_use]
    pub fn generated_machine_config(&self) -> String {
        let generated = self.node().cluster.generated(self.role());
        generated.as_str().to_owned()
    }

    /// Sets what `ApplyConfiguration` warns of when it has succeeded. Default: nothing.
    pub fn set_config_warnings(&self, warnings: impl IntoIterator<Item = impl Into<String>>) {
        let warnings = warnings.into_iter().map(Into::into).collect();
        self.node().configuration.set_warnings(warnings);
    }

    /// Lets every `ApplyConfiguration` find another one in progress, or no longer. Default: there is none.
    pub fn set_apply_in_progress(&self, in_progress: bool) {
        self.node().configuration.set_busy(in_progress);
    }
}
