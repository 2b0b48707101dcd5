//! One running copy of the code: the ports that the handlers are given.
//!
//! Every call goes through [`World::call`]. A [`Mutant`] is a protocol that is wrong in one way; most
//! of them are a few lines here, because the ports are where the protocol can be seen.

use std::cell::RefCell;
use std::rc::Rc;

use flowlog_core::alert::{Alert, Notification, Notifier, NotifyError};
use flowlog_core::record::{BatchId, Source, Window};
use flowlog_core::store::{
    AggregateReader, AggregateWriter, AlertStore, Claim, ClaimOutcome, Completed, Completion,
    DirectoryEntry, Ledger, LedgerEntry, LedgerReader, PartialItem, Series, SeriesItems, StateItem,
    StoreError, SummaryItem, SummaryWriter, View,
};

use crate::executor::alone;
use crate::mutant::{AlertMutant, Mutant};
use crate::world::{World, now};

/// A version of the code, as far as deliveries can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The mapping version of new deliveries.
    pub writes: u8,
    /// The mapping versions that are implemented.
    pub knows: &'static [u8],
}

impl Code {
    /// Before the change.
    pub const OLD: Self = Self { writes: 2, knows: &[1, 2] };
    /// After the change.
    pub const NEW: Self = Self { writes: 3, knows: &[1, 2, 3] };
    /// After the change, told to go back.
    pub const BACK: Self = Self { writes: 2, knows: &[1, 2, 3] };
}

/// What the mapping versions of a world are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Shape {
    /// Version 3 also puts every record into the window after its own, so that either version has
    /// keys that the other lacks.
    pub shifted: bool,
    /// Chunks are cut after a few interfaces and windows.
    pub crowded: bool,
    /// A few of an object's chunks are held until it has been read to its end; else one that has several is read
    /// twice.
    pub holds: bool,
}

/// A process, cold when it is made.
pub struct Process {
    /// What it talks to.
    pub world: Rc<World>,
    /// What it runs.
    pub code: Code,
    /// What is wrong with it.
    pub mutant: Option<Mutant>,
    /// What is wrong with how it raises alerts.
    pub alert_mutant: Option<AlertMutant>,
    /// Whether it is at compaction.
    pub compacts: bool,
    /// What a mutant holds back.
    pub(crate) held: RefCell<Vec<PartialItem>>,
}

/// A mapping version that no code implements.
const UNKNOWN: u8 = 99;

impl Process {
    /// Starts a process.
    pub fn start(world: &Rc<World>, code: Code, mutant: Option<Mutant>) -> Self {
        Self {
            world: Rc::clone(world),
            code,
            mutant,
            alert_mutant: None,
            compacts: false,
            held: RefCell::default(),
        }
    }

    /// What this code makes of an entry that it finds.
    fn resume(&self, claim: &Claim, outcome: ClaimOutcome) -> ClaimOutcome {
        let ClaimOutcome::Exists(mut entry) = outcome else { return outcome };
        if let Some(mutant) = self.mutant {
            mutant.resumes(claim, &mut entry, self.code);
        }
        // The old code does not implement what this binary does.
        if !self.code.knows.contains(&entry.mapping) {
            entry.mapping = UNKNOWN;
        }
        ClaimOutcome::Exists(entry)
    }

    fn mapped(&self, partial: &PartialItem) -> PartialItem {
        let shifts = self.world.shape.shifted && partial.mapping == 3;
        let window = if shifts { partial.window.forward(1) } else { partial.window };
        PartialItem { window, ..partial.clone() }
    }

    /// Puts items one by one in any order: a batch is no transaction.
    pub(crate) async fn put(&self, mut items: Vec<PartialItem>) -> Result<(), StoreError> {
        self.world.random.borrow_mut().shuffle(&mut items);
        for item in items {
            self.world.call("put", move |world| put(world, &item)).await?;
        }
        Ok(())
    }
}

/// One put, as the table sees it.
fn put(world: &World, item: &PartialItem) -> Result<(), StoreError> {
    const LARGEST: usize = 400 * 1024;
    // Attribute names and numbers come to less than a kilobyte.
    if item.pk().len() + item.sk().len() + item.blob.len() + 1024 > LARGEST {
        return Err(StoreError::Permanent("item size has exceeded the maximum".into()));
    }
    match world.partial(item) {
        Some(there) if there == *item => return Ok(()),
        Some(_) => world.violation(format!("{} {} is put with other bytes", item.pk(), item.sk())),
        None => {}
    }
    world.stream.borrow_mut().push((item.pk(), item.sk()));
    alone(world.tables.put_partials(std::slice::from_ref(item)))
}

impl Ledger for Process {
    async fn claim(&self, claim: &Claim) -> Result<ClaimOutcome, StoreError> {
        let mut asked = claim.clone();
        if let Some(mutant) = self.mutant {
            mutant.claims(&mut asked);
        }
        let outcome = self
            .world
            .call("claim", move |world| {
                let outcome = alone(world.tables.claim(&asked))?;
                if outcome == ClaimOutcome::Claimed {
                    world.claimed(&asked);
                }
                Ok(outcome)
            })
            .await?;
        Ok(self.resume(claim, outcome))
    }

    async fn complete(
        &self,
        batch: BatchId,
        etag: &str,
        completion: &Completion,
    ) -> Result<Completed, StoreError> {
        let (etag, completion) = (etag.to_owned(), completion.clone());
        let completed = self
            .world
            .call("complete", move |world| {
                let completed = alone(world.tables.complete(batch, &etag, &completion))?;
                if completed != Completed::Refused {
                    world.completed.borrow_mut().insert(batch);
                }
                Ok(completed)
            })
            .await?;
        if completed == Completed::DigestChanged {
            self.world.violation(format!("the digest of {batch} changed"));
        }
        let held = self.held.take();
        self.put(held).await?;
        Ok(completed)
    }

    async fn quarantine(&self, batch: BatchId, reason: &str) -> Result<(), StoreError> {
        let (reason, mutant) = (reason.to_owned(), self.mutant);
        self.world
            .call("quarantine", move |world| {
                if mutant == Some(Mutant::QuarantineOverDone) {
                    world.overridden.borrow_mut().insert(batch);
                }
                alone(world.tables.quarantine(batch, &reason))?;
                world.quarantined.borrow_mut().insert(batch);
                Ok(())
            })
            .await
    }
}

impl AggregateWriter for Process {
    async fn put_partials(&self, partials: &[PartialItem]) -> Result<(), StoreError> {
        let mut items: Vec<PartialItem> = partials.iter().map(|p| self.mapped(p)).collect();
        if let Some(mutant) = self.mutant {
            if mutant == Mutant::PlainAdd {
                return self.add(items).await;
            }
            for item in &mut items {
                mutant.spoils(item, &self.world);
            }
            if mutant == Mutant::DoneBeforeWrite {
                self.held.borrow_mut().append(&mut items);
            }
        }
        self.put(items).await
    }

    async fn put_directory(&self, entries: &[DirectoryEntry]) -> Result<(), StoreError> {
        let entries = entries.to_vec();
        self.world.call("directory", move |world| alone(world.tables.put_directory(&entries))).await
    }
}

impl LedgerReader for Process {
    async fn entries(&self, batches: &[BatchId]) -> Result<Vec<Option<LedgerEntry>>, StoreError> {
        let batches = batches.to_vec();
        let entries =
            self.world.call("entries", move |world| alone(world.tables.entries(&batches)));
        let mut entries = entries.await?;
        if let Some(mutant) = self.mutant.filter(|_| self.compacts) {
            for entry in entries.iter_mut().flatten() {
                mutant.reads_entry(entry);
            }
        }
        Ok(entries)
    }
}

impl SummaryWriter for Process {
    async fn put_summary(&self, summary: &SummaryItem) -> Result<bool, StoreError> {
        let (mut summary, mutant) = (summary.clone(), self.mutant);
        if let Some(mutant) = mutant {
            mutant.spoils_summary(&mut summary);
        }
        let put = self.world.call("summary", move |world| {
            let mut summary = summary.clone();
            if mutant == Some(Mutant::BlindSummary) {
                summary.version = world.summary(&summary).version + 1;
            }
            let old = world.summary(&summary);
            let granted = alone(world.tables.put_summary(&summary))?;
            if granted && old.parts.iter().any(|part| !summary.contains(part)) {
                world.violation(format!("{} {} forgets a part", summary.pk(), summary.sk()));
            }
            Ok(granted)
        });
        put.await
    }
}

impl Process {
    async fn partials_of(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> Result<Vec<PartialItem>, StoreError> {
        let series = series.clone();
        self.world.call("query", move |world| alone(world.tables.partials(&series, from, to))).await
    }

    async fn summaries_of(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> Result<Vec<SummaryItem>, StoreError> {
        let series = series.clone();
        let query = self.world.call("query", move |world| {
            Ok(alone(world.tables.items(&series, from, to))?.summaries)
        });
        query.await
    }
}

impl AggregateReader for Process {
    async fn partials(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> Result<Vec<PartialItem>, StoreError> {
        self.partials_of(series, from, to).await
    }

    /// Two pages: a query is no snapshot. The summary sorts after the partials of its hour.
    async fn items(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> Result<SeriesItems, StoreError> {
        let early = match self.mutant {
            Some(Mutant::SummaryFirst) => Some(self.summaries_of(series, from, to).await?),
            _ => None,
        };
        let mut partials = self.partials_of(series, from, to).await?;
        if self.mutant == Some(Mutant::TwoSources) {
            for other in self.world.other_sources(series) {
                partials.extend(self.partials_of(&other, from, to).await?);
            }
        }
        let summaries = match early {
            Some(early) => early,
            None => self.summaries_of(series, from, to).await?,
        };
        Ok(SeriesItems { partials, summaries })
    }

    async fn sources(&self, from: &str, to: &str) -> Result<Vec<(String, Source)>, StoreError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.world.call("query", move |world| alone(world.tables.sources(&from, &to))).await
    }

    async fn subjects(
        &self,
        source: &Source,
        view: View,
        day: &str,
    ) -> Result<Vec<String>, StoreError> {
        let (source, day) = (source.clone(), day.to_owned());
        self.world
            .call("query", move |world| alone(world.tables.subjects(&source, view, &day)))
            .await
    }
}

impl AlertStore for Process {
    async fn state(&self, kind: &str, subject: &str) -> Result<Option<StateItem>, StoreError> {
        let (kind, subject) = (kind.to_owned(), subject.to_owned());
        let got = self.world.call("state", move |world| alone(world.tables.state(&kind, &subject)));
        let got = got.await?;
        Ok(if self.alert_mutant == Some(AlertMutant::ClaimIsTold) { got.map(told) } else { got })
    }

    async fn states(&self, kind: &str) -> Result<Vec<StateItem>, StoreError> {
        let kind = kind.to_owned();
        self.world.call("query", move |world| alone(world.tables.states(&kind))).await
    }

    async fn swap_state(
        &self,
        item: &StateItem,
        expected: Option<i64>,
    ) -> Result<bool, StoreError> {
        let mut item = item.clone();
        if self.alert_mutant == Some(AlertMutant::MarkFirst) {
            item = told(item);
        }
        self.world.call("swap", move |world| alone(world.tables.swap_state(&item, expected))).await
    }

    async fn spend_budget(
        &self,
        hour: i64,
        limit: u32,
        token: &str,
        expires: i64,
    ) -> Result<bool, StoreError> {
        let token = match self.alert_mutant {
            Some(AlertMutant::BudgetPerAttempt) => format!("{token}#{}", self.world.calls()),
            _ => token.to_owned(),
        };
        self.world
            .call("budget", move |world| {
                alone(world.tables.spend_budget(hour, limit, &token, expires))
            })
            .await
    }
}

/// The state of an alert as it is once its claim has been marked.
fn told(item: StateItem) -> StateItem {
    let Ok(alert) = serde_json::from_str::<Alert>(&item.body) else { return item };
    let seq = alert.seq;
    let body = serde_json::to_string(&alert.marked(seq)).unwrap_or_default();
    StateItem { body, ..item }
}

/// The topic, through a client of one process.
pub struct Topic {
    /// Where it is.
    pub world: Rc<World>,
    /// What is wrong with the protocol.
    pub mutant: Option<AlertMutant>,
}

impl Notifier for Topic {
    async fn publish(&self, notification: &Notification) -> Result<(), NotifyError> {
        let mut notification = notification.clone();
        if self.mutant == Some(AlertMutant::FreshId) {
            notification.dedupe_id = format!("{}#{}", notification.dedupe_id, self.world.calls());
        }
        let sent = self.world.call("publish", move |world| {
            world.inbox.borrow_mut().push((now(), notification.clone()));
            Ok(())
        });
        sent.await.map_err(|error| NotifyError::Retryable(error.to_string().into()))
    }
}
