//! Alerts at a desk with a store in memory: what happens from a finding to what is told.

mod digests;
mod faults;
mod lifecycle;
mod others;

use std::cell::RefCell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::detect::{Cause, Rule, Why};
use crate::record::Window;
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
