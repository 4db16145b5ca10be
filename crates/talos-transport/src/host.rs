//! Host names and addresses as they appear in endpoints and node names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls_pki_types::DnsName;

/// A host: an IP address or a name, never with brackets and never with a port.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Host {
    /// Canonical text: addresses in their shortest form, names as they were given.
    text: Arc<str>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    V4,
    /// `zone_at` is where `%zone` starts in the text, if there is a zone.
    V6 {
        zone_at: Option<usize>,
    },
    Name,
}

/// Why a text is not a host; the caller adds what the text was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostError {
    Empty,
    IllegalCharacter(char),
    Ipv4,
    Ipv6,
    Zone,
    Name,
}

impl Host {
    /// Reads a host without port. IPv6 addresses may stand in brackets.
    pub(crate) fn parse(text: &str) -> Result<Self, HostError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(HostError::Ipv6)?;
            return if inner.is_empty() {
                Err(HostError::Empty)
            } else {
                Self::parse_v6(inner)
            };
        }
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if text.contains(':') {
            return Self::parse_v6(text);
        }
        check_characters(text)?;
        if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            let address: Ipv4Addr = text.parse().map_err(|_| HostError::Ipv4)?;
            return Ok(Self {
                text: address.to_string().into(),
                kind: Kind::V4,
            });
        }
        // The rules a TLS server name follows; anything else could be dialled but never verified.
        DnsName::try_from(text).map_err(|_| HostError::Name)?;
        Ok(Self {
            text: text.into(),
            kind: Kind::Name,
        })
    }

    /// Reads an IPv6 address without brackets, with or without `%zone`.
    pub(crate) fn parse_v6(text: &str) -> Result<Self, HostError> {
        let (address, zone) = match text.split_once('%') {
            Some((address, zone)) => (address, Some(zone)),
            None => (text, None),
        };
        let address: Ipv6Addr = address.parse().map_err(|_| match check_characters(text) {
            Err(error) => error,
            Ok(()) => HostError::Ipv6,
        })?;
        let mut canonical = address.to_string();
        let zone_at = zone.map(|_| canonical.len());
        if let Some(zone) = zone {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'~');
            if zone.is_empty() || !zone.bytes().all(allowed) {
                return Err(HostError::Zone);
            }
            canonical.push('%');
            canonical.push_str(zone);
        }
        Ok(Self {
            text: canonical.into(),
            kind: Kind::V6 { zone_at },
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The host without its zone: what certificates and authorities name.
    pub(crate) fn without_zone(&self) -> &str {
        match self.kind {
            Kind::V6 { zone_at: Some(at) } => &self.text[..at],
            _ => &self.text,
        }
    }

    /// The address, for hosts that are one. The zone of a scoped address is not part of it.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self.kind {
            Kind::Name => None,
            Kind::V4 | Kind::V6 { .. } => self.without_zone().parse().ok(),
        }
    }

    pub(crate) fn is_v6(&self) -> bool {
        matches!(self.kind, Kind::V6 { .. })
    }
}

fn check_characters(text: &str) -> Result<(), HostError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%' | '[' | ']');
    match text.chars().find(|c| !legal(*c)) {
        Some(c) => Err(HostError::IllegalCharacter(c)),
        None => Ok(()),
    }
}
