//! `flowlog backfill`: objects that were delivered before flowlog was there, by the parser's own code.
//!
//! Each object goes through the ledger, as one that a notification told of does: running it twice, or
//! beside live traffic, counts nothing twice. In the deployed tables rows beyond the horizon (30 days) are
//! `late`, since what they would be rolled up into has expired by then.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments are help text here, and back quotes show there"
)]

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;
use flowlog_aws::{DynamoDbStore, S3Objects, env, sdk};
use flowlog_core::decode::Limits;
use flowlog_core::event::Notification;
use flowlog_core::ingest::Outcome;
use flowlog_core::object::{Listing, ObjectError, ObjectRef, Objects};
use flowlog_core::store::{AggregateWriter, Ledger};
use flowlog_s3_parser::{App, ingest_object};
use serde_json::{Value, json};

use crate::analyze::progress_of_objects;
use crate::ask::{a_time, in_order, moment, parser_config};
use crate::embedded::{EmbeddedDb, Location};
use crate::folder::FolderObjects;
use crate::input::Input;
use crate::output::{Output, OutputFormat};
use crate::report::printable;
use crate::{input, requeue};

/// Options of `flowlog backfill`.
#[derive(Debug, Args)]
pub struct BackfillArgs {
    /// Files, folders with .log, .gz and .parquet files, or s3://bucket/prefix.
    #[arg(required = true, value_name = "PATH|s3://BUCKET/PREFIX")]
    from: Vec<Place>,
    /// Objects delivered from this time on, by their names: 2026-11-01 (UTC), 2026-11-01T08:00Z,
    /// 2026-11-01T10:00+02:00, 1793491200 (epoch seconds), or so long ago: 90m, 24h, 7d.
    #[arg(long, value_name = "TIME", value_parser = a_time)]
    since: Option<String>,
    /// Objects delivered up to this time.
    #[arg(long, value_name = "TIME", value_parser = a_time)]
    until: Option<String>,
    /// A local store. Without it the tables are those of AWS, named by AGGREGATES_TABLE and CONTROL_TABLE.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// The tables of this deployed stack, found by their names. Credentials are taken from AWS_ACCESS_KEY_ID …
    /// only; for a profile: eval "$(aws configure export-credentials --format env)".
    #[arg(long, value_name = "NAME", conflicts_with = "store")]
    stack: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Carries it out: what to print, and whether every object is in.
pub async fn run(args: BackfillArgs) -> Result<(String, bool), Box<dyn Error>> {
    let now = env::now();
    let at = |text: &Option<String>| text.as_deref().map(|text| moment(text, now)).transpose();
    let time = in_order(at(&args.since)?, at(&args.until)?)?;
    let config = sdk::from_lookup(&env::process);
    let parser = match &args.store {
        Some(_) => None,
        None => Some(parser_config(&config, args.stack.as_deref()).await?),
    };
    let (mut paths, mut buckets) = (Vec::new(), Vec::new());
    for place in args.from {
        match place {
            Place::Local(path) => paths.push(path),
            Place::Bucket { name, prefix } => buckets.push((name, prefix)),
        }
    }
    let mut done = Backfilled::default();
    let mut files = Vec::new();
    for found in input::expand(&paths) {
        match found {
            Input::File(path) => files.push(path),
            Input::Stdin => done.failed.push("-: an object needs a name".to_owned()),
            Input::Unreadable(path, why) => done.failed.push(format!("{}: {why}", path.display())),
        }
    }
    let folders = FolderObjects::open(&files)?;
    let of_folders: Vec<ObjectRef> = folders.objects().map(|(object, _)| object.clone()).collect();
    let s3 = S3Objects::new(&config);
    let mut of_buckets = Vec::new();
    for (name, prefix) in buckets {
        match list(&s3, &name, &prefix).await {
            Ok(objects) => of_buckets.extend(objects),
            // What is in the others is ingested, and told, all the same.
            Err(error) => done.failed.push(format!("s3://{name}/{prefix}: {error}")),
        }
    }
    let nothing = of_folders.is_empty() && of_buckets.is_empty();
    let (_database, store, limits, horizon) = match (args.store, parser) {
        (_, Some(parser)) => {
            let store = DynamoDbStore::new(&config, parser.tables);
            (None, store, parser.limits, Some(parser.horizon_seconds))
        }
        (file, None) => {
            // For nothing no store is made.
            let file = file.filter(|file| !nothing || file.exists());
            let location = file.map_or(Location::Temporary, Location::File);
            let database = EmbeddedDb::open(location).await?;
            let store = database.store();
            (Some(database), store, Limits::default(), None)
        }
    };
    let app = requeue::app(folders, store.clone(), limits, horizon);
    done.add(backfill(&app, of_folders, time).await);
    let app = requeue::app(s3, store, limits, horizon);
    done.add(backfill(&app, of_buckets, time).await);
    let text = match args.output.format {
        OutputFormat::Table => done.to_text(),
        OutputFormat::Json => format!("{}\n", done.to_json()),
    };
    Ok((text, done.failed.is_empty() && done.quarantined.is_empty()))
}

/// Where the objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Files or folders on this machine.
    Local(PathBuf),
    /// A bucket, and how the keys begin.
    Bucket {
        /// The bucket.
        name: String,
        /// What every key begins with; may be empty.
        prefix: String,
    },
}

impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return Ok(Self::Local(PathBuf::from(text)));
        };
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() {
            return Err("expected s3://bucket/prefix".to_owned());
        }
        Ok(Self::Bucket { name: name.to_owned(), prefix: prefix.to_owned() })
    }
}

/// What became of the objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backfilled {
    /// Ingested by this run.
    pub ingested: u64,
    /// Ingested before.
    pub known: u64,
    /// Unusable, and why; `flowlog requeue` lists them, too.
    pub quarantined: Vec<String>,
    /// No flow logs, by their names.
    pub skipped: u64,
    /// Delivered at another time than asked for.
    pub outside: u64,
    /// Not ingested for now, and why; another run tries again.
    pub failed: Vec<String>,
    /// Rows rolled up by this run.
    pub parsed: u64,
    /// Rows beyond the horizon.
    pub late: u64,
}

/// Every object of a bucket whose key begins so.
pub async fn list<L: Listing>(
    listing: &L,
    bucket: &str,
    prefix: &str,
) -> Result<Vec<ObjectRef>, ObjectError> {
    let mut found: Vec<ObjectRef> = Vec::new();
    loop {
        let after = found.last().map(|object| object.key.clone());
        let page = listing.list(bucket, prefix, after.as_deref()).await?;
        found.extend(page.objects.into_iter().map(|listed| listed.object));
        if !page.more {
            return Ok(found);
        }
    }
}

/// Ingests these objects, the oldest first. `time` is from when to when they were delivered (epoch
/// seconds), by their names; one whose name has no time is taken.
pub async fn backfill<O, S>(
    app: &App<O, S>,
    mut objects: Vec<ObjectRef>,
    (from, to): (i64, i64),
) -> Backfilled
where
    O: Objects,
    S: Ledger + AggregateWriter,
{
    let time = |object: &ObjectRef| input::delivered_at(Path::new(&object.key));
    objects.sort_by_cached_key(|object| (time(object), object.clone()));
    let progress = progress_of_objects(objects.len() as u64);
    let mut done = Backfilled::default();
    for object in objects {
        progress.inc(1);
        if time(&object).is_some_and(|at| at < from || at > to) {
            done.outside += 1;
            continue;
        }
        let place = object.to_string();
        let notification = Notification { object, etag: None, size: None, time: None };
        match ingest_object(app, &notification).await {
            Ok(Outcome::Done { counts, .. }) => {
                done.ingested += 1;
                done.parsed += counts.parsed;
                done.late += counts.late;
            }
            Ok(Outcome::Duplicate) => done.known += 1,
            Ok(Outcome::Quarantined(reason)) => {
                done.quarantined.push(format!("{place}: {reason}"));
            }
            Ok(Outcome::Skipped(_)) => done.skipped += 1,
            Err(error) => done.failed.push(format!("{place}: {error}")),
        }
    }
    progress.finish_and_clear();
    done
}

impl Backfilled {
    fn add(&mut self, other: Self) {
        self.ingested += other.ingested;
        self.known += other.known;
        self.quarantined.extend(other.quarantined);
        self.skipped += other.skipped;
        self.outside += other.outside;
        self.failed.extend(other.failed);
        self.parsed += other.parsed;
        self.late += other.late;
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{} object(s) ingested ({} records, {} too old to be rolled up), {} known before, {} quarantined, {} no flow logs, {} of another time, {} failed\n",
            self.ingested,
            self.parsed,
            self.late,
            self.known,
            self.quarantined.len(),
            self.skipped,
            self.outside,
            self.failed.len()
        );
        for (fate, objects) in [("quarantined", &self.quarantined), ("failed", &self.failed)] {
            text.extend(objects.iter().map(|why| printable(&format!("{fate}: {why}")) + "\n"));
        }
        text
    }

    /// For scripts.
    pub fn to_json(&self) -> Value {
        json!({
            "ingested": self.ingested, "parsed": self.parsed, "late": self.late, "known": self.known,
            "quarantined": self.quarantined.len(), "unusable": self.quarantined,
            "skipped": self.skipped, "outside": self.outside, "failed": self.failed,
        })
    }
}
