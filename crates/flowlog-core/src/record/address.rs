//! Addresses as they stand in a record: IPv4, IPv6, or the MAC address of an EFA row.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// An address in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Address {
    /// IPv4.
    V4(Ipv4Addr),
    /// IPv6.
    V6(Ipv6Addr),
    /// EFA rows carry MAC addresses.
    Mac([u8; 6]),
}

/// Whether an address is one that the Internet can route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// RFC 1918, RFC 6598 (carrier-grade NAT), loopback, link-local, IPv6 unique local, MAC.
    Private,
    /// Everything else.
    Public,
    /// The record names no address.
    Unknown,
}

impl Address {
    /// Reads an address as AWS writes it; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(v4) = Self::parse_v4(text.as_bytes()) {
            return Some(Self::V4(v4));
        }
        if let Ok(v6) = text.parse::<Ipv6Addr>() {
            return Some(Self::V6(v6));
        }
        parse_mac(text).map(Self::Mac)
    }

    /// Four decimal octets without leading zeros beyond a lone `0`, as [`Ipv4Addr`]'s own parser, but
    /// in one pass: nearly every address in a flow log is one of these.
    pub(crate) fn parse_v4(text: &[u8]) -> Option<Ipv4Addr> {
        let mut octets = [0u8; 4];
        let mut at = 0;
        for (i, octet) in octets.iter_mut().enumerate() {
            if i > 0 {
                if text.get(at) != Some(&b'.') {
                    return None;
                }
                at += 1;
            }
            let begin = at;
            let mut value = 0u32;
            while let Some(digit) = text.get(at).filter(|b| b.is_ascii_digit()) {
                value = value * 10 + u32::from(digit - b'0');
                at += 1;
                if at - begin > 3 {
                    return None;
                }
            }
            if at == begin || (at - begin > 1 && text[begin] == b'0') {
                return None;
            }
            *octet = u8::try_from(value).ok()?;
        }
        (at == text.len()).then(|| Ipv4Addr::from(octets))
    }

    /// Private or public, by the address ranges named at [`Scope`].
    pub fn scope(&self) -> Scope {
        let private = match self {
            Self::V4(a) => {
                let [x, y, ..] = a.octets();
                a.is_private()
                    || a.is_loopback()
                    || a.is_link_local()
                    || a.is_unspecified()
                    || (x == 100 && (64..128).contains(&y))
            }
            Self::V6(a) => {
                a.is_loopback()
                    || a.is_unspecified()
                    || a.is_unique_local()
                    || a.is_unicast_link_local()
            }
            Self::Mac(_) => true,
        };
        if private { Scope::Private } else { Scope::Public }
    }

    /// Whether two addresses are of one kind (IPv4, IPv6, MAC).
    pub fn same_family(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next()?;
        if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(a) => a.fmt(f),
            Self::V6(a) => a.fmt(f),
            Self::Mac(m) => write!(
                f,
                "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}",
                m[0], m[1], m[2], m[3], m[4], m[5]
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_as_std_does() {
        for text in [
            "0.0.0.0",
            "10.0.0.1",
            "255.255.255.255",
            "256.0.0.1",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1..3.4",
            "",
            "-",
            "1.2.3.4 ",
            "a.b.c.d",
            "1.2.3.0444",
            "::1",
            "2001:db8::1",
            "::ffff:1.2.3.4",
            "fe80::1%eth0",
        ] {
            let std = text.parse::<std::net::IpAddr>().ok().map(|a| match a {
                std::net::IpAddr::V4(a) => Address::V4(a),
                std::net::IpAddr::V6(a) => Address::V6(a),
            });
            assert_eq!(Address::parse(text), std, "{text}");
        }
        assert_eq!(Address::parse("02:00:5e:10:00:ff").unwrap().to_string(), "02:00:5e:10:00:ff");
        assert_eq!(Address::parse("02:00:5e:10:00:f"), None);
    }

    #[test]
    fn scopes() {
        for (text, scope) in [
            ("10.1.2.3", Scope::Private),
            ("172.31.0.1", Scope::Private),
            ("172.32.0.1", Scope::Public),
            ("100.64.0.1", Scope::Private),
            ("100.128.0.1", Scope::Public),
            ("203.0.113.7", Scope::Public),
            ("fd00::1", Scope::Private),
            ("2001:db8::1", Scope::Public),
        ] {
            assert_eq!(Address::parse(text).unwrap().scope(), scope, "{text}");
        }
    }
}
