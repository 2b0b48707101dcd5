//! One fault at a time, and the one finding that it makes.

mod delivery;
mod network;
mod processing;

use serde_json::Value;

use super::{Canned, Verdict};

/// Plants a fault; exactly one finding must be there, of this check, which says this and mends it so.
#[track_caller]
fn planted(plant: impl FnOnce(&mut Canned), verdict: Verdict, check: &str, what: &str, mend: &str) {
    let mut canned = Canned::healthy();
    plant(&mut canned);
    let findings = canned.findings();
    let [finding] = &findings[..] else { panic!("not one finding: {findings:#?}") };
    assert_eq!((finding.check, finding.verdict), (check, verdict), "{finding:#?}");
    assert!(finding.what.contains(what), "{finding:#?}");
    assert!(finding.mend.iter().any(|line| line.contains(mend)), "{finding:#?}");
}

#[track_caller]
fn problem(plant: impl FnOnce(&mut Canned), check: &str, what: &str, mend: &str) {
    planted(plant, Verdict::Problem, check, what, mend);
}

#[track_caller]
fn warning(plant: impl FnOnce(&mut Canned), check: &str, what: &str, mend: &str) {
    planted(plant, Verdict::Warning, check, what, mend);
}

/// Changes one value.
fn set(call: &'static str, pointer: &'static str, value: Value) -> impl FnOnce(&mut Canned) {
    move |canned| {
        canned.set(call, pointer, value);
    }
}

fn refused(call: &'static str, code: &'static str) -> impl FnOnce(&mut Canned) {
    move |canned| {
        canned.refuse(call, code);
    }
}

/// A fault that two checks see; this one has to.
#[track_caller]
fn planted_among(plant: impl FnOnce(&mut Canned), check: &str, what: &str, mend: &str) {
    let mut canned = Canned::healthy();
    plant(&mut canned);
    let findings = canned.findings();
    let is_it = |line: &String| line.contains(mend);
    let seen = findings.iter().any(|finding| {
        finding.check == check && finding.what.contains(what) && finding.mend.iter().any(is_it)
    });
    assert!(seen, "{findings:#?}");
}
