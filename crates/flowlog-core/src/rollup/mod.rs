//! Sums per interface and window, and the bounded lists beside them.
//!
//! [`Accumulator`] takes records in and gives out chunks of [`Rollup`]s: one per (interface, 300 s
//! window). A `Rollup` is also what a reader folds partials into: [`Rollup::merge`] is commutative
//! and associative for everything exact, and keeps the stated error bounds for the rest.
//!
//! *Architecture invariant*: memory depends on limits, never on how many addresses or interfaces a
//! stranger invents; and the same records give the same bytes, whatever the hashers' seeds.

mod accumulator;
mod blob;
mod connections;
mod described;
mod distinct;
mod flow;
mod fold;
mod known;
mod lists;
mod mapping;
mod own;
mod ranked;
mod samples;
mod sums;
mod table;
mod talkers;

pub use accumulator::{Accumulator, Budget, Chunk, ChunkSink};
pub use blob::{BLOB_LIMIT, BlobError};
pub use connections::{
    About, NAME_LIMIT, SHORT_FLOW_PACKETS, Service, Tuple, Verdicts, WATCHED_PORTS, is_watched,
};
pub use distinct::{Distinct, DistinctEstimate};
pub(crate) use flow::opened_by_source;
pub use fold::Fold;
pub use mapping::Mapping;
pub(crate) use own::Own;
pub use ranked::{Ranked, Weigh};
pub use sums::{ActionTotals, Breakdown, BreakdownKey, Sums};

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::distinct::Token;
use crate::format::Format;
use crate::record::{Action, Address, Direction, Field, Record, Scope};

/// How many talkers, rejected sources and rejected ports a stored roll-up lists.
pub const LISTED: usize = 32;
/// How many rejected tuples a stored roll-up lists.
pub const TUPLES: usize = 16;
/// How many contacts of one rejected source are kept exactly; every threshold is below it.
pub const CONTACTS: usize = 64;
/// How many whole records are kept as evidence.
pub const EVIDENCE: usize = 8;

/// Everything that is kept of one interface (or transit gateway attachment) in one window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollup {
    /// Owner of the interface, as AWS writes it; empty where the format has none.
    pub account_id: String,
    /// VPC of the interface; empty where the format has none.
    pub vpc_id: String,
    /// Sums by action, direction and scope of the remote address; exact.
    pub breakdown: Breakdown,
    /// NODATA records: capture windows without traffic. Healthy.
    pub nodata: u64,
    /// SKIPDATA records: capture windows in which AWS lost records. A gap.
    pub skipdata: u64,
    /// Who talked (accepted traffic, or all of it where the format has no action), by bytes.
    pub talkers: Ranked<TalkerKey, Talker>,
    /// Who was refused, by records.
    pub rejected_sources: Ranked<Address, RejectedSource>,
    /// Where refused traffic was going (protocol, destination port), by records.
    pub rejected_ports: Ranked<PortKey, Tally>,
    /// How many remote addresses talked.
    pub distinct_talkers: Distinct,
    /// How many sources were refused.
    pub distinct_rejected_sources: Distinct,
    /// How many (protocol, port) pairs were refused.
    pub distinct_rejected_ports: Distinct,
    /// Records by tcp-flags value.
    pub tcp_flags: BTreeMap<u8, u64>,
    /// Records by traffic-path.
    pub traffic_path: BTreeMap<u8, u64>,
    /// Records by encryption-status.
    pub encryption_status: BTreeMap<u8, u64>,
    /// Rejected records by reject-reason; at most eight reasons, the rest under `other`.
    pub reject_reasons: BTreeMap<String, u64>,
    /// Packets a transit gateway lost: no route, black hole, MTU exceeded, TTL expired.
    pub packets_lost: [u64; 4],
    /// What the format of some of the records did not have: answers that need it are incomplete.
    pub lacking: Lacking,
    /// Whole records behind the most rejected sources.
    pub evidence: Vec<Evidence>,
    /// Refused connections between private addresses, by rejected records. Since mapping 2.
    #[serde(skip)]
    pub rejected_tuples: Ranked<Tuple, Verdicts>,
    /// Accepted use of watched ports, and what refused sources exchanged all the same, by flows.
    /// The port is the interface's own. Its error bounds the use of watched ports; the rest is copied from the
    /// talkers, and lacks what they do not list. Since mapping 2.
    #[serde(skip)]
    pub services: Ranked<TalkerKey, Service>,
    /// Bytes by traffic-path. Since mapping 2.
    #[serde(skip)]
    pub path_bytes: BTreeMap<u8, u64>,
    /// Whose interface it is. Since mapping 2.
    #[serde(skip)]
    pub about: About,
}

/// Whom an interface talked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TalkerKey {
    /// The other side.
    pub remote: Address,
    /// The service port: the lower of the two, 0 where there is none.
    pub port: u16,
    /// IANA protocol number, 255 where the format has none.
    pub protocol: u8,
}

/// How much an interface exchanged with a talker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Talker {
    /// Flow records.
    pub records: u64,
    /// Towards the interface.
    pub packets_in: u64,
    /// Towards the interface.
    pub bytes_in: u64,
    /// From the interface (or of unknown direction).
    pub packets_out: u64,
    /// From the interface (or of unknown direction).
    pub bytes_out: u64,
}

impl Talker {
    /// Adds a record.
    #[inline]
    fn add(&mut self, direction: Direction, packets: u64, bytes: u64) {
        self.records = self.records.saturating_add(1);
        let (of_packets, of_bytes) = match direction {
            Direction::Ingress => (&mut self.packets_in, &mut self.bytes_in),
            Direction::Egress | Direction::Unknown => (&mut self.packets_out, &mut self.bytes_out),
        };
        *of_packets = of_packets.saturating_add(packets);
        *of_bytes = of_bytes.saturating_add(bytes);
    }

    /// Bytes both ways.
    pub fn bytes(&self) -> u64 {
        self.bytes_in.saturating_add(self.bytes_out)
    }
}

impl Weigh for Talker {
    fn weight(&self) -> u64 {
        self.bytes()
    }

    fn absorb(&mut self, other: &Self) {
        self.records = self.records.saturating_add(other.records);
        self.packets_in = self.packets_in.saturating_add(other.packets_in);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.packets_out = self.packets_out.saturating_add(other.packets_out);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
    }
}

/// One thing that a refused source tried to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Contact {
    /// Destination address.
    pub host: Address,
    /// Destination port, 0 for ICMP.
    pub port: u16,
    /// IANA protocol number.
    pub protocol: u8,
}

/// What a refused source did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedSource {
    /// Rejected records.
    pub records: u64,
    /// Rejected packets.
    pub packets: u64,
    /// Rejected bytes.
    pub bytes: u64,
    /// Of the records, those that look like late replies (by their flags, or from a service port to a high one): they
    /// are counted, but are no contacts.
    pub replies: u64,
    /// Earliest start (epoch seconds).
    pub first: i64,
    /// Latest end (epoch seconds).
    pub last: i64,
    /// Towards the interface, or from it.
    pub direction: Direction,
    /// The first [`CONTACTS`] contacts in order.
    pub contacts: Vec<Contact>,
    /// How many different contacts there were; beyond the listed ones a lower bound.
    pub contact_count: u32,
}

impl RejectedSource {
    /// Whether every contact is listed, so that `contact_count` is exact.
    pub fn contacts_complete(&self) -> bool {
        usize::try_from(self.contact_count).is_ok_and(|n| n == self.contacts.len())
    }
}

impl Weigh for RejectedSource {
    fn weight(&self) -> u64 {
        self.records
    }

    fn absorb(&mut self, other: &Self) {
        self.records = self.records.saturating_add(other.records);
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.replies = self.replies.saturating_add(other.replies);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        if self.direction != other.direction {
            self.direction = Direction::Unknown;
        }
        let whole = self.contacts_complete() && other.contacts_complete();
        self.contacts.extend_from_slice(&other.contacts);
        self.contacts.sort_unstable();
        self.contacts.dedup();
        let listed = u32::try_from(self.contacts.len()).unwrap_or(u32::MAX);
        self.contact_count = listed.max(self.contact_count).max(other.contact_count);
        self.contacts.truncate(CONTACTS);
        if !whole && self.contacts_complete() {
            // What one side did not list may be what the other did, or not: one less is listed, so that the list
            // does not say that it is all.
            self.contacts.pop();
        }
    }
}

/// A destination port that refused traffic was going to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortKey {
    /// IANA protocol number, 255 where the format has none.
    pub protocol: u8,
    /// Destination port.
    pub port: u16,
}

/// A number of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally(pub u64);

impl Weigh for Tally {
    fn weight(&self) -> u64 {
        self.0
    }

    fn absorb(&mut self, other: &Self) {
        self.0 = self.0.saturating_add(other.0);
    }
}

/// A whole record, kept to show why something was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Evidence {
    /// First packet (epoch seconds).
    pub start: i64,
    /// Last packet (epoch seconds).
    pub end: i64,
    /// Source address.
    pub srcaddr: Option<Address>,
    /// Destination address.
    pub dstaddr: Option<Address>,
    /// Source port.
    pub srcport: u16,
    /// Destination port.
    pub dstport: u16,
    /// IANA protocol number, 255 where the format has none.
    pub protocol: u8,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Verdict.
    pub action: Action,
}

impl Evidence {
    /// What is kept of a record.
    pub(crate) fn of(record: &Record<'_>) -> Self {
        Self {
            start: record.start.unwrap_or(0),
            end: record.end.unwrap_or(0),
            srcaddr: record.srcaddr,
            dstaddr: record.dstaddr,
            srcport: record.srcport.unwrap_or(0),
            dstport: record.dstport.unwrap_or(0),
            protocol: record.protocol.unwrap_or(u8::MAX),
            packets: record.packets,
            bytes: record.bytes,
            action: record.action,
        }
    }
}

/// Fields that the format of some of the records did not have, as a set of bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacking(u16);

/// The fields whose absence limits what can be answered, by bit.
const WANTED: [Field; 9] = [
    Field::Action,
    Field::FlowDirection,
    Field::TcpFlags,
    Field::PktSrcaddr,
    Field::TrafficPath,
    Field::RejectReason,
    Field::EncryptionStatus,
    Field::VpcId,
    Field::LogStatus,
];

impl Lacking {
    /// What a format lacks.
    pub fn of(format: &Format) -> Self {
        let bits = WANTED.iter().enumerate().filter(|(_, f)| !format.has(**f));
        Self(bits.fold(0, |set, (bit, _)| set | 1 << bit))
    }

    /// The fields that are lacking.
    pub fn fields(self) -> impl Iterator<Item = Field> {
        WANTED.iter().enumerate().filter(move |(bit, _)| self.0 & 1 << bit != 0).map(|(_, f)| *f)
    }

    /// Adds what another format lacks.
    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl Rollup {
    /// Sums by action.
    pub fn totals(&self) -> ActionTotals {
        self.breakdown.by_action()
    }

    /// Folds another roll-up of the same interface in (of the same window, or of another to look at
    /// several windows at once). For many there is [`Fold`].
    pub fn merge(&mut self, other: &Self) {
        let mut fold = Fold::from(std::mem::take(self));
        fold.add(other);
        *self = fold.finish();
    }

    /// Keeps the `n` heaviest entries of each list.
    fn cap_lists(&mut self, n: usize) {
        // A count that rests on its list must be taken before the list loses an entry.
        if self.talkers.len() > n {
            self.distinct_talkers = self.talkers_seen().into_owned();
        }
        if self.rejected_sources.len() > n {
            self.distinct_rejected_sources = self.rejected_sources_seen().into_owned();
        }
        if self.rejected_ports.len() > n {
            self.distinct_rejected_ports = self.rejected_ports_seen().into_owned();
        }
        self.talkers.cap(n);
        self.rejected_sources.cap(n);
        self.rejected_ports.cap(n);
        self.rejected_tuples.cap(n);
        self.services.cap(n);
    }

    /// Different remote addresses that talked.
    pub fn talkers_seen(&self) -> Cow<'_, Distinct> {
        self.distinct_talkers.or_of(self.talker_tokens())
    }

    /// Different refused sources.
    pub fn rejected_sources_seen(&self) -> Cow<'_, Distinct> {
        self.distinct_rejected_sources.or_of(self.source_tokens())
    }

    /// Different refused (protocol, port) pairs.
    pub fn rejected_ports_seen(&self) -> Cow<'_, Distinct> {
        self.distinct_rejected_ports.or_of(self.port_tokens())
    }

    fn talker_tokens(&self) -> impl Iterator<Item = Token> {
        self.talkers.iter().map(|(key, _)| Distinct::address(&key.remote))
    }

    fn source_tokens(&self) -> impl Iterator<Item = Token> {
        self.rejected_sources.iter().map(|(address, _)| Distinct::address(address))
    }

    fn port_tokens(&self) -> impl Iterator<Item = Token> {
        self.rejected_ports.iter().map(|(key, _)| Distinct::port(*key))
    }
}

/// The scope of a remote address that may not be there.
fn scope_of(address: Option<Address>) -> Scope {
    address.map_or(Scope::Unknown, |a| a.scope())
}
