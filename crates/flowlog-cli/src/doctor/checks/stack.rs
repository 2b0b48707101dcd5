//! The stack itself.

use super::super::account::{Account, Stack};
use super::super::cli::{Refused, command};
use super::super::finding::Findings;

#[expect(clippy::unnecessary_wraps, reason = "one of many checks of one shape")]
pub(super) fn check(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    let stack = &account.stack;
    let Stack { name, status, .. } = stack;
    let events = vec![
        "# why:".to_owned(),
        command(&["aws", "cloudformation", "describe-stack-events", "--stack-name", name]),
    ];
    if status.ends_with("_FAILED") || status.as_str() == "ROLLBACK_COMPLETE" {
        found.problem(format!("the stack {name} is {status}"), events);
    } else if status.as_str() == "UPDATE_ROLLBACK_COMPLETE" {
        found.warning(
            format!("the last update of {name} did not succeed; what was there before runs on"),
            events,
        );
    } else if status.ends_with("_IN_PROGRESS") {
        found.warning(format!("{name} is being changed right now ({status})"), Vec::new());
    } else {
        found.ok(format!("{name} is {status}"));
    }
    Ok(())
}
