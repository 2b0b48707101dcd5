//! What is paid for by the byte on its way: through NAT gateways, and between Availability Zones.
//!
//! *NAT gateways.* At a gateway's interface the private leg of a connection shows the gateway's own
//! address in `dstaddr` (or `srcaddr`, of the answer) and the far end in `pkt-dstaddr` (`pkt-srcaddr`).
//! Those records are counted, so each byte is once. A pod's address behind its node's differs from it,
//! too, but is private.
//!
//! *Zones.* The sender's records tell its zone by `az-id`; the receiver's zone is known if its own
//! interface is in the records, too.

use std::collections::BTreeMap;

use crate::decode::{RecordSink, Verdict};
use crate::record::{Action, Address, Direction, LogStatus, Record, Scope};

/// Private addresses that are kept apart, on either side. What comes beyond is summed up.
pub const ADDRESSES: usize = 65_536;
/// Pairs of private addresses that are kept apart.
pub const PAIRS: usize = 262_144;
/// Services that are kept apart for each client: AWS names some twenty.
const SERVICES: usize = 64;
/// The name of what belongs to no AWS service.
pub const INTERNET: &str = "Internet";

/// Bytes both ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bytes {
    /// From the private side.
    pub sent: u64,
    /// Back to it.
    pub received: u64,
}

impl Bytes {
    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.sent = self.sent.saturating_add(other.sent);
        self.received = self.received.saturating_add(other.received);
    }

    /// Both ways: what a NAT gateway charges for.
    pub fn sum(&self) -> u64 {
        self.sent.saturating_add(self.received)
    }
}

/// Bytes from one private address to another in a zone of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// The sender and its zone.
    pub from: (Address, String),
    /// The receiver and its zone.
    pub to: (Address, String),
    /// Bytes as the sender's interface recorded them.
    pub bytes: u64,
}

/// What the records say of transfer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Through NAT gateways: by private client, then by AWS service or [`INTERNET`].
    pub clients: BTreeMap<Address, BTreeMap<String, Bytes>>,
    /// Of clients beyond [`ADDRESSES`].
    pub other_clients: Bytes,
    /// First start and last end of all records (epoch seconds).
    pub span: Option<(i64, i64)>,
    /// Whether any record had the packet's own addresses: without them nothing is known of NAT.
    pub tells_nat: bool,
    /// Whether any record had zone and direction.
    pub tells_zones: bool,
    zones: BTreeMap<Address, String>,
    pairs: BTreeMap<(Address, Address), u64>,
    /// Between private addresses of pairs beyond [`PAIRS`].
    other_pairs: u64,
}

/// Bytes between private addresses, by zones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zones {
    /// From zone to zone, most bytes first.
    pub crossings: Vec<Crossing>,
    /// Within one zone.
    pub within: u64,
    /// To receivers whose zone is not in the records.
    pub unknown: u64,
}

impl Transfer {
    /// Adds what other records said.
    pub fn merge(&mut self, other: Self) {
        for (client, services) in other.clients {
            for (service, bytes) in services {
                self.client(client, &service, bytes);
            }
        }
        self.other_clients.add(other.other_clients);
        for (address, zone) in other.zones {
            self.zone(address, &zone);
        }
        for ((from, to), bytes) in other.pairs {
            self.pair(from, to, bytes);
        }
        self.other_pairs = self.other_pairs.saturating_add(other.other_pairs);
        self.span = match (self.span, other.span) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        self.tells_nat |= other.tells_nat;
        self.tells_zones |= other.tells_zones;
    }

    /// By AWS service or [`INTERNET`]: what all clients exchange through NAT gateways.
    pub fn services(&self) -> BTreeMap<&str, Bytes> {
        let mut services: BTreeMap<&str, Bytes> = BTreeMap::new();
        for (service, bytes) in self.clients.values().flatten() {
            services.entry(service).or_default().add(*bytes);
        }
        services
    }

    /// What crosses zones.
    pub fn zones(&self) -> Zones {
        let mut zones = Zones { unknown: self.other_pairs, ..Zones::default() };
        for ((from, to), bytes) in &self.pairs {
            match (self.zones.get(from), self.zones.get(to)) {
                (Some(a), Some(b)) if a == b => zones.within = zones.within.saturating_add(*bytes),
                (Some(a), Some(b)) => zones.crossings.push(Crossing {
                    from: (*from, a.clone()),
                    to: (*to, b.clone()),
                    bytes: *bytes,
                }),
                _ => zones.unknown = zones.unknown.saturating_add(*bytes),
            }
        }
        zones.crossings.sort_by_key(|crossing| std::cmp::Reverse(crossing.bytes));
        zones
    }

    fn client(&mut self, client: Address, service: &str, bytes: Bytes) {
        if self.clients.len() >= ADDRESSES && !self.clients.contains_key(&client) {
            self.other_clients.add(bytes);
            return;
        }
        let services = self.clients.entry(client).or_default();
        let full = services.len() >= SERVICES && !services.contains_key(service);
        services.entry(if full { "other" } else { service }.to_owned()).or_default().add(bytes);
    }

    fn zone(&mut self, own: Address, zone: &str) {
        if self.zones.len() < ADDRESSES {
            self.zones.entry(own).or_insert_with(|| zone.to_owned());
        }
    }

    fn pair(&mut self, from: Address, to: Address, bytes: u64) {
        if self.pairs.len() >= PAIRS && !self.pairs.contains_key(&(from, to)) {
            self.other_pairs = self.other_pairs.saturating_add(bytes);
            return;
        }
        let sum = self.pairs.entry((from, to)).or_default();
        *sum = sum.saturating_add(bytes);
    }

    fn through_nat(&mut self, record: &Record<'_>) {
        let (Some(pkt_src), Some(pkt_dst)) = (record.pkt_srcaddr, record.pkt_dstaddr) else {
            return;
        };
        let (Some(src), Some(dst)) = (record.srcaddr, record.dstaddr) else { return };
        self.tells_nat = true;
        let name = |service: Option<&str>| service.unwrap_or(INTERNET).to_owned();
        let is = |address: Address, scope: Scope| address.scope() == scope;
        if pkt_dst != dst && is(pkt_dst, Scope::Public) && is(src, Scope::Private) {
            let bytes = Bytes { sent: record.bytes, received: 0 };
            self.client(src, &name(record.pkt_dst_aws_service), bytes);
        } else if pkt_src != src && is(pkt_src, Scope::Public) && is(dst, Scope::Private) {
            let bytes = Bytes { sent: 0, received: record.bytes };
            self.client(dst, &name(record.pkt_src_aws_service), bytes);
        }
    }

    fn between_zones(&mut self, record: &Record<'_>) {
        let (Some(zone), Some(direction)) = (record.az_id, record.flow_direction) else { return };
        let (Some(src), Some(dst)) = (record.srcaddr, record.dstaddr) else { return };
        self.tells_zones = true;
        match direction {
            Direction::Ingress => self.zone(dst, zone),
            Direction::Egress => {
                self.zone(src, zone);
                let inside = src.scope() == Scope::Private && dst.scope() == Scope::Private;
                // The paths within a Region: not said, the own VPC, a peering.
                if inside && matches!(record.traffic_path, None | Some(1 | 4)) {
                    self.pair(src, dst, record.bytes);
                }
            }
            Direction::Unknown => {}
        }
    }
}

impl RecordSink for Transfer {
    fn record(&mut self, record: &Record<'_>) -> Verdict {
        if let (Some(start), Some(end)) = (record.start, record.end) {
            let (first, last) = self.span.unwrap_or((start, end));
            self.span = Some((first.min(start), last.max(end)));
        }
        if record.log_status == LogStatus::Ok && record.action != Action::Reject {
            self.through_nat(record);
            self.between_zones(record);
        }
        Verdict::Counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Address {
        Address::parse(address).unwrap()
    }

    fn record(ends: [&str; 4], bytes: u64) -> Record<'static> {
        let [src, dst, pkt_src, pkt_dst] = ends.map(at);
        Record {
            srcaddr: Some(src),
            dstaddr: Some(dst),
            pkt_srcaddr: Some(pkt_src),
            pkt_dstaddr: Some(pkt_dst),
            bytes,
            action: Action::Accept,
            start: Some(100),
            end: Some(160),
            ..Record::empty()
        }
    }

    const HOST: &str = "10.0.1.5";
    const GATEWAY: &str = "10.0.0.10";
    const FAR: &str = "52.216.9.35";

    #[test]
    fn each_byte_through_a_gateway_counts_once() {
        let mut transfer = Transfer::default();
        let s3 = Some("S3");
        for record in [
            // The host's own interface, then the gateway's four records, then the host's again.
            Record { pkt_dst_aws_service: s3, ..record([HOST, FAR, HOST, FAR], 10) },
            Record { pkt_dst_aws_service: s3, ..record([HOST, GATEWAY, HOST, FAR], 10) },
            Record { pkt_dst_aws_service: s3, ..record([GATEWAY, FAR, GATEWAY, FAR], 10) },
            Record { pkt_src_aws_service: s3, ..record([FAR, GATEWAY, FAR, GATEWAY], 700) },
            Record { pkt_src_aws_service: s3, ..record([GATEWAY, HOST, FAR, HOST], 700) },
            Record { pkt_src_aws_service: s3, ..record([FAR, HOST, FAR, HOST], 700) },
            // A pod behind its node, answered by a stranger; and something refused.
            record([FAR, "10.0.1.6", FAR, "100.64.0.9"], 5),
            Record { action: Action::Reject, ..record([HOST, GATEWAY, HOST, "203.0.113.9"], 1) },
            record([HOST, GATEWAY, HOST, "203.0.113.9"], 3),
        ] {
            transfer.record(&record);
        }
        let of = |sent, received| Bytes { sent, received };
        let services = BTreeMap::from([("S3", of(10, 700)), (INTERNET, of(3, 0))]);
        assert_eq!(transfer.services(), services);
        assert_eq!(transfer.clients.len(), 1);
        assert_eq!(transfer.span, Some((100, 160)));
        assert!(transfer.tells_nat && !transfer.tells_zones);

        let mut twice = transfer.clone();
        twice.merge(transfer);
        assert_eq!(twice.services()["S3"], of(20, 1400));
    }

    #[test]
    fn zones_are_learned_from_both_ends() {
        let (a, b, c) = ("10.0.1.5", "10.0.2.5", "10.9.0.1");
        let egress = |from, to, zone, path| Record {
            az_id: Some(zone),
            flow_direction: Some(Direction::Egress),
            traffic_path: path,
            ..record([from, to, from, to], 100)
        };
        let ingress = |from, to, zone| Record {
            flow_direction: Some(Direction::Ingress),
            ..egress(from, to, zone, None)
        };
        let mut transfer = Transfer::default();
        for record in [
            egress(a, b, "use1-az1", Some(1)),
            ingress(a, b, "use1-az2"),
            egress(b, a, "use1-az2", Some(4)),
            // Another Region, the Internet, and somebody who is not in the records.
            egress(a, c, "use1-az1", Some(5)),
            egress(a, FAR, "use1-az1", Some(8)),
            egress(a, "10.0.3.3", "use1-az1", None),
        ] {
            transfer.record(&record);
        }
        let zones = transfer.zones();
        assert_eq!(zones.crossings.iter().map(|c| c.bytes).collect::<Vec<_>>(), [100, 100]);
        assert_eq!(zones.crossings[0].from.1, "use1-az1");
        assert_eq!((zones.within, zones.unknown), (0, 100));
    }

    #[test]
    fn forged_addresses_are_summed_up() {
        let mut transfer = Transfer::default();
        for n in 0..u32::try_from(ADDRESSES).unwrap() + 10 {
            let host = Address::V4((0x0a00_0000 + n).into());
            let record = Record { srcaddr: Some(host), ..record([HOST, GATEWAY, HOST, FAR], 1) };
            transfer.record(&record);
        }
        assert_eq!(transfer.clients.len(), ADDRESSES);
        assert_eq!(transfer.other_clients.sent, 10);
    }
}
