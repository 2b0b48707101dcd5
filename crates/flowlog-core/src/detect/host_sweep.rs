//! D3 `host-sweep`: one source is refused at one port of many hosts within an hour.
//!
//! Looks at all interfaces of a VPC at once, so it runs on the schedule. Hosts are counted by
//! address: every interface has its own. A private source notifies; the Internet's go to the digest,
//! and only from twenty hosts on. A source that sweeps several ports is moving laterally, which is
//! [`super::EastWestReject`]'s. ATT&CK T1018; modelled on Zeek's address scan, Elastic's sweep.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::quality::RandomState;
use hashbrown::HashMap;

use super::baseline::{GAP, OPEN};
use super::{Cause, Finding, History, HostSweep, Rule, Rules, Target, Why};
use super::{block_public_access, finding::is_internal, total};
use crate::record::{Address, WINDOW_SECONDS, Window};

/// What one source was refused at over all interfaces: port → hosts.
pub(super) type Swept = BTreeMap<u16, BTreeSet<Address>>;

/// Windows that a record may lie back when it is first judged: it is written when its ten minutes are over, and arrives
/// up to 15 minutes later.
const LATE: i64 = GAP + OPEN;

/// Every source that was refused within the hour that ends with `at`, if it was in `at` itself or the
/// [`LATE`] windows before; each is spread out only when it comes.
///
/// A source that has fewer contacts than `least` says of it is left out: most have one or two.
pub(super) fn swept(
    scope: &[History],
    at: Window,
    least: impl Fn(&Address) -> usize,
) -> impl Iterator<Item = (Address, Swept)> {
    let recent = at.back(LATE);
    let refused = || {
        let windows = scope.iter().flat_map(|history| history.last(at, Rules::LOOKBACK));
        let windows = windows.filter(|(_, rollup)| !block_public_access::explains(rollup));
        windows.flat_map(|(window, rollup)| {
            let others = block_public_access::others(rollup);
            let sources = rollup.rejected_sources.iter();
            let sources = sources.filter(move |(source, totals)| others(source, totals) > 0);
            sources.map(move |(source, totals)| (*window, source, totals))
        })
    };
    // How many contacts of a source there are at most, and whether it is still at it.
    let mut counted: HashMap<Address, (usize, bool), RandomState> = HashMap::default();
    for (window, source, totals) in refused() {
        let (contacts, active) = counted.entry(*source).or_default();
        *contacts += totals.contacts.len();
        *active |= window >= recent;
    }
    counted.retain(|source, (contacts, active)| *active && *contacts >= least(source).max(1));
    let mut sources: BTreeMap<Address, Vec<(u16, Address)>> = BTreeMap::new();
    for (_, source, totals) in refused().filter(|(_, source, _)| counted.contains_key(*source)) {
        let contacts = totals.contacts.iter().map(|contact| (contact.port, contact.host));
        sources.entry(*source).or_default().extend(contacts);
    }
    sources.into_iter().map(|(source, contacts)| {
        let mut ports = Swept::new();
        for (port, host) in contacts {
            ports.entry(port).or_default().insert(host);
        }
        (source, ports)
    })
}

impl HostSweep {
    pub(super) fn evaluate(&self, scope: &[History], scope_id: &str, at: Window) -> Vec<Finding> {
        if !self.enabled {
            return Vec::new();
        }
        let mut findings = Vec::new();
        let needed = |source: &Address| {
            if is_internal(source) { self.interfaces } else { self.external_interfaces }
        };
        for (source, ports) in swept(scope, at, needed) {
            let (inside, needed) = (is_internal(&source), needed(&source));
            let (severity, cause) = if inside {
                (self.severity, Cause::InsideScan)
            } else {
                (self.external, Cause::InternetScan)
            };
            let wide: Vec<(&u16, &BTreeSet<Address>)> =
                ports.iter().filter(|(_, hosts)| hosts.len() >= needed).collect();
            let Some((port, hosts)) = wide.iter().max_by_key(|(_, hosts)| hosts.len()) else {
                continue;
            };
            if inside && wide.len() > 1 {
                continue;
            }
            findings.push(Finding {
                source: Some(source),
                target: Some(Target { host: None, port: Some(**port) }),
                evidence: Why {
                    measure: "hosts that refused it at one port".into(),
                    value: hosts.len() as u64,
                    threshold: needed as u64,
                    seconds: Rules::LOOKBACK * WINDOW_SECONDS,
                    sources: 1,
                    ports: vec![**port],
                    rejected: super::rejected_of(scope, at, &source),
                    skipdata: total(scope.iter().map(|h| h.skipdata(at, Rules::LOOKBACK))),
                    records: super::shown_of(scope, at, &source),
                    ..Why::default()
                },
                ..Finding::new(Rule::HostSweep, severity, cause, scope_id, at)
            });
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::tests::{interfaces, rejects, window};
    use super::*;

    fn sweep(source: &str, hosts: u8, ports: &[u16]) -> Vec<(Severity, u64)> {
        let scope = interfaces(source, hosts, ports);
        let found = HostSweep::default().evaluate(&scope, "vpc-1", window(0));
        found.iter().map(|f| (f.severity, f.evidence.value)).collect()
    }

    #[test]
    fn five_hosts_inside_twenty_for_strangers() {
        assert_eq!(sweep("10.0.9.9", 4, &[22]), []);
        assert_eq!(sweep("10.0.9.9", 5, &[22]), [(Severity::Notify, 5)]);
        assert_eq!(sweep("fd00::9", 5, &[22]), [(Severity::Notify, 5)]);
        assert_eq!(sweep("203.0.113.9", 19, &[22]), []);
        assert_eq!(sweep("203.0.113.9", 20, &[22]), [(Severity::Digest, 20)]);
        assert_eq!(sweep("203.0.113.9", 20, &[22, 23]), [(Severity::Digest, 20)]);
        assert_eq!(sweep("10.0.9.9", 9, &[22, 445]), [], "east-west-reject's");
    }

    #[test]
    fn what_block_public_access_refused_is_no_sweep() {
        let mut scope = interfaces("203.0.113.9", 20, &[22]);
        for history in &mut scope {
            let mut others = rejects(std::iter::once(("10.0.9.9".to_owned(), 443)));
            others.reject_reasons.insert("BPA".to_owned(), 1);
            history.add(window(0), &others);
        }
        let found = HostSweep::default().evaluate(&scope, "vpc-1", window(0));
        assert!(found.iter().all(|f| f.source == Address::parse("10.0.9.9")), "{found:?}");
    }

    #[test]
    fn late_records_show_a_sweep_and_an_hour_ago_is_over() {
        // A record from 00:04 to 00:14 arrives by 00:29, and the next run, up to 00:34, judges up to window 5.
        let scope = interfaces("10.0.9.9", 9, &[22]);
        assert_eq!(HostSweep::default().evaluate(&scope, "vpc-1", window(5)).len(), 1);
        assert_eq!(HostSweep::default().evaluate(&scope, "vpc-1", window(6)), []);
    }
}
