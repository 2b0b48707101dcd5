//! The reference store: both tables as sorted maps in memory, with DynamoDB's semantics.
//!
//! Every future is ready at once and every call is atomic, so that a test which interleaves calls
//! decides the order itself. It is what the DynamoDB adapter is compared with, not a cache.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, ready};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::item::{self, Claim, ClaimOutcome, Completed, Completion};
use super::summary::Part;
use super::{
    AggregateReader, AggregateWriter, AlertStore, DirectoryEntry, Ledger, LedgerEntry,
    LedgerReader, LedgerState, PartialItem, Quarantine, Series, SeriesItems, StateItem, StoreError,
    SummaryItem, SummaryWriter, View,
};
use crate::record::{BatchId, Source, Window};

/// Both tables in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    /// By partition and sort key.
    partials: BTreeMap<(String, String), PartialItem>,
    summaries: BTreeMap<(Series, Window), SummaryItem>,
    directory: BTreeSet<DirectoryEntry>,
    ledger: BTreeMap<BatchId, Expiring<LedgerEntry>>,
    /// By kind and subject.
    states: BTreeMap<(String, String), StateItem>,
    budget: BTreeMap<i64, Expiring<Budget>>,
}

#[derive(Debug)]
struct Expiring<T> {
    item: T,
    ttl: i64,
}

#[derive(Debug, Default)]
struct Budget {
    tokens: BTreeSet<String>,
    suppressed: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every partial, by key.
    pub fn all_partials(&self) -> Vec<PartialItem> {
        self.tables().partials.values().cloned().collect()
    }

    /// Every summary, by series and hour.
    pub fn all_summaries(&self) -> Vec<SummaryItem> {
        self.tables().summaries.values().cloned().collect()
    }

    /// Every directory entry, sorted.
    pub fn directory(&self) -> Vec<DirectoryEntry> {
        self.tables().directory.iter().cloned().collect()
    }

    /// Every ledger entry, by batch.
    pub fn ledger(&self) -> Vec<(BatchId, LedgerEntry)> {
        self.tables().ledger.iter().map(|(batch, e)| (*batch, e.item.clone())).collect()
    }

    /// Every piece of the alerter's state, by kind and subject.
    pub fn all_states(&self) -> Vec<StateItem> {
        self.tables().states.values().cloned().collect()
    }

    /// How many notifications the budget of an hour has suppressed.
    pub fn suppressed(&self, hour: i64) -> u64 {
        self.tables().budget.get(&hour).map_or(0, |e| e.item.suppressed)
    }

    /// Deletes every item whose time to live has passed at `now`. DynamoDB does so at some time
    /// after it, never before.
    pub fn expire(&self, now: i64) {
        self.expire_where(now, |_, _| true);
    }

    /// The same for those expired items alone whose partition and sort key `goes` chooses.
    pub fn expire_where(&self, now: i64, mut goes: impl FnMut(&str, &str) -> bool) {
        let mut tables = self.tables();
        let mut keep = |ttl: i64, pk: &str, sk: &str| ttl > now || !goes(pk, sk);
        tables.partials.retain(|(pk, sk), partial| keep(partial.ttl(), pk, sk));
        tables.summaries.retain(|_, s| keep(s.ttl(), &s.pk(), &s.sk()));
        tables.directory.retain(|entry| keep(entry.ttl(), &entry.pk(), &entry.sk()));
        let ledger_pk = item::ledger_pk;
        tables.ledger.retain(|batch, e| keep(e.ttl, &ledger_pk(*batch), item::LEDGER_SK));
        tables.states.retain(|_, s| keep(s.ttl, &item::state_pk(&s.kind), &s.subject));
        tables.budget.retain(|hour, e| keep(e.ttl, item::BUDGET_PK, &hour.to_string()));
    }

    /// A panic elsewhere leaves the maps whole: no call unwinds in the middle of a change.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for MemoryStore {
    fn claim(&self, claim: &Claim) -> impl Future<Output = Result<ClaimOutcome, StoreError>> {
        ready(Ok(self.tables().claim(claim)))
    }

    fn complete(
        &self,
        batch: BatchId,
        etag: &str,
        completion: &Completion,
    ) -> impl Future<Output = Result<Completed, StoreError>> {
        ready(Ok(self.tables().complete(batch, etag, completion)))
    }

    fn quarantine(
        &self,
        batch: BatchId,
        reason: &str,
    ) -> impl Future<Output = Result<(), StoreError>> {
        self.tables().quarantine(batch, reason);
        ready(Ok(()))
    }
}

impl LedgerReader for MemoryStore {
    fn entries(
        &self,
        batches: &[BatchId],
    ) -> impl Future<Output = Result<Vec<Option<LedgerEntry>>, StoreError>> {
        let tables = self.tables();
        let entry = |batch| tables.ledger.get(batch).map(|e| e.item.clone());
        ready(Ok(batches.iter().map(entry).collect()))
    }
}

impl Quarantine for MemoryStore {
    fn quarantined(&self) -> impl Future<Output = Result<Vec<(BatchId, LedgerEntry)>, StoreError>> {
        let mut ledger = self.ledger();
        ledger.retain(|(_, entry)| entry.state == LedgerState::Quarantined);
        ready(Ok(ledger))
    }

    fn reopen(&self, batch: BatchId) -> impl Future<Output = Result<bool, StoreError>> {
        let mut tables = self.tables();
        let item = tables.ledger.get_mut(&batch).map(|e| &mut e.item);
        let quarantined = item.filter(|item| item.state == LedgerState::Quarantined);
        let reopened = quarantined.map(|item| {
            item.state = LedgerState::Claimed;
            item.reason = None;
        });
        ready(Ok(reopened.is_some()))
    }
}

impl AggregateWriter for MemoryStore {
    fn put_partials(
        &self,
        partials: &[PartialItem],
    ) -> impl Future<Output = Result<(), StoreError>> {
        let keyed = partials.iter().map(|p| ((p.pk(), p.sk()), p.clone()));
        self.tables().partials.extend(keyed);
        ready(Ok(()))
    }

    fn put_directory(
        &self,
        entries: &[DirectoryEntry],
    ) -> impl Future<Output = Result<(), StoreError>> {
        self.tables().directory.extend(entries.iter().cloned());
        ready(Ok(()))
    }
}

impl AggregateReader for MemoryStore {
    fn partials(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> impl Future<Output = Result<Vec<PartialItem>, StoreError>> {
        ready(Ok(self.tables().partials(series, from, to)))
    }

    fn items(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> impl Future<Output = Result<SeriesItems, StoreError>> {
        let tables = self.tables();
        let hours = |hour: &Window| from <= to && from.hour() <= *hour && *hour <= to;
        let summaries = tables.summaries.iter().filter(|((s, hour), _)| s == series && hours(hour));
        let summaries = summaries.map(|(_, summary)| summary.clone()).collect();
        ready(Ok(SeriesItems { partials: tables.partials(series, from, to), summaries }))
    }

    fn condensed(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> impl Future<Output = Result<SeriesItems, StoreError>> {
        let all = self.items(series, from, to);
        async move {
            let SeriesItems { mut partials, summaries } = all.await?;
            for summary in &summaries {
                let of_hour = partials.iter().filter(|p| p.window.hour() == summary.hour);
                let there: Vec<Part> = of_hour.map(Part::of).collect();
                if summary.stands_for(&there, from, to) {
                    partials.retain(|p| p.window.hour() != summary.hour);
                }
            }
            Ok(SeriesItems { partials, summaries })
        }
    }

    fn sources(
        &self,
        from_day: &str,
        to_day: &str,
    ) -> impl Future<Output = Result<Vec<(String, Source)>, StoreError>> {
        let tables = self.tables();
        let found = tables.directory.iter().filter_map(|entry| match entry {
            DirectoryEntry::Source { day, source } => Some((day.clone(), source.clone())),
            DirectoryEntry::Series { .. } => None,
        });
        let asked = found.filter(|(day, _)| from_day <= day.as_str() && day.as_str() <= to_day);
        let mut sources: Vec<(String, Source)> = asked.collect();
        sources.sort();
        ready(Ok(sources))
    }

    fn subjects(
        &self,
        source: &Source,
        view: View,
        day: &str,
    ) -> impl Future<Output = Result<Vec<String>, StoreError>> {
        let tables = self.tables();
        let found = tables.directory.iter().filter_map(|entry| match entry {
            DirectoryEntry::Series { day: d, series }
                if d == day && series.source == *source && series.view == view =>
            {
                Some(series.subject.clone())
            }
            _ => None,
        });
        let mut subjects: Vec<String> = found.collect();
        subjects.sort();
        ready(Ok(subjects))
    }
}

impl SummaryWriter for MemoryStore {
    fn put_summary(&self, summary: &SummaryItem) -> impl Future<Output = Result<bool, StoreError>> {
        let mut tables = self.tables();
        let key = (summary.series.clone(), summary.hour);
        let there = tables.summaries.get(&key);
        let next = there.map_or(0, |s| s.version) + 1 == summary.version;
        let granted = next || there == Some(summary);
        if next {
            tables.summaries.insert(key, summary.clone());
        }
        ready(Ok(granted))
    }
}

impl AlertStore for MemoryStore {
    fn state(
        &self,
        kind: &str,
        subject: &str,
    ) -> impl Future<Output = Result<Option<StateItem>, StoreError>> {
        let key = (kind.to_owned(), subject.to_owned());
        ready(Ok(self.tables().states.get(&key).cloned()))
    }

    fn states(&self, kind: &str) -> impl Future<Output = Result<Vec<StateItem>, StoreError>> {
        let tables = self.tables();
        let of_kind = tables.states.values().filter(|item| item.kind == kind);
        ready(Ok(of_kind.cloned().collect()))
    }

    fn swap_state(
        &self,
        item: &StateItem,
        expected: Option<i64>,
    ) -> impl Future<Output = Result<bool, StoreError>> {
        let mut tables = self.tables();
        let key = (item.kind.clone(), item.subject.clone());
        let swapped = tables.states.get(&key).map(|there| there.version) == expected;
        if swapped {
            tables.states.insert(key, item.clone());
        }
        ready(Ok(swapped))
    }

    fn spend_budget(
        &self,
        hour: i64,
        limit: u32,
        token: &str,
        expires: i64,
    ) -> impl Future<Output = Result<bool, StoreError>> {
        let mut tables = self.tables();
        let budget = tables
            .budget
            .entry(hour)
            .or_insert_with(|| Expiring { item: Budget::default(), ttl: expires });
        let Budget { tokens, suppressed } = &mut budget.item;
        let granted = tokens.contains(token) || tokens.len() < limit as usize;
        if granted {
            tokens.insert(token.to_owned());
        } else {
            *suppressed += 1;
        }
        ready(Ok(granted))
    }
}

impl Tables {
    fn partials(&self, series: &Series, from: Window, to: Window) -> Vec<PartialItem> {
        let wanted = |p: &&PartialItem| p.series == *series && from <= p.window && p.window <= to;
        let mut found: Vec<PartialItem> = self.partials.values().filter(wanted).cloned().collect();
        // Not the order of the keys: base64 text does not sort as the bytes do.
        found.sort_by_key(|p| (p.window, p.batch, p.chunk));
        found
    }

    fn claim(&mut self, claim: &Claim) -> ClaimOutcome {
        if let Some(there) = self.ledger.get(&claim.batch) {
            return ClaimOutcome::Exists(there.item.clone());
        }
        let item = LedgerEntry {
            state: LedgerState::Claimed,
            mapping: claim.mapping,
            etag: claim.etag.clone(),
            origin: claim.origin.clone(),
            horizon: claim.horizon,
            completion: None,
            reason: None,
        };
        self.ledger.insert(claim.batch, Expiring { item, ttl: claim.ttl });
        ClaimOutcome::Claimed
    }

    fn complete(&mut self, batch: BatchId, etag: &str, completion: &Completion) -> Completed {
        let Some(Expiring { item, .. }) = self.ledger.get_mut(&batch) else {
            return Completed::Refused;
        };
        if item.etag != etag {
            return Completed::Refused;
        }
        match (item.state, &item.completion) {
            (LedgerState::Claimed, _) => {
                item.state = LedgerState::Done;
                item.completion = Some(completion.clone());
                Completed::Done
            }
            (LedgerState::Done, Some(first)) if first.digest == completion.digest => {
                Completed::Done
            }
            (LedgerState::Done, _) => Completed::DigestChanged,
            (LedgerState::Quarantined, _) => Completed::Refused,
        }
    }

    fn quarantine(&mut self, batch: BatchId, reason: &str) {
        if let Some(Expiring { item, .. }) = self.ledger.get_mut(&batch)
            && item.state == LedgerState::Claimed
        {
            item.state = LedgerState::Quarantined;
            item.reason = Some(reason.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::store::contract;

    /// Polls a future that never waits.
    fn now<F: Future>(future: F) -> F::Output {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the memory store made somebody wait"),
        }
    }

    #[test]
    fn keeps_the_contract() {
        now(contract::all(&MemoryStore::new())).unwrap();
        now(contract::quarantine(&MemoryStore::new())).unwrap();
    }

    #[test]
    fn nothing_expires_early() {
        let store = MemoryStore::new();
        now(contract::all(&store)).unwrap();
        let (partials, ledger) = (store.all_partials(), store.ledger());
        let first = partials.iter().map(PartialItem::ttl).min().unwrap();
        store.expire(first - 1);
        assert_eq!(store.all_partials(), partials);
        assert_eq!(store.ledger(), ledger);
        store.expire(first);
        assert!(store.all_partials().len() < partials.len());
        store.expire(i64::MAX);
        assert!(store.all_partials().is_empty() && store.ledger().is_empty());
        assert!(store.all_states().is_empty() && store.directory().is_empty());
    }
}
