//! The worker process: keys on standard input, an answer for each on standard output.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;

use flowlog_aws::{DynamoDbStore, Tables, sdk};
use flowlog_cli::folder::FolderObjects;
use flowlog_core::decode::Limits;
use flowlog_core::ingest::Ingestor;
use flowlog_core::rollup::{Budget, Mapping};
use flowlog_core::store::{AggregateWriter, Ledger};
use flowlog_s3_parser::{App, handle};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};

use crate::Trouble;

/// Ingests what it is told to, until nobody tells it anything more.
pub(crate) fn work(endpoint: &str, folder: &str, mapping: &str) -> Result<(), Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let store = DynamoDbStore::new(&sdk::local(endpoint), Tables::default());
    let mapping = mapping.parse().ok().and_then(Mapping::from_number).ok_or("no mapping")?;
    let app = parser(folder, store, mapping)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (bucket, key) = line.split_once(' ').ok_or("a bucket and a key, please")?;
        let event = LambdaEvent::new(message(bucket, key), Context::default());
        let answer = runtime.block_on(handle(&app, event));
        let done = answer.is_ok_and(|answer| answer == json!({ "batchItemFailures": [] }));
        println!("{}", if done { "done" } else { "again" });
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// The parser on a folder of objects and some store.
pub(crate) fn parser<S: Ledger + AggregateWriter>(
    folder: &str,
    store: S,
    mapping: Mapping,
) -> Result<App<FolderObjects, S>, Trouble> {
    Ok(App {
        objects: FolderObjects::open(&[PathBuf::from(folder)])?,
        store,
        limits: Limits::default(),
        horizon: None,
        now: flowlog_aws::env::now,
        metrics: |_, _| {},
        ingestor: Ingestor::new(mapping, Budget::default()),
    })
}

/// A queue's message about one object.
pub(crate) fn message(bucket: &str, key: &str) -> Value {
    let body = json!({ "Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": bucket }, "object": { "key": key } },
    }]});
    json!({ "Records": [
        { "messageId": "1", "eventSource": "aws:sqs", "body": body.to_string() },
    ]})
}

/// The bucket and key of every object in a folder.
pub(crate) fn keys(folder: &str) -> Result<Vec<(String, String)>, Trouble> {
    let folder = FolderObjects::open(&[PathBuf::from(folder)])?;
    Ok(folder.objects().map(|(object, _)| (object.bucket.clone(), object.key.clone())).collect())
}
