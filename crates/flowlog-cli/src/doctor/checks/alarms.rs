//! Alarms that ring, and alarms that nobody would hear.

use serde_json::Value;

use super::super::account::{Account, list_of, text};
use super::super::cli::{Refused, command};
use super::super::finding::Findings;

pub(super) fn check(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    if account.stack.output("OpsTopicArn").is_empty() {
        found.ok("the stack was deployed without alarms (CreateObservability=no)");
        return Ok(());
    }
    let names = of_stack(account)?;
    let mut words = vec!["cloudwatch", "describe-alarms", "--alarm-names"];
    words.extend(names.iter().map(String::as_str));
    let answer = if names.is_empty() { Value::Null } else { account.ask(&words)? };
    let alarms = list_of(&answer["MetricAlarms"]);
    let there = |name: &String| alarms.iter().any(|alarm| text(&alarm["AlarmName"]) == name);
    let gone: Vec<_> = names.iter().filter(|name| !there(name)).map(String::as_str).collect();
    if names.is_empty() || !gone.is_empty() {
        let which = if names.is_empty() { "all".to_owned() } else { gone.join(", ") };
        found.problem(
            format!("alarms of the stack are gone: {which}"),
            vec![
                "# CloudFormation believes them to be there: deploy once without, then with them. Who hears of \
                 them confirms anew."
                    .to_owned(),
                account.stack.deploy("CreateObservability", "no"),
                account.stack.deploy("CreateObservability", "yes"),
            ],
        );
    }
    for alarm in alarms {
        let name = text(&alarm["AlarmName"]);
        if text(&alarm["StateValue"]) == "ALARM" {
            // "… See docs/runbook.md, quarantine"
            let (_, section) =
                text(&alarm["AlarmDescription"]).rsplit_once("See ").unwrap_or_default();
            found.problem(
                format!("the alarm {name} rings: {}", text(&alarm["StateReason"])),
                vec![format!("# {section}")],
            );
        }
        if alarm["ActionsEnabled"] == false {
            found.warning(
                format!("the alarm {name} would tell nobody: its actions are off"),
                vec![command(&[
                    "aws",
                    "cloudwatch",
                    "enable-alarm-actions",
                    "--alarm-names",
                    name,
                ])],
            );
        }
    }
    if found.well() {
        found.ok(format!("none of {} alarms rings", alarms.len()));
    }
    Ok(())
}

/// The names of the stack's alarms. Not whatever begins with its name: that may be those of another stack.
fn of_stack(account: &Account<'_>) -> Result<Vec<String>, Refused> {
    let resources = |stack: &str| {
        let asked = ["cloudformation", "list-stack-resources", "--stack-name", stack];
        account.ask(&asked).map(|mut answer| answer["StackResourceSummaries"].take())
    };
    let of_root = resources(&account.stack.name)?;
    let nested = list_of(&of_root)
        .iter()
        .find(|resource| text(&resource["LogicalResourceId"]) == "Observability");
    let Some(nested) = nested else { return Ok(Vec::new()) };
    let nested = resources(text(&nested["PhysicalResourceId"]))?;
    let alarms = list_of(&nested)
        .iter()
        .filter(|resource| text(&resource["ResourceType"]) == "AWS::CloudWatch::Alarm");
    Ok(alarms.map(|alarm| text(&alarm["PhysicalResourceId"]).to_owned()).collect())
}
