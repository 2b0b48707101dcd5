//! What was found, for people. Commands stand alone on their lines, never wrapped: they are copied.

use std::fmt::Write as _;

use super::{Diagnosis, Verdict};
use crate::colour;
use crate::report::printable;

/// The findings along the way of a record, those to mend with what mends them, and a sum at the end.
pub fn to_text(diagnosis: &Diagnosis) -> String {
    let Diagnosis { stack, account, region, findings } = diagnosis;
    let mut out = format!("Stack {stack}, account {account}, {region}\n\n");
    for finding in findings {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Problem => "PROBLEM",
            Verdict::Unknown => "unknown",
        };
        let verdict = colour::word(&format!("{verdict:<8}"));
        let _ = writeln!(out, "{verdict} {:<14} {}", finding.check, printable(&finding.what));
        for line in &finding.mend {
            let _ = writeln!(out, "{:<23} {}", "", printable(line));
        }
    }
    let count = |verdict| diagnosis.count(verdict);
    let _ = writeln!(
        out,
        "\n{} problem(s), {} warning(s), {} not answered, {} as it should be",
        count(Verdict::Problem),
        count(Verdict::Warning),
        count(Verdict::Unknown),
        count(Verdict::Ok)
    );
    out
}
