//! D7 `east-west-reject`: refused traffic between private addresses.
//!
//! Two stories, told apart by their shape. The same one to three tuples, refused in five windows in
//! a row and never let through, are a **misconfiguration**: a security group, an inbound network ACL
//! or a peering that nobody finished. One host that is refused at many hosts (or at ten ports of
//! one) is **moving laterally**. ATT&CK T1021; no neighbour has it.

use std::collections::{BTreeMap, BTreeSet};

use super::baseline::GAP;
use super::port_scan::Seen;
use super::{
    Cause, EastWestReject, Finding, History, PORTS_SHOWN, Rule, Rules, Severity, Target, Why,
};
use super::{finding::is_internal, host_sweep, shown, total};
use crate::record::{Address, WINDOW_SECONDS, Window};
use crate::rollup::{Rollup, Tuple, Verdicts};

/// A client with more lasting tuples than this is no single forgotten rule.
const FEW: usize = 3;

impl EastWestReject {
    /// One interface; `scanners` have their own findings.
    pub(super) fn evaluate(
        &self,
        history: &History,
        at: Window,
        scanners: &[Address],
    ) -> Vec<Finding> {
        let Some(now) = history.windows.get(&at) else { return Vec::new() };
        if !self.enabled {
            return Vec::new();
        }
        let mut findings = self.lateral(history, now, at, scanners);
        let busy: Vec<Address> = findings.iter().filter_map(|f| f.source).collect();
        let mut lasting: BTreeMap<Address, Vec<(&Tuple, Verdicts)>> = BTreeMap::new();
        for (tuple, _) in now.rejected_tuples.iter() {
            if scanners.contains(&tuple.client) || busy.contains(&tuple.client) {
                continue;
            }
            if let Some(verdicts) = self.lasting(history, at, tuple) {
                lasting.entry(tuple.client).or_default().push((tuple, verdicts));
            }
        }
        for tuples in lasting.into_values().filter(|tuples| tuples.len() <= FEW) {
            findings.extend(tuples.into_iter().map(|(tuple, verdicts)| {
                self.misconfiguration(history, now, at, tuple, &verdicts)
            }));
        }
        findings
    }

    /// What became of a tuple over the windows, if it was refused in each and let through in none.
    fn lasting(&self, history: &History, at: Window, tuple: &Tuple) -> Option<Verdicts> {
        use crate::rollup::Weigh as _;
        let windows = i64::try_from(self.windows).ok()?;
        let mut all: Option<Verdicts> = None;
        let (mut refused, mut next) = (0, at);
        // The latest ones first, as far as they are in a row.
        for (window, rollup) in history.windows.range(at.back(windows * GAP - 1)..=at).rev() {
            if refused == self.windows || window.forward(GAP) < next {
                break;
            }
            let verdicts = rollup.verdicts(tuple)?;
            if verdicts.rejected_forward > 0 {
                (refused, next) = (refused + 1, *window);
            }
            match &mut all {
                None => all = Some(verdicts),
                Some(all) => all.absorb(&verdicts),
            }
        }
        let works = |all: &Verdicts| all.accepted_forward > 0 || all.accepted_back > 0;
        all.filter(|all| refused >= self.windows && !works(all))
    }

    fn misconfiguration(
        &self,
        history: &History,
        now: &Rollup,
        at: Window,
        tuple: &Tuple,
        verdicts: &Verdicts,
    ) -> Finding {
        let of = |row: &crate::rollup::Evidence| {
            row.srcaddr == Some(tuple.client) && row.dstaddr == Some(tuple.server)
        };
        let windows = i64::try_from(self.windows).unwrap_or(1);
        Finding {
            source: Some(tuple.client),
            target: Some(Target { host: Some(tuple.server), port: Some(tuple.port) }),
            evidence: Why {
                measure: "refusals of one connection, in every window, and none let through".into(),
                value: verdicts.rejected_forward,
                threshold: self.windows,
                seconds: windows * WINDOW_SECONDS,
                sources: 1,
                ports: vec![tuple.port],
                rejected: now.totals().reject.records,
                skipdata: history.skipdata(at, windows),
                records: shown(now, of),
                ..Why::default()
            },
            ..Finding::new(
                Rule::EastWestReject,
                self.severity,
                Cause::SecurityGroupOrAcl,
                &history.interface_id,
                at,
            )
        }
    }

    fn lateral(
        &self,
        history: &History,
        now: &Rollup,
        at: Window,
        scanners: &[Address],
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (source, _) in now.rejected_sources.iter() {
            if !is_internal(source) || scanners.contains(source) {
                continue;
            }
            let seen = Seen::of(history, at, Rules::LOOKBACK, source);
            let inside = || seen.contacts.iter().filter(|c| is_internal(&c.host));
            let hosts: BTreeSet<Address> = inside().map(|c| c.host).collect();
            let ports: BTreeSet<u16> = inside().map(|c| c.port).collect();
            if ports.len() < self.ports && (hosts.len() < self.hosts || ports.len() < 2) {
                continue;
            }
            let records = shown(now, |row| row.srcaddr.as_ref() == Some(source));
            let mut finding = self.moving(&history.interface_id, at, *source, &hosts, &ports);
            finding.evidence.rejected = seen.rejected;
            finding.evidence.skipdata = history.skipdata(at, Rules::LOOKBACK);
            finding.evidence.records = records;
            findings.push(finding);
        }
        findings
    }

    /// All interfaces of a VPC: one host that sweeps several ports.
    pub(super) fn evaluate_scope(
        &self,
        scope: &[History],
        scope_id: &str,
        at: Window,
    ) -> Vec<Finding> {
        if !self.enabled {
            return Vec::new();
        }
        let mut findings = Vec::new();
        let least = |source: &Address| if is_internal(source) { self.hosts } else { usize::MAX };
        for (source, ports) in host_sweep::swept(scope, at, least) {
            let inside: BTreeMap<u16, BTreeSet<Address>> = ports
                .into_iter()
                .map(|(port, hosts)| (port, hosts.into_iter().filter(is_internal).collect()))
                .filter(|(_, hosts): &(u16, BTreeSet<Address>)| !hosts.is_empty())
                .collect();
            let hosts: BTreeSet<Address> = inside.values().flatten().copied().collect();
            let wide: BTreeSet<u16> = inside
                .iter()
                .filter(|(_, hosts)| hosts.len() >= self.hosts)
                .map(|(port, _)| *port)
                .collect();
            // One port is a host sweep's; here at least two, or no two hosts at the same.
            if hosts.len() < self.hosts || inside.len() < 2 || wide.len() == 1 {
                continue;
            }
            let ports: BTreeSet<u16> = inside.into_keys().collect();
            let mut finding = self.moving(scope_id, at, source, &hosts, &ports);
            finding.evidence.rejected = super::rejected_of(scope, at, &source);
            finding.evidence.records = super::shown_of(scope, at, &source);
            finding.evidence.skipdata =
                total(scope.iter().map(|h| h.skipdata(at, Rules::LOOKBACK)));
            findings.push(finding);
        }
        findings
    }

    fn moving(
        &self,
        place: &str,
        at: Window,
        source: Address,
        hosts: &BTreeSet<Address>,
        ports: &BTreeSet<u16>,
    ) -> Finding {
        let (measure, value, threshold) = if hosts.len() >= self.hosts {
            ("hosts that refused one of ours", hosts.len(), self.hosts)
        } else {
            ("ports that refused one of ours", ports.len(), self.ports)
        };
        let severity: Severity = self.lateral;
        Finding {
            source: Some(source),
            evidence: Why {
                measure: measure.into(),
                value: value as u64,
                threshold: threshold as u64,
                seconds: Rules::LOOKBACK * WINDOW_SECONDS,
                sources: 1,
                ports: ports.iter().take(PORTS_SHOWN).copied().collect(),
                ..Why::default()
            },
            ..Finding::new(Rule::EastWestReject, severity, Cause::InsideScan, place, at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{interfaces, record, rejects, roll_up, tuples, window};
    use super::*;
    use crate::record::Action;

    const CLIENT: &str = "10.1.0.9";

    fn lasting(windows: &[(u64, u64)]) -> Vec<(Severity, Cause)> {
        let mut history = History::default();
        let mut at = window(0);
        for (n, (forward, accepted)) in (0..).zip(windows) {
            at = window(n);
            history.add(at, &tuples(&[(CLIENT, 6_379, *forward, 0, *accepted)]));
        }
        let found = EastWestReject::default().evaluate(&history, at, &[]);
        found.iter().map(|f| (f.severity, f.cause)).collect()
    }

    #[test]
    fn the_same_tuple_five_windows_in_a_row() {
        let misconfigured = [(Severity::Notify, Cause::SecurityGroupOrAcl)];
        assert_eq!(lasting(&[(2, 0); 5]), misconfigured);
        assert_eq!(lasting(&[(2, 0); 4]), []);
        assert_eq!(lasting(&[(2, 0), (2, 0), (0, 0), (2, 0), (2, 0)]), []);
        assert_eq!(lasting(&[(2, 0), (2, 0), (2, 7), (2, 0), (2, 0)]), [], "it works at times");
    }

    #[test]
    fn what_another_delivery_let_through_works() {
        let row = |action| record(CLIENT, 50_000, "10.0.0.5", 6_379, action);
        let (refused, let_through) = (row(Action::Reject), row(Action::Accept));
        let found = |other: bool| {
            let mut history = History::default();
            for n in 0..5 {
                history.add(window(n), &roll_up(&[refused]));
                if other {
                    history.add(window(n), &roll_up(&[let_through]));
                }
            }
            EastWestReject::default().evaluate(&history, window(4), &[]).len()
        };
        assert_eq!((found(false), found(true)), (1, 0));
    }

    #[test]
    fn four_forgotten_rules_at_once_are_something_else() {
        for (ports, found) in [(3_u16, 3), (4, 0)] {
            let mut history = History::default();
            for n in 0..5 {
                let rows: Vec<_> = (1..=ports).map(|p| (CLIENT, p, 2, 0, 0)).collect();
                history.add(window(n), &tuples(&rows));
            }
            let rule = EastWestReject::default();
            assert_eq!(rule.evaluate(&history, window(4), &[]).len(), found);
            let scanner = Address::parse(CLIENT).unwrap();
            assert_eq!(rule.evaluate(&history, window(4), &[scanner]), []);
        }
    }

    #[test]
    fn ten_ports_of_one_host_or_five_hosts_at_several_ports() {
        let ports = |source: &str, n: u16| {
            let mut history = History::default();
            history.add(window(0), &rejects((1..=n).map(|p| (source.to_owned(), p))));
            EastWestReject::default().evaluate(&history, window(0), &[]).len()
        };
        assert_eq!((ports(CLIENT, 9), ports(CLIENT, 10), ports("203.0.113.1", 10)), (0, 1, 0));
        let hosts = |hosts: u8, at: &[u16]| {
            let scope = interfaces(CLIENT, hosts, at);
            let found = EastWestReject::default().evaluate_scope(&scope, "vpc-1", window(0));
            found.iter().map(|f| (f.severity, f.evidence.value)).collect::<Vec<_>>()
        };
        assert_eq!(hosts(5, &[22, 445]), [(Severity::High, 5)]);
        assert_eq!(hosts(4, &[22, 445]), []);
        assert_eq!(hosts(9, &[22]), [], "host-sweep's");
    }
}
