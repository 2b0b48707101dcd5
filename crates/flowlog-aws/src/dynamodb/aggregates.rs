//! Aggregates: blind puts in batches, consistent reads in the fold's order.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use flowlog_core::record::{Source, Window};
use flowlog_core::store::item;
use flowlog_core::store::{
    AggregateReader, AggregateWriter, DirectoryEntry, PartialItem, StoreError,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::DynamoDbStore;
use crate::error::{self, CallError};
use crate::items::{self, Item};

/// Items that one BatchWriteItem may put.
const PUT_AT_ONCE: usize = 25;
/// BatchWriteItems in flight: 400 puts, which hides the round trip and is far from what a table
/// that nobody warmed up takes in a second.
const WRITES_IN_FLIGHT: usize = 16;
/// Queries in flight, one per day.
const READS_IN_FLIGHT: usize = 8;
/// Sorts after every character of a source, a batch id or a chunk number.
const LAST: char = '~';

impl AggregateWriter for DynamoDbStore {
    async fn put_partials(&self, partials: &[PartialItem]) -> Result<(), StoreError> {
        // One request may not put a key twice. The same key is the same delivery, so the same
        // bytes; should it not be, the last one stays, as it would by one put after another.
        let by_key: BTreeMap<_, _> = partials.iter().map(|p| ((p.pk(), p.sk()), p)).collect();
        self.put_all(&by_key.into_values().collect::<Vec<_>>(), |p| items::of_partial(p)).await
    }

    async fn put_directory(&self, entries: &[DirectoryEntry]) -> Result<(), StoreError> {
        let by_key: BTreeMap<_, _> = entries.iter().map(|e| ((e.pk(), e.sk()), e)).collect();
        self.put_all(&by_key.into_values().collect::<Vec<_>>(), |e| items::of_directory(e)).await
    }
}

impl AggregateReader for DynamoDbStore {
    async fn partials(
        &self,
        source: &Source,
        interface_id: &str,
        from: Window,
        to: Window,
    ) -> Result<Vec<PartialItem>, StoreError> {
        // BETWEEN refuses a range that ends before it begins.
        if from > to {
            return Ok(Vec::new());
        }
        let first = format!("{}#P#", item::window_sk(from));
        let last = format!("{}#P#{LAST}", item::window_sk(to));
        let days = from.days_to(to).into_iter().filter_map(|day| Window::day_start(&day));
        let mut pages = stream::iter(days.filter_map(Window::of))
            .map(|day| self.query(item::partial_pk(source, interface_id, day), &first, &last))
            .buffer_unordered(READS_IN_FLIGHT);
        let mut found = Vec::new();
        while let Some(items) = pages.try_next().await? {
            for item in items.into_iter().filter(is_partial) {
                found.push(items::to_partial(item)?);
            }
        }
        // Not the order of the sort keys: base64 text does not sort as the bytes do.
        found.sort_by_key(|p| (p.window, p.batch, p.chunk));
        Ok(found)
    }

    async fn sources(
        &self,
        from_day: &str,
        to_day: &str,
    ) -> Result<Vec<(String, Source)>, StoreError> {
        if from_day > to_day {
            return Ok(Vec::new());
        }
        let last = format!("{to_day}#{LAST}");
        let mut found = Vec::new();
        for item in self.query("D".to_owned(), from_day, &last).await? {
            let mut reader = items::Reader::new(item);
            let sk = reader.text("sk")?;
            let entry = sk.split_once('#').and_then(|(day, s)| Some((day, Source::parse(s)?)));
            let (day, source) = entry.ok_or_else(|| reader.corrupt("no key of a source"))?;
            found.push((day.to_owned(), source));
        }
        found.sort();
        Ok(found)
    }

    async fn interfaces(&self, source: &Source, day: &str) -> Result<Vec<String>, StoreError> {
        let of_day = DirectoryEntry::Interface {
            day: day.to_owned(),
            source: source.clone(),
            interface_id: String::new(),
        };
        let mut found = Vec::new();
        for item in self.query(of_day.pk(), " ", &LAST.to_string()).await? {
            found.push(items::Reader::new(item).text("sk")?);
        }
        found.sort();
        Ok(found)
    }
}

/// A window's range of sort keys may hold other kinds of items.
fn is_partial(item: &Item) -> bool {
    item.get("t").and_then(|t| t.as_s().ok()).is_some_and(|t| t == "P")
}

impl DynamoDbStore {
    /// Puts what the values become, all keys different. Items are made as they are sent, so that
    /// memory holds those in flight and not a second copy of everything.
    async fn put_all<T>(
        &self,
        values: &[T],
        to_item: impl Fn(&T) -> Item,
    ) -> Result<(), StoreError> {
        stream::iter(values.chunks(PUT_AT_ONCE).map(Ok))
            .try_for_each_concurrent(WRITES_IN_FLIGHT, |chunk| {
                self.put_batch(chunk.iter().map(&to_item).collect())
            })
            .await
    }

    /// Puts at most 25 items, again and again until none is left.
    async fn put_batch(&self, items: Vec<Item>) -> Result<(), StoreError> {
        let mut writes = Vec::with_capacity(items.len());
        for item in items {
            let put = PutRequest::builder().set_item(Some(item)).build();
            let put = put.map_err(|e| StoreError::Permanent(Box::new(e)))?;
            writes.push(WriteRequest::builder().put_request(put).build());
        }
        let mut backoff = Backoff::new("BatchWriteItem");
        loop {
            let sent = writes.len();
            let written = self
                .client
                .batch_write_item()
                .request_items(&self.tables.aggregates, writes)
                .send()
                .await
                .map_err(|e| error::store("BatchWriteItem", &e))?;
            let left = written.unprocessed_items.unwrap_or_default();
            writes = left.into_values().flatten().collect();
            if writes.is_empty() {
                return Ok(());
            }
            backoff.wait(writes.len() < sent).await?;
        }
    }
}

/// Waits between attempts at what the table has not processed: full jitter, so that those who were
/// throttled together do not come back together.
pub(super) struct Backoff {
    operation: &'static str,
    /// Attempts in a row that processed nothing.
    in_vain: u32,
    jitter: RandomState,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 50 });
    const LONGEST: Duration = Duration::from_millis(if cfg!(test) { 40 } else { 2000 });
    /// About eight seconds of waiting on average.
    const IN_VAIN: u32 = 12;

    pub(super) fn new(operation: &'static str) -> Self {
        Self { operation, in_vain: 0, jitter: RandomState::new() }
    }

    /// Waits before the next attempt; gives up after many that got nowhere.
    pub(super) async fn wait(&mut self, some_processed: bool) -> Result<(), StoreError> {
        self.in_vain = if some_processed { 0 } else { self.in_vain + 1 };
        if self.in_vain >= Self::IN_VAIN {
            let cause = CallError::new(self.operation, "the table keeps throttling");
            return Err(StoreError::Retryable(Box::new(cause)));
        }
        let most = (Self::FIRST * 2u32.pow(self.in_vain)).min(Self::LONGEST);
        // Randomness without a generator: a randomly keyed hash of the attempt.
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1);
        let wait = self.jitter.hash_one(self.in_vain) % micros;
        tokio::time::sleep(Duration::from_micros(wait)).await;
        Ok(())
    }
}
