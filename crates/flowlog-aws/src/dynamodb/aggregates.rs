//! Aggregates: blind puts in batches, consistent reads in the fold's order.

use std::cell::RefCell;
use std::collections::BTreeMap;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    PutRequest, ReturnValuesOnConditionCheckFailure as OnRefusal, WriteRequest,
};
use flowlog_core::record::{Source, WINDOWS_PER_HOUR, Window};
use flowlog_core::store::item;
use flowlog_core::store::{
    AggregateReader, AggregateWriter, DirectoryEntry, PartialItem, Series, SeriesItems, StoreError,
    SummaryItem, SummaryWriter, View,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::DynamoDbStore;
use super::patience::{Pace, Patience, patiently};
use crate::error;
use crate::items::{self, Item};

/// Items that one BatchWriteItem may put.
const PUT_AT_ONCE: usize = 25;
/// Queries in flight, one per day.
const READS_IN_FLIGHT: usize = 8;
/// Sorts after every character of a source, a batch id or a chunk number.
const LAST: char = '~';

impl AggregateWriter for DynamoDbStore {
    async fn put_partials(&self, partials: &[PartialItem]) -> Result<(), StoreError> {
        // One request may not put a key twice. The same key is the same delivery, so the same
        // bytes; should it not be, the last one stays, as it would by one put after another. Told
        // apart by what keys are made of: tens of thousands of them as text would take megabytes.
        let key = |p: &'_ PartialItem| (p.window, p.batch, p.chunk);
        let by_key: BTreeMap<_, _> = partials.iter().map(|p| ((&p.series, key(p)), p)).collect();
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
        for item in self.query(&self.tables.aggregates, "D".to_owned(), from_day, &last).await? {
            let reader = items::Reader::new(item);
            let sk = reader.sk()?;
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
        for item in self.query(&self.tables.aggregates, of_day.pk(), " ", "~").await? {
            found.push(items::Reader::new(item).sk()?.to_owned());
        }
        found.sort();
        Ok(found)
    }
}

impl SummaryWriter for DynamoDbStore {
    async fn put_summary(&self, summary: &SummaryItem) -> Result<bool, StoreError> {
        patiently("PutItem", async || self.put_summary_once(summary).await).await
    }
}

/// A window's range of sort keys may hold other kinds of items.
fn is_a(item: &Item, kind: &str) -> bool {
    item.get("t").and_then(|t| t.as_s().ok()).is_some_and(|t| t == kind)
}

impl DynamoDbStore {
    /// One attempt at a summary.
    async fn put_summary_once(&self, summary: &SummaryItem) -> Result<bool, StoreError> {
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
            .map(|day| self.query(&self.tables.aggregates, series.pk(day), &first, &last))
            .buffered(READS_IN_FLIGHT);
        let mut found = Vec::new();
        while let Some(items) = pages.try_next().await? {
            found.extend(items);
        }
        Ok(found)
    }

    /// Puts what the values become, all keys different. Items are made as they are sent, so that
    /// memory holds those in flight and not a second copy of everything. What the table has not
    /// processed goes into later requests beside what has not been sent yet, so that a storm
    /// leaves no trail of small ones.
    async fn put_all<T>(
        &self,
        values: &[T],
        to_item: impl Fn(&T) -> Item,
    ) -> Result<(), StoreError> {
        let fresh = values.iter().map(|value| put_request(to_item(value)));
        let queue = RefCell::new(Queue { again: Vec::new(), fresh });
        let hands = values.len().div_ceil(PUT_AT_ONCE).min(usize::from(Pace::MOST));
        let writers = (0..hands).map(|_| self.put_from(&queue));
        stream::iter(writers).buffer_unordered(hands.max(1)).try_collect::<()>().await
    }

    /// Puts what the queue has until it has nothing more. Others do the same at once.
    async fn put_from<I>(&self, queue: &RefCell<Queue<I>>) -> Result<(), StoreError>
    where
        I: Iterator<Item = Result<WriteRequest, StoreError>>,
    {
        let mut patience = Patience::new("BatchWriteItem");
        loop {
            let slot = self.pace.slot().await;
            let writes = queue.borrow_mut().take(PUT_AT_ONCE)?;
            if writes.is_empty() {
                return Ok(());
            }
            let sent = writes.len();
            let written = self
                .client
                .batch_write_item()
                .request_items(&self.tables.aggregates, writes.clone())
                .send()
                .await
                .map_err(|e| error::store("BatchWriteItem", &e));
            let (left, error) = match written {
                Ok(written) => {
                    let left = written.unprocessed_items.unwrap_or_default();
                    (left.into_values().flatten().collect(), None)
                }
                Err(error) => (writes, Some(error)),
            };
            slot.answered(!left.is_empty() && error.as_ref().is_none_or(error::is_busy));
            let unprocessed = left.len();
            queue.borrow_mut().again.extend(left);
            match error {
                Some(error) => patience.after(error).await?,
                None if unprocessed > 0 => patience.after_some(unprocessed < sent).await?,
                None => patience = Patience::new("BatchWriteItem"),
            }
        }
    }
}

fn put_request(item: Item) -> Result<WriteRequest, StoreError> {
    let put = PutRequest::builder().set_item(Some(item)).build();
    let put = put.map_err(|e| StoreError::Permanent(Box::new(e)))?;
    Ok(WriteRequest::builder().put_request(put).build())
}

/// What is still to be put.
struct Queue<I> {
    /// Sent before, and not processed.
    again: Vec<WriteRequest>,
    /// Not sent yet.
    fresh: I,
}

impl<I: Iterator<Item = Result<WriteRequest, StoreError>>> Queue<I> {
    fn take(&mut self, most: usize) -> Result<Vec<WriteRequest>, StoreError> {
        let mut taken = self.again.split_off(self.again.len().saturating_sub(most));
        for request in self.fresh.by_ref().take(most - taken.len()) {
            taken.push(request?);
        }
        Ok(taken)
    }
}
