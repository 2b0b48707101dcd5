//! What can still be used of a rules file that was in force, and that this version refuses.

use serde::Deserialize as _;
use toml::{Table, Value};

use super::{Allow, Override, RuleSet, Suppress, is_account};
use crate::detect::thresholds::{RulesPatch, nearest};
use crate::detect::{Rule, Rules};

/// A rules file is read piece by piece; each piece that cannot be used is left out, with a sentence.
#[derive(Default)]
struct Salvage {
    lost: Vec<String>,
}

impl RuleSet {
    /// The rules of a file that another version accepted, and a sentence for each piece that is not used as it is
    /// written. `None` if it is no TOML at all.
    ///
    /// A number beyond its range becomes the nearest that is permitted, since that is the closest to what was meant:
    /// the default could be on the other side of it. A threshold that is no threshold keeps its default. Of an entry
    /// that cannot be read nothing is used, since half of it would hold for more than was meant.
    pub fn salvage(text: &str) -> Option<(Self, Vec<String>)> {
        if let Ok(whole) = Self::parse(text) {
            return Some((whole, Vec::new()));
        }
        let file: Table = text.parse().ok()?;
        let (mut salvage, mut set) = (Salvage::default(), Self::default());
        let mut rules = Rules::default();
        for (name, value) in file {
            match name.as_str() {
                "rules" => salvage.patch(value, "rules").apply(&mut rules),
                "override" => {
                    set.overrides = salvage.entries(&name, value, |salvage, at, mut entry| {
                        if let Some(patch) = entry.remove("rules") {
                            let rules = salvage.usable(patch, &format!("{at} rules"));
                            entry.insert("rules".to_owned(), Value::Table(rules));
                        }
                        let one = Override::deserialize(entry).map_err(message)?;
                        let sweeps = one.rules.names(Rule::HostSweep);
                        placed(one, sweeps, |one| [&one.vpc, &one.interface])
                    });
                }
                "allow" => {
                    set.allow = salvage.entries(&name, value, |_, _, entry| {
                        let one = Allow::deserialize(entry).map_err(message)?;
                        let sweeps = one.rule.is_some_and(|named| named.0 == Rule::HostSweep);
                        placed(one, sweeps, |one| [&one.vpc, &one.interface])
                    });
                }
                "suppress" => {
                    set.suppress = salvage.entries(&name, value, |_, _, entry| {
                        let one = Suppress::deserialize(entry).map_err(message)?;
                        let sweeps = one.rule.is_some_and(|named| named.0 == Rule::HostSweep);
                        placed(one, sweeps, |one| [&one.vpc, &one.interface])
                    });
                }
                _ => salvage.lose(&name, "it is not known, and left out"),
            }
        }
        Some((Self { rules, ..set }, salvage.lost))
    }
}

impl Salvage {
    fn lose(&mut self, what: &str, why: &str) {
        self.lost.push(format!("{what}: {why}"));
    }

    /// The entries of a list that can be read, each of them by `read`, which is told how people call it.
    fn entries<T>(
        &mut self,
        list: &str,
        value: Value,
        read: impl Fn(&mut Self, &str, Table) -> Result<T, String>,
    ) -> Vec<T> {
        let Value::Array(entries) = value else {
            self.lose(list, "it is no list, and left out");
            return Vec::new();
        };
        let mut kept = Vec::new();
        for (nth, entry) in (1..).zip(entries) {
            let at = format!("[[{list}]] {nth}");
            let one = match entry {
                Value::Table(entry) => read(self, &at, entry),
                _ => Err("it is no table".to_owned()),
            };
            match one {
                Ok(one) => kept.push(one),
                Err(why) => self.lose(&at, &format!("{why}; the whole entry is left out")),
            }
        }
        kept
    }

    /// What thresholds can be used.
    fn patch(&mut self, rules: Value, at: &str) -> RulesPatch {
        // Each piece has been read by itself.
        RulesPatch::deserialize(self.usable(rules, at)).unwrap_or_default()
    }

    fn usable(&mut self, rules: Value, at: &str) -> Table {
        let Value::Table(rules) = rules else {
            self.lose(at, "it is no table, and left out");
            return Table::new();
        };
        let mut kept = Table::new();
        for (rule, thresholds) in rules {
            let Value::Table(thresholds) = thresholds else {
                self.lose(&format!("{at}.{rule}"), "it is no table, and left out");
                continue;
            };
            let (mut of_rule, is_empty) = (Table::new(), thresholds.is_empty());
            for (name, value) in thresholds {
                let what = format!("{at}.{rule}.{name} = {}", shown(&value));
                let Err(why) = read_one(&rule, &name, value.clone()) else {
                    of_rule.insert(name, value);
                    continue;
                };
                match value.as_integer().and_then(|number| nearest(&rule, &name, number)) {
                    Some(number) => {
                        self.lose(&what, &format!("{why}; {number} is used"));
                        of_rule.insert(name, Value::Integer(number));
                    }
                    None => self.lose(&what, &format!("{why}; it is left out")),
                }
            }
            // What is not known has been said of each threshold.
            let whole = Table::from_iter([(rule.clone(), Value::Table(of_rule.clone()))]);
            match RulesPatch::deserialize(whole).map_err(message) {
                Ok(_) => drop(kept.insert(rule, Value::Table(of_rule))),
                Err(_) if !is_empty => {}
                Err(why) => self.lose(&format!("{at}.{rule}"), &format!("{why}; it is left out")),
            }
        }
        kept
    }
}

/// Whether one threshold by itself can be read.
fn read_one(rule: &str, name: &str, value: Value) -> Result<RulesPatch, String> {
    let of_rule = Table::from_iter([(name.to_owned(), value)]);
    let rules = Table::from_iter([(rule.to_owned(), Value::Table(of_rule))]);
    RulesPatch::deserialize(rules).map_err(message)
}

/// An entry, unless it names a place for a rule that has none.
fn placed<T>(
    entry: T,
    sweeps: bool,
    places: impl Fn(&T) -> [&Option<String>; 2],
) -> Result<T, String> {
    let is_narrow = places(&entry).into_iter().flatten().any(|place| !is_account(place));
    if sweeps && is_narrow { Err(super::ACCOUNT_WIDE.to_owned()) } else { Ok(entry) }
}

/// What is wrong, on one line.
#[expect(clippy::needless_pass_by_value, reason = "it is passed to map_err")]
fn message(error: toml::de::Error) -> String {
    error.message().lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

/// A value as it stands in a file, as far as it is short.
fn shown(value: &Value) -> String {
    match value {
        Value::Integer(n) => n.to_string(),
        Value::Float(n) => n.to_string(),
        Value::Boolean(b) => b.to_string(),
        Value::String(text) => format!("{text:?}"),
        _ => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Address;

    /// Of an older version, which had fewer ranges, and of a newer one that was rolled back.
    const OLD: &str = r#"
later = 1
[rules.port-scan]
contacts = 100
recorded = 12
[rules.data-gap]
silent = -5
severity = "loud"
[rules.new-rule]
enabled = true
[rules.newer-rule]
[[override]]
vpc = "vpc-1"
rules.east-west-reject.windows = 0
rules.unencrypted.enabled = true
[[override]]
interface = "eni-1"
rules.host-sweep.enabled = false
[[allow]]
source = ["10.0.9.0/24"]
[[allow]]
source = ["10.0.8.0/24"]
direction = "egress"
[[suppress]]
rule = "port-scan"
until = 2026-12-01
reason = "ticket 4711"
"#;

    #[test]
    fn what_can_be_used_of_an_older_file_stays_in_force() {
        assert!(RuleSet::parse(OLD).is_err());
        let (set, lost) = RuleSet::salvage(OLD).unwrap();
        let rules = set.rules_at("vpc-2", "eni-1");
        assert_eq!((rules.port_scan.contacts, rules.port_scan.recorded), (64, 12));
        assert_eq!(
            (rules.data_gap.silent, rules.data_gap.severity),
            (0, Rules::default().data_gap.severity)
        );
        assert!(rules.host_sweep.enabled, "half of an entry would hold for more than was meant");
        let there = set.rules_at("vpc-1", "eni-2");
        assert_eq!((there.east_west_reject.windows, there.unencrypted.enabled), (1, true));
        assert_eq!((set.allow.len(), set.suppress.len()), (1, 1));
        assert!(set.allow[0].source[0].holds(&Address::parse("10.0.9.7").unwrap()));
        for (said, expected) in lost.iter().zip([
            "[[allow]] 2: unknown field `direction`",
            "later: it is not known, and left out",
            "[[override]] 1 rules.east-west-reject.windows = 0: must be between 1 and 12; 1 is used",
            "[[override]] 2: host-sweep looks at a whole account",
            "rules.data-gap.severity = \"loud\": unknown variant `loud`",
            "rules.data-gap.silent = -5: must be between 0 and 86100; 0 is used",
            "rules.new-rule.enabled = true: unknown field `new-rule`",
            "rules.newer-rule: unknown field `newer-rule`",
            "rules.port-scan.contacts = 100: must be between 0 and 64; 64 is used",
        ]) {
            assert!(said.starts_with(expected), "{said}");
            assert!(!said.contains('\n'));
        }
        assert_eq!(lost.len(), 9, "{lost:#?}");
    }

    #[test]
    fn a_good_file_is_whole_and_what_is_no_toml_is_nothing() {
        let good = "[rules.port-scan]\ncontacts = 40\n";
        assert_eq!(RuleSet::salvage(good), Some((RuleSet::parse(good).unwrap(), Vec::new())));
        assert_eq!(RuleSet::salvage("[rules.port-scan\n"), None);
    }
}
