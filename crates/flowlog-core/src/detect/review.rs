//! A whole recording judged as the deployed function would judge it window by window: what
//! `flowlog analyze`, `flowlog replay` and the evaluation rest on.

use std::collections::{BTreeMap, BTreeSet};

use super::{Baseline, Finding, History, Known, OPEN, RuleSet, Rules};
use crate::record::Window;
use crate::rollup::Rollup;

/// Seconds in an hour.
const HOUR: i64 = 3_600;

/// Everything that is found on one interface, window by window; its day is looked at at the end of
/// each hour and at the end of the recording.
pub fn of_interface(rules: &RuleSet, history: &History) -> Vec<Finding> {
    let mut usual = Baseline::default();
    let mut findings = Vec::new();
    let last = history.windows.keys().next_back().copied();
    for window in history.windows.keys().copied() {
        usual.advance(history, window.back(OPEN));
        findings.extend(rules.evaluate(history, &usual, window));
        let next = history.windows.range(window.forward(1)..).next().map(|(w, _)| *w);
        let ends_hour = next.is_none_or(|n| n.end() / HOUR > window.end() / HOUR);
        if ends_hour || Some(window) == last {
            findings.extend(rules.evaluate_day(history, &usual, window));
        }
    }
    findings
}

/// What is found across interfaces; it is shown one window after the other.
#[derive(Debug, Default)]
pub struct AcrossInterfaces {
    /// The last hour of each interface, by account.
    accounts: BTreeMap<String, BTreeMap<String, History>>,
    /// What is known of each interface, for the rule about silence.
    known: BTreeMap<String, Known>,
    /// Silences that were reported, by place and last window: each is one finding.
    silent: BTreeSet<(String, Window)>,
}

impl AcrossInterfaces {
    /// Takes in the roll-ups of one window, and judges the hour that ends with it.
    pub fn step(
        &mut self,
        rules: &RuleSet,
        at: Window,
        rollups: Vec<(String, Rollup)>,
    ) -> Vec<Finding> {
        for (interface_id, rollup) in rollups {
            self.note(&interface_id, at, &rollup);
            let account = self.accounts.entry(rollup.account_id.clone()).or_default();
            let history = account
                .entry(interface_id.clone())
                .or_insert_with(|| History { interface_id, ..History::default() });
            history.add(at, &rollup);
        }
        let oldest = at.back(Rules::LOOKBACK - 1);
        let mut findings =
            rules.evaluate_silence(&self.known.values().cloned().collect::<Vec<_>>(), at.end());
        findings.retain(|f| self.silent.insert((f.interface_id.clone(), f.window)));
        for (account, interfaces) in &mut self.accounts {
            interfaces.retain(|_, history| {
                history.windows = history.windows.split_off(&oldest);
                !history.windows.is_empty()
            });
            let scope: Vec<History> = interfaces.values().cloned().collect();
            let place = if account.is_empty() { "account" } else { account };
            findings.extend(rules.evaluate_scope(&scope, place, at));
        }
        findings
    }

    /// Silence is counted from the last window; the function's baseline lags behind by the open ones.
    fn note(&mut self, interface_id: &str, at: Window, rollup: &Rollup) {
        let known = self.known.entry(interface_id.to_owned()).or_insert_with(|| Known {
            interface_id: interface_id.to_owned(),
            vpc_id: rollup.vpc_id.clone(),
            account_id: rollup.account_id.clone(),
            baseline: Baseline::default(),
        });
        let last = at.back(OPEN);
        let follows = known.baseline.last.is_some_and(|before| before.forward(1) == last);
        known.baseline.streak = if follows { known.baseline.streak.saturating_add(1) } else { 1 };
        known.baseline.last = Some(last);
    }
}
