//! Files that are there as a whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

/// A file under another name until it is complete: `name.part`, readable by its owner only.
///
/// Dropping it removes what was written. Writing goes on beside reading, one block at a time.
#[derive(Debug)]
pub(crate) struct PartFile {
    part: Part,
    path: PathBuf,
    writer: Writer,
}

#[derive(Debug)]
enum Writer {
    Idle(File),
    Busy(JoinHandle<io::Result<File>>),
    /// A write failed.
    Broken,
}

/// Removes the file unless it has got its name.
#[derive(Debug)]
struct Part(Option<PathBuf>);

impl PartFile {
    /// Begins anew: a rest of an earlier attempt is removed.
    pub(crate) async fn create(path: &Path) -> io::Result<Self> {
        let path = path.to_owned();
        let mut name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path does not name a file"))?
            .to_owned();
        name.push(".part");
        let part = path.with_file_name(name);
        let (part, file) = blocking(move || {
            match fs::remove_file(&part) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            // Only a file of our own: `create_new` follows no symbolic link.
            let file = private(OpenOptions::new().write(true).create_new(true)).open(&part)?;
            Ok((Part(Some(part)), file))
        })
        .await?;
        Ok(Self {
            part,
            path,
            writer: Writer::Idle(file),
        })
    }

    /// Writes a block once the one before is written.
    pub(crate) async fn write(&mut self, block: Bytes) -> io::Result<()> {
        let mut file = self.idle().await?;
        self.writer = Writer::Busy(spawn_blocking(move || {
            file.write_all(&block)?;
            Ok(file)
        }));
        Ok(())
    }

    /// Waits until everything is on the disk, and gives the file its name. What had that name is replaced.
    pub(crate) async fn finish(mut self) -> io::Result<()> {
        let file = self.idle().await?;
        let mut part = self.part;
        let path = self.path;
        blocking(move || {
            file.sync_all()?;
            drop(file);
            let Some(from) = part.0.as_ref() else {
                return Ok(());
            };
            fs::rename(from, &path)?;
            drop(part.0.take());
            sync_folder(&path)
        })
        .await
    }

    async fn idle(&mut self) -> io::Result<File> {
        if let Writer::Busy(writing) = &mut self.writer {
            // Who gives up waiting leaves the write to the next caller.
            let written = writing.await;
            self.writer = Writer::Broken;
            return written.map_err(io::Error::other)?;
        }
        match std::mem::replace(&mut self.writer, Writer::Broken) {
            Writer::Idle(file) => Ok(file),
            Writer::Busy(_) | Writer::Broken => Err(io::Error::other("an earlier write failed")),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(part) = self.0.take() {
            // Nobody could be told.
            let _ = fs::remove_file(part);
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Readable and writable by the owner only.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// So that the new name survives a power failure.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_gets_its_name_when_it_is_complete() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("db");
        let part = folder.path().join("db.part");
        fs::write(&path, "old").expect("written");
        fs::write(&part, "left over").expect("written");
        let mut file = PartFile::create(&path).await.expect("created");
        for block in ["one ", "two ", "three"] {
            file.write(Bytes::from(block)).await.expect("written");
        }
        assert_eq!(fs::read(&path).expect("still there"), b"old");
        assert!(part.exists());
        file.finish().await.expect("finished");
        assert_eq!(fs::read(&path).expect("there"), b"one two three");
        assert!(!part.exists());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[tokio::test]
    async fn a_file_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("db");
        let mut file = PartFile::create(&path).await.expect("created");
        file.write(Bytes::from("half")).await.expect("written");
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_under_the_other_name_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let victim = folder.path().join("victim");
        fs::write(&victim, "mine").expect("written");
        std::os::unix::fs::symlink(&victim, folder.path().join("db.part")).expect("a link");
        let mut file = PartFile::create(&folder.path().join("db"))
            .await
            .expect("created");
        file.write(Bytes::from("other")).await.expect("written");
        file.finish().await.expect("finished");
        assert_eq!(fs::read(&victim).expect("there"), b"mine");
    }
}
