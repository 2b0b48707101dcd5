//! The flow log that the figures are about.
//!
//! The shape is that of a large account rather than of the two VPCs that `flowlog generate` draws: 400 interfaces, of
//! which some are far busier than others, 8 % of the records rejected, 3 % over IPv6, half a percent NODATA or SKIPDATA,
//! about 57,000 sources and 122,000 different rejected connections in five million rows. The same number of rows gives
//! the same bytes.

use std::io::{Result, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Epoch seconds of the first row, and how long the log is.
const START: u64 = 1_793_491_200;
const SECONDS: u64 = 600;
/// Who there is.
const INTERFACES: u64 = 400;
const CLIENTS: u64 = 27_000;
const PROBERS: u64 = 30_000;
/// The ports of services: low, so that they are what a talker is kept under.
const SERVICES: [u16; 8] = [443, 443, 443, 80, 5432, 53, 8080, 6379];
/// A connection keeps its port from one capture window to the next, and a client has few of them.
const CONNECTIONS: u64 = 4;
/// What is tried.
const TRIED: [u16; 12] = [22, 23, 80, 443, 445, 1433, 2375, 3306, 3389, 5060, 6379, 8080];

/// `SplitMix64`: small, and the same everywhere.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Small numbers far more often than large ones.
    fn skewed(&mut self, n: u64) -> u64 {
        let (a, b) = (self.below(n), self.below(n));
        a * b / n
    }
}

fn mix(mut n: u64) -> u64 {
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// An address of the Internet for each number; clients and probers have their own numbers.
fn public(n: u64) -> Ipv4Addr {
    let bits = mix(n ^ 0x5851_f42d_4c95_7f2d);
    let first = [23, 34, 45, 52, 61, 73, 81, 94, 103, 141, 151, 185, 194, 203][bits as usize % 14];
    Ipv4Addr::new(first, (bits >> 8) as u8, (bits >> 16) as u8, (bits >> 24) as u8)
}

fn own(interface: u64) -> Ipv4Addr {
    Ipv4Addr::new(10, 20, (interface / 200) as u8, (interface % 200 + 10) as u8)
}

fn own_v6(interface: u64) -> Ipv6Addr {
    Ipv6Addr::from(0x2600_1f18_0012_3400_u128 << 64 | u128::from(mix(interface)))
}

/// Writes a header and so many rows of the default format.
pub fn write(out: &mut impl Write, rows: u64) -> Result<()> {
    writeln!(
        out,
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
    )?;
    let mut draw = Draw(42);
    for n in 0..rows {
        let kind = draw.below(1000);
        let prober = draw.skewed(PROBERS);
        // A prober has favourites: one or two interfaces, seldom another.
        let interface = match kind {
            5..85 if draw.below(16) > 0 => (prober + draw.below(2)) % INTERFACES,
            _ => draw.skewed(INTERFACES),
        };
        let start = START + n * SECONDS / rows + draw.below(30);
        let times = format!("{start} {}", start + 10 + draw.below(50));
        write!(out, "2 123456789010 eni-{:017x} ", mix(interface + 1) | 1)?;
        match kind {
            0..5 => writeln!(out, "- - - - - - - {times} - NODATA")?,
            5..85 => rejected(out, &mut draw, interface, prober, &times)?,
            _ => accepted(out, &mut draw, interface, &times)?,
        }
    }
    Ok(())
}

/// A connection that was refused: a source tries the same few doors again and again.
fn rejected(
    out: &mut impl Write,
    draw: &mut Draw,
    interface: u64,
    prober: u64,
    times: &str,
) -> Result<()> {
    let port = TRIED[(mix(prober + draw.below(2)) % 12) as usize];
    let (source, packets) = (public(prober + (1 << 32)), 1 + draw.below(3));
    writeln!(
        out,
        "{source} {} {} {port} 6 {packets} {} {times} REJECT OK",
        own(interface),
        1025 + draw.below(64_000),
        packets * 44
    )
}

/// One direction of an exchange: with a client, or with a neighbour.
fn accepted(out: &mut impl Write, draw: &mut Draw, interface: u64, times: &str) -> Result<()> {
    let packets = 1 + draw.skewed(2000);
    let bytes = packets * (40 + draw.below(1400));
    let incoming = draw.below(2) == 0;
    let kind = draw.below(100);
    // Who serves whom, and what, is a matter of the two.
    let (peer, service) = if kind < 50 {
        // The clients of one interface: sixty or so, some of them far more often.
        (draw.skewed(120), mix(interface))
    } else {
        let peer = draw.skewed(60);
        (peer, mix(interface << 8 | peer))
    };
    let service = SERVICES[(service % 8) as usize];
    let protocol = if service == 53 { 17 } else { 6 };
    let high = 1025 + mix(interface << 32 | peer << 8 | draw.below(CONNECTIONS)) % 64_000;
    let ports = if incoming { format!("{high} {service}") } else { format!("{service} {high}") };
    if kind < 3 {
        let client = 0x2a02_0000_0000_0000_u128 << 64 | u128::from(mix(peer));
        let (client, own) = (Ipv6Addr::from(client), own_v6(interface));
        let (from, to) = if incoming { (client, own) } else { (own, client) };
        write!(out, "{from} {to}")?;
    } else {
        let remote = if kind < 50 {
            public((interface * 61 + peer) % CLIENTS)
        } else {
            own((interface + 1 + peer) % INTERFACES)
        };
        let own = own(interface);
        let (from, to) = if incoming { (remote, own) } else { (own, remote) };
        write!(out, "{from} {to}")?;
    }
    writeln!(out, " {ports} {protocol} {packets} {bytes} {times} ACCEPT OK")
}
