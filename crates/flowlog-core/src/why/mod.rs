//! Can A reach B? What both interfaces recorded of either direction, and what follows from it.
//!
//! ```text
//!        A's interface          between          B's interface
//!  A ──► sent     ────────► route, peering ────► arrived  ──► B      forward
//!  A ◄── returned ◄──────── route, peering ◄──── answered ◄── B      back
//! ```
//!
//! Each of the four legs is recorded where it passes an interface, as accepted or as refused by what
//! guards *that* interface. A transit gateway between the two has no verdict, but says what it dropped. So the place of the last record tells where the packets were lost, and its
//! verdict tells how. [`Gatherer`] takes records in; [`Evidence::explain`] is a pure function from what
//! they say to an [`Explanation`]. What no record can tell is said, too: a refusal does not name
//! whether a security group or a network ACL refused.

mod explain;
mod gather;
mod heard;
#[cfg(test)]
mod tests;
mod words;

pub use explain::{Explanation, Outcome, Sureness};
pub use gather::Gatherer;
pub use heard::Heard;

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{Action, Address, Scope, WINDOW_SECONDS, Window};
use crate::rollup::Evidence as Row;

/// How many rows of each leg and verdict are kept to be shown.
pub const SHOWN: usize = 3;
/// How many services of one pair of addresses are told apart; a port scan has more.
pub const SERVICES: usize = 256;
/// How many gaps of one interface are kept one by one; later ones lengthen the last.
pub const GAPS: usize = 64;
/// Seconds without any record that are worth telling: a flow log that aggregates for ten minutes fills every other
/// window, and data comes late.
pub const UNHEARD: i64 = 3_600;
/// How many interfaces are remembered.
pub const INTERFACES: usize = 65_536;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// Who opens the connection.
    pub src: Address,
    /// Who is to answer.
    pub dst: Address,
    /// The port of `dst`; without it every port that shows is answered for.
    pub port: Option<u16>,
    /// IANA protocol number; without it every one that shows.
    pub protocol: Option<u8>,
}

/// What is reached: a port by a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    /// IANA protocol number, 255 where the format has none.
    pub protocol: u8,
    /// The server's port, 0 for ICMP.
    pub port: u16,
}

/// Records of one direction and verdict at one end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many; 0 where roll-ups keep packets only.
    pub records: u64,
    /// Their packets; 0 where only records are known.
    pub packets: u64,
    /// Start of the first (epoch seconds).
    pub first: i64,
    /// End of the last (epoch seconds).
    pub last: i64,
    /// The first windows of the roll-ups that have any; empty from records.
    pub windows: BTreeSet<Window>,
    /// End of the last that is more than resets (epoch seconds); `None` if there is none, or roll-ups, which keep no
    /// flags.
    pub alive: Option<i64>,
    /// Start of the last that opens a connection, by its SYN flag (epoch seconds); `None` as `alive`.
    pub opened: Option<i64>,
    /// TCP flags of all, ORed; `None` if no record has any.
    pub flags: Option<u8>,
    /// `reject-reason` of those that have one; why a transit gateway dropped packets.
    pub reasons: BTreeSet<String>,
    /// `traffic-path` of those that have one.
    pub paths: BTreeSet<u8>,
    /// The first and the latest rows, [`SHOWN`] at most.
    pub rows: Vec<Row>,
}

/// One direction at one end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leg {
    /// What was let through.
    pub accepted: Seen,
    /// What was refused.
    pub refused: Seen,
}

impl Leg {
    /// Records of both kinds; packets where only those are kept.
    fn weight(&self) -> u64 {
        let of = |seen: &Seen| if seen.records == 0 { seen.packets } else { seen.records };
        of(&self.accepted).saturating_add(of(&self.refused))
    }
}

/// The four legs of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Legs {
    /// A's interface, forward.
    pub sent: Leg,
    /// B's interface, forward.
    pub arrived: Leg,
    /// B's interface, back.
    pub answered: Leg,
    /// A's interface, back.
    pub returned: Leg,
    /// Transit gateways, forward: what they carried, and (refused) records of which they dropped packets.
    pub carried: Leg,
    /// Transit gateways, back.
    pub carried_back: Leg,
}

/// What is known of one end of the path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct End {
    /// Interfaces that have the address, by id, with VPC and subnet where the format has them.
    pub interfaces: BTreeMap<String, Place>,
    /// Capture windows in which AWS skipped records of these interfaces.
    pub gaps: Vec<(i64, i64)>,
    /// Times of which nothing was delivered of one of these interfaces, not even NODATA.
    pub silent: Vec<(i64, i64)>,
    /// First and last second that any record of these interfaces speaks of, NODATA included.
    pub span: Option<(i64, i64)>,
    /// Of which verdicts the flow logs here have records at all.
    pub shows: Shows,
    /// Whether lists of roll-ups here are cut, so that what they lack may have been.
    pub cut: bool,
}

/// Of which verdicts there is any record: a flow log may be of accepted, or of refused, traffic only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shows {
    /// Any ACCEPT record.
    pub accepted: bool,
    /// Any REJECT record.
    pub refused: bool,
}

/// What an interface whose own address does not show exchanged with one of the two ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Passed {
    /// With B, so that it may be A's; otherwise with A.
    pub with_dst: bool,
    /// The interface.
    pub interface: String,
    /// At which port.
    pub service: Service,
    /// Accepted towards the interface.
    pub packets_in: u64,
    /// Accepted from the interface.
    pub packets_out: u64,
}

/// What of the files is not in the evidence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unread {
    /// Files that there are.
    pub of: u64,
    /// Files that could not be read.
    pub files: u64,
    /// Lines of the others that could not be read.
    pub lines: u64,
}

/// Where an interface is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// `vpc-…`; empty where the format has none.
    pub vpc_id: String,
    /// `subnet-…`; empty where the format has none.
    pub subnet_id: String,
}

impl Place {
    /// Whether it is known to be in none of these VPCs, of which none is unknown, and there are some.
    pub fn is_beside(&self, vpcs: &BTreeSet<String>) -> bool {
        let is_unknown = vpcs.is_empty() || vpcs.contains("") || self.vpc_id.is_empty();
        !is_unknown && !vpcs.contains(&self.vpc_id)
    }
}

/// Where the evidence comes from, and so what it cannot tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Every record of the files that were read.
    Records,
    /// Roll-ups: bounded lists of who talked and of what was refused.
    RollUps,
}

/// All that is known of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The question.
    pub path: Path,
    /// Where this comes from.
    pub basis: Basis,
    /// A's end.
    pub src: End,
    /// B's end.
    pub dst: End,
    /// What became of each service, by port and protocol.
    pub services: BTreeMap<Service, Legs>,
    /// Records of the pair at interfaces that have neither address: NAT gateways, appliances, transit gateways.
    pub between: BTreeMap<String, u64>,
    /// Of those, attachments of transit gateways that dropped packets of the pair.
    pub dropped_by: BTreeSet<String>,
    /// Interfaces that stand for an end under another, primary address.
    pub secondary: BTreeSet<String>,
    /// Records of the pair at interfaces whose own address could not be told.
    pub unplaced: u64,
    /// Records of connections the other way round: opened by B.
    pub reverse: u64,
    /// Records between the interfaces that are of other addresses of theirs, or of hosts behind them.
    pub beside: u64,
    /// Services beyond [`SERVICES`] that are not told apart.
    pub more_services: u64,
    /// Interfaces of which roll-ups do not show the own address: either end may be one of them.
    pub hidden: u64,
    /// What those exchanged with the ends.
    pub passed: Vec<Passed>,
    /// What could not be read.
    pub unread: Unread,
    /// Times of an [hour](UNHEARD) or more, of what was asked about, of which no record of any interface speaks: first
    /// second, and the one after the last. Of roll-ups, who asks the store knows them.
    pub unheard: Vec<(i64, i64)>,
}

impl End {
    /// The VPCs of its interfaces, where they are known. Where there are several, they are as many hosts.
    pub fn vpcs(&self) -> BTreeSet<&str> {
        let vpcs = self.interfaces.values().map(|place| place.vpc_id.as_str());
        vpcs.filter(|vpc| !vpc.is_empty()).collect()
    }

    /// Whether a flow log covers this end.
    pub fn is_covered(&self) -> bool {
        !self.interfaces.is_empty()
    }

    /// Whether records are missing here all the time from one moment to another, skipped by AWS or not
    /// delivered, so that what belongs there may be missing as a whole. Gaps that touch count as one.
    pub fn is_lost(&self, from: i64, to: i64) -> bool {
        // What came of a window is taken for all of it: a silence is one of whole windows here.
        let up = |second: i64| (second + WINDOW_SECONDS - 1).div_euclid(WINDOW_SECONDS);
        let down = |second: i64| second.div_euclid(WINDOW_SECONDS);
        let whole = self
            .silent
            .iter()
            .map(|(from, to)| (up(*from) * WINDOW_SECONDS, down(to + 1) * WINDOW_SECONDS - 1));
        let mut gaps: Vec<_> = self.gaps.iter().copied().chain(whole).collect();
        gaps.sort_unstable();
        let mut known_until = from;
        for (start, end) in gaps {
            if start <= known_until && end >= known_until {
                known_until = end + 1;
            }
        }
        known_until > to
    }
}

impl Evidence {
    /// Nothing known yet.
    pub fn nothing(path: Path, basis: Basis) -> Self {
        Self {
            path,
            basis,
            src: End::default(),
            dst: End::default(),
            services: BTreeMap::new(),
            between: BTreeMap::new(),
            dropped_by: BTreeSet::new(),
            secondary: BTreeSet::new(),
            unplaced: 0,
            reverse: 0,
            beside: 0,
            more_services: 0,
            hidden: 0,
            passed: Vec::new(),
            unread: Unread::default(),
            unheard: Vec::new(),
        }
    }

    /// One explanation for each service that shows, or one for the service that was asked about.
    pub fn explain(&self) -> Vec<Explanation> {
        explain::explain(self)
    }
}

impl Shows {
    /// What a record with this verdict shows.
    pub fn of(action: Action) -> Self {
        // Where there are no verdicts, nothing is left out by its verdict.
        Self { accepted: action != Action::Reject, refused: action != Action::Accept }
    }

    /// Adds what others show.
    pub fn add(&mut self, other: Self) {
        self.accepted |= other.accepted;
        self.refused |= other.refused;
    }
}

impl Unread {
    /// Whether everything was read.
    pub fn is_nothing(&self) -> bool {
        self.files + self.lines == 0
    }
}

impl Leg {
    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.accepted.is_empty() && self.refused.is_empty()
    }
}

impl Seen {
    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.packets == 0
    }

    /// Adds a row.
    pub fn add(&mut self, row: Row, flags: Option<u8>) {
        const SYN: u8 = 2;
        const RST: u8 = 4;
        let rows = vec![row];
        let (first, last, packets) = (row.start, row.end, row.packets);
        let alive = (flags != Some(RST) || !is_bare(&row)).then_some(last);
        let opened = flags.is_some_and(|flags| flags & SYN != 0).then_some(first);
        let seen = Self {
            records: 1,
            packets,
            first,
            last,
            alive,
            opened,
            flags,
            rows,
            ..Self::default()
        };
        self.merge(&seen);
    }

    /// Adds what another saw.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            (self.first, self.last) = (other.first, other.last);
        }
        self.records = self.records.saturating_add(other.records);
        self.packets = self.packets.saturating_add(other.packets);
        (self.first, self.last) = (self.first.min(other.first), self.last.max(other.last));
        self.windows.extend(&other.windows);
        self.alive = self.alive.max(other.alive);
        self.opened = self.opened.max(other.opened);
        self.flags = match (self.flags, other.flags) {
            (Some(a), Some(b)) => Some(a | b),
            (a, b) => a.or(b),
        };
        self.paths.extend(&other.paths);
        self.reasons.extend(other.reasons.iter().take(GAPS).cloned());
        self.rows.extend_from_slice(&other.rows);
        self.rows.sort_unstable();
        // The first rows, and the latest one.
        if self.rows.len() > SHOWN {
            self.rows.drain(SHOWN - 1..self.rows.len() - 1);
        }
    }
}

impl Leg {
    /// Adds what another saw.
    pub fn merge(&mut self, other: &Self) {
        self.accepted.merge(&other.accepted);
        self.refused.merge(&other.refused);
    }
}

/// Whether transit gateways carried what left an interface, the last of it, too, and dropped nothing.
fn is_carried(left: &Leg, carried: &Leg) -> bool {
    let (left, by) = (&left.accepted, &carried.accepted);
    carried.refused.is_empty() && !by.is_empty() && by.last + TOGETHER >= left.last
}

/// Seconds between records that may still be of one attempt: two records of ten minutes.
const TOGETHER: i64 = 1_200;

/// Whether a record of TCP is of no more than headers: a reset has 40 bytes over IPv4, 60 over IPv6; what opens a
/// connection has options, too.
fn is_bare(row: &Row) -> bool {
    let least = if matches!(row.srcaddr, Some(Address::V6(_))) { 60 } else { 40 };
    row.protocol == 6 && row.bytes <= row.packets.saturating_mul(least)
}

/// Whether an address is one that our own interfaces cannot be expected to have.
fn is_stranger(address: Address, end: &End) -> bool {
    !end.is_covered() && address.scope() == Scope::Public
}
