//! What somebody else does while an alert is open: strangers who share one, clients of one server, and what was resolved.

use super::*;
use crate::detect::{Cause, Target};
use crate::record::Address;
use crate::store::StateItem;

/// A finding of a rule by which strangers share an alert.
fn stranger(rule: Rule, severity: Severity, last: i64, at: i64) -> Finding {
    Finding {
        source: Address::parse(&format!("203.0.113.{last}")),
        target: (rule == Rule::RejectedThenAccepted)
            .then_some(Target { host: None, port: Some(22) }),
        ..finding(rule, severity, "eni-1", at)
    }
}

#[test]
fn each_stranger_who_is_let_in_is_told_of_while_the_alert_of_another_one_is_open() {
    for apart in [12, 15, 24] {
        let (desk, rule) = (Desk::new(), Rule::RejectedThenAccepted);
        for n in 0..6 {
            let found = stranger(rule, Severity::High, n, n * apart);
            assert_eq!(desk.raise(&found), Raised::Sent(n.unsigned_abs() + 1), "{apart} apart");
            assert_eq!(desk.raise(&found), Raised::Held, "once more");
            desk.sweep(found.window.end() + 61);
            // Another one in the same hour is for the digest.
            let soon = stranger(rule, Severity::High, 100 + n, n * apart + 1);
            assert_eq!(desk.raise(&soon), Raised::Noted);
            assert_eq!(desk.raise(&soon), Raised::Held);
        }
        desk.sweep(window(6 * apart + 12).end());
        let inbox = desk.inbox.0.borrow();
        let digests: Vec<_> = inbox.iter().filter(|m| m.subject.contains("digest")).collect();
        for n in 100..106 {
            let named = |m: &&Notification| m.text.contains(&format!("203.0.113.{n}"));
            assert!(digests.iter().any(named), "{n}, {apart} apart");
        }
    }
}

#[test]
fn egress_to_somebody_else_is_in_the_digest_while_an_alert_is_open() {
    let (desk, rule) = (Desk::new(), Rule::EgressVolume);
    let mut messages = Vec::new();
    // Somebody new each hour; in the ninth hour two more in the same look, of an earlier window, too.
    for hour in 0..14 {
        let at = window(12 * hour + 3).end();
        let mut found = vec![stranger(rule, Severity::Notify, hour, 12 * hour)];
        if hour == 8 {
            found.push(stranger(rule, Severity::Notify, 200, 12 * hour - 1));
            found.push(stranger(rule, Severity::Notify, 201, 12 * hour - 2));
        }
        for found in found {
            if let Raised::Sent(_) = desk.raise_at(&found, at) {
                messages.push(hour);
            }
        }
        desk.sweep(at + 61);
    }
    assert_eq!(messages, [0, 1, 3, 7]);
    desk.sweep(window(14 * 12 + 3).end() + 62);
    let inbox = desk.inbox.0.borrow();
    for n in (0..14).chain([200, 201]) {
        let named = format!("203.0.113.{n}");
        assert!(inbox.iter().any(|m| m.text.contains(&named)), "{named} is in no message");
    }
}

#[test]
fn a_silence_that_somebody_resolved_is_not_found_anew() {
    let desk = Desk::new();
    let silence = |since, at| {
        let mut found = finding(Rule::DataGap, Severity::Notify, "vpc-1", at);
        found.evidence.since = Some(window(since));
        found
    };
    assert_eq!(desk.raise(&silence(0, 6)), Raised::Sent(1));
    let item = now(desk.store.states("data-gap")).unwrap().remove(0);
    let resolved = Alert { open: false, ..item.read().unwrap() };
    let body = serde_json::to_string(&resolved).unwrap();
    let version = item.version + 1;
    let item = StateItem { version, body, ..item };
    assert!(now(desk.store.swap_state(&item, Some(version - 1))).unwrap());
    for n in 7..200 {
        assert_eq!(desk.raise(&silence(0, n)), Raised::Held);
    }
    assert_eq!(desk.raise(&silence(230, 236)), Raised::Sent(2), "another one");
}

#[test]
fn clients_that_are_left_belong_to_the_alert_of_their_server() {
    let desk = Desk::new();
    let lacks = |client: Option<&str>, at| Finding {
        source: client.and_then(Address::parse),
        target: Some(Target { host: Address::parse("10.0.1.9"), port: Some(6_379) }),
        cause: Cause::SecurityGroupOrAcl,
        ..finding(Rule::EastWestReject, Severity::Notify, "eni-1", at)
    };
    let mut all = lacks(None, 0);
    all.evidence.sources = 3;
    all.evidence.named =
        ["10.1.0.1", "10.1.0.2", "10.1.0.3"].into_iter().filter_map(Address::parse).collect();
    assert_eq!(desk.raise(&all), Raised::Sent(1));
    let text = desk.inbox.0.borrow()[0].text.clone();
    let first = "3 clients of ours cannot reach 10.0.1.9 port 6379: every attempt is refused.";
    assert!(text.starts_with(first), "{text}");
    assert!(text.contains("Why        refused in at least 200 windows in a row"), "{text}");
    for n in 1..6 {
        for client in ["10.1.0.2", "10.1.0.3"] {
            assert_eq!(desk.raise(&lacks(Some(client), n)), Raised::Held, "{client}");
        }
    }
    assert_eq!(desk.raise(&lacks(Some("10.1.0.9"), 6)), Raised::Sent(1), "one of its own");
    let told = now(desk.store.states("east-west-reject")).unwrap();
    assert_eq!(told.len(), 2);
}

#[test]
fn an_anomaly_counts_refusals_over_its_own_time() {
    let desk = Desk::new();
    let mut found = finding(Rule::RejectAnomaly, Severity::Notify, "eni-1", 12);
    found.evidence.seconds = 3_600;
    desk.raise(&found);
    let text = desk.inbox.0.borrow()[0].text.clone();
    assert!(
        text.contains("in 60 minutes; 310 records refused there in the same 60 minutes"),
        "{text}"
    );
}
