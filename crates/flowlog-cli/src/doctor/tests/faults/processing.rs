//! From the queue to those who are told.

use serde_json::{Value, json};

use super::super::{Canned, Verdict};
use super::{planted, planted_among, problem, refused, set, warning};

const FLOW_LOGS: &str = "ec2 describe-flow-logs";
const INGEST: &str = "sqs get-queue-attributes --queue-url https://sqs/ingest";
const PARSER: &str = "lambda get-function-configuration --function-name parser";
const SUBSCRIBER: &str = "lambda get-function-configuration --function-name subscriber";
const MAPPING: &str = "lambda list-event-source-mappings --function-name parser";
const AGGREGATES: &str = "dynamodb describe-table --table-name aggregates";
const OBJECTS: &str = "s3api list-objects-v2 --bucket logs --prefix AWSLogs/aws-account-id=123456789012/\
    aws-service=vpcflowlogs/aws-region=us-east-1/year=2026/month=11/day=01/hour=11/";
const GROUP: &str = "logs describe-log-groups";
const SEEN: &str = "logs filter-log-events";
const PERMISSION: &str = "lambda get-policy";

const ALERTS: &str =
    "sns list-subscriptions-by-topic --topic-arn arn:aws:sns:us-east-1:123456789012:alerts";
const FILTER: &str =
    "logs describe-subscription-filters --log-group-name /flowlog/flowlog/vpc-flow-logs";
const OWN: &str =
    "logs describe-subscription-filters --log-group-name /flowlog/flowlog/cwl-subscriber";

#[test]
fn queues() {
    let check = "queues";
    let depth = "/Attributes/ApproximateNumberOfMessages";
    let dead = set("sqs get-queue-attributes --queue-url https://sqs/dead", depth, json!("4"));
    problem(
        dead,
        check,
        "4 notifications failed",
        "start-message-move-task --source-arn arn:aws:sqs:us-east-1:123456789012:dead \
         --destination-arn arn:aws:sqs:us-east-1:123456789012:ingest",
    );
    let lost =
        set("sqs get-queue-attributes --queue-url https://sqs/subscriber", depth, json!("1"));
    problem(
        lost,
        check,
        "1 payloads",
        "receive-message --queue-url https://sqs/subscriber-failures",
    );
    let given_up =
        set("sqs get-queue-attributes --queue-url https://sqs/alerter", depth, json!("2"));
    problem(
        given_up,
        check,
        "2 parts of the stream or runs of schedules",
        "receive-message --queue-url https://sqs/alerter-failures",
    );
    let old = set("cloudwatch get-metric-statistics", "/Datapoints/1/Maximum", json!(4000.0));
    problem(old, check, "waited 4000 seconds", "/flowlog/flowlog/s3-parser");
    let alone = set(INGEST, "/Attributes/RedrivePolicy", json!("{}"));
    problem(alone, check, "no dead letters", "maxReceiveCount");
}

#[test]
fn triggers() {
    let check = "triggers";
    let off = set(MAPPING, "/EventSourceMappings/0/State", json!("Disabled"));
    problem(off, check, "is Disabled", "update-event-source-mapping --uuid m-1 --enabled");
    let none = set(MAPPING, "/EventSourceMappings", json!([]));
    problem(none, check, "nothing wakes parser", "--scaling-config MaximumConcurrency=10");
    let stream =
        json!("arn:aws:dynamodb:us-east-1:123456789012:table/aggregates/stream/2026-10-31");
    let another = set(AGGREGATES, "/Table/LatestStreamArn", stream);
    let failures =
        r#"{"OnFailure":{"Destination":"arn:aws:sqs:us-east-1:123456789012:alerter-failures"}}"#;
    problem(another, check, "nothing wakes alerter", failures);
    let endless = set(
        "lambda list-event-source-mappings --function-name alerter",
        "/EventSourceMappings/0/MaximumRecordAgeInSeconds",
        json!(-1),
    );
    warning(endless, check, "as long as it lasts", "--maximum-retry-attempts 10");
    let broken = set(
        "lambda list-event-source-mappings --function-name alerter",
        "/EventSourceMappings/0/LastProcessingResult",
        json!("PROBLEM: Function call failed"),
    );
    problem(broken, check, "Function call failed", "get-event-source-mapping --uuid m-2");
    let whole = set(MAPPING, "/EventSourceMappings/0/FunctionResponseTypes", json!([]));
    warning(whole, check, "partial answers", "ReportBatchItemFailures");
    let hasty = set(INGEST, "/Attributes/VisibilityTimeout", json!("30"));
    warning(hasty, check, "after 30 s", "VisibilityTimeout=360");
    let asleep = set("events describe-rule --name sweep", "/State", json!("DISABLED"));
    problem(asleep, check, "sweep is disabled", "enable-rule --name sweep");
    let to_alerter = "events list-rule-names-by-target --target-arn arn:aws:lambda:us-east-1:123456789012:function:alerter";
    problem(
        set(to_alerter, "/RuleNames", json!(["sweep"])),
        check,
        "1 of 2 schedule(s)",
        "list-rules",
    );
}

#[test]
fn functions() {
    let check = "functions";
    let failed = set(PARSER, "/State", json!("Failed"));
    problem(failed, check, "parser is Failed", "get-function-configuration");
    let update = set(PARSER, "/LastUpdateStatus", json!("Failed"));
    problem(update, check, "last update of parser", "get-function-configuration");
    let stopped = set(
        "lambda get-function-concurrency --function-name alerter",
        "/ReservedConcurrentExecutions",
        json!(0),
    );
    problem(
        stopped,
        check,
        "alerter is stopped",
        "delete-function-concurrency --function-name alerter",
    );
    let other = set(PARSER, "/Environment/Variables/CONTROL_TABLE", json!("control-old"));
    problem(other, check, "CONTROL_TABLE=control-old", r#""CONTROL_TABLE":"control""#);
    planted_among(
        refused(
            "lambda get-function-configuration --function-name alerter",
            "ResourceNotFoundException",
        ),
        check,
        "alerter is gone",
        "detect-stack-drift",
    );
}

#[test]
fn arrivals() {
    let check = "arrivals";
    let item = "dynamodb get-item";
    planted(
        set(item, "/Item/st/S", json!("C")),
        Verdict::Problem,
        check,
        "is not finished",
        "s3-parser",
    );
    let quarantined = |canned: &mut Canned| {
        canned.of(item)["Item"] = json!({"st": {"S": "Q"}, "q": {"S": "gzip_corrupt"}});
    };
    problem(quarantined, check, "quarantined: gzip_corrupt", "flowlog requeue");
    let unknown = |canned: &mut Canned| *canned.of(item) = Value::Null;
    problem(
        unknown,
        check,
        "24 minutes old, was never read",
        "flowlog doctor --only notifications",
    );
    let silent = |canned: &mut Canned| *canned.of(OBJECTS) = Value::Null;
    warning(silent, check, "no object came", "flowlog doctor --only flow-logs");
    let long_ago = |canned: &mut Canned| {
        canned.set(FLOW_LOGS, "/FlowLogs/0/CreationTime", json!("2026-11-01T11:50:00+00:00"));
        *canned.of(OBJECTS) = Value::Null;
        canned.set("dynamodb query", "/Items/0/sk/S", json!("20261020#fl-1"));
    };
    warning(long_ago, check, "are of 20261020", "flowlog coverage --stack flowlog");
}

#[test]
fn subscription() {
    let check = "subscription";
    let gone = set(GROUP, "/logGroups", json!([]));
    problem(gone, check, "is gone", "create-log-group");
    let kept = set(GROUP, "/logGroups/0/retentionInDays", Value::Null);
    warning(kept, check, "for ever", "--retention-in-days 30");
    let none = set(FILTER, "/subscriptionFilters", json!([]));
    problem(none, check, "no subscription", "--filter-pattern '' --destination-arn arn:aws:lambda");
    let full =
        set(FILTER, "/subscriptionFilters", json!([{"filterName": "a"}, {"filterName": "b"}]));
    problem(full, check, "takes no third", "delete-subscription-filter");
    let part = set(FILTER, "/subscriptionFilters/0/filterPattern", json!("REJECT"));
    warning(part, check, "only what matches", "--filter-name f");
    let refuses = refused(PERMISSION, "ResourceNotFoundException");
    problem(
        refuses,
        check,
        "does not let the log group",
        "add-permission --function-name subscriber",
    );
    let other = set(
        PERMISSION,
        "/Policy/Statement/0/Condition/ArnLike/AWS:SourceArn",
        json!("arn:aws:logs:us-east-1:123456789012:log-group:/other:*"),
    );
    problem(other, check, "does not let the log group", "--source-account 123456789012");
    let own = json!([{"filterName": "x", "destinationArn": "arn:aws:lambda:us-east-1:123456789012:function:subscriber"}]);
    problem(
        set(OWN, "/subscriptionFilters", own),
        check,
        "its own log",
        "delete-subscription-filter",
    );
}

#[test]
fn log_format() {
    let check = "log-format";
    let format =
        "${version} ${interface-id} ${dstaddr} ${srcaddr} ${start} ${end} ${action} ${log-status}";
    let other = set(FLOW_LOGS, "/FlowLogs/1/LogFormat", json!(format));
    // As docs/howto-custom-format.md has it, where a test runs it.
    let line = r#"make deploy STACK=flowlog ARGS='--parameter-overrides "LogFormat=\"\$${version} \$${interface-id} \$${dstaddr} \$${srcaddr} \$${start} \$${end} \$${action} \$${log-status}\""'"#;
    problem(other, check, "does not know that format", line);
    let changed = |canned: &mut Canned| {
        canned.set(SUBSCRIBER, "/Environment/Variables/LOG_FORMAT", json!(format));
        canned.set(FLOW_LOGS, "/FlowLogs/1/LogFormat", json!(format));
    };
    warning(changed, check, "changed by hand", line);
    let broken = set(SUBSCRIBER, "/Environment/Variables/LOG_FORMAT", json!("no format"));
    problem(broken, check, "cannot start", "make deploy STACK=flowlog ARGS=");
    let short = set(SEEN, "/events/0/message", json!("2 eni-1 203.0.113.9 REJECT OK"));
    problem(short, check, "1 of the 2 latest messages", "describe-flow-logs");
}

#[test]
fn tables() {
    let check = "tables";
    let off = set(AGGREGATES, "/Table/StreamSpecification/StreamEnabled", json!(false));
    problem(off, check, "no stream of new images", "StreamViewType=NEW_IMAGE");
    let keys = set(AGGREGATES, "/Table/StreamSpecification/StreamViewType", json!("KEYS_ONLY"));
    problem(keys, check, "no stream of new images", "update-table");
    let expiry = "dynamodb describe-time-to-live --table-name control";
    let kept = set(expiry, "/TimeToLiveDescription", json!({"TimeToLiveStatus": "DISABLED"}));
    problem(kept, check, "control ever expires", "update-time-to-live --table-name control");
    let backups = "dynamodb describe-continuous-backups --table-name aggregates";
    let pointer =
        "/ContinuousBackupsDescription/PointInTimeRecoveryDescription/PointInTimeRecoveryStatus";
    warning(set(backups, pointer, json!("DISABLED")), check, "no continuous backup", "aggregates");
    let gone = refused("dynamodb describe-table --table-name control", "ResourceNotFoundException");
    problem(gone, check, "control is gone", "list-backups");
    let away = set(
        "dynamodb describe-table --table-name control",
        "/Table/TableStatus",
        json!("ARCHIVED"),
    );
    problem(away, check, "control is ARCHIVED", "describe-table");
}

#[test]
fn topics_and_alarms() {
    let none = set(ALERTS, "/Subscriptions", json!([]));
    warning(none, "topics", "nobody hears of alerts", "aws sns subscribe");
    let waiting = set(ALERTS, "/Subscriptions/0/SubscriptionArn", json!("PendingConfirmation"));
    problem(
        waiting,
        "topics",
        "you@example.com has not confirmed",
        "--notification-endpoint you@example.com",
    );
    let second = |canned: &mut Canned| {
        let list = canned.of(ALERTS)["Subscriptions"].as_array_mut().unwrap();
        list.push(json!({"SubscriptionArn": "PendingConfirmation", "Protocol": "email", "Endpoint": "b@example.com"}));
    };
    warning(second, "topics", "b@example.com has not confirmed", "b@example.com");
    let alarms = "cloudwatch describe-alarms";
    let rings = |canned: &mut Canned| {
        canned.set(alarms, "/MetricAlarms/1/StateValue", json!("ALARM"));
        canned.of(alarms)["MetricAlarms"][1]["StateReason"] = json!("3 datapoints");
    };
    problem(
        rings,
        "alarms",
        "flowlog-quarantine-s3-parser rings: 3 datapoints",
        "# docs/runbook.md, quarantine",
    );
    let off = set(alarms, "/MetricAlarms/0/ActionsEnabled", json!(false));
    warning(
        off,
        "alarms",
        "would tell nobody",
        "enable-alarm-actions --alarm-names flowlog-silence",
    );
    let again = "make deploy STACK=flowlog ARGS='--parameter-overrides CreateObservability=yes'";
    let one = |canned: &mut Canned| {
        canned.of(alarms)["MetricAlarms"].as_array_mut().unwrap().remove(0);
    };
    problem(one, "alarms", "of the stack are gone: flowlog-silence", again);
    problem(set(alarms, "/MetricAlarms", json!([])), "alarms", "flowlog-silence, flowlog-q", again);
    let resources = "cloudformation list-stack-resources --stack-name arn:";
    let none = set(resources, "/StackResourceSummaries", json!([]));
    problem(none, "alarms", "are gone: all", again);
    let of_graviton = |canned: &mut Canned| {
        canned.set(alarms, "/MetricAlarms", json!([]));
        let parameters =
            &mut canned.of("cloudformation describe-stacks")["Stacks"][0]["Parameters"];
        let architecture = json!({"ParameterKey": "Architecture", "ParameterValue": "arm64"});
        parameters.as_array_mut().unwrap().push(architecture);
    };
    let again = "make deploy STACK=flowlog ARCHITECTURE=arm64 ARGS=";
    problem(of_graviton, "alarms", "flowlog-silence, flowlog-q", again);
}
