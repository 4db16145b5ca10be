//! What somebody needs to find out what is wrong with a cluster, in one file, without its secrets.
//!
//! [`SupportBundle`] collects logs, resources and state of nodes into a zip archive, laid out as that of
//! `talosctl support`. What cannot be had is listed in it, in `errors.txt`, and is no failure.
//!
//! For each node there is a folder with
//!
//! | file | contents |
//! |---|---|
//! | `summary` | release, platform, host name |
//! | `dmesg.log`, `controller-runtime.log`, `dns-resolve-cache.log` | logs of the kernel and of Talos itself |
//! | `service-logs/ID.log`, `service-logs/ID.state` | of every service |
//! | `kubernetes-logs/…` | of the containers in the namespace `kube-system` |
//! | `resources/TYPE.yaml` | every resource; those of types for administrators without their specs |
//! | `dependencies.dot`, `mounts`, `devices`, `io`, `processes` | state |
//!
//! and in `kubernetesResources`, where `SupportBundle::kubernetes` says how they can be had (feature `kube`), `nodes.yaml` and
//! `systemPods.yaml`, the pods in the namespace `kube-system`.
//!
//! ```
//! use talos_client::workflow::support::SupportBundle;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = talos_testkit::SimCluster::builder().start().await?;
//! # let talosconfig = talos_client::config::Talosconfig::parse(cluster.talosconfig())?;
//! # let client = talos_client::Client::builder().talosconfig(talosconfig).build()?;
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("support.zip");
//! let nodes = client.nodes([cluster.node(0).name()])?;
//! let mut run = SupportBundle::of(nodes).to_file(&path);
//! while let Some(progress) = run.next_progress().await {
//!     println!("{progress}");
//! }
//! let report = run.finish().await?;
//! println!("{} files, {} problems", report.files, report.failures.len());
//! # Ok(())
//! # }
//! ```

use std::{fmt, io, path::PathBuf};

use talos_transport::NodeName;

use crate::{
    Nodes,
    error::{Error, ErrorKind, Result},
    workflow::{Reporter, Run},
};

mod archive;
mod collect;
#[cfg(feature = "kube")]
mod kubernetes;
mod redact;
mod text;

use self::archive::Archive;

/// A support bundle to be made. Memory stays the same however large it is.
#[derive(Clone, Debug)]
#[must_use = "nothing is asked for before `to_file`"]
pub struct SupportBundle {
    nodes: Nodes,
    wanted: Wanted,
    #[cfg(feature = "kube")]
    kubernetes: Option<crate::workflow::kubernetes::Kubernetes>,
}

/// What of a node is wanted.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    tail_lines: Option<u32>,
    resources: bool,
}

/// What is being collected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SupportProgress {
    /// From this node; `None` for what belongs to the whole cluster, which comes last.
    pub node: Option<NodeName>,
    /// Which of the nodes it is, counted from 1; as many as there are for the whole cluster.
    pub number: usize,
    /// How many nodes there are.
    pub of: usize,
    /// What, such as `service-logs`.
    pub part: String,
}

/// What came of a support bundle.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SupportReport {
    /// The archive.
    pub path: PathBuf,
    /// How many files are in it.
    pub files: usize,
    /// What could not be had; the same is in the archive, in `errors.txt`.
    pub failures: Vec<SupportFailure>,
}

/// Something that could not be had, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SupportFailure {
    /// From this node; `None` for what belongs to the whole cluster.
    pub node: Option<NodeName>,
    /// The file, or what was to be looked for.
    pub part: String,
    /// Why, with its causes.
    pub reason: String,
}

impl fmt::Display for SupportProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "{node} ({} of {}): {}", self.number, self.of, self.part),
            None => write!(f, "cluster: {}", self.part),
        }
    }
}

impl fmt::Display for SupportFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "{node}: {}: {}", self.part, self.reason),
            None => write!(f, "cluster: {}: {}", self.part, self.reason),
        }
    }
}

impl SupportBundle {
    /// Of these nodes, one after the other.
    pub fn of(nodes: Nodes) -> Self {
        Self {
            nodes,
            wanted: Wanted {
                tail_lines: None,
                resources: true,
            },
            #[cfg(feature = "kube")]
            kubernetes: None,
        }
    }

    /// Adds what Kubernetes says of its nodes and of the pods in the namespace `kube-system`. Default: it is not asked.
    #[cfg(feature = "kube")]
    pub fn kubernetes(mut self, kubernetes: &crate::workflow::kubernetes::Kubernetes) -> Self {
        self.kubernetes = Some(kubernetes.clone());
        self
    }

    /// Takes the last lines of each log of services and containers only. Default: all that is kept, which is at most
    /// a few megabytes for each.
    pub fn tail_lines(mut self, lines: u32) -> Self {
        self.wanted.tail_lines = Some(lines);
        self
    }

    /// Whether to take resources: more than a hundred calls to each node. Default: true.
    pub fn resources(mut self, wanted: bool) -> Self {
        self.wanted.resources = wanted;
        self
    }

    /// Collects everything into a zip archive, which is there (mode 0600) when it is complete, and not before.
    ///
    /// Specs of resources that only administrators may read become `<REDACTED>`, and so do private keys, tokens of
    /// Talos and Kubernetes, and bearer tokens wherever they appear. **Logs and resources still tell much about a
    /// cluster**, such as names and addresses: look before you publish it.
    ///
    /// A reader gets what a reader may see; the rest is listed as failures.
    ///
    /// # Errors
    ///
    /// `Io` if the file cannot be written. What nodes refuse or fail to send is no error, see
    /// [`SupportReport::failures`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the run cancels the call under way and removes what was written.
    pub fn to_file(self, path: impl Into<PathBuf>) -> Run<SupportProgress, SupportReport> {
        let path = path.into();
        Run::new(|reporter| self.make(path, reporter))
    }

    async fn make(self, path: PathBuf, reporter: Reporter<SupportProgress>) -> Result<SupportReport> {
        let unwritable = |error: io::Error| {
            Error::local(ErrorKind::Io, error).with_message(format!("{} cannot be written", path.display()))
        };
        let mut archive = Archive::create(&path).await.map_err(unwritable)?;
        let mut failures = Vec::new();
        let of = self.nodes.len();
        for (index, node) in self.nodes.iter().enumerate() {
            let progress = |part: &str| {
                reporter.report(SupportProgress {
                    node: Some(node.name().clone()),
                    number: index + 1,
                    of,
                    part: part.to_owned(),
                });
            };
            let collection = collect::Collection::new(node, self.wanted, &mut archive);
            failures.extend(collection.run(progress).await.map_err(unwritable)?);
        }
        #[cfg(feature = "kube")]
        if let Some(kubernetes) = &self.kubernetes {
            let progress = |part: &str| {
                reporter.report(SupportProgress {
                    node: None,
                    number: of,
                    of,
                    part: part.to_owned(),
                });
            };
            let collected = kubernetes::collect(kubernetes, &mut archive, progress).await;
            failures.extend(collected.map_err(unwritable)?);
        }
        if !failures.is_empty() {
            let list: String = failures.iter().map(|failure| format!("{failure}\n")).collect();
            archive.text("errors.txt", &list).await.map_err(unwritable)?;
        }
        let files = archive.finish().await.map_err(unwritable)?;
        Ok(SupportReport {
            path,
            files,
            failures,
        })
    }
}
