//! Rules: pure functions from folded windows to findings. IPv4 and IPv6 alike.
//!
//! A rule looks at one interface: the window in question and the ones before it. It holds no state
//! and sees no clock, so the same windows give the same findings in a function, in a local run and
//! in a test. One file per rule; [`Rules`] is the table of every default.

mod port_scan;
mod reject_burst;

pub use port_scan::PortScan;
pub use reject_burst::RejectBurst;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::record::{Address, Scope, Window};
use crate::rollup::{Evidence, Rollup};

/// How loud a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Kept for whoever looks; nobody is told.
    Recorded,
    /// One line in a summary.
    Digest,
    /// A notification.
    Notify,
    /// A notification with its own share of the budget.
    High,
}

impl Severity {
    /// 0 recorded … 3 high: what the alert's item stores.
    pub fn level(self) -> u8 {
        self as u8
    }

    /// `recorded`, `digest`, `notify` or `high`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Digest => "digest",
            Self::Notify => "notify",
            Self::High => "high",
        }
    }
}

/// The kind of a finding, which is the name of the rule that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Many refused records at once.
    RejectBurst,
    /// One source tries many ports or hosts.
    PortScan,
}

impl Rule {
    /// The stable name, in kebab case.
    pub fn name(self) -> &'static str {
        match self {
            Self::RejectBurst => "reject-burst",
            Self::PortScan => "port-scan",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a rule has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// How loud.
    pub severity: Severity,
    /// On which interface.
    pub interface_id: String,
    /// Its owner; empty where unknown.
    pub account_id: String,
    /// Its VPC; empty where unknown.
    pub vpc_id: String,
    /// Who did it, where it is one.
    pub source: Option<Address>,
    /// In which window it showed.
    pub window: Window,
    /// Why it fired.
    pub evidence: Why,
}

/// Why a rule fired: value against threshold, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// What was measured, in words: `rejected records`, `contacts`.
    pub measure: &'static str,
    /// How much there was.
    pub value: u64,
    /// How much would have been enough.
    pub threshold: u64,
    /// Over how many seconds, ending with the finding's window.
    pub seconds: i64,
    /// How many sources took part.
    pub sources: u64,
    /// Destination ports, at most [`PORTS_SHOWN`].
    pub ports: Vec<u16>,
    /// Rejected records in the window.
    pub rejected: u64,
    /// SKIPDATA records in the windows looked at: AWS lost records, so there may have been more.
    pub skipdata: u64,
    /// Whole records.
    pub records: Vec<Evidence>,
}

/// How many ports evidence lists.
pub const PORTS_SHOWN: usize = 16;
/// How many whole records evidence lists.
pub const RECORDS_SHOWN: usize = 5;

/// The folded windows of one interface, as far back as the rules look.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The interface.
    pub interface_id: String,
    /// Its windows; one without records is absent.
    pub windows: BTreeMap<Window, Rollup>,
}

impl History {
    /// The windows from `count - 1` windows before `at` up to and with `at`.
    pub fn last(&self, at: Window, count: i64) -> impl Iterator<Item = (&Window, &Rollup)> {
        self.windows.range(at.back(count - 1)..=at)
    }

    /// Adds a roll-up to a window.
    pub fn add(&mut self, window: Window, rollup: &Rollup) {
        self.windows.entry(window).or_default().merge(rollup);
    }
}

/// Every rule with its thresholds: the one table of defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// D1.
    pub reject_burst: RejectBurst,
    /// D2.
    pub port_scan: PortScan,
}

impl Rules {
    /// How many windows, the one in question included, the rules look at.
    pub const LOOKBACK: i64 = 12;

    /// What every rule finds in one window, loudest first.
    pub fn evaluate(&self, history: &History, at: Window) -> Vec<Finding> {
        let Some(now) = history.windows.get(&at) else { return Vec::new() };
        let mut findings = self.port_scan.evaluate(history, at);
        // What a scan explains is no burst of its own.
        let scanners: Vec<Address> = findings
            .iter()
            .filter(|f| f.severity > Severity::Recorded)
            .filter_map(|f| f.source)
            .collect();
        findings.extend(self.reject_burst.evaluate(history, at, &scanners));
        for finding in &mut findings {
            finding.account_id.clone_from(&now.account_id);
            finding.vpc_id.clone_from(&now.vpc_id);
        }
        findings
            .sort_by(|a, b| (b.severity, a.rule, a.source).cmp(&(a.severity, b.rule, b.source)));
        findings
    }
}

/// Whether an address is one of ours, as far as the address tells.
fn is_internal(address: &Address) -> bool {
    address.scope() == Scope::Private
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::RecordSink as _;
    use crate::record::{Action, Record};
    use crate::rollup::{Accumulator, Budget};

    pub(super) fn window(n: i64) -> Window {
        Window::of(1_793_491_200).unwrap().forward(n)
    }

    /// One rejected record per (source, destination port).
    pub(super) fn rejects(rows: impl Iterator<Item = (String, u16)>) -> Rollup {
        rejects_from_port(50_000, rows)
    }

    pub(super) fn rejects_from_port(
        srcport: u16,
        rows: impl Iterator<Item = (String, u16)>,
    ) -> Rollup {
        let mut accumulator = Accumulator::new(Budget::default(), None);
        for (source, port) in rows {
            accumulator.record(&Record {
                interface_id: Some("eni-1"),
                srcaddr: Address::parse(&source),
                dstaddr: Address::parse("10.0.0.5"),
                srcport: Some(srcport),
                dstport: Some(port),
                protocol: Some(6),
                packets: 1,
                bytes: 40,
                start: Some(window(0).start()),
                end: Some(window(0).start() + 5),
                action: Action::Reject,
                ..Record::empty()
            });
        }
        accumulator.finish().pop().unwrap().pop().unwrap().2
    }

    #[test]
    fn a_scan_is_reported_once_and_not_as_a_burst() {
        let mut history = History { interface_id: "eni-1".to_owned(), ..History::default() };
        history.add(window(0), &rejects((1..=300).map(|p| ("10.1.0.9".to_owned(), p))));
        let findings = Rules::default().evaluate(&history, window(0));
        assert_eq!(findings.iter().map(|f| f.rule).collect::<Vec<_>>(), [Rule::PortScan]);
        assert_eq!(findings[0].evidence.value, 65, "a lower bound beyond the exact 64");
    }
}
