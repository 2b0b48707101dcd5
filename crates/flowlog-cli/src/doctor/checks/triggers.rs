//! What wakes the functions: the queue, the stream and the schedules.

use serde_json::{Value, json};

use super::super::account::{Account, list_of, number, text};
use super::super::cli::{Refused, command};
use super::super::finding::Findings;
use super::tables;

pub(super) fn check(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    let queue = account.queue("IngestQueueUrl")?;
    let queue_arn = text(&queue["QueueArn"]);
    let parser = account.function("S3ParserFunctionName")?;
    if let Some(mapping) = mapping(account, "S3ParserFunctionName", queue_arn, "the queue", found)?
    {
        state(&mapping, "the queue", "the parser", found);
    }
    patience(account, &queue, number(&parser["Timeout"]), found);
    // The table is asked, not the output: a stream that was switched off and on is another one.
    let table = tables::describe(account, "AggregatesTable")?;
    let stream = text(&table["LatestStreamArn"]);
    if !stream.is_empty()
        && let Some(mapping) =
            mapping(account, "AnomalyAlerterFunctionName", stream, "the table's stream", found)?
    {
        state(&mapping, "the stream", "the alerter", found);
    }
    schedules(account, "S3ParserFunctionName", "reconciles the bucket", 1, found)?;
    schedules(account, "AnomalyAlerterFunctionName", "sweeps and compacts", 2, found)?;
    if found.well() {
        found.ok("queue, stream and schedules wake their functions");
    }
    Ok(())
}

/// The mapping from this source to the function.
fn mapping(
    account: &Account<'_>,
    output: &str,
    source: &str,
    called: &str,
    found: &mut Findings,
) -> Result<Option<Value>, Refused> {
    let function = account.stack.output(output);
    let asked = ["lambda", "list-event-source-mappings", "--function-name", function];
    let answer = account.ask(&asked)?;
    let mappings = list_of(&answer["EventSourceMappings"]);
    let one = mappings.iter().find(|mapping| text(&mapping["EventSourceArn"]) == source);
    if one.is_none() {
        let mend = create(account, function, source)?;
        found.problem(format!("nothing wakes {function} for {called} ({source})"), vec![mend]);
    }
    Ok(one.cloned())
}

/// The command that makes a mapping as the template does.
fn create(account: &Account<'_>, function: &str, source: &str) -> Result<String, Refused> {
    let words = ["aws", "lambda", "create-event-source-mapping", "--function-name", function];
    let by_item = ["--function-response-types", "ReportBatchItemFailures"];
    let common = [&words[..], &["--event-source-arn", source], &by_item].concat();
    if !source.contains(":dynamodb:") {
        let limit = Some(account.stack.parameter("ParserMaximumConcurrency"))
            .filter(|limit| !limit.is_empty())
            .unwrap_or("10");
        let scaling = format!("MaximumConcurrency={limit}");
        let rest = ["--batch-size", "2", "--scaling-config", &scaling];
        return Ok(command(&[&common[..], &rest].concat()));
    }
    let failures = account.queue("AnomalyAlerterFailuresUrl")?;
    let given_up = json!({"OnFailure": {"Destination": failures["QueueArn"]}}).to_string();
    let pattern = json!({"dynamodb": {"NewImage": {"t": {"S": ["P"]}}}}).to_string();
    let filter = json!({"Filters": [{"Pattern": pattern}]}).to_string();
    let batches = [
        "--batch-size",
        "100",
        "--maximum-batching-window-in-seconds",
        "5",
        "--parallelization-factor",
        "10",
    ];
    let patience = [
        "--bisect-batch-on-function-error",
        "--maximum-retry-attempts",
        "10",
        "--maximum-record-age-in-seconds",
        "3600",
    ];
    let rest = [
        "--starting-position",
        "TRIM_HORIZON",
        "--destination-config",
        &given_up,
        "--filter-criteria",
        &filter,
    ];
    Ok(command(&[&common[..], &batches, &patience, &rest].concat()))
}

fn state(mapping: &Value, source: &str, function: &str, found: &mut Findings) {
    let id = text(&mapping["UUID"]);
    let update = ["aws", "lambda", "update-event-source-mapping", "--uuid", id];
    let state = text(&mapping["State"]);
    if !["Enabled", "Enabling", "Updating", "Creating"].contains(&state) {
        found.problem(
            format!(
                "the mapping from {source} to {function} is {state}, so {function} does not wake"
            ),
            vec![command(&[&update[..], &["--enabled"]].concat())],
        );
    }
    let result = text(&mapping["LastProcessingResult"]);
    if result.starts_with("PROBLEM") {
        found.problem(
            format!("Lambda says of the mapping from {source} to {function}: {result}"),
            vec![command(&["aws", "lambda", "get-event-source-mapping", "--uuid", id])],
        );
    }
    // How AWS writes "without end".
    if mapping["MaximumRecordAgeInSeconds"] == -1 {
        let rest = ["--maximum-record-age-in-seconds", "3600", "--maximum-retry-attempts", "10"];
        let mend = [&update[..], &rest, &["--bisect-batch-on-function-error"]].concat();
        found.warning(
            format!(
                "a record of {source} that {function} cannot take is tried for as long as it lasts, and \
                 all behind it wait"
            ),
            vec![command(&mend)],
        );
    }
    if !list_of(&mapping["FunctionResponseTypes"]).iter().any(|t| t == "ReportBatchItemFailures") {
        found.warning(
            format!(
                "one failure in a batch from {source} repeats all of it: partial answers are off"
            ),
            vec![command(
                &[&update[..], &["--function-response-types", "ReportBatchItemFailures"]].concat(),
            )],
        );
    }
}

/// A message must not reappear while it is being worked on.
fn patience(account: &Account<'_>, queue: &Value, timeout: u64, found: &mut Findings) {
    let visibility = number(&queue["VisibilityTimeout"]);
    if visibility >= 6 * timeout {
        return;
    }
    let url = account.stack.output("IngestQueueUrl");
    let attributes = format!("VisibilityTimeout={}", 6 * timeout);
    found.warning(
        format!(
            "the queue shows a message again after {visibility} s, and the parser may take {timeout} s; \
             Lambda asks for six times as long, or good deliveries end in the dead letters"
        ),
        vec![command(&["aws", "sqs", "set-queue-attributes", "--queue-url", url, "--attributes", &attributes])],
    );
}

/// The rules that wake the function by the clock.
fn schedules(
    account: &Account<'_>,
    output: &str,
    does: &str,
    expected: usize,
    found: &mut Findings,
) -> Result<(), Refused> {
    let arn = text(&account.function(output)?["FunctionArn"]).to_owned();
    let answer = account.ask(&["events", "list-rule-names-by-target", "--target-arn", &arn])?;
    let names = list_of(&answer["RuleNames"]);
    if names.len() < expected {
        found.problem(
            format!("{} of {expected} schedule(s) wake the function that {does}", names.len()),
            vec![command(&["aws", "events", "list-rules", "--name-prefix", &account.stack.name])],
        );
    }
    for name in names.iter().map(text) {
        let rule = account.ask(&["events", "describe-rule", "--name", name])?;
        if text(&rule["State"]) == "DISABLED" {
            found.problem(
                format!("the schedule {name} is disabled: nobody {does}"),
                vec![command(&["aws", "events", "enable-rule", "--name", name])],
            );
        }
    }
    Ok(())
}
