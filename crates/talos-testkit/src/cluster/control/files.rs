//! Files of a node.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::SimNode;
use crate::clock::Moment;
use crate::node::files::entry::{Contents, Entry, Kind};

/// A file of any kind, to be put into the tree of a node by [`SimNode::put_file`].
///
/// ```
/// use talos_testkit::SimFile;
///
/// let script = SimFile::regular("#!/bin/sh\n").mode(0o4755).owner(0, 50);
/// let database = SimFile::made_up(7, 1 << 30); // a gigabyte that takes no memory
/// let link = SimFile::symlink("../lib/script");
/// # let _ = (script, database, link);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct SimFile {
    entry: Entry,
}

impl SimFile {
    fn new(entry: Entry) -> Self {
        let modified = Moment::now().unix_seconds();
        Self {
            entry: Entry { modified, ..entry },
        }
    }

    /// A regular file, mode 0644.
    pub fn regular(contents: impl Into<Bytes>) -> Self {
        Self::new(Entry::regular(Contents::Fixed(contents.into())))
    }

    /// A regular file of `size` bytes that are made up from `seed` while they are read.
    pub fn made_up(seed: u64, size: u64) -> Self {
        Self::new(Entry::regular(Contents::Seeded { seed, size }))
    }

    /// A directory, mode 0755.
    pub fn directory() -> Self {
        Self::new(Entry::directory())
    }

    /// A symbolic link.
    pub fn symlink(target: &str) -> Self {
        Self::new(Entry::symlink(target))
    }

    /// A block device, mode 0600.
    pub fn block_device(major: u32, minor: u32) -> Self {
        Self::new(Entry::device(Kind::BlockDevice { major, minor }))
    }

    /// A character device, mode 0600.
    pub fn char_device(major: u32, minor: u32) -> Self {
        Self::new(Entry::device(Kind::CharDevice { major, minor }))
    }

    /// A named pipe, mode 0600.
    pub fn pipe() -> Self {
        Self::new(Entry::device(Kind::Pipe))
    }

    /// A socket, mode 0600.
    pub fn socket() -> Self {
        Self::new(Entry::device(Kind::Socket))
    }

    /// Sets the permissions, with set-user-id 0o4000, set-group-id 0o2000 and sticky 0o1000.
    pub const fn mode(mut self, mode: u32) -> Self {
        self.entry.mode = mode & 0o7777;
        self
    }

    /// Sets user and group. Default: root.
    pub const fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.entry.uid = uid;
        self.entry.gid = gid;
        self
    }

    /// Sets the time of the last modification, in whole seconds. Default: now.
    pub fn modified(mut self, time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map(|since| since.as_secs());
        self.entry.modified = seconds
            .ok()
            .and_then(|seconds| i64::try_from(seconds).ok())
            .unwrap_or_default();
        self
    }

    /// Adds an extended attribute, such as `security.selinux`, whose value ends with a zero byte.
    pub fn xattr(mut self, name: impl Into<String>, data: impl Into<Bytes>) -> Self {
        self.entry.xattrs.push((name.into(), data.into()));
        self.entry.xattrs.sort();
        self
    }

    /// Sets the size that lists report, whatever the file holds. As on a node, a file with less in it than it
    /// says breaks every archive it gets into.
    pub const fn claimed_size(mut self, bytes: u64) -> Self {
        self.entry.claimed_size = Some(bytes);
        self
    }

    /// Lets the file be listed, but not opened; `reason` is what the system says, such as
    /// `permission denied`.
    pub fn unreadable(mut self, reason: impl Into<String>) -> Self {
        self.entry.unreadable = Some(reason.into());
        self
    }
}

impl SimNode {
    /// Creates or replaces the regular file at the absolute `path`, and the directories above it.
    pub fn write_file(&self, path: &str, contents: impl Into<Bytes>) {
        self.node().files.write(path, contents);
    }

    /// Creates or replaces a file of any kind at the absolute `path`, and the directories above it.
    pub fn put_file(&self, path: &str, file: SimFile) {
        self.node().files.put(path, file.entry);
    }

    /// The contents of the regular file at `path`, which may be a symbolic link to it; `None` if there is none.
    #[must_use]
    pub fn read_file(&self, path: &str) -> Option<Vec<u8>> {
        let node = self.node();
        node.refresh_proc();
        let (_, entry) = node.files.resolve(path)?;
        let Kind::Regular(contents) = entry.kind else {
            return None;
        };
        let source = node.open(&contents);
        let length = usize::try_from(source.len()).ok()?;
        Some(source.read_at(0, length).to_vec())
    }

    /// Removes what is at `path`, a directory with everything in it, and says whether there was something.
    pub fn remove_file(&self, path: &str) -> bool {
        self.node().files.remove(path)
    }
}
