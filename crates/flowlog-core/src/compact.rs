//! Compaction: an hour of partials becomes one summary, which outlives them by a year.
//!
//! ```text
//!  partials of an hour ─┬─ in the summary's set already ──► nothing to do
//!                       ├─ delivery not done ─────────────► left for a later run
//!                       └─ else ──► summary of version n+1 = version n ⊕ these,
//!                                   put if version n is still there; else somebody else was first
//! ```
//!
//! Partials are never deleted here: they expire by themselves, 35 days after their window. Until then
//! a reader counts each once, whether it is in the set or not. So compaction may run at any time, by
//! any number, and may die anywhere. What arrives up to the horizon (30 days), and is written up to four
//! days later (`ingest::MARGIN`), is folded by [`settle_days`] before it expires.

use crate::record::{BatchId, DAY_SECONDS, HOUR_SECONDS, WINDOWS_PER_HOUR, Window};
use crate::rollup::{Fold, Rollup};
use crate::store::reader::{decode, decode_summary, window_totals};
use crate::store::summary::{MAX_PARTS, Part, WindowTotals};
use crate::store::{
    AggregateReader, LedgerReader, LedgerState, PartialItem, Series, SeriesItems, StoreError,
    SummaryItem, SummaryWriter,
};
use std::collections::{BTreeMap, BTreeSet};

/// An hour is compacted once it has been over for so long (seconds): AWS delivers within about ten
/// minutes, mostly.
pub const CLOSED_FOR: i64 = 30 * 60;
/// How many hours back a regular run looks, so that a missed run is caught up.
pub const HOURS_BACK: i64 = 3;
/// The days before the present, by age, whose late arrivals are folded in: past the horizon (30
/// days) nothing arrives any more, what waited since then is written until its partials have a day left of
/// their 35, and the last look is on that day.
pub const SETTLE_DAYS: std::ops::RangeInclusive<i64> = 32..=34;

/// How many entries of each list an hour keeps while it is folded.
const CONDENSED: usize = 256;

/// What compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Summaries written.
    pub summaries: u64,
    /// Partials folded into them.
    pub partials: u64,
    /// Partials of deliveries that are not done: left for a later run.
    pub waiting: u64,
    /// Partials that found no room in their summary ([`MAX_PARTS`]): history will lack them.
    pub left_out: u64,
    /// Hours in which another run was faster.
    pub raced: u64,
}

impl Compacted {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.summaries += other.summaries;
        self.partials += other.partials;
        self.waiting += other.waiting;
        self.left_out += other.left_out;
        self.raced += other.raced;
    }
}

/// The hours that a regular run looks at, oldest first.
pub fn closed_hours(now: i64) -> Vec<Window> {
    let Some(last) = Window::of(now - CLOSED_FOR - HOUR_SECONDS) else { return Vec::new() };
    (0..HOURS_BACK).rev().map(|n| last.hour().back(n * WINDOWS_PER_HOUR)).collect()
}

/// The hours of the days whose late arrivals are folded in at `now`, oldest first.
pub fn settle_days(now: i64) -> Vec<Window> {
    let days = SETTLE_DAYS.rev().filter_map(|age| Window::of(now - age * DAY_SECONDS));
    days.flat_map(Window::hours_of_day).collect()
}

/// Compacts one hour of one series.
pub async fn compact_hour<S: AggregateReader + LedgerReader + SummaryWriter>(
    store: &S,
    series: &Series,
    hour: Window,
) -> Result<Compacted, StoreError> {
    let hour = hour.hour();
    let SeriesItems { partials, summaries } =
        store.items(series, hour, hour.forward(WINDOWS_PER_HOUR - 1)).await?;
    let old = summaries.into_iter().next();
    let is_new =
        |p: &&PartialItem| !old.as_ref().is_some_and(|summary| summary.contains(&Part::of(p)));
    let new: Vec<&PartialItem> = partials.iter().filter(is_new).collect();
    let mut compacted = Compacted::default();
    if new.is_empty() {
        return Ok(compacted);
    }
    let done = done(store, &new).await?;
    let (mut new, waiting): (Vec<&PartialItem>, Vec<&PartialItem>) =
        new.into_iter().partition(|p| done.contains(&p.batch));
    compacted.waiting = waiting.len() as u64;
    let room = MAX_PARTS - old.as_ref().map_or(0, |summary| summary.parts.len()).min(MAX_PARTS);
    compacted.left_out = new.len().saturating_sub(room) as u64;
    new.truncate(room);
    if new.is_empty() {
        return Ok(compacted);
    }
    let summary = folded(series, hour, old, &new)?;
    if store.put_summary(&summary).await? {
        compacted.summaries = 1;
        compacted.partials = new.len() as u64;
    } else {
        compacted.raced = 1;
    }
    Ok(compacted)
}

/// The next version of a summary.
fn folded(
    series: &Series,
    hour: Window,
    old: Option<SummaryItem>,
    new: &[&PartialItem],
) -> Result<SummaryItem, StoreError> {
    let before = old.as_ref().map_or(Ok(Rollup::default()), decode_summary)?;
    let mut fold = Fold::from(before);
    let (version, mut parts, windows, mut whole) =
        old.map_or((0, Vec::new(), Vec::new(), true), |s| (s.version, s.parts, s.windows, s.whole));
    let mut windows: BTreeMap<Window, WindowTotals> = windows.into_iter().collect();
    for partial in new {
        let part = decode(partial)?;
        windows.entry(partial.window).or_default().add(&window_totals(&part));
        fold.add(&part);
        whole &= !fold.condense(CONDENSED);
        parts.push(Part::of(partial));
    }
    parts.sort_unstable();
    let rollup = fold.finish();
    // An hour has room for more than the heaviest of a window.
    let blob = rollup.encode_whole();
    whole &= blob.is_some();
    let blob = blob.unwrap_or_else(|| rollup.encode());
    Ok(SummaryItem {
        series: series.clone(),
        hour,
        version: version + 1,
        parts,
        windows: windows.into_iter().collect(),
        blob,
        whole,
    })
}

/// Which deliveries of these partials are done. One that is quarantined later may have written
/// something before; only what is done is folded.
async fn done<S: LedgerReader>(
    store: &S,
    partials: &[&PartialItem],
) -> Result<BTreeSet<BatchId>, StoreError> {
    let batches: BTreeSet<BatchId> = partials.iter().map(|p| p.batch).collect();
    let batches: Vec<BatchId> = batches.into_iter().collect();
    let entries = store.entries(&batches).await?;
    let done = batches.iter().zip(entries).filter_map(|(batch, entry)| {
        entry.is_some_and(|e| e.state == LedgerState::Done).then_some(*batch)
    });
    Ok(done.collect())
}
