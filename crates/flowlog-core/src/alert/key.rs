//! The key of an alert: what makes two findings the same alert.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::detect::{Cause, Finding, Rule, Target, is_internal};

/// Rule and subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlertKey {
    /// The rule's name.
    pub kind: String,
    /// The interface (or VPC), and what tells one subject there from another.
    pub subject: String,
}

/// One of the 65,536 slots of a place.
fn slot(place: &str, subject: &str) -> String {
    let hash = Sha256::digest(subject);
    format!("{place}#{:02x}{:02x}", hash[0], hash[1])
}

impl AlertKey {
    /// The key of a finding.
    ///
    /// - A source of ours (and its target) is a subject of its own; it is hashed into one of 65,536
    ///   slots, so that no key holds an address and none can be invented without bound. Two in one slot are
    ///   one alert, and the second of them is not told: of twenty at a time in one place, once in 350 times.
    /// - Several that one server refuses are one subject, the server, hashed the same way.
    /// - One of ours that scans is one subject in its account, however many interfaces it knocks at.
    /// - Strangers share one subject per interface, and one per port where a port of ours is what
    ///   matters (`sensitive-port-exposed`, `rejected-then-accepted`, `brute-force`).
    pub fn of(finding: &Finding) -> Self {
        let place = if Self::is_of_source(finding) && !finding.account_id.is_empty() {
            &finding.account_id
        } else {
            &finding.interface_id
        };
        let place: String = place
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' })
            .take(64)
            .collect();
        let place = if place.is_empty() { "-".to_owned() } else { place };
        let subject = match (finding.source, finding.target) {
            (Some(source), target) if is_internal(&source) => {
                let target = target.map(|t| (t.host.map(|h| h.to_string()), t.port));
                slot(&place, &format!("{source} {target:?}"))
            }
            (None, Some(Target { host: Some(server), port })) => {
                slot(&place, &format!("{server} {port:?}"))
            }
            (_, Some(target)) if target.port.is_some() => {
                format!("{place}#p{}", target.port.unwrap_or(0))
            }
            _ => place,
        };
        Self { kind: finding.rule.name().to_owned(), subject }
    }

    /// The key that several clients of the server share which this one cannot reach.
    pub(super) fn of_server(finding: &Finding) -> Option<Self> {
        let lacks = finding.rule == Rule::EastWestReject
            && finding.cause == Cause::SecurityGroupOrAcl
            && finding.source.is_some();
        lacks.then(|| Self::of(&Finding { source: None, ..finding.clone() }))
    }

    /// Whether the alert is about a host of ours wherever it shows: a scan of a network would otherwise
    /// be as many alerts as there are interfaces, and spend the budget that a way in needs.
    pub(super) fn is_of_source(finding: &Finding) -> bool {
        let scans = matches!(finding.rule, Rule::PortScan | Rule::SlowScan | Rule::HostSweep);
        scans && finding.source.is_some_and(|source| is_internal(&source))
    }
}

impl fmt::Display for AlertKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.kind, self.subject)
    }
}
