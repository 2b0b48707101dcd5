//! The hour's budget, and the digests that say what did not fit in it or was no more than noted.

use super::*;
use crate::record::Address;

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
