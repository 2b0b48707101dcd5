//! D6 `egress-volume`: in one hour an interface sends far more to the Internet than usual, most of it
//! to addresses that got hardly anything in the 23 hours before.
//!
//! Each busiest hour is told once: of the hours that overlap it those that send no 500 MB to others. Six deviations on
//! a log scale *and* an absolute floor *and* new destinations: each alone fires on backups, releases and new
//! customers. Ranges that may receive much (AWS services, partners) belong on the allow-list; what they get is
//! nobody's exfiltration and hides none. Judged on the schedule, over a day. ATT&CK T1048.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::baseline::{KNOWN_HOURS, to_public};
use super::{Baseline, Cause, EgressVolume, Finding, History, Rule, Severity, Why};
use super::{finding::is_internal, total};
use crate::record::{Address, HOUR_SECONDS, WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window};

/// A destination that gets so many times what it got in the 23 hours before is new.
const MORE: u64 = 10;
/// Windows of which something must be known before a destination can be new.
const MEMORY: i64 = 72;

/// Hours in the part of a day that tells what is new.
const BEFORE: u64 = 23;

/// Whether what an address gets at a port is left out.
type LeftOut<'a> = &'a dyn Fn(&Address, u16) -> bool;

/// What is found in an hour, and what each new destination got in it.
struct Hour {
    finding: Finding,
    fresh: BTreeMap<Address, u64>,
}

impl EgressVolume {
    /// The hours that end with a window of the hour that ends with `at`, the busiest first, but for those that a
    /// busier one tells of, here or in the look an hour ago. What is `left_out` counts for nothing.
    pub(super) fn evaluate(
        &self,
        history: &History,
        baseline: &Baseline,
        at: Window,
        left_out: LeftOut<'_>,
    ) -> Vec<Finding> {
        if !self.enabled {
            return Vec::new();
        }
        let ends = history.last(at, 2 * WINDOWS_PER_HOUR).map(|(end, _)| *end);
        let hours = ends.filter_map(|end| self.evaluate_hour(history, baseline, end, left_out));
        let mut hours: Vec<Hour> = hours.collect();
        hours.sort_by_key(|hour| (Reverse(hour.finding.evidence.value), hour.finding.window));
        // The look an hour ago has told of what was at its height then.
        let is_old = |hour: &Hour| hour.finding.window <= at.back(WINDOWS_PER_HOUR);
        let mut busier: Vec<Hour> = Vec::new();
        let mut told = Vec::new();
        for hour in hours {
            if is_old(&hour) || busier.iter().all(|other| self.is_news(&hour, other)) {
                told.extend((!is_old(&hour)).then(|| hour.finding.clone()));
                busier.push(hour);
            }
        }
        told
    }

    /// Whether an hour sends enough to destinations that a busier one does not tell of.
    fn is_news(&self, hour: &Hour, busier: &Hour) -> bool {
        let got = |address| busier.fresh.get(address).copied().unwrap_or(0);
        let more = hour.fresh.iter().map(|(address, bytes)| bytes.saturating_sub(got(address)));
        total(more) >= self.bytes.max(1)
    }

    fn evaluate_hour(
        &self,
        history: &History,
        baseline: &Baseline,
        at: Window,
        left_out: LeftOut<'_>,
    ) -> Option<Hour> {
        let sent = total(history.last(at, WINDOWS_PER_HOUR).map(|(_, rollup)| to_public(rollup)));
        if sent < self.bytes {
            return None;
        }
        // While the volume is not known, a day's windows must be there to tell what is new.
        let past = history
            .windows
            .range(at.back(WINDOWS_PER_DAY - 1)..at.back(WINDOWS_PER_HOUR - 1))
            .count();
        if i64::try_from(past).unwrap_or(0) < MEMORY {
            return None;
        }
        let now = Destinations::of(history, at.back(WINDOWS_PER_HOUR - 1), at, left_out);
        let before = Destinations::of(
            history,
            at.back(WINDOWS_PER_DAY - 1),
            at.back(WINDOWS_PER_HOUR),
            left_out,
        );
        let sent = sent.saturating_sub(now.left_out);
        if sent < self.bytes {
            return None;
        }
        // What is usual was learned with what is left out, so as much of that as an hour has belongs to it.
        let known = baseline.egress.n >= KNOWN_HOURS;
        let beside = now.left_out.min(before.left_out / BEFORE);
        if known && baseline.egress.sigmas(sent.saturating_add(beside)) <= f64::from(self.sigmas) {
            return None;
        }
        // Whoever only called home before is as new as who never did.
        let is_new = |address: &Address, bytes: &u64| {
            before.bytes.get(address).is_none_or(|before| before.saturating_mul(MORE) < *bytes)
        };
        let mut fresh = now.bytes;
        fresh.retain(|address, bytes| is_new(address, bytes));
        let new = total(fresh.values().copied());
        if new.saturating_mul(100) < sent.saturating_mul(self.new_percent) {
            return None;
        }
        // Whoever got something before is new from when it gets more than in all of that time.
        let mut got: BTreeMap<Address, u64> = BTreeMap::new();
        let since = history.last(at, WINDOWS_PER_HOUR).find_map(|(window, rollup)| {
            let talkers = rollup.talkers.iter().filter(|(key, talker)| {
                talker.bytes_out > 0
                    && fresh.contains_key(&key.remote)
                    && !left_out(&key.remote, key.port)
            });
            let mut is_new = false;
            for (key, talker) in talkers {
                let got = got.entry(key.remote).or_default();
                *got = got.saturating_add(talker.bytes_out);
                is_new |= *got > before.bytes.get(&key.remote).copied().unwrap_or(0);
            }
            is_new.then_some(*window)
        });
        let largest = fresh.iter().max_by_key(|(address, bytes)| (**bytes, Reverse(**address)));
        let now = history.windows.get(&at)?;
        let severity = if known { self.severity } else { self.severity.min(Severity::Notify) };
        let finding = Finding {
            source: largest.map(|(address, _)| *address),
            evidence: Why {
                measure:
                    "bytes to public addresses, most of them to ones that got hardly any before (the largest is named)"
                        .into(),
                value: sent,
                baseline: known.then(|| super::rounded(baseline.egress.usual())),
                threshold: self.bytes,
                seconds: HOUR_SECONDS,
                since: since.filter(|since| *since < at),
                sources: fresh.len() as u64,
                rejected: now.totals().reject.records,
                skipdata: history.skipdata(at, WINDOWS_PER_HOUR),
                ..Why::default()
            },
            ..Finding::new(
                Rule::EgressVolume,
                severity,
                Cause::Exfiltration,
                &history.interface_id,
                at,
            )
        };
        Some(Hour { finding, fresh })
    }
}

/// What public addresses got in a range of windows, as far as listed.
#[derive(Default)]
struct Destinations {
    bytes: BTreeMap<Address, u64>,
    /// Bytes to those that are left out.
    left_out: u64,
}

impl Destinations {
    fn of(history: &History, from: Window, to: Window, left_out: LeftOut<'_>) -> Self {
        let mut all = Self::default();
        for (_, rollup) in history.windows.range(from..=to) {
            for (key, talker) in rollup.talkers.iter() {
                if is_internal(&key.remote) || talker.bytes_out == 0 {
                    continue;
                }
                let bytes = if left_out(&key.remote, key.port) {
                    &mut all.left_out
                } else {
                    all.bytes.entry(key.remote).or_default()
                };
                *bytes = bytes.saturating_add(talker.bytes_out);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{sent, window};
    use super::*;

    fn look(history: &History, baseline: &Baseline, at: i64) -> Vec<Finding> {
        EgressVolume::default().evaluate(history, baseline, window(at), &|_, _| false)
    }

    fn day(remote: &str, bytes: u64, baseline: &Baseline) -> Option<u64> {
        let mut history = History::default();
        for n in 0..200 {
            history.add(window(n), &sent("198.51.100.1", 1_000_000));
        }
        history.add(window(200), &sent(remote, bytes));
        look(&history, baseline, 200).first().map(|found| found.evidence.value)
    }

    fn known() -> Baseline {
        let mut baseline = Baseline::default();
        for n in 0..48 {
            baseline.egress.learn(12_000_000 + n * 10_000, KNOWN_HOURS);
        }
        baseline
    }

    #[test]
    fn much_and_unusual_and_to_somebody_new() {
        assert_eq!(day("203.0.113.7", 600_000_000, &known()), Some(611_000_000));
        assert_eq!(day("203.0.113.7", 400_000_000, &known()), None, "not much");
        assert_eq!(day("198.51.100.1", 600_000_000, &known()), None, "nobody new");
        let mut busy = Baseline::default();
        for n in 0..48 {
            busy.egress.learn(500_000_000 + n * 5_000_000, KNOWN_HOURS);
        }
        assert_eq!(day("203.0.113.7", 600_000_000, &busy), None, "usual here");
        assert!(day("203.0.113.7", 600_000_000, &Baseline::default()).is_some());
    }

    /// The hour is looked at when it is over: its last windows may have no record, and the most may lie across it.
    #[test]
    fn the_busiest_hour_that_ends_in_the_last_one_is_judged() {
        let mut history = History::default();
        for n in 0..200 {
            history.add(window(n), &sent("198.51.100.1", 1_000_000));
        }
        for n in 194..201 {
            history.add(window(n), &sent("203.0.113.7", 90_000_000));
        }
        let found = |at| {
            let found = look(&history, &known(), at);
            found.first().map(|found| (found.window, found.evidence.value))
        };
        assert_eq!(found(198), None, "450 MB by then");
        for at in 200..212 {
            assert_eq!(found(at), Some((window(200), 641_000_000)), "{at}");
        }
        assert_eq!(found(212), None);
    }

    #[test]
    fn it_is_told_since_the_first_window_with_bytes_to_somebody_new() {
        let mut history = History::default();
        for n in 0..200 {
            history.add(window(n), &sent("198.51.100.1", 1_000_000));
        }
        // The allowed one is as new, and counts for nothing.
        for (n, remote, bytes) in
            [(190, PARTNER, 9_000_000), (193, STRANGER, 300_000_000), (198, STRANGER, 300_000_000)]
        {
            history.add(window(n), &sent(remote, bytes));
        }
        let partner = Address::parse(PARTNER).unwrap();
        let found = EgressVolume::default()
            .evaluate(&history, &known(), window(199), &|a, _| *a == partner);
        assert_eq!((found[0].window, found[0].since()), (window(198), window(193)));
        // Who got a little all day is new when it gets more than that.
        let mut home = History::default();
        for n in 0..200 {
            home.add(window(n), &sent(STRANGER, if n == 195 { 900_000_000 } else { 1_000 }));
        }
        let found = look(&home, &known(), 199);
        assert_eq!((found[0].window, found[0].evidence.since), (window(195), None));
        // In one window: no earlier one is known.
        history.windows.remove(&window(193));
        history.add(window(198), &sent(STRANGER, 300_000_000));
        let found = look(&history, &known(), 198);
        assert_eq!((found[0].window, found[0].evidence.since), (window(198), Some(window(190))));
        history.windows.remove(&window(190));
        assert_eq!(look(&history, &known(), 198)[0].evidence.since, None);
    }

    const STRANGER: &str = "203.0.113.7";
    const PARTNER: &str = "192.0.2.10";

    /// Two days with 1 MB a window to one address, and what is sent besides.
    fn days(more: &[(i64, &str, u64)]) -> History {
        let mut history = History { interface_id: "eni-1".to_owned(), ..History::default() };
        for n in 0..400 {
            history.add(window(n), &sent("198.51.100.1", 1_000_000));
        }
        for (n, remote, bytes) in more {
            history.add(window(*n), &sent(remote, *bytes));
        }
        history
    }

    /// Every look, once an hour, as the schedule has them.
    fn looks(history: &History, rules: &str, phase: i64) -> Vec<(Window, String, Severity)> {
        let rules = super::super::RuleSet::parse(rules).unwrap();
        let all =
            (0..33).flat_map(|n| rules.evaluate_day(history, &known(), window(phase + 12 * n)));
        let of = |f: Finding| (f.window, f.source.unwrap().to_string(), f.severity);
        all.filter(|f| f.rule == Rule::EgressVolume).map(of).collect()
    }

    #[test]
    fn what_is_allowed_or_silenced_hides_no_stranger() {
        let both = days(&[(301, STRANGER, 550_000_000), (302, PARTNER, 600_000_000)]);
        let entry =
            |text: &str| format!("{text}rule = \"egress-volume\"\nsource = [\"{PARTNER}\"]\n");
        let allowed = entry("[[allow]]\n");
        let silenced = entry("[[suppress]]\nuntil = 2027-01-01\nreason = \"r\"\n");
        let stranger = (window(301), STRANGER.to_owned(), Severity::Notify);
        let partner = (window(302), PARTNER.to_owned(), Severity::Recorded);
        for phase in 0..12 {
            let found = looks(&both, &allowed, phase);
            assert_eq!(found, std::slice::from_ref(&stranger), "{phase}");
            let found = looks(&both, &silenced, phase);
            assert!(found.contains(&stranger) && found.contains(&partner), "{phase}: {found:?}");
        }
        let alone = days(&[(302, PARTNER, 600_000_000)]);
        assert_eq!(looks(&alone, &allowed, 0), []);
        let only = entry("[[allow]]\nports = [443]\n");
        assert_eq!(looks(&alone, &only, 0), [], "each destination at its port");
        assert_eq!(looks(&alone, &only.replace("443", "80"), 0).len(), 1);
    }

    #[test]
    fn what_is_usually_sent_to_the_allowed_is_part_of_what_is_usual() {
        let mut usual = Baseline::default();
        (0..48).for_each(|_| usual.egress.learn(2_400_000_000, KNOWN_HOURS));
        let found = |stranger: u64| {
            let mut history = days(&[(300, STRANGER, stranger)]);
            for n in 0..400 {
                history.add(window(n), &sent(PARTNER, 200_000_000));
            }
            let partner = Address::parse(PARTNER).unwrap();
            let rule = EgressVolume::default();
            rule.evaluate(&history, &usual, window(300), &|address, _| *address == partner).len()
        };
        assert_eq!((found(600_000_000), found(2_400_000_000)), (0, 1));
    }

    #[test]
    fn a_busier_hour_hides_no_other_destination() {
        for (second, distance) in [(0, 14), (0, 11), (5, 24)] {
            let first = 300 + second;
            let sent =
                days(&[(first, PARTNER, 2_000_000_000), (first + distance, STRANGER, 600_000_000)]);
            for phase in 0..12 {
                let found = looks(&sent, "", phase);
                // Nearer than an hour they are told together, by the larger one.
                let told = |who: &str| found.iter().filter(|(_, of, _)| of == who).count();
                assert_eq!(told(STRANGER), usize::from(distance >= 12), "{phase}: {found:?}");
                assert!((1..=2).contains(&told(PARTNER)), "{phase}: {found:?}");
            }
        }
    }

    #[test]
    fn who_only_called_home_is_new() {
        let mut history = History::default();
        for n in 0..200 {
            history.add(window(n), &sent("198.51.100.1", 1_000_000));
        }
        let to = "203.0.113.7";
        history.add(window(170), &sent(to, 40));
        history.add(window(200), &sent(to, 600_000_000));
        assert_eq!(look(&history, &known(), 200).len(), 1);
        history.add(window(171), &sent(to, 70_000_000));
        assert_eq!(look(&history, &known(), 200), []);
    }

    #[test]
    fn idle_hours_are_no_excuse() {
        let mut history = History::default();
        let mut usual = Baseline::default();
        for n in 0..600 {
            let idle = n / 12 % 2 == 0;
            history.add(window(n), &sent("198.51.100.1", if idle { 0 } else { 1_000_000 }));
        }
        history.add(window(600), &sent("203.0.113.7", 600_000_000));
        usual.advance(&history, window(599));
        let found = look(&history, &usual, 600);
        assert_eq!(found.first().map(|found| found.severity), Some(Severity::Notify));
    }

    #[test]
    fn without_a_past_nothing_is_new() {
        let mut history = History::default();
        history.add(window(0), &sent("203.0.113.7", 900_000_000));
        assert_eq!(look(&history, &known(), 0), []);
    }
}
