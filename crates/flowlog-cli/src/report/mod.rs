//! What `analyze` and `local` answer: totals, interfaces, top talkers, rejected sources and ports,
//! findings, coverage. One structure; JSON and text are two views of it.

mod builder;
mod gaps;
mod held;
mod json;
mod table;
mod tops;

pub use builder::{Builder, Found, Room};
pub use gaps::{Gap, Gaps};
pub use held::LeftOut;
pub use json::{Json, to_json};
pub use table::{printable, render as to_text};
pub(crate) use table::{protocol as protocol_name, table, time};

use flowlog_core::decode::Counts;
use flowlog_core::detect::Finding;
use flowlog_core::record::{Action, Address, Direction, Window};
use flowlog_core::rollup::{ActionTotals, PortKey, Rollup};

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// As it was named, or found.
    pub path: String,
    /// `plain v2`, `gzip v5 (21 fields)`, …; `unknown` where it could not be told.
    pub format: String,
    /// What became of its lines.
    pub counts: Counts,
    /// Why it could not be read.
    pub error: Option<String>,
}

/// One interface (or transit gateway attachment) in one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceWindow {
    /// Owner; empty where the format has none.
    pub account_id: String,
    /// Interface, attachment, or `-`.
    pub interface_id: String,
    /// The window.
    pub window: Window,
    /// Sums by action.
    pub totals: ActionTotals,
}

/// Who talks most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TalkerRow {
    /// The other side of the interfaces looked at.
    pub address: Address,
    /// Flow records.
    pub records: u64,
    /// Packets both ways.
    pub packets: u64,
    /// Towards the interfaces.
    pub bytes_in: u64,
    /// From the interfaces.
    pub bytes_out: u64,
}

/// Who is refused most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// The source.
    pub address: Address,
    /// Rejected records.
    pub records: u64,
    /// Rejected packets.
    pub packets: u64,
    /// Rejected bytes.
    pub bytes: u64,
    /// The most different (host, port) pairs it tried on one interface in one window.
    pub contacts: u32,
    /// Earliest start (epoch seconds).
    pub first: i64,
    /// Latest end (epoch seconds).
    pub last: i64,
}

/// Where refused traffic was going.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRow {
    /// Protocol and destination port.
    pub key: PortKey,
    /// Rejected records.
    pub records: u64,
}

/// How complete the answer is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Interface-windows with any record.
    pub interface_windows: u64,
    /// Of them, those in which AWS reported skipped records.
    pub with_skipdata: u64,
    /// Of them, those that saw only NODATA: silent, and known to be.
    pub only_nodata: u64,
    /// First window.
    pub from: Option<Window>,
    /// Last window.
    pub to: Option<Window>,
    /// Times between two windows of an interface of which nothing is on record, not even NODATA.
    pub gaps: Gaps,
    /// Fields that the format of some records did not have.
    pub lacking: Vec<&'static str>,
    /// Weight that talkers not listed, or listed too low, may have: bytes.
    pub talkers_error: u64,
    /// The same for rejected sources: records.
    pub sources_error: u64,
    /// The same for rejected ports: records.
    pub ports_error: u64,
    /// What there was no room for one by one: in all sums, but in no line and no finding.
    pub left_out: LeftOut,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Every file.
    pub files: Vec<FileReport>,
    /// Their counts summed.
    pub totals: Counts,
    /// Sorted by interface, then window.
    pub interfaces: Vec<InterfaceWindow>,
    /// Heaviest first, by bytes.
    pub top_talkers: Vec<TalkerRow>,
    /// Heaviest first, by records.
    pub rejected_sources: Vec<SourceRow>,
    /// Heaviest first, by records.
    pub rejected_ports: Vec<PortRow>,
    /// Loudest first, then by time.
    pub findings: Vec<Finding>,
    /// How complete all this is.
    pub coverage: Coverage,
    /// Things the reader should know.
    pub notes: Vec<String>,
}

impl Report {
    /// Sums over every interface and window.
    pub fn traffic(&self) -> ActionTotals {
        let mut sum = self.coverage.left_out.totals;
        for row in &self.interfaces {
            sum.add(&row.totals);
        }
        sum
    }
}

/// Accepted bytes (and those of no action) that no listed talker has, or the wrong one may have: what an address may
/// have more than its listed ports say. The list's own bound is of one port of an address, of which it may lack
/// several; and a record of which neither address is the interface's is counted under one of the two.
pub(crate) fn unlisted_bytes(rollup: &Rollup) -> u64 {
    let totals = rollup.totals();
    let all = totals.accept.bytes.saturating_add(totals.other.bytes);
    let listed = rollup.talkers.iter().fold(0_u64, |sum, (_, one)| sum.saturating_add(one.bytes()));
    let undirected = rollup.breakdown.iter().filter(|((action, direction, _), _)| {
        *action != Action::Reject && *direction == Direction::Unknown
    });
    let undirected = undirected.fold(0_u64, |sum, (_, sums)| sum.saturating_add(sums.bytes));
    all.saturating_sub(listed).saturating_add(undirected)
}
