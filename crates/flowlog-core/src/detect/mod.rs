//! Rules: pure functions from folded windows to findings. IPv4 and IPv6 alike.
//!
//! A rule sees windows and what is usual there; it holds no state and sees no clock, so the same
//! windows give the same findings in a function, in a local run and in a test. One file per rule;
//! [`Rules`] is the table of every default. Rules look at
//!
//! - one interface and the hour before a window, whenever that window changes ([`Rules::evaluate`]),
//! - one interface and the day before a window, on the schedule ([`Rules::evaluate_day`]),
//! - all interfaces of a VPC and the hour before a window, on the schedule ([`Rules::evaluate_scope`]),
//! - what is known of every interface, on the schedule ([`RuleSet::evaluate_silence`]).

mod asymmetric_path;
mod baseline;
mod beacon;
mod block_public_access;
mod brute_force;
mod data_gap;
mod east_west_reject;
mod egress_volume;
mod explained;
mod finding;
mod history;
mod host_sweep;
mod needs;
mod port_scan;
mod reject_anomaly;
mod reject_burst;
mod rejected_then_accepted;
pub mod review;
mod rules_file;
mod sensitive_port_exposed;
mod slow_scan;
mod thresholds;
mod unencrypted;
mod walk;

pub use baseline::{Baseline, Counts, Hour, KNOWN, OPEN, Volume};
pub(crate) use data_gap::EVERY_INTERFACE;
pub use data_gap::Known;
pub(crate) use finding::is_internal;
pub use finding::{
    Cause, Finding, Identity, PORTS_SHOWN, Parties, RECORDS_SHOWN, Rule, SOURCES_SHOWN, Severity,
    Target, Why,
};
pub use history::History;
pub use needs::{Feed, Traffic};
pub use rules_file::{RuleSet, RulesError};
pub use thresholds::{
    AsymmetricPath, Beacon, BlockPublicAccess, BruteForce, DataGap, EastWestReject, EgressVolume,
    HostSweep, PortScan, RejectAnomaly, RejectBurst, RejectedThenAccepted, Rules,
    SensitivePortExposed, SlowScan, Unencrypted,
};
pub use walk::Walk;

use std::collections::BTreeSet;

use crate::record::{Address, WINDOW_SECONDS, WINDOWS_PER_DAY, Window};
use crate::rollup::{Evidence, Rollup, Service, Talker, TalkerKey, is_watched};
use explained::Explained;
use port_scan::Seen;

/// Whom a rules file exempts: rule, source and port.
#[derive(Clone, Copy)]
pub struct Exempt<'a> {
    /// Is never found, and counts for nothing.
    pub allowed: &'a dyn Fn(Rule, &Address, u16) -> bool,
    /// Is found, and nobody is told. A finding about several is of others, if there are any.
    pub silenced: &'a dyn Fn(Rule, &Address, u16) -> bool,
}

impl Exempt<'_> {
    /// Nobody.
    pub const NOBODY: Self = Self { allowed: &|_, _, _| false, silenced: &|_, _, _| false };
}

impl Rules {
    /// How many windows, the one in question included, the rules look at when a window changes.
    pub const LOOKBACK: i64 = 12;
    /// How many windows the rules look at that judge a day.
    pub const DAY: i64 = WINDOWS_PER_DAY;
    /// How many windows [`Rules::evaluate_day`] looks at: a day, from each window of the last two hours.
    pub const DAY_OF_HOUR: i64 = Self::DAY + 2 * Self::LOOKBACK - 1;

    /// What is found in one window of an interface, loudest first. `baseline` is what was usual
    /// before it ([`Baseline::before`]).
    pub fn evaluate(&self, history: &History, baseline: &Baseline, at: Window) -> Vec<Finding> {
        self.evaluate_but(history, baseline, at, Exempt::NOBODY)
    }

    /// The same, without those who are exempt.
    pub fn evaluate_but(
        &self,
        history: &History,
        baseline: &Baseline,
        at: Window,
        exempt: Exempt<'_>,
    ) -> Vec<Finding> {
        if !history.windows.contains_key(&at) {
            return Vec::new();
        }
        let mut findings = self.port_scan.evaluate(history, at);
        findings.extend(self.asymmetric_path.evaluate(history, at));
        // What a scan or refused answers explain is no burst, no anomaly and no forgotten rule of its
        // own; allowed scanners explain as much as others.
        let explained = Explained::by(&findings);
        let burst = self.reject_burst.evaluate(history, baseline, at, &explained);
        if burst.as_ref().is_none_or(|burst| burst.severity == Severity::Recorded) {
            let of_hour = || Explained::of_hour(self, history, at);
            findings
                .extend(self.reject_anomaly.evaluate(history, baseline, at, &explained, of_hour));
        }
        findings.extend(burst);
        findings.extend(self.brute_force.evaluate(history, at));
        findings.extend(self.rejected_then_accepted.evaluate(history, at));
        findings.extend(self.east_west_reject.evaluate(history, at, &explained.scanners, exempt));
        findings.extend(self.sensitive_port_exposed.evaluate(history, at, exempt));
        findings.extend(self.data_gap.evaluate(history, at));
        findings.extend(self.unencrypted.evaluate(history, at));
        findings.extend(self.block_public_access.evaluate(history, at));
        settle(findings, history, at, exempt.allowed)
    }

    /// What is found on one interface over the day that ends with `at`, which may have no record. Meant to be looked
    /// at once an hour, when all of it has [arrived](OPEN).
    pub fn evaluate_day(&self, history: &History, baseline: &Baseline, at: Window) -> Vec<Finding> {
        self.evaluate_day_but(history, baseline, at, Exempt::NOBODY)
    }

    /// The same, without those who are exempt.
    pub fn evaluate_day_but(
        &self,
        history: &History,
        baseline: &Baseline,
        at: Window,
        exempt: Exempt<'_>,
    ) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.slow_scan.evaluate(history, at).into_iter().collect();
        // Every window of the last hour: the day is looked at once an hour.
        for (window, _) in history.last(at, Self::LOOKBACK) {
            findings.extend(self.rejected_then_accepted.evaluate_day(history, *window));
            findings.extend(self.beacon.evaluate(history, *window));
        }
        findings.extend(self.egress(history, baseline, at, exempt));
        settle(findings, history, at, exempt.allowed)
    }

    /// What is sent to those who are not allowed; and if that is about one who is silenced, to the others as well.
    fn egress(
        &self,
        history: &History,
        baseline: &Baseline,
        at: Window,
        exempt: Exempt<'_>,
    ) -> Vec<Finding> {
        let rule = Rule::EgressVolume;
        let allowed = |to: &Address, port| (exempt.allowed)(rule, to, port);
        let silenced = |to: &Address, port| (exempt.silenced)(rule, to, port);
        let mut found = self.egress_volume.evaluate(history, baseline, at, &allowed);
        if found.iter().filter_map(|f| f.source).any(|to| silenced(&to, 0)) {
            let either = |to: &Address, port| allowed(to, port) || silenced(to, 0);
            let others = self.egress_volume.evaluate(history, baseline, at, &either);
            found.retain(|f| f.source.is_some_and(|to| silenced(&to, 0)));
            found.extend(others);
        }
        found
    }

    /// What is found across the interfaces of `scope_id` (a VPC or account) in the hour that ends
    /// with `at`: one history per interface, or one folded from the scope's own partials.
    pub fn evaluate_scope(&self, scope: &[History], scope_id: &str, at: Window) -> Vec<Finding> {
        let mut findings = self.host_sweep.evaluate(scope, scope_id, at);
        findings.extend(self.east_west_reject.evaluate_scope(scope, scope_id, at));
        let known = scope.iter().flat_map(|h| h.last(at, Self::LOOKBACK)).map(|(_, r)| r);
        for rollup in known {
            for finding in &mut findings {
                name(finding, rollup);
            }
        }
        sort(&mut findings);
        findings
    }
}

/// Leaves out what is allowed, names owner and VPC, and sorts.
fn settle(
    mut findings: Vec<Finding>,
    history: &History,
    at: Window,
    allowed: &dyn Fn(Rule, &Address, u16) -> bool,
) -> Vec<Finding> {
    findings.retain(|finding| {
        // Allowed only if each of its ports is.
        !finding.source.is_some_and(|source| {
            let ports = every_port(finding, &source, history);
            ports.iter().all(|port| allowed(finding.rule, &source, *port))
        })
    });
    // The last window may have no record.
    if let Some((_, now)) = history.windows.range(..=at).next_back() {
        for finding in &mut findings {
            name(finding, now);
            finding.about.clone_from(&now.about);
        }
    }
    sort(&mut findings);
    findings
}

/// Every port that a finding is about, of which its evidence shows some; 0 stands for what no port is
/// known of: then only who is allowed everywhere is allowed.
fn every_port(finding: &Finding, source: &Address, history: &History) -> BTreeSet<u16> {
    if let Some(port) = finding.target.and_then(|t| t.port) {
        return BTreeSet::from([port]);
    }
    if finding.evidence.ports.is_empty() {
        return BTreeSet::from([0]);
    }
    let mut ports: BTreeSet<u16> = finding.evidence.ports.iter().copied().collect();
    let windows = (finding.evidence.seconds / WINDOW_SECONDS).max(Rules::LOOKBACK);
    ports.extend(Seen::of(history, finding.window, windows, source).ports());
    let mut tried = history.last(finding.window, windows);
    let cut = |rollup: &Rollup| {
        rollup.rejected_sources.get(source).is_some_and(|s| !s.contacts_complete())
    };
    if tried.any(|(_, rollup)| cut(rollup)) {
        ports.insert(0);
    }
    ports
}

fn name(finding: &mut Finding, rollup: &Rollup) {
    if finding.account_id.is_empty() {
        finding.account_id.clone_from(&rollup.account_id);
    }
    // An account's roll-up knows the first VPC of several.
    if finding.vpc_id.is_empty() && finding.interface_id != rollup.account_id {
        finding.vpc_id.clone_from(&rollup.vpc_id);
    }
}

fn sort(findings: &mut [Finding]) {
    let order = |f: &Finding| (f.rule, f.window, f.source, f.target);
    findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| order(a).cmp(&order(b))));
}

/// Whether a service is the interface's own. Below 1024 none of our connections begins. Above, the
/// port may be the one that ours was given (of a NAT gateway any); but then the talker's port, the
/// lower one, is the remote's: of a service of theirs if it is below 1024, and otherwise perhaps what their client was
/// given. `None` if that cannot be told, or if the list of talkers has no room for the talker that would tell.
pub fn is_own_service(rollup: &Rollup, key: &TalkerKey, service: &Service) -> Option<bool> {
    let cut = rollup.talkers.error() > 0;
    match rollup.talkers.get(key) {
        Some(talker) => Some(cut || !is_copied(service, talker)),
        None if key.port < 1024 => Some(true),
        None if cut => None,
        None => {
            let theirs = |of: &TalkerKey| {
                (of.remote, of.protocol) == (key.remote, key.protocol) && of.port < 1024
            };
            rollup.talkers.iter().any(|(of, _)| theirs(of)).then_some(false)
        }
    }
}

/// Of so many ports that one remote uses with us, none is a service of ours.
const GIVEN: usize = 4;
/// Bytes each way of a connection that was of use.
const USED: u64 = 1_024;

/// Whether a service of the window is the interface's own, as far as that and the hour before tell.
///
/// A NAT gateway gives its connections any port from 1024 on, so a remote whose own port is higher exchanges data with
/// many ports below that, and some day with one that is watched. Clients of a service of ours give no such picture:
/// of two ports the lower one is listed, so none above the service's is, unless they use other services, too.
fn is_own(history: &History, at: Window, key: &TalkerKey, service: &Service) -> bool {
    let Some(now) = history.windows.get(&at) else { return false };
    if is_own_service(now, key, service) != Some(true) {
        return false;
    }
    let others = history.last(at, Rules::LOOKBACK).flat_map(|(_, rollup)| rollup.talkers.iter());
    let others = others.filter(|(of, talker)| {
        (of.remote, of.protocol) == (key.remote, key.protocol)
            && of.port > key.port
            && !is_watched(of.port)
            && talker.bytes_in >= USED
            && talker.bytes_out >= USED
    });
    let others: BTreeSet<u16> = others.map(|(of, _)| of.port).collect();
    key.port < 1024 || others.len() < GIVEN
}

/// Whether a service says no more than the talker: roll-ups copy it for sources that were refused as
/// well, whoever opened the connection. Of a service of our own the short records are counted, and only
/// those that come in; its bytes are the talker's, each way.
fn is_copied(service: &Service, talker: &Talker) -> bool {
    let (ours, whole_of) =
        ((service.bytes_in, service.bytes_out), (talker.bytes_in, talker.bytes_out));
    let part = ours.0 <= whole_of.0 && ours.1 <= whole_of.1 && ours.1 > 0;
    let whole = ours == whole_of && service.flows < talker.records;
    service.short_flows == 0 && part && !whole
}

/// Whole records that show it, the ones that `wanted` picks.
fn shown(rollup: &Rollup, wanted: impl Fn(&Evidence) -> bool) -> Vec<Evidence> {
    rollup.evidence.iter().filter(|row| wanted(row)).take(RECORDS_SHOWN).copied().collect()
}

/// Records of one source over several interfaces and the last hour.
fn shown_of(scope: &[History], at: Window, source: &Address) -> Vec<Evidence> {
    let rollups = scope.iter().flat_map(|h| h.last(at, Rules::LOOKBACK)).map(|(_, r)| r);
    let own = |row: &&Evidence| row.srcaddr.as_ref() == Some(source);
    rollups.flat_map(|r| r.evidence.iter().filter(own)).take(RECORDS_SHOWN).copied().collect()
}

/// Refused records of one source over several interfaces and the last hour.
fn rejected_of(scope: &[History], at: Window, source: &Address) -> u64 {
    let rollups = scope.iter().flat_map(|h| h.last(at, Rules::LOOKBACK)).map(|(_, r)| r);
    total(rollups.filter_map(|r| r.rejected_sources.get(source)).map(|s| s.records))
}

/// A sum of what was counted. Numbers in records are anybody's, and counters stop at the end.
fn total(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

/// The ports that were refused most.
fn ports(rollup: &Rollup) -> Vec<u16> {
    let heaviest = rollup.rejected_ports.heaviest().into_iter();
    heaviest.take(PORTS_SHOWN).map(|(key, _)| key.port).collect()
}

/// A figure for people.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates, and means are not negative"
)]
fn rounded(x: f64) -> u64 {
    x.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::RecordSink as _;
    use crate::record::{Action, Direction, Record};
    use crate::rollup::{Accumulator, Budget, Ranked, Tuple, Verdicts};

    pub(super) fn window(n: i64) -> Window {
        Window::of(1_793_491_200).unwrap().forward(n)
    }

    pub(super) fn roll_up(records: &[Record<'_>]) -> Rollup {
        let mut accumulator = Accumulator::new(Budget::default(), None);
        for record in records {
            accumulator.record(record);
        }
        accumulator.finish().pop().unwrap().pop().unwrap().2
    }

    pub(super) fn record<'a>(
        source: &str,
        srcport: u16,
        host: &str,
        port: u16,
        action: Action,
    ) -> Record<'a> {
        Record {
            interface_id: Some("eni-1"),
            srcaddr: Address::parse(source),
            dstaddr: Address::parse(host),
            srcport: Some(srcport),
            dstport: Some(port),
            protocol: Some(6),
            packets: 1,
            bytes: 40,
            start: Some(window(0).start()),
            end: Some(window(0).start() + 5),
            flow_direction: Some(Direction::Ingress),
            action,
            ..Record::empty()
        }
    }

    /// One rejected record per (source, destination port).
    pub(super) fn rejects(rows: impl Iterator<Item = (String, u16)>) -> Rollup {
        rejects_from_port(50_000, rows)
    }

    pub(super) fn rejects_from_port(
        srcport: u16,
        rows: impl Iterator<Item = (String, u16)>,
    ) -> Rollup {
        let rows: Vec<_> = rows
            .map(|(source, port)| record(&source, srcport, "10.0.0.5", port, Action::Reject))
            .collect();
        roll_up(&rows)
    }

    /// One accepted record per (source, destination port).
    pub(super) fn accepts(rows: impl Iterator<Item = (String, u16)>) -> Rollup {
        let rows: Vec<_> = rows
            .map(|(source, port)| record(&source, 50_000, "10.0.0.5", port, Action::Accept))
            .collect();
        roll_up(&rows)
    }

    /// A roll-up of bytes sent to one public address.
    pub(super) fn sent(remote: &str, bytes: u64) -> Rollup {
        let row = Record {
            flow_direction: Some(Direction::Egress),
            bytes,
            ..record("10.0.0.5", 50_000, remote, 443, Action::Accept)
        };
        roll_up(&[row])
    }

    /// (remote, port, flows, short flows, bytes in, bytes out).
    pub(super) fn services(rows: &[(&str, u16, u64, u64, u64, u64)]) -> Rollup {
        let of =
            |&(remote, port, flows, short_flows, bytes_in, bytes_out): &(&str, _, _, _, _, _)| {
                let remote = Address::parse(remote).unwrap();
                let key = TalkerKey { remote, port, protocol: 6 };
                (key, Service { flows, short_flows, bytes_in, bytes_out })
            };
        let services = Ranked::new(rows.iter().map(of).collect(), 0);
        let talkers = services.iter().map(|(key, s): (&TalkerKey, &Service)| {
            // Records of both directions.
            let (records, bytes_in, bytes_out) = (2 * s.flows, s.bytes_in, s.bytes_out);
            (*key, Talker { records, bytes_in, bytes_out, ..Talker::default() })
        });
        let talkers = Ranked::new(talkers.collect(), 0);
        Rollup { talkers, services, ..Rollup::default() }
    }

    /// (client, port, refused forward, refused back, accepted forward) to 10.0.0.5.
    pub(super) fn tuples(rows: &[(&str, u16, u64, u64, u64)]) -> Rollup {
        let of = |&(client, port, rejected_forward, rejected_back, accepted_forward): &(
            &str,
            _,
            _,
            _,
            _,
        )| {
            let (client, server) =
                (Address::parse(client).unwrap(), Address::parse("10.0.0.5").unwrap());
            let tuple = Tuple { client, server, port, protocol: 6 };
            let verdicts = Verdicts {
                rejected_forward,
                rejected_back,
                accepted_forward,
                ..Verdicts::default()
            };
            (tuple, verdicts)
        };
        let refused = rows.iter().filter(|row| row.2 + row.3 > 0).map(of).collect();
        Rollup { rejected_tuples: Ranked::new(refused, 0), ..Rollup::default() }
    }

    /// One history per host, each refusing the source at these ports in window 0.
    pub(super) fn interfaces(source: &str, hosts: u8, ports: &[u16]) -> Vec<History> {
        (1..=hosts)
            .map(|host| {
                let address = format!("10.0.1.{host}");
                let rows: Vec<_> = ports
                    .iter()
                    .map(|port| record(source, 50_000, &address, *port, Action::Reject))
                    .collect();
                let mut history =
                    History { interface_id: format!("eni-{host}"), ..History::default() };
                history.add(window(0), &roll_up(&rows));
                history
            })
            .collect()
    }

    /// The baseline of an interface whose windows went like this, over and over.
    pub(super) fn known(windows: &[u64]) -> Baseline {
        let mut baseline = Baseline::default();
        for x in windows.iter().cycle().take(300) {
            baseline.rejects.learn(*x, KNOWN, baseline::ALARM, 288);
        }
        baseline
    }

    #[test]
    fn a_scan_is_reported_once_and_not_as_a_burst() {
        let mut history = History { interface_id: "eni-1".to_owned(), ..History::default() };
        history.add(window(0), &rejects((1..=300).map(|p| ("10.1.0.9".to_owned(), p))));
        for baseline in [Baseline::default(), known(&[0, 1])] {
            let findings = Rules::default().evaluate(&history, &baseline, window(0));
            assert_eq!(findings.iter().map(|f| f.rule).collect::<Vec<_>>(), [Rule::PortScan]);
            assert_eq!(findings[0].evidence.value, 65, "a lower bound beyond the exact 64");
        }
    }

    #[test]
    fn what_is_allowed_is_not_found() {
        let mut history = History { interface_id: "eni-1".to_owned(), ..History::default() };
        history.add(window(0), &rejects((1..=300).map(|p| ("10.1.0.9".to_owned(), p))));
        let inventory = Address::parse("10.1.0.9").unwrap();
        let found = Rules::default().evaluate_but(
            &history,
            &Baseline::default(),
            window(0),
            Exempt {
                allowed: &|rule, source, _| rule == Rule::PortScan && *source == inventory,
                ..Exempt::NOBODY
            },
        );
        assert_eq!(found, []);
    }

    #[test]
    fn who_is_allowed_some_ports_is_found_at_the_others() {
        let found = |tried: u16, ports: std::ops::RangeInclusive<u16>| {
            let mut history = History { interface_id: "eni-1".into(), ..History::default() };
            history.add(window(0), &rejects((1..=tried).map(|p| ("10.1.0.9".to_owned(), p))));
            let allowed = |_, _: &Address, port: u16| ports.contains(&port);
            let exempt = Exempt { allowed: &allowed, ..Exempt::NOBODY };
            Rules::default().evaluate_but(&history, &Baseline::default(), window(0), exempt).len()
        };
        // Evidence shows the first sixteen ports.
        assert_eq!(found(40, 1..=16), 1);
        assert_eq!(found(40, 1..=39), 1);
        assert_eq!(found(40, 1..=40), 0);
        // Beyond 64 nobody knows which they were.
        assert_eq!(found(300, 1..=300), 1);
        assert_eq!(found(300, 0..=u16::MAX), 0, "allowed everywhere");
    }

    /// Bytes in records are whatever a stranger or a broken writer puts there.
    #[test]
    fn sums_of_the_largest_numbers_are_large() {
        let mut history = History::default();
        for n in 0..100 {
            history.add(window(n), &sent("198.51.100.1", 900));
        }
        for n in 100..112 {
            history.add(window(n), &sent("203.0.113.7", u64::MAX));
        }
        let found = Rules::default().evaluate_day(&history, &Baseline::default(), window(111));
        assert_eq!(found.iter().map(|f| f.evidence.value).collect::<Vec<_>>(), [u64::MAX]);
        let mut usual = Baseline::default();
        usual.advance(&history, window(111));
        assert!(usual.egress.mean.is_finite());
        let largest = |remote| (remote, 22, 4, 0, u64::MAX, u64::MAX);
        let mut exposed = History::default();
        exposed.add(window(0), &services(&["203.0.113.9", "203.0.113.10"].map(largest)));
        let found = Rules::default().evaluate(&exposed, &Baseline::default(), window(0));
        assert!(found.iter().any(|f| f.evidence.value == u64::MAX), "{found:?}");
        let mut works = History::default();
        for n in 0..5 {
            let mut refused = tuples(&[("10.1.0.9", 8_443, 1, 0, u64::MAX)]);
            let both = |(tuple, verdicts): (&Tuple, &Verdicts)| {
                (*tuple, Verdicts { accepted_back: u64::MAX, ..*verdicts })
            };
            let both = refused.rejected_tuples.iter().map(both).collect();
            refused.rejected_tuples = Ranked::new(both, 0);
            works.add(window(n), &refused);
        }
        assert_eq!(Rules::default().evaluate(&works, &Baseline::default(), window(4)), []);
    }

    #[test]
    fn names_are_unique_and_parse() {
        for rule in Rule::ALL {
            assert_eq!(Rule::parse(rule.name()), Some(rule));
        }
        assert_eq!(Rule::parse("nonsense"), None);
    }
}
