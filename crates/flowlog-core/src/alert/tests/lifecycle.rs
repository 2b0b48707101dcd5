//! The lifecycle of one alert: what is told, when, and when it is over.

use std::collections::BTreeSet;

use super::*;
use crate::detect::{Baseline, Known, OPEN, RuleSet, Target};
use crate::record::Address;

#[test]
fn told_once_held_within_the_cooldown_and_updated_ever_less_often() {
    let desk = Desk::new();
    let mut told = Vec::new();
    // A whole day of the same burst, each window delivered twice.
    for n in 0..288 {
        for _ in 0..2 {
            if let Raised::Sent(seq) = desk.raise(&burst(Severity::Notify, n)) {
                told.push((seq, n));
            }
        }
    }
    // After 1, 2, 4, 8 hours.
    assert_eq!(told, [(1, 0), (2, 12), (3, 36), (4, 84), (5, 180)]);
    assert!(desk.inbox.subjects()[1].ends_with("(update)"));
    let text = desk.inbox.0.borrow()[1].text.clone();
    assert!(
        text.contains("message 2 of an alert that goes on; it showed in 13 five-minute windows")
    );
    assert!(
        text.contains("Since      2026-11-01 00:00 UTC (latest: 2026-11-01 01:00 UTC)"),
        "{text}"
    );
}

#[test]
fn louder_is_told_at_once_and_quieter_is_not() {
    let desk = Desk::new();
    assert_eq!(desk.raise(&burst(Severity::Digest, 0)), Raised::Noted);
    assert_eq!(desk.raise(&burst(Severity::Notify, 0)), Raised::Sent(1), "more records came");
    assert_eq!(desk.raise(&burst(Severity::High, 1)), Raised::Sent(2));
    assert_eq!(desk.raise(&burst(Severity::High, 1)), Raised::Held);
    assert_eq!(desk.raise(&burst(Severity::Notify, 2)), Raised::Held);
    assert_eq!(desk.raise(&burst(Severity::Recorded, 3)), Raised::Held);
    assert_eq!(desk.inbox.subjects()[1], "flowlog HIGH: reject-burst on eni-1 (update)");
}

#[test]
fn what_was_held_back_mutes_nothing_louder() {
    let desk = Desk::new();
    for n in 0..15 {
        desk.raise(&finding(Rule::RejectBurst, Severity::Notify, &format!("eni-{n}"), 0));
    }
    let scan = |severity, at| finding(Rule::PortScan, severity, "eni-x", at);
    assert_eq!(desk.raise(&scan(Severity::Notify, 0)), Raised::OverBudget);
    assert_eq!(desk.raise(&scan(Severity::Notify, 1)), Raised::Noted, "no louder");
    assert_eq!(desk.raise(&scan(Severity::High, 1)), Raised::Sent(2), "of what is kept for high");
    assert_eq!(desk.raise(&scan(Severity::High, 2)), Raised::Held);
    // One that is held back itself waits for the next hour, however often it comes.
    for n in 0..4 {
        desk.raise(&finding(Rule::PortScan, Severity::High, &format!("eni-{n}"), 2));
    }
    let other = |at| finding(Rule::HostSweep, Severity::High, "vpc-1", at);
    assert_eq!(desk.raise(&other(3)), Raised::OverBudget);
    assert_eq!(desk.raise(&other(4)), Raised::Noted);
    assert_eq!(desk.raise(&other(11)), Raised::Sent(2));
}

#[test]
fn nor_does_a_quieter_episode_that_is_over() {
    let desk = Desk::new();
    // Told five times in fifteen hours; the next time would be sixteen hours later.
    for n in 0..181 {
        desk.raise(&burst(Severity::Notify, n));
    }
    assert_eq!(desk.sweep(window(200).end()).resolved, 1);
    assert_eq!(desk.raise(&burst(Severity::Notify, 201)), Raised::Noted, "the cooldown holds");
    assert_eq!(desk.raise(&burst(Severity::High, 202)), Raised::Sent(6));
    assert_eq!(desk.raise(&burst(Severity::High, 203)), Raised::Held);
    // As loud as what was told last: it waits.
    assert_eq!(desk.sweep(window(209).end()).resolved, 1);
    assert_eq!(desk.raise(&burst(Severity::High, 210)), Raised::Noted);
}

/// An older binary reads past what it does not know, and writes without it.
#[test]
fn state_without_the_later_fields_is_read() {
    let desk = Desk::new();
    desk.raise(&burst(Severity::Notify, 0));
    desk.raise(&finding(Rule::SlowScan, Severity::Digest, "eni-2", 0));
    for (rule, louder) in [("reject-burst", Severity::High), ("slow-scan", Severity::Notify)] {
        let item = now(desk.store.states(rule)).unwrap().remove(0);
        let mut older: serde_json::Value = serde_json::from_str(&item.body).unwrap();
        for field in ["claimed", "noted_before", "news_before"] {
            assert!(older.as_object_mut().unwrap().remove(field).is_some(), "{field}");
        }
        let why = older["finding"]["evidence"].as_object_mut().unwrap();
        assert!(why.remove("since").is_some());
        let older = StateItem { body: older.to_string(), version: item.version + 1, ..item };
        assert!(now(desk.store.swap_state(&older, Some(item.version))).unwrap());
        let mut next = older.read::<Alert>().unwrap().finding;
        assert_eq!(desk.raise(&next), Raised::Held, "the same once more");
        next.severity = louder;
        assert!(matches!(desk.raise(&next), Raised::Sent(_)), "{rule}");
    }
}

/// A day is looked at up to an hour after something showed in it, and again an hour later.
#[test]
fn an_alert_is_of_the_time_when_it_showed() {
    let desk = Desk::new();
    let mut scan = finding(Rule::SlowScan, Severity::Digest, "eni-2", 7);
    scan.evidence.since = Some(window(6));
    assert_eq!(desk.raise_at(&scan, window(15).end()), Raised::Noted);
    let stored = || {
        let alert: Alert = now(desk.store.states("slow-scan")).unwrap()[0].read().unwrap();
        (alert.since, alert.last, alert.windows)
    };
    assert_eq!(stored(), (window(6), window(7), 1));
    assert_eq!(desk.raise_at(&scan, window(18).end()), Raised::Held, "the same once more");
    assert_eq!(stored(), (window(6), window(7), 1));
}

/// The messages, by the hour, of what rules find that look at an interface once an hour: all the time for 30 hours, in
/// windows that ended 15 to 70 minutes before the look.
fn hours_of_messages(rule: Rule, looks_that_find: impl Fn(i64) -> bool) -> (Vec<i64>, bool) {
    let (desk, mut hours) = (Desk::new(), Vec::new());
    for run in 0..30 * 12 {
        let at = window(run).end();
        if run % 12 == 0 && looks_that_find(run / 12) {
            let found = finding(rule, Severity::Notify, "eni-1", run - 3 - (run * 7 / 12) % 12);
            if let Raised::Sent(_) = desk.raise_at(&found, at) {
                hours.push(run / 12);
            }
        }
        desk.sweep(at);
    }
    let stored = now(desk.store.states(rule.name())).unwrap();
    (hours, stored[0].read::<Alert>().unwrap().open)
}

#[test]
fn what_is_looked_at_once_an_hour_is_one_alert_that_goes_on() {
    for rule in [Rule::SlowScan, Rule::RejectedThenAccepted, Rule::Beacon, Rule::EgressVolume] {
        assert_eq!(hours_of_messages(rule, |_| true), (vec![0, 1, 3, 7, 15], true), "{rule}");
        assert_eq!(hours_of_messages(rule, |hour| hour < 2), (vec![0, 1], false), "{rule}");
    }
    // A volume that hardly changes is found at every second look, or at every third.
    let seldom = hours_of_messages(Rule::EgressVolume, |hour| hour % 3 == 0);
    assert_eq!(seldom, (vec![0, 3, 6, 12, 21], true));
}

/// Two interfaces of each VPC, heard up to the window before `silent` and from `back` on, looked at every five minutes
/// for ten hours: the run and the subject of each message, and in how many runs an alert was open.
fn messages_of_silence(vpcs: u8, silent: i64, back: i64) -> (Vec<(i64, String)>, i64) {
    let (desk, rules) = (Desk::new(), RuleSet::default());
    let (mut told, mut open) = (Vec::new(), 0);
    for run in 0..120 {
        let last = if run < back { run.min(silent - 1) } else { run };
        let known = |n: u8| Known {
            interface_id: format!("eni-{n}"),
            vpc_id: format!("vpc-{}", n / 2),
            account_id: "123456789012".to_owned(),
            baseline: Baseline {
                last: Some(window(last).back(OPEN)),
                streak: 40,
                ..Baseline::default()
            },
            authority: 0,
        };
        let known: Vec<Known> = (0..2 * vpcs).map(known).collect();
        let at = window(run).end();
        for found in rules.evaluate_silence(&known, at) {
            desk.raise_at(&found, at);
        }
        open += i64::from(desk.sweep(at).open > 0);
        let sent = desk.inbox.0.take();
        told.extend(sent.into_iter().map(|message| (run, message.subject)));
    }
    (told, open)
}

#[test]
fn a_silence_goes_on_and_is_updated_until_records_come_back() {
    // Silent from the third hour to the ninth.
    let (told, open) = messages_of_silence(1, 24, 96);
    let runs: Vec<i64> = told.iter().map(|(run, _)| *run).collect();
    assert_eq!(runs, [29, 41, 65], "after half an hour, and one and two hours later: {told:?}");
    assert_eq!(told[1].1, "flowlog NOTIFY: data-gap on vpc-0 (update)");
    assert_eq!(open, 96 + 5 - 29, "over half an hour after the last window without records");
}

#[test]
fn a_silence_that_the_budget_held_back_is_told_in_the_next_hour() {
    let (told, _) = messages_of_silence(18, 24, 96);
    let alerts = |runs: std::ops::Range<i64>| -> BTreeSet<&str> {
        let of = told
            .iter()
            .filter(|(run, subject)| runs.contains(run) && subject.starts_with("flowlog NOTIFY"));
        of.map(|(_, subject)| subject.trim_end_matches(" (update)")).collect()
    };
    assert_eq!((alerts(24..35).len(), alerts(24..48).len()), (15, 18), "{told:?}");
}

/// An instance that ends is silent for a day: one digest names it, and is not sent again for it.
#[test]
fn a_silence_for_the_digest_is_noted_once() {
    let (desk, mut digests) = (Desk::new(), 0);
    for run in 6..144 {
        let mut silence = finding(Rule::DataGap, Severity::Digest, "eni-1", run);
        silence.evidence.since = Some(window(0));
        desk.raise(&silence);
        digests += desk.sweep(window(run).end() + 61).digested;
    }
    let alert: Alert = now(desk.store.states("data-gap")).unwrap()[0].read().unwrap();
    assert_eq!((digests, alert.open, alert.since), (1, true, window(0)));
}

#[test]
fn over_after_three_quiet_windows_and_then_a_new_episode() {
    let desk = Desk::new();
    assert_eq!(desk.raise(&burst(Severity::Recorded, 0)), Raised::Recorded, "nothing is open");
    desk.raise(&burst(Severity::Notify, 0));
    // Half a burst keeps it open.
    desk.raise(&burst(Severity::Recorded, 5));
    assert_eq!(desk.sweep(window(10).end()).resolved, 0);
    assert_eq!(desk.sweep(window(11).end()), Swept { resolved: 1, ..Swept::default() });
    assert_eq!(desk.sweep(window(12).end()), Swept::default());
    // Within the cooldown a new episode is only noted; after it, it is told, and is no update.
    assert_eq!(desk.raise_at(&burst(Severity::Notify, 12), window(11).end()), Raised::Noted);
    assert_eq!(desk.raise(&burst(Severity::Notify, 13)), Raised::Sent(2));
    assert_eq!(desk.inbox.subjects()[1], "flowlog NOTIFY: reject-burst on eni-1");
    let text = desk.inbox.0.borrow()[1].text.clone();
    assert!(text.contains("Since      2026-11-01 01:00 UTC"), "{text}");
}

#[test]
fn late_windows_wake_nobody() {
    let desk = Desk::new();
    let old = burst(Severity::High, 0);
    assert_eq!(desk.raise_at(&old, old.window.end() + 5_401), Raised::Noted);
    assert_eq!(desk.raise_at(&burst(Severity::High, 1), window(1).end() + 5_400), Raised::Sent(1));
}

#[test]
fn redelivery_of_old_windows_tells_nobody() {
    let desk = Desk::new();
    for n in 0..6 {
        desk.raise(&burst(Severity::Notify, n));
    }
    let later = window(5).end() + 3_500;
    for n in 0..6 {
        assert_eq!(desk.raise_at(&burst(Severity::Notify, n), later), Raised::Held, "{n}");
    }
}

#[test]
fn no_key_holds_an_address_and_two_flow_logs_make_one_alert() {
    let mut scan = finding(Rule::PortScan, Severity::Notify, "eni-1", 0);
    scan.source = Address::parse("10.1.0.9");
    let key = AlertKey::of(&scan);
    assert!(key.subject.starts_with("eni-1#") && key.subject.len() == 10, "{key}");
    assert_eq!(AlertKey::of(&scan), key);
    scan.account_id = "123456789012".to_owned();
    let everywhere = AlertKey::of(&scan);
    scan.interface_id = "eni-2".to_owned();
    assert_eq!(AlertKey::of(&scan), everywhere, "one scanner of ours is one alert");
    assert!(everywhere.subject.starts_with("123456789012#"), "{everywhere}");
    scan.interface_id = "eni-1".to_owned();
    scan.source = Address::parse("203.0.113.9");
    assert_eq!(AlertKey::of(&scan).subject, "eni-1", "strangers share one");
    scan.target = Some(Target { host: None, port: Some(22) });
    assert_eq!(AlertKey::of(&scan).subject, "eni-1#p22");
    let of_server = |host| {
        let target = Some(Target { host: Address::parse(host), port: Some(443) });
        AlertKey::of(&Finding { source: None, target, ..scan.clone() }).subject
    };
    assert!(of_server("10.0.0.5").len() == 10 && of_server("10.0.0.5") != of_server("10.0.0.6"));
    let subjects: BTreeSet<String> = (0..=255_u8)
        .flat_map(|a| (0..=255_u8).map(move |b| (a, b)))
        .map(|(a, b)| {
            scan.source = Address::parse(&format!("10.1.{a}.{b}"));
            AlertKey::of(&scan).subject
        })
        .collect();
    // Few of so many share a slot: two that did were one alert, and only the first of them was told.
    assert!((35_000..45_000).contains(&subjects.len()), "{}", subjects.len());
    assert!(subjects.iter().all(|s| s.len() == 17), "bounded, however many sources there are");
    scan.account_id.clear();
    scan.interface_id = "eni\r\n#x".to_owned();
    assert!(AlertKey::of(&scan).subject.starts_with("eni---x#"));
}

/// These two were in one of 256 slots.
#[test]
fn a_way_in_is_told_beside_another_one() {
    let desk = Desk::new();
    let way_in = |source: &str, port, at| Finding {
        source: Address::parse(source),
        target: Some(Target { host: None, port: Some(port) }),
        ..finding(Rule::RejectedThenAccepted, Severity::High, "eni-0a1", at)
    };
    assert_eq!(desk.raise(&way_in("10.0.7.2", 3_389, 0)), Raised::Sent(1));
    assert_eq!(desk.raise(&way_in("10.0.7.5", 22, 3)), Raised::Sent(1));
    assert_eq!(now(desk.store.states("rejected-then-accepted")).unwrap().len(), 2);
}
