//! A new cluster from a snapshot.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::{
    Node,
    api::{etcd::Verifier, machine::SnapshotHash},
    error::{Error, ErrorKind, Result},
    workflow::{Reporter, Run},
};

/// A new etcd cluster that begins with the data of a snapshot.
///
/// **What the old cluster knew since the snapshot was taken is lost.** First make sure that no member of the old one
/// runs: reset the `EPHEMERAL` partitions of all control plane nodes but keep their configuration.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `from_file`"]
pub struct EtcdRecovery {
    node: Node,
    hash: SnapshotHash,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EtcdRecoveryProgress {
    /// The snapshot on this machine is complete and undamaged.
    Verified {
        /// Its size in bytes.
        bytes: u64,
    },
    /// So much was uploaded.
    Sent {
        /// Bytes up to now.
        bytes: u64,
        /// Bytes altogether.
        of: u64,
    },
    /// The node has all of it and is told to begin.
    Bootstrapping,
}

impl fmt::Display for EtcdRecoveryProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified { bytes } => write!(f, "the snapshot of {bytes} bytes is right"),
            Self::Sent { bytes, of } => write!(f, "sent {bytes} of {of} bytes"),
            Self::Bootstrapping => f.write_str("the node begins with the snapshot"),
        }
    }
}

impl EtcdRecovery {
    /// On this control plane node, the only one that is to be bootstrapped. The others join it.
    pub fn new(node: &Node) -> Self {
        Self {
            node: node.clone(),
            hash: SnapshotHash::Verify,
        }
    }

    /// Whether the snapshot has a checksum at its end, as all have that a node made. A database file that was
    /// copied from a data folder has none. Default: [`SnapshotHash::Verify`].
    pub fn hash(mut self, hash: SnapshotHash) -> Self {
        self.hash = hash;
        self
    }

    /// Verifies the file here, uploads it, and bootstraps with it.
    ///
    /// # Errors
    ///
    /// `Io` if the file cannot be read, `InvalidInput` if it is not a complete snapshot; nothing was sent then. As
    /// for [`Etcd::recover`](crate::api::etcd::Etcd::recover) and [`Node::bootstrap`]: `AlreadyExists` where the node
    /// has data of etcd, and nothing was changed; an earlier run of which nothing was heard may have got so far.
    ///
    /// # Cancel safety
    ///
    /// Dropping the run before the bootstrap leaves an upload that the next one replaces; later, the node may
    /// bootstrap although nobody waits for its answer.
    pub fn from_file(self, path: impl Into<PathBuf>) -> Run<EtcdRecoveryProgress, ()> {
        let path = path.into();
        Run::new(|reporter| self.recover(path, reporter))
    }

    async fn recover(self, path: PathBuf, reporter: Reporter<EtcdRecoveryProgress>) -> Result<()> {
        let hash = self.hash;
        let checked = tokio::task::spawn_blocking({
            let path = path.clone();
            move || check(&path, hash)
        });
        let of = checked
            .await
            .map_err(|error| Error::local(ErrorKind::Io, io::Error::other(error)))??;
        reporter.report(EtcdRecoveryProgress::Verified { bytes: of });
        let file = tokio::fs::File::open(&path)
            .await
            .map_err(|error| unreadable(&path, error))?;
        let progress = reporter.clone();
        self.node
            .etcd()
            .recover(file)
            .on_progress(move |bytes| progress.report(EtcdRecoveryProgress::Sent { bytes, of }))
            .send()
            .await?;
        reporter.report(EtcdRecoveryProgress::Bootstrapping);
        let bootstrap = || self.node.bootstrap().recover_etcd(self.hash).send();
        match bootstrap().await {
            // Whether it began is not known. If it did, it says so now; if not, it begins.
            Err(error) if error.is_unreachable() || error.is_timeout() => match bootstrap().await {
                Ok(()) => Ok(()),
                Err(again) if again.kind() == ErrorKind::AlreadyExists => Ok(()),
                Err(_) => Err(error),
            },
            outcome => outcome,
        }
    }
}

/// The size of the file, if it is a snapshot.
fn check(path: &Path, hash: SnapshotHash) -> Result<u64> {
    let mut file = File::open(path).map_err(|error| unreadable(path, error))?;
    let length = file.metadata().map_err(|error| unreadable(path, error))?.len();
    if hash == SnapshotHash::Skip {
        return Ok(length);
    }
    let mut verifier = Verifier::new().map_err(|error| Error::local(ErrorKind::Config, error))?;
    let mut block = vec![0; 256 * 1024];
    loop {
        match file.read(&mut block) {
            Ok(0) => break,
            Ok(read) => verifier.update(&block[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(path, error)),
        }
    }
    let length = verifier.length();
    let checked = verifier.finish();
    checked.map(|_| length).map_err(|error| {
        let text = format!("{} is not a complete snapshot", path.display());
        Error::local(ErrorKind::InvalidInput, error).with_message(text)
    })
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::local(ErrorKind::Io, error).with_message(format!("{} cannot be read", path.display()))
}
