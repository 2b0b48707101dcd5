//! Records in CloudWatch Logs carry no header: the flow logs' format, the subscriber's setting and what
//! is seen in the log group must be one.

use flowlog_core::decode::{Limits, MessageDecoder, RecordSink, Verdict};
use flowlog_core::format::Format;
use flowlog_core::record::Record;
use flowlog_cwl_subscriber::Config;

use super::super::account::{Account, Stack, list_of, text};
use super::super::cli::{Refused, command};
use super::super::finding::Findings;
use super::flow_logs::{self, Destination};

/// How far back messages are looked at, in seconds, and how many.
const LOOK_BACK: i64 = 1800;
const LOOK_AT: &str = "20";

pub(super) fn check(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    let stack = &account.stack;
    let group = stack.output("RejectLogGroupName");
    let function = account.function("CwlSubscriberFunctionName")?;
    let variables = &function["Environment"]["Variables"];
    let lookup = |name: &str| Some(text(&variables[name]).to_owned()).filter(|v| !v.is_empty());
    let config = match Config::from_lookup(&lookup) {
        Ok(config) => config,
        Err(error) => {
            found.problem(
                format!("the subscriber cannot start: {error}"),
                redeploy(stack, stack.output("LogFormat")),
            );
            return Ok(());
        }
    };
    for log in flow_logs::ours(account)?.iter().filter(|log| log.to == Destination::Group) {
        let same = Format::from_log_format(&log.format).is_ok_and(|format| {
            config.formats.iter().any(|known| known.columns() == format.columns())
        });
        if !same {
            found.problem(
                format!(
                    "{} of {} writes {} into the log group, and the subscriber does not know that \
                     format: its records are quarantined",
                    log.id, log.resource, log.format
                ),
                redeploy(stack, &log.format),
            );
        }
    }
    if !config.formats.iter().any(|format| {
        Format::from_log_format(stack.output("LogFormat"))
            .is_ok_and(|f| f.columns() == format.columns())
    }) {
        found.warning(
            "the subscriber's LOG_FORMAT was changed by hand; the next deployment changes it back",
            redeploy(stack, text(&variables["LOG_FORMAT"])),
        );
    }
    seen(account, group, config.formats, found)
}

/// What the log group has, read as the subscriber would.
fn seen(
    account: &Account<'_>,
    group: &str,
    formats: Vec<Format>,
    found: &mut Findings,
) -> Result<(), Refused> {
    let start = ((account.now - LOOK_BACK) * 1000).to_string();
    let asked = ["logs", "filter-log-events", "--log-group-name", group, "--start-time", &start];
    let answer = account.ask(&[&asked[..], &["--max-items", LOOK_AT]].concat())?;
    let mut decoder = MessageDecoder::new(Limits::default(), formats);
    for (position, event) in (1..).zip(list_of(&answer["events"])) {
        decoder.push(position, text(&event["message"]), &mut Nobody);
    }
    let counts = decoder.counts();
    let (read, rejected) = (counts.read, counts.rejected_total());
    if rejected > 0 {
        let reasons: Vec<_> = counts.rejected.keys().map(|reason| reason.code()).collect();
        found.problem(
            format!(
                "{rejected} of the {read} latest messages in {group} are no records of the \
                 configured format ({})",
                reasons.join(", ")
            ),
            vec![
                "# Is there somebody else who writes into that group? If not, its flow logs' format is:".into(),
                command(&["aws", "ec2", "describe-flow-logs", "--query", "FlowLogs[].[FlowLogId,LogFormat]"]),
            ],
        );
    } else if read == 0 && found.well() {
        found.ok("flow logs and subscriber agree; nothing was rejected in the last half hour to compare with");
    } else if found.well() {
        found.ok(format!("flow logs, subscriber and the {read} latest messages agree"));
    }
    Ok(())
}

/// Deploys the stack with another format.
fn redeploy(stack: &Stack, format: &str) -> Vec<String> {
    vec![
        "# One parameter gives the flow logs of the stack and the subscriber the same format:"
            .to_owned(),
        stack.deploy("LogFormat", format),
    ]
}

/// Only the counts matter.
struct Nobody;

impl RecordSink for Nobody {
    fn record(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Counted
    }
}
