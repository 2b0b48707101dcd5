//! AWS as far as flowlog can see it: two tables, a bucket, a topic, and a time.
//!
//! The tables are the core's own reference store, whose conditions pass the same contract suite as
//! the DynamoDB adapter. Around it stand the rules that a port does not show:
//!
//! | AWS's rule | here |
//! |---|---|
//! | a batch of 25 is no transaction; items stay unprocessed | items are applied one by one, in any order, each a call that can fail, so that every part of a batch can be all that happened |
//! | an item has at most 400 KB | a larger one is refused for good |
//! | a put that changes nothing makes no stream record | neither does it here; and a partial that is put again with *other* bytes is a violation at once, as is a summary that forgets a part |
//! | expired items are deleted at any time after their time to live | each one whenever the seed says so |
//! | a request that was given up may still arrive | `Delayed` effects are applied at any later time, within minutes |

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use flowlog_core::alert::Notification;
use flowlog_core::object::ObjectRef;
use flowlog_core::record::BatchId;
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::{
    AggregateReader as _, Claim, PartialItem, Series, StoreError, SummaryItem,
};

use crate::executor::{alone, turn};
use crate::fault::{Fault, Plan};
use crate::process::Shape;
use crate::random::Random;

thread_local! {
    // The handlers take the present as a plain function.
    static NOW: Cell<i64> = const { Cell::new(0) };
}

/// The present of this thread's world (epoch seconds).
pub fn now() -> i64 {
    NOW.get()
}

/// Moves this thread's present.
pub fn set_now(at: i64) {
    NOW.set(at);
}

/// An object in the bucket.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its ETag.
    pub etag: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A request that is on its way.
type Effect = Box<dyn FnOnce(&World)>;

/// Everything outside of the processes.
pub struct World {
    /// What its mapping versions are like.
    pub shape: Shape,
    /// Both tables.
    pub tables: MemoryStore,
    /// The bucket.
    pub objects: RefCell<BTreeMap<ObjectRef, Stored>>,
    /// What the topic has accepted, in order, with the time.
    pub inbox: RefCell<Vec<(i64, Notification)>>,
    /// Deliveries that were ever done, whatever became of their ledger entries.
    pub completed: RefCell<BTreeSet<BatchId>>,
    /// Deliveries that were ever quarantined.
    pub quarantined: RefCell<BTreeSet<BatchId>>,
    /// Keys of the stream's records, in order.
    pub stream: RefCell<Vec<(String, String)>>,
    /// The seed's draws.
    pub random: RefCell<Random>,
    /// Every claim that took effect, in order: what a delivery is pinned to.
    pub claims: RefCell<Vec<Claim>>,
    /// Batches that a mutant took back from done.
    pub overridden: RefCell<BTreeSet<BatchId>>,
    /// Items that were gone, at least for a while: as partials and from summaries.
    pub vanished: RefCell<BTreeSet<(String, String)>>,
    /// What each call was, if somebody wants to read it.
    pub trace: Option<RefCell<Vec<String>>>,
    /// What happened that must never happen.
    pub violations: RefCell<Vec<String>>,
    /// Which faults happened, at which calls.
    pub happened: RefCell<BTreeMap<(&'static str, Fault), u64>>,
    plan: Cell<Plan>,
    calls: Cell<u64>,
    dying: Cell<bool>,
    aside: Cell<bool>,
    in_flight: RefCell<Vec<Effect>>,
}

impl World {
    /// An empty world.
    pub fn new(seed: u64, shape: Shape, plan: Plan, traced: bool) -> Self {
        Self {
            shape,
            tables: MemoryStore::new(),
            objects: RefCell::default(),
            inbox: RefCell::default(),
            completed: RefCell::default(),
            quarantined: RefCell::default(),
            stream: RefCell::default(),
            random: RefCell::new(Random::new(seed)),
            claims: RefCell::default(),
            overridden: RefCell::default(),
            vanished: RefCell::default(),
            trace: traced.then(RefCell::default),
            violations: RefCell::default(),
            happened: RefCell::default(),
            plan: Cell::new(plan),
            calls: Cell::new(0),
            dying: Cell::new(false),
            aside: Cell::new(false),
            in_flight: RefCell::default(),
        }
    }

    /// One call to the other side: what is asked happens in `effect`, once, twice, later or never.
    pub async fn call<T>(
        &self,
        what: &'static str,
        effect: impl Fn(&Self) -> Result<T, StoreError> + 'static,
    ) -> Result<T, StoreError> {
        let fault = self.draw(what);
        turn().await;
        match fault {
            Some(Fault::Refused) => return Err(unavailable("refused")),
            Some(Fault::DiesBefore) => return self.die().await,
            Some(Fault::Delayed) => {
                // Whoever sent it is not there to hear what came of it.
                self.in_flight.borrow_mut().push(Box::new(move |world| drop(effect(world))));
                return self.die().await;
            }
            Some(Fault::Repeated) => {
                effect(self)?;
                turn().await;
            }
            Some(Fault::Lost | Fault::DiesAfter) | None => {}
        }
        let answer = effect(self);
        match fault {
            Some(Fault::Lost) => return Err(unavailable("the response is lost")),
            Some(Fault::DiesAfter) => self.die().await,
            _ => {}
        }
        turn().await;
        answer
    }

    /// The next call's fault, if it has one.
    pub fn draw(&self, what: &'static str) -> Option<Fault> {
        let call = self.calls.get();
        self.calls.set(call + 1);
        let mut plan = self.plan.get();
        let fault = plan.draw(call, &mut self.random.borrow_mut());
        self.plan.set(plan);
        if let Some(fault) = fault {
            *self.happened.borrow_mut().entry((what, fault)).or_default() += 1;
        }
        self.note(|| match fault {
            Some(fault) => format!("call {call} {what}: {fault:?}"),
            None => format!("call {call} {what}"),
        });
        fault
    }

    /// The process that is polled now dies: its task must be dropped.
    pub async fn die<T>(&self) -> T {
        self.dying.set(true);
        std::future::pending().await
    }

    /// Whether the process that was polled last has died.
    pub fn died(&self) -> bool {
        self.dying.replace(false)
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// Another plan from now on, in which calls are counted from 0.
    pub fn plan(&self, plan: Plan) {
        self.plan.set(plan);
        self.calls.set(0);
    }

    /// Somebody who only looks: no fault, and nothing that counts as a call.
    pub fn aside<T>(&self, look: impl FnOnce() -> T) -> T {
        let (plan, calls) = (self.plan.replace(Plan::None), self.calls.get());
        self.aside.set(true);
        let seen = look();
        self.aside.set(false);
        self.plan.set(plan);
        self.calls.set(calls);
        seen
    }

    /// How many requests are on their way.
    pub fn on_the_way(&self) -> usize {
        self.in_flight.borrow().len()
    }

    /// One of the requests that are on their way arrives.
    pub fn arrive(&self) {
        let at = self.random.borrow_mut().below(self.on_the_way());
        let effect = self.in_flight.borrow_mut().swap_remove(at);
        self.note(|| "a delayed request arrives".to_owned());
        effect(self);
    }

    /// Every request that is on its way arrives.
    pub fn arrive_all(&self) {
        while self.on_the_way() > 0 {
            self.arrive();
        }
    }

    /// Writes a line of the trace.
    pub fn note(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = self.trace.as_ref().filter(|_| !self.aside.get()) {
            trace.borrow_mut().push(format!("{} {}", now(), line()));
        }
    }

    /// Something happened that must not.
    pub fn violation(&self, what: String) {
        self.note(|| format!("VIOLATION {what}"));
        self.violations.borrow_mut().push(what);
    }

    /// Remembers what a batch is pinned to.
    pub(crate) fn claimed(&self, claim: &Claim) {
        self.claims.borrow_mut().push(claim.clone());
    }

    /// What a batch's first claim pinned.
    pub fn first_claim(&self, batch: BatchId) -> Option<Claim> {
        self.claims.borrow().iter().find(|claim| claim.batch == batch).cloned()
    }

    /// The partial under the same key, if there is one.
    pub fn partial(&self, like: &PartialItem) -> Option<PartialItem> {
        let found = alone(self.tables.partials(&like.series, like.window, like.window));
        found.ok()?.into_iter().find(|p| p.batch == like.batch && p.chunk == like.chunk)
    }

    /// The summary that is under the same key; an empty one where there is none.
    pub fn summary(&self, like: &SummaryItem) -> SummaryItem {
        let found = alone(self.tables.items(&like.series, like.hour, like.hour));
        found.ok().and_then(|mut items| items.summaries.pop()).unwrap_or_else(|| SummaryItem {
            version: 0,
            parts: Vec::new(),
            ..like.clone()
        })
    }

    /// The same subject as other sources see it.
    pub fn other_sources(&self, series: &Series) -> Vec<Series> {
        let all = crate::pool::series();
        let same = |s: &Series| s.view == series.view && s.subject == series.subject;
        all.into_iter().filter(|s| same(s) && s.source != series.source).collect()
    }

    /// Deletes some of the items whose time to live has passed.
    pub fn expire(&self) {
        let before = crate::check::visible(self);
        let mut gone = 0;
        self.tables.expire_where(now(), |_, _| {
            let goes = self.random.borrow_mut().chance(700);
            gone += usize::from(goes);
            goes
        });
        self.note(|| format!("{gone} expired items are deleted"));
        if gone > 0 {
            let after = crate::check::visible(self);
            self.vanished.borrow_mut().extend(before.difference(&after).cloned());
        }
    }
}

/// What a client makes of a call that did not come back well.
fn unavailable(why: &'static str) -> StoreError {
    StoreError::Retryable(why.into())
}
