//! D1 `reject-burst`: many refused records on one interface in one window.
//!
//! A burst comes from several sources (a flood, a botnet, a changed security group that refuses
//! what it used to accept) or from one that makes nearly all of it. Two noisy sources are neither.
//! What port scans explain is left to them. ATT&CK T1498, T1046; modelled on Elastic's
//! `ml_high_count_network_denies`.
//!
//! There is no baseline yet: the threshold is the one for interfaces that are not known well.

use super::{Finding, History, PORTS_SHOWN, RECORDS_SHOWN, Rule, Severity, Why};
use crate::record::{Address, WINDOW_SECONDS, Window};
use crate::rollup::Rollup;

/// Thresholds of D1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectBurst {
    /// Rejected records in one window, those of scanners not counted.
    pub records: u64,
    /// With at least this many sources it is a burst …
    pub sources: u64,
    /// … or with one source that has this share of it (percent).
    pub one_source_percent: u64,
}

impl Default for RejectBurst {
    fn default() -> Self {
        Self { records: 200, sources: 3, one_source_percent: 80 }
    }
}

impl RejectBurst {
    pub(super) fn evaluate(
        &self,
        history: &History,
        at: Window,
        scanners: &[Address],
    ) -> Option<Finding> {
        let now = history.windows.get(&at)?;
        let rejected = now.totals().reject.records;
        let of_scanners: u64 =
            scanners.iter().filter_map(|s| now.rejected_sources.get(s)).map(|s| s.records).sum();
        let value = rejected.saturating_sub(of_scanners);
        if value < self.records {
            return None;
        }
        let sources = now.rejected_sources_seen().estimate().map_or(0, |d| d.estimate);
        let heaviest = now
            .rejected_sources
            .heaviest()
            .into_iter()
            .find(|(address, _)| !scanners.contains(address));
        let alone = heaviest.filter(|(_, s)| {
            s.records.saturating_mul(100) >= value.saturating_mul(self.one_source_percent)
        });
        if alone.is_none() && sources < self.sources {
            return None;
        }
        Some(Finding {
            rule: Rule::RejectBurst,
            severity: Severity::Notify,
            interface_id: history.interface_id.clone(),
            account_id: String::new(),
            vpc_id: String::new(),
            source: alone.map(|(address, _)| *address),
            window: at,
            evidence: self.why(now, value, sources),
        })
    }

    fn why(&self, now: &Rollup, value: u64, sources: u64) -> Why {
        let ports = now.rejected_ports.heaviest();
        Why {
            measure: "rejected records",
            value,
            threshold: self.records,
            seconds: WINDOW_SECONDS,
            sources,
            ports: ports.iter().take(PORTS_SHOWN).map(|(k, _)| k.port).collect(),
            rejected: now.totals().reject.records,
            skipdata: now.skipdata,
            records: now.evidence.iter().take(RECORDS_SHOWN).copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rejects, window};
    use super::*;

    fn find(sources: u8, each: u32) -> Option<Finding> {
        let mut history = History::default();
        let rows =
            (0..sources).flat_map(|s| (0..each).map(move |_| (format!("203.0.113.{s}"), 22)));
        history.add(window(0), &rejects(rows));
        RejectBurst::default().evaluate(&history, window(0), &[])
    }

    #[test]
    fn from_many_or_from_one_but_not_from_two() {
        assert_eq!(find(40, 5).unwrap().source, None);
        assert_eq!(find(40, 5).unwrap().evidence.value, 200);
        assert!(find(1, 200).unwrap().source.is_some());
        assert_eq!(find(2, 100), None);
        assert_eq!(find(1, 199), None);
        assert_eq!(find(39, 5), None);
    }

    #[test]
    fn what_a_scan_explains_is_no_burst() {
        let mut history = History::default();
        let rows = (1..=250u16).map(|port| ("203.0.113.1".to_owned(), port));
        history.add(window(0), &rejects(rows));
        let scanner = Address::parse("203.0.113.1").unwrap();
        assert_eq!(RejectBurst::default().evaluate(&history, window(0), &[scanner]), None);
    }
}
