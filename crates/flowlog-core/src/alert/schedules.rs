//! Random schedules: several workers at once, stopped between any two calls, with lost requests, lost
//! answers and deaths; the stream delivers each finding up to three times, and again until an
//! attempt has succeeded. Whatever happens, nothing is lost, and what is repeated has the same id.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::tests::{Desk, finding, now};
use super::*;
use crate::detect::Rule;

/// Schedules that are played.
const SCHEDULES: u64 = 3_000;
/// Workers at once.
const WORKERS: usize = 4;

/// `SplitMix64`: the same seed gives the same schedule.
struct Dice(Cell<u64>);

impl Dice {
    fn below(&self, n: u64) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut z = self.0.get();
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn percent(&self, n: u64) -> bool {
        self.below(100) < n
    }
}

/// Gives the others a turn.
#[derive(Default)]
struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// The desk by a line that breaks.
struct Shaky<'a> {
    desk: &'a Desk,
    dice: &'a Dice,
}

impl Shaky<'_> {
    async fn call<T>(
        &self,
        effect: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        Turn::default().await;
        match self.dice.below(100) {
            0..3 => Err(StoreError::Retryable("the request was lost".into())),
            3..6 => {
                effect()?;
                Err(StoreError::Retryable("the answer was lost".into()))
            }
            _ => effect(),
        }
    }
}

impl AlertStore for Shaky<'_> {
    async fn state(&self, kind: &str, subject: &str) -> Result<Option<StateItem>, StoreError> {
        self.call(|| now(self.desk.store.state(kind, subject))).await
    }

    async fn states(&self, kind: &str) -> Result<Vec<StateItem>, StoreError> {
        self.call(|| now(self.desk.store.states(kind))).await
    }

    async fn swap_state(
        &self,
        item: &StateItem,
        expected: Option<i64>,
    ) -> Result<bool, StoreError> {
        self.call(|| now(self.desk.store.swap_state(item, expected))).await
    }

    async fn spend_budget(
        &self,
        hour: i64,
        limit: u32,
        token: &str,
        expires: i64,
    ) -> Result<bool, StoreError> {
        self.call(|| now(self.desk.store.spend_budget(hour, limit, token, expires))).await
    }
}

impl Notifier for Shaky<'_> {
    async fn publish(&self, notification: &Notification) -> Result<(), NotifyError> {
        let sent = self.call(|| {
            now(self.desk.inbox.publish(notification))
                .map_err(|e| StoreError::Permanent(Box::new(e)))
        });
        sent.await.map_err(|e| NotifyError::Retryable(Box::new(e)))
    }
}

/// What a worker does: a delivery of the finding with this number, or a sweep.
#[derive(Debug, Clone, Copy)]
enum Job {
    Raise(usize),
    Sweep,
}

type Work<'a> = Pin<Box<dyn Future<Output = Result<(), RaiseError>> + 'a>>;

/// Plays one schedule to its end; the findings, and the second at which all is quiet.
fn play(desk: &Desk, dice: &Dice) -> (Vec<Finding>, i64) {
    let severities = [Severity::Digest, Severity::Notify, Severity::Notify, Severity::High];
    let pick = |n: usize| usize::try_from(dice.below(n as u64)).unwrap();
    let findings: Vec<Finding> = (0..3 + pick(6))
        .map(|_| {
            let (rule, severity) = (Rule::RejectBurst, severities[pick(4)]);
            finding(
                rule,
                severity,
                ["eni-1", "eni-2", "eni-3"][pick(3)],
                i64::from(dice.percent(50)),
            )
        })
        .collect();
    let mut queue: Vec<Job> = Vec::new();
    for n in 0..findings.len() {
        queue.extend(vec![Job::Raise(n); 1 + pick(3)]);
    }
    let line = Shaky { desk, dice };
    let mut clock = findings[0].window.forward(1).end();
    let mut working: Vec<(Job, Work<'_>)> = Vec::new();
    // Nobody is unlucky for ever: faults are rare enough that a schedule ends long before this.
    for _ in 0..20_000 {
        if queue.is_empty() && working.is_empty() {
            break;
        }
        clock += i64::from(dice.percent(20)) * i64::try_from(dice.below(20)).unwrap();
        if working.len() < WORKERS && !queue.is_empty() {
            let job =
                if dice.percent(10) { Job::Sweep } else { queue.swap_remove(pick(queue.len())) };
            let (line, findings) = (&line, &findings);
            let work: Work<'_> = Box::pin(async move {
                match job {
                    Job::Raise(n) => {
                        raise(line, line, &desk.policy, &findings[n], clock).await.map(|_| ())
                    }
                    Job::Sweep => sweep(line, line, &desk.policy, clock).await.map(|_| ()),
                }
            });
            working.push((job, work));
        }
        let nth = pick(working.len());
        let ended = if dice.percent(3) {
            Some(Err(()))
        } else {
            match working[nth].1.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(done) => Some(done.map_err(|_| ())),
                Poll::Pending => None,
            }
        };
        if let Some(done) = ended {
            let (job, _) = working.swap_remove(nth);
            if let (Err(()), Job::Raise(_)) = (done, job) {
                queue.push(job);
            }
        }
    }
    assert!(queue.is_empty() && working.is_empty(), "the schedule does not end");
    drop(working);
    // The line is mended, and the schedule goes on.
    for _ in 0..2 {
        clock += Policy::REPAIR_AFTER + 1;
        desk.sweep(clock);
    }
    (findings, clock)
}

#[test]
fn whatever_happens_nothing_is_lost_and_what_is_repeated_has_the_same_id() {
    let (mut repeated, mut told) = (0, 0);
    for seed in 0..SCHEDULES {
        let dice = Dice(Cell::new(seed));
        let mut desk = Desk::new();
        let tight = dice.percent(30);
        if tight {
            desk.policy = Policy { budget_per_hour: 2, reserved_for_high: 1, ..Policy::default() };
        }
        let (findings, clock) = play(&desk, &dice);
        let inbox = desk.inbox.0.borrow();
        let alerts = inbox.iter().filter(|n| !n.dedupe_id.starts_with("digest"));
        let mut by_id: BTreeMap<&str, Vec<&Notification>> = BTreeMap::new();
        for notification in alerts {
            by_id.entry(&notification.dedupe_id).or_default().push(notification);
        }
        told += by_id.len();
        repeated += by_id.values().filter(|copies| copies.len() > 1).count();
        let mut hours = BTreeSet::new();
        hours.extend((findings[0].window.end()..=clock).map(|second| second.div_euclid(3600)));
        assert!(by_id.len() <= hours.len() * desk.policy.budget_per_hour as usize, "seed {seed}");
        for id in by_id.keys() {
            let same = by_id[id].iter().map(|n| &n.subject).collect::<BTreeSet<_>>();
            assert_eq!(same.len(), 1, "seed {seed}: one id, one message: {id}");
        }
        check_alerts(seed, &desk, &findings, &by_id);
    }
    assert!(told > 5_000 && repeated > 300, "{told} told, {repeated} of them repeated");
}

/// Each subject that somebody had to be told about was told, as loudly as it came, or is held back.
fn check_alerts(
    seed: u64,
    desk: &Desk,
    findings: &[Finding],
    by_id: &BTreeMap<&str, Vec<&Notification>>,
) {
    for item in now(desk.store.states("reject-burst")).unwrap() {
        let alert: Alert = item.read().unwrap();
        let key = format!("reject-burst#{}#", item.subject);
        let own: Vec<_> = by_id.iter().filter(|(id, _)| id.starts_with(&key)).collect();
        let of_it = findings.iter().filter(|f| f.interface_id == item.subject);
        let loudest = of_it.map(|f| f.severity).max().unwrap();
        assert_eq!(alert.claimed_at, None, "seed {seed}: {} is still claimed", item.subject);
        assert_eq!(alert.published, alert.seq, "seed {seed}: {}", item.subject);
        assert!(own.len() as u64 <= alert.seq, "seed {seed}: an id for each claim at most");
        if loudest < Severity::Notify {
            assert!(own.is_empty() && alert.noted_at.is_some(), "seed {seed}");
        } else if !alert.held {
            let last = format!("#{}", alert.seq);
            assert!(own.iter().any(|(id, _)| id.ends_with(&last)), "seed {seed}: {}", item.subject);
            assert_eq!(alert.severity, loudest, "seed {seed}: {}", item.subject);
        }
    }
    let subjects: BTreeSet<&str> = findings.iter().map(|f| f.interface_id.as_str()).collect();
    assert_eq!(
        now(desk.store.states("reject-burst")).unwrap().len(),
        subjects.len(),
        "seed {seed}"
    );
}

/// Tries until an attempt succeeds; some are dropped between two calls.
fn persist<'a>(dice: &Dice, attempt: impl Fn(i64) -> Work<'a>) {
    for tries in 0..1_000 {
        let mut work = attempt(tries);
        while !dice.percent(1) {
            match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(())) => return,
                Poll::Ready(Err(_)) => break,
                Poll::Pending => {}
            }
        }
    }
    panic!("nobody is unlucky for ever");
}

/// A storm by the same line, with deaths: what repeats is the same message, and the hour's budget and
/// the digest's count hold.
#[test]
fn a_storm_of_faults_is_no_more_messages_and_counts_what_it_holds_back() {
    const STORM: usize = 100_000;
    let (desk, dice) = (Desk::new(), Dice(Cell::new(7)));
    let line = Shaky { desk: &desk, dice: &dice };
    let at = finding(Rule::RejectBurst, Severity::Notify, "eni-0", 0).window.end();
    for n in 0..STORM {
        let finding = finding(Rule::RejectBurst, Severity::Notify, &format!("eni-{n}"), 0);
        persist(&dice, |tries| {
            let (line, finding) = (&line, finding.clone());
            // Lambda is not back within two seconds of a death.
            let at = at + tries * Policy::PUBLISHES_IN;
            Box::pin(async move { raise(line, line, &desk.policy, &finding, at).await.map(|_| ()) })
        });
    }
    for minute in [2, 7, 12] {
        persist(&dice, |_| {
            let line = &line;
            Box::pin(
                async move { sweep(line, line, &desk.policy, at + minute * 60).await.map(|_| ()) },
            )
        });
    }
    let inbox = desk.inbox.0.borrow();
    let ids: BTreeSet<&str> = inbox.iter().map(|n| n.dedupe_id.as_str()).collect();
    assert!(inbox.len() > ids.len(), "something was sent twice");
    let digests: BTreeSet<&str> = inbox
        .iter()
        .filter(|n| n.dedupe_id.starts_with("digest"))
        .map(|n| n.subject.as_str())
        .collect();
    assert_eq!(ids.len(), 16, "five are kept for high severity; and a digest");
    assert_eq!(
        digests.into_iter().collect::<Vec<_>>(),
        ["flowlog digest: 99985 alerts noted, 99985 held back"]
    );
}
