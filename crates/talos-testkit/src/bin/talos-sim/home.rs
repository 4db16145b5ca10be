//! Where the talosconfig goes.

use std::io;
use std::path::{Path, PathBuf};

/// The place of the talosconfig; a folder that was made for it goes away with this.
#[derive(Debug)]
pub(crate) struct Home {
    talosconfig: PathBuf,
    own_folder: Option<PathBuf>,
}

impl Home {
    pub(crate) fn new(wanted: Option<&Path>) -> io::Result<Self> {
        if let Some(path) = wanted {
            return Ok(Self {
                talosconfig: path.to_owned(),
                own_folder: None,
            });
        }
        let folder = std::env::temp_dir().join(format!("talos-sim-{}", std::process::id()));
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        // A folder that is there already may be somebody else's.
        builder.create(&folder)?;
        Ok(Self {
            talosconfig: folder.join("talosconfig"),
            own_folder: Some(folder),
        })
    }

    pub(crate) fn talosconfig(&self) -> &Path {
        &self.talosconfig
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(folder) = &self.own_folder {
            // What cannot be removed is left to whoever cleans up temporary files.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}
