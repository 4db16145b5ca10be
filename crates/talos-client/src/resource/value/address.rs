//! Networks and hardware addresses.

use std::{fmt, net::IpAddr, str::FromStr};

use bytes::Bytes;

/// An address with the length of its network, such as `10.5.0.2/24`. Bits behind the network are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpPrefix {
    address: IpAddr,
    length: u8,
}

/// A text that is no address with the length of a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address with a network length, such as 10.5.0.0/24")]
pub struct ParseIpPrefixError(String);

impl IpPrefix {
    /// `None` if the length is more than the address has bits.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        (length <= Self::bits(address)).then_some(Self { address, length })
    }

    /// The address, with the bits behind the network.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// Number of bits of the network.
    #[must_use]
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether `address` is in this network.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let same = |one: u128, other: u128, bits: u8| {
            let ignored = u32::from(bits - self.length);
            one.checked_shr(ignored) == other.checked_shr(ignored)
        };
        match (self.address, address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => same(one.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }

    const fn bits(address: IpAddr) -> u8 {
        match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        }
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for IpPrefix {
    type Err = ParseIpPrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (address, length) = text.split_once('/')?;
            Self::new(address.parse().ok()?, length.parse().ok()?)
        };
        parse().ok_or_else(|| ParseIpPrefixError(text.to_owned()))
    }
}

/// The address of a network interface; six bytes for Ethernet, none where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HardwareAddress(Bytes);

impl HardwareAddress {
    /// The bytes in the order of the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no address.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Bytes> for HardwareAddress {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

/// Lower-case, with colons: `02:42:0a:05:00:02`.
impl fmt::Display for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_printed_and_searched() {
        let net: IpPrefix = "10.5.0.7/24".parse().expect("a prefix");
        assert_eq!((net.to_string().as_str(), net.length()), ("10.5.0.7/24", 24));
        assert!(net.contains([10, 5, 0, 200].into()) && !net.contains([10, 5, 1, 7].into()));
        let all: IpPrefix = "::/0".parse().expect("a prefix");
        assert!(all.contains("fd00::1".parse().expect("an address")));
        assert!(!all.contains([10, 5, 0, 1].into()));
        for wrong in ["10.5.0.7", "10.5.0.7/33", "10.5.0.7/-1", "fd00::/129", "/8", ""] {
            assert!(wrong.parse::<IpPrefix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn hardware_addresses_print_as_usual() {
        let address = HardwareAddress::from(Bytes::from_static(&[2, 0x42, 10, 5, 0, 2]));
        assert_eq!(address.to_string(), "02:42:0a:05:00:02");
        assert_eq!(HardwareAddress::default().to_string(), "");
    }
}
