//! Where things are in this repository.

use std::path::{Path, PathBuf};

/// Root folder of the workspace, known from where this crate was compiled.
pub fn root() -> PathBuf {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir.parent().unwrap_or(manifest_dir).to_path_buf()
}
