//! D2 `port-scan`: one source is refused at many (host, port) pairs of one interface.
//!
//! Contacts are counted exactly up to 64, and every threshold is below that. Replies (service port
//! → high port) are no contacts. External scans are everyday weather and go to the digest; a scan
//! from inside notifies. ATT&CK T1046; modelled on Zeek's simple-scan, Panther, Elastic.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Finding, History, PORTS_SHOWN, RECORDS_SHOWN, Rule, Rules, Severity, Why, is_internal,
};
use crate::record::{Address, WINDOW_SECONDS, Window};
use crate::rollup::{Contact, Evidence};

/// Thresholds of D2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortScan {
    /// This many contacts in 15 minutes are worth recording.
    pub recorded: u32,
    /// This many contacts in 15 minutes are a scan.
    pub contacts: u32,
    /// This many different ports in 60 minutes make it high.
    pub ports: usize,
}

impl Default for PortScan {
    fn default() -> Self {
        Self { recorded: 10, contacts: 25, ports: 50 }
    }
}

/// Windows in 15 minutes.
const SHORT: i64 = 3;

/// What one source did over several windows.
#[derive(Default)]
struct Seen {
    contacts: BTreeSet<Contact>,
    /// Contacts beyond those that are listed, as a lower bound.
    at_least: u32,
    rejected: u64,
}

impl Seen {
    fn count(&self) -> u32 {
        u32::try_from(self.contacts.len()).unwrap_or(u32::MAX).max(self.at_least)
    }

    fn ports(&self) -> BTreeSet<u16> {
        self.contacts.iter().map(|c| c.port).collect()
    }
}

impl PortScan {
    pub(super) fn evaluate(&self, history: &History, at: Window) -> Vec<Finding> {
        let Some(now) = history.windows.get(&at) else { return Vec::new() };
        let skipdata = history.last(at, SHORT).map(|(_, r)| r.skipdata).sum();
        let mut findings = Vec::new();
        for (source, totals) in now.rejected_sources.iter() {
            // A finding belongs to a window in which the source did something.
            if totals.contact_count == 0 {
                continue;
            }
            let short = seen(history, at, SHORT, source);
            if short.count() < self.recorded {
                continue;
            }
            let ports = seen(history, at, Rules::LOOKBACK, source).ports();
            let severity = self.severity(source, short.count(), ports.len());
            let own = |row: &&Evidence| row.srcaddr.as_ref() == Some(source);
            findings.push(Finding {
                rule: Rule::PortScan,
                severity,
                interface_id: history.interface_id.clone(),
                account_id: String::new(),
                vpc_id: String::new(),
                source: Some(*source),
                window: at,
                evidence: Why {
                    measure: "different (host, port) contacts refused",
                    value: u64::from(short.count()),
                    threshold: u64::from(if severity == Severity::Recorded {
                        self.recorded
                    } else {
                        self.contacts
                    }),
                    seconds: SHORT * WINDOW_SECONDS,
                    sources: 1,
                    ports: ports.into_iter().take(PORTS_SHOWN).collect(),
                    rejected: short.rejected,
                    skipdata,
                    records: now.evidence.iter().filter(own).take(RECORDS_SHOWN).copied().collect(),
                },
            });
        }
        findings
    }

    fn severity(&self, source: &Address, contacts: u32, ports: usize) -> Severity {
        if contacts < self.contacts {
            Severity::Recorded
        } else if !is_internal(source) {
            Severity::Digest
        } else if ports >= self.ports {
            Severity::High
        } else {
            Severity::Notify
        }
    }
}

fn seen(history: &History, at: Window, windows: i64, source: &Address) -> Seen {
    let mut seen = Seen::default();
    // Several windows may list the same contact; a bound holds only for the largest of them.
    let mut bounds = BTreeMap::new();
    for (window, rollup) in history.last(at, windows) {
        if let Some(totals) = rollup.rejected_sources.get(source) {
            seen.contacts.extend(&totals.contacts);
            seen.rejected += totals.records;
            bounds.insert(*window, totals.contact_count);
        }
    }
    seen.at_least = bounds.into_values().max().unwrap_or(0);
    seen
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rejects, window};
    use super::*;

    const INSIDE: &str = "10.1.0.9";
    const OUTSIDE: &str = "203.0.113.9";

    fn scan(source: &str, ports: std::ops::Range<u16>) -> crate::rollup::Rollup {
        rejects(ports.map(|p| (source.to_owned(), p)))
    }

    fn severities(parts: &[(i64, &str, std::ops::Range<u16>)], at: i64) -> Vec<Severity> {
        let mut history = History::default();
        for (w, source, ports) in parts {
            history.add(window(*w), &scan(source, ports.clone()));
        }
        PortScan::default().evaluate(&history, window(at)).iter().map(|f| f.severity).collect()
    }

    #[test]
    fn thresholds() {
        assert_eq!(severities(&[(0, INSIDE, 1..10)], 0), []);
        assert_eq!(severities(&[(0, INSIDE, 1..11)], 0), [Severity::Recorded]);
        assert_eq!(severities(&[(0, INSIDE, 1..26)], 0), [Severity::Notify]);
        assert_eq!(severities(&[(0, INSIDE, 1..51)], 0), [Severity::High]);
        assert_eq!(severities(&[(0, OUTSIDE, 1..26)], 0), [Severity::Digest]);
        assert_eq!(severities(&[(0, "2001:db8::9", 1..26)], 0), [Severity::Digest]);
        assert_eq!(severities(&[(0, "fd00::9", 1..26)], 0), [Severity::Notify]);
        assert_eq!(severities(&[(0, INSIDE, 1..1000)], 0), [Severity::High]);
    }

    #[test]
    fn fifteen_minutes_are_three_windows() {
        let slow = |last| [(0, INSIDE, 1..10), (1, INSIDE, 10..19), (last, INSIDE, 19..27)];
        assert_eq!(severities(&slow(2), 2), [Severity::Notify]);
        assert_eq!(severities(&slow(4), 4), []);
        // The same ports again are no new contacts.
        assert_eq!(severities(&[(0, INSIDE, 1..10), (1, INSIDE, 1..10)], 1), []);
        // Nothing happens in the window after the scan.
        assert_eq!(severities(&[(0, INSIDE, 1..60), (1, OUTSIDE, 1..2)], 1), []);
    }

    #[test]
    fn replies_are_no_contacts() {
        let mut history = History::default();
        let rows = (0..60u16).map(|n| (OUTSIDE.to_owned(), 40_000 + n));
        history.add(window(0), &super::super::tests::rejects_from_port(443, rows));
        assert_eq!(PortScan::default().evaluate(&history, window(0)), []);
    }
}
