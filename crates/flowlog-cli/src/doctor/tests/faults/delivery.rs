//! From the flow logs to the queue.

use serde_json::{Value, json};

use super::super::Canned;
use super::{planted_among, problem, refused, set, warning};

const FLOW_LOGS: &str = "ec2 describe-flow-logs";
const INGEST: &str = "sqs get-queue-attributes --queue-url https://sqs/ingest";
const NOTIFICATION: &str = "s3api get-bucket-notification-configuration --bucket logs";
const OLD: &str = "s3api get-bucket-notification-configuration --bucket old-logs";
const KEY: &str = "kms describe-key";
const STACK: &str = "cloudformation describe-stacks";

#[test]
fn the_stack() {
    let status = |text: &str| set(STACK, "/Stacks/0/StackStatus", json!(text));
    problem(status("UPDATE_ROLLBACK_FAILED"), "stack", "FAILED", "describe-stack-events");
    problem(status("ROLLBACK_COMPLETE"), "stack", "ROLLBACK_COMPLETE", "describe-stack-events");
    warning(
        status("UPDATE_ROLLBACK_COMPLETE"),
        "stack",
        "did not succeed",
        "describe-stack-events",
    );
}

#[test]
fn flow_logs() {
    let check = "flow-logs";
    problem(
        |canned| {
            canned.set(FLOW_LOGS, "/FlowLogs/0/DeliverLogsStatus", json!("FAILED"));
            canned.of(FLOW_LOGS)["FlowLogs"][0]["DeliverLogsErrorMessage"] = json!("Access error");
        },
        check,
        "fl-1 of vpc-a cannot deliver; AWS says: Access error",
        "flowlog doctor --only bucket",
    );
    problem(
        |canned| {
            canned.set(FLOW_LOGS, "/FlowLogs/1/DeliverLogsStatus", json!("FAILED"));
            canned.of(FLOW_LOGS)["FlowLogs"][1]["DeliverLogsErrorMessage"] = json!("Access error");
        },
        check,
        "fl-2 of vpc-a cannot deliver",
        "aws iam get-role --role-name flowlog-RejectDeliveryRole-1",
    );
    let inactive = set(FLOW_LOGS, "/FlowLogs/0/FlowLogStatus", json!("INACTIVE"));
    problem(inactive, check, "fl-1 of vpc-a is INACTIVE", "describe-flow-logs --flow-log-ids fl-1");
    let slow = set(FLOW_LOGS, "/FlowLogs/0/MaxAggregationInterval", json!(600));
    warning(slow, check, "ten minutes", "--max-aggregation-interval 60");
    let half = set(FLOW_LOGS, "/FlowLogs/0/TrafficType", json!("REJECT"));
    warning(half, check, "REJECT traffic only", "--traffic-type ALL");
    let folder = set(FLOW_LOGS, "/FlowLogs/0/LogDestination", json!("arn:aws:s3:::logs/team/"));
    planted_among(folder, check, "into the folder team/ of logs", "delete-flow-logs");
    let poor = set(FLOW_LOGS, "/FlowLogs/0/LogFormat", json!("${interface-id} ${start} ${action}"));
    warning(poor, check, "lacks log-status", "create-flow-logs");
    let twice = |canned: &mut Canned| {
        let logs = canned.of(FLOW_LOGS)["FlowLogs"].as_array_mut().unwrap();
        let mut twin = logs[0].clone();
        twin["FlowLogId"] = json!("fl-3");
        logs.push(twin);
    };
    warning(twice, check, "fl-1 and fl-3 deliver the same", "delete-flow-logs --flow-log-ids fl-3");
    let deleted = |canned: &mut Canned| {
        canned.of(FLOW_LOGS)["FlowLogs"].as_array_mut().unwrap().remove(1);
    };
    problem(deleted, check, "what vpc-a rejects", "create-flow-logs --resource-type VPC");
}

#[test]
fn without_any_flow_log() {
    let none = || set(FLOW_LOGS, "/FlowLogs", json!([]));
    planted_among(
        none(),
        "flow-logs",
        "vpc-a is this stack's",
        "--log-destination arn:aws:s3:::logs",
    );
    planted_among(none(), "flow-logs", "delivers to logs", "--template-file infra/attach.yaml");
}

#[test]
fn bucket() {
    let check = "bucket";
    let policy = "s3api get-bucket-policy";
    let open = set(
        "s3api get-public-access-block",
        "/PublicAccessBlockConfiguration/BlockPublicPolicy",
        json!(false),
    );
    problem(open, check, "BlockPublicPolicy is off", "put-public-access-block");
    let gone = refused("s3api get-public-access-block", "NoSuchPublicAccessBlockConfiguration");
    problem(gone, check, "BlockPublicAcls, ", "RestrictPublicBuckets=true");
    let none = refused(policy, "NoSuchBucketPolicy");
    planted_among(none, check, "does not let delivery.logs", r#""Sid":"AWSLogDeliveryWrite""#);
    let hive = set(
        policy,
        "/Policy/Statement/0/Resource",
        json!("arn:aws:s3:::logs/AWSLogs/123456789012/*"),
    );
    problem(hive, check, "write into AWSLogs/aws-account-id=", "put-bucket-policy --bucket logs");
    let other = set(
        policy,
        "/Policy/Statement/0/Condition/StringEquals/aws:SourceAccount",
        json!("210987654321"),
    );
    // Somebody's own statement of that name stays, and so does everything else.
    let mend = r#""Sid":"AWSLogDeliveryWrite2""#;
    problem(other, check, "does not let delivery.logs", mend);
    let other = set(
        policy,
        "/Policy/Statement/0/Condition/StringEquals/aws:SourceAccount",
        json!("210987654321"),
    );
    problem(other, check, "does not let delivery.logs", r#""aws:SourceAccount":"210987654321""#);
    let anybody = set(policy, "/Policy/Statement/0/Condition", json!({}));
    warning(anybody, check, "any account's name", r#"The statement "AWSLogDeliveryWrite" does"#);
    let deny = |canned: &mut Canned| {
        let statements = canned.of(policy)["Policy"]["Statement"].as_array_mut().unwrap();
        statements.push(json!({
            "Sid": "OnlyUnderOurKey", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::logs/*",
            "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": "k"}},
        }));
    };
    problem(deny, check, "OnlyUnderOurKey", "get-bucket-policy");
    let plain = set(policy, "/Policy/Statement/2/Action", json!("s3:DeleteBucket"));
    let plain = |canned: &mut Canned| {
        plain(canned);
        canned.set(policy, "/Policy/Statement/2/Condition", json!({}));
    };
    warning(plain, check, "does not insist on TLS", r#""Sid":"DenyInsecureTransport2""#);
    // Two things are lacking, and either command mends both: it sets the whole policy.
    let mut canned = Canned::healthy();
    let statements = canned.of(policy)["Policy"]["Statement"].as_array_mut().unwrap();
    statements.truncate(1);
    let found = canned.findings();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(found[0].mend, found[1].mend);
    for name in ["AWSLogDeliveryWrite\"", "AWSLogDeliveryAclCheck\"", "DenyInsecureTransport\""] {
        assert_eq!(found[0].mend[0].matches(name).count(), 1, "{name}");
    }
    let lifecycle =
        refused("s3api get-bucket-lifecycle-configuration", "NoSuchLifecycleConfiguration");
    warning(lifecycle, check, "ever expires", r#"{"Days":90}"#);
}

#[test]
fn the_bucket_s_key() {
    let check = "bucket";
    let by = "/ServerSideEncryptionConfiguration/Rules/0/ApplyServerSideEncryptionByDefault/KMSMasterKeyID";
    let managed = set("s3api get-bucket-encryption", by, json!("alias/aws/s3"));
    problem(managed, check, "the key that AWS manages", "put-bucket-encryption");
    let disabled = set(KEY, "/KeyMetadata/KeyState", json!("Disabled"));
    problem(disabled, check, "is Disabled", "aws kms enable-key");
    let leaving = set(KEY, "/KeyMetadata/KeyState", json!("PendingDeletion"));
    problem(leaving, check, "is PendingDeletion", "cancel-key-deletion");
    let closed = set("kms get-key-policy", "/Policy/Statement/1/Action", json!("kms:Decrypt"));
    problem(closed, check, "kms:GenerateDataKey", "get-key-policy");
}

#[test]
fn notifications() {
    let check = "notifications";
    let gone = set(NOTIFICATION, "/QueueConfigurations", json!([]));
    problem(
        gone,
        check,
        "announces nothing",
        "put-bucket-notification-configuration --bucket logs",
    );
    let narrow = json!([{"Name": "Prefix", "Value": "AWSLogs/123456789012/"}]);
    let narrow = set(NOTIFICATION, "/QueueConfigurations/0/Filter/Key/FilterRules", narrow);
    problem(narrow, check, "announces only some", r#""Value":"AWSLogs/""#);
    let narrow = |canned: &mut Canned| {
        let queues = canned.of(NOTIFICATION)["QueueConfigurations"].as_array_mut().unwrap();
        let mut apart = queues[0].clone();
        apart["Filter"]["Key"]["FilterRules"][0]["Value"] = json!("team/AWSLogs/");
        queues.push(apart);
        queues.remove(0);
    };
    // What the queue hears of another folder stays.
    problem(narrow, check, "announces only some", "team/AWSLogs/");
    let events =
        set(NOTIFICATION, "/QueueConfigurations/0/Events", json!(["s3:ObjectCreated:Put"]));
    problem(events, check, "s3:ObjectCreated:Put", "s3:ObjectCreated:*");
    let second = |canned: &mut Canned| {
        canned.of(NOTIFICATION)["LambdaFunctionConfigurations"] =
            json!([{"LambdaFunctionArn": "arn:theirs", "Events": ["s3:ObjectCreated:*"]}]);
    };
    warning(second, check, "second consumer of AWSLogs/: arn:theirs", "EventBridge");
    let twice = |canned: &mut Canned| {
        canned.of(NOTIFICATION)["EventBridgeConfiguration"] = json!({});
        let pattern = r#"{"detail":{"bucket":{"name":["logs","old-logs"]}}}"#;
        canned.set("events describe-rule --name flowlog-existing", "/EventPattern", json!(pattern));
    };
    warning(twice, check, "announced twice", "disable-rule --name flowlog-existing");
    let closed = set(
        INGEST,
        "/Attributes/Policy/Statement/0/Condition/ArnEquals/aws:SourceArn",
        json!("arn:aws:s3:::renamed"),
    );
    problem(closed, check, "does not let the bucket send", "LogBucketSends2");
    let silent = |canned: &mut Canned| {
        canned.of(OLD).as_object_mut().unwrap().remove("EventBridgeConfiguration");
    };
    // What others hear of that bucket stays.
    problem(silent, check, "old-logs sends nothing to EventBridge", ":theirs");
    let rule = set("events describe-rule --name flowlog-existing", "/State", json!("DISABLED"));
    problem(rule, check, "is disabled", "enable-rule --name flowlog-existing");
    let to_queue = "events list-rule-names-by-target --target-arn arn:aws:sqs";
    problem(
        set(to_queue, "/RuleNames", json!([])),
        check,
        "no rule",
        "make deploy STACK=flowlog ARGS='--parameter-overrides ExistingBucketName=old-logs'",
    );
    problem(
        set(to_queue, "/RuleNames", json!([])),
        check,
        "no rule of EventBridge",
        r#"make deploy STACK=flowlog ARGS='--parameter-overrides "ExistingBucketName=\"\""'"#,
    );
}

/// S3 tries every queue that a configuration names, so what flowlog's own bucket named before has to go.
#[test]
fn a_bucket_that_was_flowlogs_own_is_attached_without_its_former_queue() {
    let queue = |name: &str, prefix: &str| {
        let rules = json!([{"Name": "Prefix", "Value": prefix}]);
        json!({
            "QueueArn": format!("arn:aws:sqs:us-east-1:123456789012:{name}"),
            "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}},
        })
    };
    let gone = "old-IngestQueue-1a2b";
    let theirs = [queue("theirs", "their/"), queue("other-IngestQueue-3c4d", "other/")];
    for former in [gone, "ingest"] {
        let mut canned = Canned::healthy();
        let old = canned.of(OLD).as_object_mut().unwrap();
        old.remove("EventBridgeConfiguration");
        let queues = [&theirs[..], &[queue(former, "AWSLogs/")]].concat();
        old.insert("QueueConfigurations".to_owned(), queues.into());
        let asked = |name: &str| {
            format!("sqs get-queue-attributes --queue-url https://sqs/{name} --attribute-names All")
        };
        let refused = json!({"refused": "AWS.SimpleQueueService.NonExistentQueue"});
        canned.answers.insert(asked(gone), refused);
        canned.answers.insert(asked("other-IngestQueue-3c4d"), json!({"Attributes": {}}));
        let findings = canned.findings();
        let [finding] = &findings[..] else { panic!("not one finding: {findings:#?}") };
        let [why, line] = &finding.mend[..] else { panic!("{finding:#?}") };
        assert!(why.starts_with("# It was flowlog's own before."), "{why}");
        let (_, document) = line.split_once("--notification-configuration '").unwrap();
        let document: Value = serde_json::from_str(document.trim_end_matches('\'')).unwrap();
        assert_eq!(document["QueueConfigurations"], json!(theirs), "{former}");
        assert_eq!(document["EventBridgeConfiguration"], json!({}));
        assert!(
            document["TopicConfigurations"][0]["TopicArn"].as_str().unwrap().ends_with(":theirs")
        );
    }
}
