//! D12 `block-public-access`: VPC Block Public Access refused traffic (`reject-reason` BPA).
//!
//! Information, for the digest: it does what it was switched on for. What it explains is left out
//! of the other rules.

use super::{BlockPublicAccess, Cause, Finding, History, Rule, Why, ports, shown};
use crate::record::{WINDOW_SECONDS, Window};
use crate::rollup::{BLOCK_PUBLIC_ACCESS, Rollup};

/// Whether every refusal of a window is Block Public Access's.
pub(super) fn explains(rollup: &Rollup) -> bool {
    let blocked = rollup.reject_reasons.get(BLOCK_PUBLIC_ACCESS).copied().unwrap_or(0);
    blocked > 0 && blocked >= rollup.totals().reject.records
}

impl BlockPublicAccess {
    pub(super) fn evaluate(self, history: &History, at: Window) -> Option<Finding> {
        let now = history.windows.get(&at)?;
        let value = now.reject_reasons.get(BLOCK_PUBLIC_ACCESS).copied().unwrap_or(0);
        if !self.enabled || value == 0 {
            return None;
        }
        Some(Finding {
            evidence: Why {
                measure: "records that VPC Block Public Access refused".into(),
                value,
                threshold: 1,
                seconds: WINDOW_SECONDS,
                sources: now.rejected_sources_seen().estimate().map_or(0, |d| d.estimate),
                ports: ports(now),
                rejected: now.totals().reject.records,
                skipdata: now.skipdata,
                records: shown(now, |_| true),
                ..Why::default()
            },
            ..Finding::new(
                Rule::BlockPublicAccess,
                self.severity,
                Cause::BlockPublicAccess,
                &history.interface_id,
                at,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{record, rejects, roll_up, window};
    use super::*;
    use crate::detect::PortScan;
    use crate::record::{Action, Record};

    #[test]
    fn bpa_is_counted_and_other_reasons_are_not() {
        for (reason, found) in [("BPA", Some(2)), ("EC", None)] {
            let mut history = History::default();
            let mut rollup = rejects((1..=2).map(|p| ("203.0.113.5".to_owned(), p)));
            rollup.reject_reasons.insert(reason.to_owned(), 2);
            assert_eq!(explains(&rollup), found.is_some());
            history.add(window(0), &rollup);
            let value = BlockPublicAccess::default()
                .evaluate(&history, window(0))
                .map(|f| f.evidence.value);
            assert_eq!(value, found);
        }
    }
    #[test]
    fn what_it_refused_is_no_scan_beside_other_refusals_either() {
        let mut rows: Vec<Record<'_>> = (1..60)
            .map(|port| record("10.0.0.9", 50_000, "10.0.0.5", port, Action::Reject))
            .collect();
        let scans = |rows: &[Record<'_>]| {
            let mut history = History::default();
            history.add(window(0), &roll_up(rows));
            PortScan::default().evaluate(&history, window(0)).len()
        };
        assert_eq!(scans(&rows), 1);
        for row in rows.iter_mut().skip(1) {
            row.reject_reason = Some(BLOCK_PUBLIC_ACCESS);
        }
        assert_eq!(scans(&rows), 0);
    }
}
