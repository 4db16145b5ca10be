//! The few pieces of DER that certificates and keys need.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_ID: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// `[n]` of an explicit or constructed field.
pub(crate) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// `[n]` of an implicit primitive field.
pub(crate) const fn context_primitive(number: u8) -> u8 {
    0x80 | number
}

/// One element: tag, length, contents.
pub(crate) fn element(tag: u8, contents: impl AsRef<[u8]>) -> Vec<u8> {
    let contents = contents.as_ref();
    let mut out = vec![tag];
    match contents.len() {
        short @ 0..0x80 => out.push(short as u8),
        long => {
            let bytes = long.to_be_bytes();
            let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
            out.push(0x80 | significant.len() as u8);
            out.extend_from_slice(significant);
        }
    }
    out.extend_from_slice(contents);
    out
}

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    element(SEQUENCE, parts.concat())
}

/// A `SET OF`: DER wants the elements sorted by their encoding.
pub(crate) fn set_of(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    parts.sort();
    element(SET, parts.concat())
}

/// A positive integer from big-endian bytes.
pub(crate) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let mut contents = Vec::with_capacity(significant.len() + 1);
    if significant.first().is_none_or(|first| first & 0x80 != 0) {
        contents.push(0);
    }
    contents.extend_from_slice(significant);
    element(INTEGER, contents)
}

/// A bit string of whole bytes.
pub(crate) fn bits(bytes: &[u8]) -> Vec<u8> {
    let mut contents = vec![0];
    contents.extend_from_slice(bytes);
    element(BIT_STRING, contents)
}

/// A named bit list, trailing zero bits removed as DER wants; `flags` is most significant bit first.
pub(crate) fn flags(flags: u8) -> Vec<u8> {
    if flags == 0 {
        element(BIT_STRING, [0])
    } else {
        element(BIT_STRING, [flags.trailing_zeros() as u8, flags])
    }
}

/// An object identifier from its encoded contents.
pub(crate) fn oid(encoded: &[u8]) -> Vec<u8> {
    element(OBJECT_ID, encoded)
}

/// `PrintableString` where the text allows it, else `UTF8String`.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let printable = |byte: u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte);
    element(
        if text.bytes().all(printable) {
            PRINTABLE_STRING
        } else {
            UTF8_STRING
        },
        text,
    )
}

/// Walks the elements of one constructed value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(contents: &'a [u8]) -> Self {
        Self { rest: contents }
    }

    /// The next element; `None` at the end and on malformed input.
    pub(crate) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.rest.split_first_chunk::<2>()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (
                length.iter().try_fold(0_usize, |sum, byte| {
                    sum.checked_mul(256)?.checked_add(usize::from(*byte))
                })?,
                rest,
            )
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((tag, contents))
    }

    /// The contents of the next element, which must carry `tag`.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(found, _)| *found == tag)
            .map(|(_, contents)| contents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lengths_round_trip() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x1_0000] {
            let encoded = element(OCTET_STRING, vec![7; length]);
            let mut reader = Reader::new(&encoded);
            assert_eq!(
                reader.expect(OCTET_STRING).map(<[u8]>::len),
                Some(length),
                "{length}"
            );
            assert_eq!(reader.next(), None);
        }
    }

    #[test]
    fn integers_stay_positive_and_minimal() {
        assert_eq!(unsigned(&[0, 0, 5]), [2, 1, 5]);
        assert_eq!(unsigned(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[0]), [2, 1, 0]);
    }

    #[test]
    fn truncated_input_ends_the_walk() {
        assert_eq!(Reader::new(&[0x30, 5, 1]).next(), None);
        assert_eq!(Reader::new(&[0x30, 0x84, 1]).next(), None);
        assert_eq!(Reader::new(&[0x30]).next(), None);
    }
}
