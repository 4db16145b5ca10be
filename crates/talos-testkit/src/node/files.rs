//! A small file tree in memory.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::sync::Guarded;

/// What is found at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Missing,
    Directory,
    Regular(Contents),
}

/// What a regular file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Contents {
    Fixed(Bytes),
    /// Rendered from the node's state when it is read.
    Live(LiveFile),
}

/// A file that reflects the state of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LiveFile {
    BootId,
    MemInfo,
    LoadAvg,
    OsRelease,
}

/// The files of one node; directories exist where files below them do.
#[derive(Debug, Default)]
pub(crate) struct FileTree {
    files: Guarded<BTreeMap<String, Contents>>,
}

impl FileTree {
    /// Creates or replaces the regular file at the absolute `path`.
    pub(crate) fn write(&self, path: &str, contents: impl Into<Bytes>) {
        self.files
            .lock()
            .insert(clean(path), Contents::Fixed(contents.into()));
    }

    /// Creates or replaces a file that follows the state of the node.
    pub(crate) fn write_live(&self, path: &str, file: LiveFile) {
        self.files.lock().insert(clean(path), Contents::Live(file));
    }

    pub(crate) fn remove(&self, path: &str) -> bool {
        self.files.lock().remove(&clean(path)).is_some()
    }

    pub(crate) fn find(&self, path: &str) -> Found {
        if path.is_empty() {
            return Found::Missing;
        }
        let wanted = clean(path);
        let files = self.files.lock();
        if let Some(contents) = files.get(&wanted) {
            return if path.ends_with('/') {
                Found::Missing
            } else {
                Found::Regular(contents.clone())
            };
        }
        let below = if wanted == "/" { wanted } else { wanted + "/" };
        match files.range(below.clone()..).next() {
            Some((path, _)) if path.starts_with(&below) => Found::Directory,
            _ => Found::Missing,
        }
    }
}

/// `path` as an absolute path without empty, `.` and `..` parts.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_any_spelling_and_directories_exist_above_them() {
        let tree = FileTree::default();
        tree.write("/etc/os-release", "NAME=Talos");
        let regular = Found::Regular(Contents::Fixed(Bytes::from_static(b"NAME=Talos")));
        for path in ["/etc/os-release", "//etc/./os-release", "/etc/x/../os-release"] {
            assert_eq!(tree.find(path), regular, "{path}");
        }
        for path in ["/", "/etc", "/etc/"] {
            assert_eq!(tree.find(path), Found::Directory, "{path}");
        }
        for path in ["", "/et", "/etc/os", "/etc/os-release/", "/etc/os-release/x"] {
            assert_eq!(tree.find(path), Found::Missing, "{path}");
        }
        assert!(tree.remove("/etc/os-release"));
        assert!(!tree.remove("/etc/os-release"));
    }
}
