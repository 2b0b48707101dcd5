//! D9 `beacon`: an interface talks with one public address at regular intervals. Off by default.
//!
//! A flow record is an interval of up to ten minutes, not a packet, so that periods below some
//! fifteen minutes cannot be seen, and update checks, monitoring and NTP are as regular as any
//! beacon. Whoever turns it on wants an allow-list. ATT&CK T1071; modelled on RITA.

use std::collections::BTreeMap;

use super::finding::is_internal;
use super::{Beacon, Cause, Finding, History, Rule, Target, Why};
use crate::record::{DAY_SECONDS, WINDOW_SECONDS, WINDOWS_PER_DAY, Window};
use crate::rollup::TalkerKey;

/// The shortest period, in windows, that windows can show.
const SHORTEST: i64 = 3;

impl Beacon {
    /// Over the day that ends with `at`; says something in windows of contact only.
    pub(super) fn evaluate(&self, history: &History, at: Window) -> Vec<Finding> {
        if !self.enabled {
            return Vec::new();
        }
        let mut contacts: BTreeMap<TalkerKey, Vec<Window>> = BTreeMap::new();
        for (window, rollup) in history.last(at, WINDOWS_PER_DAY) {
            for (key, talker) in rollup.talkers.iter() {
                if !is_internal(&key.remote) && talker.bytes_out > 0 {
                    contacts.entry(*key).or_default().push(*window);
                }
            }
        }
        let mut findings = Vec::new();
        for (key, windows) in contacts {
            if windows.len() < self.contacts || windows.last() != Some(&at) {
                continue;
            }
            let gaps =
                || windows.windows(2).map(|w| (w[1].start() - w[0].start()) / WINDOW_SECONDS);
            let (Some(shortest), Some(longest)) = (gaps().min(), gaps().max()) else { continue };
            if shortest < SHORTEST || longest - shortest > self.jitter {
                continue;
            }
            findings.push(Finding {
                source: Some(key.remote),
                target: Some(Target { host: Some(key.remote), port: Some(key.port) }),
                evidence: Why {
                    measure: "contacts at regular intervals with one public address".into(),
                    value: windows.len() as u64,
                    threshold: self.contacts as u64,
                    seconds: DAY_SECONDS,
                    sources: 1,
                    ports: vec![key.port],
                    skipdata: history.skipdata(at, WINDOWS_PER_DAY),
                    ..Why::default()
                },
                ..Finding::new(
                    Rule::Beacon,
                    self.severity,
                    Cause::Exfiltration,
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
    use super::super::tests::{sent, window};
    use super::*;

    fn find(windows: impl Iterator<Item = i64>, enabled: bool) -> usize {
        let mut history = History::default();
        let mut at = window(0);
        for n in windows {
            at = window(n);
            history.add(at, &sent("203.0.113.7", 900));
        }
        Beacon { enabled, ..Beacon::default() }.evaluate(&history, at).len()
    }

    #[test]
    fn regular_contacts_only_and_only_if_wanted() {
        assert_eq!(find((0..12).map(|n| n * 6), true), 1);
        assert_eq!(find((0..12).map(|n| n * 6 + n % 2), true), 0, "between 5 and 7 windows");
        assert_eq!(find((0..11).map(|n| n * 6), true), 0);
        assert_eq!(find(0..200, true), 0, "a session");
        assert_eq!(find((0..12).map(|n| n * n + n * 3), true), 0);
        assert_eq!(find((0..12).map(|n| n * 6), false), 0);
    }
}
