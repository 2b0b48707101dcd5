//! The checks. Each is a function of what AWS answers and of nothing else.

use jiff::Timestamp;

use super::account::Account;
use super::cli::Refused;
use super::finding::Findings;

mod alarms;
mod arrivals;
mod bucket;
mod endpoints;
mod flow_logs;
mod functions;
mod log_format;
mod notifications;
mod peering;
mod queues;
mod stack;
mod subscription;
mod tables;
mod topics;
mod triggers;

/// A check. An error is a question that nobody answered; what was found before it stands.
pub(super) struct Check {
    pub(super) name: &'static str,
    /// What it looks at, for the help.
    pub(super) about: &'static str,
    pub(super) run: fn(&Account<'_>, &mut Findings) -> Result<(), Refused>,
}

/// All checks, along the way that a record takes.
pub(super) const CHECKS: [Check; 15] = [
    Check { name: "stack", about: "CloudFormation's state of it", run: stack::check },
    Check {
        name: "flow-logs",
        about: "that they exist, are active, deliver, and what AWS says if not; fields, interval",
        run: flow_logs::check,
    },
    Check {
        name: "bucket",
        about: "public access, the policy and the key policy that let log delivery write",
        run: bucket::check,
    },
    Check {
        name: "notifications",
        about: "that each object is announced once, nobody else has the prefix, the queue admits it",
        run: notifications::check,
    },
    Check {
        name: "queues",
        about: "how old the oldest notification is, and what was given up",
        run: queues::check,
    },
    Check {
        name: "triggers",
        about: "that queue, stream and schedules wake the functions",
        run: triggers::check,
    },
    Check {
        name: "functions",
        about: "that they are active, not stopped, and know this stack's tables",
        run: functions::check,
    },
    Check {
        name: "endpoints",
        about: "the parser's routes to S3 and DynamoDB, and the endpoints' policies",
        run: endpoints::check,
    },
    Check {
        name: "arrivals",
        about: "the latest objects, and whether the ledger has them",
        run: arrivals::check,
    },
    Check {
        name: "subscription",
        about: "the log group's filter, and the permission to invoke the subscriber",
        run: subscription::check,
    },
    Check {
        name: "log-format",
        about: "that flow logs, subscriber and the messages that are seen agree",
        run: log_format::check,
    },
    Check { name: "tables", about: "status, stream, expiry, backups", run: tables::check },
    Check {
        name: "topics",
        about: "who hears of alerts and alarms, and has confirmed it",
        run: topics::check,
    },
    Check { name: "alarms", about: "which ring, and which would tell nobody", run: alarms::check },
    Check {
        name: "peering",
        about: "that peering connections of logged VPCs are accepted, and routed on both sides",
        run: peering::check,
    },
];

/// A time as AWS takes it (RFC 3339).
fn at(epoch: i64) -> String {
    Timestamp::from_second(epoch).map(|time| time.to_string()).unwrap_or_default()
}
