//! The lock that kubectl takes, too.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use super::KubeconfigError;

/// A file `NAME.lock` that is there while the kubeconfig is being changed. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct Lock(PathBuf);

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Self, KubeconfigError> {
        let write = |source| KubeconfigError::Write {
            path: path.to_owned(),
            source,
        };
        let mut name = path
            .file_name()
            .ok_or_else(|| {
                write(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the path does not name a file",
                ))
            })?
            .to_owned();
        name.push(".lock");
        let lock = path.with_file_name(name);
        if let Some(folder) = lock.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            crate::config::create_private_folder(folder).map_err(write)?;
        }
        match OpenOptions::new().write(true).create_new(true).open(&lock) {
            Ok(_) => Ok(Self(lock)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(KubeconfigError::Locked {
                path: path.to_owned(),
                lock,
            }),
            Err(source) => Err(write(source)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Nobody could be told.
        let _ = fs::remove_file(&self.0);
    }
}
