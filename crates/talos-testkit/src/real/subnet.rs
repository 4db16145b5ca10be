//! Addresses of the nodes.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::RealError;

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subnet {
    first: u32,
    prefix: u8,
}

impl Subnet {
    /// The networks that are tried when none is asked for: the one of `talosctl cluster create`, then more of
    /// that kind.
    pub(super) fn candidates() -> impl Iterator<Item = Self> {
        (0..64).map(|third| Self {
            first: u32::from(Ipv4Addr::new(10, 5, third, 0)),
            prefix: 24,
        })
    }

    /// The address of the node at `index`, control planes first. The first address after the network's own is
    /// the gateway.
    pub(super) fn node(self, index: usize) -> Ipv4Addr {
        let offset = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(2);
        Ipv4Addr::from(self.first.saturating_add(offset))
    }

    /// How many nodes fit: all addresses but those of the network, the gateway and the broadcast.
    pub(super) fn room(self) -> usize {
        usize::try_from((1_u64 << (32 - self.prefix)).saturating_sub(3)).unwrap_or(usize::MAX)
    }
}

impl FromStr for Subnet {
    type Err = RealError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let address: Ipv4Addr = address.parse().ok()?;
            let prefix = prefix.parse().ok().filter(|prefix| (8..=29).contains(prefix))?;
            let mask = u32::MAX << (32 - prefix);
            Some(Self {
                first: u32::from(address) & mask,
                prefix,
            })
        });
        parsed.ok_or_else(|| RealError::Subnet {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_follow_the_gateway() {
        let subnet: Subnet = "10.5.0.0/24".parse().unwrap();
        assert_eq!(subnet.node(0).to_string(), "10.5.0.2");
        assert_eq!(subnet.node(3).to_string(), "10.5.0.5");
        assert_eq!(subnet.room(), 253);
    }

    #[test]
    fn host_bits_are_cleared() {
        assert_eq!(
            "192.168.7.9/28".parse::<Subnet>().unwrap().to_string(),
            "192.168.7.0/28"
        );
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10.5.0.0",
            "10.5.0.0/33",
            "10.5.0.0/30",
            "10.5.0/24",
            "fd00::/64",
            "10.0.0.0/0",
        ] {
            let error = text.parse::<Subnet>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{text:?} is no IPv4 network such as 10.5.0.0/24")
            );
        }
    }

    #[test]
    fn the_first_candidate_is_that_of_talosctl() {
        let all: Vec<_> = Subnet::candidates().map(|subnet| subnet.to_string()).collect();
        assert_eq!(
            (all[0].as_str(), all[63].as_str()),
            ("10.5.0.0/24", "10.5.63.0/24")
        );
    }
}
