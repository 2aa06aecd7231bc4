//! Networks as an address and the length of a prefix.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How many bits the prefix of an IPv4-mapped address has before the IPv4 address begins.
const MAPPED_BITS: u8 = 96;

/// A network: `10.0.0.0/8`, `fd00::/8`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// The text names no network.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a network: {reason}")]
pub struct ParseCidrError {
    text: String,
    reason: String,
}

impl Cidr {
    /// For networks that are written in this program.
    pub(super) const fn fixed(address: IpAddr, prefix: u8) -> Self {
        Self { address, prefix }
    }

    /// Whether an address is in the network. IPv4-mapped addresses are IPv4 addresses.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => network == masked_v4(address, self.prefix),
            (IpAddr::V6(network), IpAddr::V6(address)) => network == masked_v6(address, self.prefix),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether it is a single address.
    pub fn is_host(&self) -> bool {
        self.prefix == bits(self.address)
    }
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn masked_v4(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    // A shift by all bits is none.
    let mask = u32::MAX.checked_shl(u32::BITS - u32::from(prefix)).unwrap_or(0);
    Ipv4Addr::from_bits(address.to_bits() & mask)
}

fn masked_v6(address: Ipv6Addr, prefix: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(u128::BITS - u32::from(prefix)).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

impl FromStr for Cidr {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Self, ParseCidrError> {
        let bad = |reason: String| ParseCidrError { text: text.to_owned(), reason };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            bad("write an address, or an address and a prefix length as in 10.0.0.0/8".to_owned())
        })?;
        let bits = bits(address);
        let prefix = prefix.map_or(Some(bits), |digits| prefix_of(digits, bits));
        let prefix = prefix.ok_or_else(|| bad(format!("the prefix length is a number from 0 to {bits}")))?;
        let first = match address {
            IpAddr::V4(address) => IpAddr::V4(masked_v4(address, prefix)),
            IpAddr::V6(address) => IpAddr::V6(masked_v6(address, prefix)),
        };
        // Either the address or the length is a slip; which one is not known.
        if first != address {
            return Err(bad(format!("the network of this prefix length is {first}/{prefix}")));
        }
        Ok(Self { address, prefix }.to_canonical())
    }
}

impl Cidr {
    /// Mapped networks become IPv4 networks, as mapped addresses do.
    fn to_canonical(self) -> Self {
        match self.address.to_canonical() {
            address @ IpAddr::V4(_) if self.address.is_ipv6() && self.prefix >= MAPPED_BITS => {
                Self { address, prefix: self.prefix - MAPPED_BITS }
            }
            IpAddr::V4(_) | IpAddr::V6(_) => self,
        }
    }
}

/// Digits alone: a number's own parser takes a sign too.
fn prefix_of(digits: &str, bits: u8) -> Option<u8> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|prefix| is_number && *prefix <= bits)
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_host() {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.prefix),
        }
    }
}

impl TryFrom<String> for Cidr {
    type Error = ParseCidrError;

    fn try_from(text: String) -> Result<Self, ParseCidrError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(network: Cidr) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Cidr>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn networks_begin_and_end_where_the_prefix_says() {
        for (network, first, last, outside) in [
            ("10.0.0.0/8", "10.0.0.0", "10.255.255.255", ["9.255.255.255", "11.0.0.0"]),
            ("192.168.4.0/22", "192.168.4.0", "192.168.7.255", ["192.168.3.255", "192.168.8.0"]),
            ("10.1.2.3", "10.1.2.3", "10.1.2.3", ["10.1.2.2", "10.1.2.4"]),
            ("fe80::/10", "fe80::", "febf:ffff::", ["fe7f::", "fec0::"]),
            ("::1/128", "::1", "::1", ["::", "::2"]),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255", ["::", "2001:db8::1"]),
            ("::/0", "::", "ffff::", ["10.0.0.1", "::ffff:10.0.0.1"]),
        ] {
            assert!(contains(network, first), "{network} {first}");
            assert!(contains(network, last), "{network} {last}");
            for address in outside {
                assert!(!contains(network, address), "{network} {address}");
            }
        }
    }

    #[test]
    fn mapped_networks_are_ipv4_networks() {
        assert_eq!("::ffff:10.0.0.0/104".parse::<Cidr>(), "10.0.0.0/8".parse());
        assert_eq!("::ffff:10.0.0.1".parse::<Cidr>(), "10.0.0.1".parse());
        assert!(contains("10.0.0.0/8", "::ffff:10.9.9.9"));
    }

    #[test]
    fn single_addresses_are_hosts() {
        for (text, is_host) in
            [("10.0.0.1", true), ("10.0.0.1/32", true), ("10.0.0.0/31", false), ("::1", true)]
        {
            assert_eq!(text.parse::<Cidr>().unwrap().is_host(), is_host, "{text}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_the_reason() {
        let form = "write an address, or an address and a prefix length as in 10.0.0.0/8";
        for (text, reason) in [
            ("", form),
            ("10.0.0", form),
            ("10.0.0.0.0/8", form),
            ("example.com", form),
            ("fe80::1%eth0", form),
            ("/8", form),
            ("10.0.0.0/", "the prefix length is a number from 0 to 32"),
            ("10.0.0.0/33", "the prefix length is a number from 0 to 32"),
            ("10.0.0.0/+8", "the prefix length is a number from 0 to 32"),
            ("::/129", "the prefix length is a number from 0 to 128"),
            ("10.0.0.0/8/8", "the prefix length is a number from 0 to 32"),
            ("10.0.0.1/8", "the network of this prefix length is 10.0.0.0/8"),
            ("fe80::1/10", "the network of this prefix length is fe80::/10"),
        ] {
            let error = text.parse::<Cidr>().unwrap_err();
            assert_eq!(error.to_string(), format!("`{text}` is not a network: {reason}"));
        }
    }
}
