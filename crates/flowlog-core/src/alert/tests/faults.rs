//! What a crash at any step leaves behind, what cannot be read or sent, and others who find the same meanwhile.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::*;

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
