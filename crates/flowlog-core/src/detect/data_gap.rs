//! D10 `data-gap`: AWS skipped records, or interfaces that always had some have none.
//!
//! SKIPDATA is a gap that AWS reports; NODATA is healthy. Silence needs the schedule: a stream never
//! rings for what does not come. An interface goes away for good reasons (an instance ends), so one
//! silent interface is for the digest; when every known interface of a VPC (of an account, where the
//! format has no `vpc-id`) is silent at once, the flow log or its delivery has stopped, and that
//! notifies. A silence is found again in each run as long as it lasts, in the present window: so an
//! alert of it goes on until records come again, or for the day for which a silence is news. ATT&CK T1562.008; modelled on Panther's
//! log-source health.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::baseline::OPEN;
use super::{Baseline, Cause, DataGap, Finding, History, Rule, Severity, Why};
use crate::record::{DAY_SECONDS, WINDOW_SECONDS, Window};

/// An interface as the schedule knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// The interface.
    pub interface_id: String,
    /// Its VPC; empty where unknown.
    pub vpc_id: String,
    /// Its owner; empty where unknown.
    pub account_id: String,
    /// What is usual there.
    pub baseline: Baseline,
    /// The [authority](crate::record::Source::authority) of the source that this was learned from; the lowest there
    /// is where nobody wrote it down.
    #[serde(default = "lowest")]
    pub authority: u8,
}

fn lowest() -> u8 {
    u8::MAX
}

impl Known {
    /// Whether a source of this authority may teach what is usual, up to `window`. One that sees less (a log group
    /// often has refused traffic only) must not, while another one that speaks for the interface is heard, nor keep
    /// its silence from being noticed; after a day it takes over.
    pub fn learns_from(&self, authority: u8, window: Window) -> bool {
        let spoke = self.baseline.last.is_some_and(|last| last.start() + NEWS >= window.start());
        authority <= self.authority || !spoke
    }

    /// What goes silent together: its VPC, of whatever accounts its interfaces are, else its account. Empty where
    /// neither is known: of interfaces that services made AWS does not name the account.
    fn place(&self) -> &str {
        match (self.vpc_id.as_str(), self.account_id.as_str()) {
            ("", "unknown") => "",
            ("", account) => account,
            (vpc, _) => vpc,
        }
    }

    /// Whether this was learned from a source of less authority than that.
    pub fn is_poorer_than(&self, authority: u8) -> bool {
        self.authority != lowest() && self.authority > authority
    }
}

/// The place of a silence of everybody, where neither VPCs nor accounts are known.
pub(crate) const EVERY_INTERFACE: &str = "every-interface";

/// Silence is news for a day; what has not come back by then is gone for good, as far as anybody is told, and its
/// alert ends.
const NEWS: i64 = DAY_SECONDS;

impl DataGap {
    /// SKIPDATA in the window.
    pub(super) fn evaluate(&self, history: &History, at: Window) -> Option<Finding> {
        let now = history.windows.get(&at)?;
        if !self.enabled || now.skipdata == 0 {
            return None;
        }
        Some(Self::finding(
            &history.interface_id,
            at,
            self.severity,
            Why {
                measure: "SKIPDATA rows: capture intervals in which AWS lost records".into(),
                value: now.skipdata,
                threshold: 1,
                seconds: WINDOW_SECONDS,
                rejected: now.totals().reject.records,
                skipdata: now.skipdata,
                ..Why::default()
            },
        ))
    }

    /// Silence, at `now` (epoch seconds), of the interfaces that are known, each by the thresholds of its place.
    pub(super) fn evaluate_silence(
        of: impl Fn(&Known) -> Self,
        known: &[Known],
        now: i64,
    ) -> Vec<Finding> {
        let mut places: BTreeMap<&str, Vec<(&Known, Self)>> = BTreeMap::new();
        for one in known {
            let rule = of(one);
            if rule.waits_for(one, now) {
                places.entry(one.place()).or_default().push((one, rule));
            }
        }
        let mut findings = Vec::new();
        let many = places.len() > 1;
        for (place, regular) in places {
            let is_silent =
                |(k, rule): &&(&Known, Self)| silence(k, now).is_some_and(|s| s >= rule.silent);
            let silent: Vec<&(&Known, Self)> = regular.iter().filter(is_silent).collect();
            let is_part = place.is_empty() && many;
            let all = silent.len() == regular.len() && regular.len() > 1 && !is_part;
            // All at once: one finding, about the one that was heard last.
            let told = if all {
                silent.iter().max_by_key(|(k, _)| k.baseline.last).into_iter().collect()
            } else {
                silent.iter().collect::<Vec<_>>()
            };
            for (one, rule) in told {
                findings.extend(rule.silent(one, all.then_some(silent.len()), now));
            }
        }
        findings
    }

    /// Whether silence of this interface can be found at `now` or later, if it lasts.
    pub(super) fn waits_for(&self, known: &Known, now: i64) -> bool {
        self.enabled && known.baseline.streak >= self.active && is_news(known, now)
    }

    fn silent(&self, known: &Known, all: Option<usize>, now: i64) -> Option<Finding> {
        let first = known.baseline.last?.forward(OPEN + 1);
        let quiet = silence(known, now)?;
        let (place, severity) = match all {
            Some(_) if known.place().is_empty() => (EVERY_INTERFACE, self.silence),
            Some(_) => (known.place(), self.silence),
            None => (known.interface_id.as_str(), self.severity),
        };
        let measure = if all.is_some() {
            "seconds without a record from any known interface there"
        } else {
            "seconds without a record from an interface that always had some"
        };
        let why = Why {
            measure: measure.into(),
            value: u64::try_from(quiet).unwrap_or(0),
            threshold: u64::try_from(self.silent).unwrap_or(0),
            seconds: quiet,
            sources: all.unwrap_or(1) as u64,
            since: Some(first),
            ..Why::default()
        };
        let at = Window::of(now)?.back(1);
        let mut finding = Self::finding(place, at.max(first), severity, why);
        finding.vpc_id.clone_from(&known.vpc_id);
        if known.account_id != "unknown" {
            finding.account_id.clone_from(&known.account_id);
        }
        Some(finding)
    }

    fn finding(place: &str, at: Window, severity: Severity, evidence: Why) -> Finding {
        let cause = Cause::LostRecords;
        Finding { evidence, ..Finding::new(Rule::DataGap, severity, cause, place, at) }
    }
}

/// Whether silence of this interface would be news at `now` (epoch seconds).
pub(super) fn is_news(known: &Known, now: i64) -> bool {
    silence(known, now).is_some_and(|seconds| seconds < NEWS)
}

/// For how long nothing has been heard. The baseline lags behind the stream by the open windows.
fn silence(known: &Known, now: i64) -> Option<i64> {
    Some(now - known.baseline.last?.forward(OPEN).end())
}

#[cfg(test)]
mod tests {
    use super::super::tests::window;
    use super::*;
    use crate::rollup::Rollup;

    #[test]
    fn skipdata_is_a_gap_and_nodata_is_not() {
        for (skipdata, nodata, found) in [(3, 0, Some(3)), (0, 5, None)] {
            let mut history = History::default();
            history.add(window(0), &Rollup { nodata, skipdata, ..Rollup::default() });
            let value = DataGap::default().evaluate(&history, window(0)).map(|f| f.evidence.value);
            assert_eq!(value, found);
        }
    }

    fn known(name: &str, vpc: &str, last: i64, streak: u16) -> Known {
        Known {
            interface_id: name.to_owned(),
            vpc_id: vpc.to_owned(),
            account_id: String::new(),
            baseline: Baseline { last: Some(window(last)), streak, ..Baseline::default() },
            authority: 0,
        }
    }

    #[test]
    fn a_silence_is_of_the_present_window_and_says_since_when() {
        let both = [known("eni-1", "vpc-1", 17, 12), known("eni-2", "vpc-1", 15, 40)];
        for windows in [6, 7, 70] {
            let now = window(20 + windows).end();
            let found = DataGap::evaluate_silence(|_| DataGap::default(), &both, now);
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].since(), found[0].window), (window(21), window(20 + windows)));
        }
    }

    #[test]
    fn without_vpcs_accounts_are_judged_apart() {
        let of = |name: &str, account: &str, last| Known {
            account_id: account.to_owned(),
            ..known(name, "", last, 12)
        };
        let two = [of("eni-1", "1", 17), of("eni-2", "1", 17), of("eni-3", "2", 30)];
        assert_eq!(silent(&two, 45), [("1".to_owned(), Severity::Notify)]);
        let nobodys = [of("eni-1", "", 17), of("eni-2", "", 17)];
        assert_eq!(silent(&nobodys, 45), [(EVERY_INTERFACE.to_owned(), Severity::Notify)]);
    }

    fn silent(known: &[Known], minutes: i64) -> Vec<(String, Severity)> {
        let now = window(20).end() + minutes * 60;
        let found = DataGap::evaluate_silence(|_| DataGap::default(), known, now);
        found.into_iter().map(|f| (f.interface_id, f.severity)).collect()
    }

    #[test]
    fn one_interface_is_for_the_digest_and_a_whole_vpc_notifies() {
        // Taken in up to window 17, so heard of up to window 20.
        let both = [known("eni-1", "vpc-1", 17, 12), known("eni-2", "vpc-1", 17, 40)];
        assert_eq!(silent(&both, 29), []);
        assert_eq!(silent(&both, 30), [("vpc-1".to_owned(), Severity::Notify)]);
        let one = [known("eni-1", "vpc-1", 17, 12), known("eni-2", "vpc-1", 22, 40)];
        assert_eq!(silent(&one, 30), [("eni-1".to_owned(), Severity::Digest)]);
        let seldom = [known("eni-1", "vpc-1", 17, 11), known("eni-2", "vpc-1", 22, 40)];
        assert_eq!(silent(&seldom, 30), [], "an interface that seldom has records");
    }

    /// Interfaces that services made are nobody's, and a VPC may be shared.
    #[test]
    fn what_goes_silent_together_is_a_vpc_of_whatever_accounts() {
        for vpc in ["vpc-1", ""] {
            let of = |name: &str, account: &str, last| Known {
                account_id: account.to_owned(),
                ..known(name, vpc, last, 12)
            };
            let some =
                [of("eni-1", "unknown", 17), of("eni-2", "unknown", 17), of("eni-3", "1", 22)];
            let digest = |name: &str| (name.to_owned(), Severity::Digest);
            assert_eq!(silent(&some, 45), [digest("eni-1"), digest("eni-2")], "{vpc:?}");
        }
    }

    #[test]
    fn silence_is_news_for_a_day() {
        let gone = [known("eni-1", "vpc-1", 17, 12), known("eni-2", "vpc-1", 17, 12)];
        assert_eq!(silent(&gone, 1_439).len(), 1);
        assert_eq!(silent(&gone, 1_440), []);
    }

    #[test]
    fn vpcs_are_judged_apart() {
        let two = [
            known("eni-1", "vpc-1", 17, 12),
            known("eni-2", "vpc-1", 17, 12),
            known("eni-3", "vpc-2", 30, 12),
        ];
        assert_eq!(silent(&two, 45), [("vpc-1".to_owned(), Severity::Notify)]);
    }
}
