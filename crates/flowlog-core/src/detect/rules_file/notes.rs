//! What a rules file says that can be used, and is hardly meant.

use super::{Network, RuleName, RuleSet, is_account};
use crate::detect::Rule;

impl RuleSet {
    /// A sentence for each entry that silences or allows everything, or does nothing any more at `now` (epoch
    /// seconds).
    pub fn notes(&self, now: i64) -> Vec<String> {
        let mut notes = Vec::new();
        for (nth, one) in (1..).zip(&self.suppress) {
            let reason = &one.reason;
            if one.until.0 <= now {
                notes.push(format!("[[suppress]] {nth} ({reason}) has ended: it does nothing"));
                continue;
            }
            let anywhere = one.vpc.is_none() && one.interface.is_none();
            let anybody = one.source.is_empty() || holds_everybody(&one.source);
            if one.rule.is_none() && anywhere && anybody && one.ports.is_empty() {
                notes.push(format!(
                    "[[suppress]] {nth} ({reason}) names no rule, source, interface or port: it silences every alert"
                ));
            }
        }
        for (nth, one) in (1..).zip(&self.allow) {
            if holds_everybody(&one.source) && one.ports.is_empty() {
                let what = one.rule.map_or_else(
                    || "every rule".to_owned(),
                    |named| format!("the rule {}", named.0.name()),
                );
                let place = one.interface.as_ref().or(one.vpc.as_ref());
                let place = place.map_or_else(String::new, |place| format!(" at {place}"));
                notes.push(format!(
                    "[[allow]] {nth} has every address as its source: nobody is found by {what}{place}"
                ));
            } else if one.source.is_empty() {
                notes.push(format!("[[allow]] {nth} names no source: it does nothing"));
            }
        }
        notes.extend(self.not_across());
        notes
    }

    /// A sentence for each entry that names a VPC and not what is found across an account, of which VPCs nobody tells.
    fn not_across(&self) -> Vec<String> {
        let across = Rule::EastWestReject;
        let of = |named: Option<RuleName>| named.is_none_or(|named| named.0 == across);
        let overrides = (1..).zip(&self.overrides).filter(|(_, one)| one.rules.names(across));
        let overrides = overrides.map(|(nth, one)| ("override", nth, &one.vpc));
        let allow = (1..).zip(&self.allow).filter(|(_, one)| of(one.rule));
        let allow = allow.map(|(nth, one)| ("allow", nth, &one.vpc));
        let suppress = (1..).zip(&self.suppress).filter(|(_, one)| of(one.rule));
        let suppress = suppress.map(|(nth, one)| ("suppress", nth, &one.vpc));
        let all = overrides.chain(allow).chain(suppress);
        let note = |(list, nth, vpc): (&str, usize, &Option<String>)| {
            let vpc = vpc.as_ref().filter(|vpc| !is_account(vpc))?;
            Some(format!(
                "[[{list}]] {nth} is for {vpc}, and not for what host-sweep and east-west-reject find across a whole account: for that, name the account as vpc"
            ))
        };
        all.filter_map(note).collect()
    }
}

/// Whether networks hold every address of IPv4, or of IPv6.
fn holds_everybody(networks: &[Network]) -> bool {
    networks.iter().any(|network| network.0.prefix_len() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hardly_meant_is_noted() {
        let notes = |text: &str| RuleSet::parse(text).unwrap().notes(1_793_491_200);
        let reason = "reason = \"r\"\n";
        for (text, expected) in [
            (format!("[[suppress]]\nuntil = 2026-11-01\n{reason}"), "has ended"),
            (format!("[[suppress]]\nuntil = 2026-11-02\n{reason}"), "it silences every alert"),
            (
                format!("[[suppress]]\nsource = [\"0.0.0.0/0\"]\nuntil = 2026-11-02\n{reason}"),
                "it silences every alert",
            ),
            (
                "[[allow]]\nrule = \"port-scan\"\nsource = [\"0.0.0.0/0\"]\n".to_owned(),
                "nobody is found by the rule port-scan",
            ),
            ("[[allow]]\nsource = [\"0.0.0.0/0\"]\n".to_owned(), "nobody is found by every rule"),
            (
                "[[allow]]\nvpc = \"123456789012\"\nsource = [\"10.0.0.1\", \"::/0\"]\n".to_owned(),
                "nobody is found by every rule at 123456789012",
            ),
            ("[[allow]]\nsource = []\n".to_owned(), "it does nothing"),
            (
                "[[allow]]\nvpc = \"vpc-1\"\nsource = [\"10.0.9.9\"]\n".to_owned(),
                "[[allow]] 1 is for vpc-1, and not for what host-sweep and east-west-reject find",
            ),
            (
                format!(
                    "[[suppress]]\nrule = \"east-west-reject\"\nvpc = \"vpc-1\"\nuntil = 2026-11-02\n{reason}"
                ),
                "[[suppress]] 1 is for vpc-1, and not for",
            ),
            (
                "[[override]]\nvpc = \"vpc-1\"\nrules.east-west-reject.hosts = 9\n".to_owned(),
                "[[override]] 1 is for vpc-1, and not for",
            ),
        ] {
            let found = notes(&text);
            assert!(found.len() == 1 && found[0].contains(expected), "{text}: {found:?}");
        }
        for text in [
            "[[suppress]]\ninterface = \"eni-1\"\nuntil = 2026-11-02\nreason = \"r\"\n",
            "[[suppress]]\nrule = \"port-scan\"\nuntil = 2026-11-02\nreason = \"r\"\n",
            "[[allow]]\nrule = \"port-scan\"\nvpc = \"vpc-1\"\nsource = [\"10.0.0.1\"]\n",
            "[[override]]\nvpc = \"vpc-1\"\nrules.port-scan.contacts = 9\n",
            "[[suppress]]\nsource = [\"10.0.0.0/8\"]\nuntil = 2026-11-02\nreason = \"r\"\n",
            "[[allow]]\nsource = [\"10.0.0.1\"]\n[[allow]]\nsource = [\"0.0.0.0/0\"]\nports = [443]\n",
        ] {
            assert_eq!(notes(text), Vec::<String>::new(), "{text}");
        }
    }
}
