//! D1b `reject-anomaly`: more refused records than the interface's own past explains.
//!
//! The tail probability of the window (or the hour that ends with it) under the interface's running
//! negative binomial. A nominal 1e-6 is not calibrated on real rejects, so the finding goes to the
//! digest, unless most of it comes from inside, where refusals are rare and mean something. Nothing
//! is said while the interface is not known (six hours), nor of late replies, nor of what a scan or burst
//! explains, in whichever window of the hour it was.
//! Modelled on Elastic's and Panther's anomaly jobs.

use super::baseline::{ALARM, ALARM_HOUR, KNOWN, KNOWN_HOURS, rejected};
use super::{
    Baseline, Cause, Counts, Finding, History, RejectAnomaly, Rule, Severity, Why,
    explained::Explained, ports, shown,
};
use crate::detect::{finding::is_internal, total};
use crate::record::{Address, WINDOW_SECONDS, WINDOWS_PER_HOUR, Window};
use crate::rollup::Rollup;

/// What is more than the past explains.
struct Judged<'a> {
    value: u64,
    counts: &'a Counts,
    alarm: f64,
    windows: i64,
}

impl RejectAnomaly {
    pub(super) fn evaluate(
        &self,
        history: &History,
        baseline: &Baseline,
        at: Window,
        explained: &Explained,
        of_hour: impl FnOnce() -> Explained,
    ) -> Option<Finding> {
        let now = history.windows.get(&at)?;
        let here = unexplained(now, explained);
        if !self.enabled || here == 0 {
            return None;
        }
        let usual = baseline.without_replies();
        if usual.n >= KNOWN && here >= self.least && usual.tail(here) < ALARM {
            let judged = Judged { value: here, counts: usual, alarm: ALARM, windows: 1 };
            return Some(self.finding(history, at, now, explained, &judged));
        }
        let alarms = |hour: u64| {
            baseline.hourly.n >= KNOWN_HOURS
                && hour >= self.least
                && baseline.hourly.tail(hour) < ALARM_HOUR
        };
        let sum = |explained: &Explained| {
            total(
                history
                    .last(at, WINDOWS_PER_HOUR)
                    .map(|(_, rollup)| unexplained(rollup, explained)),
            )
        };
        // What other windows explain is looked for only if it matters.
        if !alarms(sum(explained)) {
            return None;
        }
        let explained = of_hour();
        let value = sum(&explained);
        if !alarms(value) {
            return None;
        }
        let mut hour = Rollup::default();
        for (_, rollup) in history.last(at, WINDOWS_PER_HOUR) {
            hour.merge(rollup);
        }
        let judged = Judged {
            value,
            counts: &baseline.hourly,
            alarm: ALARM_HOUR,
            windows: WINDOWS_PER_HOUR,
        };
        Some(self.finding(history, at, &hour, &explained, &judged))
    }

    /// `over` is the window that is judged, or the hour in one.
    fn finding(
        &self,
        history: &History,
        at: Window,
        over: &Rollup,
        explained: &Explained,
        judged: &Judged<'_>,
    ) -> Finding {
        let inside = without_replies(over, explained).filter(|(source, _)| is_internal(source));
        let inside = total(inside.map(|(_, records)| records));
        let severity = self.loudness(inside > judged.value / 2, judged.windows);
        let cause = Cause::FloodOrChangedRule;
        Finding {
            evidence: Why {
                measure: "rejected records".into(),
                value: judged.value,
                baseline: Some(super::rounded(judged.counts.mean)),
                threshold: judged.counts.alarms_from(self.least, judged.alarm),
                seconds: judged.windows * WINDOW_SECONDS,
                since: None,
                sources: over.rejected_sources_seen().estimate().map_or(0, |d| d.estimate),
                ports: ports(over),
                rejected: over.totals().reject.records,
                skipdata: history.skipdata(at, judged.windows),
                records: shown(over, |row| {
                    row.srcaddr.is_none_or(|source| !explained.scanners.contains(&source))
                }),
                named: explained.named(over),
            },
            ..Finding::new(Rule::RejectAnomaly, severity, cause, &history.interface_id, at)
        }
    }

    /// An hour that is only a little above its past (one in a thousand) disturbs nobody.
    fn loudness(&self, from_inside: bool, windows: i64) -> Severity {
        if from_inside && windows == 1 { self.inside } else { self.severity }
    }
}

/// Rejected records that neither another finding nor block-public-access explains, and that are no late replies, as far
/// as lists tell. A burst counts those, too: reflected floods look like replies.
fn unexplained(rollup: &Rollup, explained: &Explained) -> u64 {
    let left = total(explained.left(rollup).into_iter().map(|(_, left)| left));
    let fresh = total(without_replies(rollup, explained).map(|(_, records)| records));
    rejected(rollup)
        .saturating_sub(explained.records(rollup))
        .saturating_sub(left.saturating_sub(fresh))
}

/// Of each source, the records that nothing explains and that are no late replies; no more than are left of it.
fn without_replies<'a>(
    rollup: &'a Rollup,
    explained: &Explained,
) -> impl Iterator<Item = (&'a Address, u64)> {
    explained.left(rollup).into_iter().map(|(source, left)| {
        let totals = rollup.rejected_sources.get(source);
        // Answers that are explained may be replies as well.
        let replies = totals
            .map_or(0, |totals| totals.replies.saturating_sub(totals.records.saturating_sub(left)));
        (source, left.saturating_sub(replies))
    })
}

#[cfg(test)]
mod tests {
    use super::super::Rules;
    use super::super::tests::{known, rejects, rejects_from_port, window};
    use super::*;

    fn find_in(history: &History, usual: &Baseline, at: i64, by: &Explained) -> Option<Finding> {
        let rule = RejectAnomaly::default();
        let of_hour = || Explained::of_hour(&Rules::default(), history, window(at));
        rule.evaluate(history, usual, window(at), by, of_hour)
    }

    fn find(source: &str, records: u16, baseline: &Baseline) -> Option<Severity> {
        let mut history = History::default();
        history.add(window(0), &rejects((0..records).map(|n| (source.to_owned(), 20 + n % 5))));
        find_in(&history, baseline, 0, &Explained::default()).map(|f| f.severity)
    }

    #[test]
    fn late_replies_are_no_anomaly() {
        for (from, tells) in [(443, false), (8_443, true)] {
            let mut history = History::default();
            let rows = (0..60).map(|n| ("10.1.0.9".to_owned(), 40_000 + n % 5));
            history.add(window(0), &rejects_from_port(from, rows));
            let found = find_in(&history, &known(&[0, 1]), 0, &Explained::default());
            assert_eq!(found.is_some(), tells, "from {from}");
        }
    }

    /// Neither are they what is usual, nor do they make strangers' refusals ours.
    #[test]
    fn late_replies_hide_nothing_and_are_nobodys_refusals() {
        let replies =
            rejects_from_port(443, (0..100).map(|n| ("10.1.0.9".to_owned(), 40_000 + n % 5)));
        let mut past = History::default();
        (-100..0).for_each(|n| past.add(window(n), &replies));
        let mut usual = Baseline::default();
        usual.advance(&past, window(-1));
        let mut history = History::default();
        history.add(window(0), &replies);
        assert_eq!(find_in(&history, &usual, 0, &Explained::default()), None);
        history.add(window(0), &rejects((0..40).map(|n| ("203.0.113.1".to_owned(), 20 + n % 5))));
        let found = find_in(&history, &usual, 0, &Explained::default()).unwrap();
        assert_eq!((found.evidence.value, found.severity), (40, Severity::Digest));
        history.add(window(0), &rejects((0..60).map(|n| ("10.0.3.4".to_owned(), 20 + n % 5))));
        let found = find_in(&history, &usual, 0, &Explained::default()).unwrap();
        assert_eq!((found.evidence.value, found.severity), (100, Severity::Notify));
    }

    #[test]
    fn a_burst_stands_out_from_a_quiet_past() {
        let quiet = known(&[0, 0, 1, 0]);
        assert_eq!(find("203.0.113.1", 20, &quiet), Some(Severity::Digest));
        assert_eq!(find("10.0.3.4", 20, &quiet), Some(Severity::Notify));
        assert_eq!(find("10.0.3.4", 9, &quiet), None, "fewer than the least");
        assert_eq!(find("10.0.3.4", 20, &known(&[5, 20, 40, 10])), None, "usual here");
        assert_eq!(find("10.0.3.4", 500, &Baseline::default()), None, "not known yet");
    }

    #[test]
    fn what_a_scanner_explains_is_left_out() {
        let mut history = History::default();
        history.add(window(0), &rejects((1..=40).map(|n| ("10.0.3.4".to_owned(), n))));
        let explained = Explained::by_scans_of("10.0.3.4");
        let quiet = known(&[0, 0, 1]);
        assert_eq!(find_in(&history, &quiet, 0, &explained), None);
        assert!(find_in(&history, &quiet, 0, &Explained::default()).is_some());
    }

    #[test]
    fn an_hour_adds_up() {
        let mut history = History::default();
        for n in 0..12 {
            history.add(window(n), &rejects((0..6).map(|_| ("203.0.113.1".to_owned(), 23))));
        }
        let mut baseline = known(&[0, 1]);
        for _ in 0..KNOWN_HOURS {
            baseline.hourly.learn(2, KNOWN_HOURS, ALARM_HOUR, 24);
        }
        let found = find_in(&history, &baseline, 11, &Explained::default()).unwrap();
        assert_eq!((found.evidence.value, found.evidence.seconds), (72, 3_600));
        assert_eq!(found.severity, Severity::Digest);
    }

    fn quiet_hours() -> Baseline {
        let mut baseline = known(&[5, 20, 40, 10]);
        for _ in 0..KNOWN_HOURS {
            baseline.hourly.learn(2, KNOWN_HOURS, ALARM_HOUR, 24);
        }
        baseline
    }

    #[test]
    fn a_scan_that_was_told_is_told_by_no_later_window() {
        let mut history = History { interface_id: "eni-1".to_owned(), ..History::default() };
        history.add(window(0), &rejects((1..=100).map(|port| ("10.0.9.9".to_owned(), port))));
        for at in [2, 4, 6, 8, 11] {
            history.add(window(at), &rejects(std::iter::once(("198.51.100.7".to_owned(), 23))));
            let found = Rules::default().evaluate(&history, &quiet_hours(), window(at));
            assert_eq!(found, [], "{at}");
        }
    }

    #[test]
    fn an_hour_names_who_was_refused_in_it() {
        let mut history = History::default();
        for n in 0..6 {
            history.add(window(n), &rejects((0..8).map(|_| ("203.0.113.1".to_owned(), 23))));
        }
        history.add(window(9), &rejects(std::iter::once(("198.51.100.7".to_owned(), 110))));
        let found = find_in(&history, &quiet_hours(), 9, &Explained::default()).unwrap();
        let named: Vec<_> = found.evidence.named.iter().map(ToString::to_string).collect();
        assert_eq!(named, ["203.0.113.1", "198.51.100.7"]);
        let why = found.evidence;
        assert_eq!((why.value, why.rejected, why.sources, why.ports), (49, 49, 2, vec![23, 110]));
    }
}
