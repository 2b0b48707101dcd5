//! `flowlog local`: the whole pipeline over local files, by the functions' own handlers.
//!
//! ```text
//! file ─► SQS event with an S3 notification ─► flowlog-s3-parser ─► embedded DynamoDB ─► stream
//! printed notification ◄─ flowlog-anomaly-alerter ◄─ DynamoDB stream event ◄───────────────┘
//! ```
//!
//! Local runs live in event time: nothing is late, and an alert's cooldown and budget run by the
//! records' own clock.

use std::cell::{Cell, Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use flowlog_anomaly_alerter as alerter;
use flowlog_aws::DynamoDbStore;
use flowlog_aws::deadline::Deadline;
use flowlog_aws::streams::{StreamKeys, StreamReader};
use flowlog_aws::telemetry::Metric;
use flowlog_core::alert::{Notification, Notifier, NotifyError, Policy};
use flowlog_core::decode::{Counts, Limits};
use flowlog_core::detect::RuleSet;
use flowlog_core::ingest::Ingestor;
use flowlog_core::object::{ObjectRef, Objects as _};
use flowlog_core::record::{BatchId, DAY_SECONDS, Window};
use flowlog_core::rollup::BlobError;
use flowlog_core::store::authority::{self, SeenBy};
use flowlog_core::store::reader::{Deliveries, Detail};
use flowlog_core::store::{
    AggregateReader as _, LedgerEntry, LedgerReader as _, LedgerState, PartialItem, StoreError,
    View,
};
use flowlog_s3_parser as parser;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};

use crate::embedded::{EmbeddedDb, EmbeddedError, Location};
use crate::folder::{FolderError, FolderObjects};
use crate::input::{Input, expand};
use crate::report::{Builder, FileReport, Report};

/// How many objects are ingested before the stream is read.
const OBJECTS_PER_POLL: usize = 32;
/// Seconds between two runs of the alerter's schedule.
const EVERY: i64 = 300;
/// Runs of the schedule after the last record: an hour and a bit.
const SETTLING: i64 = 16;
/// How many stream records an invocation of the alerter gets.
const STREAM_BATCH: usize = 100;

/// What a run found and sent.
#[derive(Debug)]
pub struct LocalRun {
    /// The report over everything in the store.
    pub report: Report,
    /// What would have gone to SNS, in order.
    pub alerts: Vec<Notification>,
    /// How many objects this run ingested, and how many it found ingested before.
    pub ingested: usize,
    /// Objects (or copies of them) that were ingested before.
    pub duplicates: usize,
}

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The database.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The files.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored roll-up.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The parser.
    #[error("flowlog-s3-parser failed: {0}")]
    Parser(#[from] parser::HandlerError),
    /// The alerter.
    #[error("flowlog-anomaly-alerter failed: {0}")]
    Alerter(#[from] alerter::HandlerError),
}

/// Keeps what is sent, in place of SNS.
#[derive(Debug, Default)]
pub struct Inbox(RefCell<Vec<Notification>>);

impl Inbox {
    /// What has been sent and not taken out, in order.
    pub fn sent(&self) -> Ref<'_, Vec<Notification>> {
        self.0.borrow()
    }

    /// Takes that out.
    pub fn take(&self) -> Vec<Notification> {
        self.0.take()
    }
}

impl Notifier for Inbox {
    async fn publish(&self, notification: &Notification) -> Result<(), NotifyError> {
        self.0.borrow_mut().push(notification.clone());
        Ok(())
    }
}

type Parser = parser::App<FolderObjects, DynamoDbStore>;
type Alerter = alerter::App<DynamoDbStore, Inbox>;

/// The functions, wired to local things.
struct Pipeline {
    parser: Parser,
    alerter: Alerter,
    stream: StreamReader,
    /// When the schedule last ran, in the records' time.
    scheduled: i64,
    store: DynamoDbStore,
    // Dropped last: everything above talks to it.
    _database: EmbeddedDb,
}

/// Runs the pipeline over these paths. `complain` gets one line for each thing that could not be
/// read.
pub async fn run(
    paths: &[PathBuf],
    location: Location,
    limits: Limits,
    complain: &mut dyn FnMut(String),
) -> Result<LocalRun, LocalError> {
    let mut files = Vec::new();
    let mut reports = Vec::new();
    for input in expand(paths) {
        match input {
            Input::File(path) => files.push(path),
            Input::Stdin => {
                reports.push(unread("-", "an object needs a name: use analyze for standard input"));
            }
            Input::Unreadable(path, why) => reports.push(unread(&path.display().to_string(), &why)),
        }
    }
    let objects = FolderObjects::open(&files)?;
    let mut order: Vec<(ObjectRef, PathBuf)> =
        objects.objects().map(|(object, path)| (object.clone(), path.to_owned())).collect();
    order.sort_by_cached_key(|(object, _)| (delivery_time(&object.key), object.clone()));
    let location = match location {
        // Nothing is to be kept, so nothing is made.
        Location::File(file) if order.is_empty() && !file.exists() => Location::Temporary,
        location => location,
    };
    let mut pipeline = Pipeline::open(objects, location, limits).await?;
    let progress = crate::analyze::progress_of_objects(order.len() as u64);
    let (mut ingested, mut duplicates) = (0, 0);
    for (at, (object, path)) in order.iter().enumerate() {
        let ingestion = pipeline.ingest(object).await?;
        match ingestion.fate() {
            Some(LedgerState::Done) if ingestion.known_before => duplicates += 1,
            Some(LedgerState::Done) => ingested += 1,
            _ => {}
        }
        reports.push(file_report(&path.display().to_string(), &ingestion));
        if at % OBJECTS_PER_POLL == OBJECTS_PER_POLL - 1 {
            pipeline.ring().await?;
        }
        progress.inc(1);
    }
    pipeline.ring().await?;
    pipeline.settle().await?;
    pipeline.compact().await?;
    progress.finish_and_clear();
    for report in &reports {
        if let Some(error) = &report.error {
            complain(format!("{}: {error}", report.path));
        }
    }
    let batches = order.iter().map(|(object, _)| BatchId::of_object(&object.bucket, &object.key));
    let report = report(&pipeline.store, reports, batches.collect()).await?;
    let alerts = pipeline.alerter.notifier.take();
    Ok(LocalRun { report, alerts, ingested, duplicates })
}

/// What became of one object.
struct Ingestion {
    known_before: bool,
    /// The handler asked for another attempt.
    retry: bool,
    /// The object is not the one that was claimed under its name.
    replaced: bool,
    entry: Option<LedgerEntry>,
}

impl Ingestion {
    fn fate(&self) -> Option<LedgerState> {
        self.entry.as_ref().map(|entry| entry.state)
    }
}

impl Pipeline {
    async fn open(
        objects: FolderObjects,
        location: Location,
        limits: Limits,
    ) -> Result<Self, LocalError> {
        let database = EmbeddedDb::open(location).await?;
        let store = database.store();
        let stream = StreamReader::open(database.config(), &store).await?;
        Ok(Self {
            parser: Parser {
                objects,
                store: store.clone(),
                limits,
                horizon: None,
                now: flowlog_aws::env::now,
                metrics: no_metrics,
                ingestor: Ingestor::default(),
            },
            alerter: Alerter {
                store: store.clone(),
                notifier: Inbox::default(),
                directory: None,
                rules: RefCell::new(RuleSet::default()),
                rules_read: Cell::default(),
                rules_text: None,
                policy: Policy { stale_after: None, ..Policy::default() },
                clock: alerter::Clock::event(),
                metrics: no_metrics,
            },
            stream,
            scheduled: 0,
            store,
            _database: database,
        })
    }

    /// Hands one object to the parser as SQS would: a message whose body is S3's notification.
    async fn ingest(&self, object: &ObjectRef) -> Result<Ingestion, LocalError> {
        let batch = [BatchId::of_object(&object.bucket, &object.key)];
        let before = self.store.entries(&batch).await?.into_iter().next().flatten();
        let head = self.parser.objects.head(object).await.ok();
        let event = LambdaEvent::new(
            sqs_event(object, head.as_ref().map(|h| h.etag.as_str())),
            Context::default(),
        );
        let answer = parser::handle(&self.parser, event).await?;
        let retry =
            answer["batchItemFailures"].as_array().is_some_and(|failures| !failures.is_empty());
        let entry = self.store.entries(&batch).await?.into_iter().next().flatten();
        let known_before = before.is_some_and(|e| e.state != LedgerState::Claimed);
        let replaced =
            head.zip(entry.as_ref()).is_some_and(|(head, entry)| head.etag != entry.etag);
        Ok(Ingestion { known_before, retry, replaced, entry })
    }

    /// Hands everything that is new in the stream to the alerter, one window after the other, in batches: what is in one
    /// object, and in which order it was written, must not matter.
    async fn ring(&mut self) -> Result<(), LocalError> {
        let mut windows: BTreeMap<Window, Vec<StreamKeys>> = BTreeMap::new();
        loop {
            let keys = self.stream.poll().await?;
            if keys.is_empty() {
                break;
            }
            for one in keys {
                if let Some((_, window)) = PartialItem::parse_key(&one.pk, &one.sk) {
                    windows.entry(window).or_default().push(one);
                }
            }
        }
        for (window, keys) in windows {
            if self.scheduled == 0 {
                self.scheduled = window.start();
            }
            for batch in keys.chunks(STREAM_BATCH) {
                let event = LambdaEvent::new(stream_event(batch), Context::default());
                alerter::handle(&self.alerter, event).await?;
            }
            self.tick().await?;
        }
        Ok(())
    }

    /// Runs the alerter's schedule each time that, by the records' clock, it was time.
    async fn tick(&mut self) -> Result<(), LocalError> {
        // Between two recordings there is nothing to look at.
        let yesterday = self.alerter.clock.now() - DAY_SECONDS;
        self.scheduled = self.scheduled.max(yesterday - yesterday.rem_euclid(EVERY));
        while self.scheduled + EVERY <= self.alerter.clock.now() {
            self.scheduled += EVERY;
            alerter::schedule(&self.alerter, self.scheduled, Deadline::NONE).await?;
        }
        Ok(())
    }

    /// Lets the time pass in which late records may come, so that what is found late is found, and the last digest is
    /// sent. What goes on at the end of the records does not end by that: they may be continued in another run.
    async fn settle(&mut self) -> Result<(), LocalError> {
        let last = self.alerter.clock.now();
        if last == 0 {
            return Ok(());
        }
        for run in 1..=SETTLING {
            let now = self.alerter.clock.at(last + run * EVERY);
            alerter::settle(&self.alerter, now, last).await?;
        }
        Ok(())
    }

    /// Folds every hour of what is stored, as the schedule does it in AWS hour by hour.
    async fn compact(&self) -> Result<(), LocalError> {
        let sources = self.store.sources("00000000", "99999999").await?;
        let days: BTreeSet<String> = sources.into_iter().map(|(day, _)| day).collect();
        if !days.is_empty() {
            let request = json!({ "flowlog": "compact", "days": days });
            alerter::handle(&self.alerter, LambdaEvent::new(request, Context::default())).await?;
        }
        Ok(())
    }
}

fn no_metrics(_function: &str, _values: &[(Metric, u64)]) {}

fn sqs_event(object: &ObjectRef, etag: Option<&str>) -> Value {
    // Form-encoded, as S3 does it; only what would be misread needs it here.
    let key = object.key.replace('%', "%25").replace('+', "%2B").replace(' ', "+");
    let notification = json!({ "Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "local",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "bucket": { "name": object.bucket },
            "object": { "key": key, "eTag": etag },
        },
    }]});
    json!({ "Records": [{
        "messageId": "local",
        "eventSource": "aws:sqs",
        "awsRegion": "local",
        "body": notification.to_string(),
    }]})
}

fn stream_event(batch: &[StreamKeys]) -> Value {
    let records: Vec<Value> = batch
        .iter()
        .map(|keys| {
            json!({
                "eventID": keys.sequence,
                "eventName": "INSERT",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": "local",
                "dynamodb": {
                    "ApproximateCreationDateTime": 0,
                    "Keys": { "pk": { "S": keys.pk }, "sk": { "S": keys.sk } },
                    "SequenceNumber": keys.sequence,
                    "SizeBytes": 0,
                    "StreamViewType": "NEW_IMAGE",
                },
            })
        })
        .collect();
    json!({ "Records": records })
}

fn unread(path: &str, why: &str) -> FileReport {
    FileReport {
        path: path.to_owned(),
        format: "unknown".to_owned(),
        counts: Counts::default(),
        error: Some(why.to_owned()),
    }
}

fn file_report(path: &str, ingestion: &Ingestion) -> FileReport {
    let reason = ingestion.entry.as_ref().and_then(|e| e.reason.clone()).unwrap_or_default();
    let (format, error) = match ingestion.fate() {
        _ if ingestion.retry => {
            ("unknown", Some("the parser asked for another attempt; its log says why".to_owned()))
        }
        Some(LedgerState::Done) if ingestion.known_before => ("duplicate", None),
        Some(LedgerState::Done) => ("done", None),
        Some(LedgerState::Quarantined) if ingestion.known_before && ingestion.replaced => (
            "quarantined",
            Some(format!(
                "another object than the one that was quarantined under this name ({reason}); it is not counted, as a delivery stays with the object that it began with: a new --store has it"
            )),
        ),
        Some(LedgerState::Quarantined) => ("quarantined", Some(format!("quarantined: {reason}"))),
        Some(LedgerState::Claimed) => ("claimed", Some("not finished".to_owned())),
        None => ("skipped", None),
    };
    let counts = ingestion
        .entry
        .as_ref()
        .filter(|_| !ingestion.known_before)
        .and_then(|e| e.completion.as_ref())
        .map_or_else(Counts::default, |c| c.counts.clone());
    FileReport { path: path.to_owned(), format: format.to_owned(), counts, error }
}

/// The report over everything in the store: one source per interface, never two added up.
async fn report(
    store: &DynamoDbStore,
    files: Vec<FileReport>,
    batches: BTreeSet<BatchId>,
) -> Result<Report, LocalError> {
    let mut seen: BTreeMap<String, SeenBy> = BTreeMap::new();
    for (day, source) in store.sources("00000000", "99999999").await? {
        for interface_id in store.subjects(&source, View::Interface, &day).await? {
            seen.entry(interface_id).or_default().insert(&day, source.clone());
        }
    }
    let mut builder = Builder::default();
    let mut notes = Vec::new();
    let always = (Window::default(), Window::default().forward(i64::from(i32::MAX)));
    let mut ledger = Deliveries::default();
    for (interface_id, seen) in seen {
        let of = (View::Interface, interface_id.as_str());
        let spoken =
            authority::read(store, &mut ledger, of, &seen, always, Detail::WINDOWS).await?;
        notes.extend(spoken.notes(&interface_id));
        for (window, rollup) in spoken.answer.detailed {
            builder.add(&interface_id, window, rollup)?;
        }
    }
    let mut report = builder.finish(files, &RuleSet::default())?;
    report.notes.extend(notes);
    // The totals are the ledger's: of everything in the store, each delivery once.
    report.totals = Counts::default();
    let unread: Vec<BatchId> =
        batches.into_iter().filter(|batch| !ledger.contains_key(batch)).collect();
    let entries = store.entries(&unread).await?;
    let entries = entries.into_iter().map(|entry| entry.map(Arc::new));
    for entry in ledger.into_values().chain(entries).flatten() {
        if let Some(completion) = &entry.completion {
            report.totals.add(&completion.counts);
        }
    }
    Ok(report)
}

/// The `20261101T0005Z` of AWS's file names.
fn delivery_time(key: &str) -> Option<String> {
    crate::input::delivery_time(std::path::Path::new(key))
}
