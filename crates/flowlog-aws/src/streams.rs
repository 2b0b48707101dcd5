//! Reading a table's stream by hand. In Lambda the event source mapping does this; the command
//! does it on its own database.

use std::collections::BTreeMap;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::error::SdkError;
use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsError;
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
        let mut found = Vec::new();
        loop {
            if self.list_shards {
                self.find_shards().await?;
                self.list_shards = false;
            }
            for (id, shard) in self.shards.iter_mut().filter(|(_, shard)| !shard.closed) {
                match shard.read(&self.client, &self.stream_arn, id, &mut found).await {
                    Ok(()) => self.list_shards |= shard.closed,
                    // What other shards gave is not read again; the error will be.
                    Err(_) if !found.is_empty() => return Ok(found),
                    Err(error) => return Err(error),
                }
            }
            // A shard that was closed with nothing left in it says nothing about its heirs.
            if !found.is_empty() || !self.list_shards {
                return Ok(found);
            }
        }
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
        let held = self.iterator.take();
        let may_be_old = held.is_some();
        let iterator = match held {
            Some(iterator) => iterator,
            None => self.new_iterator(client, stream_arn, id).await?,
        };
        let mut page = client.get_records().shard_iterator(&iterator).send().await;
        let expired = |e: &SdkError<GetRecordsError>| {
            e.as_service_error().is_some_and(GetRecordsError::is_expired_iterator_exception)
        };
        if may_be_old && page.as_ref().is_err_and(expired) {
            let iterator = self.new_iterator(client, stream_arn, id).await?;
            page = client.get_records().shard_iterator(iterator).send().await;
        }
        // After an error the next attempt finds its place by the last record.
        let page = page.map_err(|e| error::store("GetRecords", &e))?;
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::dynamodb::Tables;
    use crate::replay::{self, Wire};

    const ARN: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/FlowAggregates/stream/1";

    fn records(sequences: &[&str], next: Option<&str>) -> replay::Canned {
        let record = |sequence: &&str| {
            let keys = json!({ "pk": { "S": "E#x" }, "sk": { "S": format!("W{sequence}") } });
            json!({ "dynamodb": { "Keys": keys, "SequenceNumber": sequence } })
        };
        let records: Vec<Value> = sequences.iter().map(record).collect();
        replay::json(200, json!({ "Records": records, "NextShardIterator": next }))
    }

    fn shards(ids: &[&str]) -> replay::Canned {
        let ids: Vec<Value> = ids.iter().map(|id| json!({ "ShardId": id })).collect();
        replay::json(200, json!({ "StreamDescription": { "StreamArn": ARN, "Shards": ids } }))
    }

    #[tokio::test]
    async fn an_expired_iterator_goes_on_and_a_closed_shard_has_heirs() {
        let iterator = |name: &str| replay::json(200, json!({ "ShardIterator": name }));
        let expired = "com.amazonaws.dynamodb.v20120810#ExpiredIteratorException";
        let wire = Wire::new([
            replay::json(200, json!({ "Table": { "LatestStreamArn": ARN } })),
            shards(&["shard-1"]),
            iterator("i1"),
            records(&["1", "2"], Some("i2")),
            replay::json(400, json!({ "__type": expired, "message": "because" })),
            iterator("i3"),
            records(&["3"], Some("i3b")),
            records(&[], None),
            shards(&["shard-1", "shard-2"]),
            iterator("i4"),
            records(&["4"], Some("i5")),
        ]);
        let config = wire.config();
        let store = DynamoDbStore::new(&config, Tables::default());
        let mut stream = StreamReader::open(&config, &store).await.unwrap();
        let mut polls = Vec::new();
        for _ in 0..3 {
            let keys = stream.poll().await.unwrap();
            polls.push(keys.into_iter().map(|k| k.sequence).collect::<Vec<_>>());
        }
        assert_eq!(polls, [vec!["1", "2"], vec!["3"], vec!["4"]]);
        let asked = wire.asked();
        let iterators: Vec<Value> = asked
            .iter()
            .filter(|a| {
                a.header("x-amz-target") == Some("DynamoDBStreams_20120810.GetShardIterator")
            })
            .map(replay::Asked::json)
            .collect();
        assert_eq!(iterators[0]["ShardIteratorType"], "TRIM_HORIZON");
        assert_eq!(iterators[1]["ShardIteratorType"], "AFTER_SEQUENCE_NUMBER");
        assert_eq!(iterators[1]["SequenceNumber"], "2");
        assert_eq!(iterators[2]["ShardId"], "shard-2");
    }

    #[tokio::test]
    async fn a_table_without_a_stream_is_refused() {
        let wire = Wire::new([replay::json(200, json!({ "Table": {} }))]);
        let config = wire.config();
        let store = DynamoDbStore::new(&config, Tables::default());
        let error = StreamReader::open(&config, &store).await.unwrap_err();
        assert!(!error.is_retryable());
        assert!(error.to_string().contains("FlowAggregates has no stream"), "{error}");
    }
}
