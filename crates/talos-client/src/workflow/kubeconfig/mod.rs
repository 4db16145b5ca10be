//! The kubeconfig of a cluster, in a file that has others in it.
//!
//! [`Node::kubeconfig`] fetches one; [`KubeconfigMerge`] puts it into `~/.kube/config` without loss of what is
//! there: entries that are the same are used again, and an entry whose name is taken gets another name, by
//! the rules of talosctl. The file is replaced as a whole or not at all.
//!
//! ```
//! use talos_client::workflow::kubeconfig::KubeconfigMerge;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = talos_testkit::SimCluster::builder().start().await?;
//! # let talosconfig = talos_client::config::Talosconfig::parse(cluster.talosconfig())?;
//! # let client = talos_client::Client::builder().talosconfig(talosconfig).build()?;
//! # let node = client.node(cluster.node(0).name())?;
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("config");
//! let merged = KubeconfigMerge::new()
//!     .context_name("lab")
//!     .fetch_into(&node, &path)
//!     .await?;
//! assert_eq!(merged.context.as_deref(), Some("lab"));
//! # Ok(())
//! # }
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::{
    Node,
    api::machine::Kubeconfig,
    error::{Error, ErrorKind, Result},
};

mod error;
mod file;
mod lock;
mod merge;

pub use error::{KubeconfigError, KubeconfigOrigin};
#[cfg(feature = "kube")]
pub(in crate::workflow) use file::read;

/// How a kubeconfig is put into a file. Cheap to clone, and may be used many times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "nothing is merged before `fetch_into` or `merge_into`"]
pub struct KubeconfigMerge {
    conflicts: KubeconfigConflicts,
    context_name: Option<String>,
    keep_current: bool,
}

/// What happens to an entry whose name is taken by an entry of other content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KubeconfigConflicts {
    /// It gets the first free of `NAME-1`, `NAME-2`, … and what refers to it follows.
    #[default]
    Rename,
    /// Where the cluster itself is in the file already, new credentials take the place of older ones of the same
    /// name; everything else is renamed. Nodes make new credentials with each call, so this is for files that are
    /// refreshed again and again.
    Renew,
    /// It takes the place of the other one, whose content is lost.
    Overwrite,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MergedKubeconfig {
    /// The file.
    pub path: PathBuf,
    /// The name of the context that came in; `None` where none did. The last one, if there were several.
    pub context: Option<String>,
    /// Entries that have another name now, in the order clusters, users, contexts.
    pub renames: Vec<KubeconfigRename>,
    /// Whether the file was written; false where everything was in it already.
    pub changed: bool,
}

/// An entry that got another name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KubeconfigRename {
    /// What it is.
    pub part: KubeconfigPart,
    /// Its name as it came.
    pub from: String,
    /// Its name in the file.
    pub to: String,
}

/// The lists of a kubeconfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KubeconfigPart {
    /// `clusters`.
    Cluster,
    /// `users`.
    User,
    /// `contexts`.
    Context,
}

impl KubeconfigMerge {
    /// Renames what is taken, and makes the new context the current one.
    pub fn new() -> Self {
        Self::default()
    }

    /// What happens to entries whose names are taken. Default: [`KubeconfigConflicts::Rename`].
    pub fn conflicts(mut self, conflicts: KubeconfigConflicts) -> Self {
        self.conflicts = conflicts;
        self
    }

    /// The name of the new context, in place of `admin@CLUSTER`. If the file has another context of this name,
    /// the rule for conflicts holds for it, too.
    pub fn context_name(mut self, name: impl Into<String>) -> Self {
        self.context_name = Some(name.into()).filter(|name| !name.is_empty());
        self
    }

    /// Leaves the current context of the file as it is. Default: the new context becomes the current one. A file
    /// that has no current context gets the new one either way.
    pub fn keep_current(mut self) -> Self {
        self.keep_current = true;
        self
    }

    /// Fetches the administrator's kubeconfig from a control plane node, and puts it into the file.
    ///
    /// A folder stands for the file `kubeconfig` in it. A missing file is made, its folder with it (mode 0700).
    ///
    /// # Errors
    ///
    /// As for [`Node::kubeconfig`]. [`ErrorKind::Config`] and [`ErrorKind::Io`] have a [`KubeconfigError`] as
    /// their source, which names the file and, where its text is at fault, the line. The file is as it was then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before the file is written leaves it as it was; it is never written in part.
    pub async fn fetch_into(&self, node: &Node, path: impl AsRef<Path>) -> Result<MergedKubeconfig> {
        let kubeconfig = node.kubeconfig().await?;
        self.merge_into(&kubeconfig, path).await
    }

    /// Puts a kubeconfig that is there already into the file; see [`KubeconfigMerge::fetch_into`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] and [`ErrorKind::Io`], with a [`KubeconfigError`] as the source.
    ///
    /// # Cancel safety
    ///
    /// As for [`KubeconfigMerge::fetch_into`].
    pub async fn merge_into(
        &self,
        kubeconfig: &Kubeconfig,
        path: impl AsRef<Path>,
    ) -> Result<MergedKubeconfig> {
        let (rules, new) = (self.clone(), Zeroizing::new(kubeconfig.as_yaml().to_owned()));
        let path = path.as_ref().to_owned();
        let merged = tokio::task::spawn_blocking(move || rules.merge_file(&new, path)).await;
        let merged = merged.map_err(|error| Error::local(ErrorKind::Io, error))?;
        merged.map_err(Into::into)
    }

    /// Reads, merges and writes while other programs that lock the file wait or give up.
    fn merge_file(&self, new: &str, mut path: PathBuf) -> Result<MergedKubeconfig, KubeconfigError> {
        if path.is_dir() {
            path.push("kubeconfig");
        }
        let _lock = lock::Lock::take(&path)?;
        let existing = match fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Zeroizing::default(),
            Err(source) => return Err(KubeconfigError::Read { path, source }),
        };
        let existing = file::read(&existing, &KubeconfigOrigin::File(path.clone()))?;
        let new = file::read(new, &KubeconfigOrigin::Cluster)?;
        let (document, merged) = merge::merge(self, existing, &new);
        if let Some(document) = document {
            let text = document
                .to_yaml()
                .map_err(io::Error::other)
                .and_then(|text| crate::config::write_secret_file(&path, text.as_bytes()));
            if let Err(source) = text {
                return Err(KubeconfigError::Write { path, source });
            }
        }
        Ok(MergedKubeconfig { path, ..merged })
    }
}
