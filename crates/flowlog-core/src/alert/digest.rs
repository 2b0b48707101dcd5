//! The hourly digest: what nobody was woken for, in one message.
//!
//! It lists every alert that was noted since the last digest (external scans, anomalies, late
//! findings) and every one that the budget held back, the loudest first; what does not fit is
//! counted. An hour in which everything that was noted is known from an earlier digest, and not due again,
//! sends none: what was noted waits for the next one. One state item remembers up to when the last digest looked; it is claimed, published
//! and marked like an alert.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Alert;
use crate::detect::{Rule, SOURCES_SHOWN, Severity};

/// Lines in a digest.
pub(super) const LINES: usize = 40;

/// What was noted less than so many seconds ago may still be being written, by a clock that is a
/// little off: it waits for the next digest. What was noted before that does not wait, if it is noted
/// again meanwhile (`Alert::noted_before`).
pub(super) const SETTLED: i64 = 60;

/// One alert in a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// How loud it would have been.
    pub severity: Severity,
    /// The budget held it back.
    pub held: bool,
    /// The rule.
    pub rule: Rule,
    /// Interface or VPC.
    pub place: String,
    /// The source, or some of the sources.
    pub sources: Vec<String>,
    /// What was measured.
    pub measure: String,
    /// How much.
    pub value: u64,
    /// In how many windows.
    pub windows: u64,
}

/// The digest's state, and what the latest one says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Number of the latest digest.
    pub seq: u64,
    /// It covers what was noted after `from` …
    pub from: i64,
    /// … up to and with `to` (epoch seconds).
    pub to: i64,
    /// When it was claimed, while it has not been published.
    pub claimed_at: Option<i64>,
    /// Whether it says anything that none has said lately; else it is not sent.
    #[serde(default)]
    pub due: bool,
    /// How many alerts were noted.
    pub noted: u64,
    /// How many the budget held back.
    pub held: u64,
    /// How many of each rule.
    pub by_rule: BTreeMap<String, u64>,
    /// The loudest.
    pub lines: Vec<Line>,
}

impl Digest {
    /// The next digest, of what was noted since this one and is settled at `now`; empty as yet.
    pub(super) fn next(&self, now: i64) -> Self {
        let to = now - SETTLED;
        Self { seq: self.seq + 1, from: self.to, to, claimed_at: Some(now), ..Self::default() }
    }

    /// Takes an alert in, if it was noted in the digest's time.
    pub(super) fn add(&mut self, alert: &Alert) {
        if alert.noted_between(self.from, self.to).is_none() {
            return;
        }
        let finding = &alert.finding;
        self.due |= alert.is_reason(self.from, self.to);
        self.noted += 1;
        self.held += u64::from(alert.held);
        *self.by_rule.entry(finding.rule.name().to_owned()).or_default() += 1;
        let mut sources: Vec<String> = match finding.source {
            Some(source) => vec![source.to_string()],
            None => finding.evidence.named.iter().map(ToString::to_string).collect(),
        };
        // A finding is of the latest; the digest names those before him, too.
        if finding.source.is_some() && alert.told_times > 0 {
            let noted = alert.met_between(self.from, self.to).map(ToString::to_string);
            sources
                .extend(noted.filter(|other| Some(other) != sources.first()).collect::<Vec<_>>());
            sources.truncate(SOURCES_SHOWN);
        }
        self.lines.push(Line {
            severity: finding.severity,
            held: alert.held,
            rule: finding.rule,
            place: finding.interface_id.clone(),
            sources,
            measure: finding.evidence.measure.to_string(),
            value: finding.evidence.value,
            windows: alert.windows,
        });
        if self.lines.len() >= 4 * LINES {
            self.shorten();
        }
    }

    /// Keeps the loudest lines.
    pub(super) fn shorten(&mut self) {
        let order = |l: &Line| (l.held, l.severity, l.value);
        self.lines.sort_by(|a, b| {
            order(b).cmp(&order(a)).then_with(|| (&a.place, a.rule).cmp(&(&b.place, b.rule)))
        });
        self.lines.truncate(LINES);
    }
}
