//! What is paid for by the byte on its way: through NAT gateways ([`Transfer::nat`]), and between Availability Zones
//! ([`Transfer::zones`]).

mod nat;
#[cfg(test)]
mod tests;
mod zones;

use std::collections::{BTreeMap, BTreeSet};

pub use nat::Nat;
use zones::Pair;
pub use zones::{Crossing, Zones};

use crate::decode::{RecordSink, Verdict};
use crate::record::{Action, Address, LogStatus, Record};

/// Private addresses that are kept apart, on either side, or pairs of a client and what its packets
/// passed. What comes beyond is summed up.
pub const ADDRESSES: usize = 65_536;
/// Pairs of private addresses that are kept apart.
pub const PAIRS: usize = 262_144;
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
