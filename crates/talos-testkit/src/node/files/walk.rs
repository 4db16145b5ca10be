//! Walking the tree in the order of Go's `filepath.Walk`: parents first, names sorted.

use super::FileTree;
use super::entry::{Entry, Kind};

/// An entry met on a walk.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) path: String,
    /// Relative to the root of the walk: `.` for a root that is a directory, its base name for one that is not.
    pub(crate) relative: String,
    pub(crate) entry: Entry,
    /// Slashes in the path beyond those in the root's, so that the first level below `/` counts as 0, too.
    pub(crate) depth: usize,
}

impl Item {
    /// Why the contents of the directory are not visited.
    pub(crate) fn error(&self) -> Option<String> {
        let reason = self.entry.unreadable.as_ref().filter(|_| self.entry.is_dir())?;
        Some(format!("open {}: {reason}", self.path))
    }
}

/// What of a directory's contents to visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Into,
    Over,
}

impl FileTree {
    /// Visits `root`, which may be a symbolic link to what is meant, and what is below it. `visit` decides for
    /// each directory whether its contents are visited; it is called again with `None` when they have been.
    ///
    /// `None` if there is nothing at `root`.
    pub(crate) fn walk(&self, root: &str, visit: &mut dyn FnMut(Option<&Item>) -> Step) -> Option<()> {
        let (root, entry) = self.resolve(root)?;
        let relative = match &entry.kind {
            Kind::Directory => ".".to_owned(),
            _ => root.rsplit('/').next().unwrap_or_default().to_owned(),
        };
        let item = Item {
            path: root.clone(),
            relative,
            entry,
            depth: 0,
        };
        self.visit(&root, item, visit);
        Some(())
    }

    fn visit(&self, root: &str, item: Item, visit: &mut dyn FnMut(Option<&Item>) -> Step) {
        let step = visit(Some(&item));
        if !item.entry.is_dir() {
            return;
        }
        // A directory that cannot be opened is met, but not what is in it.
        if step == Step::Into && item.entry.unreadable.is_none() {
            let below = super::below(&item.path);
            for name in self.children(&item.path) {
                let path = format!("{below}{name}");
                // Gone since the names were read.
                let Some(entry) = self.lstat(&path) else {
                    continue;
                };
                let relative = path[super::below(root).len()..].to_owned();
                let slashes = |text: &str| text.matches('/').count();
                let depth = slashes(&path) - slashes(root);
                let child = Item {
                    path,
                    relative,
                    entry,
                    depth,
                };
                self.visit(root, child, visit);
            }
        }
        visit(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_first_and_names_are_sorted() {
        let tree = FileTree::default();
        for path in ["/t/a/x", "/t/a-b", "/t/b"] {
            tree.write(path, "");
        }
        tree.put("/link", Entry::symlink("/t"));
        for root in ["/t", "/link"] {
            let mut seen = Vec::new();
            let walked = tree.walk(root, &mut |item| {
                seen.extend(item.map(|item| (item.relative.clone(), item.depth)));
                Step::Into
            });
            assert_eq!(walked, Some(()));
            let expected = [(".", 0), ("a", 1), ("a/x", 2), ("a-b", 1), ("b", 1)];
            assert_eq!(seen, expected.map(|(path, depth)| (path.to_owned(), depth)));
        }
        assert_eq!(tree.walk("/nothing", &mut |_| Step::Into), None);
    }
}
