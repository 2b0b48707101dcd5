//! The state machine of one alert: pure, so that every path of it can be tested.
//!
//! ```text
//!            finding ≥ notify                      mark (published = seq)
//!   (none) ──────────────────► claimed ──────────────────────────────► told ◄──┐ finding while
//!     │                          │   ▲  crash: the sweeper, or the      │  │   │ the cooldown
//!     │ finding = digest         │   │  retry, publishes the same       │  └───┘ holds: noted
//!     ▼                          │   └─ again, same dedupe id           │
//!   noted ── finding ≥ notify ───┘          cooldown over (doubled), or │
//!     │                          ◄──────── louder than before ─────────┘
//!     │                          │
//!     │                          └── budget spent: held back (in the digest; may be claimed next hour)
//!     │
//!     └── 3 quiet windows: resolved ── a later finding: a new episode (the cooldown still holds)
//!
//! What is louder than the latest claim is claimed at once, whether that was told, held back or is over.
//! ```

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Policy;
use super::digest::SETTLED;
use crate::detect::{Finding, Rule, Severity};
use crate::record::{Address, HOUR_SECONDS, Window};

/// Everything that is remembered of one alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Whether it goes on; `false` after three quiet windows, or hours where its rule looks once an hour.
    pub open: bool,
    /// Number of the latest claim, from 1; 0 while it was only noted.
    pub seq: u64,
    /// Highest number that was published (or held back).
    pub published: u64,
    /// How loud the latest claim of this episode was; of an alert that was only noted, the loudest.
    pub severity: Severity,
    /// How loud the latest claim was, of whatever episode: what is louder waits for no cooldown and no
    /// budget of a quieter one. Absent in what older versions wrote.
    #[serde(default)]
    pub claimed: Option<Severity>,
    /// First window of this episode, or where what showed then had begun.
    pub since: Window,
    /// Latest window that fired.
    pub last: Window,
    /// In how many windows it fired in this episode.
    pub windows: u64,
    /// The window of the latest claim that was told.
    pub told: Option<Window>,
    /// Notifications in this episode.
    pub told_times: u32,
    /// May be told again from this second on.
    pub next: i64,
    /// When it was claimed, while it has not been published.
    pub claimed_at: Option<i64>,
    /// When it was last noted for the digest.
    pub noted_at: Option<i64>,
    /// When it was noted in the two minutes before that in which it was: a digest says nothing yet of
    /// what is noted just now, and of an alert that is noted in each run there would be nothing else.
    #[serde(default)]
    pub noted_before: Vec<i64>,
    /// When what is noted was news: the first time, louder, or of somebody who was not named before.
    #[serde(default)]
    pub news_at: Option<i64>,
    /// When it was news before that, the same way.
    #[serde(default)]
    pub news_before: Vec<i64>,
    /// Who was named in what was noted lately, at most 64.
    #[serde(default)]
    pub named: BTreeSet<Address>,
    /// Who was named in this episode, at most 64, the latest last, and when, if it was for the digest only. Absent in
    /// what older versions wrote.
    #[serde(default)]
    pub whom: Vec<(Address, Option<i64>)>,
    /// The budget held its latest claim back.
    pub held: bool,
    /// The finding that is told: of the latest claim, or the latest that was noted.
    pub finding: Finding,
}

/// What is to be done about a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing has changed.
    Nothing,
    /// Remember it; tell nobody now.
    Note(Box<Alert>),
    /// Claim, then publish.
    Claim(Box<Alert>),
}

/// What a finding means for its alert at `now` (epoch seconds).
pub fn decide(old: Option<&Alert>, finding: &Finding, policy: &Policy, now: i64) -> Decision {
    let late = policy.stale_after.is_some_and(|age| now - finding.window.end() > age);
    let severity = if late { finding.severity.min(Severity::Digest) } else { finding.severity };
    let fresh = old.is_none_or(|old| finding.window > old.last);
    let Some(mut alert) = episode(old, finding, severity, fresh) else { return Decision::Nothing };
    // The first time, when it is louder than what was told or held back last, or when the cooldown is
    // over and it still goes on: a window that was seen before is no news.
    let escalates = old.is_none_or(|old| old.seq == 0 || severity > old.loudness());
    let is_new = severity >= Severity::Digest && alert.is_of_somebody_new(finding);
    let due = escalates
        || (now >= alert.next && fresh)
        || (is_new && severity == Severity::High && alert.is_free_for_others(finding, policy, now));
    if severity >= Severity::Notify && due {
        alert.seq += 1;
        alert.told_times += 1;
        alert.told = Some(finding.window);
        alert.severity = severity;
        alert.claimed = Some(severity);
        alert.next = now + policy.cooldown_after(alert.told_times);
        alert.claimed_at = Some(now);
        alert.held = false;
        alert.finding = Finding { severity, ..finding.clone() };
        alert.meet(finding, None);
        return Decision::Claim(Box::new(alert));
    }
    if !fresh && old.is_some() && !is_new {
        return Decision::Nothing;
    }
    // There may be thousands, found in each run: they are kept open by every third.
    let noted = old.filter(|old| old.is_noted_silence(finding));
    if noted.is_some_and(|old| finding.window < old.last.forward(Policy::QUIET)) {
        return Decision::Nothing;
    }
    if severity >= Severity::Digest && (alert.told_times == 0 || is_new) && noted.is_none() {
        alert.learn_news(finding, severity, now);
        alert.severity = alert.severity.max(severity);
        alert.note(now);
        alert.meet(finding, Some(now));
        // What is being published is published again as it is, should somebody die of it.
        if alert.claimed_at.is_none() {
            alert.finding = Finding { severity, ..finding.clone() };
        }
    }
    Decision::Note(Box::new(alert))
}

/// How many of the addresses that were named are remembered.
const REMEMBERED: usize = 64;

/// The alert with this window in it: a new one, the same episode, or a new episode of it. `None` if
/// there is nothing to remember.
fn episode(
    old: Option<&Alert>,
    finding: &Finding,
    severity: Severity,
    fresh: bool,
) -> Option<Alert> {
    let window = finding.window;
    let Some(old) = old else {
        return (severity > Severity::Recorded).then(|| Alert {
            open: true,
            seq: 0,
            published: 0,
            severity,
            claimed: None,
            since: finding.since(),
            last: window,
            windows: 1,
            told: None,
            told_times: 0,
            next: 0,
            claimed_at: None,
            noted_at: None,
            noted_before: Vec::new(),
            news_at: None,
            news_before: Vec::new(),
            named: BTreeSet::new(),
            whom: Vec::new(),
            held: false,
            finding: finding.clone(),
        });
    };
    let mut alert = old.clone();
    if !fresh {
        return Some(alert);
    }
    if old.open {
        alert.windows += 1;
    } else if severity > Severity::Recorded && !old.is_same_silence(finding, severity) {
        alert.open = true;
        alert.since = finding.since();
        alert.windows = 1;
        alert.told_times = 0;
        alert.whom.clear();
        alert.severity = severity;
        alert.held = false;
    } else {
        return None;
    }
    alert.last = window;
    Some(alert)
}

/// Something happened at `now`: keeps when it last did, and when it last did in each of the two minutes
/// before that in which it did.
fn remember(latest: &mut Option<i64>, before: &mut Vec<i64>, now: i64) {
    if let Some(at) = *latest
        && at.div_euclid(SETTLED) < now.div_euclid(SETTLED)
    {
        before.insert(0, at);
        before.truncate(2);
    }
    *latest = Some(latest.map_or(now, |at| at.max(now)));
}

/// When it last happened up to `to`, as far as is known: of what is older than two minutes, in any case.
fn latest_by(latest: Option<i64>, before: &[i64], to: i64) -> Option<i64> {
    latest.into_iter().chain(before.iter().copied()).find(|at| *at <= to)
}

impl Alert {
    /// How loud a finding must be beyond to be told at once.
    fn loudness(&self) -> Severity {
        self.claimed.unwrap_or(self.severity)
    }

    /// Remembers whether a digest would say something by this that none has said of the alert lately.
    fn learn_news(&mut self, finding: &Finding, severity: Severity, now: i64) {
        let forgotten = self.noted_at.is_none_or(|at| now - at > Policy::FORGOTTEN);
        let others: Vec<Address> =
            finding.source.iter().chain(&finding.evidence.named).copied().collect();
        if forgotten || self.named.len() > REMEMBERED {
            self.named.clear();
        }
        let louder = severity > self.finding.severity;
        if forgotten || louder || others.iter().any(|source| !self.named.contains(source)) {
            remember(&mut self.news_at, &mut self.news_before, now);
        }
        self.named.extend(others);
    }

    /// Whether this is a silence that was noted before, and no louder: interfaces go away for good reasons, and a
    /// digest names one that did once.
    fn is_noted_silence(&self, finding: &Finding) -> bool {
        let silence = finding.rule == Rule::DataGap && finding.evidence.since.is_some();
        let same = self.finding.evidence.since == finding.evidence.since;
        silence && same && self.noted_at.is_some() && finding.severity <= self.severity
    }

    /// Whether this is a silence that somebody has said is over, and no louder: nothing has come since, so it would be
    /// found anew in each run.
    fn is_same_silence(&self, finding: &Finding, severity: Severity) -> bool {
        let silence = finding.rule == Rule::DataGap && finding.evidence.since.is_some();
        let same = self.finding.evidence.since == finding.evidence.since;
        silence && same && !self.held && severity <= self.loudness()
    }

    /// Whether this names a stranger whom nothing in this episode has named, by a rule of which each matters though
    /// all share an alert: an open one would hide him.
    fn is_of_somebody_new(&self, finding: &Finding) -> bool {
        matches!(finding.rule, Rule::EgressVolume | Rule::RejectedThenAccepted)
            && finding.source.is_some_and(|source| !self.has_met(&source))
    }

    /// Whether this episode has named an address.
    pub(super) fn has_met(&self, address: &Address) -> bool {
        let latest = self.finding.source.as_ref() == Some(address);
        latest || self.whom.iter().any(|(other, _)| other == address)
    }

    /// Whether somebody new may be told of: for him the cooldown does not double.
    fn is_free_for_others(&self, finding: &Finding, policy: &Policy, now: i64) -> bool {
        match self.told {
            Some(told) => finding.window.start() - told.start() >= policy.cooldown,
            None => now >= self.next,
        }
    }

    /// Remembers who is named, in a message or at `noted` for the digest.
    fn meet(&mut self, finding: &Finding, noted: Option<i64>) {
        for address in finding.source.iter().chain(&finding.evidence.named) {
            self.whom.retain(|(other, _)| other != address);
            self.whom.push((*address, noted));
        }
        let over = self.whom.len().saturating_sub(REMEMBERED);
        self.whom.drain(..over);
    }

    /// Who was noted after `from` and up to `to`.
    pub(super) fn met_between(&self, from: i64, to: i64) -> impl Iterator<Item = &Address> {
        let noted = move |at: &Option<i64>| at.is_some_and(|at| from < at && at <= to);
        self.whom.iter().filter(move |(_, at)| noted(at)).map(|(address, _)| address)
    }

    fn note(&mut self, now: i64) {
        remember(&mut self.noted_at, &mut self.noted_before, now);
    }

    /// When it was last noted after `from` and up to `to`.
    pub(super) fn noted_between(&self, from: i64, to: i64) -> Option<i64> {
        latest_by(self.noted_at, &self.noted_before, to).filter(|at| from < *at)
    }

    /// The claim was published.
    #[must_use]
    pub fn marked(mut self, seq: u64) -> Self {
        self.published = self.published.max(seq);
        if self.seq == seq {
            self.claimed_at = None;
        }
        self
    }

    /// The budget held the claim back: it is noted, and may be claimed anew in the next hour.
    #[must_use]
    pub fn held_back(mut self, seq: u64, now: i64) -> Self {
        self = self.marked(seq);
        if self.seq == seq {
            self.held = true;
            self.note(now);
            remember(&mut self.news_at, &mut self.news_before, now);
            self.told = None;
            self.told_times = self.told_times.saturating_sub(1);
            self.next = (now.div_euclid(HOUR_SECONDS) + 1) * HOUR_SECONDS;
        }
        self
    }

    /// Whether it is a reason for a digest about `from` (not included) to `to`: what is noted there is
    /// news, or was held back, or goes on and is due again, like an update.
    pub(super) fn is_reason(&self, from: i64, to: i64) -> bool {
        let Some(noted_at) = self.noted_between(from, to) else { return false };
        let news_at = latest_by(self.news_at, &self.news_before, to).unwrap_or(noted_at);
        self.held
            || from < news_at
            || Policy::reminders(noted_at - news_at) > Policy::reminders(from - news_at)
    }

    /// Whether it has been quiet long enough to be over at `now`.
    pub(super) fn is_quiet(&self, now: i64) -> bool {
        self.open && now >= self.last.forward(Policy::goes_on(self.finding.rule)).end()
    }

    /// The claim could not be published: it is anybody's.
    #[must_use]
    pub(super) fn released(mut self) -> Self {
        self.claimed_at = self.claimed_at.map(|_| 0);
        self
    }

    /// Whether a claim was left unpublished by somebody who died.
    pub(super) fn is_stuck(&self, now: i64) -> bool {
        self.claimed_at.is_some_and(|at| now - at > Policy::REPAIR_AFTER)
    }

    /// Whether whoever finds this `window` must publish a claim that nobody has published yet: if it is stuck, or of
    /// the same window by somebody who has had the time to publish it.
    pub(super) fn is_left(&self, window: Window, now: i64) -> bool {
        let had_time = self.claimed_at.is_some_and(|at| now - at >= Policy::PUBLISHES_IN);
        self.is_stuck(now) || (had_time && self.told == Some(window))
    }
}
