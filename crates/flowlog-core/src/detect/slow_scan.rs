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
    Cause, Finding, History, PORTS_SHOWN, Rule, SOURCES_SHOWN, SlowScan, Why, block_public_access,
};
use super::{finding::is_internal, shown};
use crate::record::{Address, WINDOW_SECONDS, Window};
use crate::rollup::{Contact, Rollup};

/// Windows in a day.
pub(super) const DAY: i64 = 288;
/// Windows in an hour.
const HOUR: i64 = 12;

/// A source that the walk calls a scanner.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scanner {
    pub(super) contacts: BTreeSet<Contact>,
    /// The window in which it became one.
    pub(super) since: Window,
}

/// The scanners among the sources that an interface refused in the day that ends with `at`.
pub(super) fn scanners(history: &History, at: Window) -> BTreeMap<Address, Scanner> {
    #[derive(Default)]
    struct Course {
        walk: Walk,
        contacts: BTreeSet<Contact>,
        accepted: BTreeSet<u16>,
        since: Option<Window>,
    }
    let mut courses: BTreeMap<Address, Course> = BTreeMap::new();
    for (window, rollup) in history.last(at, DAY) {
        if block_public_access::explains(rollup) {
            continue;
        }
        for (source, totals) in rollup.rejected_sources.iter() {
            let course = courses.entry(*source).or_default();
            for contact in totals.contacts.iter().filter(|c| !is_answer(rollup, source, c)) {
                if course.contacts.insert(*contact) {
                    course.walk = course.walk.refused();
                }
            }
            for port in accepted_ports(rollup, source) {
                if course.accepted.insert(port) {
                    course.walk = course.walk.accepted();
                }
            }
            if course.walk.is_scanner() {
                course.since.get_or_insert(*window);
            }
        }
        // A source that is only let through walks down as well.
        for (key, _) in rollup.talkers.iter() {
            if let Some(course) = courses.get_mut(&key.remote)
                && rollup.rejected_sources.get(&key.remote).is_none()
                && course.accepted.insert(key.port)
            {
                course.walk = course.walk.accepted();
            }
        }
    }
    courses
        .into_iter()
        .filter_map(|(source, course)| {
            Some((source, Scanner { contacts: course.contacts, since: course.since? }))
        })
        .collect()
}

fn accepted_ports<'a>(rollup: &'a Rollup, source: &'a Address) -> impl Iterator<Item = u16> + 'a {
    rollup.talkers.iter().filter(move |(key, _)| key.remote == *source).map(|(key, _)| key.port)
}

impl SlowScan {
    /// Looks at the day that ends with `at`; says something of scanners that did something in the
    /// last hour of it.
    pub(super) fn evaluate(self, history: &History, at: Window) -> Option<Finding> {
        if !self.enabled {
            return None;
        }
        let active: BTreeSet<Address> = history
            .last(at, HOUR)
            .flat_map(|(_, rollup)| rollup.rejected_sources.iter().map(|(source, _)| *source))
            .collect();
        let mut scanners = scanners(history, at);
        scanners.retain(|source, _| active.contains(source));
        let (busiest, scanner) = scanners.iter().max_by_key(|(_, s)| s.contacts.len())?;
        let mut named: Vec<(&Address, &Scanner)> = scanners.iter().collect();
        named.sort_by_key(|(source, s)| (std::cmp::Reverse(s.contacts.len()), **source));
        let mut ports: Vec<u16> = scanner.contacts.iter().map(|c| c.port).collect();
        ports.dedup();
        ports.truncate(PORTS_SHOWN);
        let now = history.last(at, HOUR).last()?.1;
        let cause = if is_internal(busiest) { Cause::InsideScan } else { Cause::InternetScan };
        Some(Finding {
            source: (scanners.len() == 1).then_some(*busiest),
            evidence: Why {
                measure: "first contacts refused to the busiest slow scanner".into(),
                value: scanner.contacts.len() as u64,
                threshold: 4,
                seconds: DAY * WINDOW_SECONDS,
                sources: scanners.len() as u64,
                named: named.into_iter().take(SOURCES_SHOWN).map(|(source, _)| *source).collect(),
                ports,
                rejected: history.last(at, HOUR).map(|(_, r)| r.totals().reject.records).sum(),
                skipdata: history.skipdata(at, DAY),
                records: shown(now, |row| row.srcaddr.is_some_and(|s| scanners.contains_key(&s))),
                ..Why::default()
            },
            ..Finding::new(Rule::SlowScan, self.severity, cause, &history.interface_id, at)
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
    fn a_day_is_a_day_and_silence_says_nothing() {
        let slow = [(0, 22, true), (50, 23, true), (120, 25, true), (288, 80, true)];
        assert_eq!(SlowScan::default().evaluate(&history(&slow), window(288)), None);
        let quick = [(0, 22, true), (0, 23, true), (0, 25, true), (0, 80, true)];
        assert!(SlowScan::default().evaluate(&history(&quick), window(11)).is_some());
        assert_eq!(SlowScan::default().evaluate(&history(&quick), window(12)), None);
    }
}
