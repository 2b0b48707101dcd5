//! Reading a table's stream by hand. In Lambda the event source mapping does this; the command
//! does it on its own database.

use std::collections::BTreeMap;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::types::{AttributeValue, Record, ShardIteratorType};
use aws_types::SdkConfig;
use flowlog_core::store::StoreError;

use crate::dynamodb::DynamoDbStore;
use crate::error::{self, CallError};

/// What a stream record is worth to a reader that goes to the table itself: the key that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamKeys {
    /// Partition key.
    pub pk: String,
    /// Sort key.
    pub sk: String,
    /// The record's position in its shard.
    pub sequence: String,
}

/// A reader of every shard of the aggregates' stream, from the oldest record on. Records of one
/// shard come in their order; shards are not waited for by each other, since the reader takes a
/// record as a doorbell and not as news.
#[derive(Debug)]
pub struct StreamReader {
    client: Client,
    stream_arn: String,
    /// By shard id.
    shards: BTreeMap<String, Shard>,
    /// New shards come only when one is closed, and listing them is dear.
    list_shards: bool,
}

#[derive(Debug, Default)]
struct Shard {
    /// Where the next page begins, if that is known.
    iterator: Option<String>,
    /// The last record read, to go on from when the iterator has expired (after 15 minutes).
    last: Option<String>,
    closed: bool,
}

impl StreamReader {
    /// A reader of the stream of the store's aggregates.
    pub async fn open(config: &SdkConfig, store: &DynamoDbStore) -> Result<Self, StoreError> {
        let table = &store.tables().aggregates;
        let described = store.client().describe_table().table_name(table).send().await;
        let described = described.map_err(|e| error::store("DescribeTable", &e))?;
        let stream_arn = described.table.and_then(|table| table.latest_stream_arn);
        let stream_arn = stream_arn.ok_or_else(|| {
            let cause = CallError::new("DescribeTable", format!("{table} has no stream"));
            StoreError::Permanent(Box::new(cause))
        })?;
        Ok(Self {
            client: Client::new(config),
            stream_arn,
            shards: BTreeMap::new(),
            list_shards: true,
        })
    }

    /// The next records: one page (at most 1,000) of each shard that has some. Empty once there
    /// are none for now.
    pub async fn poll(&mut self) -> Result<Vec<StreamKeys>, StoreError> {
        if self.list_shards {
            self.find_shards().await?;
            self.list_shards = false;
        }
        let mut found = Vec::new();
        for (id, shard) in self.shards.iter_mut().filter(|(_, shard)| !shard.closed) {
            shard.read(&self.client, &self.stream_arn, id, &mut found).await?;
            self.list_shards |= shard.closed;
        }
        Ok(found)
    }

    async fn find_shards(&mut self) -> Result<(), StoreError> {
        let mut start = None;
        loop {
            let described = self
                .client
                .describe_stream()
                .stream_arn(&self.stream_arn)
                .set_exclusive_start_shard_id(start)
                .send()
                .await
                .map_err(|e| error::store("DescribeStream", &e))?;
            let Some(stream) = described.stream_description else { return Ok(()) };
            for id in stream.shards.unwrap_or_default().into_iter().filter_map(|s| s.shard_id) {
                self.shards.entry(id).or_default();
            }
            start = stream.last_evaluated_shard_id;
            if start.is_none() {
                return Ok(());
            }
        }
    }
}

impl Shard {
    /// Reads one page.
    async fn read(
        &mut self,
        client: &Client,
        stream_arn: &str,
        id: &str,
        found: &mut Vec<StreamKeys>,
    ) -> Result<(), StoreError> {
        let iterator = match self.iterator.take() {
            Some(iterator) => iterator,
            None => self.new_iterator(client, stream_arn, id).await?,
        };
        let page = match client.get_records().shard_iterator(&iterator).send().await {
            Ok(page) => page,
            Err(e) if e.as_service_error().is_some_and(|e| e.is_expired_iterator_exception()) => {
                return Ok(());
            }
            Err(e) => {
                self.iterator = Some(iterator);
                return Err(error::store("GetRecords", &e));
            }
        };
        for keys in page.records.unwrap_or_default().into_iter().filter_map(keys) {
            self.last = Some(keys.sequence.clone());
            found.push(keys);
        }
        self.iterator = page.next_shard_iterator;
        self.closed = self.iterator.is_none();
        Ok(())
    }

    async fn new_iterator(
        &self,
        client: &Client,
        stream_arn: &str,
        id: &str,
    ) -> Result<String, StoreError> {
        let from = match self.last {
            None => ShardIteratorType::TrimHorizon,
            Some(_) => ShardIteratorType::AfterSequenceNumber,
        };
        let got = client
            .get_shard_iterator()
            .stream_arn(stream_arn)
            .shard_id(id)
            .shard_iterator_type(from)
            .set_sequence_number(self.last.clone())
            .send()
            .await
            .map_err(|e| error::store("GetShardIterator", &e))?;
        got.shard_iterator.ok_or_else(|| {
            let cause = CallError::new("GetShardIterator", "no iterator in the response");
            StoreError::Retryable(Box::new(cause))
        })
    }
}

/// The keys of a record. The streams SDK has an attribute type of its own.
fn keys(record: Record) -> Option<StreamKeys> {
    let mut change = record.dynamodb?;
    let mut keys = change.keys.take()?;
    let mut key = |name| match keys.remove(name) {
        Some(AttributeValue::S(text)) => Some(text),
        _ => None,
    };
    Some(StreamKeys { pk: key("pk")?, sk: key("sk")?, sequence: change.sequence_number? })
}
