//! D2 `port-scan`: one source is refused at many (host, port) pairs of one interface.
//!
//! Contacts are counted exactly up to 64, and every threshold is below that. Replies (service port
//! → high port, or to a connection inside that was let through) are no contacts. External scans are everyday weather and go to the digest; a scan
//! from inside notifies. ATT&CK T1046; modelled on Zeek's simple-scan, Panther, Elastic.

use std::collections::BTreeSet;

use super::{Cause, Finding, History, PORTS_SHOWN, PortScan, Rule, Rules, Severity, Why};
use super::{block_public_access, finding::is_internal, shown};
use crate::record::{Address, WINDOW_SECONDS, Window};
use crate::rollup::{Contact, Rollup};

/// Windows in 15 minutes.
const SHORT: i64 = 3;

/// From here on most systems give ports to connections of their own. Load balancers do from 1024 on; there flags tell.
const EPHEMERAL: u16 = 32_768;

/// Whether what was refused is an answer: the source was asked by the contact's host, inside, and let
/// through. `asymmetric-path` tells of those.
pub(super) fn is_answer(rollup: &Rollup, source: &Address, contact: &Contact) -> bool {
    contact.port >= EPHEMERAL
        && rollup.rejected_tuples.iter().any(|(tuple, refused)| {
            tuple.server == *source
                && tuple.client == contact.host
                && refused.rejected_back > 0
                && rollup.verdicts(tuple).is_some_and(|verdicts| verdicts.accepted_forward > 0)
        })
}

/// What one source was refused at over several windows.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) contacts: BTreeSet<Contact>,
    /// Contacts beyond those that are listed, as a lower bound.
    at_least: u32,
    /// Refusals that are not Block Public Access's: so many contacts there are at most.
    at_most: u64,
    pub(super) rejected: u64,
}

impl Seen {
    pub(super) fn of(history: &History, at: Window, windows: i64, source: &Address) -> Self {
        let mut seen = Self::default();
        for (_, rollup) in history.last(at, windows) {
            if let Some(totals) = rollup.rejected_sources.get(source) {
                let others = block_public_access::others(rollup)(source, totals);
                seen.at_most = seen.at_most.saturating_add(others);
                let listed = totals.contacts.len();
                let tried = totals.contacts.iter().filter(|c| !is_answer(rollup, source, c));
                let tried: Vec<Contact> = tried.copied().collect();
                seen.rejected = seen.rejected.saturating_add(totals.records);
                // Several windows may mean the same contacts: only the largest bound holds.
                let answers = u32::try_from(listed - tried.len()).unwrap_or(u32::MAX);
                if listed == 0 || !tried.is_empty() {
                    let bound = totals.contact_count.saturating_sub(answers);
                    seen.at_least = seen.at_least.max(bound);
                }
                seen.contacts.extend(tried);
            }
        }
        seen
    }

    pub(super) fn count(&self) -> u32 {
        let most = u32::try_from(self.at_most).unwrap_or(u32::MAX);
        u32::try_from(self.contacts.len()).unwrap_or(u32::MAX).max(self.at_least).min(most)
    }

    pub(super) fn ports(&self) -> BTreeSet<u16> {
        self.contacts.iter().map(|c| c.port).collect()
    }
}

impl PortScan {
    pub(super) fn evaluate(&self, history: &History, at: Window) -> Vec<Finding> {
        let Some(now) = history.windows.get(&at) else { return Vec::new() };
        if !self.enabled || block_public_access::explains(now) {
            return Vec::new();
        }
        let mut findings = Vec::new();
        let others = block_public_access::others(now);
        for (source, totals) in now.rejected_sources.iter() {
            // A finding belongs to a window in which the source did something.
            if totals.contact_count == 0 || others(source, totals) == 0 {
                continue;
            }
            let short = Seen::of(history, at, SHORT, source);
            if short.count() < self.recorded {
                continue;
            }
            let ports = Seen::of(history, at, Rules::LOOKBACK, source).ports();
            let severity = self.loudness(source, short.count(), ports.len());
            let cause = if is_internal(source) { Cause::InsideScan } else { Cause::InternetScan };
            let needed = if short.count() < self.contacts { self.recorded } else { self.contacts };
            findings.push(Finding {
                source: Some(*source),
                evidence: Why {
                    measure: "different (host, port) contacts refused".into(),
                    value: u64::from(short.count()),
                    threshold: u64::from(needed),
                    seconds: SHORT * WINDOW_SECONDS,
                    sources: 1,
                    ports: ports.into_iter().take(PORTS_SHOWN).collect(),
                    rejected: short.rejected,
                    skipdata: history.skipdata(at, SHORT),
                    records: shown(now, |row| row.srcaddr.as_ref() == Some(source)),
                    ..Why::default()
                },
                ..Finding::new(Rule::PortScan, severity, cause, &history.interface_id, at)
            });
        }
        findings
    }

    fn loudness(&self, source: &Address, contacts: u32, ports: usize) -> Severity {
        if contacts < self.contacts {
            Severity::Recorded
        } else if !is_internal(source) {
            self.external
        } else if ports >= self.ports {
            Severity::High
        } else {
            self.severity
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rejects, rejects_from_port, window};
    use super::*;
    use crate::rollup::{Ranked, Tuple, Verdicts};

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
        history.add(window(0), &rejects_from_port(443, rows));
        assert_eq!(PortScan::default().evaluate(&history, window(0)), []);
    }

    #[test]
    fn refused_answers_to_connections_of_ours_are_no_scan() {
        let found = |rollup: &Rollup| {
            let mut history = History::default();
            history.add(window(0), rollup);
            let scan = PortScan::default().evaluate(&history, window(0));
            (scan.len(), super::super::slow_scan::scanners(&history, window(0)).len())
        };
        let rows = (0..60u16).map(|n| (INSIDE.to_owned(), 40_000 + n));
        let mut answers = rejects_from_port(8_443, rows);
        assert_eq!(found(&answers), (1, 1), "nobody asked");
        let asked = |(tuple, verdicts): (&Tuple, &Verdicts)| {
            (*tuple, Verdicts { accepted_forward: 60, ..*verdicts })
        };
        let asked = answers.rejected_tuples.iter().map(asked).collect();
        answers.rejected_tuples = Ranked::new(asked, 0);
        assert_eq!(found(&answers), (0, 0));
        answers.merge(&scan(INSIDE, 1..26));
        assert_eq!(found(&answers), (1, 1), "it scans as well");
    }

    #[test]
    fn what_block_public_access_refused_is_no_scan() {
        let mut history = History::default();
        let mut blocked = scan(OUTSIDE, 1..60);
        blocked.reject_reasons.insert("BPA".to_owned(), 59);
        history.add(window(0), &blocked);
        assert_eq!(PortScan::default().evaluate(&history, window(0)), []);

        // Nor beside what security groups refuse, of others or of itself.
        history.add(window(0), &scan(INSIDE, 1..4));
        history.add(window(0), &scan("203.0.113.10", 1..4));
        assert_eq!(PortScan::default().evaluate(&history, window(0)), []);
        // Somebody inside is not refused by it, and a stranger only so often.
        history.add(window(0), &scan(INSIDE, 1..60));
        let found = PortScan::default().evaluate(&history, window(0));
        assert_eq!(found.iter().map(|f| f.source).collect::<Vec<_>>(), [Address::parse(INSIDE)]);
        history.add(window(0), &scan("203.0.113.11", 1..60));
        let found = PortScan::default().evaluate(&history, window(0));
        assert_eq!(found.len(), 3, "nothing tells which of the two it was: {found:?}");
    }
}
