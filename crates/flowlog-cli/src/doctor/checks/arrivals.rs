//! The latest objects: do they come, and does the ledger know them?

use flowlog_core::record::{BatchId, HOUR_SECONDS};
use flowlog_core::store::LedgerState;
use flowlog_core::store::item::{LEDGER_SK, ledger_pk};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::account::{Account, list_of, text};
use super::super::cli::{Refused, command};
use super::super::finding::Findings;
use super::at;
use super::flow_logs::{self, Destination, FlowLog};
use super::queues::errors_of;

/// An object that is older than this (seconds) should have been read.
const READ_BY_NOW: i64 = 900;
/// A flow log that is younger than this (seconds) need not have delivered yet.
const FIRST_DELIVERY: i64 = 1800;

/// An object of a flow log.
struct Arrival {
    bucket: String,
    key: String,
    modified: i64,
}

pub(super) fn check(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    let logs = flow_logs::ours(account)?;
    let mut arrivals = Vec::new();
    let mut asked: Vec<(String, String)> = Vec::new();
    let mut waited = false;
    for log in &logs {
        let Destination::Bucket { bucket, folder } = &log.to else { continue };
        let created = log.created.parse::<Timestamp>().map_or(0, Timestamp::as_second);
        waited |= account.now - created > FIRST_DELIVERY;
        for prefix in folders(account, log, folder) {
            let question = (bucket.clone(), prefix);
            if !asked.contains(&question) {
                arrivals.extend(list(account, &question.0, &question.1)?);
                asked.push(question);
            }
        }
    }
    if asked.is_empty() {
        found.ok("no flow log of this account delivers to S3 here, so none is waited for");
        return last_day(account, found);
    }
    arrivals.sort_by_key(|arrival| arrival.modified);
    let Some(latest) = arrivals.last() else {
        if waited {
            found.warning(
                "no object came in this hour or the one before; if anything runs in those VPCs, something \
                 keeps them from being delivered",
                vec!["flowlog doctor --only flow-logs --only bucket".to_owned()],
            );
        } else {
            found.ok("the flow logs are new: the first objects come after some ten minutes");
        }
        return last_day(account, found);
    };
    let age = (account.now - latest.modified) / 60;
    found.ok(format!(
        "the latest object came {age} minute(s) ago: s3://{}/{}",
        latest.bucket, latest.key
    ));
    let old_enough = arrivals.iter().rfind(|arrival| account.now - arrival.modified >= READ_BY_NOW);
    match old_enough {
        Some(arrival) => ledger(account, arrival, found),
        None => Ok(()),
    }
}

/// The folders that have this hour's and the last hour's objects of a flow log.
fn folders(account: &Account<'_>, log: &FlowLog, folder: &str) -> Vec<String> {
    let (id, region) = (&account.stack.account, &account.stack.region);
    let base = if log.hive {
        format!("{folder}AWSLogs/aws-account-id={id}/aws-service=vpcflowlogs/aws-region={region}")
    } else {
        format!("{folder}AWSLogs/{id}/vpcflowlogs/{region}")
    };
    let pattern = match (log.hive, log.hourly) {
        (true, true) => "year=%Y/month=%m/day=%d/hour=%H/",
        (true, false) => "year=%Y/month=%m/day=%d/",
        (false, true) => "%Y/%m/%d/%H/",
        (false, false) => "%Y/%m/%d/",
    };
    let mut folders: Vec<String> = [account.now, account.now - HOUR_SECONDS]
        .into_iter()
        .filter_map(|epoch| Timestamp::from_second(epoch).ok())
        .map(|time| format!("{base}/{}", time.strftime(pattern)))
        .collect();
    folders.dedup();
    folders
}

fn list(account: &Account<'_>, bucket: &str, prefix: &str) -> Result<Vec<Arrival>, Refused> {
    let asked = ["s3api", "list-objects-v2", "--bucket", bucket, "--prefix", prefix];
    let answer = account.ask(&asked)?;
    let objects = list_of(&answer["Contents"]).iter().filter_map(|object| {
        let modified = text(&object["LastModified"]).parse::<Timestamp>().ok()?.as_second();
        let key = text(&object["Key"]).to_owned();
        Some(Arrival { bucket: bucket.to_owned(), key, modified })
    });
    Ok(objects.collect())
}

/// What the ledger has of an object that should have been read by now.
fn ledger(account: &Account<'_>, arrival: &Arrival, found: &mut Findings) -> Result<(), Refused> {
    let batch = BatchId::of_object(&arrival.bucket, &arrival.key);
    let key = json!({"pk": {"S": ledger_pk(batch)}, "sk": {"S": LEDGER_SK}}).to_string();
    let table = account.stack.output("ControlTable");
    let words = ["dynamodb", "get-item", "--table-name", table, "--key", &key, "--consistent-read"];
    let entry = account.ask(&words)?["Item"].take();
    let minutes = (account.now - arrival.modified) / 60;
    let object = format!("s3://{}/{}, {minutes} minutes old,", arrival.bucket, arrival.key);
    match LedgerState::from_letter(text(&entry["st"]["S"])) {
        Some(LedgerState::Done) => {
            found.ok(format!("{object} is counted: {}", counts(&entry)));
        }
        Some(LedgerState::Claimed) => found.problem(
            format!("{object} was begun and is not finished"),
            vec![
                "# The parser's log says what it stumbles over:".into(),
                errors_of(account, "s3-parser"),
            ],
        ),
        Some(LedgerState::Quarantined) => found.problem(
            format!("{object} is quarantined: {}", text(&entry["q"]["S"])),
            vec![
                "# docs/runbook.md, quarantine. What is wrong with it, and how to bring it back:"
                    .to_owned(),
                command(&[
                    "aws",
                    "s3",
                    "cp",
                    &format!("s3://{}/{}", arrival.bucket, arrival.key),
                    ".",
                ]),
                command(&[
                    "flowlog",
                    "analyze",
                    arrival.key.rsplit('/').next().unwrap_or_default(),
                ]),
                command(&["flowlog", "requeue", &batch.to_string()]),
            ],
        ),
        None => found.problem(
            format!("{object} was never read"),
            vec![
                "# Was it announced, does anything wake the parser, and what does it say?"
                    .to_owned(),
                "flowlog doctor --only notifications --only triggers --only queues".to_owned(),
                errors_of(account, "s3-parser"),
            ],
        ),
    }
    Ok(())
}

/// How many records the ledger says the object had.
fn counts(entry: &Value) -> String {
    let counts: Value = serde_json::from_str(text(&entry["c"]["S"])).unwrap_or_default();
    format!("{} line(s) read, {} of them records", counts["read"], counts["parsed"])
}

/// The last day of which the tables know anything.
fn last_day(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    let table = account.stack.output("AggregatesTable");
    let words =
        ["dynamodb", "query", "--table-name", table, "--key-condition-expression", "pk = :pk"];
    let rest = ["--expression-attribute-values", r#"{":pk":{"S":"D"}}"#, "--no-scan-index-forward"];
    let answer = account.ask(&[&words[..], &rest, &["--limit", "1", "--no-paginate"]].concat())?;
    // <yyyymmdd>#<source>
    let day = text(&answer["Items"][0]["sk"]["S"]).split('#').next().unwrap_or_default();
    match (day, at(account.now)) {
        ("", _) => found.ok("the tables are empty: nothing was ever ingested"),
        (day, now) if now.replace('-', "").starts_with(day) => {
            found.ok(format!("the tables have records of today, {day}"));
        }
        (day, _) => found.warning(
            format!("the latest records in the tables are of {day} (UTC)"),
            vec![command(&[
                "flowlog",
                "coverage",
                "--stack",
                &account.stack.name,
                "--since",
                "7d",
            ])],
        ),
    }
    Ok(())
}
