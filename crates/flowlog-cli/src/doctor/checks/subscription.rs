//! The way from the log group of rejected traffic to the subscriber.

use super::super::account::{Account, list_of, text};
use super::super::cli::{Refused, command};
use super::super::finding::Findings;
use super::super::policy::{Policy, Wish};

pub(super) fn check(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    let stack = &account.stack;
    let group = stack.output("RejectLogGroupName");
    let answer = account.ask(&["logs", "describe-log-groups", "--log-group-name-prefix", group])?;
    let groups = list_of(&answer["logGroups"]);
    let Some(this) = groups.iter().find(|candidate| text(&candidate["logGroupName"]) == group)
    else {
        found.problem(
            format!("the log group {group} is gone"),
            vec![command(&["aws", "logs", "create-log-group", "--log-group-name", group])],
        );
        return Ok(());
    };
    if this["retentionInDays"].is_null() {
        let days =
            Some(stack.parameter("LogRetentionDays")).filter(|d| !d.is_empty()).unwrap_or("30");
        let words = ["aws", "logs", "put-retention-policy", "--log-group-name", group];
        found.warning(
            format!("{group} keeps what it has for ever"),
            vec![command(&[&words[..], &["--retention-in-days", days]].concat())],
        );
    }
    let function_arn =
        text(&account.function("CwlSubscriberFunctionName")?["FunctionArn"]).to_owned();
    filter(account, group, &function_arn, found)?;
    permission(account, group, &function_arn, found)?;
    own_log(account, &function_arn, found)?;
    if found.well() {
        found.ok(format!("{group} sends to the subscriber, which lets it"));
    }
    Ok(())
}

fn filter(
    account: &Account<'_>,
    group: &str,
    function_arn: &str,
    found: &mut Findings,
) -> Result<(), Refused> {
    let answer =
        account.ask(&["logs", "describe-subscription-filters", "--log-group-name", group])?;
    let filters = list_of(&answer["subscriptionFilters"]);
    let put = |name: &str| {
        let words = ["aws", "logs", "put-subscription-filter", "--log-group-name", group];
        let rest =
            ["--filter-name", name, "--filter-pattern", "", "--destination-arn", function_arn];
        command(&[&words[..], &rest].concat())
    };
    match filters.iter().find(|filter| text(&filter["destinationArn"]) == function_arn) {
        None if filters.len() >= 2 => found.problem(
            format!("{group} has two subscriptions, neither of them ours, and takes no third"),
            filters.iter().map(|f| delete_filter(group, text(&f["filterName"]))).collect(),
        ),
        None => found.problem(
            format!("{group} has no subscription to the subscriber: rejected traffic raises no early alert"),
            vec![put("flowlog")],
        ),
        Some(filter) if !text(&filter["filterPattern"]).is_empty() => found.warning(
            format!(
                "the subscription of {group} lets through only what matches {:?}",
                text(&filter["filterPattern"])
            ),
            vec![put(text(&filter["filterName"]))],
        ),
        Some(_) => {}
    }
    Ok(())
}

fn delete_filter(group: &str, name: &str) -> String {
    let words = ["aws", "logs", "delete-subscription-filter", "--log-group-name", group];
    command(&[&words[..], &["--filter-name", name]].concat())
}

fn permission(
    account: &Account<'_>,
    group: &str,
    function_arn: &str,
    found: &mut Findings,
) -> Result<(), Refused> {
    let name = account.stack.output("CwlSubscriberFunctionName");
    let policy = match account.ask(&["lambda", "get-policy", "--function-name", name]) {
        Err(refused) if refused.is(&["ResourceNotFoundException"]) => Policy::default(),
        answer => Policy::read(&answer?["Policy"]),
    };
    let source = account.stack.arn("logs", &format!("log-group:{group}:*"));
    // The Region's own name of the service is what older permissions have.
    let regional = format!("logs.{}.amazonaws.com", account.stack.region);
    let allowed = ["logs.amazonaws.com", &regional].iter().any(|service| {
        policy.allows(&Wish {
            service,
            action: "lambda:InvokeFunction",
            resource: function_arn,
            context: &[("aws:sourceaccount", &account.stack.account), ("aws:sourcearn", &source)],
        })
    });
    if !allowed {
        let words = ["aws", "lambda", "add-permission", "--function-name", name, "--statement-id"];
        let rest = ["flowlog-logs", "--action", "lambda:InvokeFunction", "--principal"];
        let of = ["logs.amazonaws.com", "--source-arn", &source, "--source-account"];
        found.problem(
            "the subscriber does not let the log group invoke it",
            vec![command(&[&words[..], &rest, &of, &[account.stack.account.as_str()]].concat())],
        );
    }
    Ok(())
}

/// A subscriber that hears its own log feeds itself for ever.
fn own_log(account: &Account<'_>, function_arn: &str, found: &mut Findings) -> Result<(), Refused> {
    let group = format!("/flowlog/{}/cwl-subscriber", account.stack.name);
    let asked = ["logs", "describe-subscription-filters", "--log-group-name", &group];
    let answer = match account.ask(&asked) {
        Err(refused) if refused.is(&["ResourceNotFoundException"]) => return Ok(()),
        answer => answer?,
    };
    for filter in list_of(&answer["subscriptionFilters"]) {
        if text(&filter["destinationArn"]) == function_arn {
            found.problem(
                format!(
                    "the subscriber is subscribed to its own log {group}: every line makes another"
                ),
                vec![delete_filter(&group, text(&filter["filterName"]))],
            );
        }
    }
    Ok(())
}
