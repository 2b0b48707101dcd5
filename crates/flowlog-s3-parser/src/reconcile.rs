//! Objects that no notification told of, or whose ingestion was begun and never finished: the
//! bucket's day folders against the ledger. What is missing is ingested here and now.
//!
//! Nothing is remembered from one run to the next: what a run did not get to is still missing in
//! the next one, which begins elsewhere ([`begin`]), so that runs that are short of time come round to
//! everything while its day is looked at. A bucket or folder that cannot be read keeps no other one from being
//! looked at, and the run fails at its end.

use std::collections::BTreeMap;

use flowlog_aws::deadline::{Deadline, begin};
use flowlog_aws::telemetry::Metric;
use flowlog_core::event::{EventError, Notification, json_error};
use flowlog_core::object::{Listed, Listing, Objects};
use flowlog_core::record::{BatchId, DAY_SECONDS, Window};
use flowlog_core::store::{AggregateWriter, Ledger, LedgerEntry, LedgerReader, LedgerState};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::handler::{ingest_object, not_a_flow_log};
use crate::{App, HandlerError};

/// Folders that are listed at once.
const AT_ONCE: usize = 8;

/// What the schedule asks for: `{"flowlog": "reconcile", "buckets": ["…"]}` and, as needed, the rest.
/// It is the schedule that knows the buckets, so the function needs no setting for them, and anyone
/// who may invoke the function can have another bucket or older days reconciled.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Request {
    buckets: Vec<String>,
    /// What stands before `AWSLogs/` in the keys: the folder of a flow log's destination, with its
    /// slash.
    #[serde(default = "no_prefix")]
    prefixes: Vec<String>,
    /// Today, and how many days before it.
    #[serde(default = "yesterday")]
    lookback_days: u16,
    /// These days (`2026-11-01`) instead.
    #[serde(default)]
    days: Vec<String>,
    /// Younger objects are left to their notifications.
    #[serde(default = "once_the_queue_gave_up")]
    older_than_seconds: i64,
    /// By bucket, since when (epoch seconds) its objects are ours: what is older in a bucket that was
    /// attached is history, which nobody announced.
    #[serde(default)]
    since: BTreeMap<String, i64>,
}

fn no_prefix() -> Vec<String> {
    vec![String::new()]
}

fn yesterday() -> u16 {
    1
}

/// A message comes eight times, every six minutes: what has not been ingested by then was not announced, or was given up.
fn once_the_queue_gave_up() -> i64 {
    3000
}

/// What a run found and did, which is also its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Summary {
    /// Day folders to look at …
    folders: u64,
    /// … and the ones that there was no time to look through, or to ingest what was found in them.
    left: u64,
    /// Objects that are old enough, and not of before the bucket was attached.
    listed: u64,
    /// Of these, the ones that the ledger does not have.
    missing: u64,
    /// … and the ones that are claimed and not done.
    unfinished: u64,
    /// Of both, the ones that were ingested (or quarantined) by this run.
    ingested: u64,
    /// … and the ones that could not be, for now; so are buckets and folders that cannot be read.
    failed: u64,
    /// Every folder was listed to its end, and everything found was tried.
    complete: bool,
}

impl Request {
    /// The request in an event, or `None` if the event is none of these.
    pub(crate) fn of(event: &Value) -> Result<Option<Self>, EventError> {
        match event.get("flowlog").map(Value::as_str) {
            None => Ok(None),
            Some(Some("reconcile")) => {
                let request = Self::deserialize(event);
                request.map(Some).map_err(|error| EventError::Json(json_error(&error)))
            }
            Some(_) => Err(EventError::Unknown),
        }
    }

    /// The days to look at, as `[yyyy, mm, dd]`, the latest first.
    fn days(&self, now: i64) -> Result<Vec<[String; 3]>, EventError> {
        let mut days = Vec::new();
        if self.days.is_empty() {
            for back in 0..=i64::from(self.lookback_days) {
                days.extend(Window::of(now - back * DAY_SECONDS).map(Window::day));
            }
        }
        for day in &self.days {
            let digits: String = day.chars().filter(|c| *c != '-').collect();
            Window::day_start(&digits).ok_or(EventError::Missing("day of the form 2026-11-01"))?;
            days.push(digits);
        }
        let parts = |day: &String| [&day[..4], &day[4..6], &day[6..]].map(str::to_owned);
        Ok(days.iter().map(parts).collect())
    }
}

/// Lists, compares, ingests, up to the deadline. The first bucket or folder that could not be read is
/// the error, after all that could be.
pub(crate) async fn reconcile<O, S>(
    app: &App<O, S>,
    request: &Request,
    deadline: Deadline,
) -> Result<Summary, HandlerError>
where
    O: Objects + Listing,
    S: Ledger + LedgerReader + AggregateWriter,
{
    let now = (app.now)();
    let days = request.days(now)?;
    let mut run = Run { app, request, deadline, now, summary: Summary::default(), error: None };
    run.summary.complete = true;
    let mut folders = Vec::new();
    for bucket in &request.buckets {
        let (regions, errors) = region_folders(&app.objects, bucket, &request.prefixes).await;
        for error in errors {
            run.unread(error);
        }
        for region in regions {
            folders.extend(days.iter().map(|day| (bucket.as_str(), day_folder(&region, day))));
        }
    }
    run.summary.folders = folders.len() as u64;
    let first = begin(now, folders.len());
    folders.rotate_left(first);

    for folders in folders.chunks(AT_ONCE) {
        for found in
            join_all(folders.iter().map(|(bucket, folder)| run.compare(bucket, folder))).await
        {
            run.ingest(found).await;
        }
    }
    let Summary { folders, left, listed, missing, unfinished, ingested, failed, complete } =
        run.summary;
    tracing::info!(
        folders,
        left,
        listed,
        missing,
        unfinished,
        ingested,
        failed,
        complete,
        "bucket reconciled"
    );
    let metrics = [
        (Metric::DeliveriesMissing, missing + unfinished),
        (Metric::FoldersLeft, left),
        // An hour in which nothing is read has a value, too: CloudWatch takes a missing one for what came before it, for hours.
        (Metric::RecordsRead, 0),
    ];
    (app.metrics)("s3-parser", &metrics);
    run.error.map_or(Ok(run.summary), Err)
}

struct Run<'a, O, S> {
    app: &'a App<O, S>,
    request: &'a Request,
    deadline: Deadline,
    now: i64,
    summary: Summary,
    /// The first bucket or folder that could not be read.
    error: Option<HandlerError>,
}

/// What became of listing one folder.
#[derive(Default)]
struct Found {
    listed: u64,
    missing: Vec<Listed>,
    unfinished: Vec<Listed>,
    /// The time was up before its end.
    cut: bool,
    /// Why it could not be read to its end.
    error: Option<HandlerError>,
}

impl<O, S> Run<'_, O, S>
where
    O: Objects + Listing,
    S: Ledger + LedgerReader + AggregateWriter,
{
    fn is_over(&self) -> bool {
        self.deadline.left((self.app.now)()).is_some_and(|left| left.is_zero())
    }

    fn unread(&mut self, error: HandlerError) {
        tracing::error!(error = %error, "bucket or folder is left to a later run");
        self.summary.failed += 1;
        self.summary.complete = false;
        self.error.get_or_insert(error);
    }

    /// Lists a folder and asks the ledger for everything in it, as far as it can be read.
    async fn compare(&self, bucket: &str, folder: &str) -> Found {
        let mut found = Found::default();
        found.error = self.look(bucket, folder, &mut found).await.err();
        found
    }

    async fn look(
        &self,
        bucket: &str,
        folder: &str,
        found: &mut Found,
    ) -> Result<(), HandlerError> {
        let since = self.request.since.get(bucket).copied().unwrap_or(0);
        let ours = since..=self.now - self.request.older_than_seconds;
        let mut after = None;
        loop {
            if self.is_over() {
                found.cut = true;
                return Ok(());
            }
            let page = self.app.objects.list(bucket, folder, after.as_deref()).await;
            let page = page.map_err(|error| at(bucket, folder, error))?;
            after = page.objects.last().map(|last| last.object.key.clone());
            let mut objects = page.objects;
            objects.retain(|listed| {
                ours.contains(&listed.modified) && not_a_flow_log(&listed.object.key).is_none()
            });
            let batches: Vec<BatchId> = objects.iter().map(batch).collect();
            let entries =
                self.app.store.entries(&batches).await.map_err(|source| HandlerError::Ingest {
                    at: format!("s3://{bucket}/{folder}"),
                    source: source.into(),
                })?;
            found.listed += objects.len() as u64;
            for (listed, entry) in objects.into_iter().zip(entries) {
                match entry.as_ref().map(|LedgerEntry { state, .. }| state) {
                    None => found.missing.push(listed),
                    Some(LedgerState::Claimed) => found.unfinished.push(listed),
                    Some(LedgerState::Done | LedgerState::Quarantined) => {}
                }
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    /// Ingests what was found, one object after another: their memory is one object's.
    async fn ingest(&mut self, found: Found) {
        self.summary.listed += found.listed;
        self.summary.missing += found.missing.len() as u64;
        self.summary.unfinished += found.unfinished.len() as u64;
        let mut left = found.cut;
        if let Some(error) = found.error {
            self.unread(error);
        }
        for listed in found.missing.into_iter().chain(found.unfinished) {
            let notification = Notification {
                etag: Some(listed.head.etag),
                size: Some(listed.head.size),
                // Lateness is judged from the object's arrival, as if its notification had come.
                time: Some(listed.modified),
                object: listed.object,
            };
            let ingestion = ingest_object(self.app, &notification);
            match self.deadline.within((self.app.now)(), ingestion).await {
                Some(Ok(_)) => self.summary.ingested += 1,
                Some(Err(error)) => {
                    tracing::warn!(error = %error, "missing object is left to a later run");
                    self.summary.failed += 1;
                }
                None => left = true,
            }
        }
        self.summary.left += u64::from(left);
        self.summary.complete &= !left;
    }
}

fn batch(listed: &Listed) -> BatchId {
    BatchId::of_object(&listed.object.bucket, &listed.object.key)
}

/// The folders `…/<region>/` of flow logs, in both layouts, of accounts and of organizations, and why
/// others could not be looked for.
async fn region_folders<O: Listing>(
    objects: &O,
    bucket: &str,
    prefixes: &[String],
) -> (Vec<String>, Vec<HandlerError>) {
    let folders = async |folder: String| {
        let folders = objects.folders(bucket, &folder).await;
        folders.map_err(|error| at(bucket, &folder, error))
    };
    let mut errors = Vec::new();
    let mut read = |found: Result<Vec<String>, HandlerError>| {
        found.unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        })
    };
    let mut accounts = Vec::new();
    for prefix in prefixes {
        for folder in read(folders(format!("{prefix}AWSLogs/")).await) {
            if last_part(&folder).starts_with("o-") {
                accounts.extend(read(folders(folder).await));
            } else {
                accounts.push(folder);
            }
        }
    }
    let services: Vec<String> =
        accounts.iter().flat_map(|account| service_folders(account)).collect();
    let mut regions = Vec::new();
    for services in services.chunks(AT_ONCE) {
        for found in join_all(services.iter().map(|service| folders(service.clone()))).await {
            regions.extend(read(found));
        }
    }
    (regions, errors)
}

/// The folders that an account's flow logs may be in, if the folder is an account's.
fn service_folders(account: &str) -> Vec<String> {
    let name = last_part(account);
    let is_id = |id: &str| id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit());
    let services: &[&str] = match name.strip_prefix("aws-account-id=") {
        // The guide to transit gateways writes Hive folders without `aws-` before the service.
        Some(id) if is_id(id) => &["aws-service=vpcflowlogs/", "service=vpcflowlogs/"],
        None if is_id(name) => &["vpcflowlogs/"],
        _ => &[],
    };
    services.iter().map(|service| format!("{account}{service}")).collect()
}

/// A day's folder below a region's; those of single hours are below it.
fn day_folder(region: &str, [year, month, day]: &[String; 3]) -> String {
    if last_part(region).starts_with("aws-region=") {
        format!("{region}year={year}/month={month}/day={day}/")
    } else {
        format!("{region}{year}/{month}/{day}/")
    }
}

/// `c` of `a/b/c/`.
fn last_part(folder: &str) -> &str {
    let folder = folder.trim_end_matches('/');
    folder.rsplit_once('/').map_or(folder, |(_, last)| last)
}

fn at(bucket: &str, folder: &str, source: flowlog_core::object::ObjectError) -> HandlerError {
    HandlerError::Object { at: format!("s3://{bucket}/{folder}"), source }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_says_what_it_needs_to() {
        let request = Request::of(&json!({ "flowlog": "reconcile", "buckets": ["b"] }));
        let request = request.unwrap().unwrap();
        assert_eq!((request.lookback_days, request.older_than_seconds), (1, 3000));
        assert_eq!(request.prefixes, [""]);
        // Half past midnight, 1 March 2028.
        let days = request.days(1_835_483_400).unwrap();
        assert_eq!(days, [["2028", "03", "01"], ["2028", "02", "29"]]);

        let of = |event: Value| Request::of(&event);
        assert_eq!(of(json!({ "Records": [] })), Ok(None));
        assert_eq!(of(json!({ "flowlog": "compact" })), Err(EventError::Unknown));
        assert_eq!(of(json!({ "flowlog": 1 })), Err(EventError::Unknown));
        let error = of(json!({ "flowlog": "reconcile" })).unwrap_err().to_string();
        assert!(error.contains("`buckets`"), "{error}");
        for day in ["2026-13-01", "tomorrow", "", "1-1-1"] {
            let event = json!({ "flowlog": "reconcile", "buckets": ["b"], "days": [day] });
            assert!(of(event).unwrap().unwrap().days(0).is_err(), "{day}");
        }
    }

    #[test]
    fn folders_of_both_layouts() {
        let day = ["2026", "11", "01"].map(str::to_owned);
        for (account, region, expected) in [
            (
                "x/AWSLogs/123456789012/",
                "us-east-1/",
                "x/AWSLogs/123456789012/vpcflowlogs/us-east-1/2026/11/01/",
            ),
            (
                "AWSLogs/aws-account-id=123456789012/",
                "aws-region=us-east-1/",
                "AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/\
                 aws-region=us-east-1/year=2026/month=11/day=01/",
            ),
        ] {
            let service = &service_folders(account)[0];
            assert_eq!(day_folder(&format!("{service}{region}"), &day), expected);
        }
        for other in ["AWSLogs/CloudTrail/", "AWSLogs/1234/", "AWSLogs/aws-account-id=x/", ""] {
            assert!(service_folders(other).is_empty(), "{other}");
        }
    }
}
