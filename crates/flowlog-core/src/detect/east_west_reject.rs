//! D7 `east-west-reject`: refused traffic between private addresses.
//!
//! Two stories, told apart by their shape. The same one to three tuples, refused in five windows in
//! a row and never let through, are a **misconfiguration**: a security group, an inbound network ACL
//! or a peering that nobody finished. Three or more clients of one server lack the same rule: that is
//! one finding, the server's. One host that is refused at many hosts (or at ten ports of one) is
//! **moving laterally**. ATT&CK T1021; no neighbour has it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::baseline::GAP;
use super::port_scan::Seen;
use super::{
    Cause, EastWestReject, Exempt, Finding, History, PORTS_SHOWN, Rule, Rules, SOURCES_SHOWN,
    Severity, Target, Why,
};
use super::{finding::is_internal, host_sweep, shown, total};
use crate::record::{Address, WINDOW_SECONDS, Window};
use crate::rollup::{Rollup, TalkerKey, Tuple, Verdicts};

/// A client with more lasting tuples than this is no single forgotten rule.
const FEW: usize = 3;
/// So many clients of one server are told as one.
const MANY: usize = 3;

/// A server's address, port and protocol.
type ServerPort = (Address, u16, u8);

/// A tuple that was refused in window after window.
#[derive(Clone, Copy)]
struct Lasting<'a> {
    tuple: &'a Tuple,
    verdicts: Verdicts,
    /// The earliest of the windows that refused it.
    since: Window,
    /// Whether each of the windows lists it. Else its place in some was taken, and the server refused others there.
    is_sure: bool,
    /// Whether the window in question lists it.
    is_now: bool,
}

impl EastWestReject {
    /// One interface; `scanners` have their own findings, and who is exempt is no part of a server's.
    pub(super) fn evaluate(
        &self,
        history: &History,
        at: Window,
        scanners: &[Address],
        exempt: Exempt<'_>,
    ) -> Vec<Finding> {
        let Some(now) = history.windows.get(&at) else { return Vec::new() };
        if !self.enabled {
            return Vec::new();
        }
        let mut findings = self.lateral(history, now, at, scanners);
        let busy: Vec<Address> = findings.iter().filter_map(|f| f.source).collect();
        let mut clients: BTreeMap<Address, Vec<Lasting<'_>>> = BTreeMap::new();
        for (tuple, is_now) in recent(history, at) {
            if scanners.contains(&tuple.client) || busy.contains(&tuple.client) {
                continue;
            }
            let lasting = self.lasting(history, at, tuple, is_now);
            clients.entry(tuple.client).or_default().extend(lasting);
        }
        let mut servers: BTreeMap<ServerPort, Vec<Lasting<'_>>> = BTreeMap::new();
        for one in clients.into_values().filter(|tuples| tuples.len() <= FEW).flatten() {
            let (client, port) = (&one.tuple.client, one.tuple.port);
            if (exempt.silenced)(Rule::EastWestReject, client, port) {
                // Recorded by itself.
                findings.extend(self.alone(history, now, at, &one));
            } else if !(exempt.allowed)(Rule::EastWestReject, client, port) {
                servers.entry(of_server(one.tuple)).or_default().push(one);
            }
        }
        for of_one in servers.into_values() {
            if of_one.len() < MANY {
                findings.extend(of_one.iter().filter_map(|o| self.alone(history, now, at, o)));
            } else if of_one.iter().any(|one| one.is_now) {
                findings.extend(self.together(history, now, at, of_one));
            }
        }
        findings
    }

    /// What became of a tuple over the windows, if it was refused in each and let through in none. A window whose list
    /// had to be cut may lack it.
    fn lasting<'a>(
        &self,
        history: &History,
        at: Window,
        tuple: &'a Tuple,
        is_now: bool,
    ) -> Option<Lasting<'a>> {
        use crate::rollup::Weigh as _;
        let windows = i64::try_from(self.windows).ok()?;
        let mut all: Option<Verdicts> = None;
        let (mut refused, mut perhaps, mut next, mut since) = (0, 0, at, at);
        // The latest ones first, as far as they are in a row.
        for (window, rollup) in history.windows.range(at.back(windows * GAP - 1)..=at).rev() {
            if refused == self.windows || window.forward(GAP) < next {
                break;
            }
            let Some(verdicts) = rollup.verdicts(tuple) else {
                let is_cut = rollup.rejected_tuples.error() > 0;
                if !is_cut && refused + perhaps < self.windows {
                    return None;
                } else if !is_cut || exchanges(rollup, tuple) {
                    break;
                }
                perhaps += u64::from(refuses(rollup, of_server(tuple)));
                next = *window;
                continue;
            };
            if verdicts.rejected_forward > 0 {
                (refused, next, since) = (refused + 1, *window, *window);
            }
            match &mut all {
                None => all = Some(verdicts),
                Some(all) => all.absorb(&verdicts),
            }
        }
        let works = |all: &Verdicts| all.accepted_forward > 0 || all.accepted_back > 0;
        let verdicts = all.filter(|all| refused + perhaps >= self.windows && !works(all))?;
        let is_sure = refused >= self.windows;
        (refused > 0).then_some(Lasting { tuple, verdicts, since, is_sure, is_now })
    }

    /// A client that is refused by itself, or one of two.
    fn alone(
        &self,
        history: &History,
        now: &Rollup,
        at: Window,
        of: &Lasting<'_>,
    ) -> Option<Finding> {
        (of.is_sure && of.is_now).then(|| self.misconfiguration(history, now, at, of))
    }

    /// The clients of one server.
    fn together(
        &self,
        history: &History,
        now: &Rollup,
        at: Window,
        mut of_one: Vec<Lasting<'_>>,
    ) -> Option<Finding> {
        of_one.sort_by_key(|one| (Reverse(one.verdicts.rejected_forward), one.tuple.client));
        let first = of_one.first()?;
        let mut whole = *first;
        for one in &of_one {
            whole.since = whole.since.min(one.since);
            whole.verdicts.first = whole.verdicts.first.min(one.verdicts.first);
            whole.verdicts.last = whole.verdicts.last.max(one.verdicts.last);
        }
        let clients: BTreeSet<Address> = of_one.iter().map(|one| one.tuple.client).collect();
        let (server, port) = (first.tuple.server, first.tuple.port);
        let mut finding = self.misconfiguration(history, now, at, &whole);
        finding.source = None;
        let why = &mut finding.evidence;
        why.measure =
            "refusals of clients of one server, in every window, and none let through".into();
        why.value = total(of_one.iter().map(|one| one.verdicts.rejected_forward));
        why.sources = of_one.len() as u64;
        why.named = of_one.iter().take(SOURCES_SHOWN).map(|one| one.tuple.client).collect();
        why.records = shown(now, |row| {
            row.srcaddr.is_some_and(|client| clients.contains(&client))
                && (row.dstaddr, row.dstport) == (Some(server), port)
        });
        Some(finding)
    }

    fn misconfiguration(
        &self,
        history: &History,
        now: &Rollup,
        at: Window,
        lasting: &Lasting<'_>,
    ) -> Finding {
        let Lasting { tuple, verdicts, since, .. } = lasting;
        let of = |row: &crate::rollup::Evidence| {
            row.srcaddr == Some(tuple.client) && row.dstaddr == Some(tuple.server)
        };
        // By the records: windows may lie between them, and the last one ends when it ends.
        let first = verdicts.first.max(since.start());
        let last = verdicts.last.min(at.forward(GAP).end());
        let seconds = if last > first { last - first } else { at.end() - first };
        let windows = (at.end() - since.start()) / WINDOW_SECONDS;
        Finding {
            source: Some(tuple.client),
            target: Some(Target { host: Some(tuple.server), port: Some(tuple.port) }),
            evidence: Why {
                measure: "refusals of one connection, in every window, and none let through".into(),
                value: verdicts.rejected_forward,
                threshold: self.windows,
                seconds,
                since: Some(*since),
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

fn of_server(tuple: &Tuple) -> ServerPort {
    (tuple.server, tuple.port, tuple.protocol)
}

/// The tuples of a window and of those before that may be in a row with it, and whether they are listed in it.
fn recent(history: &History, at: Window) -> BTreeMap<&Tuple, bool> {
    let windows = history.last(at, GAP + 1);
    windows
        .flat_map(|(window, r)| r.rejected_tuples.iter().map(move |(t, _)| (t, *window == at)))
        .collect()
}

/// Whether a server's port refuses anybody.
fn refuses(rollup: &Rollup, server: ServerPort) -> bool {
    let mut tuples = rollup.rejected_tuples.iter();
    tuples.any(|(tuple, verdicts)| of_server(tuple) == server && verdicts.rejected_forward > 0)
}

/// Whether anything of a connection was let through, as far as listed.
fn exchanges(rollup: &Rollup, tuple: &Tuple) -> bool {
    let key = |remote| TalkerKey { remote, port: tuple.port, protocol: tuple.protocol };
    [tuple.client, tuple.server].into_iter().any(|one| rollup.talkers.get(&key(one)).is_some())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{interfaces, record, rejects, roll_up, tuples, window};
    use super::*;
    use crate::record::{Action, Record};

    const CLIENT: &str = "10.1.0.9";

    fn lasting(windows: &[(u64, u64)]) -> Vec<(Severity, Cause)> {
        let mut history = History::default();
        let mut at = window(0);
        for (n, (forward, accepted)) in (0..).zip(windows) {
            at = window(n);
            history.add(at, &tuples(&[(CLIENT, 6_379, *forward, 0, *accepted)]));
        }
        let found = EastWestReject::default().evaluate(&history, at, &[], Exempt::NOBODY);
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

    /// Records of ten minutes lie in every second window.
    #[test]
    fn it_lasts_from_the_first_record_to_the_last() {
        let found = |every: i64, seconds: i64, client: fn(i64) -> u8| {
            let mut history = History::default();
            for n in (0..5).map(|n| n * every) {
                let start = window(n).start() + 20;
                let names: Vec<_> = (1..=client(n)).map(|c| format!("10.1.0.{c}")).collect();
                let row = |name| Record {
                    start: Some(start),
                    end: Some(start + seconds),
                    ..record(name, 50_000, "10.0.0.5", 6_379, Action::Reject)
                };
                let rows: Vec<_> = names.iter().map(|name| row(name)).collect();
                history.add(window(n), &roll_up(&rows));
            }
            let at = window(4 * every);
            let found = EastWestReject::default().evaluate(&history, at, &[], Exempt::NOBODY);
            assert_eq!(found.len(), 1);
            (found[0].since(), found[0].evidence.seconds)
        };
        assert_eq!(found(1, 60, |_| 1), (window(0), 1_260));
        assert_eq!(found(2, 600, |_| 1), (window(0), 3_000));
        assert_eq!(found(2, 600, |_| 3), (window(0), 3_000), "clients of one server");
        assert_eq!(
            found(2, i64::from(u32::MAX), |_| 1),
            (window(0), 3_280),
            "what a stranger made of it"
        );
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
            EastWestReject::default().evaluate(&history, window(4), &[], Exempt::NOBODY).len()
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
            assert_eq!(rule.evaluate(&history, window(4), &[], Exempt::NOBODY).len(), found);
            let scanner = Address::parse(CLIENT).unwrap();
            assert_eq!(rule.evaluate(&history, window(4), &[scanner], Exempt::NOBODY), []);
        }
    }

    #[test]
    fn ten_ports_of_one_host_or_five_hosts_at_several_ports() {
        let ports = |source: &str, n: u16| {
            let mut history = History::default();
            history.add(window(0), &rejects((1..=n).map(|p| (source.to_owned(), p))));
            EastWestReject::default().evaluate(&history, window(0), &[], Exempt::NOBODY).len()
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

    /// Windows in which `clients` of them are refused at 443 of one server, each twice, of which `listed` at a time are
    /// in the list, others in the next window.
    fn refused_clients(clients: u8, listed: u8, windows: i64) -> History {
        let mut history = History { interface_id: "eni-1".to_owned(), ..History::default() };
        for n in 0..windows {
            let first = u8::try_from(n).unwrap() * listed % clients;
            let of = |k: u8| format!("10.1.0.{}", 1 + (first + k) % clients);
            let names: Vec<String> = (0..listed).map(of).collect();
            let rows: Vec<_> = names.iter().map(|name| (name.as_str(), 443, 2, 0, 0)).collect();
            let mut rollup = tuples(&rows);
            if listed < clients {
                let rows = rollup.rejected_tuples.iter().map(|(t, v)| (*t, *v)).collect();
                rollup.rejected_tuples = crate::rollup::Ranked::new(rows, 2);
            }
            history.add(window(n), &rollup);
        }
        history
    }

    fn find_with(history: &History, at: i64, exempt: Exempt<'_>) -> Vec<Finding> {
        EastWestReject::default().evaluate(history, window(at), &[], exempt)
    }

    #[test]
    fn three_clients_of_a_server_are_one_finding() {
        let told = |clients| {
            let found = find_with(&refused_clients(clients, clients, 5), 4, Exempt::NOBODY);
            found.into_iter().map(|f| (f.source.is_some(), f.evidence.sources, f.evidence.value))
        };
        assert_eq!(told(1).collect::<Vec<_>>(), [(true, 1, 10)]);
        assert_eq!(told(2).collect::<Vec<_>>(), [(true, 1, 10), (true, 1, 10)]);
        assert_eq!(told(3).collect::<Vec<_>>(), [(false, 3, 30)]);
        let found = find_with(&refused_clients(3, 3, 5), 4, Exempt::NOBODY).remove(0);
        let server = Address::parse("10.0.0.5");
        assert_eq!(found.target, Some(Target { host: server, port: Some(443) }));
        let named: Vec<_> = found.evidence.named.iter().map(ToString::to_string).collect();
        assert_eq!(named, ["10.1.0.1", "10.1.0.2", "10.1.0.3"]);
    }

    #[test]
    fn more_clients_than_a_list_holds_are_told_in_every_window() {
        for clients in [17, 24, 60, 200] {
            let history = refused_clients(clients, 16, 12);
            for at in 4..12 {
                let found = find_with(&history, at, Exempt::NOBODY);
                assert_eq!(found.len(), 1, "{clients} {at}");
                assert!(found[0].source.is_none() && found[0].evidence.sources >= 16);
            }
            assert_eq!(find_with(&history, 3, Exempt::NOBODY), []);
        }
    }

    #[test]
    fn a_cut_list_is_no_proof_that_a_connection_works_or_does_not() {
        let of = |lacks: bool, cut: u64, accepted: bool| {
            let mut history = History::default();
            for n in 0..6 {
                let mut rollup = if n == 2 && lacks {
                    tuples(&[("10.1.0.77", 22, 9, 0, 0)])
                } else {
                    tuples(&[(CLIENT, 6_379, 2, 0, 0)])
                };
                if n == 2 {
                    let rows = rollup.rejected_tuples.iter().map(|(t, v)| (*t, *v)).collect();
                    rollup.rejected_tuples = crate::rollup::Ranked::new(rows, cut);
                    if accepted {
                        rollup.talkers =
                            super::super::tests::services(&[(CLIENT, 6_379, 1, 0, 900, 900)])
                                .talkers;
                    }
                }
                history.add(window(n), &rollup);
            }
            find_with(&history, 5, Exempt::NOBODY).len()
        };
        assert_eq!((of(false, 0, false), of(true, 0, false), of(true, 3, false)), (1, 0, 1));
        assert_eq!(of(true, 3, true), 0, "it works");
    }

    #[test]
    fn who_is_exempt_is_no_part_of_a_server_s_finding() {
        let history = refused_clients(4, 4, 5);
        let one = Address::parse("10.1.0.1").unwrap();
        let is_one = |_, client: &Address, port: u16| (*client, port) == (one, 443);
        let allowed = Exempt { allowed: &is_one, ..Exempt::NOBODY };
        let found = find_with(&history, 4, allowed);
        assert_eq!(found.iter().map(|f| f.evidence.sources).collect::<Vec<_>>(), [3]);
        let silenced = Exempt { silenced: &is_one, ..Exempt::NOBODY };
        let found: Vec<_> = find_with(&history, 4, silenced)
            .into_iter()
            .map(|f| (f.source, f.evidence.sources))
            .collect();
        assert_eq!(found, [(Some(one), 1), (None, 3)]);
    }
}
