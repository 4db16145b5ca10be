//! Saving snapshots, and removing old ones.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    task::spawn_blocking,
};

use super::rotation::{self, Rules};
use crate::{
    Node,
    api::etcd::SavedSnapshot,
    error::{Error, ErrorKind, Origin, Result},
    workflow::{Reporter, Run},
};

/// How much is written at once, in bytes.
const BLOCK: usize = 256 * 1024;

/// A backup of etcd, to a folder, a file or any writer.
///
/// Every snapshot is verified while it comes: size and SHA-256. **There are all secrets of the Kubernetes cluster in
/// it**; files are made with mode 0600.
#[derive(Clone, Debug)]
#[must_use = "nothing is asked for before `to_folder`, `to_file` or `to_writer`"]
pub struct EtcdBackup {
    node: Node,
    prefix: String,
    rules: Rules,
    now: Option<SystemTime>,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EtcdBackupProgress {
    /// So much was received.
    Received {
        /// Bytes up to now.
        bytes: u64,
        /// Bytes altogether, about, since etcd goes on; `None` where the node did not say.
        expected: Option<u64>,
    },
    /// Everything was received and is right.
    Verified {
        /// The SHA-256 of the database.
        sha256: [u8; 32],
    },
    /// An old backup was removed.
    Removed(PathBuf),
}

/// A backup in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EtcdBackupReport {
    /// The new one.
    pub snapshot: SavedSnapshot,
    /// Old ones that were removed.
    pub removed: Vec<PathBuf>,
    /// Why old ones could not be removed. The backup itself is fine.
    pub rotation: std::result::Result<(), String>,
}

/// A backup that was written somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrittenSnapshot<W> {
    /// Where it was written; flushed, and neither synced nor closed.
    pub writer: W,
    /// Its size, the checksum at its end included.
    pub bytes: u64,
    /// The SHA-256 of the database.
    pub sha256: [u8; 32],
}

impl fmt::Display for EtcdBackupProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Received {
                bytes,
                expected: Some(expected),
            } => write!(f, "{bytes} of about {expected} bytes"),
            Self::Received { bytes, .. } => write!(f, "{bytes} bytes"),
            Self::Verified { .. } => f.write_str("complete and verified"),
            Self::Removed(path) => write!(f, "removed {}", path.display()),
        }
    }
}

impl EtcdBackupProgress {
    /// How much was received, in percent, 100 at most; `None` where that is not known.
    pub fn percent(&self) -> Option<u8> {
        match self {
            Self::Received { bytes, expected } => {
                let expected = expected.filter(|expected| *expected > 0)?;
                let percent = u128::from(*bytes) * 100 / u128::from(expected);
                Some(u8::try_from(percent.min(100)).unwrap_or(100))
            }
            Self::Verified { .. } | Self::Removed(_) => Some(100),
        }
    }
}

impl EtcdBackup {
    /// From the member of this control plane node. Any will do; one that follows has more time than the leader.
    pub fn new(node: &Node) -> Self {
        Self {
            node: node.clone(),
            prefix: "etcd".to_owned(),
            rules: Rules::default(),
            now: None,
        }
    }

    /// What the names of files in a folder begin with. Backups of several clusters in one folder need several
    /// prefixes. Default: `etcd`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Keeps the newest backups in the folder, so many with the new one; older ones are removed once the new one is
    /// complete, unless [`EtcdBackup::max_age`] keeps them. Default: all are kept.
    ///
    /// Only files that were made by this workflow with the same prefix are ever removed, which is told from their
    /// names. The new one stays in any case.
    pub fn keep(mut self, backups: usize) -> Self {
        self.rules.keep = Some(backups);
        self
    }

    /// Keeps backups in the folder that are no older than this, by the time in their names; older ones are removed
    /// as with [`EtcdBackup::keep`]. A backup that either of the two keeps stays. Default: all are kept.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.rules.max_age = Some(age);
        self
    }

    /// The time for the name of the file and for the age of others, in place of the clock's.
    pub fn at(mut self, now: SystemTime) -> Self {
        self.now = Some(now);
        self
    }

    /// Into a new file of this folder, such as `etcd-20260131T123000Z.snapshot`; the folder is made if it is
    /// missing (mode 0700). Old backups are removed afterwards, see [`EtcdBackup::keep`].
    ///
    /// The file is there once it is complete, verified and on the disk, and not before: whatever happens, a full
    /// disk included, what was in the folder is as it was. Parts that earlier programs left behind are removed after
    /// a day.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a prefix that is empty or names another folder, `Io` if the folder or the file cannot be
    /// written, `Malformed` if the snapshot is cut off or damaged, and as for
    /// [`Etcd::snapshot`](crate::api::etcd::Etcd::snapshot). If old backups cannot be removed, that is in the report.
    ///
    /// # Cancel safety
    ///
    /// Dropping the run cancels the call and removes what was written.
    pub fn to_folder(self, folder: impl Into<PathBuf>) -> Run<EtcdBackupProgress, EtcdBackupReport> {
        let folder = folder.into();
        Run::new(|reporter| async move {
            let unusable = |letter: char| matches!(letter, '/' | '\\' | '\0');
            if self.prefix.is_empty() || self.prefix.starts_with('.') || self.prefix.contains(unusable) {
                let text = format!("{:?} cannot be the beginning of a file name", self.prefix);
                return Err(Error::new(ErrorKind::InvalidInput, Origin::Local).with_message(text));
            }
            let now = self.now.unwrap_or_else(SystemTime::now);
            let (prefix, rules) = (self.prefix.clone(), self.rules);
            let path = blocking({
                let (folder, prefix) = (folder.clone(), prefix.clone());
                move || {
                    crate::config::create_private_folder(&folder)?;
                    Ok(rotation::free_path(&folder, &prefix, now))
                }
            })
            .await
            .map_err(|error| unwritable(&folder, error))?;
            let snapshot = self.save(path.clone(), &reporter).await?;
            let rotated = blocking(move || rotation::rotate(&folder, &prefix, rules, &path, now)).await;
            let (removed, rotation) = match rotated {
                Ok(removed) => (removed, Ok(())),
                Err(error) => (Vec::new(), Err(error.to_string())),
            };
            for path in &removed {
                reporter.report(EtcdBackupProgress::Removed(path.clone()));
            }
            Ok(EtcdBackupReport {
                snapshot,
                removed,
                rotation,
            })
        })
    }

    /// Into this file, which is replaced once the snapshot is complete and verified, and not before. Nothing is
    /// removed.
    ///
    /// # Errors
    ///
    /// As for [`EtcdSnapshotFileRequest::send`](crate::api::etcd::EtcdSnapshotFileRequest::send).
    ///
    /// # Cancel safety
    ///
    /// Dropping the run cancels the call and removes what was written.
    pub fn to_file(self, path: impl Into<PathBuf>) -> Run<EtcdBackupProgress, SavedSnapshot> {
        let path = path.into();
        Run::new(|reporter| async move { self.save(path, &reporter).await })
    }

    /// Into anything that can be written to, such as a pipe or an upload. Nothing is removed.
    ///
    /// **What was written is a snapshot only if this succeeds.** Memory stays the same however large it is.
    ///
    /// # Errors
    ///
    /// `Io` with the writer's error, `Malformed` if the snapshot is cut off or damaged, and as for
    /// [`Etcd::snapshot`](crate::api::etcd::Etcd::snapshot).
    ///
    /// # Cancel safety
    ///
    /// Dropping the run cancels the call and drops the writer, with a part of the snapshot written.
    pub fn to_writer<W>(self, mut writer: W) -> Run<EtcdBackupProgress, WrittenSnapshot<W>>
    where
        W: AsyncWrite + Send + Unpin + 'static,
    {
        Run::new(|reporter| async move {
            let failed = |error: io::Error| {
                Error::local(ErrorKind::Io, error).with_message("the snapshot cannot be written")
            };
            let expected = self.expected().await;
            let mut chunks = self.node.etcd().snapshot().send().await?.coalesce(BLOCK);
            let mut bytes = 0;
            while let Some(block) = chunks.next_chunk().await {
                let block = block?;
                writer.write_all(&block).await.map_err(failed)?;
                bytes += u64::try_from(block.len()).unwrap_or(u64::MAX);
                reporter.report(EtcdBackupProgress::Received { bytes, expected });
            }
            writer.flush().await.map_err(failed)?;
            let Some(sha256) = chunks.get_ref().sha256() else {
                let text = "the snapshot has no checksum";
                return Err(Error::new(ErrorKind::Malformed, Origin::Local).with_message(text));
            };
            reporter.report(EtcdBackupProgress::Verified { sha256 });
            Ok(WrittenSnapshot {
                writer,
                bytes,
                sha256,
            })
        })
    }

    async fn save(&self, path: PathBuf, reporter: &Reporter<EtcdBackupProgress>) -> Result<SavedSnapshot> {
        let expected = self.expected().await;
        let progress = reporter.clone();
        let saved = self
            .node
            .etcd()
            .snapshot()
            .to_file(path)
            .on_progress(move |bytes| progress.report(EtcdBackupProgress::Received { bytes, expected }))
            .await?;
        reporter.report(EtcdBackupProgress::Verified {
            sha256: saved.sha256(),
        });
        Ok(saved)
    }

    /// For progress only, so that a node that does not say is no failure.
    async fn expected(&self) -> Option<u64> {
        let status = self.node.etcd().status().await.ok()?;
        Some(status.db_size()).filter(|size| *size > 0)
    }
}

fn unwritable(path: &Path, error: io::Error) -> Error {
    Error::local(ErrorKind::Io, error).with_message(format!("{} cannot be written", path.display()))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}
