//! The file tree of a node: what came with Talos, shared by all nodes, under what the node has of its own.

pub(crate) mod archive;
pub(crate) mod entry;
pub(crate) mod source;
pub(crate) mod walk;

mod image;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use bytes::Bytes;

use crate::clock::Moment;
use crate::sync::Guarded;
use entry::{Contents, Entry, Kind, LiveFile};

/// Symbolic links followed before a path is given up.
const MAX_LINKS: usize = 40;

/// The files of one node.
#[derive(Debug)]
pub(crate) struct FileTree {
    image: &'static BTreeMap<String, Entry>,
    /// Entries of this node by path; `None` hides one of the image.
    own: Guarded<BTreeMap<String, Option<Entry>>>,
}

impl Default for FileTree {
    fn default() -> Self {
        Self {
            image: image::image(),
            own: Guarded::default(),
        }
    }
}

impl FileTree {
    /// Creates or replaces the regular file at the absolute `path`, and the directories above it.
    pub(crate) fn write(&self, path: &str, contents: impl Into<Bytes>) {
        let mut entry = Entry::regular(Contents::Fixed(contents.into()));
        entry.modified = Moment::now().unix_seconds();
        self.put(path, entry);
    }

    /// Creates or replaces a file that follows the state of the node.
    pub(crate) fn write_live(&self, path: &str, file: LiveFile) {
        self.put(path, Entry::regular(Contents::Live(file)).with_mode(0o444));
    }

    /// Creates or replaces an entry of any kind, and the directories above it. What was below a path that is
    /// no directory any more is gone.
    pub(crate) fn put(&self, path: &str, entry: Entry) {
        let path = clean(path);
        if !entry.is_dir() {
            self.remove(&path);
        }
        let mut above = parent(&path).map(str::to_owned);
        while let Some(directory) = above.filter(|directory| !self.is_dir(directory)) {
            self.own
                .lock()
                .insert(directory.clone(), Some(Entry::directory()));
            above = parent(&directory).map(str::to_owned);
        }
        self.own.lock().insert(path, Some(entry));
    }

    /// Removes what is at `path`, with everything below it; says whether there was something.
    pub(crate) fn remove(&self, path: &str) -> bool {
        let path = clean(path);
        let existed = self.lstat(&path).is_some();
        let mut own = self.own.lock();
        let below = below(&path);
        own.retain(|key, _| *key != path && !key.starts_with(&below));
        let shared = self.image.range(path.clone()..);
        for (key, _) in shared.take_while(|(key, _)| key.starts_with(&path)) {
            if *key == path || key.starts_with(&below) {
                own.insert(key.clone(), None);
            }
        }
        existed
    }

    /// Removes everything below the directory at `path`, but not the directory.
    pub(crate) fn empty(&self, path: &str) {
        for name in self.children(path) {
            self.remove(&format!("{}{name}", below(&clean(path))));
        }
    }

    /// The entry at the clean `path`, without following a symbolic link.
    pub(crate) fn lstat(&self, path: &str) -> Option<Entry> {
        match self.own.lock().get(path) {
            Some(own) => own.clone(),
            None => self.image.get(path).cloned(),
        }
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.resolve(path).is_some()
    }

    fn is_dir(&self, path: &str) -> bool {
        self.lstat(path).is_some_and(|entry| entry.is_dir())
    }

    /// The names in the directory at the clean `path`, sorted.
    pub(crate) fn children(&self, path: &str) -> Vec<String> {
        let mut names = BTreeSet::new();
        direct(self.image, path, |name, _| {
            names.insert(name.to_owned());
        });
        direct(&self.own.lock(), path, |name, entry| {
            if entry.is_some() {
                names.insert(name.to_owned());
            } else {
                names.remove(name);
            }
        });
        names.into_iter().collect()
    }

    /// The entry that `path` leads to and its real path, following symbolic links.
    pub(crate) fn resolve(&self, path: &str) -> Option<(String, Entry)> {
        if path.is_empty() {
            return None;
        }
        let mut rest: VecDeque<String> = parts(path).map(str::to_owned).collect();
        let mut at = "/".to_owned();
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            match part.as_str() {
                "." => continue,
                ".." => {
                    at = parent(&at).unwrap_or("/").to_owned();
                    continue;
                }
                _ => {}
            }
            let next = format!("{}{part}", below(&at));
            match self.lstat(&next)?.kind {
                Kind::Symlink(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    if target.starts_with('/') {
                        at = "/".to_owned();
                    }
                    for part in parts(&target).rev() {
                        rest.push_front(part.to_owned());
                    }
                }
                Kind::Directory => at = next,
                _ if rest.is_empty() && !path.ends_with('/') => at = next,
                _ => return None,
            }
        }
        let entry = self.lstat(&at)?;
        Some((at, entry))
    }
}

/// Calls `found` with each entry of `map` directly in the directory at `path`, skipping what is deeper.
fn direct<T>(map: &BTreeMap<String, T>, path: &str, mut found: impl FnMut(&str, &T)) {
    let below = below(path);
    let mut from = Bound::Excluded(below.clone());
    loop {
        let Some((key, value)) = map.range((from, Bound::Unbounded)).next() else {
            return;
        };
        let Some(name) = key.strip_prefix(&below) else {
            return;
        };
        from = match name.split_once('/') {
            None => {
                found(name, value);
                Bound::Excluded(key.clone())
            }
            // The character after the slash ends everything below that directory.
            Some((directory, _)) => Bound::Included(format!("{below}{directory}0")),
        };
    }
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// The path of the directory that holds `path`, which must be clean; `None` for the root.
fn parent(path: &str) -> Option<&str> {
    let (above, name) = path.rsplit_once('/')?;
    match (above, name) {
        ("", "") => None,
        ("", _) => Some("/"),
        (above, _) => Some(above),
    }
}

/// What the paths of everything below the clean `path` begin with.
fn below(path: &str) -> String {
    if path == "/" {
        "/".to_owned()
    } else {
        format!("{path}/")
    }
}

/// `path` as an absolute path without empty, `.` and `..` parts, as Go's `path.Clean` shortens it.
pub(crate) fn clean(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in parts(path) {
        match part {
            "." => {}
            ".." => {
                kept.pop();
            }
            part => kept.push(part),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(tree: &FileTree, path: &str) -> Option<Bytes> {
        match tree.resolve(path)?.1.kind {
            Kind::Regular(Contents::Fixed(bytes)) => Some(bytes),
            _ => None,
        }
    }

    #[test]
    fn files_are_found_by_any_spelling_and_directories_exist_above_them() {
        let tree = FileTree::default();
        tree.write("/var/x/y/file", "contents");
        for path in ["/var/x/y/file", "//var/./x/y/file", "/var/x/../x/y/file"] {
            assert_eq!(fixed(&tree, path).unwrap(), "contents", "{path}");
        }
        for path in ["/", "/var/x", "/var/x/"] {
            assert!(tree.resolve(path).unwrap().1.is_dir(), "{path}");
        }
        for path in ["", "/va", "/var/x/y/fil", "/var/x/y/file/", "/var/x/y/file/z"] {
            assert_eq!(tree.resolve(path), None, "{path}");
        }
        assert!(tree.remove("/var/x"));
        assert!(!tree.exists("/var/x/y/file") && !tree.remove("/var/x") && tree.exists("/var"));
    }

    #[test]
    fn the_image_can_be_hidden_and_shown_again() {
        let tree = FileTree::default();
        assert!(tree.exists("/usr/bin/runc"));
        assert!(tree.remove("/usr"));
        assert!(!tree.exists("/usr/bin/runc"));
        assert!(!tree.children("/").contains(&"usr".to_owned()));
        tree.write("/usr/bin/mine", "");
        assert_eq!(tree.children("/usr"), ["bin"]);
        assert_eq!(tree.children("/usr/bin"), ["mine"]);
        assert!(
            FileTree::default().exists("/usr/bin/runc"),
            "others are not touched"
        );
    }

    #[test]
    fn children_are_those_of_one_level() {
        let tree = FileTree::default();
        for path in ["/t/a/x/deep", "/t/a-b", "/t/a0", "/t/b"] {
            tree.write(path, "");
        }
        assert_eq!(tree.children("/t"), ["a", "a-b", "a0", "b"]);
        assert_eq!(tree.children("/t/a"), ["x"]);
        assert_eq!(tree.children("/t/b"), Vec::<String>::new());
        tree.empty("/t");
        assert_eq!(tree.children("/t"), Vec::<String>::new());
        assert!(tree.exists("/t"));
    }

    #[test]
    fn links_are_followed_and_rings_are_not_endless() {
        let tree = FileTree::default();
        tree.write("/var/real/file", "1");
        tree.put("/var/link", Entry::symlink("real"));
        tree.put("/var/abs", Entry::symlink("/var/link/../real/file"));
        tree.put("/var/ring", Entry::symlink("ring"));
        assert_eq!(tree.resolve("/var/link/file").unwrap().0, "/var/real/file");
        assert_eq!(tree.resolve("/var/abs").unwrap().0, "/var/real/file");
        assert_eq!(tree.resolve("/var/ring"), None);
    }
}
