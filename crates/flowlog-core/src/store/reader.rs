//! Folding what is stored back into roll-ups.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::summary::{Part, WindowTotals};
use super::{
    AggregateReader, LedgerEntry, LedgerReader, LedgerState, PartialItem, Series, SeriesItems,
    StoreError, SummaryItem,
};
use crate::decode::Counts;
use crate::detect::History;
use crate::record::{BatchId, Window};
use crate::rollup::{Fold, Rollup};

/// The windows of one interface from `from` to `to`, each folded from all of its partials in the
/// order of their batch ids, and the batches that they came from. For the present: windows whose
/// partials have expired are not in it.
pub async fn history<R: AggregateReader>(
    reader: &R,
    series: &Series,
    from: Window,
    to: Window,
) -> Result<(History, Vec<BatchId>), StoreError> {
    let partials = reader.partials(series, from, to).await?;
    let mut history = History { interface_id: series.subject.clone(), ..History::default() };
    let mut batches = Vec::with_capacity(partials.len());
    for partial in &partials {
        history.add(partial.window, &decode(partial)?);
        batches.push(partial.batch);
    }
    batches.sort_unstable();
    batches.dedup();
    Ok((history, batches))
}

/// What is known of a series over some time, each record counted once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Exact totals of every window that has any.
    pub windows: BTreeMap<Window, WindowTotals>,
    /// Windows in every detail: all of their partials are there.
    pub detailed: BTreeMap<Window, Rollup>,
    /// Hours, by their first window, whose partials have begun to expire, or are not wanted one by one: folded
    /// as a whole, other windows of the hour included. Longer times, if that is what was [asked for](Detail).
    /// No window is in both.
    pub hours: BTreeMap<Window, Rollup>,
    /// The deliveries that the answer rests on.
    pub deliveries: Deliveries,
}

/// What the ledger says of deliveries; `None` where the entry has expired. Most are of many subjects, and shared.
pub type Deliveries = BTreeMap<BatchId, Option<Arc<LedgerEntry>>>;

/// Into how few roll-ups what is read of a subject may be folded. Totals of windows are there in any case,
/// and what is in the lists is the same, but for when within a piece it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detail {
    /// The pieces.
    pub pieces: Pieces,
    /// What was before this window, and what was not, is never in one piece.
    pub apart: Option<Window>,
}

/// What one roll-up is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pieces {
    /// A window, where its partials are there.
    Windows,
    /// An hour.
    Hours,
    /// A day (UTC).
    Days,
    /// All of it.
    One,
    /// Nothing: no lists are read.
    Totals,
}

impl Detail {
    /// Every window by itself.
    pub const WINDOWS: Self = Self::of(Pieces::Windows);

    /// These pieces.
    pub const fn of(pieces: Pieces) -> Self {
        Self { pieces, apart: None }
    }

    /// The first window of the piece that this one is in, if its answer begins at `from`.
    fn piece(self, window: Window, from: Window) -> Window {
        let first = match self.pieces {
            Pieces::Windows | Pieces::Totals => window,
            Pieces::Hours => window.hour(),
            Pieces::Days => window.midnight(),
            Pieces::One => from,
        };
        self.apart.filter(|apart| *apart <= window).map_or(first, |apart| first.max(apart))
    }
}

/// How complete an answer is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Deliveries that are done, with the sum of what became of their lines.
    pub done: u64,
    /// What became of these deliveries' lines.
    pub counts: Counts,
    /// Deliveries that somebody is at work on, or died over: there may be more of them.
    pub in_progress: u64,
    /// Deliveries that turned out unusable: left out. An [answer] finds those of which something was
    /// written before; of the others only the [list of them](super::Quarantine) knows.
    pub quarantined: u64,
    /// Deliveries whose ledger entry has expired. They are in summaries, so they were done.
    pub expired: u64,
}

impl Coverage {
    /// The coverage that these deliveries make.
    pub fn of(deliveries: &Deliveries) -> Self {
        let mut coverage = Self::default();
        for entry in deliveries.values() {
            match entry {
                None => coverage.expired += 1,
                Some(entry) => match (entry.state, &entry.completion) {
                    (LedgerState::Claimed, _) => coverage.in_progress += 1,
                    (LedgerState::Quarantined, _) => coverage.quarantined += 1,
                    (LedgerState::Done, completion) => {
                        coverage.done += 1;
                        if let Some(completion) = completion {
                            coverage.counts.add(&completion.counts);
                        }
                    }
                },
            }
        }
        coverage
    }

    /// Whether every delivery that is known to the answer is in it whole. What was never delivered,
    /// the reconciler finds; what AWS lost is counted as SKIPDATA.
    pub fn is_complete(&self) -> bool {
        self.in_progress == 0 && self.quarantined == 0
    }
}

impl Answer {
    /// All of it as one roll-up: totals of the asked windows exactly; where hours are folded as a
    /// whole, lists may name what was in the hour's other windows.
    pub fn fold(&self) -> Rollup {
        let mut folded = Fold::default();
        for (_, rollup) in self.rollups() {
            folded.add(rollup);
        }
        folded.finish()
    }

    /// What [`fold`](Self::fold) folds, one by one, under the first window of each: for who needs a part of it.
    pub fn rollups(&self) -> impl Iterator<Item = (&Window, &Rollup)> {
        self.hours.iter().chain(&self.detailed)
    }

    /// The same in fewer roll-ups, the pieces of an answer that begins at `from`.
    #[must_use]
    pub fn folded(mut self, from: Window, detail: Detail) -> Self {
        if detail.pieces == Pieces::Windows {
            return self;
        }
        let rollups = std::mem::take(&mut self.hours).into_iter();
        for (window, rollup) in rollups.chain(std::mem::take(&mut self.detailed)) {
            if detail.pieces != Pieces::Totals {
                put(&mut self.hours, detail.piece(window, from), rollup);
            }
        }
        self
    }

    /// Adds what is known of other windows of the same series.
    pub fn append(&mut self, mut other: Self) {
        self.windows.append(&mut other.windows);
        self.detailed.append(&mut other.detailed);
        for (window, rollup) in other.hours {
            put(&mut self.hours, window, rollup);
        }
        self.deliveries.append(&mut other.deliveries);
    }

    /// How complete it is.
    pub fn coverage(&self) -> Coverage {
        Coverage::of(&self.deliveries)
    }

    /// Exact totals over all windows.
    pub fn totals(&self) -> WindowTotals {
        let mut sum = WindowTotals::default();
        for totals in self.windows.values() {
            sum.add(totals);
        }
        sum
    }
}

/// Reads a series from `from` to `to`, exactly: every partial is counted once, by itself or by the
/// summary that holds it; partials of quarantined deliveries are left out. The ledger is asked for
/// the deliveries that are not in `ledger` yet, which then are.
pub async fn answer<R: AggregateReader + LedgerReader>(
    reader: &R,
    ledger: &mut Deliveries,
    series: &Series,
    from: Window,
    to: Window,
) -> Result<Answer, StoreError> {
    let items = reader.items(series, from, to).await?;
    fold(reader, ledger, items, (from, to), true).await
}

/// The same, folded as far as `detail` allows, and of a store that has [condensed](AggregateReader::condensed)
/// it, mostly from summaries. Pieces of the whole answer begin at `first`, of which this may be a later part.
pub async fn answer_in_pieces<R: AggregateReader + LedgerReader>(
    reader: &R,
    ledger: &mut Deliveries,
    series: &Series,
    (from, to): (Window, Window),
    (first, detail): (Window, Detail),
) -> Result<Answer, StoreError> {
    if detail.pieces == Pieces::Windows {
        return answer(reader, ledger, series, from, to).await;
    }
    let lists = detail.pieces != Pieces::Totals;
    let mut whole = Answer::default();
    let cut = detail.apart.filter(|apart| from < *apart && *apart <= to);
    let halves = [Some((from, cut.map_or(to, |cut| cut.back(1)))), cut.map(|cut| (cut, to))];
    for (from, to) in halves.into_iter().flatten() {
        let items = reader.condensed(series, from, to).await?;
        let part = fold(reader, ledger, items, (from, to), lists).await?;
        whole.append(part.folded(first, detail));
    }
    Ok(whole)
}

/// What these items, which are all that is wanted of a series from `from` to `to`, say; without `lists` the
/// totals alone.
async fn fold<R: LedgerReader>(
    reader: &R,
    ledger: &mut Deliveries,
    SeriesItems { partials, summaries }: SeriesItems,
    (from, to): (Window, Window),
    lists: bool,
) -> Result<Answer, StoreError> {
    let asked = |window: &Window| from <= *window && *window <= to;
    let mut batches: Vec<BatchId> = partials.iter().map(|p| p.batch).collect();
    for summary in &summaries {
        let parts = summary.parts.iter().filter(|part| asked(&part.window));
        batches.extend(parts.map(|part| part.batch));
    }
    batches.sort_unstable();
    batches.dedup();
    let mut unknown = batches.clone();
    let mut known = ledger.keys().peekable();
    unknown.retain(|batch| {
        while known.next_if(|known| *known < batch).is_some() {}
        known.peek() != Some(&batch)
    });
    if !unknown.is_empty() {
        let entries = reader.entries(&unknown).await?.into_iter().map(|entry| entry.map(Arc::new));
        ledger.extend(unknown.into_iter().zip(entries));
    }
    let mut known = ledger.iter().peekable();
    let deliveries: Deliveries = batches
        .into_iter()
        .map(|batch| {
            while known.next_if(|(known, _)| **known < batch).is_some() {}
            let entry = known.peek().filter(|(known, _)| **known == batch);
            (batch, entry.and_then(|(_, entry)| Option::clone(entry)))
        })
        .collect();
    let is_quarantined = |batch: &BatchId| {
        let entry = deliveries.get(batch).and_then(Option::as_ref);
        entry.is_some_and(|entry| entry.state == LedgerState::Quarantined)
    };
    let partials: Vec<&PartialItem> =
        partials.iter().filter(|p| !is_quarantined(&p.batch)).collect();
    let mut answer = Answer::default();
    let there: BTreeSet<Part> = partials.iter().map(|p| Part::of(p)).collect();
    let by_hour: BTreeMap<Window, &SummaryItem> =
        summaries.iter().map(|summary| (summary.hour, summary)).collect();
    // An hour that lacks one of the partials in its summary rests on the summary.
    let rests = |hour: &Window| {
        let parts = by_hour.get(hour).map_or(&[][..], |summary| &summary.parts);
        parts.iter().any(|part| asked(&part.window) && !there.contains(part))
    };
    for (hour, summary) in by_hour.iter().filter(|(hour, _)| rests(hour)) {
        for (window, totals) in summary.windows.iter().filter(|(window, _)| asked(window)) {
            answer.windows.entry(*window).or_default().add(totals);
        }
        let rollup = if lists { decode_summary(summary)? } else { Rollup::default() };
        answer.hours.insert(*hour, rollup);
    }
    for partial in partials {
        let hour = partial.window.hour();
        let folded = answer.hours.get_mut(&hour);
        if folded.is_some() && by_hour[&hour].contains(&Part::of(partial)) {
            continue;
        }
        let rollup = decode(partial)?;
        answer.windows.entry(partial.window).or_default().add(&window_totals(&rollup));
        match folded {
            Some(folded) => folded.merge(&rollup),
            None => put(&mut answer.detailed, partial.window, rollup),
        }
    }
    answer.deliveries = deliveries;
    Ok(answer)
}

/// Merges a roll-up into the one under its key; most are alone, and are moved.
fn put(rollups: &mut BTreeMap<Window, Rollup>, key: Window, rollup: Rollup) {
    match rollups.entry(key) {
        Entry::Vacant(place) => _ = place.insert(rollup),
        Entry::Occupied(known) => known.into_mut().merge(&rollup),
    }
}

/// What a roll-up adds to its window's totals.
pub fn window_totals(rollup: &Rollup) -> WindowTotals {
    WindowTotals { totals: rollup.totals(), nodata: rollup.nodata, skipdata: rollup.skipdata }
}

/// The roll-up in a partial.
pub fn decode(partial: &PartialItem) -> Result<Rollup, StoreError> {
    Rollup::decode(&partial.blob).map_err(|error| StoreError::Corrupt {
        key: format!("{} / {}", partial.pk(), partial.sk()),
        reason: error.to_string(),
    })
}

/// The roll-up in a summary.
pub fn decode_summary(summary: &SummaryItem) -> Result<Rollup, StoreError> {
    Rollup::decode(&summary.blob).map_err(|error| StoreError::Corrupt {
        key: format!("{} / {}", summary.pk(), summary.sk()),
        reason: error.to_string(),
    })
}
