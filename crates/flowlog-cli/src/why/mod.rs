//! `flowlog why`: can A reach B? Over records, or over the roll-ups of a store.

pub mod account;
mod records;
mod rollups;
mod text;

pub use records::{WhyError, from_records};
pub use rollups::{FromRollups, from_rollups};
pub use text::{AT_LENGTH, incomplete, to_json, to_text};

use flowlog_core::record::Address;

/// Where a connection is to go: `10.1.0.31`, `10.1.0.31:443`, `2001:db8::1`, `[2001:db8::1]:443`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// Who is to answer.
    pub address: Address,
    /// At which port; any if there is none.
    pub port: Option<u16>,
}

impl std::str::FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected ADDRESS, ADDRESS:PORT or [IPv6]:PORT".to_owned();
        let in_brackets = |text: &str| {
            let inner = text.strip_prefix('[')?.strip_suffix(']')?;
            Address::parse(inner).filter(|address| matches!(address, Address::V6(_)))
        };
        if let Some(address) = in_brackets(text) {
            return Ok(Self { address, port: None });
        }
        if let Some(address) = Address::parse(text) {
            // `2001:db8::1:443` is an address, too, and hardly the one that is meant.
            if let Some((v6, port)) = text.rsplit_once(':')
                && Address::parse(v6).is_some()
                && port.parse::<u16>().is_ok()
            {
                return Err(format!(
                    "is {port} the port? Write [{v6}]:{port}, or [{text}] for an address without a port"
                ));
            }
            return Ok(Self { address, port: None });
        }
        let (address, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let address = in_brackets(address).or_else(|| Address::parse(address)).ok_or_else(wrong)?;
        Ok(Self { address, port: Some(port.parse().map_err(|_| wrong())?) })
    }
}

/// `tcp`, `udp`, `icmp`, `icmpv6` or a number.
pub fn parse_protocol(text: &str) -> Result<u8, String> {
    match text.to_ascii_lowercase().as_str() {
        "icmp" => Ok(1),
        "tcp" => Ok(6),
        "udp" => Ok(17),
        "icmpv6" => Ok(58),
        number => {
            number.parse().map_err(|_| "expected tcp, udp, icmp, icmpv6 or a number".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        let parse = |text: &str| text.parse::<Destination>();
        let of =
            |address, port| Ok(Destination { address: Address::parse(address).unwrap(), port });
        assert_eq!(parse("10.1.0.31"), of("10.1.0.31", None));
        assert_eq!(parse("10.1.0.31:443"), of("10.1.0.31", Some(443)));
        assert_eq!(parse("2001:db8::1"), of("2001:db8::1", None));
        assert_eq!(parse("[2001:db8::1]:443"), of("2001:db8::1", Some(443)));
        assert_eq!(parse("[2001:db8::1]"), of("2001:db8::1", None));
        // Not both ways: what is before the last colon is no address.
        assert_eq!(parse("2001:db8::10"), of("2001:db8::10", None));
        assert_eq!(parse("2001:db8:0:0:0:0:1:443"), of("2001:db8::1:443", None));
        let ambiguous = parse("2001:db8::1:443").unwrap_err();
        assert!(ambiguous.contains("[2001:db8::1]:443") && ambiguous.contains("[2001:db8::1:443]"));
        assert_eq!(parse("[2001:db8::1:443]"), of("2001:db8::1:443", None));
        for wrong in ["", "10.1.0.31:", "10.1.0.31:70000", "web:443", "[10.1.0.31]", "10.1.0:1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!((parse_protocol("TCP"), parse_protocol("47")), (Ok(6), Ok(47)));
        assert!(parse_protocol("300").is_err());
    }
}
