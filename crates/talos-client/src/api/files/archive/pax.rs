//! Attributes before an entry, without I/O.

use super::header::{Header, HeaderError};

/// What was said before an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Overrides {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    size: Option<u64>,
    modified: Option<i64>,
}

impl Overrides {
    /// Reads records of the form `LENGTH KEY=VALUE\n`, where the length covers all of it.
    pub(super) fn read_pax(&mut self, mut records: &[u8]) -> Result<(), HeaderError> {
        while !records.is_empty() {
            let blank = records
                .iter()
                .position(|byte| *byte == b' ')
                .ok_or(HeaderError::Pax)?;
            let length: usize = digits(&records[..blank])?;
            let record = records.get(blank + 1..length).ok_or(HeaderError::Pax)?;
            let record = record.strip_suffix(b"\n").ok_or(HeaderError::Pax)?;
            let equals = record
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or(HeaderError::Pax)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.path = Some(name(value)?),
                b"linkpath" => self.link = Some(name(value)?),
                b"size" => {
                    let size: u64 = digits(value)?;
                    self.size = Some(size).filter(|size| i64::try_from(*size).is_ok());
                    self.size.ok_or(HeaderError::Number)?;
                }
                b"mtime" => {
                    let (negative, value) = match value.strip_prefix(b"-") {
                        Some(value) => (true, value),
                        None => (false, value),
                    };
                    let end = value.iter().position(|byte| *byte == b'.').unwrap_or(value.len());
                    let seconds: i64 = digits(&value[..end])?;
                    self.modified = Some(if negative { -seconds } else { seconds });
                }
                _ => {}
            }
            records = &records[length..];
        }
        Ok(())
    }

    /// Replaces what the header says.
    pub(super) fn apply(self, header: &mut Header) {
        if let Some(path) = self.path.filter(|path| !path.is_empty()) {
            header.path = path;
        }
        if let Some(link) = self.link {
            header.link = link;
        }
        header.size = self.size.unwrap_or(header.size);
        header.modified = self.modified.unwrap_or(header.modified);
    }
}

/// A name has no zero byte in it.
fn name(value: &[u8]) -> Result<Vec<u8>, HeaderError> {
    if value.contains(&0) {
        return Err(HeaderError::Pax);
    }
    Ok(value.to_vec())
}

fn digits<T: std::str::FromStr>(text: &[u8]) -> Result<T, HeaderError> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(HeaderError::Pax);
    }
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(HeaderError::Number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(records: &[u8]) -> Result<Overrides, HeaderError> {
        let mut overrides = Overrides::default();
        overrides.read_pax(records).map(|()| overrides)
    }

    #[test]
    fn records_replace_the_header() {
        let record = |key: &str, value: &str| {
            let body = format!(" {key}={value}\n");
            let mut length = body.len() + 1;
            while length.to_string().len() + body.len() != length {
                length += 1;
            }
            format!("{length}{body}")
        };
        let text = [
            record("path", "ä/b c"),
            record("size", "5368709120"),
            record("mtime", "1700000000.123"),
            record("linkpath", "x=y"),
            record("SCHILY.xattr.user.a", "b"),
        ]
        .concat();
        let mut header = Header::default();
        read(text.as_bytes()).expect("records").apply(&mut header);
        assert_eq!(header.path, "ä/b c".as_bytes());
        assert_eq!(header.link, b"x=y");
        assert_eq!((header.size, header.modified), (5_368_709_120, 1_700_000_000));
    }

    #[test]
    fn records_that_lie_are_refused() {
        for records in [
            &b"x"[..],
            b"5 a=b",
            b"6 a=b\n\n",
            b"99 path=a\n",
            b"-6 a=b\n",
            b"6 abc\n",
            b"0 a=b\n",
            b"1 a=b\n",
            b"11 path=\0a\n",
            b"28 size=99999999999999999999\n",
            b"11 size=-1\n",
            b"99999999999999999999999 a=b\n",
        ] {
            assert!(read(records).is_err(), "{:?}", String::from_utf8_lossy(records));
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
