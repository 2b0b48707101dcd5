//! D6 `egress-volume`: in one hour an interface sends far more to the Internet than usual, most of it
//! to addresses that it had not sent to in the 23 hours before.
//!
//! Six deviations on a log scale *and* an absolute floor *and* new destinations: each alone fires on
//! backups, releases and new customers. Ranges that may receive much (AWS services, partners) belong
//! on the allow-list. Judged on the schedule, over a day. ATT&CK T1048.

use std::collections::BTreeMap;

use super::baseline::{KNOWN_HOURS, to_public};
use super::{Baseline, Cause, EgressVolume, Finding, History, Rule, Severity, Why};
use super::{finding::is_internal, total};
use crate::record::{Address, WINDOW_SECONDS, Window};

/// Windows in an hour.
const HOUR: i64 = 12;
/// Windows in a day.
const DAY: i64 = 288;
/// Hours of which something must be known before a destination can be new.
const MEMORY: i64 = 72;

impl EgressVolume {
    pub(super) fn evaluate(
        &self,
        history: &History,
        baseline: &Baseline,
        at: Window,
    ) -> Option<Finding> {
        let sent = total(history.last(at, HOUR).map(|(_, rollup)| to_public(rollup)));
        if !self.enabled || sent < self.bytes {
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
            .filter(|(address, _)| !before.contains_key(address))
            .collect();
        let new = total(fresh.iter().map(|(_, bytes)| *bytes));
        if new.saturating_mul(100) < sent.saturating_mul(self.new_percent) {
            return None;
        }
        fresh.sort_by_key(|(address, bytes)| (std::cmp::Reverse(*bytes), *address));
        let now = history.windows.get(&at)?;
        let known = baseline.egress.n >= KNOWN_HOURS;
        let severity = if known { self.severity } else { self.severity.min(Severity::Notify) };
        Some(Finding {
            source: fresh.first().map(|(address, _)| *address),
            evidence: Why {
                measure:
                    "bytes to public addresses, most of them to new ones (the largest is named)"
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

    #[test]
    fn without_a_past_nothing_is_new() {
        let mut history = History::default();
        history.add(window(0), &sent("203.0.113.7", 900_000_000));
        assert_eq!(EgressVolume::default().evaluate(&history, &known(), window(0)), None);
    }
}
