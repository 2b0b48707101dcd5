//! What the page shows: one structure, which is also what `--format json` prints.
//!
//! Every list that can be filtered is given by interface, so that the page sums what it shows from the
//! same numbers. Lists are bounded, and hold the heaviest overall and of each interface.

use std::collections::BTreeMap;

use flowlog_core::record::{DAY_SECONDS, HOUR_SECONDS, WINDOW_SECONDS, Window};
use flowlog_core::rollup::{Rollup, Sums};
use flowlog_core::store::reader::Answer;
use flowlog_core::store::summary::WindowTotals;
use serde::Serialize;
use serde_json::Value;

use super::add;
use super::paths::paths;
use crate::ask::{Made, Material, Period};

/// How many interfaces are shown by themselves; what the others have is summed in one row.
pub const INTERFACES: usize = 300;
/// Most points on the time axis.
const POINTS: i64 = 400;
/// Steps of the time axis, in seconds.
const STEPS: [i64; 5] = [WINDOW_SECONDS, 900, HOUR_SECONDS, 3 * HOUR_SECONDS, DAY_SECONDS];

/// The page's numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// First second.
    pub from: i64,
    /// Second after the last.
    pub to: i64,
    /// Seconds of one point on the time axis.
    pub step: i64,
    /// Seconds of one column of the heat map.
    pub column: i64,
    /// Exact sums over everything.
    pub totals: Totals,
    /// Deliveries and what is missing, as every answer has it.
    pub rests_on: Value,
    /// Sorted by rejected records, then by bytes; the rest in one row at the end.
    pub interfaces: Vec<Interface>,
    /// Heaviest first, by bytes.
    pub talkers: Vec<Talker>,
    /// Bytes that a talker may have more than it says.
    pub talkers_error: u64,
    /// Heaviest first, by records.
    pub sources: Vec<Source>,
    /// Records that a source may have more than it says.
    pub sources_error: u64,
    /// Heaviest first, by records.
    pub ports: Vec<Port>,
    /// Records that a port may have more than it says.
    pub ports_error: u64,
    /// Refused connections between private addresses, by records.
    pub refused: Vec<Refused>,
    /// Records that such a connection may have more than it says.
    pub refused_error: u64,
    /// What was reported, by time.
    pub alerts: Vec<Mark>,
    /// When, by what and of which store the page was made.
    #[serde(flatten)]
    pub made: Made,
    /// From when to before when (epoch seconds) somebody asked, as far as they said.
    pub asked: Value,
}

/// An alert on the page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mark {
    /// First second of its window.
    pub at: i64,
    /// The rule.
    pub rule: String,
    /// `recorded`, `digest`, `notify` or `high`.
    pub severity: String,
    /// The interface.
    pub interface: String,
    /// Who did it; empty where it is not one.
    pub source: String,
    /// What showed it, in a sentence.
    pub evidence: String,
    /// What `flowlog silence` and `flowlog resolve` take: `RULE#SUBJECT`.
    pub key: String,
    /// Whether it goes on.
    pub open: bool,
}

/// Exact sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Accepted.
    pub accepted: Sums,
    /// Rejected.
    pub rejected: Sums,
    /// Neither: transit gateways, formats without an action.
    pub other: Sums,
    /// NODATA records.
    pub nodata: u64,
    /// SKIPDATA records.
    pub skipdata: u64,
}

impl Totals {
    fn add(&mut self, window: &WindowTotals) {
        self.accepted.add(&window.totals.accept);
        self.rejected.add(&window.totals.reject);
        self.other.add(&window.totals.other);
        self.nodata = self.nodata.saturating_add(window.nodata);
        self.skipdata = self.skipdata.saturating_add(window.skipdata);
    }

    fn merge(&mut self, other: &Self) {
        self.accepted.add(&other.accepted);
        self.rejected.add(&other.rejected);
        self.other.add(&other.other);
        self.nodata = self.nodata.saturating_add(other.nodata);
        self.skipdata = self.skipdata.saturating_add(other.skipdata);
    }
}

/// One interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Interface {
    /// `eni-…`, or how many more there are.
    pub id: String,
    /// Owner; empty where unknown.
    pub account: String,
    /// `vpc-…`; empty where unknown.
    pub vpc: String,
    /// `subnet-…`; empty where unknown.
    pub subnet: String,
    /// `i-…`; empty where unknown.
    pub instance: String,
    /// Its tag, as far as the format has one; free text.
    pub name: String,
    /// Exact sums.
    pub totals: Totals,
    /// `traffic`, `silent` (NODATA only) or `gap` (AWS lost records).
    pub state: &'static str,
    /// First second of the last window with any record.
    pub last: i64,
    /// By point of the time axis, those with any record: point, accepted bytes, accepted records,
    /// rejected records, records of no action, NODATA, SKIPDATA.
    pub series: Vec<[u64; 7]>,
    /// Bytes by where they went to or came from: `over peering in the region`, `from Internet addresses`, …
    /// Accepted ones, but those that a recorded path tells of, which are of refused records, too.
    pub paths: BTreeMap<&'static str, u64>,
}

/// Whom interfaces talked with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Talker {
    /// The other side.
    pub address: String,
    /// Whether the Internet can route it.
    pub public: bool,
    /// By interface: its index, records, bytes to it, bytes from it.
    pub by: Vec<[u64; 4]>,
}

/// Who was refused.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Source {
    /// The source.
    pub address: String,
    /// Whether the Internet can route it.
    pub public: bool,
    /// Earliest second.
    pub first: i64,
    /// Latest second.
    pub last: i64,
    /// By interface: its index, records, different (host, port) pairs.
    pub by: Vec<[u64; 3]>,
}

/// Where refused traffic was going.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Port {
    /// IANA protocol number.
    pub protocol: u8,
    /// Destination port.
    pub port: u16,
    /// By interface and column of the heat map: interface index, column, records.
    pub by: Vec<[u64; 3]>,
}

/// A refused connection between private addresses, as far as records tell who opened it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refused {
    /// Who opened it.
    pub client: String,
    /// Who was to answer.
    pub server: String,
    /// The server's port, 0 for ICMP.
    pub port: u16,
    /// IANA protocol number.
    pub protocol: u8,
    /// By interface: its index, refused records of both directions.
    pub by: Vec<[u64; 2]>,
}

/// Whether the columns of a period's heat map are hours; else they are days.
pub(crate) fn is_by_the_hour(period: Period) -> bool {
    period.to.end() - period.from.start() <= 4 * DAY_SECONDS
}

impl Page {
    /// The page of what a store has in a period, and of the alerts of that time. `asked` is what somebody asked for.
    pub fn new(
        material: &Material,
        period: Period,
        mut alerts: Vec<Mark>,
        (made, asked): (Made, Value),
    ) -> Self {
        alerts.sort();
        let (from, to) = (period.from.start(), period.to.end());
        let step =
            STEPS.into_iter().find(|step| (to - from) / step <= POINTS).unwrap_or(DAY_SECONDS);
        // Columns begin on the hour or the day, whatever the period begins with.
        let column = if is_by_the_hour(period) { HOUR_SECONDS } else { DAY_SECONDS };
        let mut page = Self {
            from,
            to,
            step,
            column,
            totals: Totals::default(),
            rests_on: material.to_json(),
            interfaces: Vec::new(),
            talkers: Vec::new(),
            talkers_error: 0,
            sources: Vec::new(),
            sources_error: 0,
            ports: Vec::new(),
            ports_error: 0,
            refused: Vec::new(),
            refused_error: 0,
            alerts,
            made,
            asked,
        };
        let folded: Vec<Rollup> =
            material.answers.iter().map(|(_, answer)| answer.fold()).collect();
        let mut order: Vec<(Interface, usize)> = Vec::with_capacity(folded.len());
        for (nth, ((id, answer), folded)) in material.answers.iter().zip(&folded).enumerate() {
            order.push((page.interface(id, answer, folded), nth));
        }
        let weight = |totals: &Totals| (totals.rejected.records, totals.accepted.bytes);
        order.sort_by(|(a, _), (b, _)| {
            weight(&b.totals).cmp(&weight(&a.totals)).then(a.id.cmp(&b.id))
        });
        let index: BTreeMap<usize, usize> =
            order.iter().enumerate().map(|(at, (_, nth))| (*nth, at.min(INTERFACES))).collect();
        page.place(order);
        page.list_talkers(&folded, &index);
        page.list_sources(&folded, &index);
        page.list_ports(material, &folded, &index);
        page.list_refused(&folded, &index);
        page
    }

    fn interface(&self, id: &str, answer: &Answer, folded: &Rollup) -> Interface {
        let mut interface = Interface {
            id: id.to_owned(),
            account: folded.account_id.clone(),
            vpc: folded.vpc_id.clone(),
            subnet: folded.about.subnet_id.clone(),
            instance: folded.about.instance_id.clone(),
            name: folded.about.name.clone(),
            paths: paths(folded),
            ..Interface::default()
        };
        let mut points: BTreeMap<u64, [u64; 6]> = BTreeMap::new();
        for (window, totals) in &answer.windows {
            interface.totals.add(totals);
            interface.last = interface.last.max(window.start());
            let point = points.entry(self.point(*window)).or_default();
            let sums = &totals.totals;
            let values = [
                sums.accept.bytes,
                sums.accept.records,
                sums.reject.records,
                sums.other.records,
                totals.nodata,
                totals.skipdata,
            ];
            point.iter_mut().zip(values).for_each(|(sum, value)| add(sum, value));
        }
        interface.series =
            points.into_iter().map(|(at, [a, b, c, d, e, f])| [at, a, b, c, d, e, f]).collect();
        interface.state = state(&interface.totals);
        interface
    }

    fn point(&self, window: Window) -> u64 {
        ((window.start() - self.from).max(0) / self.step).unsigned_abs()
    }

    pub(super) fn column_of(&self, window: Window) -> u64 {
        let first = self.from.div_euclid(self.column);
        (window.start().div_euclid(self.column) - first).max(0).unsigned_abs()
    }

    /// Takes the interfaces in; what is beyond the limit becomes one row.
    fn place(&mut self, order: Vec<(Interface, usize)>) {
        for (interface, _) in &order {
            self.totals.merge(&interface.totals);
        }
        let more = order.len().saturating_sub(INTERFACES);
        self.interfaces = order.into_iter().map(|(interface, _)| interface).collect();
        if more == 0 {
            return;
        }
        let mut rest = Interface { id: format!("{more} more"), ..Interface::default() };
        let mut points: BTreeMap<u64, [u64; 7]> = BTreeMap::new();
        for interface in self.interfaces.drain(INTERFACES..) {
            rest.totals.merge(&interface.totals);
            rest.last = rest.last.max(interface.last);
            for values in interface.series {
                let point = points.entry(values[0]).or_insert([values[0], 0, 0, 0, 0, 0, 0]);
                point.iter_mut().zip(values).skip(1).for_each(|(sum, value)| add(sum, value));
            }
            for (path, bytes) in interface.paths {
                add(rest.paths.entry(path).or_default(), bytes);
            }
        }
        rest.series = points.into_values().collect();
        rest.state = state(&rest.totals);
        self.interfaces.push(rest);
    }
}

fn state(totals: &Totals) -> &'static str {
    let flows = [totals.accepted, totals.rejected, totals.other];
    if totals.skipdata > 0 {
        "gap"
    } else if flows.iter().all(Sums::is_zero) {
        "silent"
    } else {
        "traffic"
    }
}
