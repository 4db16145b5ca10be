//! [`NoProxy`]: the endpoints a proxy is not used for, in the form of the variable `NO_PROXY`.

use std::net::{IpAddr, Ipv4Addr};

use crate::Endpoint;

/// What a `NO_PROXY` list says: endpoints that are reached without the proxy.
///
/// The list is separated by commas; white space around entries and their case do not matter.
///
/// | Entry | Excludes |
/// |---|---|
/// | `*` | every endpoint |
/// | `10.5.0.2`, `fd00::1`, `[fd00::1]` | this address |
/// | `10.5.0.0/16`, `fd00::/8` | the addresses of this network |
/// | `example.org` | this name and every name below it |
/// | `.example.org`, `*.example.org` | every name below it, but not the name itself |
/// | any of these but a network, with `:50000` | the same, on this port only |
///
/// `localhost` and loopback addresses are excluded whatever the list says, an empty one included. Names are compared as
/// they are written, nothing is resolved: an entry that is an address does not exclude a name that leads there. Entries
/// that are none of these are ignored, as everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoProxy {
    everything: bool,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    /// `None` is every port.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    /// Addresses with the first `prefix` bits of this one.
    Network { address: IpAddr, prefix: u8 },
    /// Names that end with `suffix`, which starts with a dot; and, if `itself`, the name after that dot.
    Names { suffix: String, itself: bool },
}

impl NoProxy {
    /// Reads a list.
    pub fn from_list(list: &str) -> Self {
        let mut read = Self::default();
        for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            if text == "*" {
                read.everything = true;
            } else if let Some(entry) = Entry::parse(text) {
                read.entries.push(entry);
            } else {
                tracing::debug!(entry = text, "this is no entry of a NO_PROXY list");
            }
        }
        read
    }

    /// Whether this endpoint is to be reached without the proxy. Always so for unix sockets.
    pub fn excludes(&self, endpoint: &Endpoint) -> bool {
        let (Some(host), Some(port)) = (endpoint.server_name(), endpoint.port()) else {
            return true;
        };
        let host = match endpoint.ip() {
            Some(address) => Target::Address(address.to_canonical()),
            None => Target::Name(host.to_ascii_lowercase()),
        };
        self.everything || host.is_local() || self.entries.iter().any(|entry| entry.covers(&host, port))
    }
}

/// The host of an endpoint.
enum Target {
    Address(IpAddr),
    /// In lower case, without the dot that may end it.
    Name(String),
}

impl Target {
    fn is_local(&self) -> bool {
        match self {
            Self::Address(address) => address.is_loopback(),
            Self::Name(name) => name == "localhost",
        }
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        if let Some((address, prefix)) = text.split_once('/') {
            let hosts = Hosts::network(address.parse().ok()?, prefix.parse().ok()?)?;
            return Some(Self { hosts, port: None });
        }
        let (host, port) = split_port(text)?;
        let hosts = match host.parse::<IpAddr>() {
            Ok(address) => Hosts::address(address),
            Err(_) => Hosts::names(host)?,
        };
        Some(Self { hosts, port })
    }

    fn covers(&self, host: &Target, port: u16) -> bool {
        self.port.is_none_or(|own| own == port) && self.hosts.cover(host)
    }
}

impl Hosts {
    fn address(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self::Network {
            address,
            prefix: bits(address),
        }
    }

    fn network(address: IpAddr, prefix: u8) -> Option<Self> {
        if prefix > bits(address) {
            return None;
        }
        let canonical = address.to_canonical();
        // An IPv4 network in IPv6 clothes, `::ffff:10.0.0.0/104`.
        let clothes = bits(address) - bits(canonical);
        match prefix.checked_sub(clothes) {
            Some(prefix) => Some(Self::Network {
                address: canonical,
                prefix,
            }),
            None => Some(Self::Network { address, prefix }),
        }
    }

    fn names(host: &str) -> Option<Self> {
        let host = host
            .strip_prefix('*')
            .filter(|rest| rest.starts_with('.'))
            .unwrap_or(host);
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let itself = !host.starts_with('.');
        let suffix = if itself { format!(".{host}") } else { host };
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        (suffix.len() > 1 && suffix.bytes().all(legal)).then_some(Self::Names { suffix, itself })
    }

    fn cover(&self, host: &Target) -> bool {
        match (self, host) {
            (Self::Network { address, prefix }, Target::Address(host)) => match (address, host) {
                (IpAddr::V4(network), IpAddr::V4(host)) => {
                    same_bits(spread(*network), spread(*host), *prefix)
                }
                (IpAddr::V6(network), IpAddr::V6(host)) => {
                    same_bits(network.to_bits(), host.to_bits(), *prefix)
                }
                _ => false,
            },
            (Self::Names { suffix, itself }, Target::Name(name)) => {
                name.ends_with(suffix.as_str()) || (*itself && *name == suffix[1..])
            }
            _ => false,
        }
    }
}

/// Splits `host:port`; a colon inside a bare IPv6 address starts no port. Brackets are taken off.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) = inner.split_once(']')?;
            match rest {
                "" => (host, ""),
                rest => (host, rest.strip_prefix(':')?),
            }
        }
        None => match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => (text, ""),
            Some(parts) => parts,
            None => (text, ""),
        },
    };
    match port {
        "" => Some((host, None)),
        digits => digits.parse().ok().map(|port| (host, Some(port))),
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address in the upper bits, so that prefixes count from the same end as with IPv6.
fn spread(address: Ipv4Addr) -> u128 {
    u128::from(address.to_bits()) << 96
}

fn same_bits(one: u128, other: u128, prefix: u8) -> bool {
    let differing = (one ^ other).leading_zeros();
    differing >= u32::from(prefix)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn excludes(list: &str, endpoint: &str) -> bool {
        let endpoint: Endpoint = endpoint.parse().unwrap_or_else(|error| panic!("{error}"));
        NoProxy::from_list(list).excludes(&endpoint)
    }

    #[test]
    fn follows_the_rules_of_the_list() {
        let cases: [(&str, &[&str], &[&str]); 24] = [
            // (list, without proxy, with proxy); endpoints have port 50000 where they name none.
            ("", &[], &["10.5.0.2", "example.org", "fd00::1"]),
            (" , ,", &[], &["10.5.0.2", "example.org"]),
            ("*", &["10.5.0.2", "example.org", "fd00::1"], &[]),
            ("unrelated.org, * ", &["10.5.0.2", "example.org"], &[]),
            (
                "10.5.0.2",
                &["10.5.0.2", "10.5.0.2:443"],
                &["10.5.0.3", "10.5.0.20"],
            ),
            ("10.5.0.2:443", &["10.5.0.2:443"], &["10.5.0.2", "10.5.0.3:443"]),
            ("10.5.0.2:", &["10.5.0.2", "10.5.0.2:443"], &["10.5.0.3"]),
            (
                "10.5.0.0/16",
                &["10.5.255.255", "10.5.0.0:443"],
                &["10.6.0.0", "::10.5.0.1"],
            ),
            ("10.5.9.9/16", &["10.5.0.2"], &["10.6.0.2"]),
            ("0.0.0.0/0", &["10.5.0.2"], &["fd00::1", "example.org"]),
            ("10.5.0.2/32", &["10.5.0.2"], &["10.5.0.3"]),
            (
                "fd00::1",
                &["fd00::1", "[fd00::1]:443", "fd00:0::0:1"],
                &["fd00::2"],
            ),
            ("[fd00::1]", &["fd00::1"], &["fd00::2"]),
            ("[FD00::1]:443", &["[fd00::1]:443"], &["fd00::1"]),
            ("fd00::/8", &["fdff::1", "fd00::1%eth0"], &["fe00::1", "10.5.0.2"]),
            ("::/0", &["fd00::1"], &["10.5.0.2"]),
            ("::ffff:10.5.0.2", &["10.5.0.2", "::ffff:10.5.0.2"], &["10.5.0.3"]),
            (
                "::ffff:10.5.0.0/112",
                &["10.5.0.2", "::ffff:10.5.9.9"],
                &["10.6.0.2"],
            ),
            (
                "example.org",
                &[
                    "example.org",
                    "cp.example.org",
                    "a.b.EXAMPLE.org",
                    "example.org.",
                    "example.org:1",
                ],
                &["badexample.org", "example.org.uk", "org"],
            ),
            (
                ".example.org",
                &["cp.example.org", "a.b.example.org"],
                &["example.org", "xexample.org"],
            ),
            (
                "*.Example.org",
                &["cp.example.org"],
                &["example.org", "xexample.org"],
            ),
            (
                "example.org:443, *.example.com:1",
                &["example.org:443", "cp.example.org:443", "cp.example.com:1"],
                &[
                    "example.org",
                    "cp.example.org:444",
                    "example.com:1",
                    "cp.example.com",
                ],
            ),
            (
                "first.org,10.5.0.0/16 , second.org",
                &["first.org", "10.5.0.2", "second.org"],
                &["third.org", "10.4.0.2"],
            ),
            // A name that looks like the end of an address is not compared with addresses.
            ("5.0.2, 0.2", &[], &["10.5.0.2"]),
        ];
        for (list, without, with) in cases {
            for endpoint in without {
                assert!(excludes(list, endpoint), "{list:?} should exclude {endpoint}");
            }
            for endpoint in with {
                assert!(
                    !excludes(list, endpoint),
                    "{list:?} should not exclude {endpoint}"
                );
            }
        }
    }

    #[test]
    fn this_machine_is_never_proxied() {
        for endpoint in [
            "localhost",
            "LocalHost:443",
            "localhost.",
            "127.0.0.1",
            "127.9.9.9:1",
            "::1",
            "::ffff:127.0.0.1",
            "unix:///run/machined.sock",
        ] {
            assert!(excludes("", endpoint), "{endpoint}");
        }
        assert!(!excludes("", "localhost.example.org"));
        assert!(!excludes("", "128.0.0.1"));
    }

    #[test]
    fn entries_that_make_no_sense_are_ignored() {
        let list = "10.0.0.0/33,fd00::/129,10.0.0.0/,/8,10.0.0.0/x,:50000,[fd00::1,[fd00::1]x,example.org:http,*,.,*.";
        let nonsense = list.replace(",*,", ",");
        assert_eq!(NoProxy::from_list(&nonsense), NoProxy::default());
        assert!(NoProxy::from_list(list).everything);
    }

    proptest! {
        #[test]
        fn any_list_can_be_read(list: String) {
            NoProxy::from_list(&list);
        }

        #[test]
        fn a_network_excludes_what_shares_its_prefix(network: u32, host: u32, prefix in 0_u8..=32) {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            let list = format!("{}/{prefix}", Ipv4Addr::from(network));
            let endpoint = Ipv4Addr::from(host).to_string();
            let expected = network & mask == host & mask || Ipv4Addr::from(host).is_loopback();
            prop_assert_eq!(excludes(&list, &endpoint), expected);
        }
    }
}
