//! One record and its text.
//!
//! Rows are written digit by digit into a byte buffer: they are most of the work, and `format!` would be most of that.

use std::net::Ipv6Addr;

use super::network::{ACCOUNT, Addr, Eni, Network, REGION};
use super::plan::Layout;

/// What the security groups and network ACLs decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Let through.
    Accept,
    /// Refused.
    Reject,
}

/// Why a row carries no flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// There was no traffic; healthy.
    NoData,
    /// AWS could not keep up and skipped records.
    SkipData,
}

/// Packets and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

/// A record with log status OK.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// The interface that recorded it.
    pub(super) eni: Eni,
    /// The source as the interface shows it.
    pub(super) src: Addr,
    /// The destination as the interface shows it.
    pub(super) dst: Addr,
    /// The source in the packet; differs from `src` behind a NAT gateway.
    pub(super) pkt_src: Addr,
    /// The destination in the packet.
    pub(super) pkt_dst: Addr,
    pub(super) srcport: u16,
    pub(super) dstport: u16,
    /// IANA's number.
    pub(super) protocol: u8,
    pub(super) volume: Volume,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) verdict: Verdict,
    /// TCP flags seen in the window, or-ed.
    pub(super) tcp_flags: u8,
    /// Leaves the interface.
    pub(super) egress: bool,
    /// The way out, 1 to 8; 0 where AWS gives none.
    pub(super) traffic_path: u8,
    /// The AWS service behind the packet's source, or `-`.
    pub(super) src_service: &'static str,
    /// The AWS service behind the packet's destination, or `-`.
    pub(super) dst_service: &'static str,
    /// Why it was refused, or `-`.
    pub(super) reason: &'static str,
}

/// The parts of a row that depend on the interface alone, rendered once.
#[derive(Debug)]
pub(super) struct Scribe {
    layout: Layout,
    /// `version account-id interface-id `, per interface.
    heads: Vec<Vec<u8>>,
    /// ` vpc-id subnet-id instance-id `, per interface.
    places: Vec<Vec<u8>>,
    /// ` region az-id sublocation-type sublocation-id `, per interface.
    zones: Vec<Vec<u8>>,
}

impl Scribe {
    /// For rows of this layout.
    pub(super) fn new(layout: Layout, network: &Network) -> Self {
        let version = match layout {
            Layout::V2 => 2,
            Layout::V5 => 5,
            Layout::V8 => 8,
        };
        let mut scribe = Self { layout, heads: Vec::new(), places: Vec::new(), zones: Vec::new() };
        for at in &network.interfaces {
            let head = format!("{version} {ACCOUNT} {} ", at.eni_id);
            let place =
                format!(" {} {} {} ", network.vpc_ids[at.vpc], at.subnet_id, at.instance_id);
            let zone = format!(" {REGION} {} - - ", at.az_id);
            scribe.heads.push(head.into_bytes());
            scribe.places.push(place.into_bytes());
            scribe.zones.push(zone.into_bytes());
        }
        scribe
    }

    /// Appends a record with its line feed.
    pub(super) fn row(&self, row: &Row, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.heads[row.eni]);
        address(row.src, out);
        out.push(b' ');
        address(row.dst, out);
        for number in [
            u64::from(row.srcport),
            u64::from(row.dstport),
            u64::from(row.protocol),
            row.volume.packets,
            row.volume.bytes,
            row.start.unsigned_abs(),
            row.end.unsigned_abs(),
        ] {
            out.push(b' ');
            digits(number, out);
        }
        out.extend_from_slice(match row.verdict {
            Verdict::Accept => b" ACCEPT OK",
            Verdict::Reject => b" REJECT OK",
        });
        if self.layout != Layout::V2 {
            self.details(row, out);
        }
        if self.layout == Layout::V8 {
            out.push(b' ');
            out.extend_from_slice(row.reason.as_bytes());
        }
        out.push(b'\n');
    }

    /// The fields of versions 3 to 5.
    fn details(&self, row: &Row, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.places[row.eni]);
        digits(u64::from(row.tcp_flags), out);
        out.extend_from_slice(match row.src {
            Addr::V4(_) => b" IPv4 ",
            Addr::V6(_) => b" IPv6 ",
        });
        address(row.pkt_src, out);
        out.push(b' ');
        address(row.pkt_dst, out);
        out.extend_from_slice(&self.zones[row.eni]);
        out.extend_from_slice(row.src_service.as_bytes());
        out.push(b' ');
        out.extend_from_slice(row.dst_service.as_bytes());
        out.extend_from_slice(if row.egress { b" egress " } else { b" ingress " });
        if row.traffic_path == 0 {
            out.push(b'-');
        } else {
            digits(u64::from(row.traffic_path), out);
        }
    }

    /// Appends a row without a flow.
    pub(super) fn gap(&self, eni: Eni, gap: Gap, start: i64, end: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.heads[eni]);
        out.extend_from_slice(b"- - - - - - - ");
        digits(start.unsigned_abs(), out);
        out.push(b' ');
        digits(end.unsigned_abs(), out);
        out.extend_from_slice(match gap {
            Gap::NoData => b" - NODATA",
            Gap::SkipData => b" - SKIPDATA",
        });
        if self.layout != Layout::V2 {
            out.extend_from_slice(&self.places[eni]);
            out.extend_from_slice(b"- - - -");
            out.extend_from_slice(&self.zones[eni]);
            out.extend_from_slice(b"- - - -");
        }
        if self.layout == Layout::V8 {
            out.extend_from_slice(b" -");
        }
        out.push(b'\n');
    }
}

/// Appends a number in decimal.
fn digits(mut number: u64, out: &mut Vec<u8>) {
    let mut text = [0_u8; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

/// Appends an address as AWS shows it: dotted, or IPv6 in its shortest form.
fn address(addr: Addr, out: &mut Vec<u8>) {
    match addr {
        Addr::V4(bits) => {
            let [a, b, c, d] = bits.to_be_bytes();
            digits(u64::from(a), out);
            for octet in [b, c, d] {
                out.push(b'.');
                digits(u64::from(octet), out);
            }
        }
        Addr::V6(bits) => out.extend_from_slice(Ipv6Addr::from_bits(bits).to_string().as_bytes()),
    }
}

/// An address as text, for the truth.
pub(super) fn text(addr: Addr) -> String {
    let mut out = Vec::new();
    address(addr, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
