//! Aggregates: blind puts in batches, consistent reads in the fold's order.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    PutRequest, ReturnValuesOnConditionCheckFailure as OnRefusal, WriteRequest,
};
use flowlog_core::record::{Source, Window};
use flowlog_core::store::item;
use flowlog_core::store::summary::WINDOWS_PER_HOUR;
use flowlog_core::store::{
    AggregateReader, AggregateWriter, DirectoryEntry, PartialItem, Series, SeriesItems, StoreError,
    SummaryItem, SummaryWriter, View,
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
        series: &Series,
        from: Window,
        to: Window,
    ) -> Result<Vec<PartialItem>, StoreError> {
        let mut found = Vec::new();
        for item in self.of_series(series, from, to, "#P#~").await? {
            if is_a(&item, "P") {
                found.push(items::to_partial(item)?);
            }
        }
        // Not the order of the sort keys: base64 text does not sort as the bytes do.
        found.sort_by_key(|p| (p.window, p.batch, p.chunk));
        Ok(found)
    }

    async fn items(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> Result<SeriesItems, StoreError> {
        let mut found = SeriesItems::default();
        if from > to {
            return Ok(found);
        }
        // An hour's summary stands behind the partials of its last window.
        let end = to.hour().forward(WINDOWS_PER_HOUR - 1);
        for item in self.of_series(series, from, end, "#~").await? {
            if is_a(&item, "P") {
                let partial = items::to_partial(item)?;
                if partial.window <= to {
                    found.partials.push(partial);
                }
            } else if is_a(&item, "S") {
                found.summaries.push(items::to_summary(item)?);
            }
        }
        found.partials.sort_by_key(|p| (p.window, p.batch, p.chunk));
        found.summaries.sort_by_key(|s| s.hour);
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

    async fn subjects(
        &self,
        source: &Source,
        view: View,
        day: &str,
    ) -> Result<Vec<String>, StoreError> {
        let series = Series { source: source.clone(), view, subject: String::new() };
        let of_day = DirectoryEntry::Series { day: day.to_owned(), series };
        let mut found = Vec::new();
        for item in self.query(of_day.pk(), " ", &LAST.to_string()).await? {
            found.push(items::Reader::new(item).text("sk")?);
        }
        found.sort();
        Ok(found)
    }
}

impl SummaryWriter for DynamoDbStore {
    async fn put_summary(&self, summary: &SummaryItem) -> Result<bool, StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.tables.aggregates)
            .set_item(Some(items::of_summary(summary)))
            .return_values_on_condition_check_failure(OnRefusal::AllOld);
        let put = match summary.version {
            1 => put.condition_expression("attribute_not_exists(pk)"),
            version => put
                .condition_expression("v = :old")
                .expression_attribute_values(":old", items::n(version - 1)),
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(e)) if e.err().is_conditional_check_failed_exception() => {
                let PutItemError::ConditionalCheckFailedException(refused) = e.into_err() else {
                    return Ok(false);
                };
                // The response to the first attempt may have been lost: what is there is ours then.
                let there = refused.item.map(items::to_summary).transpose()?;
                Ok(there.as_ref() == Some(summary))
            }
            Err(e) => Err(error::store("PutItem", &e)),
        }
    }
}

/// A window's range of sort keys may hold other kinds of items.
fn is_a(item: &Item, kind: &str) -> bool {
    item.get("t").and_then(|t| t.as_s().ok()).is_some_and(|t| t == kind)
}

impl DynamoDbStore {
    /// The items of a series whose sort keys lie between those of two windows, in days' order; the
    /// last window's keys are read up to `last`.
    async fn of_series(
        &self,
        series: &Series,
        from: Window,
        to: Window,
        last: &str,
    ) -> Result<Vec<Item>, StoreError> {
        // BETWEEN refuses a range that ends before it begins.
        if from > to {
            return Ok(Vec::new());
        }
        let first = format!("{}#", item::window_sk(from));
        let last = format!("{}{last}", item::window_sk(to));
        let days = from.days_to(to).into_iter().filter_map(|day| Window::day_start(&day));
        let mut pages = stream::iter(days.filter_map(Window::of))
            .map(|day| self.query(series.pk(day), &first, &last))
            .buffered(READS_IN_FLIGHT);
        let mut found = Vec::new();
        while let Some(items) = pages.try_next().await? {
            found.extend(items);
        }
        Ok(found)
    }

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
