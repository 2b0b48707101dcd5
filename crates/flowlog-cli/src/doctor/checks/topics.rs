//! Who hears of alerts, and who of alarms.

use super::super::account::{Account, list_of, text};
use super::super::cli::{Refused, command};
use super::super::finding::Findings;

pub(super) fn check(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    let topics = [
        ("AlertTopicArn", "alerts", "AlertEmail"),
        ("OpsTopicArn", "alarms about flowlog itself", "OpsEmail"),
    ];
    for (output, what, parameter) in topics {
        let topic = account.stack.output(output);
        if !topic.is_empty() {
            one(account, topic, what, parameter, found)?;
        }
    }
    Ok(())
}

fn one(
    account: &Account<'_>,
    topic: &str,
    what: &str,
    parameter: &str,
    found: &mut Findings,
) -> Result<(), Refused> {
    let answer = account.ask(&["sns", "list-subscriptions-by-topic", "--topic-arn", topic])?;
    let subscriptions = list_of(&answer["Subscriptions"]);
    // "PendingConfirmation" or "Deleted" stand where an ARN will.
    let (confirmed, waiting): (Vec<_>, Vec<_>) =
        subscriptions.iter().partition(|s| text(&s["SubscriptionArn"]).starts_with("arn:"));
    let subscribe = |protocol: &str, endpoint: &str| {
        let words = ["aws", "sns", "subscribe", "--topic-arn", topic];
        command(
            &[&words[..], &["--protocol", protocol, "--notification-endpoint", endpoint]].concat(),
        )
    };
    for subscription in &waiting {
        let (protocol, endpoint) =
            (text(&subscription["Protocol"]), text(&subscription["Endpoint"]));
        let what = format!("{endpoint} has not confirmed that it wants the {what}");
        let mend = vec![
            "# The link in AWS's message confirms it. This sends another message:".to_owned(),
            subscribe(protocol, endpoint),
        ];
        if confirmed.is_empty() {
            found.problem(format!("{what}, and nobody else hears of them"), mend);
        } else {
            found.warning(what, mend);
        }
    }
    if !confirmed.is_empty() {
        found.ok(format!("{} subscriber(s) hear of {what}", confirmed.len()));
    } else if waiting.is_empty() {
        found.warning(
            format!("nobody hears of {what}: the topic has no subscription"),
            vec![
                format!("# or the stack's parameter {parameter}"),
                subscribe("email", "you@example.com"),
            ],
        );
    }
    Ok(())
}
