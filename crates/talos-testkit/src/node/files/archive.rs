//! A `.tar.gz` of a part of the tree, made while it is read.

use std::io::Write as _;

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::entry::{Entry, Kind};
use super::source::Source;
use super::walk::Item;

const BLOCK: usize = 512;
/// How much of a file is compressed in one step.
const STEP: usize = 32 << 10;
/// A file of a pseudo file system has size 0 and is read to see whether it is smaller than this.
pub(crate) const PSEUDO_LIMIT: usize = 4096;

/// An archive that is being written.
pub(crate) struct Archive {
    items: std::vec::IntoIter<(Item, Option<Source>)>,
    current: Option<Reading>,
    /// `None` when everything has been written.
    gzip: Option<GzEncoder<Vec<u8>>>,
    ready: BytesMut,
    /// Why the archive cannot take any more entries.
    broken: Option<String>,
    skipped: Vec<String>,
}

/// The file whose contents are being written.
struct Reading {
    source: Source,
    offset: u64,
    /// What the header says.
    size: u64,
}

impl Archive {
    /// An archive of `items`, regular files with what they hold.
    pub(crate) fn new(items: Vec<(Item, Option<Source>)>) -> Self {
        Self {
            items: items.into_iter(),
            current: None,
            gzip: Some(GzEncoder::new(Vec::new(), Compression::fast())),
            ready: BytesMut::new(),
            broken: None,
            skipped: Vec::new(),
        }
    }

    /// The next piece of at most `limit` bytes; `None` at the end.
    pub(crate) fn piece(&mut self, limit: usize) -> Option<Bytes> {
        while self.ready.len() < limit && self.gzip.is_some() {
            self.step();
        }
        let length = self.ready.len().min(limit);
        (length > 0).then(|| self.ready.split_to(length).freeze())
    }

    /// One line for each entry that is not in the archive.
    pub(crate) fn skipped(&self) -> &[String] {
        &self.skipped
    }

    fn step(&mut self) {
        if let Some(reading) = self.current.take() {
            self.contents(reading);
        } else if let Some((item, source)) = self.items.next() {
            self.entry(&item, source);
        } else {
            if self.broken.is_none() {
                self.write(&[0; 2 * BLOCK]);
            }
            // Writing into memory cannot fail.
            let rest = self.gzip.take().and_then(|gzip| gzip.finish().ok());
            self.ready.extend_from_slice(&rest.unwrap_or_default());
        }
    }

    fn entry(&mut self, item: &Item, source: Option<Source>) {
        let Item { path, entry, .. } = item;
        let reason = self.broken.clone().or_else(|| {
            entry
                .unreadable
                .as_ref()
                .map(|reason| format!("open {path}: {reason}"))
        });
        if let Some(reason) = reason {
            self.skipped.push(format!("skipping \"{path}\": {reason}"));
            return;
        }
        let size = source
            .as_ref()
            .map_or(0, |source| archived_size(path, entry, source));
        for block in headers(item, size) {
            self.write(&block);
        }
        self.current = source.map(|source| Reading {
            source,
            offset: 0,
            size,
        });
    }

    fn contents(&mut self, mut reading: Reading) {
        let rest = reading.size - reading.offset;
        let limit = usize::try_from(rest).unwrap_or(usize::MAX).min(STEP);
        let piece = reading.source.read_at(reading.offset, limit);
        self.write(&piece);
        reading.offset += piece.len() as u64;
        if reading.offset == reading.size {
            let padding = reading.size.next_multiple_of(BLOCK as u64) - reading.size;
            self.write(&[0; BLOCK][..usize::try_from(padding).unwrap_or_default()]);
        } else if piece.is_empty() {
            // Go's writer notices at the next header and never recovers.
            let missing = reading.size - reading.offset;
            self.broken = Some(format!("archive/tar: missed writing {missing} bytes"));
        } else {
            self.current = Some(reading);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let Some(gzip) = &mut self.gzip else {
            return;
        };
        // Writing into memory cannot fail.
        let _written = gzip.write_all(bytes);
        self.ready.extend_from_slice(gzip.get_ref());
        gzip.get_mut().clear();
    }
}

/// The size in the header: what `stat` says, and for pseudo files what they hold, if that is little.
fn archived_size(path: &str, entry: &Entry, source: &Source) -> u64 {
    if let Some(claimed) = entry.claimed_size {
        return claimed;
    }
    if !is_pseudo(path) {
        return source.len();
    }
    if source.len() < PSEUDO_LIMIT as u64 {
        source.len()
    } else {
        0
    }
}

/// Whether files there have size 0, whatever they hold.
pub(crate) fn is_pseudo(path: &str) -> bool {
    path.starts_with("/proc/") || path.starts_with("/sys/fs/cgroup/")
}

/// The header of an entry, after one for a long name where that is needed.
fn headers(item: &Item, size: u64) -> Vec<Vec<u8>> {
    let Entry { kind, mode, .. } = &item.entry;
    let mut name = item.relative.clone();
    let (flag, target, (major, minor)) = match kind {
        Kind::Directory => {
            name.push('/');
            (b'5', "", (0, 0))
        }
        Kind::Regular(_) => (b'0', "", (0, 0)),
        Kind::Symlink(target) => (b'2', target.as_str(), (0, 0)),
        Kind::CharDevice { major, minor } => (b'3', "", (*major, *minor)),
        Kind::BlockDevice { major, minor } => (b'4', "", (*major, *minor)),
        Kind::Pipe | Kind::Socket => (b'6', "", (0, 0)),
    };
    let mut records = Vec::new();
    if name.len() > 100 {
        pax_record(&mut records, "path", &name);
    }
    if target.len() > 100 {
        pax_record(&mut records, "linkpath", target);
    }
    let mut blocks = Vec::new();
    if !records.is_empty() {
        let fields = Header {
            name: "PaxHeaders.0/entry",
            mode: 0o644,
            size: records.len() as u64,
            flag: b'x',
            ..Header::default()
        };
        blocks.push(fields.block());
        records.resize(records.len().next_multiple_of(BLOCK), 0);
        blocks.push(records);
    }
    let fields = Header {
        name: &name,
        mode: *mode,
        uid: item.entry.uid,
        gid: item.entry.gid,
        size,
        modified: item.entry.modified,
        flag,
        target,
        major,
        minor,
    };
    blocks.push(fields.block());
    blocks
}

/// Appends `length key=value\n`, where the length counts itself.
fn pax_record(records: &mut Vec<u8>, key: &str, value: &str) {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    records.extend_from_slice(format!("{length}{rest}").as_bytes());
}

/// The fields of a header block.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Header<'a> {
    pub(crate) name: &'a str,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) modified: i64,
    pub(crate) flag: u8,
    pub(crate) target: &'a str,
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

impl Header<'_> {
    /// The block; names beyond 100 bytes are cut off.
    pub(crate) fn block(&self) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        let mut put = |at: usize, room: usize, text: &[u8]| {
            let length = text.len().min(room);
            block[at..at + length].copy_from_slice(&text[..length]);
        };
        put(0, 100, self.name.as_bytes());
        put(100, 8, format!("{:07o}\0", self.mode & 0o7777).as_bytes());
        put(108, 8, format!("{:07o}\0", self.uid).as_bytes());
        put(116, 8, format!("{:07o}\0", self.gid).as_bytes());
        put(124, 12, format!("{:011o}\0", self.size).as_bytes());
        put(136, 12, format!("{:011o}\0", self.modified.max(0)).as_bytes());
        put(148, 8, b"        ");
        put(156, 1, &[self.flag]);
        put(157, 100, self.target.as_bytes());
        put(257, 8, b"ustar\x0000");
        put(329, 8, format!("{:07o}\0", self.major).as_bytes());
        put(337, 8, format!("{:07o}\0", self.minor).as_bytes());
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}
