//! D8 `sensitive-port-exposed`: a public source exchanges data with a port that nobody opens to
//! strangers on purpose: remote administration, databases, file sharing ([`WATCHED_PORTS`]).
//!
//! Bytes both ways, so that a probe which is let through and gets no answer says nothing. One alert
//! per interface and port, whoever comes. Partners belong on the allow-list, as addresses. ATT&CK
//! T1133; modelled on Panther's block-list, Elastic, Sigma.
//!
//! [`WATCHED_PORTS`]: crate::rollup::WATCHED_PORTS

use std::collections::BTreeMap;

use super::{Cause, Exempt, Finding, History, Rule, SensitivePortExposed, Target, Why};
use super::{finding::is_internal, is_own, shown, total};
use crate::record::{Address, WINDOW_SECONDS, Window};
use crate::rollup::is_watched;

const RULE: Rule = Rule::SensitivePortExposed;

impl SensitivePortExposed {
    /// Says nothing of who is allowed, and names one who is silenced only if all are.
    pub(super) fn evaluate(
        &self,
        history: &History,
        at: Window,
        exempt: Exempt<'_>,
    ) -> Vec<Finding> {
        let Some(now) = history.windows.get(&at) else { return Vec::new() };
        if !self.enabled {
            return Vec::new();
        }
        // port → (remote, bytes) of everybody who exchanged enough.
        let mut ports: BTreeMap<u16, Vec<(Address, u64)>> = BTreeMap::new();
        for (key, service) in now.services.iter() {
            let enough = service.bytes_in >= self.bytes && service.bytes_out >= self.bytes;
            if enough
                && is_watched(key.port)
                && is_own(history, at, key, service)
                && !is_internal(&key.remote)
                && !(exempt.allowed)(RULE, &key.remote, key.port)
            {
                let bytes = service.bytes_in.saturating_add(service.bytes_out);
                ports.entry(key.port).or_default().push((key.remote, bytes));
            }
        }
        let mut findings = Vec::new();
        for (port, mut remotes) in ports {
            remotes.sort_by_key(|(address, bytes)| {
                let silenced = (exempt.silenced)(RULE, address, port);
                (silenced, std::cmp::Reverse(*bytes), *address)
            });
            let Some((source, _)) = remotes.first().copied() else { continue };
            findings.push(Finding {
                source: Some(source),
                target: Some(Target { host: None, port: Some(port) }),
                evidence: Why {
                    measure: "bytes exchanged with public addresses on a sensitive port".into(),
                    value: total(remotes.iter().map(|(_, bytes)| *bytes)),
                    threshold: self.bytes,
                    seconds: WINDOW_SECONDS,
                    sources: remotes.len() as u64,
                    ports: vec![port],
                    rejected: now.totals().reject.records,
                    skipdata: now.skipdata,
                    records: shown(now, |row| row.srcaddr == Some(source)),
                    ..Why::default()
                },
                ..Finding::new(RULE, self.severity, Cause::ExposedPort, &history.interface_id, at)
            });
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{services, window};
    use super::*;

    fn find(rows: &[(&str, u16, u64, u64, u64, u64)]) -> Vec<(u16, u64)> {
        let mut history = History::default();
        history.add(window(0), &services(rows));
        let partner = Address::parse("198.51.100.7").unwrap();
        SensitivePortExposed::default()
            .evaluate(
                &history,
                window(0),
                Exempt { allowed: &|_, address, _| *address == partner, ..Exempt::NOBODY },
            )
            .iter()
            .map(|f| (f.evidence.ports[0], f.evidence.sources))
            .collect()
    }

    #[test]
    fn bytes_both_ways_from_outside_on_a_watched_port() {
        assert_eq!(find(&[("203.0.113.9", 3_389, 4, 0, 5_000, 9_000)]), [(3_389, 1)]);
        assert_eq!(find(&[("2001:db8::9", 5_432, 4, 0, 5_000, 9_000)]), [(5_432, 1)]);
        assert_eq!(find(&[("203.0.113.9", 3_389, 4, 0, 5_000, 0)]), [], "no answer");
        assert_eq!(find(&[("203.0.113.9", 8_080, 4, 0, 5_000, 9_000)]), [], "not watched");
        assert_eq!(find(&[("10.0.0.9", 3_389, 4, 0, 5_000, 9_000)]), [], "inside");
        assert_eq!(find(&[("198.51.100.7", 3_389, 4, 0, 5_000, 9_000)]), [], "allowed");
    }

    #[test]
    fn a_port_that_a_connection_of_ours_was_given_is_not_exposed() {
        let mut rollup = services(&[("203.0.113.9", 27_017, 4, 0, 5_000, 9_000)]);
        rollup.talkers = services(&[("203.0.113.9", 443, 4, 0, 5_000, 9_000)]).talkers;
        let mut history = History::default();
        history.add(window(0), &rollup);
        let found = SensitivePortExposed::default().evaluate(&history, window(0), Exempt::NOBODY);
        assert_eq!(found, []);
    }

    /// A NAT gateway's connections to one remote service at 27017, from ports that it gave them.
    #[test]
    fn a_port_that_a_nat_gateway_gave_is_not_exposed() {
        let of = |port: u16| ("203.0.113.50", port, 2, 0, 9_000, 4_000);
        let found = |before: &[u16], now: &[u16]| {
            let mut history = History::default();
            for (at, ports) in [(0, before), (1, now)] {
                let mut rollup = services(&ports.iter().map(|p| of(*p)).collect::<Vec<_>>());
                rollup.services = services(&[of(5_432)]).services;
                history.add(window(at), &rollup);
            }
            let found =
                SensitivePortExposed::default().evaluate(&history, window(1), Exempt::NOBODY);
            found.len()
        };
        assert_eq!(found(&[7_004, 19_200, 27_017], &[1_100, 5_432, 8_081, 22_222, 27_017]), 0);
        assert_eq!(found(&[], &[5_432]), 1);
        assert_eq!(found(&[5_432], &[1_100, 2_048, 3_333, 4_444, 5_001, 5_432]), 1, "a client's");
        assert_eq!(found(&[5_432], &[3_389, 5_432, 6_379, 8_080, 8_443, 9_200]), 1, "a wide one");
    }

    #[test]
    fn a_silenced_partner_hides_no_stranger() {
        let mut history = History::default();
        let row = |remote, bytes| (remote, 22, 4, 0, bytes, bytes);
        history
            .add(window(0), &services(&[row("203.0.113.9", 5_000), row("198.51.100.7", 50_000)]));
        let partner = Address::parse("198.51.100.7").unwrap();
        let silenced = |_, address: &Address, _| *address == partner;
        let exempt = Exempt { silenced: &silenced, ..Exempt::NOBODY };
        let found = SensitivePortExposed::default().evaluate(&history, window(0), exempt);
        assert_eq!(found[0].source, Address::parse("203.0.113.9"));
    }

    #[test]
    fn one_finding_for_a_port_whoever_comes() {
        let rows = [
            ("203.0.113.9", 22, 4, 0, 5_000, 9_000),
            ("203.0.113.10", 22, 4, 0, 5_000, 9_000),
            ("203.0.113.9", 3_306, 4, 0, 5_000, 9_000),
        ];
        assert_eq!(find(&rows), [(22, 2), (3_306, 1)]);
    }
}
