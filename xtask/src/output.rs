//! A set of generated files: compared with or written to the work tree as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::workspace::files_below;

/// Generated files by path relative to the repository root, and the folders that hold nothing else.
#[derive(Debug, Default)]
pub struct Outputs {
    files: BTreeMap<PathBuf, String>,
    owned_folders: BTreeSet<PathBuf>,
}

/// One file of the work tree that differs from what the generator makes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The generator makes a file that is not there.
    Missing(PathBuf),
    /// The file has other contents.
    Changed(PathBuf),
    /// The file lies in a generated folder, but the generator no longer makes it.
    Stale(PathBuf),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "missing: {}", path.display()),
            Self::Changed(path) => write!(f, "changed: {}", path.display()),
            Self::Stale(path) => write!(f, "stale: {}", path.display()),
        }
    }
}

impl Outputs {
    /// Adds a file.
    pub fn insert(&mut self, path: impl Into<PathBuf>, contents: String) {
        self.files.insert(path.into(), contents);
    }

    /// Declares that `folder` holds generated files only: others found there are stale.
    pub fn own_folder(&mut self, folder: impl Into<PathBuf>) {
        self.owned_folders.insert(folder.into());
    }

    /// The files, by path.
    pub fn files(&self) -> &BTreeMap<PathBuf, String> {
        &self.files
    }

    /// Compares with the work tree below `root`, byte for byte.
    pub fn differences(&self, root: &Path) -> Result<Vec<Difference>> {
        let mut found = BTreeSet::new();
        for (path, contents) in &self.files {
            match read_if_present(&root.join(path))? {
                None => found.insert(Difference::Missing(path.clone())),
                Some(present) if present != contents.as_bytes() => {
                    found.insert(Difference::Changed(path.clone()))
                }
                Some(_) => false,
            };
        }
        for folder in &self.owned_folders {
            for path in files_below(root, folder)? {
                if !self.files.contains_key(&path) {
                    found.insert(Difference::Stale(path));
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Brings the work tree below `root` in line and answers what was changed.
    ///
    /// All new contents are on the disk, beside their places, before the first file is renamed into its own:
    /// no file is ever half-written, and a full disk or a missing permission changes nothing. Files that are
    /// right already keep their time stamp.
    pub fn write(&self, root: &Path) -> Result<Vec<Difference>> {
        let differences = self.differences(root)?;
        let mut staged = Vec::new();
        for difference in &differences {
            if let Difference::Missing(path) | Difference::Changed(path) = difference {
                staged.push(stage(root.join(path), &self.files[path])?);
            }
        }
        for (file, path) in staged {
            file.persist(&path)
                .with_context(|| format!("replacing {}", path.display()))?;
        }
        for difference in &differences {
            if let Difference::Stale(path) = difference {
                remove(root, path, &self.owned_folders)?;
            }
        }
        Ok(differences)
    }
}

fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Writes `contents` to a file beside `path`.
fn stage(path: PathBuf, contents: &str) -> Result<(NamedTempFile, PathBuf)> {
    let folder = path.parent().context("a generated file needs a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let mut file = tempfile::Builder::new();
    // Temporary files are private by default, and renaming keeps that.
    #[cfg(unix)]
    file.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = file
        .tempfile_in(folder)
        .with_context(|| format!("creating a temporary file in {}", folder.display()))?;
    file.write_all(contents.as_bytes())
        .with_context(|| format!("writing {}", path.display()))?;
    Ok((file, path))
}

fn remove(root: &Path, path: &Path, owned: &BTreeSet<PathBuf>) -> Result<()> {
    let full = root.join(path);
    std::fs::remove_file(&full).with_context(|| format!("removing {}", full.display()))?;
    let mut folder = path.parent();
    while let Some(candidate) = folder.filter(|candidate| !owned.contains(*candidate)) {
        if std::fs::remove_dir(root.join(candidate)).is_err() {
            break;
        }
        folder = candidate.parent();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs() -> Outputs {
        let mut outputs = Outputs::default();
        outputs.own_folder("out");
        outputs.insert("out/a/b.rs", "new".to_owned());
        outputs.insert("out/c.rs", "same".to_owned());
        outputs.insert("page.md", "page".to_owned());
        outputs
    }

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, contents) in [
            ("out/a/b.rs", "old"),
            ("out/c.rs", "same"),
            ("out/gone/deep/d.rs", ""),
            ("other.md", "not ours"),
        ] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, contents).unwrap();
        }
        root
    }

    #[test]
    fn differences_name_each_file_once_and_change_nothing() {
        let root = tree();
        for _ in 0..2 {
            let differences: Vec<_> = outputs()
                .differences(root.path())
                .unwrap()
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(
                differences,
                [
                    "missing: page.md",
                    "changed: out/a/b.rs",
                    "stale: out/gone/deep/d.rs"
                ]
            );
        }
    }

    #[test]
    fn writing_settles_all_differences_and_removes_empty_folders() {
        let root = tree();
        let before = std::fs::metadata(root.path().join("out/c.rs"))
            .unwrap()
            .modified()
            .unwrap();
        assert_eq!(outputs().write(root.path()).unwrap().len(), 3);
        assert_eq!(outputs().differences(root.path()).unwrap(), []);
        assert_eq!(
            std::fs::read_to_string(root.path().join("out/a/b.rs")).unwrap(),
            "new"
        );
        assert!(!root.path().join("out/gone").exists());
        assert!(root.path().join("other.md").exists());
        let after = std::fs::metadata(root.path().join("out/c.rs"))
            .unwrap()
            .modified()
            .unwrap();
        assert_eq!(before, after, "a file that is right is not touched");
    }

    #[test]
    fn nothing_is_changed_when_a_file_cannot_be_written() {
        let root = tree();
        let mut outputs = outputs();
        // A file stands where the folder should be.
        outputs.insert("other.md/z.rs", String::new());
        let error = outputs.write(root.path()).unwrap_err();
        assert!(error.to_string().starts_with("creating "), "{error:#}");
        assert_eq!(
            std::fs::read_to_string(root.path().join("out/a/b.rs")).unwrap(),
            "old"
        );
        assert!(root.path().join("out/gone/deep/d.rs").exists());
        let files = files_below(root.path(), "".as_ref()).unwrap();
        assert_eq!(files.len(), 4, "no temporary file is left: {files:?}");
    }
}
