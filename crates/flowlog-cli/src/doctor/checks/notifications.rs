//! The way from the bucket to the queue: one announcement of each object, and nobody in its way.

use serde_json::{Value, json};

use super::super::account::{Account, list_of, text};
use super::super::cli::{Refused, command};
use super::super::finding::Findings;
use super::super::policy::{Policy, Wish};

/// The three kinds of consumers in a bucket's configuration, and where each names its target.
const KINDS: [(&str, &str); 3] = [
    ("QueueConfigurations", "QueueArn"),
    ("TopicConfigurations", "TopicArn"),
    ("LambdaFunctionConfigurations", "LambdaFunctionArn"),
];
/// What every key begins with.
const PREFIX: &str = "AWSLogs/";

pub(super) fn check(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    let bucket = account.stack.bucket();
    let queue = account.queue("IngestQueueUrl")?;
    let queue_arn = text(&queue["QueueArn"]);
    let asked = ["s3api", "get-bucket-notification-configuration", "--bucket", bucket];
    let configuration = account.ask(&asked)?;
    announced(account, &configuration, queue_arn, found);
    overlaps(bucket, &configuration, queue_arn, found);
    let rules = rules_to(account, queue_arn)?;
    let twice =
        rules.iter().filter(|rule| text(&rule["EventPattern"]).contains(&format!("\"{bucket}\"")));
    if !configuration["EventBridgeConfiguration"].is_null()
        && let Some(rule) = twice.into_iter().next()
    {
        found.warning(
            format!(
                "every object of {bucket} is announced twice, by its notification and by the rule {}: it \
                 counts once, and is fetched and paid twice",
                text(&rule["Name"])
            ),
            vec![command(&["aws", "events", "disable-rule", "--name", text(&rule["Name"])])],
        );
    }
    admitted(account, &queue, queue_arn, found);
    if let Some(existing) = account.stack.existing_bucket() {
        attached(account, existing, &rules, found)?;
    }
    if found.well() {
        found.ok(format!("{bucket} announces each object to the queue once"));
    }
    Ok(())
}

/// The prefix that a consumer's filter names.
fn prefix(configuration: &Value) -> &str {
    list_of(&configuration["Filter"]["Key"]["FilterRules"])
        .iter()
        .find(|rule| text(&rule["Name"]).eq_ignore_ascii_case("prefix"))
        .map_or("", |rule| text(&rule["Value"]))
}

fn hears_of_objects(configuration: &Value) -> bool {
    list_of(&configuration["Events"]).iter().any(|e| text(e).starts_with("s3:ObjectCreated:"))
}

/// Whether the queue hears of every object.
fn announced(account: &Account<'_>, configuration: &Value, queue_arn: &str, found: &mut Findings) {
    let bucket = account.stack.bucket();
    let of_queue = list_of(&configuration["QueueConfigurations"]).iter();
    let mine: Vec<_> = of_queue.filter(|c| text(&c["QueueArn"]) == queue_arn).collect();
    let whole = mine.iter().any(|c| {
        PREFIX.starts_with(prefix(c))
            && list_of(&c["Events"]).iter().any(|e| e == "s3:ObjectCreated:*")
    });
    if whole {
        return;
    }
    let mend = vec![with_queue(bucket, configuration, queue_arn)];
    match mine.first() {
        None => found.problem(
            format!(
                "{bucket} announces nothing to the queue: objects are found by the hourly \
                 reconciliation only"
            ),
            mend,
        ),
        Some(one) => found.problem(
            format!(
                "{bucket} announces only some objects to the queue: those under {:?}, on {}",
                prefix(one),
                list_of(&one["Events"]).iter().map(text).collect::<Vec<_>>().join(", ")
            ),
            mend,
        ),
    }
}

/// The command that puts ours into the configuration and leaves the rest as it is: the call replaces all
/// of it. Of what the queue hears already, only that goes which ours takes in.
fn with_queue(bucket: &str, configuration: &Value, queue_arn: &str) -> String {
    let mut whole = configuration.as_object().cloned().unwrap_or_default();
    let mut queues = list_of(&configuration["QueueConfigurations"]).to_vec();
    let apart = |other: &str| !other.starts_with(PREFIX) && !PREFIX.starts_with(other);
    queues.retain(|c| text(&c["QueueArn"]) != queue_arn || apart(prefix(c)));
    queues.push(json!({
        "QueueArn": queue_arn,
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": PREFIX}]}},
    }));
    whole.insert("QueueConfigurations".to_owned(), queues.into());
    let words = ["aws", "s3api", "put-bucket-notification-configuration", "--bucket", bucket];
    let document = Value::Object(whole).to_string();
    command(&[&words[..], &["--notification-configuration", &document]].concat())
}

/// Two consumers of one prefix: S3 refuses such a configuration, so whoever puts his own in drops ours.
fn overlaps(bucket: &str, configuration: &Value, queue_arn: &str, found: &mut Findings) {
    let mut ours = 0;
    for (kind, target) in KINDS {
        for consumer in list_of(&configuration[kind]).iter().filter(|c| hears_of_objects(c)) {
            let (prefix, target) = (prefix(consumer), text(&consumer[target]));
            if !prefix.starts_with(PREFIX) && !PREFIX.starts_with(prefix) {
                continue;
            }
            if target == queue_arn {
                ours += 1;
                if ours < 2 {
                    continue;
                }
            }
            found.warning(
                format!(
                    "{bucket} has a second consumer of {PREFIX}: {target} hears of {prefix:?}. S3 takes \
                     no two for one prefix and event, so the next change of either drops the other"
                ),
                vec![
                    "# Let one of them hear by EventBridge, which takes any number:".to_owned(),
                    command(&["aws", "s3api", "get-bucket-notification-configuration", "--bucket", bucket]),
                ],
            );
        }
    }
}

/// The rules of EventBridge that have the queue for a target.
fn rules_to(account: &Account<'_>, queue_arn: &str) -> Result<Vec<Value>, Refused> {
    let asked = ["events", "list-rule-names-by-target", "--target-arn", queue_arn];
    let answer = account.ask(&asked)?;
    let names = list_of(&answer["RuleNames"]).iter().map(text);
    names.map(|name| account.ask(&["events", "describe-rule", "--name", name])).collect()
}

/// Whether the queue takes what the bucket sends.
fn admitted(account: &Account<'_>, queue: &Value, queue_arn: &str, found: &mut Findings) {
    let bucket_arn = account.stack.bucket_arn(account.stack.bucket());
    let wish = Wish {
        service: "s3.amazonaws.com",
        action: "sqs:SendMessage",
        resource: queue_arn,
        context: &[("aws:sourceaccount", &account.stack.account), ("aws:sourcearn", &bucket_arn)],
    };
    let policy = Policy::read(&queue["Policy"]);
    if policy.allows(&wish) {
        return;
    }
    let document = policy.with(vec![json!({
        "Sid": "LogBucketSends", "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage", "Resource": queue_arn,
        "Condition": {
            "StringEquals": {"aws:SourceAccount": account.stack.account},
            "ArnEquals": {"aws:SourceArn": bucket_arn},
        },
    })]);
    let attributes = json!({ "Policy": document }).to_string();
    let url = account.stack.output("IngestQueueUrl");
    let words = ["aws", "sqs", "set-queue-attributes", "--queue-url", url];
    found.problem(
        "the queue's policy does not let the bucket send to it",
        vec![command(&[&words[..], &["--attributes", &attributes]].concat())],
    );
}

/// Whether a queue that an attached bucket names is one of flowlog's that takes nothing from it any more:
/// the stack's own, which another bucket sends to by now, or that of a stack which is gone.
fn is_former(account: &Account<'_>, queue_arn: &str) -> bool {
    let stack = &account.stack;
    let url = stack.output("IngestQueueUrl");
    let (base, own) = url.rsplit_once('/').unwrap_or_default();
    if queue_arn == stack.arn("sqs", own) {
        return true;
    }
    let name = queue_arn.strip_prefix(&stack.arn("sqs", "")).unwrap_or_default();
    // As CloudFormation names them: the stack, what it is in the template, and something random.
    if !name.contains("-IngestQueue-") {
        return false;
    }
    let url = format!("{base}/{name}");
    let asked = ["sqs", "get-queue-attributes", "--queue-url", &url, "--attribute-names", "All"];
    let gone = ["AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"];
    account.ask(&asked).is_err_and(|refused| refused.is(&gone))
}

/// A bucket that flowlog was attached to: it sends to EventBridge, and a rule of ours listens.
fn attached(
    account: &Account<'_>,
    bucket: &str,
    rules: &[Value],
    found: &mut Findings,
) -> Result<(), Refused> {
    let asked = ["s3api", "get-bucket-notification-configuration", "--bucket", bucket];
    let configuration = account.ask(&asked)?;
    if configuration["EventBridgeConfiguration"].is_null() {
        let mut whole = configuration.as_object().cloned().unwrap_or_default();
        whole.insert("EventBridgeConfiguration".to_owned(), json!({}));
        let mut queues = list_of(&configuration["QueueConfigurations"]).to_vec();
        let before = queues.len();
        queues.retain(|c| !is_former(account, text(&c["QueueArn"])));
        let mut mend = Vec::new();
        if queues.len() < before {
            mend.push(
                "# It was flowlog's own before. The queue that it still names takes nothing from it, and S3 \
                 refuses a configuration with such a queue, so that entry is left out:"
                    .to_owned(),
            );
            whole.insert("QueueConfigurations".to_owned(), queues.into());
        }
        let document = Value::Object(whole).to_string();
        let words = ["aws", "s3api", "put-bucket-notification-configuration", "--bucket", bucket];
        mend.push(command(&[&words[..], &["--notification-configuration", &document]].concat()));
        found.problem(
            format!("{bucket} sends nothing to EventBridge, so its objects are not announced"),
            mend,
        );
    }
    let named = format!("\"{bucket}\"");
    match rules.iter().find(|rule| text(&rule["EventPattern"]).contains(&named)) {
        None => found.problem(
            format!("no rule of EventBridge brings {bucket}'s objects to the queue"),
            vec![
                "# CloudFormation makes what it does not know to be there: detach, and attach again.".into(),
                account.stack.deploy("ExistingBucketName", ""),
                account.stack.deploy("ExistingBucketName", bucket),
            ],
        ),
        Some(rule) if text(&rule["State"]) == "DISABLED" => found.problem(
            format!("the rule {} for {bucket}'s objects is disabled", text(&rule["Name"])),
            vec![command(&["aws", "events", "enable-rule", "--name", text(&rule["Name"])])],
        ),
        Some(_) => {}
    }
    Ok(())
}
