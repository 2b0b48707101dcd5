//! D1 `reject-burst`: many refused records on one interface in one window.
//!
//! A burst comes from several sources (a flood, a botnet, a changed security group that refuses
//! what it used to accept) or from one that makes nearly all of it. Two noisy sources are neither.
//! What port scans and asymmetric paths explain is left to them. An interface that is not known yet needs a large
//! burst; a known one is compared with what is usual there. Half of a burst is recorded: it keeps
//! an open alert open. ATT&CK T1498, T1046; modelled on Elastic's `ml_high_count_network_denies`.

use super::baseline::{KNOWN, rejected};
use super::{
    Baseline, Cause, Finding, History, RejectBurst, Rule, Severity, Why, explained::Explained,
    ports, shown,
};
use crate::record::{WINDOW_SECONDS, Window};

impl RejectBurst {
    pub(super) fn evaluate(
        &self,
        history: &History,
        baseline: &Baseline,
        at: Window,
        explained: &Explained,
    ) -> Option<Finding> {
        let now = history.windows.get(&at)?;
        if !self.enabled {
            return None;
        }
        let value = rejected(now).saturating_sub(explained.records(now));
        let (threshold, usual) = self.threshold(baseline);
        if value < threshold.div_ceil(2) {
            return None;
        }
        let sources = now.rejected_sources_seen().estimate().map_or(0, |d| d.estimate);
        let alone = explained.left(now).first().copied().filter(|(_, records)| {
            records.saturating_mul(100) >= value.saturating_mul(self.one_source_percent)
        });
        if alone.is_none() && sources < self.sources {
            return None;
        }
        let severity = if value < threshold { Severity::Recorded } else { self.severity };
        let cause = Cause::FloodOrChangedRule;
        Some(Finding {
            source: alone.map(|(address, _)| *address),
            evidence: Why {
                measure: "rejected records".into(),
                value,
                baseline: usual,
                threshold,
                seconds: WINDOW_SECONDS,
                since: None,
                sources,
                ports: ports(now),
                rejected: now.totals().reject.records,
                skipdata: now.skipdata,
                records: shown(now, |_| true),
                named: explained.named(now),
            },
            ..Finding::new(Rule::RejectBurst, severity, cause, &history.interface_id, at)
        })
    }

    /// How much is a burst here, and how much is usual where that is known.
    fn threshold(&self, baseline: &Baseline) -> (u64, Option<u64>) {
        if baseline.rejects.n < KNOWN {
            return (self.cold, None);
        }
        let usual = super::rounded(baseline.rejects.mean);
        (self.least.max(self.times.saturating_mul(usual)), Some(usual))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{known, rejects, window};
    use super::*;

    fn find(sources: u16, each: u16, baseline: &Baseline) -> Option<Finding> {
        let mut history = History::default();
        let rows = (0..sources)
            .flat_map(|s| (0..each).map(move |_| (format!("203.0.113.{s}"), 23 + s % 3)));
        history.add(window(0), &rejects(rows));
        RejectBurst::default().evaluate(&history, baseline, window(0), &Explained::default())
    }

    #[test]
    fn many_sources_or_one_but_not_two() {
        let cold = Baseline::default();
        assert_eq!(find(100, 2, &cold).unwrap().source, None);
        assert_eq!(find(40, 5, &cold).unwrap().evidence.value, 200);
        assert!(find(1, 200, &cold).unwrap().source.is_some());
        assert_eq!(find(2, 100, &cold), None);
        assert_eq!(find(1, 199, &cold).unwrap().severity, Severity::Recorded);
        assert_eq!(find(33, 3, &cold), None);
    }

    #[test]
    fn a_known_interface_is_compared_with_itself() {
        let quiet = known(&[0, 1, 0, 2]);
        let found = find(25, 2, &quiet).unwrap();
        assert_eq!((found.severity, found.evidence.threshold), (Severity::Notify, 50));
        assert_eq!(found.evidence.baseline, Some(1));
        let busy = known(&[60, 60, 60]);
        assert_eq!(find(100, 2, &busy), None, "600 would be one");
        assert_eq!(find(100, 6, &busy).unwrap().severity, Severity::Notify);
    }

    #[test]
    fn what_a_scan_explains_is_no_burst() {
        let mut history = History::default();
        let rows = (1..=250u16).map(|port| ("203.0.113.1".to_owned(), port));
        history.add(window(0), &rejects(rows));
        let explained = Explained::by_scans_of("203.0.113.1");
        let cold = Baseline::default();
        assert_eq!(RejectBurst::default().evaluate(&history, &cold, window(0), &explained), None);
    }
}
