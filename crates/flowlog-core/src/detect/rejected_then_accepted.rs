//! D5 `rejected-then-accepted`: a source that was refused at many doors of an interface is let in at
//! another one, and gets an answer.
//!
//! Refused at ten (host, port) pairs within the hour, or a slow scanner over the day, and then
//! accepted with bytes both ways. Ports that are meant for everybody (80, 443, and whatever five
//! other public addresses use in the same hour) say nothing: a scanner finds those too. Nor does a
//! door that it used before in that time: a host of ours that scans goes on with its own work. What
//! it goes on with after the first time keeps the alert open. ATT&CK T1190, T1133; no neighbour has it.
//!
//! Roll-ups tell whose a port is where it is watched. Of another one, which the source was not refused
//! at, a connection of ours to it may be all there is: that is less loud.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::port_scan::Seen;
use super::slow_scan;
use super::{Cause, Finding, History, RejectedThenAccepted, Rule, Rules, Severity, Target, Why};
use super::{finding::is_internal, is_copied, shown};
use crate::record::{Address, WINDOW_SECONDS, WINDOWS_PER_DAY, Window};
use crate::rollup::{Contact, Rollup, TalkerKey, is_watched};

/// Where everybody is welcome.
const PUBLIC: [u16; 3] = [80, 443, 53];
/// As many public addresses on a port make it one that is meant for everybody.
const CROWD: usize = 5;

impl RejectedThenAccepted {
    /// The window `at` against the hour before it.
    pub(super) fn evaluate(&self, history: &History, at: Window) -> Vec<Finding> {
        let flagged =
            |source: &Address| u64::from(Seen::of(history, at, Rules::LOOKBACK, source).count());
        self.judge(history, at, u64::from(self.contacts), Rules::LOOKBACK, flagged)
    }

    /// The window `at` against the slow scanners of the day before it.
    pub(super) fn evaluate_day(&self, history: &History, at: Window) -> Vec<Finding> {
        // Most of those who are let in were never refused: the day is walked through for the others.
        let scanners = OnceCell::new();
        let refused = |source: &Address| {
            let mut day = history.last(at, WINDOWS_PER_DAY);
            day.any(|(_, rollup)| rollup.rejected_sources.get(source).is_some())
        };
        let flagged = |source: &Address| {
            if !refused(source) {
                return 0;
            }
            let scanners = scanners.get_or_init(|| slow_scan::scanners(history, at));
            scanners.get(source).map_or(0, |s| s.contacts.len() as u64)
        };
        self.judge(history, at, 4, WINDOWS_PER_DAY, flagged)
    }

    fn judge(
        &self,
        history: &History,
        at: Window,
        needed: u64,
        windows: i64,
        flagged: impl Fn(&Address) -> u64,
    ) -> Vec<Finding> {
        let Some(now) = history.windows.get(&at) else { return Vec::new() };
        if !self.enabled {
            return Vec::new();
        }
        let crowds = OnceCell::new();
        let is_crowded = |port: &u16| crowds.get_or_init(|| crowded(history, at)).contains(port);
        let mut findings: Vec<Finding> = Vec::new();
        for (door, (bytes_in, bytes_out)) in exchanged(now) {
            let (source, port) = (door.remote, door.port);
            if PUBLIC.contains(&port) || bytes_in == 0 || bytes_out < self.bytes {
                continue;
            }
            let value = flagged(&source);
            if value < needed || (!is_internal(&source) && is_crowded(&port)) {
                continue;
            }
            let before = history.last(at.back(1), windows - 1);
            let known = before.into_iter().any(|(_, r)| exchanged(r).contains_key(&door));
            let seen = Seen::of(history, at, windows, &source);
            let tried = |c: &Contact| (c.port, c.protocol) == (port, door.protocol);
            let ours = is_watched(port) || seen.contacts.iter().any(tried);
            let severity = match (known, ours) {
                (true, _) => Severity::Recorded,
                (false, true) => self.severity,
                (false, false) => self.severity.min(Severity::Notify),
            };
            let target = Some(Target { host: None, port: Some(port) });
            // By two protocols it is one door all the same.
            if let Some(same) =
                findings.iter_mut().find(|f| (f.source, f.target) == (Some(source), target))
            {
                same.severity = same.severity.max(severity);
                continue;
            }
            findings.push(Finding {
                source: Some(source),
                target,
                evidence: Why {
                    measure: "doors that refused it before one let it in".into(),
                    value,
                    threshold: needed,
                    seconds: windows * WINDOW_SECONDS,
                    sources: 1,
                    ports: vec![port],
                    rejected: seen.rejected,
                    skipdata: history.skipdata(at, windows),
                    records: evidence(history, at, &source),
                    ..Why::default()
                },
                ..Finding::new(
                    Rule::RejectedThenAccepted,
                    severity,
                    Cause::WayIn,
                    &history.interface_id,
                    at,
                )
            });
        }
        findings
    }
}

/// What each remote exchanged on each port by each protocol: bytes in and out. Of a watched port the
/// services say that it is the interface's own, unless they only repeat the talker; a talker's may be
/// the one that a connection of ours goes to.
fn exchanged(rollup: &Rollup) -> BTreeMap<TalkerKey, (u64, u64)> {
    let mut exchanged = BTreeMap::new();
    for (key, talker) in rollup.talkers.iter().filter(|(key, _)| !is_watched(key.port)) {
        exchanged.insert(*key, (talker.bytes_in, talker.bytes_out));
    }
    for (key, service) in rollup.services.iter() {
        let copied = rollup.talkers.get(key).is_some_and(|talker| is_copied(service, talker));
        if !(is_watched(key.port) && copied && rollup.talkers.error() == 0) {
            exchanged.insert(*key, (service.bytes_in, service.bytes_out));
        }
    }
    exchanged
}

/// Ports of the interface that many public addresses used in the last hour.
fn crowded(history: &History, at: Window) -> BTreeSet<u16> {
    let mut users: BTreeMap<u16, BTreeSet<Address>> = BTreeMap::new();
    for (_, rollup) in history.last(at, Rules::LOOKBACK) {
        let keys =
            rollup.talkers.iter().map(|(k, _)| k).chain(rollup.services.iter().map(|(k, _)| k));
        for key in keys.filter(|key| !is_internal(&key.remote)) {
            users.entry(key.port).or_default().insert(key.remote);
        }
    }
    users.retain(|_, remotes| remotes.len() > CROWD);
    users.into_keys().collect()
}

/// Records of the source's refusals, from the last window that kept some.
fn evidence(history: &History, at: Window, source: &Address) -> Vec<crate::rollup::Evidence> {
    let windows: Vec<&Rollup> = history.last(at, WINDOWS_PER_DAY).map(|(_, r)| r).collect();
    let shown = |rollup: &&Rollup| shown(rollup, |row| row.srcaddr.as_ref() == Some(source));
    windows.iter().rev().map(shown).find(|rows| !rows.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{record, rejects, roll_up, services, window};
    use super::*;
    use crate::record::{Action, Direction, Record};

    const STRANGER: &str = "203.0.113.9";

    fn find(
        refused: std::ops::Range<u16>,
        accepted: &[(&str, u16, u64, u64, u64, u64)],
    ) -> Vec<Severity> {
        let mut history = History::default();
        history.add(window(0), &rejects(refused.map(|p| (STRANGER.to_owned(), p))));
        history.add(window(1), &services(accepted));
        let found = RejectedThenAccepted::default().evaluate(&history, window(1));
        found.iter().map(|f| f.severity).collect()
    }

    #[test]
    fn ten_doors_refused_then_one_open() {
        let ssh = [(STRANGER, 22, 6, 6, 5_000, 5_000)];
        assert_eq!(find(100..110, &ssh), [Severity::High]);
        assert_eq!(find(100..109, &ssh), []);
        assert_eq!(
            find(100..110, &[("203.0.113.8", 22, 6, 6, 5_000, 5_000)]),
            [],
            "another source"
        );
        assert_eq!(find(100..110, &[(STRANGER, 22, 6, 6, 5_000, 500)]), [], "hardly an answer");
        assert_eq!(find(100..110, &[(STRANGER, 443, 6, 6, 5_000, 5_000)]), [], "for everybody");
    }

    /// Twenty doors refused, and a session with a port of ours or of theirs.
    fn severities(ours: bool, port: u16, protocol: u8, more: &[Record<'_>]) -> Vec<Severity> {
        let rows = [probes(), session(ours, port, protocol, 500), more.to_vec()].concat();
        let mut history = History::default();
        history.add(window(0), &roll_up(&rows));
        let found = RejectedThenAccepted::default().evaluate(&history, window(0));
        found.iter().map(|f| f.severity).collect()
    }

    #[test]
    fn a_packet_by_another_protocol_hides_nothing() {
        for port in [22, 8_080] {
            let stray = Record {
                protocol: Some(17),
                ..record("10.1.0.9", 50_000, "10.0.0.5", port, Action::Accept)
            };
            assert_eq!(severities(true, port, 6, &[stray]).len(), 1, "port {port}");
            // Exchanged by both it is one door.
            assert_eq!(severities(true, port, 6, &session(true, port, 17, 500)).len(), 1);
        }
    }

    #[test]
    fn whose_a_port_is_cannot_be_told_of_every_port() {
        assert_eq!(severities(true, 22, 6, &[]), [Severity::High]);
        assert_eq!(severities(false, 22, 6, &[]), [], "we went to it");
        for ours in [true, false] {
            assert_eq!(severities(ours, 9_091, 6, &[]), [Severity::Notify]);
        }
        let refused = record("10.1.0.9", 50_000, "10.0.0.5", 9_091, Action::Reject);
        assert_eq!(severities(true, 9_091, 6, &[refused]), [Severity::High], "it wanted that one");
    }

    #[test]
    fn a_port_that_many_strangers_use_is_no_way_in() {
        let others: Vec<String> = (1..=5).map(|n| format!("198.51.100.{n}")).collect();
        let mut accepted = vec![(STRANGER, 2_222, 6, 6, 5_000, 5_000)];
        assert_eq!(find(100..110, &accepted), [Severity::Notify]);
        accepted.extend(others.iter().map(|o| (o.as_str(), 2_222, 6, 6, 5_000, 5_000)));
        assert_eq!(find(100..110, &accepted), []);
    }

    #[test]
    fn a_door_that_was_used_before_is_no_way_in() {
        let host = "10.1.0.9";
        let work = services(&[(host, 5_432, 6, 0, 50_000, 50_000)]);
        let mut history = History::default();
        for at in [0, 5, 9, 13] {
            history.add(window(at), &work);
        }
        history.add(window(4), &rejects((100..120).map(|p| (host.to_owned(), p))));
        let found = |at| RejectedThenAccepted::default().evaluate(&history, window(at));
        for at in [5, 9, 13] {
            let severities: Vec<Severity> = found(at).iter().map(|f| f.severity).collect();
            assert_eq!(severities, [Severity::Recorded], "window {at}");
        }
        history.windows.remove(&window(0));
        assert_eq!(RejectedThenAccepted::default().evaluate(&history, window(5)).len(), 1);
        let first = RejectedThenAccepted::default().evaluate(&history, window(5));
        assert_eq!(first[0].severity, Severity::High, "the first time");
    }

    #[test]
    fn a_connection_of_ours_to_a_watched_port_is_no_way_in() {
        let mut history = History::default();
        history.add(window(0), &rejects((100..120).map(|p| ("10.1.0.9".to_owned(), p))));
        let mut ours = services(&[("10.1.0.9", 22, 6, 0, 50_000, 50_000)]);
        history.add(window(1), &ours);
        let rule = RejectedThenAccepted::default();
        assert_eq!(rule.evaluate(&history, window(1)).len(), 1, "it came to us");
        ours.services = crate::rollup::Ranked::default();
        history.windows.remove(&window(1));
        history.add(window(1), &ours);
        assert_eq!(rule.evaluate(&history, window(1)), [], "we went to it");
    }

    /// A host of ours is refused at twenty ports.
    fn probes() -> Vec<Record<'static>> {
        let probe = |port| record("10.1.0.9", 50_000, "10.0.0.5", port, Action::Reject);
        (100..120).map(probe).collect()
    }

    /// The same host's session with a port of ours, or ours with a port of its own.
    fn session(ours: bool, port: u16, protocol: u8, packets: u64) -> Vec<Record<'static>> {
        let (host, own) = ("10.1.0.9", "10.0.0.5");
        let (sport, dport) = if ours { (50_000, port) } else { (port, 50_000) };
        let session = [
            (host, sport, own, dport, Direction::Ingress),
            (own, dport, host, sport, Direction::Egress),
        ];
        let row = |(from, srcport, to, dstport, flow_direction)| Record {
            packets,
            bytes: 50_000,
            protocol: Some(protocol),
            flow_direction: Some(flow_direction),
            ..record(from, srcport, to, dstport, Action::Accept)
        };
        session.map(row).to_vec()
    }

    /// A window in which a host is refused at twenty ports of ours, and has a session with us: to our
    /// port 22 or to its own.
    fn probed_and(session_is_theirs: bool, packets: u64) -> Rollup {
        roll_up(&[probes(), session(session_is_theirs, 22, 6, packets)].concat())
    }

    #[test]
    fn nor_is_one_to_a_host_that_probes_us_meanwhile() {
        let found = |parts: &[Rollup]| {
            let mut history = History::default();
            for part in parts {
                history.add(window(0), part);
            }
            RejectedThenAccepted::default().evaluate(&history, window(0)).len()
        };
        for packets in [3, 500] {
            assert_eq!(found(&[probed_and(true, packets)]), 1, "it came to us");
            assert_eq!(found(&[probed_and(false, packets)]), 0, "we went to it");
        }
        // The same session in a delivery without refusals: it is not copied there.
        let mut rest = probed_and(false, 500);
        rest.services = crate::rollup::Ranked::default();
        rest.rejected_sources = crate::rollup::Ranked::default();
        assert_eq!(found(&[probed_and(false, 500), rest]), 0);
        // Where the list of talkers is cut, nobody can tell.
        let mut cut = probed_and(false, 500);
        let talkers = cut.talkers.iter().map(|(key, talker)| (*key, *talker)).collect();
        cut.talkers = crate::rollup::Ranked::new(talkers, 1);
        assert_eq!(found(&[cut]), 1);
    }

    #[test]
    fn a_slow_scanner_is_remembered_for_a_day() {
        let mut history = History::default();
        for (n, port) in [(0, 23), (60, 25), (120, 110), (180, 143)] {
            history.add(window(n), &rejects(std::iter::once((STRANGER.to_owned(), port))));
        }
        history.add(window(200), &services(&[(STRANGER, 22, 6, 6, 5_000, 5_000)]));
        let rule = RejectedThenAccepted::default();
        assert_eq!(rule.evaluate(&history, window(200)), []);
        assert_eq!(rule.evaluate_day(&history, window(200)).len(), 1);
    }
}
