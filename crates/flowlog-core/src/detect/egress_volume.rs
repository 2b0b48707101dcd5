//! D6 `egress-volume`: in one hour an interface sends far more to the Internet than usual, most of it
//! to addresses that got hardly anything in the 23 hours before.
//!
//! Of the hours that end in the last hour the one with most is told, once. Six deviations on a log scale *and* an absolute floor *and* new destinations: each alone fires on
//! backups, releases and new customers. Ranges that may receive much (AWS services, partners) belong
//! on the allow-list. Judged on the schedule, over a day. ATT&CK T1048.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::baseline::{KNOWN_HOURS, to_public};
use super::{Baseline, Cause, EgressVolume, Finding, History, Rule, Severity, Why};
use super::{finding::is_internal, total};
use crate::record::{Address, WINDOW_SECONDS, Window};

/// Windows in an hour.
const HOUR: i64 = 12;
/// Windows in a day.
const DAY: i64 = 288;
/// A destination that gets so many times what it got in the 23 hours before is new.
const MORE: u64 = 10;
/// Windows of which something must be known before a destination can be new.
const MEMORY: i64 = 72;

impl EgressVolume {
    /// The busiest of the hours that end with a window of the hour that ends with `at`, unless it is what is left of a
    /// busier one before.
    pub(super) fn evaluate(
        &self,
        history: &History,
        baseline: &Baseline,
        at: Window,
    ) -> Option<Finding> {
        if !self.enabled {
            return None;
        }
        let ends = history.last(at, 2 * HOUR).map(|(end, _)| *end);
        let hours = ends.filter_map(|end| self.evaluate_hour(history, baseline, end));
        // The look an hour ago has told of what was at its height then.
        let busiest = hours.max_by_key(|found| (found.evidence.value, Reverse(found.window)))?;
        (busiest.window > at.back(HOUR)).then_some(busiest)
    }

    fn evaluate_hour(&self, history: &History, baseline: &Baseline, at: Window) -> Option<Finding> {
        let sent = total(history.last(at, HOUR).map(|(_, rollup)| to_public(rollup)));
        if sent < self.bytes {
            return None;
        }
        // While the volume is not known, a day's windows must be there to tell what is new.
        let past = history.windows.range(at.back(DAY - 1)..at.back(HOUR - 1)).count();
        if i64::try_from(past).unwrap_or(0) < MEMORY {
            return None;
        }
        if baseline.egress.n >= KNOWN_HOURS
            && baseline.egress.sigmas(sent) <= f64::from(self.sigmas)
        {
            return None;
        }
        let before = destinations(history, at.back(DAY - 1), at.back(HOUR));
        let mut fresh: Vec<(Address, u64)> = destinations(history, at.back(HOUR - 1), at)
            .into_iter()
            .filter(|(address, bytes)| {
                // Whoever only called home before is as new as who never did.
                before.get(address).is_none_or(|before| before.saturating_mul(MORE) < *bytes)
            })
            .collect();
        let new = total(fresh.iter().map(|(_, bytes)| *bytes));
        if new.saturating_mul(100) < sent.saturating_mul(self.new_percent) {
            return None;
        }
        fresh.sort_by_key(|(address, bytes)| (Reverse(*bytes), *address));
        let now = history.windows.get(&at)?;
        let known = baseline.egress.n >= KNOWN_HOURS;
        let severity = if known { self.severity } else { self.severity.min(Severity::Notify) };
        Some(Finding {
            source: fresh.first().map(|(address, _)| *address),
            evidence: Why {
                measure:
                    "bytes to public addresses, most of them to ones that got hardly any before (the largest is named)"
                        .into(),
                value: sent,
                baseline: known.then(|| super::rounded(baseline.egress.usual())),
                threshold: self.bytes,
                seconds: HOUR * WINDOW_SECONDS,
                sources: fresh.len() as u64,
                rejected: now.totals().reject.records,
                skipdata: history.skipdata(at, HOUR),
                ..Why::default()
            },
            ..Finding::new(
                Rule::EgressVolume,
                severity,
                Cause::Exfiltration,
                &history.interface_id,
                at,
            )
        })
    }
}

/// Bytes to each public address in a range of windows, as far as listed.
fn destinations(history: &History, from: Window, to: Window) -> BTreeMap<Address, u64> {
    let mut destinations = BTreeMap::new();
    for (_, rollup) in history.windows.range(from..=to) {
        for (key, talker) in rollup.talkers.iter() {
            if !is_internal(&key.remote) && talker.bytes_out > 0 {
                let bytes: &mut u64 = destinations.entry(key.remote).or_default();
                *bytes = bytes.saturating_add(talker.bytes_out);
            }
        }
    }
    destinations
}

#[cfg(test)]
mod tests {
    use super::super::tests::{sent, window};
    use super::*;

    fn day(remote: &str, bytes: u64, baseline: &Baseline) -> Option<u64> {
        let mut history = History::default();
        for n in 0..200 {
            history.add(window(n), &sent("198.51.100.1", 1_000_000));
        }
        history.add(window(200), &sent(remote, bytes));
        EgressVolume::default()
            .evaluate(&history, baseline, window(200))
            .map(|found| found.evidence.value)
    }

    fn known() -> Baseline {
        let mut baseline = Baseline::default();
        for n in 0..48 {
            baseline.egress.learn(12_000_000 + n * 10_000, KNOWN_HOURS);
        }
        baseline
    }

    #[test]
    fn much_and_unusual_and_to_somebody_new() {
        assert_eq!(day("203.0.113.7", 600_000_000, &known()), Some(611_000_000));
        assert_eq!(day("203.0.113.7", 400_000_000, &known()), None, "not much");
        assert_eq!(day("198.51.100.1", 600_000_000, &known()), None, "nobody new");
        let mut busy = Baseline::default();
        for n in 0..48 {
            busy.egress.learn(500_000_000 + n * 5_000_000, KNOWN_HOURS);
        }
        assert_eq!(day("203.0.113.7", 600_000_000, &busy), None, "usual here");
        assert!(day("203.0.113.7", 600_000_000, &Baseline::default()).is_some());
    }

    /// The hour is looked at when it is over: its last windows may have no record, and the most may lie across it.
    #[test]
    fn the_busiest_hour_that_ends_in_the_last_one_is_judged() {
        let mut history = History::default();
        for n in 0..200 {
            history.add(window(n), &sent("198.51.100.1", 1_000_000));
        }
        for n in 194..201 {
            history.add(window(n), &sent("203.0.113.7", 90_000_000));
        }
        let found = |at| {
            let found = EgressVolume::default().evaluate(&history, &known(), window(at));
            found.map(|found| (found.window, found.evidence.value))
        };
        assert_eq!(found(198), None, "450 MB by then");
        for at in 200..212 {
            assert_eq!(found(at), Some((window(200), 641_000_000)), "{at}");
        }
        assert_eq!(found(212), None);
    }

    #[test]
    fn who_only_called_home_is_new() {
        let mut history = History::default();
        for n in 0..200 {
            history.add(window(n), &sent("198.51.100.1", 1_000_000));
        }
        let to = "203.0.113.7";
        history.add(window(170), &sent(to, 40));
        history.add(window(200), &sent(to, 600_000_000));
        assert!(EgressVolume::default().evaluate(&history, &known(), window(200)).is_some());
        history.add(window(171), &sent(to, 70_000_000));
        assert_eq!(EgressVolume::default().evaluate(&history, &known(), window(200)), None);
    }

    #[test]
    fn idle_hours_are_no_excuse() {
        let mut history = History::default();
        let mut usual = Baseline::default();
        for n in 0..600 {
            let idle = n / 12 % 2 == 0;
            history.add(window(n), &sent("198.51.100.1", if idle { 0 } else { 1_000_000 }));
        }
        history.add(window(600), &sent("203.0.113.7", 600_000_000));
        usual.advance(&history, window(599));
        let found = EgressVolume::default().evaluate(&history, &usual, window(600));
        assert_eq!(found.map(|found| found.severity), Some(Severity::Notify));
    }

    #[test]
    fn without_a_past_nothing_is_new() {
        let mut history = History::default();
        history.add(window(0), &sent("203.0.113.7", 900_000_000));
        assert_eq!(EgressVolume::default().evaluate(&history, &known(), window(0)), None);
    }
}
