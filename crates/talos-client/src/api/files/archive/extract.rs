//! Extracting a copied folder to this machine.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use bytes::BytesMut;
use tokio::task::spawn_blocking;

use super::{
    super::FileArchive,
    entries::{Entries, Entry},
    header::EntryKind,
    place,
    report::{ExtractReport, SkipReason},
};
use crate::error::{Error, ErrorKind, Origin, Result};

/// An extraction to be made; made by [`FileArchive::extract_to`]. Await it.
#[derive(Debug)]
#[must_use = "nothing is extracted before it is awaited"]
pub struct Extract {
    archive: FileArchive,
    destination: PathBuf,
    overwrite: bool,
    symlinks: bool,
    max_bytes: Option<u64>,
}

impl FileArchive {
    /// Extracts the archive to a folder of this machine, which is made if it is not there.
    ///
    /// **Nothing is written outside that folder, whatever the archive says**: paths that are absolute or have
    /// `..` in them, symbolic links that lead out of the folder, and everything below a link are left out and
    /// [reported](ExtractReport::skipped). So are hard links, devices and pipes. Files get their permissions
    /// without setuid and the like, and belong to whoever extracts; their time is that of the extraction.
    ///
    /// What the node could not read is missing, and reported by [`ExtractReport::node_error`].
    pub fn extract_to(self, folder: impl Into<PathBuf>) -> Extract {
        Extract {
            archive: self,
            destination: folder.into(),
            overwrite: false,
            symlinks: true,
            max_bytes: None,
        }
    }
}

impl Extract {
    /// Whether files and links that are there already are replaced. Default: false, they are left as they are,
    /// and reported. Folders are never replaced.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Whether symbolic links are made. Default: true, if they stay within the folder.
    pub fn symlinks(mut self, symlinks: bool) -> Self {
        self.symlinks = symlinks;
        self
    }

    /// Fails with `TooLarge` before more than this is written to files, in bytes. Default: no limit but the
    /// disk's.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Extracts the archive; the same as awaiting this.
    ///
    /// # Errors
    ///
    /// `Io` if something cannot be written, `Malformed` for what is no `.tar.gz` or stops in the middle without
    /// the node saying why, `TooLarge` above [`Extract::max_bytes`], and every [`ErrorKind`] of a call. What
    /// was extracted until then is left there, but for the file at hand.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the copy. What was extracted until then is left there; the file at hand may
    /// be incomplete.
    pub async fn send(self) -> Result<ExtractReport> {
        let destination = self.destination;
        let root = local(spawn_blocking(move || {
            fs::create_dir_all(&destination)?;
            fs::canonicalize(&destination)
        }))
        .await?;
        let mut work = Work {
            root: root.into(),
            overwrite: self.overwrite,
            symlinks: self.symlinks,
            max_bytes: self.max_bytes,
            report: ExtractReport::default(),
        };
        let mut entries = self.archive.entries();
        while let Some(entry) = entries.next_entry().await? {
            work.extract(entry).await?;
        }
        work.report.node_error = Entries::take_node_error(&mut entries);
        Ok(work.report)
    }
}

impl IntoFuture for Extract {
    type Output = Result<ExtractReport>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

struct Work {
    root: Arc<Path>,
    overwrite: bool,
    symlinks: bool,
    max_bytes: Option<u64>,
    report: ExtractReport,
}

impl Work {
    async fn extract(&mut self, mut entry: Entry<'_>) -> Result<()> {
        let path = entry.path_bytes().to_vec();
        let result = match place::names(&path) {
            // The folder itself.
            Ok(names) if names.is_empty() => return Ok(()),
            Ok(names) => match entry.kind() {
                EntryKind::Directory => self.folder(names, entry.permissions()).await,
                EntryKind::Symlink => self.link(names, entry.link_target_bytes()).await,
                EntryKind::Regular => self.file(names, &mut entry).await,
                other => Ok(Err(SkipReason::Unsupported(other))),
            },
            Err(reason) => Ok(Err(reason)),
        };
        if let Err(reason) = result? {
            self.report.skip(&path, reason);
        }
        Ok(())
    }

    async fn folder(&mut self, names: Vec<OsString>, mode: u32) -> Result<Result<(), SkipReason>> {
        let root = Arc::clone(&self.root);
        let made = local(spawn_blocking(move || match place::folders(&root, &names)? {
            // Or nobody could put into it what comes next.
            Ok(folder) => permit(&folder, mode | 0o700).map(Ok),
            Err(reason) => Ok(Err(reason)),
        }))
        .await?;
        self.report.folders += u64::from(made.is_ok());
        Ok(made)
    }

    async fn link(&mut self, names: Vec<OsString>, target: &[u8]) -> Result<Result<(), SkipReason>> {
        if !self.symlinks {
            return Ok(Err(SkipReason::Unsupported(EntryKind::Symlink)));
        }
        let target = match place::link_target(target, names.len() - 1) {
            Ok(target) => target,
            Err(reason) => return Ok(Err(reason)),
        };
        let made = local(self.place(names, move |path| symlink(&target, path))).await?;
        self.report.links += u64::from(made.is_ok());
        Ok(made)
    }

    async fn file(&mut self, names: Vec<OsString>, entry: &mut Entry<'_>) -> Result<Result<(), SkipReason>> {
        let limit = self.max_bytes.map(|max| max.saturating_sub(self.report.bytes));
        if limit.is_some_and(|limit| entry.size() > limit) {
            let error = Error::new(ErrorKind::TooLarge, Origin::Local);
            return Err(error.with_message(format!(
                "the contents of the archive are larger than {} bytes",
                self.max_bytes.unwrap_or(u64::MAX)
            )));
        }
        let created = self.place(names, |path| {
            let file = private(OpenOptions::new().write(true).create_new(true)).open(path)?;
            Ok((Unfinished(Some(path.to_owned())), file))
        });
        let (mut unfinished, mut file) = match local(created).await? {
            Ok(created) => created,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut block = BytesMut::new();
        let mut written = 0;
        loop {
            let chunk = match entry.next_chunk().await {
                Some(Ok(chunk)) => chunk,
                None => break,
                // The node says why after the archive, and goes on with nothing.
                Some(Err(_)) if entry.stopped_by_node() => return Ok(Err(SkipReason::CutOff)),
                Some(Err(error)) => return Err(error),
            };
            written += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            block.extend_from_slice(&chunk);
            if block.len() >= BLOCK {
                (file, block) = write(file, block).await?;
            }
        }
        let (file, _) = write(file, block).await?;
        let mode = entry.permissions();
        let path = unfinished.0.take();
        local(spawn_blocking(move || {
            drop(file);
            path.map_or(Ok(()), |path| permit(&path, mode))
        }))
        .await?;
        self.report.files += 1;
        self.report.bytes += written;
        Ok(Ok(()))
    }

    /// Makes something of this name, after what is there is removed if it may be.
    fn place<T: Send + 'static>(
        &self,
        mut names: Vec<OsString>,
        make: impl Fn(&Path) -> io::Result<T> + Send + 'static,
    ) -> tokio::task::JoinHandle<io::Result<Result<T, SkipReason>>> {
        let root = Arc::clone(&self.root);
        let overwrite = self.overwrite;
        spawn_blocking(move || {
            let name = names.pop().unwrap_or_default();
            let path = match place::folders(&root, &names)? {
                Ok(folder) => folder.join(name),
                Err(reason) => return Ok(Err(reason)),
            };
            match make(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if !overwrite || fs::symlink_metadata(&path)?.is_dir() {
                        return Ok(Err(SkipReason::Exists));
                    }
                    fs::remove_file(&path)?;
                    make(&path).map(Ok)
                }
                made => made.map(Ok),
            }
        })
    }
}

/// Removes a file that does not become complete.
struct Unfinished(Option<PathBuf>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // Nobody could be told.
            let _ = fs::remove_file(path);
        }
    }
}

async fn write(mut file: File, mut block: BytesMut) -> Result<(File, BytesMut)> {
    local(spawn_blocking(move || {
        file.write_all(&block)?;
        block.clear();
        Ok((file, block))
    }))
    .await
}

async fn local<T>(work: tokio::task::JoinHandle<io::Result<T>>) -> Result<T> {
    work.await
        .map_err(io::Error::other)
        .flatten()
        .map_err(|error| Error::local(ErrorKind::Io, error))
}

/// Readable and writable by the owner only, until it is complete.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(unix)]
fn permit(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn permit(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(not(unix))]
fn symlink(_target: &Path, _path: &Path) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "symbolic links of a node are not made on this system; see `Extract::symlinks`",
    ))
}

/// What is written at once, in bytes.
const BLOCK: usize = 256 * 1024;
