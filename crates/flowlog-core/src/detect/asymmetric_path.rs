//! D7b `asymmetric-path`: one way of a connection is let through, and its answers are refused.
//!
//! Security groups remember connections; network ACLs do not, and neither do routes. So packets
//! that go one way and answers that are all refused on the same interface are a stateless network
//! ACL without its ephemeral ports, or a return path through another device. Refusals of only the
//! first way are `east-west-reject`'s. A few late answers after a connection is over are refused
//! everywhere, so some answer must never have got through. Not judged while AWS skips records.

use super::{AsymmetricPath, Cause, Finding, History, Rule, Target, Why, shown};
use crate::record::{WINDOW_SECONDS, Window};
use crate::rollup::{Evidence, Verdicts, Weigh as _};

/// Windows that a connection and its answers may fall into.
const PAIR: i64 = 2;

impl AsymmetricPath {
    pub(super) fn evaluate(&self, history: &History, at: Window) -> Vec<Finding> {
        let Some(now) = history.windows.get(&at) else { return Vec::new() };
        if !self.enabled || history.skipdata(at, PAIR) > 0 {
            return Vec::new();
        }
        let mut findings = Vec::new();
        for (tuple, _) in now.rejected_tuples.iter() {
            let mut verdicts = Verdicts::default();
            for (_, rollup) in history.last(at, PAIR) {
                if let Some(part) = rollup.verdicts(tuple) {
                    verdicts.absorb(&part);
                }
            }
            let one_way = verdicts.accepted_forward > 0 && verdicts.accepted_back == 0;
            if !one_way || verdicts.rejected_back < self.records {
                continue;
            }
            let answers = |row: &Evidence| {
                row.srcaddr == Some(tuple.server) && row.dstaddr == Some(tuple.client)
            };
            findings.push(Finding {
                source: Some(tuple.client),
                target: Some(Target { host: Some(tuple.server), port: Some(tuple.port) }),
                evidence: Why {
                    measure: "answers refused to connections that were let through".into(),
                    value: verdicts.rejected_back,
                    threshold: self.records,
                    seconds: PAIR * WINDOW_SECONDS,
                    sources: 1,
                    ports: vec![tuple.port],
                    rejected: now.totals().reject.records,
                    skipdata: now.skipdata,
                    records: shown(now, answers),
                    ..Why::default()
                },
                ..Finding::new(
                    Rule::AsymmetricPath,
                    self.severity,
                    Cause::NetworkAclOrReturnRoute,
                    &history.interface_id,
                    at,
                )
            });
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{record, roll_up, tuples, window};
    use super::*;
    use crate::record::{Action, Direction, Record};

    /// (forward rejects, back rejects, accepted packets forward) per window.
    fn find(windows: &[(u64, u64, u64)], change: impl Fn(&mut crate::rollup::Rollup)) -> usize {
        let mut history = History::default();
        let mut at = window(0);
        for (n, (forward, back, accepted)) in (0..).zip(windows) {
            at = window(n);
            let mut rollup = tuples(&[("10.1.0.9", 8_443, *forward, *back, *accepted)]);
            change(&mut rollup);
            history.add(at, &rollup);
        }
        AsymmetricPath::default().evaluate(&history, at).len()
    }

    #[test]
    fn forward_accepted_and_answers_refused() {
        assert_eq!(find(&[(0, 5, 9)], |_| ()), 1);
        assert_eq!(find(&[(0, 2, 9), (0, 1, 0)], |_| ()), 1, "two windows");
        assert_eq!(find(&[(0, 2, 9)], |_| ()), 0, "too few");
        assert_eq!(find(&[(0, 5, 0)], |_| ()), 0, "nothing was let through");
        assert_eq!(find(&[(5, 0, 9)], |_| ()), 0, "the first way is refused");
        assert_eq!(find(&[(0, 2, 9), (0, 0, 0), (0, 1, 0)], |_| ()), 0, "too far apart");
    }

    /// Asked and answered in one delivery, answers refused in the next, or all in one.
    #[test]
    fn how_deliveries_are_cut_decides_nothing() {
        let row = |there: bool, packets, action| {
            let ends = ("10.1.0.9", 50_000, "10.0.0.5", 8_443);
            let (from, srcport, to, port) =
                if there { ends } else { (ends.2, ends.3, ends.0, ends.1) };
            let way = if there { Direction::Ingress } else { Direction::Egress };
            Record { packets, flow_direction: Some(way), ..record(from, srcport, to, port, action) }
        };
        let (there, back) = (row(true, 20, Action::Accept), row(false, 900, Action::Accept));
        let late = row(false, 1, Action::Reject);
        let found = |deliveries: &[&[Record<'_>]]| {
            let mut history = History::default();
            for rows in deliveries {
                history.add(window(0), &roll_up(rows));
            }
            AsymmetricPath::default().evaluate(&history, window(0)).len()
        };
        assert_eq!(found(&[&[there, back, late, late, late]]), 0, "late answers");
        assert_eq!(found(&[&[there, back], &[there, late, late, late]]), 0);
        assert_eq!(found(&[&[there, late, late, late]]), 1);
        assert_eq!(found(&[&[there], &[late, late, late]]), 1);
    }

    #[test]
    fn not_while_records_are_skipped() {
        assert_eq!(find(&[(0, 5, 9)], |rollup| rollup.skipdata = 1), 0);
    }
}
