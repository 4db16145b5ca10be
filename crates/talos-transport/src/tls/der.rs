//! The few facts we want from a certificate, read with a DER walk of our own: an X.509 library would add a fifth
//! to the crates a small program compiles.

use std::time::{Duration, SystemTime};

use super::time::days_since_epoch;

/// Validity and subject of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    not_before: SystemTime,
    not_after: SystemTime,
    organizations: Vec<String>,
    common_name: Option<String>,
}

impl CertificateFacts {
    /// When the certificate becomes valid.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// When the certificate stops being valid. Talos's client certificates last a year by default.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// The organizations of the subject. In a Talos client certificate these are its roles, such as `os:admin`.
    pub fn organizations(&self) -> &[String] {
        &self.organizations
    }

    /// The common name of the subject. Talos client certificates have none.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// Reads a DER-encoded certificate; `None` if it is not one.
    pub(crate) fn parse(der: &[u8]) -> Option<Self> {
        let mut certificate = Reader(Reader(der).expect(SEQUENCE)?);
        let mut tbs = Reader(certificate.expect(SEQUENCE)?);
        let (tag, _) = tbs.any()?;
        if tag == EXPLICIT_VERSION {
            tbs.expect(INTEGER)?;
        } else if tag != INTEGER {
            return None;
        }
        tbs.expect(SEQUENCE)?; // signature algorithm
        tbs.expect(SEQUENCE)?; // issuer
        let mut validity = Reader(tbs.expect(SEQUENCE)?);
        let not_before = time(validity.any()?)?;
        let not_after = time(validity.any()?)?;
        let mut organizations = Vec::new();
        let mut common_name = None;
        let mut subject = Reader(tbs.expect(SEQUENCE)?);
        while !subject.0.is_empty() {
            let mut set = Reader(subject.expect(SET)?);
            while !set.0.is_empty() {
                let mut attribute = Reader(set.expect(SEQUENCE)?);
                let oid = attribute.expect(OBJECT_IDENTIFIER)?;
                let (tag, value) = attribute.any()?;
                let text = || {
                    STRINGS
                        .contains(&tag)
                        .then(|| String::from_utf8_lossy(value).into_owned())
                };
                match oid {
                    ORGANIZATION => organizations.extend(text()),
                    COMMON_NAME => common_name = text(),
                    _ => {}
                }
            }
        }
        Some(Self {
            not_before,
            not_after,
            organizations,
            common_name,
        })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element: its tag and its contents.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            let bytes = usize::from(first & 0x7f);
            if bytes == 0 || bytes > 4 || bytes > rest.len() {
                return None;
            }
            let (digits, after) = rest.split_at(bytes);
            length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            rest = after;
        }
        if length > rest.len() {
            return None;
        }
        let (contents, after) = rest.split_at(length);
        self.0 = after;
        Some((tag, contents))
    }

    fn expect(&mut self, expected: u8) -> Option<&'a [u8]> {
        self.any()
            .and_then(|(tag, contents)| (tag == expected).then_some(contents))
    }
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time((tag, text): (u8, &[u8])) -> Option<SystemTime> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| -> Option<u64> {
        Some(
            digits
                .get(range)?
                .iter()
                .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')),
        )
    };
    let (year, at) = match (tag, digits.len()) {
        // RFC 5280: two-digit years below 50 belong to this century.
        (UTC_TIME, 12) => (
            number(0..2).map(|year| if year < 50 { 2000 + year } else { 1900 + year })?,
            2,
        ),
        (GENERALIZED_TIME, 14) => (number(0..4)?, 4),
        _ => return None,
    };
    let (month, day) = (number(at..at + 2)?, number(at + 2..at + 4)?);
    let (hour, minute, second) = (
        number(at + 4..at + 6)?,
        number(at + 6..at + 8)?,
        number(at + 8..at + 10)?,
    );
    if year < 1970
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let seconds = (days_since_epoch(year, month, day) * 24 + hour) * 3600 + minute * 60 + second;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const EXPLICIT_VERSION: u8 = 0xa0;
/// UTF8String, PrintableString, T61String, IA5String.
const STRINGS: [u8; 4] = [0x0c, 0x13, 0x14, 0x16];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tls::pem;

    fn real() -> Vec<u8> {
        let text = include_bytes!("../../tests/data/fingerprint.pem");
        pem::certificates(text).unwrap().remove(0).to_vec()
    }

    #[test]
    fn reads_a_certificate_made_by_another_program() {
        let facts = CertificateFacts::parse(&real()).unwrap();
        assert_eq!(facts.common_name(), Some("maintenance-service.talos.dev"));
        assert!(facts.organizations().is_empty());
        let days = facts
            .not_after()
            .duration_since(facts.not_before())
            .unwrap()
            .as_secs()
            / 86_400;
        assert_eq!(days, 36_500);
    }

    #[test]
    fn reads_both_forms_of_time() {
        let seconds = |tag, text: &[u8]| {
            time((tag, text)).map(|time| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
        };
        assert_eq!(seconds(UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(seconds(UTC_TIME, b"491231235959Z"), Some(2_524_607_999));
        assert_eq!(seconds(GENERALIZED_TIME, b"20500101000000Z"), Some(2_524_608_000));
        assert_eq!(
            seconds(GENERALIZED_TIME, b"99991231235959Z"),
            Some(253_402_300_799)
        );
        for (tag, text) in [
            (UTC_TIME, &b"20500101000000Z"[..]),
            (UTC_TIME, b"700101000000"),
            (UTC_TIME, b"70010100000xZ"),
            (UTC_TIME, b"700001000000Z"),
            (UTC_TIME, b"500101000000Z"),
            (GENERALIZED_TIME, b"20501301000000Z"),
            (INTEGER, b"700101000000Z"),
        ] {
            assert_eq!(seconds(tag, text), None, "{tag} {text:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(bytes: Vec<u8>) {
            let _ = CertificateFacts::parse(&bytes);
            let _ = pem::certificates(&bytes);
            let _ = pem::private_key(&bytes);
        }

        #[test]
        fn damaged_certificates_do_no_harm(at in 0..400_usize, byte: u8, length in 0..400_usize) {
            let mut der = real();
            let at = at % der.len();
            der[at] = byte;
            let _ = CertificateFacts::parse(&der);
            let _ = CertificateFacts::parse(&der[..length.min(der.len())]);
        }

        #[test]
        fn damaged_pem_does_no_harm(at in 0..600_usize, byte: u8) {
            let mut text = include_bytes!("../../tests/data/fingerprint.pem").to_vec();
            let at = at % text.len();
            text[at] = byte;
            let _ = pem::certificates(&text);
            let text = String::from_utf8_lossy(&text).replace("CERTIFICATE", "PRIVATE KEY");
            let _ = pem::private_key(text.as_bytes());
        }
    }
}
