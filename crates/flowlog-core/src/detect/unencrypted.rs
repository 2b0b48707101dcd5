//! D11 `unencrypted`: records with `encryption-status` 0 on an interface. ATT&CK T1040.
//!
//! Off unless the rules file turns it on (for a VPC whose policy wants encryption), and silent where
//! the format lacks the field.

use super::{Cause, Finding, History, Rule, Unencrypted, Why};
use crate::record::{WINDOW_SECONDS, Window};

impl Unencrypted {
    pub(super) fn evaluate(self, history: &History, at: Window) -> Option<Finding> {
        let now = history.windows.get(&at)?;
        let value = now.encryption_status.get(&0).copied().unwrap_or(0);
        if !self.enabled || value == 0 {
            return None;
        }
        Some(Finding {
            evidence: Why {
                measure: "records of unencrypted traffic".into(),
                value,
                threshold: 1,
                seconds: WINDOW_SECONDS,
                rejected: now.totals().reject.records,
                skipdata: now.skipdata,
                ..Why::default()
            },
            ..Finding::new(
                Rule::Unencrypted,
                self.severity,
                Cause::Plaintext,
                &history.interface_id,
                at,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::window;
    use super::*;
    use crate::rollup::Rollup;

    #[test]
    fn only_status_0_and_only_where_it_is_wanted() {
        let wanted = Unencrypted { enabled: true, ..Unencrypted::default() };
        for (statuses, found) in
            [(vec![(0, 3), (1, 9)], Some(3)), (vec![(1, 9)], None), (vec![], None)]
        {
            let mut history = History::default();
            let rollup =
                Rollup { encryption_status: statuses.into_iter().collect(), ..Rollup::default() };
            history.add(window(0), &rollup);
            let value = wanted.evaluate(&history, window(0)).map(|f| f.evidence.value);
            assert_eq!(value, found);
            assert_eq!(Unencrypted::default().evaluate(&history, window(0)), None, "off");
        }
    }
}
