//! The flow logs that deliver to this stack: there, active, delivered, and of a useful kind.

use flowlog_core::detect::{Rule, Traffic};
use flowlog_core::format::Format;
use flowlog_core::record::Field;
use serde_json::Value;

use super::super::account::{Account, list_of, text};
use super::super::cli::{Refused, command};
use super::super::finding::Findings;

/// A flow log of this account and Region that delivers to this stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FlowLog {
    pub(super) id: String,
    /// VPC, subnet or network interface.
    pub(super) resource: String,
    pub(super) traffic: String,
    pub(super) format: String,
    pub(super) to: Destination,
    /// Folders of hours, and their names as Hive writes them.
    pub(super) hourly: bool,
    pub(super) hive: bool,
    /// When it was created (RFC 3339).
    pub(super) created: String,
    raw: Value,
}

/// Where it delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    /// A bucket, and the folder in it, with its slash.
    Bucket { bucket: String, folder: String },
    /// The log group of rejected traffic.
    Group,
}

/// Our flow logs, in the order of AWS's answer.
pub(super) fn ours(account: &Account<'_>) -> Result<Vec<FlowLog>, Refused> {
    let answer = account.ask(&["ec2", "describe-flow-logs"])?;
    Ok(list_of(&answer["FlowLogs"]).iter().filter_map(|log| read(account, log)).collect())
}

fn read(account: &Account<'_>, log: &Value) -> Option<FlowLog> {
    let stack = &account.stack;
    let destination = text(&log["LogDestination"]);
    let to = if text(&log["LogDestinationType"]) == "s3" {
        let path = destination.split_once(":::")?.1;
        let (bucket, folder) = path.split_once('/').unwrap_or((path, ""));
        if bucket != stack.bucket() && stack.existing_bucket() != Some(bucket) {
            return None;
        }
        let folder = folder.trim_matches('/');
        let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        Destination::Bucket { bucket: bucket.to_owned(), folder }
    } else {
        let group = stack.output("RejectLogGroupName");
        let named = text(&log["LogGroupName"]) == group
            || destination
                .split_once(":log-group:")
                .is_some_and(|(_, name)| name.trim_end_matches(":*") == group);
        if !named {
            return None;
        }
        Destination::Group
    };
    Some(FlowLog {
        id: text(&log["FlowLogId"]).to_owned(),
        resource: text(&log["ResourceId"]).to_owned(),
        traffic: text(&log["TrafficType"]).to_owned(),
        format: text(&log["LogFormat"]).to_owned(),
        to,
        hourly: log["DestinationOptions"]["PerHourPartition"] == true,
        hive: log["DestinationOptions"]["HiveCompatiblePartitions"] == true,
        created: text(&log["CreationTime"]).to_owned(),
        raw: log.clone(),
    })
}

/// The VPCs of the stack's own network.
pub(super) fn own_vpcs<'a>(account: &'a Account<'_>) -> impl Iterator<Item = &'a str> {
    let outputs = ["VpcAId", "VpcBId", "VpcCId"].into_iter();
    outputs.map(|output| account.stack.output(output)).filter(|vpc| !vpc.is_empty())
}

pub(super) fn check(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    let stack = &account.stack;
    let logs = ours(account)?;
    for log in &logs {
        state(log, found);
        kind(account, log, &logs, found);
    }
    for (position, log) in logs.iter().enumerate() {
        let twin = |other: &&FlowLog| {
            (&other.resource, &other.traffic, &other.to) == (&log.resource, &log.traffic, &log.to)
        };
        if let Some(other) = logs[..position].iter().find(twin) {
            found.warning(
                format!(
                    "{} and {} deliver the same traffic of {} to the same place: AWS is paid twice",
                    other.id, log.id, log.resource
                ),
                vec![
                    "# Keep the one that CloudFormation made; the other one:".to_owned(),
                    command(&["aws", "ec2", "delete-flow-logs", "--flow-log-ids", &log.id]),
                ],
            );
        }
    }
    let expected = stack.parameter("CreateFlowLogs") != "no";
    for vpc in own_vpcs(account).filter(|_| expected) {
        let has = |bucket| {
            logs.iter().any(|log| log.resource == vpc && (log.to != Destination::Group) == bucket)
        };
        if !has(true) {
            found.problem(
                format!("{vpc} is this stack's, and no flow log delivers its traffic to S3"),
                vec![create_to_s3(account, vpc)],
            );
        }
        if !has(false) {
            found.problem(
                format!(
                    "no flow log delivers what {vpc} rejects to the log group: no early alerts"
                ),
                create_to_group(account, vpc),
            );
        }
    }
    if !logs.iter().any(|log| log.to != Destination::Group) {
        found.warning(
            format!(
                "no flow log of account {} in {} delivers to {}; those of other accounts cannot be \
                 seen from here",
                stack.account,
                stack.region,
                stack.bucket()
            ),
            vec![
                "# To attach VPCs of this account (docs/operating.md):".to_owned(),
                attach(account),
            ],
        );
    } else if found.well() {
        let many = logs.len();
        found.ok(format!("{many} flow log(s) are active, and their last delivery succeeded"));
    }
    Ok(())
}

/// Whether it runs, and what AWS says of its last delivery.
fn state(log: &FlowLog, found: &mut Findings) {
    let status = text(&log.raw["FlowLogStatus"]);
    if status != "ACTIVE" {
        found.problem(format!("{} of {} is {status}", log.id, log.resource), vec![describe(log)]);
    }
    if text(&log.raw["DeliverLogsStatus"]) != "FAILED" {
        return;
    }
    let error = text(&log.raw["DeliverLogsErrorMessage"]);
    let mut mend = match (&log.to, error) {
        (_, "Rate limited") => vec![
            "# CloudWatch Logs has throttled the delivery: ask for a higher quota, or log less."
                .into(),
        ],
        (Destination::Bucket { .. }, _) => vec![
            "# The bucket's policy, or its key's, refuses the delivery. This looks at both:".into(),
            "flowlog doctor --only bucket".into(),
        ],
        (Destination::Group, _) => {
            let role = text(&log.raw["DeliverLogsPermissionArn"]);
            let name = role.rsplit('/').next().unwrap_or_default();
            vec![
                "# The role must trust vpc-flow-logs.amazonaws.com and may write to the group:"
                    .into(),
                command(&["aws", "iam", "get-role", "--role-name", name]),
                command(&["aws", "iam", "list-role-policies", "--role-name", name]),
            ]
        }
    };
    mend.push(describe(log));
    found
        .problem(format!("{} of {} cannot deliver; AWS says: {error}", log.id, log.resource), mend);
}

fn describe(log: &FlowLog) -> String {
    command(&["aws", "ec2", "describe-flow-logs", "--flow-log-ids", &log.id])
}

/// Whether it delivers what flowlog makes the most of.
fn kind(account: &Account<'_>, log: &FlowLog, all: &[FlowLog], found: &mut Findings) {
    // A flow log is immutable: whatever is wrong here takes another one.
    let again = || {
        vec![
            "# A flow log cannot be changed. Make another one, then delete this one:".to_owned(),
            create_to_s3(account, &log.resource),
            command(&["aws", "ec2", "delete-flow-logs", "--flow-log-ids", &log.id]),
        ]
    };
    if log.raw["MaxAggregationInterval"] == 600 {
        found.warning(
            format!(
                "{} of {} adds up ten minutes into a record, so its times are that much coarser; 60 \
                 seconds cost no more for Nitro instances",
                log.id, log.resource
            ),
            again(),
        );
    }
    let Destination::Bucket { bucket, folder } = &log.to else { return };
    if let Some((accepts, refuses)) = apart(&log.resource, all) {
        // Both are told of at once.
        if log == accepts {
            tell_apart(account, accepts, refuses, found);
        }
    } else if log.traffic != "ALL" {
        found.warning(
            format!(
                "{} of {} delivers {} traffic only to S3: totals are of that, and of the rest only if another flow log \
                 delivers it, and alerts that need both say nothing",
                log.id, log.resource, log.traffic
            ),
            again(),
        );
    }
    if bucket == account.stack.bucket() && !folder.is_empty() {
        found.problem(
            format!(
                "{} of {} delivers into the folder {folder} of {bucket}; notifications and permissions \
                 are for AWSLogs/ only, so nothing there is read",
                log.id, log.resource
            ),
            again(),
        );
    }
    match Format::from_log_format(&log.format) {
        Err(error) => found.problem(
            format!("the format of {} of {} cannot be read: {error}", log.id, log.resource),
            again(),
        ),
        Ok(format) => {
            let wanted = [Field::InterfaceId, Field::Start, Field::Action, Field::LogStatus];
            let lacking: Vec<_> =
                wanted.into_iter().filter(|field| !format.has(*field)).map(Field::name).collect();
            if !lacking.is_empty() {
                found.warning(
                    format!(
                        "the format of {} of {} lacks {}",
                        log.id,
                        log.resource,
                        lacking.join(", ")
                    ),
                    again(),
                );
            }
        }
    }
}

/// The flow logs to S3 of what a resource accepts and of what it refuses, where none has all of it.
fn apart<'a>(resource: &str, all: &'a [FlowLog]) -> Option<(&'a FlowLog, &'a FlowLog)> {
    let of = |traffic: &str| {
        all.iter().find(|log| {
            let to_s3 = matches!(log.to, Destination::Bucket { .. });
            to_s3 && log.resource == resource && log.traffic == traffic
        })
    };
    if of("ALL").is_some() { None } else { of("ACCEPT").zip(of("REJECT")) }
}

fn tell_apart(account: &Account<'_>, accepts: &FlowLog, refuses: &FlowLog, found: &mut Findings) {
    let both = Rule::ALL.into_iter().filter(|rule| rule.traffic() == Traffic::Both);
    let both: Vec<_> = both.map(Rule::name).collect();
    found.warning(
        format!(
            "{} delivers what {} accepts to S3, and {} what it refuses: totals are of both, but the alerter \
             judges each flow log by itself, so rules that need both ({}) lack one of them",
            accepts.id,
            accepts.resource,
            refuses.id,
            both.join(", ")
        ),
        vec![
            "# A flow log cannot be changed. Make one of both, then delete these two:".to_owned(),
            create_to_s3(account, &accepts.resource),
            command(&[
                "aws",
                "ec2",
                "delete-flow-logs",
                "--flow-log-ids",
                &accepts.id,
                &refuses.id,
            ]),
        ],
    );
}

/// The command that attaches VPCs.
fn attach(account: &Account<'_>) -> String {
    let stack = &account.stack;
    command(&[
        "aws",
        "cloudformation",
        "deploy",
        "--stack-name",
        &format!("{}-attach", stack.name),
        "--template-file",
        "infra/attach.yaml",
        "--capabilities",
        "CAPABILITY_IAM",
        "CAPABILITY_AUTO_EXPAND",
        "--parameter-overrides",
        "ResourceIds=vpc-…",
        &format!("LogBucketArn={}", stack.bucket_arn(stack.bucket())),
        &format!("RejectLogGroupName={}", stack.output("RejectLogGroupName")),
        &format!("LogFormat={}", stack.output("LogFormat")),
    ])
}

fn kind_of(resource: &str) -> &'static str {
    match resource.split('-').next() {
        Some("subnet") => "Subnet",
        Some("eni") => "NetworkInterface",
        _ => "VPC",
    }
}

/// The fields of infra/flow-logs.yaml (a test compares them), but for those that say which tags.
const FIELDS: &str = "version account-id interface-id srcaddr dstaddr srcport dstport \
    protocol packets bytes start end action log-status vpc-id subnet-id instance-id tcp-flags type \
    pkt-srcaddr pkt-dstaddr region az-id pkt-src-aws-service pkt-dst-aws-service flow-direction \
    traffic-path reject-reason resource-id encryption-status interface-type next-hop-interface-id \
    next-hop-vpc-id next-hop-interface-type";
/// The last one of the shorter set of fields.
const LAST_OF_V5: &str = "traffic-path";

/// The command that makes a flow log to S3.
fn create_to_s3(account: &Account<'_>, resource: &str) -> String {
    let stack = &account.stack;
    let mut names: Vec<_> = FIELDS.split_whitespace().collect();
    if stack.parameter("FieldSet") == "v5" {
        let last = names.iter().position(|name| *name == LAST_OF_V5);
        names.truncate(last.map_or(names.len(), |last| last + 1));
    }
    let format: Vec<_> = names.iter().map(|name| format!("${{{name}}}")).collect();
    let to = [
        "s3",
        "--log-destination",
        &stack.bucket_arn(stack.bucket()),
        "--destination-options",
        "FileFormat=plain-text,HiveCompatiblePartitions=true,PerHourPartition=true",
    ];
    create(resource, "ALL", &to, &format.join(" "))
}

/// The command that makes a flow log of this traffic; `to` begins with the type of its destination.
fn create(resource: &str, traffic: &str, to: &[&str], format: &str) -> String {
    let of = ["--resource-type", kind_of(resource), "--resource-ids", resource];
    let what = ["--traffic-type", traffic, "--max-aggregation-interval", "60"];
    let words = [
        &["aws", "ec2", "create-flow-logs"][..],
        &of,
        &what,
        &["--log-destination-type"],
        to,
        &["--log-format", format],
    ];
    command(&words.concat())
}

/// The commands that make a flow log of rejected traffic to the log group.
pub(super) fn create_to_group(account: &Account<'_>, resource: &str) -> Vec<String> {
    let stack = &account.stack;
    let role = format!("arn:{}:iam::{}:role/…RejectDeliveryRole…", stack.partition, stack.account);
    let to = [
        "cloud-watch-logs",
        "--log-group-name",
        stack.output("RejectLogGroupName"),
        "--deliver-logs-permission-arn",
        &role,
    ];
    vec![
        "# With the role that the stack made for it (its name begins with the stack's):".to_owned(),
        create(resource, "REJECT", &to, stack.output("LogFormat")),
    ]
}
