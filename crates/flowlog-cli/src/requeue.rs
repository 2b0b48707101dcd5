//! `flowlog requeue`: quarantined deliveries, listed or brought back.
//!
//! A delivery is brought back by the parser's own handler, run here, and not by a message to the
//! queue: what becomes of it is seen at once, the command needs no right to send, and it is the
//! pin in the ledger, not the place where the code runs, that makes the result the same.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments are help text here, and back quotes show there"
)]

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use flowlog_aws::{DynamoDbStore, S3Objects, env, sdk};
use flowlog_core::decode::Limits;
use flowlog_core::event::Notification;
use flowlog_core::ingest::{Ingestor, Outcome};
use flowlog_core::object::{ObjectError, ObjectRef, Objects};
use flowlog_core::record::BatchId;
use flowlog_core::store::{
    AggregateWriter, Ledger, LedgerEntry, LedgerReader, LedgerState, Quarantine, StoreError,
};
use flowlog_s3_parser::{App, ingest_object};
use serde_json::{Value, json};

use crate::ask::{AskError, parser_config};
use crate::embedded::{EmbeddedDb, Location};
use crate::folder::FolderObjects;
use crate::output::{Output, OutputFormat, print};
use crate::report::printable;
use crate::usage::Usage;

/// Which quarantined deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every one.
    All,
    /// The ones with this reason.
    Reason(String),
    /// These. One of them that is claimed and was never finished is ingested as well.
    Batches(Vec<BatchId>),
}

/// A delivery and what its ledger entry says.
pub type Quarantined = (BatchId, LedgerEntry);

/// What became of a delivery that was to be brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It counts now.
    Done {
        /// How many of its records were rolled up.
        parsed: u64,
    },
    /// It is as unusable as before, or for another reason.
    Quarantined(String),
    /// Nothing was tried, and why.
    Left(String),
    /// It was reopened and could not be finished; the reconciler, or naming it again, will.
    Unfinished(String),
}

/// A delivery and its fate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requeued {
    /// The delivery.
    pub batch: BatchId,
    /// Where it comes from.
    pub origin: String,
    /// What became of it.
    pub fate: Fate,
}

/// Options of `flowlog requeue`.
#[derive(Debug, Args)]
pub struct RequeueArgs {
    /// Ids of deliveries, as the list has them; one that begins with `-` goes behind `--`.
    #[arg(value_name = "BATCH", value_parser = batch_id)]
    batches: Vec<BatchId>,
    /// All that were quarantined for this reason.
    #[arg(long, conflicts_with = "batches")]
    reason: Option<String>,
    /// All.
    #[arg(long, conflicts_with_all = ["batches", "reason"])]
    all: bool,
    /// A local store, as `flowlog local --store` keeps it, instead of AWS. Alerts about what is
    /// brought back are those of the next `flowlog local` on it.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// The tables of this deployed stack, found by their names. Credentials are taken from AWS_ACCESS_KEY_ID …
    /// only; for a profile: eval "$(aws configure export-credentials --format env)".
    #[arg(long, value_name = "NAME", conflicts_with = "store")]
    stack: Option<String>,
    /// Where the objects of a local store are, as they were given to `flowlog local`; may be given
    /// several times.
    #[arg(long, value_name = "PATH", requires = "store")]
    objects: Vec<PathBuf>,
    #[command(flatten)]
    output: Output,
}

fn batch_id(text: &str) -> Result<BatchId, String> {
    BatchId::parse(text)
        .ok_or_else(|| "no id of a delivery; `flowlog requeue` lists them".to_owned())
}

/// Lists, or brings back and prints what became of each. Whether everything chosen counts now.
pub async fn run(args: RequeueArgs) -> Result<bool, Box<dyn Error>> {
    let chosen = if args.all {
        Some(Selection::All)
    } else if let Some(reason) = args.reason {
        Some(Selection::Reason(reason))
    } else if args.batches.is_empty() {
        None
    } else {
        Some(Selection::Batches(args.batches))
    };
    let format = args.output.format;
    if let Some(file) = args.store {
        if chosen.is_some() && args.objects.is_empty() {
            return Err(Usage::from(
                "--objects PATH says where the objects are, as they were given to `flowlog local`",
            )
            .into());
        }
        if !file.exists() {
            return Err(AskError::NoStore(file).into());
        }
        let objects = FolderObjects::open(&args.objects)?;
        let database = EmbeddedDb::open(Location::File(file)).await?;
        let app = app(objects, database.store(), Limits::default(), None);
        return bring_back(&app, chosen, format).await;
    }
    let sdk = sdk::from_lookup(&env::process);
    let config = parser_config(&sdk, args.stack.as_deref()).await?;
    let store = DynamoDbStore::new(&sdk, config.tables);
    let horizon = Some(config.horizon_seconds);
    let app = app(S3Objects::new(&sdk), store, config.limits, horizon);
    bring_back(&app, chosen, format).await
}

async fn bring_back<O: Objects>(
    app: &App<O, DynamoDbStore>,
    chosen: Option<Selection>,
    format: OutputFormat,
) -> Result<bool, Box<dyn Error>> {
    let selection = chosen.clone().unwrap_or(Selection::All);
    let found = select(&app.store, &selection).await??;
    if chosen.is_none() {
        match format {
            OutputFormat::Table => print(&list_to_text(&found))?,
            OutputFormat::Json => print(&format!("{}\n", list_to_json(&found)))?,
        }
        return Ok(true);
    }
    let mut all_done = true;
    if found.is_empty() && format == OutputFormat::Table {
        print("nothing that was chosen is quarantined\n")?;
    }
    let mut objects = Vec::new();
    for quarantined in &found {
        let requeued = requeue(app, quarantined).await;
        all_done &= matches!(requeued.fate, Fate::Done { .. });
        match format {
            OutputFormat::Table => print(&requeued.to_text())?,
            OutputFormat::Json => objects.push(requeued.to_json()),
        }
    }
    if format == OutputFormat::Json {
        print(&format!("{}\n", serde_json::Value::Array(objects)))?;
    }
    Ok(all_done)
}

/// The parser, as the command runs it.
pub fn app<O>(
    objects: O,
    store: DynamoDbStore,
    limits: Limits,
    horizon: Option<i64>,
) -> App<O, DynamoDbStore> {
    App {
        objects,
        store,
        limits,
        horizon,
        now: env::now,
        metrics: |_, _| {},
        ingestor: Ingestor::default(),
    }
}

/// The quarantined deliveries of a selection. A batch that the ledger does not have is an error of
/// whoever named it.
pub async fn select<S: Quarantine + LedgerReader>(
    store: &S,
    selection: &Selection,
) -> Result<Result<Vec<Quarantined>, String>, StoreError> {
    let batches = match selection {
        Selection::All => return Ok(Ok(store.quarantined().await?)),
        Selection::Reason(reason) => {
            let mut found = store.quarantined().await?;
            found.retain(|(_, entry)| entry.reason.as_deref() == Some(reason));
            return Ok(Ok(found));
        }
        Selection::Batches(batches) => batches,
    };
    let entries = store.entries(batches).await?;
    let found = batches.iter().zip(entries).map(|(batch, entry)| match entry {
        None => Err(format!("the ledger has no delivery {batch}")),
        Some(LedgerEntry { state: LedgerState::Done, .. }) => {
            Err(format!("{batch} is done; there is nothing to bring back"))
        }
        Some(entry) => Ok((*batch, entry)),
    });
    Ok(found.collect())
}

/// Brings one delivery back: reopens it and ingests it. An error is this delivery's fate: others may
/// have been brought back before it.
pub async fn requeue<O, S>(app: &App<O, S>, (batch, entry): &Quarantined) -> Requeued
where
    O: Objects,
    S: Ledger + AggregateWriter + Quarantine,
{
    let fate = match object_of(*batch, &entry.origin) {
        Err(why) => Fate::Left(why),
        Ok(object) => match app.objects.head(&object).await {
            // Reopening would only lose the reason that it was quarantined for.
            Err(ObjectError::Gone) => Fate::Left("there is no such object any more".to_owned()),
            Ok(head) if head.etag != entry.etag => Fate::Left(
                "another object has its name now, and a delivery stays with the one that it began with: put that one back; one that was repaired counts under another name, or in a new local store"
                    .to_owned(),
            ),
            // It may have been brought back by somebody else since it was listed; that is as good.
            Ok(_) | Err(_) => match app.store.reopen(*batch).await {
                Ok(_) => ingest(app, object, entry).await,
                Err(error) => Fate::Unfinished(error.to_string()),
            },
        },
    };
    Requeued { batch: *batch, origin: entry.origin.clone(), fate }
}

async fn ingest<O, S>(app: &App<O, S>, object: ObjectRef, entry: &LedgerEntry) -> Fate
where
    O: Objects,
    S: Ledger + AggregateWriter,
{
    // Under the pinned ETag: an object that has taken its place is found out, not counted.
    let etag = Some(entry.etag.clone());
    let notification = Notification { object, etag, size: None, time: None };
    match ingest_object(app, &notification).await {
        Ok(Outcome::Done { counts, .. }) => Fate::Done { parsed: counts.parsed },
        Ok(Outcome::Duplicate) => Fate::Left("somebody else has just done it".to_owned()),
        Ok(Outcome::Quarantined(reason)) => Fate::Quarantined(reason),
        Ok(Outcome::Skipped(reason)) => Fate::Unfinished(reason),
        Err(error) => Fate::Unfinished(error.to_string()),
    }
}

/// The object that a delivery came from, if it came from one that can still be named.
fn object_of(batch: BatchId, origin: &str) -> Result<ObjectRef, String> {
    let Some((bucket, key)) = origin.strip_prefix("s3://").and_then(|at| at.split_once('/')) else {
        return Err(
            "it came from CloudWatch Logs, which keeps no delivery to read again".to_owned()
        );
    };
    // The ledger keeps at most a kibibyte of it.
    if BatchId::of_object(bucket, key) != batch {
        return Err("its key is too long to be in the ledger; copy the object".to_owned());
    }
    Ok(ObjectRef { bucket: bucket.to_owned(), key: key.to_owned() })
}

/// The list, a line each, for people.
pub fn list_to_text(quarantined: &[Quarantined]) -> String {
    if quarantined.is_empty() {
        return "nothing is quarantined\n".to_owned();
    }
    let line = |(batch, entry): &Quarantined| {
        let reason = entry.reason.as_deref().unwrap_or("unfinished");
        printable(&format!("{batch}  {reason:<20}  {}", entry.origin)) + "\n"
    };
    quarantined.iter().map(line).collect()
}

/// The list for scripts: `[{"batch", "reason", "origin", "etag"}, …]`.
pub fn list_to_json(quarantined: &[Quarantined]) -> Value {
    let object = |(batch, entry): &Quarantined| {
        json!({
            "batch": batch.to_string(),
            "reason": entry.reason,
            "origin": entry.origin,
            "etag": entry.etag,
        })
    };
    quarantined.iter().map(object).collect()
}

impl Fate {
    /// `done`, `quarantined`, `left` or `unfinished`, and the detail.
    fn parts(&self) -> (&'static str, String) {
        match self {
            Self::Done { parsed } => ("done", format!("{parsed} records")),
            Self::Quarantined(reason) => ("quarantined", reason.clone()),
            Self::Left(why) => ("left", why.clone()),
            Self::Unfinished(why) => ("unfinished", why.clone()),
        }
    }
}

impl Requeued {
    /// One line for people.
    pub fn to_text(&self) -> String {
        let (fate, detail) = self.fate.parts();
        printable(&format!("{}  {fate}: {detail}  {}", self.batch, self.origin)) + "\n"
    }

    /// `{"batch", "origin", "fate", "detail"}` for scripts.
    pub fn to_json(&self) -> Value {
        let (fate, detail) = self.fate.parts();
        let batch = self.batch.to_string();
        json!({ "batch": batch, "origin": self.origin, "fate": fate, "detail": detail })
    }
}

#[cfg(test)]
mod tests {
    use flowlog_core::store::memory::MemoryStore;
    use flowlog_core::store::{
        Claim, ClaimOutcome, Completed, Completion, DirectoryEntry, PartialItem,
    };

    use super::*;

    /// A store that cannot be written to for now.
    struct Down(MemoryStore);

    fn down() -> StoreError {
        StoreError::Retryable("down".into())
    }

    impl Ledger for Down {
        async fn claim(&self, _: &Claim) -> Result<ClaimOutcome, StoreError> {
            Err(down())
        }

        async fn complete(
            &self,
            _: BatchId,
            _: &str,
            _: &Completion,
        ) -> Result<Completed, StoreError> {
            Err(down())
        }

        async fn quarantine(&self, _: BatchId, _: &str) -> Result<(), StoreError> {
            Err(down())
        }
    }

    impl AggregateWriter for Down {
        async fn put_partials(&self, partials: &[PartialItem]) -> Result<(), StoreError> {
            self.0.put_partials(partials).await
        }

        async fn put_directory(&self, entries: &[DirectoryEntry]) -> Result<(), StoreError> {
            self.0.put_directory(entries).await
        }
    }

    impl Quarantine for Down {
        async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
            Err(down())
        }

        async fn reopen(&self, _: BatchId) -> Result<bool, StoreError> {
            Err(down())
        }
    }

    #[tokio::test]
    async fn what_a_store_refuses_is_this_deliverys_fate() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("b/AWSLogs/x.log");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "x").unwrap();
        let app = App {
            objects: FolderObjects::open(&[file]).unwrap(),
            store: Down(MemoryStore::default()),
            limits: Limits::default(),
            horizon: None,
            now: env::now,
            metrics: |_, _| {},
            ingestor: Ingestor::default(),
        };
        let object = ObjectRef { bucket: "b".to_owned(), key: "AWSLogs/x.log".to_owned() };
        let entry = LedgerEntry {
            state: LedgerState::Quarantined,
            mapping: 2,
            etag: app.objects.head(&object).await.unwrap().etag,
            origin: "s3://b/AWSLogs/x.log".to_owned(),
            horizon: None,
            reason: None,
            completion: None,
        };
        let batch = BatchId::of_object("b", "AWSLogs/x.log");
        let requeued = requeue(&app, &(batch, entry)).await;
        assert!(matches!(requeued.fate, Fate::Unfinished(_)), "{requeued:?}");
        assert!(requeued.to_text().contains("unfinished: "), "{requeued:?}");
    }

    #[test]
    fn only_what_can_be_named_is_read_again() {
        let key = "AWSLogs/a b/x.gz";
        let batch = BatchId::of_object("b", key);
        let object = object_of(batch, "s3://b/AWSLogs/a b/x.gz").unwrap();
        assert_eq!((object.bucket.as_str(), object.key.as_str()), ("b", key));
        assert!(object_of(batch, "s3://b/AWSLogs/a b/x.g").unwrap_err().contains("too long"));
        assert!(object_of(batch, "logs:group/stream").unwrap_err().contains("CloudWatch"));
    }
}
