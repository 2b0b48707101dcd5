//! The three functions: ready, not throttled to nothing, and set up for this stack's tables.

use serde_json::json;

use super::super::account::{Account, text};
use super::super::cli::{Refused, command};
use super::super::finding::Findings;

/// Outputs that name them.
pub(super) const FUNCTIONS: [&str; 3] =
    ["S3ParserFunctionName", "CwlSubscriberFunctionName", "AnomalyAlerterFunctionName"];

/// Variables that name the tables, and the outputs that do.
const TABLES: [(&str, &str); 2] =
    [("AGGREGATES_TABLE", "AggregatesTable"), ("CONTROL_TABLE", "ControlTable")];

pub(super) fn check(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    for output in FUNCTIONS {
        one(account, output, found)?;
    }
    if found.well() {
        found.ok("the three functions are active and know this stack's tables");
    }
    Ok(())
}

fn one(account: &Account<'_>, output: &str, found: &mut Findings) -> Result<(), Refused> {
    let stack = &account.stack;
    let name = stack.output(output);
    let function = match account.function(output) {
        Err(refused) if refused.is(&["ResourceNotFoundException"]) => {
            found.problem(
                format!("the function {name} is gone"),
                vec![
                    "# CloudFormation believes it to be there: deploy once without it, then with it. What else is gone:".into(),
                    command(&["aws", "cloudformation", "detect-stack-drift", "--stack-name", &stack.name]),
                ],
            );
            return Ok(());
        }
        answer => answer?,
    };
    let show = command(&["aws", "lambda", "get-function-configuration", "--function-name", name]);
    let state = text(&function["State"]);
    // "Inactive" is asleep after weeks without work, and wakes up by itself.
    if !["", "Active", "Inactive"].contains(&state) {
        let why = text(&function["StateReason"]);
        found.problem(format!("the function {name} is {state}: {why}"), vec![show.clone()]);
    }
    if text(&function["LastUpdateStatus"]) == "Failed" {
        let why = text(&function["LastUpdateStatusReason"]);
        found.problem(format!("the last update of {name} failed: {why}"), vec![show.clone()]);
    }
    let asked = ["lambda", "get-function-concurrency", "--function-name", name];
    if account.ask(&asked)?["ReservedConcurrentExecutions"] == 0 {
        found.problem(
            format!("the function {name} is stopped: its reserved concurrency is 0"),
            vec![command(&[
                "aws",
                "lambda",
                "delete-function-concurrency",
                "--function-name",
                name,
            ])],
        );
    }
    let variables = &function["Environment"]["Variables"];
    for (variable, output) in TABLES {
        let (is, should) = (text(&variables[variable]), stack.output(output));
        if is != should {
            let mut right = variables.clone();
            for (variable, output) in TABLES {
                right[variable] = stack.output(output).into();
            }
            let right = json!({ "Variables": right }).to_string();
            let words = ["aws", "lambda", "update-function-configuration", "--function-name", name];
            found.problem(
                format!(
                    "the function {name} has {variable}={is}, and this stack's table is {should}"
                ),
                vec![command(&[&words[..], &["--environment", &right]].concat())],
            );
            break;
        }
    }
    Ok(())
}
