//! `flowlog doctor`: is the deployed stack working, what is wrong with it, and what mends it?
//!
//! ```text
//! aws … --output json ─► Once (each question is asked once) ─► a check ─► findings ─► table or JSON
//! ```
//!
//! *Architecture invariant*: a check is a function of AWS's answers and the present time. It changes
//! nothing, and decides nothing by what another check found.

mod account;
mod checks;
mod cli;
mod finding;
mod policy;
#[cfg(test)]
mod tests;
mod words;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use flowlog_aws::env;
use serde::Serialize;

use crate::output::Output;
pub use account::NoStack;
use account::{Account, Stack};
pub(crate) use account::{list_of, text};
use checks::{CHECKS, Check};
pub use cli::Refused;
pub(crate) use cli::{Aws, Cli, Once, command};
use finding::Findings;
pub use finding::{Finding, Verdict};
pub use words::to_text;

/// Checks at work at once; each has one process of `aws` at most.
const AT_ONCE: usize = 8;

/// What the command takes.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The stack, as it was deployed.
    #[arg(long, value_name = "NAME", default_value = "flowlog")]
    pub stack: String,
    /// Only this check; may be given several times.
    #[arg(long, value_name = "CHECK", value_parser = names())]
    pub only: Vec<String>,
    /// How the diagnosis is written.
    #[command(flatten)]
    pub output: Output,
}

fn names() -> PossibleValuesParser {
    let value = |check: &Check| PossibleValue::new(check.name).help(check.about);
    PossibleValuesParser::new(CHECKS.iter().map(value))
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The stack's name.
    pub stack: String,
    /// The account that it is in.
    pub account: String,
    /// Its Region.
    pub region: String,
    /// Along the way that a record takes.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// How many findings of this kind.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }

    /// The exit status: 1 there is a problem, 2 something could not be asked, 0 neither.
    pub fn status(&self) -> u8 {
        match (self.count(Verdict::Problem), self.count(Verdict::Unknown)) {
            (0, 0) => 0,
            (0, _) => 2,
            _ => 1,
        }
    }
}

/// Asks AWS about the stack.
pub fn run(args: &DoctorArgs) -> Result<Diagnosis, NoStack> {
    diagnose(&Cli, args, env::now())
}

fn diagnose(aws: &dyn Aws, args: &DoctorArgs, now: i64) -> Result<Diagnosis, NoStack> {
    let once = Once::new(aws);
    let stack = Stack::find(&once, &args.stack)?;
    let account = Account { aws: &once, stack, now };
    let chosen = |check: &&Check| args.only.is_empty() || args.only.iter().any(|n| n == check.name);
    let chosen: Vec<&Check> = CHECKS.iter().filter(chosen).collect();
    let findings = examine(&account, &chosen);
    let Stack { name, account, region, .. } = account.stack;
    Ok(Diagnosis { stack: name, account, region, findings })
}

/// Runs the checks, some at once; the findings are in the checks' order.
fn examine(account: &Account<'_>, checks: &[&Check]) -> Vec<Finding> {
    let next = AtomicUsize::new(0);
    let found: Vec<Mutex<Vec<Finding>>> = checks.iter().map(|_| Mutex::default()).collect();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(checks.len()) {
            scope.spawn(|| {
                while let Some(check) = checks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut findings = Findings::new(check.name);
                    if let Err(refused) = (check.run)(account, &mut findings) {
                        findings.unknown(refused.to_string());
                    }
                    if let Some(place) = checks.iter().position(|c| c.name == check.name) {
                        *found[place].lock().unwrap_or_else(PoisonError::into_inner) = findings.all;
                    }
                }
            });
        }
    });
    let taken = found.into_iter().map(|f| f.into_inner().unwrap_or_else(PoisonError::into_inner));
    taken.flatten().collect()
}
