//! Work that waits, and work that was given up.

use serde_json::Value;

use super::super::account::{Account, list_of, number, text};
use super::super::cli::{Refused, command};
use super::super::finding::Findings;
use super::at;

/// From this age (seconds) on the oldest message is a problem: that of the alarm `object-age`.
const TOO_OLD: f64 = 1800.0;

pub(super) fn check(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    let ingest = account.queue("IngestQueueUrl")?;
    let dead = account.queue("IngestDeadLettersUrl")?;
    let target: Value = serde_json::from_str(text(&ingest["RedrivePolicy"])).unwrap_or_default();
    if text(&target["deadLetterTargetArn"]) != text(&dead["QueueArn"]) {
        let policy = serde_json::json!({
            "deadLetterTargetArn": dead["QueueArn"], "maxReceiveCount": 8
        });
        let attributes = serde_json::json!({"RedrivePolicy": policy.to_string()}).to_string();
        let url = account.stack.output("IngestQueueUrl");
        let words = ["aws", "sqs", "set-queue-attributes", "--queue-url", url];
        found.problem(
            "the queue has no dead letters: what fails every time is tried until it is forgotten",
            vec![command(&[&words[..], &["--attributes", &attributes]].concat())],
        );
    }
    depth(&dead, "notifications failed every attempt", found, |arn| {
        vec![
            "# docs/runbook.md, ingest-dead-letters: first mend what refused them, then".to_owned(),
            // What EventBridge put there came from no queue, so SQS has to be told where to.
            command(&[
                "aws",
                "sqs",
                "start-message-move-task",
                "--source-arn",
                arn,
                "--destination-arn",
                text(&ingest["QueueArn"]),
            ]),
        ]
    });
    for (output, what, section) in [
        (
            "CwlSubscriberFailuresUrl",
            "payloads of rejected traffic were given up",
            "subscriber-failures",
        ),
        (
            "AnomalyAlerterFailuresUrl",
            "parts of the stream or runs of schedules were given up",
            "alerter-failures",
        ),
    ] {
        depth(&account.queue(output)?, what, found, |_| {
            vec![
                format!("# docs/runbook.md, {section}. What one of them says:"),
                command(&[
                    "aws",
                    "sqs",
                    "receive-message",
                    "--queue-url",
                    account.stack.output(output),
                ]),
            ]
        });
    }
    let oldest = age(account, text(&ingest["QueueArn"]))?;
    if let Some(age) = oldest.filter(|age| *age >= TOO_OLD) {
        found.problem(
            format!(
                "the oldest notification has waited {age:.0} seconds: the parser does not keep up"
            ),
            vec![
                "# docs/runbook.md, object-age. If it fails, its log says at what:".to_owned(),
                errors_of(account, "s3-parser"),
            ],
        );
    }
    if found.well() {
        let waiting = number(&ingest["ApproximateNumberOfMessages"]);
        let in_work = number(&ingest["ApproximateNumberOfMessagesNotVisible"]);
        let age = oldest.map_or(String::new(), |age| format!(", the oldest for {age:.0} s"));
        found.ok(format!(
            "{waiting} notification(s) wait{age}, {in_work} are being worked on; nothing was given up"
        ));
    }
    Ok(())
}

/// The command that shows a function's errors of late.
pub(super) fn errors_of(account: &Account<'_>, function: &str) -> String {
    let group = format!("/flowlog/{}/{function}", account.stack.name);
    let pattern = "{ $.level = \"ERROR\" }";
    let words = ["aws", "logs", "filter-log-events", "--log-group-name", &group];
    command(&[&words[..], &["--filter-pattern", pattern, "--max-items", "20"]].concat())
}

fn depth(queue: &Value, what: &str, found: &mut Findings, mend: impl Fn(&str) -> Vec<String>) {
    let depth = number(&queue["ApproximateNumberOfMessages"]);
    let arn = text(&queue["QueueArn"]);
    if depth > 0 {
        found.problem(format!("{depth} {what} ({arn})"), mend(arn));
    }
}

/// The greatest age of the oldest message in the last quarter of an hour, if CloudWatch has it.
fn age(account: &Account<'_>, queue_arn: &str) -> Result<Option<f64>, Refused> {
    let name = queue_arn.rsplit(':').next().unwrap_or_default();
    let dimension = format!("Name=QueueName,Value={name}");
    let asked = ["cloudwatch", "get-metric-statistics", "--namespace", "AWS/SQS"];
    let metric = ["--metric-name", "ApproximateAgeOfOldestMessage", "--dimensions", &dimension];
    let (from, to) = (at(account.now - 900), at(account.now));
    let times =
        ["--start-time", &from, "--end-time", &to, "--period", "300", "--statistics", "Maximum"];
    let answer = account.ask(&[&asked[..], &metric, &times].concat())?;
    let ages = list_of(&answer["Datapoints"]).iter().filter_map(|point| point["Maximum"].as_f64());
    Ok(ages.reduce(f64::max))
}
