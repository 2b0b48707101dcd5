//! Addresses as they stand in a record: IPv4, IPv6, or the MAC address of an EFA row.

use std::cmp::Ordering;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use wide::{i32x4, u8x16};

/// An address in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Address {
    /// IPv4.
    V4(Ipv4Addr),
    /// IPv6.
    V6(Ipv6Addr),
    /// EFA rows carry MAC addresses.
    Mac([u8; 6]),
}

/// By kind, then as numbers: the order of the bytes, compared at once.
impl Ord for Address {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.number().cmp(&other.number())
    }
}

impl PartialOrd for Address {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What keeps so many bytes of a text, the first one lowest.
pub(crate) const FIRST_BYTES: [u128; 16] = {
    let mut keep = [0; 16];
    let mut length = 0;
    while length < 16 {
        keep[length] = (1 << (8 * length)) - 1;
        length += 1;
    }
    keep
};

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
    /// Kind, IPv4 before IPv6 before MAC, and value.
    #[inline]
    pub(crate) fn number(&self) -> (u8, u128) {
        match self {
            Self::V4(v4) => (0, u128::from(v4.to_bits())),
            Self::V6(v6) => (1, v6.to_bits()),
            Self::Mac(mac) => (2, mac.iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte))),
        }
    }

    /// The address of a kind and value, as [`Address::number`] gives them.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the value of an IPv4 address has 32 bits")]
    pub(crate) fn of_number(kind: u8, value: u128) -> Self {
        match kind {
            0 => Self::V4(Ipv4Addr::from_bits(value as u32)),
            1 => Self::V6(Ipv6Addr::from_bits(value)),
            _ => {
                let [_, _, _, _, _, _, _, _, _, _, mac @ ..] = value.to_be_bytes();
                Self::Mac(mac)
            }
        }
    }

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
    /// several bytes at a time: nearly every address in a flow log is one of these.
    pub(crate) fn parse_v4(text: &[u8]) -> Option<Ipv4Addr> {
        let word = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
            (Some(first), Some(last)) if text.len() < 16 => {
                let [first, last] = [first, last].map(|word| u128::from(u64::from_le_bytes(*word)));
                // Bytes that are in both are the same in both.
                first | last << (8 * (text.len() - 8))
            }
            _ => {
                let mut word = [0; 16];
                word.get_mut(..text.len())?.copy_from_slice(text);
                u128::from_le_bytes(word)
            }
        };
        Self::v4_of(word, u32::try_from(text.len()).ok()?)
    }

    /// As [`Address::parse_v4`], of the first `length` bytes.
    #[inline]
    pub(crate) fn v4_at(from: &[u8], length: usize) -> Option<Ipv4Addr> {
        match (from.first_chunk(), FIRST_BYTES.get(length)) {
            (Some(text), Some(keep)) => {
                Self::v4_of(u128::from_le_bytes(*text) & keep, u32::try_from(length).ok()?)
            }
            _ => Self::parse_v4(from.get(..length)?),
        }
    }

    /// As [`Address::parse_v4`], of a text of so many bytes, the first one lowest, then zeros.
    ///
    /// The octets are put side by side, each with its last digit highest, and read together. None has a zero too many
    /// just if all of them have as few digits together as their values need: none can have fewer.
    #[inline]
    pub(crate) fn v4_of(text: u128, length: u32) -> Option<Ipv4Addr> {
        // Room to read four bytes from any of the first sixteen on.
        let mut bytes = [0; 20];
        bytes[..16].copy_from_slice(&text.to_le_bytes());
        let dots = u8x16::new(text.to_le_bytes()).simd_eq(u8x16::splat(b'.')).to_bitmask();
        let second = without_lowest(dots);
        let third = without_lowest(second);
        let ends = [dots, second, third].map(u32::trailing_zeros);
        let octet = |begin: u32, end: u32| {
            let from = (begin & 15) as usize;
            let text = [bytes[from], bytes[from + 1], bytes[from + 2], bytes[from + 3]];
            let behind = 32u32.wrapping_sub(8u32.wrapping_mul(end.wrapping_sub(begin))) & 31;
            ((u32::from_le_bytes(text) ^ 0x3030_3030) << behind).cast_signed()
        };
        let [a, b, c] = ends;
        let octets =
            i32x4::new([octet(0, a), octet(a + 1, b), octet(b + 1, c), octet(c + 1, length)]);
        // Of a byte that is no digit the high bit is set here.
        let high = i32x4::splat(0x8080_8080_u32.cast_signed());
        let flaws = ((octets + i32x4::splat(0x7676_7676)) | octets) & high;
        let byte = |shift: i32| (octets >> shift) & i32x4::splat(0xff);
        let [hundreds, tens, ones] = [byte(8), byte(16), byte(24)];
        // A hundred is 64 and 32 and 4, ten 8 and 2.
        let values: i32x4 = (hundreds << 6_i32)
            + (hundreds << 5_i32)
            + (hundreds << 2_i32)
            + (tens << 3_i32)
            + (tens << 1_i32)
            + ones;
        let above = |least: i32| values.simd_gt(i32x4::splat(least)).to_bitmask();
        let needed = 7 + count(above(9)) + count(above(99));
        if flaws != i32x4::ZERO || above(255) != 0 || third == 0 || length != needed {
            return None;
        }
        let [a, b, c, d] = values.to_array();
        Some(Ipv4Addr::from_bits((a << 24 | b << 16 | c << 8 | d).cast_unsigned()))
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

/// Without the lowest bit that is set.
#[inline]
fn without_lowest(bits: u32) -> u32 {
    bits & bits.wrapping_sub(1)
}

/// How many of four bits are set: a processor of no particular kind has no instruction for it.
#[inline]
fn count(bits: u32) -> u32 {
    const SET: [u32; 16] = [0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4];
    SET[bits as usize % SET.len()]
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
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn v4_is_read_as_the_library_reads_it(
            text in "[0-9.\\x00 a-]{0,17}|([0-9]{0,4}\\.){0,4}[0-9]{0,4}|([0-2]?[0-9]?[0-9]\\.){3}[0-2]?[0-9]?[0-9]",
        ) {
            let expected = text.parse::<Ipv4Addr>().ok();
            prop_assert_eq!(Address::parse_v4(text.as_bytes()), expected);
            let beyond = format!("{text} 10.1.2.3 and more");
            prop_assert_eq!(Address::v4_at(beyond.as_bytes(), text.len()), expected);
            prop_assert_eq!(Address::v4_at(text.as_bytes(), text.len()), expected);
        }
    }

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
            "1.2.3.00",
            "1.2.3.",
            ".1.2.3",
            "1.2.3.4\0",
            "1.2.3\0.4",
            "192.168.100.200",
            "192.168.100.2000",
            "1111.2.3.4",
            "1.2.3.4/",
            "1.2.:.4",
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
