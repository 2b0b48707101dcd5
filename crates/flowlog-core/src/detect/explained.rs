//! What other findings of a window explain of its refusals: those are no burst and no anomaly as well.
//!
//! A scan explains every refusal of its source; an asymmetric path the refused answers of its connection.

use std::collections::BTreeSet;

use super::{Finding, History, Rule, Rules, SOURCES_SHOWN, Severity, total};
use crate::record::{Address, Window};
use crate::rollup::{RejectedSource, Rollup, Tuple};

/// The findings that explain something, as far as anybody hears of them.
#[derive(Debug, Default)]
pub(super) struct Explained {
    /// Who scans.
    pub(super) scanners: Vec<Address>,
    /// Client, server and port of connections whose answers are refused.
    one_way: BTreeSet<(Address, Address, u16)>,
}

impl Explained {
    /// What the scans of these sources explain.
    #[cfg(test)]
    pub(super) fn by_scans_of(source: &str) -> Self {
        Self { scanners: Address::parse(source).into_iter().collect(), ..Self::default() }
    }

    pub(super) fn by(findings: &[Finding]) -> Self {
        let mut explained = Self::default();
        for finding in findings.iter().filter(|f| f.severity > Severity::Recorded) {
            match (finding.rule, finding.source, finding.target) {
                (Rule::PortScan, Some(source), _) if !explained.scanners.contains(&source) => {
                    explained.scanners.push(source);
                }
                (Rule::AsymmetricPath, Some(client), Some(target)) => {
                    let (server, port) = (target.host, target.port.unwrap_or(0));
                    explained.one_way.extend(server.map(|server| (client, server, port)));
                }
                _ => {}
            }
        }
        explained
    }

    /// What the findings of each window of the last hour explain: who scans in one of them explains all of its refusals.
    pub(super) fn of_hour(rules: &Rules, history: &History, at: Window) -> Self {
        // No more than is there when a window is judged.
        let last = history.last(at, Rules::LOOKBACK).map(|(window, _)| *window).collect::<Vec<_>>();
        let mut hour = history.clone();
        hour.forget(at.back(Rules::LOOKBACK - 1));
        let of = |window: Window| {
            let mut findings = rules.port_scan.evaluate(&hour, window);
            findings.extend(rules.asymmetric_path.evaluate(&hour, window));
            findings
        };
        Self::by(&last.into_iter().flat_map(of).collect::<Vec<_>>())
    }

    /// How many of a window's refused records are explained.
    pub(super) fn records(&self, rollup: &Rollup) -> u64 {
        let scanners = self.scanners.iter().filter_map(|s| rollup.rejected_sources.get(s));
        let scans = total(scanners.map(|totals| totals.records));
        let servers: BTreeSet<&Address> =
            self.one_way.iter().map(|(_, server, _)| server).collect();
        let servers = servers.into_iter().filter(|server| !self.scanners.contains(server));
        total(servers.map(|server| self.answers(rollup, server))).saturating_add(scans)
    }

    /// Refused answers of a server.
    fn answers(&self, rollup: &Rollup, server: &Address) -> u64 {
        let is_its = |tuple: &Tuple| {
            tuple.server == *server
                && self.one_way.contains(&(tuple.client, tuple.server, tuple.port))
        };
        let tuples = rollup.rejected_tuples.iter().filter(|(tuple, _)| is_its(tuple));
        total(tuples.map(|(_, verdicts)| verdicts.rejected_back))
    }

    /// What is left of each source, the most first.
    pub(super) fn left<'a>(&self, rollup: &'a Rollup) -> Vec<(&'a Address, u64)> {
        let left = |(source, totals): (&'a Address, &RejectedSource)| {
            let scans = self.scanners.contains(source);
            let left = totals.records.saturating_sub(self.answers(rollup, source));
            (!scans && left > 0).then_some((source, left))
        };
        let mut left: Vec<_> = rollup.rejected_sources.iter().filter_map(left).collect();
        left.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        left
    }

    /// Who was refused most beside that.
    pub(super) fn named(&self, rollup: &Rollup) -> Vec<Address> {
        self.left(rollup).into_iter().take(SOURCES_SHOWN).map(|(source, _)| *source).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Baseline;
    use super::super::tests::{known, rejects, rejects_from_port, window};
    use super::*;
    use crate::rollup::{Ranked, Verdicts};

    /// Answers of a server inside, refused; let through on the way there as often as `asked`.
    fn answers(asked: u64, count: u16) -> Rollup {
        let mut rollup =
            rejects_from_port(8_443, (0..count).map(|n| ("10.1.0.9".to_owned(), 40_000 + n)));
        let tuples = rollup.rejected_tuples.iter();
        let tuples =
            tuples.map(|(t, v)| (*t, Verdicts { accepted_forward: asked, ..*v })).collect();
        rollup.rejected_tuples = Ranked::new(tuples, 0);
        rollup
    }

    fn found(rollup: &Rollup, baseline: &Baseline) -> Vec<Rule> {
        let mut history = History { interface_id: "eni-1".to_owned(), ..History::default() };
        history.add(window(0), rollup);
        let findings = Rules::default().evaluate(&history, baseline, window(0));
        findings.iter().filter(|f| f.severity > Severity::Recorded).map(|f| f.rule).collect()
    }

    #[test]
    fn answers_that_an_asymmetric_path_explains_are_no_burst() {
        let quiet = known(&[0, 1]);
        for baseline in [Baseline::default(), quiet] {
            assert_eq!(found(&answers(300, 300), &baseline), [Rule::AsymmetricPath]);
        }
        assert!(!found(&answers(0, 300), &quiet).contains(&Rule::AsymmetricPath), "nobody asked");
        assert!(!found(&answers(0, 300), &quiet).is_empty());
    }

    #[test]
    fn what_comes_beside_them_is_a_burst_still() {
        let quiet = known(&[0, 1]);
        let mut both = answers(300, 300);
        both.merge(&rejects((1..=60).map(|n| (format!("203.0.113.{n}"), 23))));
        assert_eq!(found(&both, &quiet), [Rule::RejectBurst, Rule::AsymmetricPath]);
        let findings = {
            let mut history = History::default();
            history.add(window(0), &both);
            Rules::default().evaluate(&history, &quiet, window(0))
        };
        let burst = findings.iter().find(|f| f.rule == Rule::RejectBurst).unwrap();
        assert_eq!(burst.evidence.value, 60);
        let answering = Address::parse("10.1.0.9").unwrap();
        assert!(!burst.evidence.named.contains(&answering));
    }

    #[test]
    fn a_server_that_scans_is_counted_once() {
        let rollup = answers(300, 300);
        let server = Address::parse("10.1.0.9").unwrap();
        let tuple = rollup.rejected_tuples.iter().next().map(|(tuple, _)| *tuple).unwrap();
        let one_way = BTreeSet::from([(tuple.client, tuple.server, tuple.port)]);
        let both = Explained { scanners: vec![server], one_way };
        assert_eq!((both.records(&rollup), both.left(&rollup).len()), (300, 0));
    }
}
