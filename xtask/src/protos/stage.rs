//! Prepares a whole folder beside the one it replaces, and swaps the two in one step.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;

use crate::output::{Difference, Outputs};

/// A complete new `proto/`, in a temporary folder on the same file system.
#[derive(Debug)]
pub struct Staged {
    folder: TempDir,
}

/// A file that an installation changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It is new.
    Added(PathBuf),
    /// It has other contents.
    Changed(PathBuf),
    /// It is gone.
    Removed(PathBuf),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(path) => write!(f, "new file: {}", path.display()),
            Self::Changed(path) => write!(f, "rewritten: {}", path.display()),
            Self::Removed(path) => write!(f, "deleted: {}", path.display()),
        }
    }
}

impl Staged {
    /// Writes `protos` (by path) and copies of all other files of the folder `proto` beside it.
    pub fn write(proto: &Path, protos: &BTreeMap<String, String>) -> Result<Self> {
        let beside = proto.parent().context("the folder of the protos has no parent")?;
        let folder = tempfile::Builder::new()
            .prefix(".protos-")
            .tempdir_in(beside)
            .with_context(|| format!("creating a temporary folder in {}", beside.display()))?;
        let staged = Self { folder };
        for path in files_below(proto)?.iter().filter(|path| !is_proto(path)) {
            let copy = staged.proto().join(path);
            create_parent(&copy)?;
            std::fs::copy(proto.join(path), &copy).with_context(|| format!("copying {}", path.display()))?;
        }
        for (path, text) in protos {
            let path = staged.proto().join(path);
            create_parent(&path)?;
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(staged)
    }

    /// The folder that stands for the workspace; it holds the new `proto/` only.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The new `proto/`.
    pub fn proto(&self) -> PathBuf {
        self.folder.path().join(super::PROTO)
    }

    /// What [`Self::install`] would change below `root`.
    pub fn changes(&self, root: &Path, code: Option<&Outputs>) -> Result<BTreeSet<Change>> {
        let (staged, present) = (self.proto(), root.join(super::PROTO));
        let mut changes = BTreeSet::new();
        for path in files_below(&staged)? {
            let named = Path::new(super::PROTO).join(&path);
            let new = read(&staged.join(&path))?;
            match present.join(&path) {
                old if !old.exists() => changes.insert(Change::Added(named)),
                old if read(&old)? != new => changes.insert(Change::Changed(named)),
                _ => false,
            };
        }
        for path in files_below(&present)?
            .into_iter()
            .filter(|path| !staged.join(path).exists())
        {
            changes.insert(Change::Removed(Path::new(super::PROTO).join(path)));
        }
        if let Some(code) = code {
            changes.extend(
                code.differences(root)?
                    .into_iter()
                    .map(|difference| match difference {
                        Difference::Missing(path) => Change::Added(path),
                        Difference::Changed(path) => Change::Changed(path),
                        Difference::Stale(path) => Change::Removed(path),
                    }),
            );
        }
        Ok(changes)
    }

    /// Puts the new `proto/` and the code generated from it in place below `root`, and answers what changed.
    ///
    /// If either fails, both are as they were before.
    pub fn install(self, root: &Path, code: Option<&Outputs>) -> Result<BTreeSet<Change>> {
        let changes = self.changes(root, code)?;
        if changes.is_empty() {
            return Ok(changes);
        }
        let proto = root.join(super::PROTO);
        let previous = self.folder.path().join("previous");
        let backup = Backup::of(root, code)?;
        std::fs::rename(&proto, &previous).with_context(|| format!("moving {} away", proto.display()))?;
        let installed = std::fs::rename(self.proto(), &proto)
            .with_context(|| format!("moving the new {} into place", proto.display()))
            .and_then(|()| code.map_or(Ok(()), |code| code.write(root).map(drop)));
        let Err(error) = installed else { return Ok(changes) };

        let swap_back = || {
            if proto.exists() {
                let rejected = self.folder.path().join("rejected");
                std::fs::rename(&proto, rejected).context("moving the new protos away again")?;
            }
            std::fs::rename(&previous, &proto).context("moving the previous protos back")
        };
        // The folder first: some generated files are in it.
        let restored = swap_back().and_then(|()| backup.restore(root));
        Err(match restored {
            Ok(()) => error.context("installing the new protos failed; everything is as it was before"),
            Err(also) => {
                let kept = self.folder.keep();
                anyhow!(
                    "{error:#}; undoing it failed too: {also:#}; the previous protos are in {}",
                    kept.display()
                )
            }
        })
    }
}

/// What the generated files held before.
struct Backup(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Backup {
    fn of(root: &Path, code: Option<&Outputs>) -> Result<Self> {
        let Some(code) = code else {
            return Ok(Self(Vec::new()));
        };
        let mut contents = Vec::new();
        for difference in code.differences(root)? {
            contents.push(match difference {
                Difference::Missing(path) => (path, None),
                Difference::Changed(path) | Difference::Stale(path) => {
                    let bytes = read(&root.join(&path))?;
                    (path, Some(bytes))
                }
            });
        }
        Ok(Self(contents))
    }

    fn restore(self, root: &Path) -> Result<()> {
        for (path, contents) in self.0 {
            let path = root.join(path);
            match contents {
                Some(bytes) => {
                    create_parent(&path)?;
                    std::fs::write(&path, bytes).with_context(|| format!("restoring {}", path.display()))?;
                }
                None if path.exists() => {
                    std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
                }
                None => {}
            }
        }
        Ok(())
    }
}

fn is_proto(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "proto")
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}

fn create_parent(path: &Path) -> Result<()> {
    let parent = path
        .parent()
        .with_context(|| format!("{} has no folder", path.display()))?;
    std::fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))
}

/// All files below `folder`, relative to it.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(below) = pending.pop() {
        let path = folder.join(&below);
        let entries = std::fs::read_dir(&path).with_context(|| format!("reading {}", path.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("reading {}", path.display()))?;
            let below = below.join(entry.file_name());
            if entry
                .file_type()
                .with_context(|| format!("reading {}", below.display()))?
                .is_dir()
            {
                pending.push(below);
            } else {
                found.push(below);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> TempDir {
        let root = tempfile::tempdir().unwrap();
        let proto = root.path().join("proto");
        std::fs::create_dir_all(proto.join("a")).unwrap();
        std::fs::write(proto.join("a/a.proto"), "old").unwrap();
        std::fs::write(proto.join("a/gone.proto"), "old").unwrap();
        std::fs::write(proto.join("methods.toml"), "rows").unwrap();
        root
    }

    fn staged(root: &Path) -> Staged {
        let protos = [("a/a.proto", "new"), ("b/b.proto", "new")]
            .map(|(path, text)| (path.to_owned(), text.to_owned()));
        Staged::write(&root.join("proto"), &protos.into_iter().collect()).unwrap()
    }

    fn names(root: &Path) -> Vec<PathBuf> {
        let mut names = files_below(root).unwrap();
        names.sort();
        names
    }

    #[test]
    fn installing_replaces_protos_and_keeps_other_files() {
        let root = workspace();
        let changes = staged(root.path()).install(root.path(), None).unwrap();
        assert_eq!(
            changes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "new file: proto/b/b.proto",
                "rewritten: proto/a/a.proto",
                "deleted: proto/a/gone.proto"
            ]
        );
        let expected = ["proto/a/a.proto", "proto/b/b.proto", "proto/methods.toml"];
        assert_eq!(names(root.path()), expected.map(PathBuf::from));
        assert_eq!(
            std::fs::read_to_string(root.path().join("proto/a/a.proto")).unwrap(),
            "new"
        );
        assert_eq!(
            std::fs::read_to_string(root.path().join("proto/methods.toml")).unwrap(),
            "rows"
        );
    }

    #[test]
    fn dropping_a_staged_folder_leaves_no_trace() {
        let root = workspace();
        let before = names(root.path());
        drop(staged(root.path()));
        assert_eq!(names(root.path()), before);
    }

    #[test]
    fn code_that_cannot_be_written_undoes_everything() {
        let root = workspace();
        std::fs::create_dir(root.path().join("src")).unwrap();
        std::fs::write(root.path().join("src/first.rs"), "old").unwrap();
        std::fs::write(root.path().join("proto/lock.toml"), "old").unwrap();
        let before = names(root.path());

        let mut code = Outputs::default();
        code.insert("proto/lock.toml", "new".to_owned());
        code.insert("src/first.rs", "new".to_owned());
        code.insert("src/new.rs", "new".to_owned());
        code.insert("src/sub/zlast.rs", "new".to_owned());
        // A file where the generator needs a folder.
        std::fs::write(root.path().join("src/sub"), "in the way").unwrap();
        let error = format!(
            "{:#}",
            staged(root.path()).install(root.path(), Some(&code)).unwrap_err()
        );

        std::fs::remove_file(root.path().join("src/sub")).unwrap();
        assert!(
            error.contains("as it was before") && error.contains("src/sub"),
            "{error}"
        );
        assert_eq!(names(root.path()), before);
        assert_eq!(
            std::fs::read_to_string(root.path().join("proto/lock.toml")).unwrap(),
            "old"
        );
        assert_eq!(
            std::fs::read_to_string(root.path().join("proto/a/a.proto")).unwrap(),
            "old"
        );
        assert_eq!(
            std::fs::read_to_string(root.path().join("src/first.rs")).unwrap(),
            "old"
        );
    }

    #[test]
    fn a_backup_brings_back_what_was_there() {
        let root = workspace();
        std::fs::create_dir(root.path().join("src")).unwrap();
        std::fs::write(root.path().join("src/first.rs"), "old").unwrap();
        std::fs::write(root.path().join("src/stale.rs"), "stale").unwrap();
        let before = names(root.path());

        let mut code = Outputs::default();
        code.own_folder("src");
        code.insert("src/first.rs", "new".to_owned());
        code.insert("src/sub/new.rs", "new".to_owned());
        let backup = Backup::of(root.path(), Some(&code)).unwrap();
        code.write(root.path()).unwrap();
        assert_ne!(names(root.path()), before);

        backup.restore(root.path()).unwrap();
        assert_eq!(names(root.path()), before);
        let first = std::fs::read_to_string(root.path().join("src/first.rs")).unwrap();
        let stale = std::fs::read_to_string(root.path().join("src/stale.rs")).unwrap();
        assert_eq!((first.as_str(), stale.as_str()), ("old", "stale"));
    }
}
