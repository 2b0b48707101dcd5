//! What a rule needs of a flow log, and why one that lacks it cannot feed the rule.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Rule, RuleSet, Rules};
use crate::record::{DAY_SECONDS, Field};
use crate::rollup::{Lacking, Rollup};

/// The traffic that a flow log must record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Refused traffic (`REJECT` or `ALL`).
    Rejected,
    /// Accepted traffic (`ACCEPT` or `ALL`).
    Accepted,
    /// Both (`ALL`).
    Both,
    /// Whatever there is.
    Any,
}

impl Rule {
    /// The traffic it judges.
    pub fn traffic(self) -> Traffic {
        match self {
            Self::RejectBurst
            | Self::RejectAnomaly
            | Self::PortScan
            | Self::HostSweep
            | Self::SlowScan
            | Self::BlockPublicAccess => Traffic::Rejected,
            Self::BruteForce
            | Self::EgressVolume
            | Self::SensitivePortExposed
            | Self::Beacon
            | Self::Unencrypted => Traffic::Accepted,
            Self::RejectedThenAccepted | Self::EastWestReject | Self::AsymmetricPath => {
                Traffic::Both
            }
            Self::DataGap => Traffic::Any,
        }
    }

    /// How many windows lie between two looks at what it judges by the day or hour; 0 if it is judged whenever a window
    /// changes, and in each run of the schedule.
    pub fn looks_every(self) -> i64 {
        match self {
            Self::SlowScan | Self::EgressVolume | Self::Beacon | Self::RejectedThenAccepted => {
                Rules::LOOKBACK
            }
            _ => 0,
        }
    }

    /// The fields without which it finds nothing. `data-gap` needs `vpc-id`, too, to tell that a VPC is silent as a
    /// whole: without it the interfaces of an account are judged together.
    pub fn fields(self) -> &'static [Field] {
        match self {
            Self::DataGap => &[Field::LogStatus],
            Self::Unencrypted => &[Field::EncryptionStatus],
            Self::BlockPublicAccess => &[Field::Action, Field::RejectReason],
            Self::EgressVolume | Self::Beacon => &[],
            _ => &[Field::Action],
        }
    }

    /// Why a source cannot feed it, in words; `None` if it can. `accepted` and `rejected`: whether
    /// any such record was ever seen there.
    pub fn starved(self, lacking: Lacking, accepted: bool, rejected: bool) -> Option<String> {
        let missing: Vec<&str> = self
            .fields()
            .iter()
            .filter(|field| lacking.fields().any(|lacked| lacked == **field))
            .map(|field| field.name())
            .collect();
        if !missing.is_empty() {
            return Some(format!("the flow log's format lacks {}", missing.join(" and ")));
        }
        match self.traffic() {
            Traffic::Accepted if !accepted => Some("no ACCEPT record was seen".to_owned()),
            Traffic::Rejected if !rejected => Some("no REJECT record was seen".to_owned()),
            Traffic::Both if !accepted || !rejected => {
                Some("it needs ACCEPT and REJECT records, and both were not seen".to_owned())
            }
            _ => None,
        }
    }
}

/// What is known of a source (a flow log, or a log group): what its records lack, and which traffic they
/// are of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// When it was first heard (epoch seconds).
    pub since: i64,
    /// What its format lacks.
    pub lacking: Lacking,
    /// Whether it ever had an ACCEPT record.
    pub accepted: bool,
    /// Whether it ever had a REJECT record.
    pub rejected: bool,
}

/// Traffic that a source has had none of for so many seconds is taken for traffic that it does not record.
const PATIENCE: i64 = DAY_SECONDS;

impl Feed {
    /// Takes in a window.
    pub fn hear(&mut self, rollup: &Rollup) {
        let totals = rollup.totals();
        self.lacking = rollup.lacking;
        self.accepted |= totals.accept.records > 0;
        self.rejected |= totals.reject.records > 0;
    }

    /// Takes in what was heard of the same source later.
    pub fn absorb(&mut self, later: &Self) {
        self.lacking = later.lacking;
        self.accepted |= later.accepted;
        self.rejected |= later.rejected;
    }

    /// The rules in force that it cannot feed, and why, as far as that can be told at `now` (epoch seconds):
    /// what a format lacks at once, traffic of one kind after a day of the other.
    pub fn starved(&self, rules: &RuleSet, now: i64) -> BTreeMap<Rule, String> {
        if !self.accepted && !self.rejected {
            return BTreeMap::new();
        }
        let early = now - self.since < PATIENCE;
        let (accepted, rejected) = (self.accepted || early, self.rejected || early);
        let why = |rule: Rule| Some((rule, rule.starved(self.lacking, accepted, rejected)?));
        Rule::ALL.into_iter().filter(|rule| rules.is_enabled(*rule)).filter_map(why).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;

    #[test]
    fn a_source_says_which_rules_it_cannot_feed() {
        let default = Lacking::of(&Format::default_v2());
        let starved = |accepted, rejected| -> Vec<&str> {
            let rules = Rule::ALL.into_iter();
            rules
                .filter(|rule| rule.starved(default, accepted, rejected).is_some())
                .map(Rule::name)
                .collect()
        };
        assert_eq!(starved(true, true), ["unencrypted", "block-public-access"]);
        let only_rejects = starved(false, true);
        for rule in
            ["brute-force", "rejected-then-accepted", "egress-volume", "sensitive-port-exposed"]
        {
            assert!(only_rejects.contains(&rule), "{rule}");
        }
        assert!(!only_rejects.contains(&"port-scan") && !only_rejects.contains(&"data-gap"));
        let why = Rule::BlockPublicAccess.starved(default, true, true).unwrap();
        assert_eq!(why, "the flow log's format lacks reject-reason");
    }

    #[test]
    fn a_feed_is_judged_by_its_format_at_once_and_by_its_traffic_after_a_day() {
        use super::super::tests::{accepts, rejects};
        let of = |rollups: &[Rollup]| {
            let mut feed = Feed { since: 1_000, ..Feed::default() };
            for rollup in rollups {
                feed.hear(rollup);
            }
            feed
        };
        let names = |feed: &Feed, rules: &RuleSet, now| -> Vec<&str> {
            feed.starved(rules, now).into_keys().map(Rule::name).collect()
        };
        let one = || std::iter::once(("203.0.113.9".to_owned(), 22));
        let refused = Rollup { lacking: Lacking::of(&Format::default_v2()), ..rejects(one()) };
        let (rules, day) = (RuleSet::default(), 1_000 + PATIENCE);
        assert_eq!(names(&of(&[]), &rules, day), [""; 0], "NODATA only: nothing is known");
        let only_rejects = of(std::slice::from_ref(&refused));
        assert_eq!(names(&only_rejects, &rules, day - 1), ["block-public-access"]);
        let lasting = names(&only_rejects, &rules, day);
        assert!(lasting.contains(&"brute-force") && lasting.contains(&"asymmetric-path"));
        assert!(!lasting.contains(&"port-scan") && !lasting.contains(&"beacon"), "beacon is off");
        let both = of(&[refused, Rollup { lacking: only_rejects.lacking, ..accepts(one()) }]);
        assert_eq!(names(&both, &rules, day), ["block-public-access"]);
        let policy = "[[override]]\nvpc = \"vpc-1\"\nrules.unencrypted.enabled = true\n";
        let policy = RuleSet::parse(policy).unwrap();
        assert_eq!(names(&both, &policy, day), ["unencrypted", "block-public-access"]);
    }
}
