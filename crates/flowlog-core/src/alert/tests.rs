//! The lifecycle: what is told, when, and what every crash leaves behind.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::detect::{Baseline, Cause, Known, OPEN, Rule, RuleSet, Target, Why};
use crate::record::{Address, Window};
use crate::store::memory::MemoryStore;

const START: i64 = 1_793_491_200;

/// Polls a future that never waits.
pub(super) fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the memory store made somebody wait"),
    }
}

fn window(n: i64) -> Window {
    Window::of(START).unwrap().forward(n)
}

pub(super) fn finding(rule: Rule, severity: Severity, interface: &str, at: i64) -> Finding {
    Finding {
        source: None,
        evidence: Why {
            measure: "rejected records".into(),
            value: 300,
            threshold: 200,
            seconds: 300,
            sources: 40,
            rejected: 310,
            ..Why::default()
        },
        ..Finding::new(rule, severity, Cause::FloodOrChangedRule, interface, window(at))
    }
}

fn burst(severity: Severity, at: i64) -> Finding {
    finding(Rule::RejectBurst, severity, "eni-1", at)
}

#[derive(Default)]
pub(super) struct Inbox(pub(super) RefCell<Vec<Notification>>);

impl Inbox {
    fn subjects(&self) -> Vec<String> {
        self.0.borrow().iter().map(|n| n.subject.clone()).collect()
    }

    fn count(&self) -> usize {
        self.0.borrow().len()
    }
}

impl Notifier for Inbox {
    async fn publish(&self, notification: &Notification) -> Result<(), NotifyError> {
        self.0.borrow_mut().push(notification.clone());
        Ok(())
    }
}

pub(super) struct Desk {
    pub(super) store: MemoryStore,
    pub(super) inbox: Inbox,
    pub(super) policy: Policy,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self { store: MemoryStore::new(), inbox: Inbox::default(), policy: Policy::default() }
    }

    /// Raises a finding as soon as its window has ended.
    fn raise(&self, finding: &Finding) -> Raised {
        self.raise_at(finding, finding.window.end())
    }

    fn raise_at(&self, finding: &Finding, at: i64) -> Raised {
        now(raise(&self.store, &self.inbox, &self.policy, finding, at)).unwrap()
    }

    pub(super) fn sweep(&self, at: i64) -> Swept {
        now(sweep(&self.store, &self.inbox, &self.policy, at)).unwrap()
    }
}

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

/// Somebody else finds the same while the first one publishes, which may fail.
struct Meanwhile<'a> {
    desk: &'a Desk,
    finding: &'a Finding,
    raised: RefCell<Vec<Raised>>,
    fails: bool,
}

impl<'a> Meanwhile<'a> {
    /// Raises the finding as the first one who finds it.
    fn raise(desk: &'a Desk, finding: &'a Finding, fails: bool) -> Result<Raised, RaiseError> {
        let first = Self { desk, finding, raised: RefCell::default(), fails };
        let raised = now(raise(&desk.store, &first, &desk.policy, finding, finding.window.end()));
        assert_eq!(*first.raised.borrow(), [Raised::Held]);
        raised
    }
}

impl Notifier for Meanwhile<'_> {
    async fn publish(&self, notification: &Notification) -> Result<(), NotifyError> {
        let raised = self.desk.raise(self.finding);
        self.raised.borrow_mut().push(raised);
        if self.fails {
            return Err(NotifyError::Retryable("throttled".into()));
        }
        self.desk.inbox.publish(notification).await
    }
}

#[test]
fn two_who_find_the_same_at_once_send_it_once() {
    let (desk, finding) = (Desk::new(), burst(Severity::Notify, 0));
    assert_eq!(Meanwhile::raise(&desk, &finding, false).unwrap(), Raised::Sent(1));
    assert_eq!(desk.inbox.subjects().len(), 1);
}

#[test]
fn what_could_not_be_published_is_by_whoever_comes_next() {
    let (desk, finding) = (Desk::new(), burst(Severity::Notify, 0));
    assert!(Meanwhile::raise(&desk, &finding, true).is_err());
    assert_eq!(
        desk.raise(&finding),
        Raised::Held,
        "in the same second: the claim is published, and this is no news"
    );
    assert_eq!(desk.inbox.subjects().len(), 1);
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
fn a_storm_is_twenty_messages_an_hour_and_one_digest_that_counts_the_rest() {
    let desk = Desk::new();
    let at = window(0).end();
    let mut sent = 0;
    for n in 0..100_000 {
        let finding = finding(Rule::RejectBurst, Severity::Notify, &format!("eni-{n}"), 0);
        sent += usize::from(matches!(desk.raise_at(&finding, at), Raised::Sent(_)));
    }
    assert_eq!((sent, desk.inbox.count()), (15, 15), "five are kept for high severity");
    for n in 0..10 {
        desk.raise_at(&finding(Rule::PortScan, Severity::High, &format!("eni-h{n}"), 0), at);
    }
    assert_eq!(desk.inbox.count(), 20);
    let swept = desk.sweep(at + 61);
    assert_eq!((swept.digested, swept.held), (99_990, 99_990));
    assert_eq!(desk.inbox.count(), 21);
    let digest = desk.inbox.0.borrow()[20].clone();
    assert_eq!(digest.subject, "flowlog digest: 99990 alerts noted, 99990 held back");
    assert!(digest.text.contains("and 99950 more"), "{}", digest.text);
    assert!(digest.text.len() < 16_384 && digest.json.len() < 32_768);
    // Nothing more within the hour, whatever comes and however often the schedule runs.
    for n in 100_000..100_500 {
        desk.raise_at(
            &finding(Rule::RejectBurst, Severity::High, &format!("eni-{n}"), 0),
            at + 300,
        );
    }
    for minute in [2, 30, 54] {
        desk.sweep(at + minute * 60);
    }
    assert_eq!(desk.inbox.count(), 21);
}

#[test]
fn what_the_budget_held_back_is_told_in_the_next_hour_if_it_goes_on() {
    let mut desk = Desk::new();
    desk.policy = Policy { budget_per_hour: 1, reserved_for_high: 0, ..Policy::default() };
    desk.raise(&finding(Rule::PortScan, Severity::Notify, "eni-9", 0));
    assert_eq!(desk.raise(&burst(Severity::Notify, 0)), Raised::OverBudget);
    assert_eq!(desk.raise(&burst(Severity::Notify, 1)), Raised::Noted);
    assert_eq!(desk.raise(&burst(Severity::Notify, 11)), Raised::Sent(2), "the next hour");
}

#[test]
fn a_digest_lists_what_was_noted_once() {
    let desk = Desk::new();
    desk.raise(&burst(Severity::Digest, 0));
    assert_eq!(desk.sweep(window(0).end() + 61).digested, 1);
    desk.raise(&finding(Rule::SlowScan, Severity::Digest, "eni-2", 6));
    assert_eq!(desk.sweep(window(6).end() + 61).digested, 0, "one an hour");
    let swept = desk.sweep(window(13).end());
    assert_eq!(swept.digested, 1, "only what is new");
    assert_eq!(desk.sweep(window(40).end()).digested, 0, "nothing new, no message");
    let subjects = desk.inbox.subjects();
    assert_eq!(subjects.len(), 2);
    assert!(
        desk.inbox.0.borrow()[1].text.contains("digest: slow-scan on eni-2: 300 rejected records")
    );
}

#[test]
fn an_hour_that_tells_nothing_new_sends_no_digest() {
    let desk = Desk::new();
    let from = |n: u8, at| Finding {
        source: Address::parse(&format!("203.0.113.{n}")),
        ..finding(Rule::SlowScan, Severity::Digest, "eni-1", at)
    };
    let mut sent = Vec::new();
    // The same stranger every hour, for two days; another one in the twelfth hour.
    for hour in 0..48 {
        let at = window(12 * hour).end();
        desk.raise_at(&from(1, 12 * hour), at);
        if hour == 12 {
            desk.raise_at(&from(2, 12 * hour + 1), at + 300);
        }
        for minute in (5..60).step_by(5) {
            if desk.sweep(at + minute * 60).digested > 0 {
                sent.push(hour);
            }
        }
    }
    assert_eq!(sent, [0, 1, 3, 7, 12, 14, 16, 20, 28]);
    // What was noted in the hours without one is in the next, and what is over in none.
    let noted = Desk::new();
    for (interface, hour) in [("eni-1", 0), ("eni-1", 1), ("eni-1", 2), ("eni-2", 3)] {
        let found = finding(Rule::SlowScan, Severity::Digest, interface, 12 * hour);
        noted.raise_at(&found, window(12 * hour).end());
        noted.sweep(window(12 * hour).end() + 61);
    }
    let inbox = noted.inbox.0.borrow();
    let subjects: Vec<&str> = inbox.iter().map(|n| n.subject.as_str()).collect();
    assert_eq!(subjects.len(), 3, "{subjects:?}");
    assert_eq!(subjects[2], "flowlog digest: 2 alerts noted, 0 held back");
}

/// The hours in which a digest came, of an alert that is noted each five minutes for half a day, so many
/// seconds before the sweep; in the sixth hour and later with somebody new each time, if `crowd`.
fn hours_of_digests(gap: i64, every: i64, crowd: bool) -> Vec<i64> {
    let (desk, start) = (Desk::new(), window(0).end());
    let mut hours = Vec::new();
    for second in (0..14 * 3_600).step_by(30) {
        if second < 12 * 3_600 && second % every == 0 {
            let mut found = finding(Rule::HostSweep, Severity::Digest, "vpc-1", second / 300);
            if crowd && second >= 5 * 3_600 {
                let stranger = format!("203.0.{}.{}", second / 300 / 250, second / 300 % 250);
                found.source = Address::parse(&stranger);
            }
            desk.raise_at(&found, start + second);
        }
        if second % 300 == 0 && desk.sweep(start + second + gap).digested > 0 {
            hours.push(second / 3_600);
        }
    }
    hours
}

#[test]
fn what_is_noted_in_each_run_is_in_the_digest_all_the_same() {
    for gap in [0, 1, 30, 59, 60, 61, 299] {
        for every in [30, 60, 300] {
            let hours = hours_of_digests(gap, every, false);
            assert_eq!(hours, [0, 1, 3, 7], "swept {gap} s after each {every} s");
        }
    }
    // Somebody new each time is news in each hour.
    let hours = hours_of_digests(0, 300, true);
    assert_eq!(hours[..3], [0, 1, 3]);
    assert_eq!(hours.len(), 3 + 8, "{hours:?}");
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

/// A store and an inbox that die at a call, before or after its effect, and a count of calls.
struct Dying<'a> {
    desk: &'a Desk,
    /// Calls until death; negative: immortal.
    left: Cell<i64>,
    applied: bool,
}

impl Dying<'_> {
    fn dies(&self) -> bool {
        let left = self.left.get();
        self.left.set(left - 1);
        left == 0
    }

    fn dead(&self) -> bool {
        self.left.get() < 0 && self.left.get() > i64::MIN / 2
    }

    fn gone() -> StoreError {
        StoreError::Retryable("died".into())
    }

    fn call<T>(&self, effect: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.dead() {
            return Err(Self::gone());
        }
        if self.dies() {
            if self.applied {
                effect()?;
            }
            return Err(Self::gone());
        }
        effect()
    }
}

impl AlertStore for Dying<'_> {
    async fn state(&self, kind: &str, subject: &str) -> Result<Option<StateItem>, StoreError> {
        self.call(|| now(self.desk.store.state(kind, subject)))
    }

    async fn states(&self, kind: &str) -> Result<Vec<StateItem>, StoreError> {
        self.call(|| now(self.desk.store.states(kind)))
    }

    async fn swap_state(
        &self,
        item: &StateItem,
        expected: Option<i64>,
    ) -> Result<bool, StoreError> {
        self.call(|| now(self.desk.store.swap_state(item, expected)))
    }

    async fn spend_budget(
        &self,
        hour: i64,
        limit: u32,
        token: &str,
        expires: i64,
    ) -> Result<bool, StoreError> {
        self.call(|| now(self.desk.store.spend_budget(hour, limit, token, expires)))
    }
}

impl Notifier for Dying<'_> {
    async fn publish(&self, notification: &Notification) -> Result<(), NotifyError> {
        self.call(|| {
            now(self.desk.inbox.publish(notification))
                .map_err(|e| StoreError::Permanent(Box::new(e)))
        })
        .map_err(|e| NotifyError::Retryable(Box::new(e)))
    }
}

/// Death at every call, before and after its effect; afterwards either the batch comes again, or
/// only the sweeper does.
#[test]
fn dying_at_every_step_loses_nothing_and_repeats_with_the_same_id() {
    let mut deaths = 0;
    for (applied, retried) in [(false, true), (true, true), (false, false), (true, false)] {
        for call in 0.. {
            let desk = Desk::new();
            let dying = Dying { desk: &desk, left: Cell::new(call), applied };
            let first = burst(Severity::Notify, 0);
            let at = first.window.end();
            let died = now(raise(&dying, &dying, &desk.policy, &first, at)).is_err();
            let claimed = !now(desk.store.states("reject-burst")).unwrap().is_empty();
            if retried {
                desk.raise_at(&first, at + 5);
            }
            desk.sweep(at + 45);
            desk.sweep(at + 90);
            let inbox = desk.inbox.0.borrow();
            let ids: BTreeSet<&str> = inbox.iter().map(|n| n.dedupe_id.as_str()).collect();
            if retried || claimed {
                assert_eq!(ids.len(), 1, "call {call}, applied {applied}, retried {retried}");
                assert!(inbox.len() <= 2, "call {call}: one copy at most");
            }
            // The same window again says nothing more.
            let told = inbox.len();
            drop(inbox);
            if retried || claimed {
                assert_eq!(desk.raise_at(&first, at + 100), Raised::Held);
                assert_eq!(desk.inbox.count(), told);
            }
            if !died {
                break;
            }
            deaths += 1;
        }
    }
    // Load, claim, budget, publish, mark; four ways.
    assert_eq!(deaths, 5 * 4);
}

#[test]
fn dying_in_a_digest_loses_nothing() {
    for applied in [false, true] {
        for call in 0.. {
            let desk = Desk::new();
            desk.raise(&burst(Severity::Digest, 0));
            let at = window(0).end() + 61;
            let dying = Dying { desk: &desk, left: Cell::new(call), applied };
            let died = now(sweep(&dying, &dying, &desk.policy, at)).is_err();
            desk.sweep(at + 31);
            desk.sweep(at + 62);
            let inbox = desk.inbox.0.borrow();
            let ids: BTreeSet<&str> = inbox.iter().map(|n| n.dedupe_id.as_str()).collect();
            assert_eq!(ids.into_iter().collect::<Vec<_>>(), ["digest#1"], "call {call} {applied}");
            assert!(inbox.len() <= 2);
            if !died {
                assert!(call > 15);
                break;
            }
        }
    }
}

/// Refuses messages for one subject, for good.
struct Refusing<'a>(&'a Inbox, &'static str);

impl Notifier for Refusing<'_> {
    async fn publish(&self, notification: &Notification) -> Result<(), NotifyError> {
        if notification.subject.contains(self.1) {
            return Err(NotifyError::Permanent("refused".into()));
        }
        self.0.publish(notification).await
    }
}

/// Fails to list one rule's alerts.
struct Unlisted<'a>(&'a MemoryStore, &'static str, fn() -> StoreError);

impl AlertStore for Unlisted<'_> {
    async fn state(&self, kind: &str, subject: &str) -> Result<Option<StateItem>, StoreError> {
        self.0.state(kind, subject).await
    }

    async fn states(&self, kind: &str) -> Result<Vec<StateItem>, StoreError> {
        if kind == self.1 { Err((self.2)()) } else { self.0.states(kind).await }
    }

    async fn swap_state(
        &self,
        item: &StateItem,
        expected: Option<i64>,
    ) -> Result<bool, StoreError> {
        self.0.swap_state(item, expected).await
    }

    async fn spend_budget(
        &self,
        hour: i64,
        limit: u32,
        token: &str,
        expires: i64,
    ) -> Result<bool, StoreError> {
        self.0.spend_budget(hour, limit, token, expires).await
    }
}

#[test]
fn what_cannot_be_read_or_sent_keeps_nothing_else_from_being_seen_to() {
    let desk = Desk::new();
    // Three claims that nobody published: a store that dies right after the claim.
    for interface in ["eni-1", "eni-2", "eni-3"] {
        let dying = Dying { desk: &desk, left: Cell::new(1), applied: true };
        let found = finding(Rule::RejectBurst, Severity::Notify, interface, 0);
        now(raise(&dying, &dying, &desk.policy, &found, found.window.end())).unwrap_err();
    }
    desk.raise(&finding(Rule::SlowScan, Severity::Digest, "eni-4", 0));
    let corrupt = StateItem {
        kind: Rule::ALL[0].name().to_owned(),
        subject: "eni-0".to_owned(),
        version: 1,
        body: "no JSON".to_owned(),
        ttl: START + STATE_TTL,
    };
    assert!(now(desk.store.swap_state(&corrupt, None)).unwrap());
    let at = window(0).end() + 61;
    let refusing = Refusing(&desk.inbox, "eni-1");
    let error = now(sweep(&desk.store, &refusing, &desk.policy, at)).unwrap_err();
    assert!(matches!(error, RaiseError::Store(StoreError::Corrupt { .. })), "the first: {error}");
    let subjects = desk.inbox.subjects();
    for told in ["reject-burst on eni-2", "reject-burst on eni-3", "flowlog digest: 1 alert"] {
        assert!(subjects.iter().any(|s| s.contains(told)), "{told}: {subjects:?}");
    }
    assert_eq!(subjects.len(), 3);
    // The one that was refused is sent as soon as it is taken, and the error goes on.
    now(sweep(&desk.store, &desk.inbox, &desk.policy, at + 300)).unwrap_err();
    assert!(desk.inbox.subjects()[3].contains("reject-burst on eni-1"));
    // What is over is resolved all the same.
    now(sweep(&desk.store, &desk.inbox, &desk.policy, window(40).end())).unwrap_err();
    let states = now(desk.store.states("reject-burst")).unwrap();
    let alerts: Vec<Alert> = states.iter().filter_map(|item| item.read().ok()).collect();
    assert!(alerts.len() == 3 && alerts.iter().all(|alert| !alert.open), "{alerts:?}");
}

#[test]
fn a_digest_that_is_refused_keeps_no_alert_from_being_repaired() {
    let desk = Desk::new();
    desk.raise(&finding(Rule::SlowScan, Severity::Digest, "eni-4", 0));
    let at = window(0).end() + 61;
    let refusing = Refusing(&desk.inbox, "digest");
    now(sweep(&desk.store, &refusing, &desk.policy, at)).unwrap_err();
    let dying = Dying { desk: &desk, left: Cell::new(1), applied: true };
    now(raise(&dying, &dying, &desk.policy, &burst(Severity::Notify, 0), at)).unwrap_err();
    now(sweep(&desk.store, &refusing, &desk.policy, at + 300)).unwrap_err();
    assert!(desk.inbox.subjects()[0].contains("reject-burst on eni-1"));
    assert_eq!(desk.sweep(at + 600).repaired, 1, "the digest");
    assert!(desk.inbox.subjects()[1].contains("flowlog digest: 1 alert"));
}

#[test]
fn a_digest_waits_for_what_cannot_be_listed_now_and_not_for_what_never_can() {
    let retryable: fn() -> StoreError = || StoreError::Retryable("throttled".into());
    let corrupt: fn() -> StoreError =
        || StoreError::Corrupt { key: "A#port-scan/x".into(), reason: "nothing in it".into() };
    for (error, digests) in [(retryable, 0), (corrupt, 1)] {
        let desk = Desk::new();
        desk.raise(&burst(Severity::Digest, 0));
        desk.raise(&finding(Rule::PortScan, Severity::Digest, "eni-2", 0));
        let store = Unlisted(&desk.store, Rule::PortScan.name(), error);
        let at = window(0).end() + 61;
        now(sweep(&store, &desk.inbox, &desk.policy, at)).unwrap_err();
        assert_eq!(desk.inbox.count(), digests);
        if digests == 0 {
            assert_eq!(desk.sweep(at + 300).digested, 2, "nothing was lost");
        }
    }
}

/// Two workers, one stopped after each of its calls while the other one runs through.
#[test]
fn two_workers_tell_one_thing() {
    for call in 0..6 {
        let desk = Desk::new();
        let slow = Dying { desk: &desk, left: Cell::new(call), applied: true };
        let finding = burst(Severity::Notify, 0);
        let at = finding.window.end();
        let _ = now(raise(&slow, &slow, &desk.policy, &finding, at));
        // The other one raises the same, and something louder.
        desk.raise_at(&finding, at + 1);
        desk.raise_at(&burst(Severity::High, 0), at + 2);
        desk.sweep(at + 60);
        let inbox = desk.inbox.0.borrow();
        let ids: BTreeSet<&str> = inbox.iter().map(|n| n.dedupe_id.as_str()).collect();
        assert_eq!(ids.len(), 2, "call {call}: {ids:?}");
        assert!(inbox.len() <= 3);
    }
}
