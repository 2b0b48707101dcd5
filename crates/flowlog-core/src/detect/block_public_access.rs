//! D12 `block-public-access`: VPC Block Public Access refused traffic (`reject-reason` BPA).
//!
//! Information, for the digest: it does what it was switched on for. What it explains is left out
//! of the other rules.

use super::baseline::rejected;
use super::{
    BlockPublicAccess, Cause, Finding, History, Rule, Why, is_internal, ports, shown, total,
};
use crate::record::{Address, Direction, WINDOW_SECONDS, Window};
use crate::rollup::{RejectedSource, Rollup};

/// What AWS writes into `reject-reason`.
pub(super) const REASON: &str = "BPA";

/// Whether every refusal of a window is Block Public Access's.
pub(super) fn explains(rollup: &Rollup) -> bool {
    blocked(rollup) > 0 && rejected(rollup) == 0
}

fn blocked(rollup: &Rollup) -> u64 {
    rollup.reject_reasons.get(REASON).copied().unwrap_or(0)
}

/// How many refusals of a source in a window are not Block Public Access's, at most. Reasons are counted of all sources
/// together; but it refuses only what goes through an Internet gateway, and nobody inside comes that way.
pub(super) fn others(rollup: &Rollup) -> impl Fn(&Address, &RejectedSource) -> u64 {
    let is_inside = |source: &Address, totals: &RejectedSource| {
        is_internal(source) && totals.direction == Direction::Ingress
    };
    let applies = blocked(rollup) > 0;
    let all = rejected(rollup);
    let inside =
        rollup.rejected_sources.iter().filter(|(source, totals)| is_inside(source, totals));
    let inside = if applies { total(inside.map(|(_, totals)| totals.records)) } else { 0 };
    move |source, totals| match (applies, is_inside(source, totals)) {
        (false, _) => u64::MAX,
        (true, true) => all,
        (true, false) => all.saturating_sub(inside),
    }
}

impl BlockPublicAccess {
    pub(super) fn evaluate(self, history: &History, at: Window) -> Option<Finding> {
        let now = history.windows.get(&at)?;
        let value = blocked(now);
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
