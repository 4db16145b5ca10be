//! One entry of the file tree: what kind of file, whose, with which bits.

use bytes::Bytes;

use crate::node::etcd::DatabaseImage;
use crate::rng::SimRng;

/// Modification time of everything that came with Talos: its images are built reproducibly.
const IMAGE_TIME: i64 = 1_772_323_200;

/// A file of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// Permissions, with set-user-id 0o4000, set-group-id 0o2000 and sticky 0o1000.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since 1970.
    pub(crate) modified: i64,
    /// Extended attributes in the order of their names.
    pub(crate) xattrs: Vec<(String, Bytes)>,
    /// What `stat` says instead of the real size, as files of `/sys` do.
    pub(crate) claimed_size: Option<u64>,
    /// Why the file cannot be opened.
    pub(crate) unreadable: Option<String>,
}

/// What kind of file it is, with what only that kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    Regular(Contents),
    Symlink(String),
    BlockDevice { major: u32, minor: u32 },
    CharDevice { major: u32, minor: u32 },
    Pipe,
    Socket,
}

/// What a regular file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Contents {
    Fixed(Bytes),
    /// Rendered from the node's state when it is read.
    Live(LiveFile),
    /// Made up from a seed, page by page, when it is read.
    Seeded {
        seed: u64,
        size: u64,
    },
    /// The database of etcd.
    Database(DatabaseImage),
}

/// A file that reflects the state of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LiveFile {
    BootId,
    MemInfo,
    LoadAvg,
    OsRelease,
    Uptime,
    Stat,
    CpuInfo,
    NetDev,
    DiskStats,
}

impl Entry {
    fn new(kind: Kind, mode: u32) -> Self {
        Self {
            kind,
            mode,
            uid: 0,
            gid: 0,
            modified: IMAGE_TIME,
            xattrs: Vec::new(),
            claimed_size: None,
            unreadable: None,
        }
    }

    pub(crate) fn directory() -> Self {
        Self::new(Kind::Directory, 0o755)
    }

    pub(crate) fn regular(contents: Contents) -> Self {
        Self::new(Kind::Regular(contents), 0o644)
    }

    pub(crate) fn symlink(target: &str) -> Self {
        Self::new(Kind::Symlink(target.to_owned()), 0o777)
    }

    pub(crate) fn device(kind: Kind) -> Self {
        Self::new(kind, 0o600)
    }

    pub(crate) const fn with_mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub(crate) const fn is_dir(&self) -> bool {
        matches!(self.kind, Kind::Directory)
    }

    /// The mode as Go's `os.FileMode` has it, which is what goes over the wire.
    pub(crate) const fn go_mode(&self) -> u32 {
        let kind = match self.kind {
            Kind::Directory => 1 << 31,
            Kind::Symlink(_) => 1 << 27,
            Kind::BlockDevice { .. } => 1 << 26,
            Kind::CharDevice { .. } => 1 << 26 | 1 << 21,
            Kind::Pipe => 1 << 25,
            Kind::Socket => 1 << 24,
            Kind::Regular(_) => 0,
        };
        let special = (self.mode & 0o4000) << 12 | (self.mode & 0o2000) << 12 | (self.mode & 0o1000) << 11;
        kind | special | self.mode & 0o777
    }
}

/// Bytes made up from `seed`: the same at each offset, however they are asked for.
pub(crate) fn seeded_bytes(seed: u64, offset: u64, length: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(length + 16);
    let mut word = offset / 8;
    let skip = usize::try_from(offset % 8).unwrap_or_default();
    while bytes.len() < length + skip {
        let value = SimRng::new(seed.wrapping_add(word.wrapping_mul(0xd134_2543_de82_ef95))).next_u64();
        bytes.extend_from_slice(&value.to_le_bytes());
        word += 1;
    }
    Bytes::from(bytes).slice(skip..skip + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_gos() {
        let file = |mode| Entry::regular(Contents::Fixed(Bytes::new())).with_mode(mode);
        assert_eq!(Entry::directory().go_mode(), 1 << 31 | 0o755);
        assert_eq!(file(0o4755).go_mode(), 1 << 23 | 0o755);
        assert_eq!(file(0o2755).go_mode(), 1 << 22 | 0o755);
        assert_eq!(
            Entry::directory().with_mode(0o1777).go_mode(),
            1 << 31 | 1 << 20 | 0o777
        );
        let null = Entry::device(Kind::CharDevice { major: 1, minor: 3 }).with_mode(0o666);
        assert_eq!(null.go_mode(), 1 << 26 | 1 << 21 | 0o666);
        assert_eq!(Entry::symlink("a").go_mode(), 1 << 27 | 0o777);
    }

    #[test]
    fn seeded_bytes_do_not_depend_on_how_they_are_read() {
        let whole = seeded_bytes(7, 0, 100);
        assert_eq!(whole.slice(13..50), seeded_bytes(7, 13, 37));
        assert_ne!(whole, seeded_bytes(8, 0, 100));
    }
}
