//! The headers of a tar, without I/O.

use super::super::FileKind;

/// What an entry of an archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file.
    Regular,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Another name of an earlier entry.
    HardLink,
    /// A device, pipe, or something else without contents.
    Other(u8),
}

impl EntryKind {
    /// The same as in listings; `None` where those know no such kind.
    pub fn file_kind(self) -> Option<FileKind> {
        Some(match self {
            Self::Regular => FileKind::Regular,
            Self::Directory => FileKind::Directory,
            Self::Symlink => FileKind::Symlink,
            Self::Other(b'3') => FileKind::CharDevice,
            Self::Other(b'4') => FileKind::BlockDevice,
            Self::Other(b'6') => FileKind::Fifo,
            Self::HardLink | Self::Other(_) => return None,
        })
    }
}

/// What a block of a tar says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// The end of the archive.
    End,
    Entry(Header),
    /// Data that are about the next entry, or about nothing we know.
    Special(Special, u64),
}

/// What data before an entry say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// Attributes that replace those of the header.
    Pax,
    /// The same for all entries that follow; of no use here.
    PaxGlobal,
    /// GNU: the path.
    LongPath,
    /// GNU: the target of a link.
    LongLink,
}

/// An entry of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: EntryKind,
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) size: u64,
    /// Unix time, in seconds.
    pub(super) modified: i64,
}

impl Default for EntryKind {
    fn default() -> Self {
        Self::Other(0)
    }
}

/// What makes a header none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("the checksum of an entry's header is wrong")]
    Checksum,
    #[error("a number in an entry's header is none, or too large")]
    Number,
    #[error("the attributes of an entry are malformed")]
    Pax,
    #[error("the name of an entry is longer than 1 MiB")]
    TooLong,
}

pub(super) const BLOCK: usize = 512;

impl Block {
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self, HeaderError> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(Self::End);
        }
        check(block)?;
        let size = number(&block[124..136])?;
        let flag = block[156];
        let special = match flag {
            b'x' => Some(Special::Pax),
            b'g' => Some(Special::PaxGlobal),
            b'L' => Some(Special::LongPath),
            b'K' => Some(Special::LongLink),
            _ => None,
        };
        if let Some(special) = special {
            return Ok(Self::Special(special, size));
        }
        let mut path = text(&block[..100]).to_vec();
        // GNU has other things in the place of the prefix.
        let prefix = text(&block[345..500]);
        if &block[257..263] == b"ustar\0" && !prefix.is_empty() {
            path = [prefix, b"/", &path].concat();
        }
        let kind = match flag {
            b'0' | 0 | b'7' if path.ends_with(b"/") => EntryKind::Directory,
            b'0' | 0 | b'7' => EntryKind::Regular,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'5' => EntryKind::Directory,
            other => EntryKind::Other(other),
        };
        Ok(Self::Entry(Header {
            kind,
            path,
            link: text(&block[157..257]).to_vec(),
            mode: u32::try_from(number(&block[100..108])?).map_err(|_| HeaderError::Number)?,
            size,
            modified: number(&block[136..148])?
                .try_into()
                .map_err(|_| HeaderError::Number)?,
        }))
    }
}

impl Header {
    /// How many bytes of contents follow. Links, folders, devices and pipes have none, whatever they say.
    pub(super) fn contents(&self) -> u64 {
        match self.kind {
            EntryKind::Directory | EntryKind::Symlink | EntryKind::HardLink => 0,
            EntryKind::Other(b'3' | b'4' | b'6') => 0,
            EntryKind::Regular | EntryKind::Other(_) => self.size,
        }
    }
}

/// The sum of all bytes, with blanks in place of the sum itself. Some old programs added bytes with a sign.
fn check(block: &[u8; BLOCK]) -> Result<(), HeaderError> {
    let said = number(&block[148..156])?;
    let mut unsigned = 0_u64;
    let mut signed = 0_i64;
    for (position, byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&position) {
            b' '
        } else {
            *byte
        };
        unsigned += u64::from(byte);
        signed += i64::from(i8::from_ne_bytes([byte]));
    }
    if said == unsigned || i64::try_from(said) == Ok(signed) {
        Ok(())
    } else {
        Err(HeaderError::Checksum)
    }
}

/// Octal digits between blanks and zeros, or a binary number that is marked by its first bit.
fn number(field: &[u8]) -> Result<u64, HeaderError> {
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        let mut value = 0_u64;
        for (position, byte) in field.iter().enumerate() {
            // The mark; with the next bit it would be a number below zero.
            let byte = if position == 0 { byte & 0x7f } else { *byte };
            if value > u64::MAX >> 8 {
                return Err(HeaderError::Number);
            }
            value = value << 8 | u64::from(byte);
        }
        return if value > i64::MAX.unsigned_abs() {
            Err(HeaderError::Number)
        } else {
            Ok(value)
        };
    }
    let blank = |byte: &u8| *byte == b' ' || *byte == 0;
    let begin = field.iter().position(|byte| !blank(byte)).unwrap_or(field.len());
    let digits = &field[begin..];
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    let mut value = 0_u64;
    for digit in &digits[..end] {
        if !(b'0'..=b'7').contains(digit) {
            return Err(HeaderError::Number);
        }
        value = value << 3 | u64::from(digit - b'0');
    }
    Ok(value)
}

/// Up to the first zero.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header by the `tar` crate.
    pub(in super::super) fn header(path: &str, kind: tar::EntryType, size: u64) -> [u8; BLOCK] {
        let mut header = tar::Header::new_ustar();
        header.set_path(path).expect("a path");
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o640);
        header.set_mtime(1_700_000_000);
        header.set_cksum();
        *header.as_bytes()
    }

    #[test]
    fn headers_of_another_writer_are_read() {
        let Ok(Block::Entry(read)) = Block::parse(&header("etc/os-release", tar::EntryType::Regular, 3000))
        else {
            panic!("an entry");
        };
        assert_eq!(
            (read.kind, &read.path[..], read.size, read.mode, read.modified),
            (
                EntryKind::Regular,
                &b"etc/os-release"[..],
                3000,
                0o640,
                1_700_000_000
            )
        );
        let long = format!("{}/{}", "a".repeat(120), "b".repeat(90));
        let Ok(Block::Entry(read)) = Block::parse(&header(&long, tar::EntryType::Directory, 0)) else {
            panic!("an entry");
        };
        assert_eq!((read.kind, read.path), (EntryKind::Directory, long.into_bytes()));
        assert_eq!(Block::parse(&[0; BLOCK]), Ok(Block::End));
    }

    #[test]
    fn a_number_may_be_binary_and_not_below_zero() {
        let mut field = [0_u8; 12];
        field[0] = 0x80;
        field[4..].copy_from_slice(&(10_u64 << 30).to_be_bytes());
        assert_eq!(number(&field), Ok(10 << 30));
        assert_eq!(number(&[0xff; 12]), Err(HeaderError::Number));
        assert_eq!(number(b"00000001750\0"), Ok(0o1750));
        assert_eq!(number(b"   1750 \0\0\0\0"), Ok(0o1750));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0\0\0\0\0"), Ok(0));
        assert_eq!(number(b"00000008000\0"), Err(HeaderError::Number));
        assert_eq!(number(b"-0000000001\0"), Err(HeaderError::Number));
    }

    proptest! {
        #[test]
        fn garbage_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), BLOCK)) {
            let block: [u8; BLOCK] = bytes.try_into().expect("a block");
            let _ = Block::parse(&block);
        }

        #[test]
        fn a_changed_bit_is_found(position in 0_usize..148, bit in 0_u8..8) {
            let mut block = header("etc/os-release", tar::EntryType::Regular, 3000);
            block[position] ^= 1 << bit;
            prop_assert!(Block::parse(&block).is_err());
        }
    }
}
