//! D3b `slow-scan`: a source whose first contacts with an interface are nearly all refused, over 24
//! hours, however slowly it goes.
//!
//! A threshold random walk ([`Walk`]): four net refusals are enough, which on an exposed host is a
//! hundred sources a day; so it is the digest's, and one finding names how many there were. What it
//! flags, `rejected-then-accepted` watches. ATT&CK T1595.001; Jung et al. 2004.

use std::collections::{BTreeMap, BTreeSet};

use super::port_scan::is_answer;
use super::walk::Walk;
use super::{
    Cause, Finding, History, PORTS_SHOWN, RECORDS_SHOWN, Rule, SOURCES_SHOWN, SlowScan, Why,
    block_public_access,
};
use super::{finding::is_internal, total};
use crate::record::{Address, DAY_SECONDS, WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window};
use crate::rollup::{Contact, Evidence, Rollup};

/// A source that the walk calls a scanner.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scanner {
    pub(super) contacts: BTreeSet<Contact>,
    /// The windows in which it was refused first and last.
    pub(super) first: Window,
    pub(super) last: Window,
}

/// The scanners among the sources that an interface refused in the day that ends with `at`.
pub(super) fn scanners(history: &History, at: Window) -> BTreeMap<Address, Scanner> {
    #[derive(Default)]
    struct Course {
        walk: Walk,
        contacts: BTreeSet<Contact>,
        accepted: BTreeSet<u16>,
        refused: Option<(Window, Window)>,
        is_scanner: bool,
    }
    let day =
        || history.last(at, WINDOWS_PER_DAY).filter(|(_, r)| !block_public_access::explains(r));
    // Who was refused at any time walks from its first contact on, be that let through.
    let refused = day().flat_map(|(_, rollup)| {
        let others = block_public_access::others(rollup);
        rollup.rejected_sources.iter().filter(move |(source, totals)| others(source, totals) > 0)
    });
    let mut courses: BTreeMap<Address, Course> =
        refused.map(|(source, _)| (*source, Course::default())).collect();
    for (window, rollup) in day() {
        let others = block_public_access::others(rollup);
        for (source, totals) in rollup.rejected_sources.iter() {
            let mut others = others(source, totals);
            if others == 0 {
                continue;
            }
            let course = courses.entry(*source).or_default();
            course.refused = Some((course.refused.map_or(*window, |(first, _)| first), *window));
            for contact in totals.contacts.iter().filter(|c| !is_answer(rollup, source, c)) {
                if others > 0 && course.contacts.insert(*contact) {
                    others -= 1;
                    course.walk = course.walk.refused();
                }
            }
        }
        for (key, _) in rollup.talkers.iter() {
            if let Some(course) = courses.get_mut(&key.remote)
                && course.accepted.insert(key.port)
            {
                course.walk = course.walk.accepted();
            }
        }
        for (source, _) in rollup.rejected_sources.iter() {
            if let Some(course) = courses.get_mut(source) {
                course.is_scanner |= course.walk.is_scanner();
            }
        }
    }
    courses
        .into_iter()
        .filter(|(_, course)| course.is_scanner)
        .filter_map(|(source, course)| {
            let (first, last) = course.refused?;
            Some((source, Scanner { contacts: course.contacts, first, last }))
        })
        .collect()
}

/// Records of the scanners' refusals, the latest windows first.
fn evidence(history: &History, at: Window, scanners: &BTreeMap<Address, Scanner>) -> Vec<Evidence> {
    let windows: Vec<&Rollup> =
        history.last(at, WINDOWS_PER_HOUR).map(|(_, rollup)| rollup).collect();
    let theirs = |row: &&Evidence| row.srcaddr.is_some_and(|s| scanners.contains_key(&s));
    let rows = windows.iter().rev().flat_map(|rollup| rollup.evidence.iter().filter(theirs));
    rows.take(RECORDS_SHOWN).copied().collect()
}

impl SlowScan {
    /// Looks at the day that ends with `at`; says something of scanners that were refused in the last
    /// hour of it, in the window in which one last was. So it says the same whenever in that hour the
    /// day is looked at.
    pub(super) fn evaluate(self, history: &History, at: Window) -> Option<Finding> {
        if !self.enabled {
            return None;
        }
        let mut scanners = scanners(history, at);
        scanners.retain(|_, scanner| scanner.last > at.back(WINDOWS_PER_HOUR));
        let first = scanners.values().map(|s| s.first).min()?;
        let last = scanners.values().map(|s| s.last).max()?;
        let (busiest, scanner) = scanners.iter().max_by_key(|(_, s)| s.contacts.len())?;
        let mut named: Vec<(&Address, &Scanner)> = scanners.iter().collect();
        named.sort_by_key(|(source, s)| (std::cmp::Reverse(s.contacts.len()), **source));
        let mut ports: Vec<u16> = scanner.contacts.iter().map(|c| c.port).collect();
        ports.dedup();
        ports.truncate(PORTS_SHOWN);
        let cause = if is_internal(busiest) { Cause::InsideScan } else { Cause::InternetScan };
        Some(Finding {
            source: (scanners.len() == 1).then_some(*busiest),
            evidence: Why {
                measure: "first contacts refused to the busiest slow scanner".into(),
                value: scanner.contacts.len() as u64,
                threshold: 4,
                seconds: DAY_SECONDS,
                sources: scanners.len() as u64,
                named: named.into_iter().take(SOURCES_SHOWN).map(|(source, _)| *source).collect(),
                ports,
                since: Some(first),
                rejected: total(
                    history.last(last, WINDOWS_PER_HOUR).map(|(_, r)| r.totals().reject.records),
                ),
                skipdata: history.skipdata(at, WINDOWS_PER_DAY),
                records: evidence(history, last, &scanners),
                ..Why::default()
            },
            ..Finding::new(Rule::SlowScan, self.severity, cause, &history.interface_id, last)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{accepts, rejects, window};
    use super::*;

    const STRANGER: &str = "203.0.113.9";

    fn history(steps: &[(i64, u16, bool)]) -> History {
        let mut history = History::default();
        for (n, port, refused) in steps {
            let row = std::iter::once((STRANGER.to_owned(), *port));
            history.add(window(*n), &if *refused { rejects(row) } else { accepts(row) });
        }
        history
    }

    #[test]
    fn four_doors_a_day_are_a_scan() {
        let slow = [(0, 22, true), (50, 23, true), (120, 25, true), (200, 80, true)];
        let found = SlowScan::default().evaluate(&history(&slow), window(205)).unwrap();
        assert_eq!((found.evidence.value, found.evidence.sources), (4, 1));
        assert_eq!(found.source, Address::parse(STRANGER));
        assert_eq!(found.evidence.named, [Address::parse(STRANGER).unwrap()]);
        assert_eq!(SlowScan::default().evaluate(&history(&slow[..3]), window(125)), None);
        // The same door again is no first contact.
        let same = [(0, 22, true), (50, 22, true), (120, 22, true), (200, 22, true)];
        assert_eq!(SlowScan::default().evaluate(&history(&same), window(205)), None);
    }

    #[test]
    fn doors_that_block_public_access_shut_are_none() {
        let blocked = || {
            let mut blocked = rejects((1..=60).map(|port| (STRANGER.to_owned(), port)));
            blocked.reject_reasons.insert("BPA".to_owned(), 60);
            blocked
        };
        let found = |others: &str, ports: u16| {
            let mut history = history(&[]);
            history.add(window(0), &blocked());
            history.add(window(0), &rejects((1..=ports).map(|port| (others.to_owned(), port))));
            scanners(&history, window(0)).into_keys().collect::<Vec<_>>()
        };
        let scanner = |source: &str| Address::parse(source).unwrap();
        assert_eq!(found("10.0.9.9", 3), [], "beside what a security group refused inside");
        assert_eq!(found("10.0.9.9", 4), [scanner("10.0.9.9")]);
        assert_eq!(found("203.0.113.10", 3), [], "a stranger was refused three times");
        let either = [scanner(STRANGER), scanner("203.0.113.10")];
        assert_eq!(found("203.0.113.10", 4), either, "nothing tells which of the two it was");
    }

    #[test]
    fn doors_that_open_speak_for_a_source() {
        let mixed = [
            (0, 22, true),
            (1, 443, false),
            (2, 23, true),
            (3, 80, false),
            (4, 25, true),
            (5, 110, true),
        ];
        assert_eq!(SlowScan::default().evaluate(&history(&mixed), window(6)), None);
    }

    #[test]
    fn doors_that_opened_before_the_first_refusal_speak_for_it_too() {
        let open = [(0, 443), (1, 80), (2, 8_080), (3, 8_443)].map(|(n, port)| (n, port, false));
        let shut = |count: i64| (0..count).map(|n| (4 + n, 900 + u16::try_from(n).unwrap(), true));
        let found = |count| {
            let steps: Vec<_> = open.into_iter().chain(shut(count)).collect();
            SlowScan::default().evaluate(&history(&steps), window(3 + count))
        };
        assert_eq!(found(4), None, "as if they had come in turns");
        assert!(found(7).is_some(), "a good past is no credit");
    }

    #[test]
    fn it_says_when_the_scan_was_whenever_it_is_looked_for() {
        let quick = [(3, 22, true), (3, 23, true), (4, 25, true), (4, 80, true)];
        let mut history = history(&quick);
        history.add(window(12), &rejects(std::iter::once(("10.0.0.9".to_owned(), 443))));
        for at in 4..16 {
            let found = SlowScan::default().evaluate(&history, window(at)).unwrap();
            assert_eq!((found.window, found.evidence.since), (window(4), Some(window(3))), "{at}");
            let shown = &found.evidence.records;
            assert_eq!(shown.len(), 4, "{at}");
            assert!(shown.iter().all(|row| row.srcaddr == Address::parse(STRANGER)));
        }
        assert_eq!(SlowScan::default().evaluate(&history, window(16)), None);
    }

    #[test]
    fn a_day_is_a_day_and_silence_says_nothing() {
        let slow = [(0, 22, true), (50, 23, true), (120, 25, true), (288, 80, true)];
        assert_eq!(SlowScan::default().evaluate(&history(&slow), window(288)), None);
        let quick = [(0, 22, true), (0, 23, true), (0, 25, true), (0, 80, true)];
        assert!(SlowScan::default().evaluate(&history(&quick), window(11)).is_some());
        assert_eq!(SlowScan::default().evaluate(&history(&quick), window(12)), None);
    }
}
