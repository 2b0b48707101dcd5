//! What a check finds.

use serde::Serialize;

/// How it stands, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Something does not work.
    Problem,
    /// AWS did not say.
    Unknown,
    /// It works, but costs more, shows less or hangs by a thread.
    Warning,
    /// As it should be.
    Ok,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check that found it.
    pub check: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What is so, or is wrong.
    pub what: String,
    /// What mends it: lines for a shell. Those that begin with `#` are for whoever types them.
    pub mend: Vec<String>,
}

/// What one check has found so far.
#[derive(Debug)]
pub(super) struct Findings {
    check: &'static str,
    pub(super) all: Vec<Finding>,
}

impl Findings {
    pub(super) fn new(check: &'static str) -> Self {
        Self { check, all: Vec::new() }
    }

    fn add(&mut self, verdict: Verdict, what: String, mend: Vec<String>) {
        self.all.push(Finding { check: self.check, verdict, what, mend });
    }

    pub(super) fn ok(&mut self, what: impl Into<String>) {
        self.add(Verdict::Ok, what.into(), Vec::new());
    }

    pub(super) fn warning(&mut self, what: impl Into<String>, mend: Vec<String>) {
        self.add(Verdict::Warning, what.into(), mend);
    }

    pub(super) fn problem(&mut self, what: impl Into<String>, mend: Vec<String>) {
        self.add(Verdict::Problem, what.into(), mend);
    }

    pub(super) fn unknown(&mut self, what: impl Into<String>) {
        self.add(Verdict::Unknown, what.into(), Vec::new());
    }

    /// Whether nothing was found that is not as it should be.
    pub(super) fn well(&self) -> bool {
        self.all.iter().all(|finding| finding.verdict == Verdict::Ok)
    }
}
