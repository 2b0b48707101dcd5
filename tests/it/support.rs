//! What the tests share: generated days, events, and a store that dies on command.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flowlog_aws::telemetry::Metric;
use flowlog_cli::folder::FolderObjects;
use flowlog_cli::generate::{self, Attack, FileFormat, Layout, Plan, Truth, USUAL};
use flowlog_core::compact::compact_hour;
use flowlog_core::decode::Limits;
use flowlog_core::format::Format;
use flowlog_core::ingest::Ingestor;
use flowlog_core::object::{Listing, ObjectError, ObjectHead, ObjectRef, Objects, Page};
use flowlog_core::record::{BatchId, WINDOWS_PER_HOUR, Window};
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::{
    AggregateWriter, Claim, ClaimOutcome, Completed, Completion, DirectoryEntry, Ledger,
    LedgerEntry, LedgerReader, PartialItem, Series, StoreError,
};
use flowlog_s3_parser::{App, handle};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Midnight, 1 November 2026.
pub(crate) const START: i64 = 1_793_491_200;

/// A generated day's objects in a temporary folder, and the truth about them.
pub(crate) struct Day {
    pub(crate) folder: TempDir,
    pub(crate) truth: Truth,
}

pub(crate) fn generate(seed: u64, minutes: u32, rate: u32, attacks: &[Attack]) -> Day {
    generate_as(FileFormat::PlainText, seed, minutes, rate, attacks)
}

/// The same traffic in lines or in columns.
pub(crate) fn generate_as(
    file_format: FileFormat,
    seed: u64,
    minutes: u32,
    rate: u32,
    attacks: &[Attack],
) -> Day {
    let folder = tempfile::tempdir().unwrap();
    let attacks = attacks.to_vec();
    let format = Layout::V5;
    let intensity = USUAL;
    let plan = Plan { seed, start: START, minutes, rate, format, file_format, attacks, intensity };
    let truth = generate::write(&plan, folder.path()).unwrap();
    Day { folder, truth }
}

impl Day {
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The folder that holds the objects: what lies beside it is no object.
    pub(crate) fn objects(&self) -> FolderObjects {
        FolderObjects::open(&[self.folder.path().join("AWSLogs")]).unwrap()
    }
}

pub(crate) fn no_metrics(_function: &str, _values: &[(Metric, u64)]) {}

pub(crate) fn parser<O, S>(objects: O, store: S) -> App<O, S> {
    App {
        objects,
        store,
        limits: Limits::default(),
        horizon: None,
        now: || START,
        metrics: no_metrics,
        ingestor: Ingestor::default(),
    }
}

/// An SQS batch, one message an object, named as S3 would name it.
pub(crate) fn sqs(objects: &[ObjectRef]) -> LambdaEvent<Value> {
    let records: Vec<Value> = objects
        .iter()
        .enumerate()
        .map(|(n, object)| {
            let notification = json!({ "Records": [{
                "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
                "s3": { "bucket": { "name": object.bucket }, "object": { "key": object.key } },
            }]});
            json!({ "messageId": n.to_string(), "eventSource": "aws:sqs", "body": notification.to_string() })
        })
        .collect();
    LambdaEvent::new(json!({ "Records": records }), Context::default())
}

/// A store into which the parser has ingested every object of a day.
pub(crate) async fn ingested(day: &Day) -> MemoryStore {
    let app = parser(day.objects(), MemoryStore::default());
    let objects: Vec<_> = app.objects.objects().map(|(object, _)| object.clone()).collect();
    for chunk in objects.chunks(20) {
        let answer = handle(&app, sqs(chunk)).await.unwrap();
        assert_eq!(answer["batchItemFailures"], json!([]));
    }
    app.store
}

/// Compacts so many hours, from this one on, of every series that has partials.
pub(crate) async fn compact_hours(store: &MemoryStore, first: Window, hours: i64) {
    let all: BTreeSet<Series> = store.all_partials().into_iter().map(|p| p.series).collect();
    for series in all {
        for hour in 0..hours {
            compact_hour(store, &series, first.forward(hour * WINDOWS_PER_HOUR)).await.unwrap();
        }
    }
}

/// A store into which the parser has ingested these texts, each a delivery of its own.
pub(crate) async fn delivered(texts: &[String]) -> MemoryStore {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("AWSLogs");
    let at = logs.join("123456789012/vpcflowlogs/eu-central-1/2026/11/01");
    std::fs::create_dir_all(&at).unwrap();
    for (n, text) in texts.iter().enumerate() {
        let name =
            format!("123456789012_vpcflowlogs_eu-central-1_fl-0b1_20261101T0005Z_{n:08x}.log");
        std::fs::write(at.join(name), text).unwrap();
    }
    let app = parser(FolderObjects::open(&[logs]).unwrap(), MemoryStore::default());
    let objects: Vec<_> = app.objects.objects().map(|(object, _)| object.clone()).collect();
    assert_eq!(objects.len(), texts.len());
    let answer = handle(&app, sqs(&objects)).await.unwrap();
    assert_eq!(answer["batchItemFailures"], json!([]));
    app.store
}

pub(crate) fn subscriber<S>(store: S) -> flowlog_cwl_subscriber::App<S> {
    flowlog_cwl_subscriber::App {
        store,
        formats: vec![Format::default_v2()],
        limits: Limits::default(),
        horizon: None,
        now: || START,
        metrics: no_metrics,
        ingestor: Ingestor::default(),
    }
}

/// A message of CloudWatch Logs with these records.
pub(crate) fn log_events(records: &[String]) -> LambdaEvent<Value> {
    let events: Vec<Value> = (0..)
        .zip(records)
        .map(|(n, record)| json!({ "id": format!("{n:056}"), "timestamp": START * 1000, "message": record }))
        .collect();
    let message = json!({
        "messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "/flowlog/vpc-flow-logs",
        "logStream": "eni-1-reject", "subscriptionFilters": ["flowlog"], "logEvents": events,
    });
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(message.to_string().as_bytes()).unwrap();
    let data = BASE64_STANDARD.encode(gzip.finish().unwrap());
    LambdaEvent::new(json!({ "awslogs": { "data": data } }), Context::default())
}

/// The events folder of the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}

pub(crate) fn event(path: &str) -> LambdaEvent<Value> {
    let text = std::fs::read_to_string(project("events").join(path)).unwrap();
    LambdaEvent::new(serde_json::from_str(&text).unwrap(), Context::default())
}

/// Objects in a place that is never listed.
pub(crate) struct Unlisted<O>(pub(crate) O);

impl<O: Objects> Objects for Unlisted<O> {
    type Body = O::Body;

    async fn head(&self, at: &ObjectRef) -> Result<ObjectHead, ObjectError> {
        self.0.head(at).await
    }

    async fn get(
        &self,
        at: &ObjectRef,
        range: Option<Range<u64>>,
        if_match: Option<&str>,
    ) -> Result<(ObjectHead, Self::Body), ObjectError> {
        self.0.get(at, range, if_match).await
    }

    async fn pause(&self, attempt: u32) {
        self.0.pause(attempt).await;
    }
}

impl<O> Listing for Unlisted<O> {
    async fn list(&self, _: &str, _: &str, _: Option<&str>) -> Result<Page, ObjectError> {
        unreachable!("nothing is listed here")
    }

    async fn folders(&self, _: &str, _: &str) -> Result<Vec<String>, ObjectError> {
        unreachable!("nothing is listed here")
    }
}

/// A store that fails a call, before it has any effect or after: a crash, or a lost response.
pub(crate) struct Dying<S> {
    pub(crate) inner: S,
    /// Calls until it fails once; negative: it lives.
    pub(crate) left: Cell<i64>,
    /// Whether the failing call takes effect.
    pub(crate) applied: bool,
}

impl<S> Dying<S> {
    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let left = self.left.get();
        self.left.set(left - 1);
        if left == 0 {
            if self.applied {
                call.await?;
            }
            return Err(StoreError::Retryable("died".into()));
        }
        call.await
    }
}

impl<S: Ledger> Ledger for Dying<S> {
    async fn claim(&self, claim: &Claim) -> Result<ClaimOutcome, StoreError> {
        self.call(self.inner.claim(claim)).await
    }

    async fn complete(
        &self,
        batch: BatchId,
        etag: &str,
        completion: &Completion,
    ) -> Result<Completed, StoreError> {
        self.call(self.inner.complete(batch, etag, completion)).await
    }

    async fn quarantine(&self, batch: BatchId, reason: &str) -> Result<(), StoreError> {
        self.call(self.inner.quarantine(batch, reason)).await
    }
}

impl<S: LedgerReader> LedgerReader for Dying<S> {
    async fn entries(&self, batches: &[BatchId]) -> Result<Vec<Option<LedgerEntry>>, StoreError> {
        self.call(self.inner.entries(batches)).await
    }
}

impl<S: AggregateWriter> AggregateWriter for Dying<S> {
    async fn put_partials(&self, partials: &[PartialItem]) -> Result<(), StoreError> {
        self.call(self.inner.put_partials(partials)).await
    }

    async fn put_directory(&self, entries: &[DirectoryEntry]) -> Result<(), StoreError> {
        self.call(self.inner.put_directory(entries)).await
    }
}
