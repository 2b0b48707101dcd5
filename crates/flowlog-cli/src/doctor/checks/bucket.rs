//! The log bucket: closed to strangers, open to the delivery of logs, and its key as well.

use serde_json::{Value, json};

use super::super::account::{Account, list_of, text};
use super::super::cli::{Refused, command};
use super::super::finding::Findings;
use super::super::policy::{Policy, Wish};

/// Who delivers flow logs.
const DELIVERY: &str = "delivery.logs.amazonaws.com";
/// The four locks of a bucket.
const LOCKS: [&str; 4] =
    ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"];

pub(super) fn check(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    public_access(account, found)?;
    policy(account, found)?;
    encryption(account, found)?;
    lifecycle(account, found)?;
    if found.well() {
        found.ok(format!(
            "{} is closed to the public, and log delivery may write into it",
            account.stack.bucket()
        ));
    }
    Ok(())
}

/// An S3 call about the bucket; null where S3 says that this is not set up.
fn about(account: &Account<'_>, operation: &str, unset: &[&str]) -> Result<Value, Refused> {
    match account.ask(&["s3api", operation, "--bucket", account.stack.bucket()]) {
        Err(refused) if refused.is(unset) => Ok(Value::Null),
        answer => answer,
    }
}

fn public_access(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    let unset = ["NoSuchPublicAccessBlockConfiguration"];
    let answer = about(account, "get-public-access-block", &unset)?;
    let set = &answer["PublicAccessBlockConfiguration"];
    let open: Vec<_> = LOCKS.into_iter().filter(|lock| set[*lock] != true).collect();
    if !open.is_empty() {
        let all = LOCKS.map(|lock| format!("{lock}=true")).join(",");
        let words = ["aws", "s3api", "put-public-access-block", "--bucket", account.stack.bucket()];
        found.problem(
            format!("{} may become public: {} is off", account.stack.bucket(), open.join(", ")),
            vec![command(&[&words[..], &["--public-access-block-configuration", &all]].concat())],
        );
    }
    Ok(())
}

fn policy(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    let stack = &account.stack;
    let bucket = stack.bucket();
    let document = about(account, "get-bucket-policy", &["NoSuchBucketPolicy"])?;
    let policy = Policy::read(&document["Policy"]);
    let context = delivery_context(account);
    let context: Vec<_> = context.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let whole = stack.bucket_arn(bucket);
    let objects = folders(account)
        .map(|folder| (stack.bucket_arn(&format!("{bucket}/{folder}/vpcflowlogs/object")), folder));
    let write =
        |resource, context| Wish { service: DELIVERY, action: "s3:PutObject", resource, context };
    let asks =
        Wish { service: DELIVERY, action: "s3:GetBucketAcl", resource: &whole, context: &context };
    let closed = objects.iter().find(|(object, _)| !policy.allows(&write(object, &context)));
    let admitted = policy.allows(&asks);
    // One command for whatever is lacking: a second one, of the policy as it was, would undo the first.
    let wanted = [closed.is_some(), !admitted, !policy.insists_on_tls()];
    let lacking = statements(account).into_iter().zip(wanted).filter(|(_, wanted)| *wanted);
    let document = policy.with(lacking.map(|(statement, _)| statement).collect());
    let words = ["aws", "s3api", "put-bucket-policy", "--bucket", bucket, "--policy", &document];
    let mend = || vec![command(&words)];
    if let Some((_, folder)) = closed {
        found.problem(
            format!("{bucket}'s policy does not let {DELIVERY} write into {folder}/"),
            mend(),
        );
        return Ok(());
    }
    let show = || command(&["aws", "s3api", "get-bucket-policy", "--bucket", bucket]);
    for (object, _) in &objects {
        if let Some(statement) = policy.denying(&write(object, &context)).next() {
            found.problem(
                format!(
                    "a statement of {bucket}'s policy may refuse what log delivery writes: {}",
                    text(&statement["Sid"])
                ),
                vec![show()],
            );
            return Ok(());
        }
        let anybody = write(object, &[("aws:sourceaccount", "-"), ("aws:sourcearn", "-")]);
        if let Some(statement) = policy.allowing(&anybody).next() {
            found.warning(
                format!("{bucket}'s policy lets log delivery write in any account's name"),
                vec![
                    format!(
                        "# The statement {:?} does. Who may deliver is for you to say; for this account \
                         alone its condition would be {}",
                        text(&statement["Sid"]),
                        statements(account)[0]["Condition"]
                    ),
                    show(),
                ],
            );
            return Ok(());
        }
    }
    if !admitted {
        found.problem(
            format!("{bucket}'s policy does not let {DELIVERY} read its ACL, which it does first"),
            mend(),
        );
    }
    if !policy.insists_on_tls() {
        found.warning(format!("{bucket}'s policy does not insist on TLS"), mend());
    }
    Ok(())
}

/// Where this account's flow logs go: plain folders, and those that Hive knows.
fn folders(account: &Account<'_>) -> [String; 2] {
    let id = &account.stack.account;
    [format!("AWSLogs/{id}"), format!("AWSLogs/aws-account-id={id}")]
}

/// What is known of a delivery of this account's flow logs.
fn delivery_context(account: &Account<'_>) -> Vec<(&'static str, String)> {
    vec![
        ("aws:sourceaccount", account.stack.account.clone()),
        ("aws:sourcearn", account.stack.arn("logs", "*")),
        ("s3:x-amz-acl", "bucket-owner-full-control".to_owned()),
    ]
}

/// The statements that the template has for log delivery and TLS: write, look, insist on TLS.
fn statements(account: &Account<'_>) -> [Value; 3] {
    let stack = &account.stack;
    let id = &stack.account;
    let whole = stack.bucket_arn(stack.bucket());
    let from = json!({"aws:SourceArn": stack.arn("logs", "*")});
    [
        json!({
            "Sid": "AWSLogDeliveryWrite", "Effect": "Allow", "Principal": {"Service": DELIVERY},
            "Action": "s3:PutObject",
            "Resource": folders(account).map(|folder| format!("{whole}/{folder}/*")),
            "Condition": {
                "StringEquals": {"aws:SourceAccount": id, "s3:x-amz-acl": "bucket-owner-full-control"},
                "ArnLike": from,
            },
        }),
        json!({
            "Sid": "AWSLogDeliveryAclCheck", "Effect": "Allow", "Principal": {"Service": DELIVERY},
            "Action": ["s3:GetBucketAcl", "s3:ListBucket"], "Resource": whole,
            "Condition": {"StringEquals": {"aws:SourceAccount": id}, "ArnLike": from},
        }),
        json!({
            "Sid": "DenyInsecureTransport", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
            "Resource": [whole, format!("{whole}/*")],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }),
    ]
}

fn encryption(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    let unset = ["ServerSideEncryptionConfigurationNotFoundError"];
    let answer = about(account, "get-bucket-encryption", &unset)?;
    let rules = list_of(&answer["ServerSideEncryptionConfiguration"]["Rules"]);
    let Some(by) = rules.first().map(|rule| &rule["ApplyServerSideEncryptionByDefault"]) else {
        return Ok(());
    };
    if !text(&by["SSEAlgorithm"]).starts_with("aws:kms") {
        return Ok(());
    }
    let bucket = account.stack.bucket();
    let key = text(&by["KMSMasterKeyID"]);
    if key.is_empty() || key.ends_with("alias/aws/s3") {
        found.problem(
            format!(
                "{bucket} is encrypted under the key that AWS manages for S3, under which log delivery \
                 cannot write"
            ),
            vec![
                "# A key of your own is the stack's parameter CustomerKey=yes; without one:".to_owned(),
                command(&[
                    "aws",
                    "s3api",
                    "put-bucket-encryption",
                    "--bucket",
                    bucket,
                    "--server-side-encryption-configuration",
                    r#"{"Rules":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"AES256"}}]}"#,
                ]),
            ],
        );
        return Ok(());
    }
    self::key(account, key, found)
}

/// The customer's key: usable, and open to log delivery.
fn key(account: &Account<'_>, key: &str, found: &mut Findings) -> Result<(), Refused> {
    let answer = account.ask(&["kms", "describe-key", "--key-id", key])?;
    let state = text(&answer["KeyMetadata"]["KeyState"]);
    if state != "Enabled" {
        let mend = match state {
            "PendingDeletion" => vec![
                command(&["aws", "kms", "cancel-key-deletion", "--key-id", key]),
                command(&["aws", "kms", "enable-key", "--key-id", key]),
            ],
            _ => vec![command(&["aws", "kms", "enable-key", "--key-id", key])],
        };
        found.problem(
            format!("the bucket's key {key} is {state}: nothing can be written or read"),
            mend,
        );
        return Ok(());
    }
    let asked = ["kms", "get-key-policy", "--key-id", key, "--policy-name", "default"];
    let policy = Policy::read(&account.ask(&asked)?["Policy"]);
    let context = delivery_context(account);
    let context: Vec<_> = context.iter().map(|(key, value)| (*key, value.as_str())).collect();
    for action in ["kms:GenerateDataKey", "kms:Decrypt"] {
        if !policy.allows(&Wish { service: DELIVERY, action, resource: "", context: &context }) {
            found.problem(
                format!("the policy of the bucket's key {key} does not let {DELIVERY} {action}"),
                vec![
                    "# The statement LogDelivery of infra/key.yaml is what it takes:".to_owned(),
                    command(&[
                        "aws",
                        "kms",
                        "get-key-policy",
                        "--key-id",
                        key,
                        "--policy-name",
                        "default",
                    ]),
                ],
            );
        }
    }
    Ok(())
}

fn lifecycle(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    let unset = ["NoSuchLifecycleConfiguration"];
    let answer = about(account, "get-bucket-lifecycle-configuration", &unset)?;
    let expires = list_of(&answer["Rules"])
        .iter()
        .any(|rule| text(&rule["Status"]) == "Enabled" && !rule["Expiration"].is_null());
    if !expires {
        let rule = json!({"Rules": [{
            "ID": "expire", "Status": "Enabled", "Filter": {},
            "Expiration": {"Days": account.stack.parameter("ObjectRetentionDays").parse().unwrap_or(90)},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        }]});
        let bucket = account.stack.bucket();
        let words = ["aws", "s3api", "put-bucket-lifecycle-configuration", "--bucket", bucket];
        found.warning(
            format!("nothing in {bucket} ever expires, so it costs more every month"),
            vec![command(
                &[&words[..], &["--lifecycle-configuration", &rule.to_string()]].concat(),
            )],
        );
    }
    Ok(())
}
