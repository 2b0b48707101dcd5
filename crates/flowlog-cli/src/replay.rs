//! `flowlog replay`: what rules would have sent over a recording, before anybody switches them on.
//!
//! The recording is judged window by window, and every finding goes through the very lifecycle that
//! the deployed function uses (cooldown, escalation, budget, digest), on a store in memory and a
//! clock that is the records' own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use flowlog_core::alert::{Policy, RaiseError, Raised, raise, sweep};
use flowlog_core::decode::{Counts, Fallback, Limits};
use flowlog_core::detect::{Finding, OPEN, Rule, RuleSet, Severity};
use flowlog_core::record::{DAY_SECONDS, HOUR_SECONDS, WINDOWS_PER_DAY, Window};
use flowlog_core::rollup::BlobError;
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::reader::{Coverage, Deliveries, Detail};
use serde_json::{Value, json};

use crate::analyze;
use crate::ask::{self, AskError, Asked, Period, Subject};
use crate::local::Inbox;
use crate::report::{Builder, FileReport, Room, time};

/// How many noisy subjects are named.
const SUBJECTS: usize = 10;
/// Windows after a finding in which something may still be said about it, and more: two days.
const TOLD: i64 = 576;
/// Windows after the last one in which a day is looked at for the last time, and the last digest comes.
const SETTLING: i64 = 12 + OPEN + 13;

/// What rules would have sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// By rule.
    pub rules: BTreeMap<Rule, RuleOutcome>,
    /// Digest messages.
    pub digests: u64,
    /// Messages on the busiest day, digests included.
    pub busiest_day: u64,
    /// What became of the lines that it rests on.
    pub lines: Counts,
    /// The first and the last window.
    pub span: Option<(Window, Window)>,
    /// Interfaces.
    pub interfaces: u64,
    /// Interface-days: interface-windows / 288.
    pub interface_windows: u64,
    /// Rules that this recording cannot feed, and why.
    pub starved: Vec<(Rule, String)>,
    /// Messages by subject (rule, place, source), the noisiest first.
    pub noisiest: Vec<(String, u64)>,
    /// Every message, and what was noted for a digest: what two rules files are compared by.
    pub messages: Vec<Message>,
    /// Every finding that is more than recorded, in order, and what became of it.
    pub trace: Vec<(Finding, Raised)>,
    /// What there was no room for, a sentence each.
    pub left_out: Vec<String>,
}

/// One rule's part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleOutcome {
    /// Windows in which it fired, recorded ones included.
    pub findings: u64,
    /// Of these, those that are only recorded.
    pub recorded: u64,
    /// Messages at severity notify.
    pub notify: u64,
    /// Messages at severity high.
    pub high: u64,
    /// Noted for a digest.
    pub noted: u64,
    /// Held back by the budget.
    pub held_back: u64,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    /// The window that it was about.
    pub window: Window,
    /// The rule.
    pub rule: Rule,
    /// How loud.
    pub severity: Severity,
    /// Interface or account.
    pub place: String,
    /// The source, where it is one.
    pub source: Option<String>,
    /// Whether it is a line of a digest.
    pub noted: bool,
}

/// Why a replay cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A roll-up.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The lifecycle.
    #[error(transparent)]
    Raise(#[from] RaiseError),
}

/// A recording that was read.
#[derive(Debug, Default)]
pub struct Recording {
    builder: Builder,
    /// What became of each file.
    pub files: Vec<FileReport>,
    /// What became of the lines of all files that could be read, or of all deliveries.
    pub lines: Counts,
}

/// Reads files, as `flowlog analyze` does.
pub fn read(
    paths: &[PathBuf],
    fallback: &Fallback,
    complain: &mut dyn FnMut(String),
) -> Result<Recording, BlobError> {
    let (builder, files) = analyze::read(paths, Limits::default(), fallback, complain)?;
    builder.note().into_iter().for_each(&mut *complain);
    let mut lines = Counts::default();
    files.iter().filter(|file| file.error.is_none()).for_each(|file| lines.add(&file.counts));
    Ok(Recording { builder, files, lines })
}

/// Takes the roll-ups of a store, as the alerter reads them: each window of an interface from one flow
/// log. Hours that only summaries are left of cannot be judged; how many those are is complained of.
pub async fn read_store<S: Asked>(
    store: &S,
    period: Period,
    complain: &mut dyn FnMut(String),
) -> Result<Recording, AskError> {
    let mut builder = Builder::default();
    let (mut summed, mut failed) = (0_u64, None);
    let mut deliveries = Deliveries::default();
    let detail = Detail::WINDOWS;
    ask::read_each(store, &Subject::Everything, period, detail, &mut |id, spoken| {
        spoken.notes(&id).into_iter().for_each(&mut *complain);
        summed += spoken.answer.hours.len() as u64;
        deliveries.extend(spoken.answer.deliveries);
        for (window, rollup) in spoken.answer.detailed {
            if let Err(error) = builder.add(&id, window, rollup) {
                failed.get_or_insert(error);
            }
        }
    })
    .await?;
    failed.map_or(Ok(()), Err)?;
    if summed > 0 {
        complain(format!(
            "{summed} hours of interfaces are there as summaries only, and are not judged"
        ));
    }
    ask::add_unusable(store, &mut deliveries, period).await?;
    let coverage = Coverage::of(&deliveries);
    if !coverage.is_complete() {
        complain(format!(
            "{} deliveries are in progress and {} quarantined: there may be more records",
            coverage.in_progress, coverage.quarantined
        ));
    }
    builder.note().into_iter().for_each(&mut *complain);
    Ok(Recording { builder, files: Vec::new(), lines: coverage.counts })
}

impl Recording {
    /// Rules that find nothing here whatever happened: what they need was not recorded.
    fn starved(&self) -> Vec<(Rule, String)> {
        let (accepted, rejected) = self.builder.seen();
        let lacking = self.builder.lacking();
        let why = |rule: Rule| Some((rule, rule.starved(lacking, accepted, rejected)?));
        Rule::ALL.into_iter().filter_map(why).collect()
    }
}

/// Runs rules over a recording.
pub async fn replay(recording: &Recording, rules: &RuleSet) -> Result<Outcome, ReplayError> {
    let found = recording.builder.findings(rules, Room::REPLAYED, |_, _, _| {})?;
    let left_out = [recording.builder.said().to_vec(), found.notes()].concat();
    let mut outcome = Outcome { left_out, ..Outcome::default() };
    outcome.lines = recording.lines.clone();
    let mut findings: Vec<(Window, Finding)> =
        found.findings.into_iter().map(|f| (found_in(&f), f)).collect();
    findings.sort_by_key(|(at, f)| (*at, f.window));
    let Some((first, last)) = recording.builder.span() else { return Ok(outcome) };
    outcome.span = Some((first, last));
    (outcome.interfaces, outcome.interface_windows) = recording.builder.interface_windows();
    outcome.starved = recording.starved();
    let (store, inbox) = (MemoryStore::new(), Inbox::default());
    let policy = Policy { stale_after: None, ..Policy::default() };
    let mut days: BTreeMap<i64, u64> = BTreeMap::new();
    let mut subjects: BTreeMap<String, u64> = BTreeMap::new();
    let mut queue = findings.into_iter().peekable();
    let (mut at, mut spoken) = (first, first);
    while at <= last.forward(SETTLING) {
        while let Some((_, finding)) = queue.next_if(|(found, _)| *found <= at) {
            let raised = raise(&store, &inbox, &policy, &finding, at.end()).await?;
            spoken = at;
            outcome.count(&finding, raised);
            if finding.severity > Severity::Recorded {
                outcome.trace.push((finding.clone(), raised));
            }
            if let Raised::Sent(_) = raised {
                *subjects.entry(subject(&finding)).or_default() += 1;
            }
            if let Raised::Sent(_) | Raised::Noted = raised {
                outcome.messages.push(message(&finding, raised));
            }
        }
        let before = inbox.sent().len();
        sweep(&store, &inbox, &policy, at.end()).await?;
        outcome.digests += (inbox.sent().len() - before) as u64;
        let sent = inbox.take().len() as u64;
        *days.entry(at.start() / DAY_SECONDS).or_default() += sent;
        // Two days after a finding nothing is left to be said about it.
        let quiet = queue.peek().map_or(last, |(found, _)| *found).back(TOLD);
        let next = at.forward(1);
        if next == at {
            break;
        }
        at = next;
        if spoken.forward(TOLD) < at && at < quiet {
            at = quiet;
        }
    }
    outcome.busiest_day = days.into_values().max().unwrap_or(0);
    let mut noisiest: Vec<(String, u64)> = subjects.into_iter().collect();
    noisiest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    noisiest.truncate(SUBJECTS);
    outcome.noisiest = noisiest;
    Ok(outcome)
}

/// The window in which the function finds it: its own, or for what is looked at once an hour the first one in which all of
/// its hour has arrived.
fn found_in(finding: &Finding) -> Window {
    // A way in is found in the hour when it happens, and by the day for slow scanners.
    let by_hour =
        finding.rule == Rule::RejectedThenAccepted && finding.evidence.seconds <= HOUR_SECONDS;
    if finding.rule.looks_every() == 0 || by_hour {
        return finding.window;
    }
    let hour = finding.window.start().div_euclid(HOUR_SECONDS);
    Window::of((hour + 1) * HOUR_SECONDS).unwrap_or(finding.window).forward(OPEN - 1)
}

fn subject(finding: &Finding) -> String {
    let source = finding.source.map_or_else(String::new, |s| format!(" from {s}"));
    format!("{} on {}{source}", finding.rule, finding.interface_id)
}

fn message(finding: &Finding, raised: Raised) -> Message {
    Message {
        window: finding.window,
        rule: finding.rule,
        severity: finding.severity,
        place: finding.interface_id.clone(),
        source: finding.source.map(|s| s.to_string()),
        noted: raised == Raised::Noted,
    }
}

impl Outcome {
    fn count(&mut self, finding: &Finding, raised: Raised) {
        let rule = self.rules.entry(finding.rule).or_default();
        rule.findings += 1;
        rule.recorded += u64::from(finding.severity == Severity::Recorded);
        match raised {
            Raised::Sent(_) if finding.severity == Severity::High => rule.high += 1,
            Raised::Sent(_) => rule.notify += 1,
            Raised::Noted => rule.noted += 1,
            Raised::OverBudget => rule.held_back += 1,
            Raised::Recorded | Raised::Held => {}
        }
    }

    /// Messages, without digests.
    pub fn notifications(&self) -> u64 {
        self.rules.values().map(|r| r.notify + r.high).sum()
    }

    /// Interface-days of the recording.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn interface_days(&self) -> f64 {
        self.interface_windows as f64 / WINDOWS_PER_DAY as f64
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        match self.span {
            None => out.push_str("No records.\n"),
            Some((first, last)) => {
                let _ = writeln!(
                    out,
                    "{first} to {} UTC, {} interface(s), {:.2} interface-days",
                    time(last.end()),
                    self.interfaces,
                    self.interface_days()
                );
            }
        }
        let Counts { read, nodata, skipdata, late, .. } = self.lines;
        let rejected = self.lines.rejected_total();
        let _ = writeln!(
            out,
            "Rests on {read} records: {nodata} NODATA, {skipdata} SKIPDATA, {rejected} that could not be read, {late} late."
        );
        if skipdata + rejected + late > 0 {
            out.push_str("Incomplete: rules saw nothing of what AWS skipped, could not be read, or was late.\n");
        }
        let _ = writeln!(
            out,
            "\n{:<24} {:>9} {:>9} {:>7} {:>6} {:>6} {:>9}",
            "rule", "findings", "recorded", "notify", "high", "noted", "held back"
        );
        for (rule, r) in &self.rules {
            let _ = writeln!(
                out,
                "{:<24} {:>9} {:>9} {:>7} {:>6} {:>6} {:>9}",
                rule.name(),
                r.findings,
                r.recorded,
                r.notify,
                r.high,
                r.noted,
                r.held_back
            );
        }
        let _ = writeln!(
            out,
            "\n{} notification(s) and {} digest(s); at most {} messages on one day",
            self.notifications(),
            self.digests,
            self.busiest_day
        );
        for note in &self.left_out {
            let _ = writeln!(out, "note: {note}");
        }
        if !self.starved.is_empty() {
            out.push_str("\nRules that this recording cannot feed\n");
            for (rule, why) in &self.starved {
                let _ = writeln!(out, "{:<24} {why}", rule.name());
            }
        }
        if !self.noisiest.is_empty() {
            out.push_str("\nNoisiest subjects\n");
            for (subject, count) in &self.noisiest {
                let _ = writeln!(out, "{count:>6}  {}", crate::report::printable(subject));
            }
        }
        out
    }

    /// For scripts.
    pub fn to_json(&self) -> Value {
        let rules: BTreeMap<&str, Value> = self
            .rules
            .iter()
            .map(|(rule, r)| {
                let counts = json!({
                    "findings": r.findings, "recorded": r.recorded, "notify": r.notify,
                    "high": r.high, "noted": r.noted, "held_back": r.held_back,
                });
                (rule.name(), counts)
            })
            .collect();
        let starved: BTreeMap<&str, &str> =
            self.starved.iter().map(|(rule, why)| (rule.name(), why.as_str())).collect();
        json!({
            "rules": rules,
            "notifications": self.notifications(),
            "digests": self.digests,
            "busiest_day": self.busiest_day,
            "interfaces": self.interfaces,
            "interface_days": self.interface_days(),
            "starved": starved,
            "records": {
                "read": self.lines.read, "nodata": self.lines.nodata,
                "skipdata": self.lines.skipdata, "rejected": self.lines.rejected_total(),
                "late": self.lines.late,
            },
            "notes": self.left_out,
            "noisiest": self.noisiest,
            "findings": self.trace.iter().map(traced).collect::<Vec<_>>(),
        })
    }
}

/// What became of a finding, for scripts.
fn traced((finding, raised): &(Finding, Raised)) -> Value {
    let raised = match raised {
        Raised::Sent(_) => "sent",
        Raised::Noted => "noted",
        Raised::OverBudget => "held-back",
        Raised::Held => "held",
        Raised::Recorded => "recorded",
    };
    let named = finding.source.iter().chain(&finding.evidence.named);
    json!({
        "window": finding.window.start(),
        "type": finding.rule.name(),
        "severity": finding.severity.name(),
        "interface_id": finding.interface_id,
        "sources": named.map(ToString::to_string).collect::<BTreeSet<_>>(),
        "raised": raised,
    })
}

/// The messages, and the lines of digests, that only one of two rules files would have sent: `-` only the first,
/// `+` only the second.
pub fn difference(of: &Outcome, against: &Outcome) -> String {
    let set = |outcome: &Outcome| outcome.messages.iter().cloned().collect::<BTreeSet<_>>();
    let (first, second) = (set(of), set(against));
    let mut out = String::new();
    let all: BTreeSet<&Message> = first.union(&second).collect();
    for message in all {
        let sign = match (first.contains(message), second.contains(message)) {
            (true, false) => '-',
            (false, true) => '+',
            _ => continue,
        };
        let source = message.source.as_deref().map_or_else(String::new, |s| format!(" from {s}"));
        let _ = writeln!(
            out,
            "{sign} {} {} {} on {}{source}{}",
            message.window,
            message.severity.name(),
            message.rule,
            crate::report::printable(&message.place),
            if message.noted { ", in a digest" } else { "" }
        );
    }
    if out.is_empty() {
        out.push_str("no difference\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use flowlog_core::detect::{Cause, Why};

    use super::*;

    #[test]
    fn what_is_looked_at_once_an_hour_is_found_when_its_hour_has_arrived() {
        let midnight = Window::of(1_793_491_200).unwrap();
        let found = |rule, seconds, window: i64| {
            let finding = Finding {
                rule,
                severity: Severity::Notify,
                interface_id: "eni-1".to_owned(),
                account_id: String::new(),
                vpc_id: String::new(),
                about: flowlog_core::rollup::About::default(),
                source: None,
                target: None,
                window: midnight.forward(window),
                cause: Cause::WayIn,
                evidence: Why { seconds, ..Why::default() },
                parties: flowlog_core::detect::Parties::default(),
            };
            (found_in(&finding).end() - midnight.start()) / 60
        };
        assert_eq!(found(Rule::PortScan, 900, 3), 20);
        assert_eq!(found(Rule::RejectedThenAccepted, 3_600, 3), 20);
        assert_eq!(found(Rule::RejectedThenAccepted, 86_400, 3), 75);
        assert_eq!(
            (found(Rule::SlowScan, 86_400, 0), found(Rule::EgressVolume, 3_600, 11)),
            (75, 75)
        );
    }
}
