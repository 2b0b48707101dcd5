//! A rules file: what an installation changes of the defaults, as TOML.
//!
//! ```toml
//! [rules.port-scan]               # for everybody; what is not named keeps its default
//! contacts = 40
//!
//! [[override]]                    # for one VPC or interface
//! vpc = "vpc-0a1b"
//! rules.unencrypted.enabled = true
//!
//! [[allow]]                       # is never found: an approved scanner, a partner
//! rule = "port-scan"              # without: every rule
//! source = ["10.0.9.0/24", "2001:db8::7"]
//! ports = [22]                    # without: every port
//!
//! [[suppress]]                    # is found and recorded, but nobody is told, until that day
//! rule = "east-west-reject"
//! interface = "eni-0a1b"
//! until = 2026-12-01
//! reason = "the migration, ticket 4711"
//! ```
//!
//! A mistake is refused with its line and column; the file is then no use as a whole, unless it was in force before
//! ([`RuleSet::salvage`]). An account is a place, too, named as `vpc`. `host-sweep` looks at a whole account: no other
//! place is one for it, nor for what `east-west-reject` finds across an account, of which [`RuleSet::notes`] says so.

mod notes;
mod salvage;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::thresholds::RulesPatch;
use super::{Baseline, DataGap, Exempt, Finding, History, Known, Rule, Rules, Severity};
use crate::record::{Address, Window};
use crate::rollup::Rollup;

/// Why an entry for `host-sweep` may not name a place.
const ACCOUNT_WIDE: &str =
    "host-sweep looks at a whole account: vpc and interface cannot narrow it";

/// The defaults and everything that a rules file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleSet {
    rules: Rules,
    overrides: Vec<Override>,
    allow: Vec<Allow>,
    suppress: Vec<Suppress>,
}

/// Why a rules file is no rules file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct RulesError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong, on one line.
    pub message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rules: RulesPatch,
    #[serde(default, rename = "override")]
    overrides: Vec<Spanned<Override>>,
    #[serde(default)]
    allow: Vec<Spanned<Allow>>,
    #[serde(default)]
    suppress: Vec<Spanned<Suppress>>,
}

/// Thresholds for one place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Override {
    #[serde(default)]
    vpc: Option<String>,
    #[serde(default)]
    interface: Option<String>,
    rules: RulesPatch,
}

/// What is never found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allow {
    #[serde(default)]
    rule: Option<RuleName>,
    #[serde(default)]
    vpc: Option<String>,
    #[serde(default)]
    interface: Option<String>,
    source: Vec<Network>,
    #[serde(default)]
    ports: Vec<u16>,
    #[serde(default)]
    /// For whoever reads the file.
    reason: Option<String>,
}

/// What nobody is told, for a time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Suppress {
    #[serde(default)]
    rule: Option<RuleName>,
    #[serde(default)]
    vpc: Option<String>,
    #[serde(default)]
    interface: Option<String>,
    #[serde(default)]
    source: Vec<Network>,
    #[serde(default)]
    ports: Vec<u16>,
    until: Until,
    /// A silence without a reason outlives whoever knew it.
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct RuleName(Rule);

impl TryFrom<String> for RuleName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let known = || Rule::ALL.map(Rule::name).join(", ");
        Rule::parse(&name)
            .map(Self)
            .ok_or_else(|| format!("there is no rule {name:?}; known are {}", known()))
    }
}

/// An address, or a range of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Network(IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let net: IpNet =
            net.map_err(|_| format!("{text:?} is no address and no range such as 10.0.0.0/8"))?;
        if net.trunc() == net {
            return Ok(Self(net));
        }
        Err(format!("{text:?} has bits beyond its prefix; the range is {}", net.trunc()))
    }
}

impl Network {
    fn holds(&self, address: &Address) -> bool {
        match address {
            Address::V4(a) => self.0.contains(&IpAddr::V4(*a)),
            Address::V6(a) => self.0.contains(&IpAddr::V6(*a)),
            Address::Mac(_) => false,
        }
    }
}

/// The first second (epoch) that is not silenced any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Datetime")]
struct Until(i64);

impl TryFrom<Datetime> for Until {
    type Error = String;

    fn try_from(time: Datetime) -> Result<Self, String> {
        let text = time.to_string();
        let wrong =
            || format!("{text} is no day (2026-12-01) and no moment (2026-12-01T08:00:00Z)");
        let moment = if time.time.is_none() {
            format!("{text}T00:00:00Z")
        } else if time.offset.is_none() {
            format!("{text}Z")
        } else {
            text.clone()
        };
        let moment: jiff::Timestamp = moment.parse().map_err(|_| wrong())?;
        Ok(Self(moment.as_second()))
    }
}

/// Where something is: account, VPC and interface, each of which may be unknown.
#[derive(Clone, Copy)]
struct Place<'a> {
    account: &'a str,
    vpc: &'a str,
    interface: &'a str,
}

impl<'a> Place<'a> {
    /// Of an interface, whose account and VPC a roll-up may know.
    fn of(history: &'a History, rollup: Option<&'a Arc<Rollup>>) -> Self {
        let (account, vpc) = rollup.map_or(("", ""), |r| (&r.account_id, &r.vpc_id));
        Self { account, vpc, interface: &history.interface_id }
    }

    fn is(self, vpc: Option<&str>, interface: Option<&str>) -> bool {
        vpc.is_none_or(|vpc| [self.vpc, self.account, self.interface].contains(&vpc))
            && interface.is_none_or(|interface| interface == self.interface)
    }
}

impl RuleSet {
    /// Reads a rules file.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let file: File = toml::from_str(text).map_err(|error| at(text, &error))?;
        let mut rules = Rules::default();
        file.rules.apply(&mut rules);
        let sweep = Rule::HostSweep;
        Ok(Self {
            rules,
            overrides: placed(text, file.overrides, |o| {
                (o.rules.names(sweep), o.vpc.as_deref(), o.interface.as_deref())
            })?,
            allow: placed(text, file.allow, |a| {
                (
                    a.rule.is_some_and(|named| named.0 == sweep),
                    a.vpc.as_deref(),
                    a.interface.as_deref(),
                )
            })?,
            suppress: placed(text, file.suppress, |s| {
                (
                    s.rule.is_some_and(|named| named.0 == sweep),
                    s.vpc.as_deref(),
                    s.interface.as_deref(),
                )
            })?,
        })
    }

    /// The thresholds at an interface of a VPC.
    pub fn rules_at(&self, vpc_id: &str, interface_id: &str) -> Rules {
        self.rules_of(Place { account: "", vpc: vpc_id, interface: interface_id })
    }

    fn rules_of(&self, place: Place<'_>) -> Rules {
        let mut rules = self.rules;
        for one in &self.overrides {
            if place.is(one.vpc.as_deref(), one.interface.as_deref()) {
                one.rules.apply(&mut rules);
            }
        }
        rules
    }

    /// Whether a rule runs anywhere.
    pub fn is_enabled(&self, rule: Rule) -> bool {
        let mut everywhere = vec![self.rules];
        for one in &self.overrides {
            let mut there = self.rules;
            one.rules.apply(&mut there);
            everywhere.push(there);
        }
        everywhere.iter().any(|rules| rules.is_enabled(rule))
    }

    /// [`Rules::evaluate`] by the thresholds of the place, less what is allowed; what is suppressed
    /// is only recorded.
    pub fn evaluate(&self, history: &History, baseline: &Baseline, at: Window) -> Vec<Finding> {
        let place = Place::of(history, history.windows.get(&at));
        let rules = self.rules_of(place);
        let exempt = Exempt {
            allowed: &|rule, source, port| self.allows(place, rule, source, port),
            silenced: &|rule, source, port| self.silences(place, at, rule, source, port),
        };
        self.hush(rules.evaluate_but(history, baseline, at, exempt))
    }

    /// [`Rules::evaluate_day`], the same way.
    pub fn evaluate_day(&self, history: &History, baseline: &Baseline, at: Window) -> Vec<Finding> {
        let last = history.windows.range(..=at).next_back();
        let place = Place::of(history, last.map(|(_, rollup)| rollup));
        let rules = self.rules_of(place);
        let exempt = Exempt {
            allowed: &|rule, source, port| self.allows(place, rule, source, port),
            silenced: &|rule, source, port| self.silences(place, at, rule, source, port),
        };
        self.hush(rules.evaluate_day_but(history, baseline, at, exempt))
    }

    /// [`Rules::evaluate_scope`], the same way.
    pub fn evaluate_scope(&self, scope: &[History], scope_id: &str, at: Window) -> Vec<Finding> {
        let place = Place { account: scope_id, vpc: scope_id, interface: scope_id };
        let mut found = self.rules_of(place).evaluate_scope(scope, scope_id, at);
        found.retain(|f| {
            let port = f.target.and_then(|t| t.port).unwrap_or(0);
            !f.source.is_some_and(|source| self.allows(place, f.rule, &source, port))
        });
        self.hush(found)
    }

    /// Which of the known interfaces are silent at `now` (epoch seconds) that never were, the same way.
    pub fn evaluate_silence(&self, known: &[Known], now: i64) -> Vec<Finding> {
        self.hush(DataGap::evaluate_silence(|one| self.data_gap_at(one), known, now))
    }

    /// Whether silence of this interface can be found at `now` or later, if it lasts.
    pub(super) fn waits_for(&self, known: &Known, now: i64) -> bool {
        self.data_gap_at(known).waits_for(known, now)
    }

    fn data_gap_at(&self, known: &Known) -> DataGap {
        let Known { account_id, vpc_id, interface_id, .. } = known;
        self.rules_of(Place { account: account_id, vpc: vpc_id, interface: interface_id }).data_gap
    }

    fn allows(&self, place: Place<'_>, rule: Rule, source: &Address, port: u16) -> bool {
        self.allow.iter().any(|allow| {
            allow.rule.is_none_or(|named| named.0 == rule)
                && place.is(allow.vpc.as_deref(), allow.interface.as_deref())
                && allow.source.iter().any(|network| network.holds(source))
                && (allow.ports.is_empty() || allow.ports.contains(&port))
        })
    }

    /// Whether a finding about this source would be suppressed; port 0 stands for none.
    fn silences(
        &self,
        place: Place<'_>,
        at: Window,
        rule: Rule,
        source: &Address,
        port: u16,
    ) -> bool {
        let port = Some(port).filter(|port| *port > 0);
        self.suppress.iter().any(|one| one.covers(place, at, rule, Some(*source), port))
    }

    /// What is suppressed is only recorded.
    pub(crate) fn hush(&self, mut findings: Vec<Finding>) -> Vec<Finding> {
        for finding in &mut findings {
            if self.suppress.iter().any(|suppress| suppress.holds(finding)) {
                finding.severity = Severity::Recorded;
            }
        }
        findings
    }
}

impl From<Rules> for RuleSet {
    fn from(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }
}

impl Suppress {
    /// By the finding's own time, so that history is silenced as it was.
    fn holds(&self, finding: &Finding) -> bool {
        let Finding { account_id, vpc_id, interface_id, .. } = finding;
        let place = Place { account: account_id, vpc: vpc_id, interface: interface_id };
        let port = finding.target.and_then(|t| t.port);
        self.covers(place, finding.window, finding.rule, finding.source, port)
    }

    fn covers(
        &self,
        place: Place<'_>,
        at: Window,
        rule: Rule,
        source: Option<Address>,
        port: Option<u16>,
    ) -> bool {
        at.start() < self.until.0
            && self.rule.is_none_or(|named| named.0 == rule)
            && place.is(self.vpc.as_deref(), self.interface.as_deref())
            && (self.source.is_empty()
                || source.is_some_and(|s| self.source.iter().any(|n| n.holds(&s))))
            && (self.ports.is_empty() || port.is_some_and(|port| self.ports.contains(&port)))
    }
}

/// The entries of a list, unless one names a place for a rule that looks at a whole account, where it would be of no
/// effect. `of`: whether an entry names that rule, and its VPC and interface.
fn placed<T>(
    text: &str,
    entries: Vec<Spanned<T>>,
    of: impl Fn(&T) -> (bool, Option<&str>, Option<&str>),
) -> Result<Vec<T>, RulesError> {
    let one = |entry: Spanned<T>| {
        let (names, vpc, interface) = of(entry.get_ref());
        if names && vpc.into_iter().chain(interface).any(|place| !is_account(place)) {
            return Err(position(text, entry.span().start, ACCOUNT_WIDE));
        }
        Ok(entry.into_inner())
    };
    entries.into_iter().map(one).collect()
}

/// Whether a place is an account.
fn is_account(place: &str) -> bool {
    place.bytes().all(|byte| byte.is_ascii_digit())
}

/// Where a TOML error is.
fn at(text: &str, error: &toml::de::Error) -> RulesError {
    position(text, error.span().map_or(0, |span| span.start), error.message())
}

fn position(text: &str, offset: usize, message: &str) -> RulesError {
    let offset = offset.min(text.len());
    let before = text.get(..offset).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    let message: Vec<&str> = message.lines().map(str::trim).collect();
    RulesError { line, column, message: message.join("; ") }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{interfaces, rejects, window};
    use super::*;

    const FILE: &str = r#"
[rules.port-scan]
contacts = 40

[[override]]
vpc = "vpc-1"
rules.port-scan.contacts = 12
rules.unencrypted.enabled = true

[[override]]
interface = "eni-9"
rules.port-scan.enabled = false

[[allow]]
rule = "port-scan"
source = ["10.0.9.0/24", "2001:db8::7"]
reason = "inventory"

[[suppress]]
rule = "port-scan"
interface = "eni-1"
source = ["10.1.0.9"]
until = 2026-11-02
reason = "ticket 4711"
"#;

    #[test]
    fn overrides_are_for_their_place() {
        let set = RuleSet::parse(FILE).unwrap();
        let at = |vpc, interface| {
            let rules = set.rules_at(vpc, interface);
            (rules.port_scan.contacts, rules.port_scan.enabled, rules.unencrypted.enabled)
        };
        assert_eq!(at("vpc-2", "eni-1"), (40, true, false));
        assert_eq!(at("vpc-1", "eni-1"), (12, true, true));
        assert_eq!(at("vpc-1", "eni-9"), (12, false, true));
        assert_eq!(set.rules_at("vpc-2", "eni-1").port_scan.ports, 50, "the default");
    }

    #[test]
    fn the_allowed_is_not_found_and_the_suppressed_is_recorded_for_its_time() {
        let set = RuleSet::parse(FILE).unwrap();
        let find = |source: &str, interface: &str, day: i64| -> Vec<Severity> {
            let mut history = History { interface_id: interface.to_owned(), ..History::default() };
            let at = window(day * 288);
            history.add(at, &rejects((1..=60).map(|p| (source.to_owned(), p))));
            set.evaluate(&history, &Baseline::default(), at)
                .into_iter()
                .map(|f| f.severity)
                .collect()
        };
        assert_eq!(find("10.0.9.200", "eni-1", 0), [], "allowed");
        assert_eq!(find("10.1.0.9", "eni-1", 0), [Severity::Recorded], "suppressed");
        assert_eq!(find("10.1.0.9", "eni-1", 1), [Severity::High], "the day has come");
        assert_eq!(find("10.1.0.9", "eni-2", 0), [Severity::High], "another interface");
        assert_eq!(find("10.1.0.8", "eni-1", 0), [Severity::High], "another source");
    }

    #[test]
    fn silence_is_judged_by_the_rules_of_its_place() {
        let known = |interface: &str, vpc: &str| Known {
            interface_id: interface.to_owned(),
            vpc_id: vpc.to_owned(),
            account_id: String::new(),
            baseline: Baseline { last: Some(window(0)), streak: 40, ..Baseline::default() },
            authority: 0,
        };
        let everyone = [
            known("eni-1", "vpc-1"),
            known("eni-2", "vpc-1"),
            known("eni-3", "vpc-2"),
            known("eni-4", "vpc-2"),
        ];
        let silent = |text: &str| -> Vec<(String, Severity)> {
            let found = RuleSet::parse(text).unwrap().evaluate_silence(&everyone, window(20).end());
            found.into_iter().map(|f| (f.interface_id, f.severity)).collect()
        };
        let vpc = |n: u8| (format!("vpc-{n}"), Severity::Notify);
        assert_eq!(silent(""), [vpc(1), vpc(2)]);
        let off = "[[override]]\nvpc = \"vpc-1\"\nrules.data-gap.enabled = false\n";
        assert_eq!(silent(off), [vpc(2)]);
        let patient = "[[override]]\ninterface = \"eni-1\"\nrules.data-gap.silent = 86000\n";
        assert_eq!(silent(patient), [("eni-2".to_owned(), Severity::Digest), vpc(2)]);
    }

    /// What is found across an account is nobody's VPC's; the account is a place for every rule.
    #[test]
    fn an_account_is_a_place() {
        let account = "123456789012";
        let found = |rule: &str, place: &str| {
            let rules = format!(
                "[[allow]]\n{rule}vpc = \"{place}\"\nsource = [\"10.0.9.9\"]\n[[override]]\nvpc = \"{place}\"\nrules.data-gap.silent = 9\n"
            );
            let rules = RuleSet::parse(&rules).unwrap();
            let of = |rollup| Rollup {
                account_id: account.to_owned(),
                vpc_id: "vpc-1".to_owned(),
                ..rollup
            };
            let scope: Vec<History> = interfaces("10.0.9.9", 7, &[22, 445])
                .into_iter()
                .map(|one| {
                    let windows = one.windows.into_iter();
                    let own = |(w, r)| (w, Arc::new(of(Arc::unwrap_or_clone(r))));
                    History { windows: windows.map(own).collect(), ..one }
                })
                .collect();
            let mut history = History::default();
            let scan = rejects((1..=60).map(|port| ("10.0.9.9".to_owned(), port)));
            history.add(window(0), &of(scan));
            let usual = Baseline::default();
            let here = rules.evaluate(&history, &usual, window(0)).len();
            (rules.evaluate_scope(&scope, account, window(0)).len(), here)
        };
        assert_eq!(found("", account), (0, 0));
        assert_eq!(found("rule = \"east-west-reject\"\n", account), (0, 1));
        assert_eq!(found("", "vpc-1"), (1, 0), "`rules check` notes it");
        assert_eq!(found("", "210987654321"), (1, 1));
    }

    #[test]
    fn mistakes_have_a_place() {
        let cases = [
            ("[rules.port-scan]\ncontacts = -1\n", "line 2, column 12: "),
            ("[rules.port-scan]\n  contcats = 1\n", "line 2, column 3: unknown field `contcats`"),
            ("[rules.portscan]\ncontacts = 1\n", "line 1, column 8: unknown field `portscan`"),
            ("[[allow]]\nrule = \"x\"\nsource = []\n", "line 2, column 8: there is no rule \"x\""),
            (
                "[[allow]]\nsource = [\"10.0.0.300\"]\n",
                "line 2, column 10: \"10.0.0.300\" is no address",
            ),
            (
                "[[allow]]\nsource = [\"10.0.0.1/8\"]\n",
                "line 2, column 10: \"10.0.0.1/8\" has bits beyond",
            ),
            (
                "[[suppress]]\nuntil = 12:00:00\nreason = \"\"\n",
                "line 2, column 9: 12:00:00 is no day",
            ),
            ("[[suppress]]\nreason = \"x\"\n", "line 1, column 1: missing field `until`"),
            ("a = \n", "line 1, column 5: "),
            (
                "\n[[suppress]]\nrule = \"host-sweep\"\nvpc = \"vpc-1\"\nuntil = 2026-12-01\nreason = \"\"\n",
                "line 2, column 1: host-sweep looks at a whole account",
            ),
            (
                "[[override]]\ninterface = \"eni-1\"\nrules.host-sweep.enabled = false\n",
                "line 1, column 1: host-sweep looks at a whole account",
            ),
            ("[rules.port-scan]\ncontacts = 65\n", "line 2, column 12: must be between 0 and 64"),
            (
                "[[override]]\nvpc = \"vpc-1\"\nrules.data-gap.silent = 86400\n",
                "line 3, column 25: must be between 0 and 86100",
            ),
            (
                "[rules.east-west-reject]\nwindows = 13\n",
                "line 2, column 11: must be between 1 and 12",
            ),
            (
                "[rules.reject-burst]\nseverity = \"loud\"\n",
                "line 2, column 12: unknown variant `loud`",
            ),
        ];
        for (text, expected) in cases {
            let error = RuleSet::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text:?}: {error}");
            assert!(!error.contains('\n'));
        }
        assert_eq!(RuleSet::parse("").unwrap(), RuleSet::default());
        let of_account = "[[override]]\nvpc = \"123456789012\"\nrules.host-sweep.enabled = false\n";
        let rules = RuleSet::parse(of_account).unwrap();
        assert!(!rules.rules_at("123456789012", "123456789012").host_sweep.enabled);
    }
}
