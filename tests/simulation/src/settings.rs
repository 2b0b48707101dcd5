//! What a schedule is, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::fault::{Fault, Plan};
use crate::mutant::Mutant;
use crate::process::Code;
use crate::random::Random;

/// How the code changes while deliveries are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Mapping version 1, then 2.
    Upgrade,
    /// Mapping version 2, then 1 again.
    Rollback,
}

/// What is to be run.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The seed.
    pub seed: u64,
    /// The faults; drawn from the seed where it is not given.
    pub plan: Option<Plan>,
    /// How the code changes; drawn from the seed where it is not given.
    pub change: Option<Change>,
    /// What is wrong with the protocol.
    pub mutant: Option<Mutant>,
    /// Whether to write down what happens.
    pub traced: bool,
}

impl Settings {
    /// The right protocol under everything that a seed brings.
    pub fn seed(seed: u64) -> Self {
        Self { seed, plan: None, change: None, mutant: None, traced: false }
    }

    /// A seed, then `Upgrade` or `Rollback` where the seed does not draw it, then `calm`, or the one
    /// call that fails and how: `3`, `3 Rollback calm`, `3 Rollback 17 Lost`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace().peekable();
        let mut settings = Self::seed(words.next()?.parse().ok()?);
        settings.change = match words.peek() {
            Some(&"Upgrade") => Some(Change::Upgrade),
            Some(&"Rollback") => Some(Change::Rollback),
            _ => None,
        };
        if settings.change.is_some() {
            words.next();
        }
        settings.plan = match words.next() {
            None => None,
            Some("calm") => Some(Plan::None),
            Some(call) => {
                let named = words.next()?;
                let fault = Fault::ALL.into_iter().find(|f| format!("{f:?}") == named)?;
                Some(Plan::Once { call: call.parse().ok()?, fault })
            }
        };
        words.next().is_none().then_some(settings)
    }
}

/// What a schedule did.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Invocations.
    pub attempts: u64,
    /// Processes that died.
    pub deaths: u64,
    /// Calls to the other side.
    pub calls: u64,
    /// Faults by call.
    pub faults: BTreeMap<(&'static str, Fault), u64>,
    /// Deliveries that ended as done, and as quarantined.
    pub ended: [u64; 2],
    /// Days at which something came again.
    pub days: BTreeSet<i64>,
    /// Summaries in the end.
    pub summaries: u64,
    /// Answers that were read while others worked.
    pub answers: u64,
    /// Messages that came too late for anything.
    pub dead: u64,
    /// What happened, call by call, where it was to be written down. Of one schedule.
    pub trace: Vec<String>,
}

impl Stats {
    /// Adds another schedule's.
    pub fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.deaths += other.deaths;
        self.calls += other.calls;
        for (key, n) in &other.faults {
            *self.faults.entry(*key).or_default() += n;
        }
        for (mine, theirs) in self.ended.iter_mut().zip(other.ended) {
            *mine += theirs;
        }
        self.days.extend(&other.days);
        self.summaries += other.summaries;
        self.answers += other.answers;
        self.dead += other.dead;
    }
}

/// A schedule that ended wrong.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What was run.
    pub settings: Settings,
    /// What is wrong.
    pub what: String,
    /// What happened, call by call.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { seed, plan, change, mutant, .. } = self.settings;
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "seed {seed}: {}", self.what)?;
        if plan.is_some() || change.is_some() || mutant.is_some() {
            writeln!(f, "  with {plan:?} {change:?} {mutant:?}")?;
        }
        write!(f, "  again: make simulate SEED=\"{}\"", self.settings)
    }
}

/// What [`Settings::parse`] reads; a mutant is known to the tests alone.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seed)?;
        if let Some(change) = self.change {
            write!(f, " {change:?}")?;
        }
        match self.plan {
            None | Some(Plan::Random { .. }) => Ok(()),
            Some(Plan::None) => f.write_str(" calm"),
            Some(Plan::Once { call, fault }) => write!(f, " {call} {fault:?}"),
        }
    }
}

/// Which code is deployed from which step on. In the end there is one that knows every version.
pub(crate) fn timeline(change: Change, random: &mut Random) -> Vec<(u64, Code)> {
    let first = random.below(150) as u64;
    let second = first + 1 + random.below(300) as u64;
    match change {
        Change::Upgrade => vec![(0, Code::OLD), (first, Code::NEW)],
        Change::Rollback if random.chance(500) => vec![(0, Code::NEW), (first, Code::BACK)],
        Change::Rollback => {
            vec![(0, Code::NEW), (first, Code::OLD), (second, Code::BACK)]
        }
    }
}
