//! What crosses Availability Zones.
//!
//! The sender's records tell its zone by `az-id`; the receiver's zone is known if its own
//! interface is in the records, too. What a client sends through a gateway shows the gateway's address
//! in the gateway's own records only, so both ways between the two are taken from there. VPCs may have the same
//! addresses, so an address is one within a VPC where records name that; where it is seen in two zones and nothing
//! tells which, its zone is unknown.

use std::collections::{BTreeMap, BTreeSet};

use super::nat::Passed;
use super::{ADDRESSES, Bytes, PAIRS, Transfer};
use crate::record::{Address, Direction, Record, Scope};

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

/// A sender, a receiver, the sender's VPC, and whether the way was a peering.
pub(super) type Pair = (Address, Address, u32, bool);

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

    /// The number of a VPC.
    pub(super) fn vpc(&mut self, name: Option<&str>) -> u32 {
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

    pub(super) fn zone(&mut self, own: (Address, u32), zone: Option<&str>) {
        if let Some(known) = self.zones.get_mut(&own) {
            if known.as_deref() != zone {
                *known = None;
            }
        } else if self.zones.len() < ADDRESSES {
            self.zones.insert(own, zone.map(str::to_owned));
        }
    }

    pub(super) fn pair(&mut self, pair: Pair, bytes: u64) {
        if self.pairs.len() >= PAIRS && !self.pairs.contains_key(&pair) {
            self.other_pairs = self.other_pairs.saturating_add(bytes);
            return;
        }
        let sum = self.pairs.entry(pair).or_default();
        *sum = sum.saturating_add(bytes);
    }

    pub(super) fn between_zones(&mut self, record: &Record<'_>, is_leg: bool) {
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
