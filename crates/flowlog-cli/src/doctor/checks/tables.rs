//! The two tables: there, with expiry, backups, and the stream that wakes the alerter.

use serde_json::Value;

use super::super::account::{Account, text};
use super::super::cli::{Refused, command};
use super::super::finding::Findings;

/// DynamoDB's description of the table that this output names.
pub(super) fn describe(account: &Account<'_>, output: &str) -> Result<Value, Refused> {
    let name = account.stack.output(output);
    Ok(account.ask(&["dynamodb", "describe-table", "--table-name", name])?["Table"].take())
}

pub(super) fn check(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    for output in ["AggregatesTable", "ControlTable"] {
        let name = account.stack.output(output);
        match describe(account, output) {
            Err(refused) if refused.is(&["ResourceNotFoundException"]) => found.problem(
                format!("the table {name} is gone"),
                vec![
                    "# From its backup, under its name:".to_owned(),
                    command(&["aws", "dynamodb", "list-backups", "--table-name", name]),
                ],
            ),
            answer => one(account, output, &answer?, found)?,
        }
    }
    if found.well() {
        found.ok("both tables are active, expire what is old, and have backups and a stream");
    }
    Ok(())
}

fn one(
    account: &Account<'_>,
    output: &str,
    table: &Value,
    found: &mut Findings,
) -> Result<(), Refused> {
    let name = account.stack.output(output);
    let status = text(&table["TableStatus"]);
    if !["ACTIVE", "UPDATING"].contains(&status) {
        let show = command(&["aws", "dynamodb", "describe-table", "--table-name", name]);
        found.problem(format!("the table {name} is {status}"), vec![show]);
    }
    if output == "AggregatesTable" {
        let stream = &table["StreamSpecification"];
        if stream["StreamEnabled"] != true || text(&stream["StreamViewType"]) != "NEW_IMAGE" {
            found.problem(
                format!(
                    "the table {name} has no stream of new images, so nothing wakes the alerter"
                ),
                vec![
                    command(&[
                        "aws",
                        "dynamodb",
                        "update-table",
                        "--table-name",
                        name,
                        "--stream-specification",
                        "StreamEnabled=true,StreamViewType=NEW_IMAGE",
                    ]),
                    "# It is another stream than the alerter listens to; this says how to tell it:"
                        .to_owned(),
                    "flowlog doctor --only triggers".to_owned(),
                ],
            );
        }
    }
    let asked = ["dynamodb", "describe-time-to-live", "--table-name", name];
    let expiry = account.ask(&asked)?["TimeToLiveDescription"].take();
    let enabled = ["ENABLED", "ENABLING"].contains(&text(&expiry["TimeToLiveStatus"]));
    if !enabled || text(&expiry["AttributeName"]) != "ttl" {
        let words = ["aws", "dynamodb", "update-time-to-live", "--table-name", name];
        let wanted = ["--time-to-live-specification", "Enabled=true,AttributeName=ttl"];
        found.problem(
            format!("nothing in the table {name} ever expires: its time to live is off"),
            vec![command(&[&words[..], &wanted].concat())],
        );
    }
    let asked = ["dynamodb", "describe-continuous-backups", "--table-name", name];
    let backups = account.ask(&asked)?["ContinuousBackupsDescription"].take();
    let recovery = &backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"];
    if text(recovery) != "ENABLED" {
        let words = ["aws", "dynamodb", "update-continuous-backups", "--table-name", name];
        let wanted = ["--point-in-time-recovery-specification", "PointInTimeRecoveryEnabled=true"];
        found.warning(
            format!("the table {name} has no continuous backup"),
            vec![command(&[&words[..], &wanted].concat())],
        );
    }
    Ok(())
}
