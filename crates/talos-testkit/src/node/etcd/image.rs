//! A database file of etcd: laid out as bbolt lays it out, with made-up contents of any size.
//!
//! Pages of 4 KiB: two meta pages, an empty free list, the root, and one leaf of bucket `key` that goes on
//! over all other pages and holds a single revision of a single key with a long random value. Programs that
//! open snapshots find one revision and one key.

use bytes::Bytes;

use crate::node::files::entry::seeded_bytes;

const PAGE: u64 = 4096;
/// Meta, meta, free list, root, bucket.
const FIXED_PAGES: u64 = 5;
const LEAF: u16 = 0x02;
const META: u16 = 0x04;
const FREE_LIST: u16 = 0x10;
/// Where the long value ends the fixed part: everything before it is written out.
const KEY: &[u8] = b"/sim/filler";

/// A database of `pages` pages made from `seed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DatabaseImage {
    seed: u64,
    pages: u64,
}

impl DatabaseImage {
    /// A database of at least `size` bytes, in whole pages.
    pub(crate) fn new(seed: u64, size: u64) -> Self {
        Self {
            seed,
            pages: size.div_ceil(PAGE).max(FIXED_PAGES),
        }
    }

    pub(crate) const fn len(&self) -> u64 {
        self.pages * PAGE
    }

    /// `length` bytes from `offset`, all within the database.
    pub(crate) fn read_at(&self, offset: u64, length: usize) -> Bytes {
        if offset >= FIXED_PAGES * PAGE {
            return seeded_bytes(self.seed, offset, length);
        }
        let head = self.head();
        let Some(rest) = usize::try_from(offset).ok().and_then(|at| head.get(at..)) else {
            return seeded_bytes(self.seed, offset, length);
        };
        let written = rest.len().min(length);
        let mut bytes = rest[..written].to_vec();
        bytes.extend_from_slice(&seeded_bytes(self.seed, head.len() as u64, length - written));
        bytes.into()
    }

    /// Everything up to the random value.
    fn head(&self) -> Vec<u8> {
        let page = PAGE as usize;
        let mut head = vec![0; 4 * page];
        for (number, transaction) in [(0, 2), (1, 1)] {
            let at = number * page;
            head[at..at + 16].copy_from_slice(&page_header(number as u64, META, 0, 0));
            head[at + 16..at + 80].copy_from_slice(&self.meta(transaction));
        }
        head[2 * page..2 * page + 16].copy_from_slice(&page_header(2, FREE_LIST, 0, 0));
        let root = [
            page_header(3, LEAF, 1, 0).as_slice(),
            // A bucket: flag 1, its name and its header 16 bytes further on.
            &leaf_element(1, 16, 3, 16),
            b"key",
            &4_u64.to_le_bytes(),
            &0_u64.to_le_bytes(),
        ]
        .concat();
        head[3 * page..3 * page + root.len()].copy_from_slice(&root);
        head.extend_from_slice(&self.bucket());
        head
    }

    /// The beginning of the bucket's only leaf, up to the value's random part.
    fn bucket(&self) -> Vec<u8> {
        let overflow = u32::try_from(self.pages - FIXED_PAGES).unwrap_or(u32::MAX);
        let key = [&2_u64.to_be_bytes()[..], b"_", &0_u64.to_be_bytes()].concat();
        let room = (self.pages - FIXED_PAGES + 1) * PAGE - 16 - 16 - key.len() as u64;
        // The value is a revision of a key: key, created and modified in revision 2, version 1, value.
        let mut value = vec![0x0a, KEY.len() as u8];
        value.extend_from_slice(KEY);
        value.extend_from_slice(&[0x10, 2, 0x18, 2, 0x20, 1, 0x2a]);
        // The length of the length depends on the length; it settles after a step.
        let mut digits = 1;
        let length = loop {
            let length = room - value.len() as u64 - digits;
            let needed = varint(length).len() as u64;
            if needed <= digits {
                break length;
            }
            digits = needed;
        };
        value.extend_from_slice(&varint(length));
        let size = value.len() as u64 + length;
        [
            page_header(4, LEAF, 1, overflow).as_slice(),
            &leaf_element(0, 16, key.len() as u32, u32::try_from(size).unwrap_or(u32::MAX)),
            &key,
            &value,
        ]
        .concat()
    }

    fn meta(&self, transaction: u64) -> Vec<u8> {
        let mut meta = Vec::with_capacity(64);
        for word in [0xed0c_daed_u32, 2, PAGE as u32, 0] {
            meta.extend_from_slice(&word.to_le_bytes());
        }
        // Root page, sequence, free list page, number of pages, transaction.
        for word in [3, 0, 2, self.pages, transaction] {
            meta.extend_from_slice(&word.to_le_bytes());
        }
        let checksum = meta.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        meta.extend_from_slice(&checksum.to_le_bytes());
        meta
    }
}

fn page_header(number: u64, flags: u16, count: u16, overflow: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[..8].copy_from_slice(&number.to_le_bytes());
    header[8..10].copy_from_slice(&flags.to_le_bytes());
    header[10..12].copy_from_slice(&count.to_le_bytes());
    header[12..].copy_from_slice(&overflow.to_le_bytes());
    header
}

/// Flags, distance from the element to its key, and the sizes of key and value.
fn leaf_element(flags: u32, position: u32, key: u32, value: u32) -> [u8; 16] {
    let mut element = [0; 16];
    for (index, word) in [flags, position, key, value].into_iter().enumerate() {
        element[4 * index..4 * index + 4].copy_from_slice(&word.to_le_bytes());
    }
    element
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn the_layout_leads_from_meta_to_the_only_key_and_fills_the_file() {
        for size in [0, 20_480, 20_481, 40_960, 3 << 20] {
            let image = DatabaseImage::new(1, size);
            let bytes = image.read_at(0, usize::try_from(image.len()).unwrap());
            assert_eq!(bytes.len() as u64 % PAGE, 0);
            assert!(bytes.len() as u64 >= size);
            assert_eq!(word(&bytes, 16) as u32, 0xed0c_daed);
            assert_eq!(
                word(&bytes, 16 + 40) * PAGE,
                bytes.len() as u64,
                "high water mark"
            );
            let root = word(&bytes, 32) as usize * 4096;
            assert_eq!(&bytes[root + 32..root + 35], b"key");
            let leaf = word(&bytes, root + 35) as usize * 4096;
            let overflow = u32::from_le_bytes(bytes[leaf + 12..leaf + 16].try_into().unwrap()) as usize;
            assert_eq!(leaf + (overflow + 1) * 4096, bytes.len());
            let sizes = word(&bytes, leaf + 24);
            let (key, value) = (sizes as u32 as usize, (sizes >> 32) as usize);
            assert!(bytes.len() - (leaf + 32 + key + value) <= 1, "{size}");
        }
    }

    #[test]
    fn pieces_are_parts_of_the_whole() {
        let image = DatabaseImage::new(9, 40_000);
        let whole = image.read_at(0, usize::try_from(image.len()).unwrap());
        for (offset, length) in [(0, 10), (4000, 200), (16_380, 100), (20_000, 1024)] {
            assert_eq!(
                image.read_at(offset as u64, length),
                whole[offset..offset + length],
                "{offset}"
            );
        }
        assert_ne!(whole, DatabaseImage::new(8, 40_000).read_at(0, whole.len()));
    }
}
