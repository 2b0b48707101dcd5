//! D1b `reject-anomaly`: more refused records than the interface's own past explains.
//!
//! The tail probability of the window (or the hour that ends with it) under the interface's running
//! negative binomial. A nominal 1e-6 is not calibrated on real rejects, so the finding goes to the
//! digest, unless most of it comes from inside, where refusals are rare and mean something. Nothing
//! is said while the interface is not known (six hours), nor of what a scan or burst explains.
//! Modelled on Elastic's and Panther's anomaly jobs.

use super::baseline::{ALARM, ALARM_HOUR, KNOWN, KNOWN_HOURS, rejected};
use super::{
    Baseline, Cause, Finding, History, RejectAnomaly, Rule, Severity, Why, explained::Explained,
    ports, shown,
};
use crate::detect::{finding::is_internal, total};
use crate::record::{WINDOW_SECONDS, Window};
use crate::rollup::Rollup;

/// Windows in an hour.
const HOUR: i64 = 12;

impl RejectAnomaly {
    pub(super) fn evaluate(
        &self,
        history: &History,
        baseline: &Baseline,
        at: Window,
        explained: &Explained,
    ) -> Option<Finding> {
        let now = history.windows.get(&at)?;
        let here = unexplained(now, explained);
        if !self.enabled || here == 0 {
            return None;
        }
        let hour = total(history.last(at, HOUR).map(|(_, r)| unexplained(r, explained)));
        let known = baseline.rejects.n >= KNOWN;
        let known_hours = baseline.hourly.n >= KNOWN_HOURS;
        let (value, counts, alarm, windows) =
            if known && here >= self.least && baseline.rejects.tail(here) < ALARM {
                (here, &baseline.rejects, ALARM, 1)
            } else if known_hours && hour >= self.least && baseline.hourly.tail(hour) < ALARM_HOUR {
                (hour, &baseline.hourly, ALARM_HOUR, HOUR)
            } else {
                return None;
            };
        let left = explained.left(now);
        let inside = left.iter().filter(|(source, _)| is_internal(source));
        let inside = total(inside.map(|(_, records)| *records));
        let severity = self.loudness(inside > here / 2, windows);
        let cause = Cause::FloodOrChangedRule;
        Some(Finding {
            evidence: Why {
                measure: "rejected records".into(),
                value,
                baseline: Some(super::rounded(counts.mean)),
                threshold: counts.alarms_from(self.least, alarm),
                seconds: windows * WINDOW_SECONDS,
                since: None,
                sources: now.rejected_sources_seen().estimate().map_or(0, |d| d.estimate),
                ports: ports(now),
                rejected: now.totals().reject.records,
                skipdata: history.skipdata(at, windows),
                records: shown(now, |_| true),
                named: explained.named(now),
            },
            ..Finding::new(Rule::RejectAnomaly, severity, cause, &history.interface_id, at)
        })
    }

    /// An hour that is only a little above its past (one in a thousand) disturbs nobody.
    fn loudness(&self, from_inside: bool, windows: i64) -> Severity {
        if from_inside && windows == 1 { self.inside } else { self.severity }
    }
}

/// Rejected records that neither another finding nor block-public-access explains.
fn unexplained(rollup: &Rollup, explained: &Explained) -> u64 {
    rejected(rollup).saturating_sub(explained.records(rollup))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{known, rejects, window};
    use super::*;

    fn find(source: &str, records: u16, baseline: &Baseline) -> Option<Severity> {
        let mut history = History::default();
        history.add(window(0), &rejects((0..records).map(|n| (source.to_owned(), 20 + n % 5))));
        let rule = RejectAnomaly::default();
        rule.evaluate(&history, baseline, window(0), &Explained::default()).map(|f| f.severity)
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
        let rule = RejectAnomaly::default();
        assert_eq!(rule.evaluate(&history, &quiet, window(0), &explained), None);
        assert!(rule.evaluate(&history, &quiet, window(0), &Explained::default()).is_some());
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
        let found = RejectAnomaly::default()
            .evaluate(&history, &baseline, window(11), &Explained::default())
            .unwrap();
        assert_eq!((found.evidence.value, found.evidence.seconds), (72, 3_600));
        assert_eq!(found.severity, Severity::Digest);
    }
}
