//! Alarms that ring, and alarms that nobody would hear.

use super::super::account::{Account, list_of, text};
use super::super::cli::{Refused, command};
use super::super::finding::Findings;

pub(super) fn check(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    if account.stack.output("OpsTopicArn").is_empty() {
        found.ok("the stack was deployed without alarms (CreateObservability=no)");
        return Ok(());
    }
    let prefix = format!("{}-", account.stack.name);
    let asked = ["cloudwatch", "describe-alarms", "--alarm-name-prefix", &prefix];
    let answer = account.ask(&asked)?;
    let alarms = list_of(&answer["MetricAlarms"]);
    if alarms.is_empty() {
        let words = ["aws", "cloudformation", "detect-stack-drift", "--stack-name"];
        found.problem(
            "the stack's alarms are gone",
            vec![command(&[&words[..], &[account.stack.name.as_str()]].concat())],
        );
    }
    for alarm in alarms {
        let name = text(&alarm["AlarmName"]);
        if text(&alarm["StateValue"]) == "ALARM" {
            let section = name.strip_prefix(&prefix).unwrap_or(name);
            found.problem(
                format!("the alarm {name} rings: {}", text(&alarm["StateReason"])),
                vec![format!("# docs/runbook.md, {section}")],
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
