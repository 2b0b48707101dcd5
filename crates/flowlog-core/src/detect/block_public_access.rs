//! D12 `block-public-access`: VPC Block Public Access refused traffic (`reject-reason` BPA).
//!
//! Information, for the digest: it does what it was switched on for. What it explains is left out
//! of the other rules.

use super::{BlockPublicAccess, Cause, Finding, History, Rule, Why, ports, shown};
use crate::record::{WINDOW_SECONDS, Window};
use crate::rollup::Rollup;

/// What AWS writes into `reject-reason`.
pub(super) const REASON: &str = "BPA";

/// Whether every refusal of a window is Block Public Access's.
pub(super) fn explains(rollup: &Rollup) -> bool {
    let blocked = rollup.reject_reasons.get(REASON).copied().unwrap_or(0);
    blocked > 0 && blocked >= rollup.totals().reject.records
}

impl BlockPublicAccess {
    pub(super) fn evaluate(self, history: &History, at: Window) -> Option<Finding> {
        let now = history.windows.get(&at)?;
        let value = now.reject_reasons.get(REASON).copied().unwrap_or(0);
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
    use super::super::tests::{rejects, window};
    use super::*;

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
}
