//! What is paid for by the byte on its way: through NAT gateways, and between Availability Zones.
//!
//! *NAT gateways.* At a gateway's interface the private leg of a connection shows the gateway's own
//! address in `dstaddr` (or `srcaddr`, of the answer) and the far end in `pkt-dstaddr` (`pkt-srcaddr`).
//! A pod's address behind its node's differs from it, too, but is private. Whatever else hands packets
//! on, a transit gateway's attachment or a firewall, looks the same on that leg. A gateway gives packets
//! an address of its own, so only there a record shows the same private address as sender and as the
//! packet's source, towards a public one ([`Transfer::nat`]). A gateway without a flow log shows neither
//! leg; what its clients' packets pass meanwhile stands for it.
//!
//! *Zones.* The sender's records tell its zone by `az-id`; the receiver's zone is known if its own
//! interface is in the records, too. What a client sends through a gateway shows the gateway's address
//! in the gateway's own records only, so both ways between the two are taken from there. VPCs may have the same
//! addresses, so an address is one within a VPC where records name that; where it is seen in two zones and nothing
//! tells which, its zone is unknown.

use std::collections::{BTreeMap, BTreeSet};

use crate::decode::{RecordSink, Verdict};
use crate::record::{Action, Address, Direction, LogStatus, Record, Scope};

/// Private addresses that are kept apart, on either side, or pairs of a client and what its packets
/// passed. What comes beyond is summed up.
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

/// Bytes by AWS service or [`INTERNET`].
pub type Services = BTreeMap<String, Bytes>;

/// What the records say of transfer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transfer {
    /// First start and last end of all records (epoch seconds).
    pub span: Option<(i64, i64)>,
    /// Records of traffic that was not refused: what all else here rests on.
    pub records: u64,
    /// Those without the packet's own addresses, which say nothing of NAT.
    pub without_nat: u64,
    /// Those without zone and direction.
    pub without_zones: u64,
    /// By private client and by the interface that its packets passed.
    hops: BTreeMap<(Address, Address), Services>,
    /// Of hops beyond [`ADDRESSES`].
    other_hops: Bytes,
    /// Private addresses that packets to public ones came from: hosts and NAT gateways.
    ends: BTreeSet<Address>,
    /// Hops at which packets went on towards a public address as they were.
    handed_on: BTreeSet<(Address, Address)>,
    /// VPCs by their numbers in the keys below; 0 stands for records that name none.
    vpcs: BTreeMap<String, u32>,
    /// By address and VPC; `None` if it was seen in more than one.
    zones: BTreeMap<(Address, u32), Option<String>>,
    pairs: BTreeMap<Pair, u64>,
    /// Between private addresses of pairs beyond [`PAIRS`].
    other_pairs: u64,
}

/// A sender, a receiver, the sender's VPC, and whether the way was a peering.
type Pair = (Address, Address, u32, bool);

/// What went through NAT gateways.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nat {
    /// By private client.
    pub clients: BTreeMap<Address, Services>,
    /// Beyond [`ADDRESSES`] clients (of each gateway), at whatever they passed.
    pub other_clients: Bytes,
    /// Of `clients`, those of whom no record shows a gateway's public side: their bytes at every
    /// interface that they passed.
    pub presumed: u64,
    /// Not in `clients`: what those with a gateway had at other interfaces on the way.
    pub on_the_way: u64,
}

/// What an interface is that a client's packets passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passed {
    Gateway,
    /// It may be one, since nothing else on that client's way is known for one.
    Presumed,
    OnTheWay,
}

/// Bytes between private addresses, by zones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zones {
    /// From zone to zone, most bytes first.
    pub crossings: Vec<Crossing>,
    /// Within one zone.
    pub within: u64,
    /// From or to addresses whose zone is not in the records, or is [not the only one](Self::ambiguous).
    pub unknown: u64,
    /// Of those, addresses that were seen in more than one zone, in VPCs that cannot be told apart here.
    pub ambiguous: BTreeSet<Address>,
}

/// An address and its zone.
type InZone<'a> = (Address, &'a str);

/// Why an address has no zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoZone {
    Unknown,
    Ambiguous(Address),
}

/// The number of no VPC.
const NO_VPC: u32 = 0;

impl Zones {
    fn cross<'a>(
        &mut self,
        crossings: &mut BTreeMap<(InZone<'a>, InZone<'a>), u64>,
        (from, to): (Result<InZone<'a>, NoZone>, Result<InZone<'a>, NoZone>),
        bytes: u64,
    ) {
        let sum = match (from, to) {
            (Ok((_, a)), Ok((_, b))) if a == b => &mut self.within,
            (Ok(from), Ok(to)) => crossings.entry((from, to)).or_default(),
            (from, to) => {
                for end in [from.err(), to.err()] {
                    if let Some(NoZone::Ambiguous(at)) = end {
                        self.ambiguous.insert(at);
                    }
                }
                &mut self.unknown
            }
        };
        *sum = sum.saturating_add(bytes);
    }
}

impl Transfer {
    /// Adds what other records said.
    pub fn merge(&mut self, other: Self) {
        for (hop, services) in other.hops {
            for (service, bytes) in services {
                self.hop(hop, &service, bytes);
            }
        }
        self.other_hops.add(other.other_hops);
        for end in other.ends {
            keep(&mut self.ends, end);
        }
        for hop in other.handed_on {
            keep(&mut self.handed_on, hop);
        }
        let vpcs = other.vpcs.into_iter().map(|(name, theirs)| (theirs, self.vpc(Some(&name))));
        let vpcs: BTreeMap<u32, u32> = vpcs.collect();
        let mine = |vpc| vpcs.get(&vpc).copied().unwrap_or_default();
        for ((address, vpc), zone) in other.zones {
            self.zone((address, mine(vpc)), zone.as_deref());
        }
        for ((from, to, vpc, peered), bytes) in other.pairs {
            self.pair((from, to, mine(vpc), peered), bytes);
        }
        self.other_pairs = self.other_pairs.saturating_add(other.other_pairs);
        self.span = match (self.span, other.span) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        self.records += other.records;
        self.without_nat += other.without_nat;
        self.without_zones += other.without_zones;
    }

    /// What went through NAT gateways, each byte once: where a client's packets also passed other
    /// interfaces, only at the gateway.
    pub fn nat(&self) -> Nat {
        let mut nat = Nat { other_clients: self.other_hops, ..Nat::default() };
        for ((client, _), services, passed) in self.passed() {
            let sum = services.values().map(Bytes::sum).fold(0, u64::saturating_add);
            match passed {
                Passed::OnTheWay => {
                    nat.on_the_way = nat.on_the_way.saturating_add(sum);
                    continue;
                }
                Passed::Presumed => nat.presumed = nat.presumed.saturating_add(sum),
                Passed::Gateway => {}
            }
            let known = nat.clients.entry(client).or_default();
            for (service, bytes) in services {
                known.entry(service.clone()).or_default().add(*bytes);
            }
        }
        nat
    }

    /// What crosses zones.
    pub fn zones(&self) -> Zones {
        let mut zones = Zones { unknown: self.other_pairs, ..Zones::default() };
        let mut legs: BTreeMap<(Address, Address), u64> = BTreeMap::new();
        if self.records > self.without_zones {
            zones.unknown = zones.unknown.saturating_add(self.other_hops.sum());
            for ((client, via), services, passed) in self.passed() {
                if passed == Passed::OnTheWay {
                    continue;
                }
                let mut sum = Bytes::default();
                for bytes in services.values() {
                    sum.add(*bytes);
                }
                for (ends, bytes) in [((client, via), sum.sent), ((via, client), sum.received)] {
                    if bytes > 0 {
                        legs.insert(ends, bytes);
                    }
                }
            }
        }
        let mut crossings = BTreeMap::new();
        for ((from, to, vpc, peered), bytes) in &self.pairs {
            let from = self.zone_of(*from, Some(*vpc)).map(|zone| (*from, zone));
            // A peering leads into another VPC.
            let to = if *peered && *vpc != NO_VPC {
                self.zone_elsewhere(*to, Some(*vpc)).map(|zone| (*to, zone))
            } else {
                self.zone_of(*to, Some(*vpc)).map(|zone| (*to, zone))
            };
            zones.cross(&mut crossings, (from, to), *bytes);
        }
        for ((from, to), bytes) in legs {
            let [from, to] = [from, to].map(|at| self.zone_of(at, None).map(|zone| (at, zone)));
            zones.cross(&mut crossings, (from, to), bytes);
        }
        zones.crossings = crossings
            .into_iter()
            .map(|((from, to), bytes)| {
                let [from, to] = [from, to].map(|(at, zone)| (at, zone.to_owned()));
                Crossing { from, to, bytes }
            })
            .collect();
        zones.crossings.sort_by_key(|crossing| std::cmp::Reverse(crossing.bytes));
        zones
    }

    /// The zone of an address: in this VPC, or else wherever there is only one.
    fn zone_of(&self, at: Address, vpc: Option<u32>) -> Result<&str, NoZone> {
        match vpc.and_then(|vpc| self.zones.get(&(at, vpc))) {
            Some(zone) => zone.as_deref().ok_or(NoZone::Ambiguous(at)),
            None => self.zone_elsewhere(at, None),
        }
    }

    /// The zone of an address in any VPC but this one.
    fn zone_elsewhere(&self, at: Address, but: Option<u32>) -> Result<&str, NoZone> {
        let known = self.zones.range((at, 0)..=(at, u32::MAX));
        let mut others = known.filter(|((_, vpc), _)| Some(*vpc) != but).map(|(_, zone)| zone);
        let first = others.next().ok_or(NoZone::Unknown)?;
        let only = first.as_deref().filter(|_| others.all(|zone| zone == first));
        only.ok_or(NoZone::Ambiguous(at))
    }

    /// Every hop, and what it is.
    fn passed(&self) -> impl Iterator<Item = ((Address, Address), &Services, Passed)> {
        let is_gateway =
            |hop: &(Address, Address)| self.ends.contains(&hop.1) && !self.handed_on.contains(hop);
        let behind: BTreeSet<Address> =
            self.hops.keys().filter(|hop| is_gateway(hop)).map(|(client, _)| *client).collect();
        self.hops.iter().map(move |(hop, services)| {
            let passed = match (is_gateway(hop), behind.contains(&hop.0)) {
                (true, _) => Passed::Gateway,
                (false, true) => Passed::OnTheWay,
                (false, false) => Passed::Presumed,
            };
            (*hop, services, passed)
        })
    }

    fn hop(&mut self, hop: (Address, Address), service: &str, bytes: Bytes) {
        if self.hops.len() >= ADDRESSES && !self.hops.contains_key(&hop) {
            self.other_hops.add(bytes);
            return;
        }
        let services = self.hops.entry(hop).or_default();
        let full = services.len() >= SERVICES && !services.contains_key(service);
        services.entry(if full { "other" } else { service }.to_owned()).or_default().add(bytes);
    }

    /// The number of a VPC.
    fn vpc(&mut self, name: Option<&str>) -> u32 {
        let Some(name) = name else { return NO_VPC };
        if let Some(vpc) = self.vpcs.get(name) {
            return *vpc;
        }
        match u32::try_from(self.vpcs.len() + 1) {
            Ok(next) if self.vpcs.len() < ADDRESSES => {
                self.vpcs.insert(name.to_owned(), next);
                next
            }
            _ => NO_VPC,
        }
    }

    fn zone(&mut self, own: (Address, u32), zone: Option<&str>) {
        if let Some(known) = self.zones.get_mut(&own) {
            if known.as_deref() != zone {
                *known = None;
            }
        } else if self.zones.len() < ADDRESSES {
            self.zones.insert(own, zone.map(str::to_owned));
        }
    }

    fn pair(&mut self, pair: Pair, bytes: u64) {
        if self.pairs.len() >= PAIRS && !self.pairs.contains_key(&pair) {
            self.other_pairs = self.other_pairs.saturating_add(bytes);
            return;
        }
        let sum = self.pairs.entry(pair).or_default();
        *sum = sum.saturating_add(bytes);
    }

    /// Whether the record is of a leg between a private client and what hands on its packets.
    fn through_nat(&mut self, record: &Record<'_>) -> bool {
        let (Some(src), Some(dst), Some(pkt_src), Some(pkt_dst)) =
            (record.srcaddr, record.dstaddr, record.pkt_srcaddr, record.pkt_dstaddr)
        else {
            self.without_nat += 1;
            return false;
        };
        let private = |address: Address| address.scope() == Scope::Private;
        let public = |address: Address| address.scope() == Scope::Public;
        let (via, hop, service, bytes) = if pkt_dst != dst && public(pkt_dst) && private(src) {
            let bytes = Bytes { sent: record.bytes, received: 0 };
            (dst, (src, dst), record.pkt_dst_aws_service, bytes)
        } else if pkt_src != src && public(pkt_src) && private(dst) {
            let bytes = Bytes { sent: 0, received: record.bytes };
            (src, (dst, src), record.pkt_src_aws_service, bytes)
        } else {
            if pkt_dst == dst && public(dst) && private(src) {
                if pkt_src == src {
                    keep(&mut self.ends, src);
                } else {
                    keep(&mut self.handed_on, (pkt_src, src));
                }
            }
            return false;
        };
        // A regional NAT gateway has no interface, and its id stands in the record.
        if record.resource_id.is_some_and(|id| id.starts_with("nat-")) {
            keep(&mut self.ends, via);
        }
        self.hop(hop, service.unwrap_or(INTERNET), bytes);
        true
    }

    fn between_zones(&mut self, record: &Record<'_>, is_leg: bool) {
        let (Some(zone), Some(direction), Some(src), Some(dst)) =
            (record.az_id, record.flow_direction, record.srcaddr, record.dstaddr)
        else {
            self.without_zones += 1;
            return;
        };
        let vpc = self.vpc(record.vpc_id);
        match direction {
            Direction::Ingress => self.zone((dst, vpc), Some(zone)),
            Direction::Egress => {
                self.zone((src, vpc), Some(zone));
                let inside = src.scope() == Scope::Private && dst.scope() == Scope::Private;
                // The paths within a Region: not said, the own VPC, a peering.
                if inside && !is_leg && matches!(record.traffic_path, None | Some(1 | 4)) {
                    self.pair((src, dst, vpc, record.traffic_path == Some(4)), record.bytes);
                }
            }
            Direction::Unknown => {}
        }
    }
}

/// Adds a value to a set that is not full.
fn keep<T: Ord>(set: &mut BTreeSet<T>, value: T) {
    if set.len() < ADDRESSES {
        set.insert(value);
    }
}

impl RecordSink for Transfer {
    fn record(&mut self, record: &Record<'_>) -> Verdict {
        if let (Some(start), Some(end)) = (record.start, record.end) {
            let (first, last) = self.span.unwrap_or((start, end));
            self.span = Some((first.min(start), last.max(end)));
        }
        if record.log_status == LogStatus::Ok && record.action != Action::Reject {
            self.records += 1;
            let is_leg = self.through_nat(record);
            self.between_zones(record, is_leg);
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
        let services =
            BTreeMap::from([("S3".to_owned(), of(10, 700)), (INTERNET.to_owned(), of(3, 0))]);
        let nat = transfer.nat();
        assert_eq!(nat.clients, BTreeMap::from([(at(HOST), services)]));
        assert_eq!((nat.presumed, nat.on_the_way), (0, 0));
        assert_eq!(transfer.span, Some((100, 160)));
        assert_eq!((transfer.records, transfer.without_nat, transfer.without_zones), (8, 0, 8));

        let mut twice = transfer.clone();
        twice.merge(transfer);
        assert_eq!(twice.nat().clients[&at(HOST)]["S3"], of(20, 1400));
        assert_eq!((twice.records, twice.without_zones), (16, 16));
    }

    /// A host's packets pass a transit gateway and a firewall, then the hub's NAT gateway.
    fn by_transit_gateway() -> [Record<'static>; 12] {
        const SPOKE: &str = "10.0.9.9";
        const HUB: &str = "10.5.9.9";
        const FIREWALL: &str = "10.5.8.8";
        [
            record([HOST, FAR, HOST, FAR], 10),
            record([HOST, SPOKE, HOST, FAR], 10),
            record([HUB, FAR, HOST, FAR], 10),
            record([HOST, FIREWALL, HOST, FAR], 10),
            record([FIREWALL, FAR, HOST, FAR], 10),
            // The firewall looks for updates.
            record([FIREWALL, FAR, FIREWALL, FAR], 1),
            record([HOST, GATEWAY, HOST, FAR], 10),
            record([GATEWAY, FAR, GATEWAY, FAR], 10),
            record([FAR, GATEWAY, FAR, GATEWAY], 20),
            record([GATEWAY, HOST, FAR, HOST], 20),
            record([FAR, HUB, FAR, HOST], 20),
            record([SPOKE, HOST, FAR, HOST], 20),
        ]
    }

    #[test]
    fn what_else_hands_packets_on_is_no_nat_gateway() {
        let all = by_transit_gateway();
        let summed = |records: &mut dyn Iterator<Item = &Record<'static>>| {
            let mut transfer = Transfer::default();
            for record in records {
                transfer.record(record);
            }
            transfer
        };
        // In whatever order.
        for transfer in [summed(&mut all.iter()), summed(&mut all.iter().rev())] {
            let nat = transfer.nat();
            assert_eq!(nat.clients[&at(HOST)][INTERNET], Bytes { sent: 10, received: 20 });
            assert_eq!((nat.clients.len(), nat.presumed, nat.on_the_way), (1, 0, 40));
        }
        // The hub has no flow log: the attachment in the spoke stands for its gateway.
        let mut spoke = [0, 1, 11].map(|n| &all[n]).into_iter();
        let nat = summed(&mut spoke).nat();
        assert_eq!(nat.clients[&at(HOST)][INTERNET], Bytes { sent: 10, received: 20 });
        assert_eq!((nat.presumed, nat.on_the_way), (30, 0));
    }

    #[test]
    fn a_regional_gateway_tells_what_it_is() {
        let mut transfer = Transfer::default();
        let regional = Some("nat-0a1b2c3d4e5f60718");
        let leg = Record { resource_id: regional, ..record([HOST, GATEWAY, HOST, FAR], 10) };
        transfer.record(&leg);
        transfer.record(&record([HOST, "10.0.9.9", HOST, FAR], 10));
        let nat = transfer.nat();
        assert_eq!(nat.clients[&at(HOST)][INTERNET].sent, 10);
        assert_eq!((nat.presumed, nat.on_the_way), (0, 10));
    }

    #[test]
    fn both_ways_to_a_gateway_in_another_zone_are_counted() {
        let of = |ends, bytes, zone, direction| Record {
            az_id: Some(zone),
            flow_direction: Some(direction),
            ..record(ends, bytes)
        };
        let (host, gateway) = ("use1-az2", "use1-az1");
        let mut transfer = Transfer::default();
        for record in [
            of([HOST, FAR, HOST, FAR], 100, host, Direction::Egress),
            of([HOST, GATEWAY, HOST, FAR], 100, gateway, Direction::Ingress),
            of([GATEWAY, FAR, GATEWAY, FAR], 100, gateway, Direction::Egress),
            of([FAR, GATEWAY, FAR, GATEWAY], 7, gateway, Direction::Ingress),
            of([GATEWAY, HOST, FAR, HOST], 7, gateway, Direction::Egress),
            of([FAR, HOST, FAR, HOST], 7, host, Direction::Ingress),
            // Something of the gateway's network is asked by the host itself.
            of([HOST, GATEWAY, HOST, GATEWAY], 1, host, Direction::Egress),
        ] {
            transfer.record(&record);
        }
        let zones = transfer.zones();
        let found: Vec<_> =
            zones.crossings.iter().map(|c| (c.from.1.as_str(), c.to.0, c.bytes)).collect();
        assert_eq!(found, [(host, at(GATEWAY), 101), (gateway, at(HOST), 7)]);
        assert_eq!((zones.within, zones.unknown), (0, 0));
    }

    #[test]
    fn records_that_cannot_tell_are_counted() {
        let mut transfer = Transfer::default();
        let whole = Record {
            az_id: Some("use1-az1"),
            flow_direction: Some(Direction::Egress),
            ..record([HOST, FAR, HOST, FAR], 1)
        };
        transfer.record(&whole);
        transfer.record(&Record { pkt_srcaddr: None, ..whole });
        transfer.record(&Record { az_id: None, ..whole });
        transfer.record(&Record { flow_direction: None, pkt_dstaddr: None, ..whole });
        transfer.record(&Record { action: Action::Reject, pkt_dstaddr: None, ..whole });
        assert_eq!((transfer.records, transfer.without_nat, transfer.without_zones), (4, 2, 2));
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

    /// Two VPCs with the same addresses, in whatever order their records come.
    #[test]
    fn addresses_of_two_vpcs_are_told_apart() {
        let (a, b) = ("10.0.1.5", "10.0.2.5");
        let of = |vpc: Option<&'static str>, receiver: &'static str, bytes: u64| {
            let egress = Record {
                vpc_id: vpc,
                az_id: Some("use1-az1"),
                flow_direction: Some(Direction::Egress),
                traffic_path: Some(1),
                ..record([a, b, a, b], bytes)
            };
            let direction = Some(Direction::Ingress);
            let ingress = Record { az_id: Some(receiver), flow_direction: direction, ..egress };
            let mut transfer = Transfer::default();
            transfer.record(&egress);
            transfer.record(&ingress);
            transfer
        };
        let both = |first: &Transfer, second: &Transfer| {
            let mut both = first.clone();
            both.merge(second.clone());
            both.zones()
        };
        let one = of(Some("vpc-a"), "use1-az1", 100);
        let two = of(Some("vpc-c"), "use1-az2", 500);
        for zones in [both(&one, &two), both(&two, &one)] {
            let found: Vec<_> =
                zones.crossings.iter().map(|c| (c.to.1.as_str(), c.bytes)).collect();
            assert_eq!((found, zones.within, zones.unknown), (vec![("use1-az2", 500)], 100, 0));
            assert!(zones.ambiguous.is_empty());
        }
        let one = of(None, "use1-az1", 100);
        let two = of(None, "use1-az2", 500);
        for zones in [both(&one, &two), both(&two, &one)] {
            assert_eq!((zones.crossings.len(), zones.within, zones.unknown), (0, 0, 600));
            assert_eq!(zones.ambiguous, BTreeSet::from([at(b)]));
        }
    }

    #[test]
    fn forged_addresses_are_summed_up() {
        let mut transfer = Transfer::default();
        for n in 0..u32::try_from(ADDRESSES).unwrap() + 10 {
            let host = Address::V4((0x0a00_0000 + n).into());
            let record = Record { srcaddr: Some(host), ..record([HOST, GATEWAY, HOST, FAR], 1) };
            transfer.record(&record);
        }
        let nat = transfer.nat();
        assert_eq!((nat.clients.len(), nat.other_clients.sent), (ADDRESSES, 10));
    }
}
