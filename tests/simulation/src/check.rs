//! What must be true: at rest, and for somebody who reads while others work.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use flowlog_core::record::{BatchId, Window};
use flowlog_core::rollup::Rollup;
use flowlog_core::store::reader::{Answer, Deliveries, answer, window_totals};
use flowlog_core::store::summary::{Part, WindowTotals};
use flowlog_core::store::{LedgerEntry, LedgerState, PartialItem, Series};

use crate::executor::alone;
use crate::pool::{BEGIN, Clean, DAY, HORIZON, series};
use crate::process::{Code, Process};
use crate::schedule::Run;
use crate::world::{World, now};

/// An item's partition and sort key.
pub(crate) type Key = (String, String);

/// Sums of a series and window.
type Cells = BTreeMap<(Series, Window), WindowTotals>;

fn records(totals: &WindowTotals) -> u64 {
    let t = &totals.totals;
    t.accept.records + t.reject.records + t.other.records + totals.nodata + totals.skipdata
}

/// The windows that any item can be in.
pub(crate) fn windows() -> (Window, Window) {
    let at = |epoch| Window::of(epoch).unwrap_or_else(|| unreachable!("a time of this century"));
    (at(BEGIN - HORIZON - DAY), at(BEGIN + DAY))
}

/// Checks a schedule at rest. Of the deliveries in `open` a message is still to come, or none ever.
pub(crate) fn at_rest(run: &mut Run<'_>, open: &BTreeSet<usize>) -> Result<(), String> {
    if let Some(violation) = run.world.violations.borrow().first() {
        return Err(violation.clone());
    }
    let truth = Truth::of(run, open)?;
    run.done.extend(&truth.done);
    truth.items(run)?;
    let lasts = |batch: &BatchId, item: &PartialItem| {
        let key = (item.pk(), item.sk());
        let in_history = run.folded.contains(&key) && now() < BEGIN - HORIZON + 399 * DAY;
        run.done.contains(batch) && (item.ttl() > now() || in_history)
    };
    let least = truth.cells(lasts);
    let most = truth.cells(|batch, _| !truth.quarantined.contains(batch));
    let process = Process::start(&run.world, Code::NEW, run.settings.mutant);
    let (from, to) = windows();
    for series in series() {
        let read = run
            .world
            .aside(|| alone(answer(&process, &mut Deliveries::default(), &series, from, to)));
        let read = read.map_err(|error| error.to_string())?;
        compare(&series, &read, &least, &most)?;
        // What is claimed anew after a year may find its object gone, and says so.
        let known = truth.clean.keys().all(|batch| run.done.contains(batch));
        let settled = known && !truth.anew && open.is_empty() && run.disturbed.is_empty();
        if settled && !read.coverage().is_complete() {
            return Err(format!("{series:?} is complete and says {:?}", read.coverage()));
        }
    }
    Ok(())
}

/// What is there now, as a partial or in a summary.
pub(crate) fn visible(world: &World) -> BTreeSet<Key> {
    let tables = &world.tables;
    let mut keys: BTreeSet<Key> =
        tables.all_partials().iter().map(|item| (item.pk(), item.sk())).collect();
    for summary in tables.all_summaries() {
        keys.extend(summary.parts.iter().map(|part| key_of(&summary.series, part)));
    }
    keys
}

fn key_of(series: &Series, part: &Part) -> Key {
    let Part { window, batch, chunk } = *part;
    let (series, totals) = (series.clone(), flowlog_core::rollup::ActionTotals::default());
    let item = PartialItem { series, window, batch, chunk, mapping: 0, totals, blob: Vec::new() };
    (item.pk(), item.sk())
}

/// Checks what somebody read while others worked: what was done and there all the time is in it once,
/// and nothing that no delivery holds.
pub(crate) fn while_working(
    run: &Run<'_>,
    series: &Series,
    read: &Answer,
    done: &BTreeSet<BatchId>,
    before: &BTreeSet<Key>,
) -> Result<(), String> {
    let everybody = (0..run.pool.deliveries.len()).collect();
    let truth = Truth::of(run, &everybody)?;
    let vanished = run.world.vanished.borrow();
    let least = truth.cells(|batch, item| {
        let key = (item.pk(), item.sk());
        // Claimed anew after its time, it is what the new entry says.
        let once = run.world.claims.borrow().iter().filter(|c| c.batch == *batch).count() == 1;
        done.contains(batch) && once && before.contains(&key) && !vanished.contains(&key)
    });
    let most = truth.cells(|_, _| true);
    compare(series, read, &least, &most).map_err(|what| format!("read while others work: {what}"))
}

fn compare(series: &Series, read: &Answer, least: &Cells, most: &Cells) -> Result<(), String> {
    let here = |cells: &Cells| -> BTreeMap<Window, WindowTotals> {
        let mine = cells.iter().filter(|((s, _), _)| s == series);
        mine.map(|((_, window), totals)| (*window, *totals)).collect()
    };
    let (least, most) = (here(least), here(most));
    for window in most.keys().chain(read.windows.keys()) {
        let of =
            |cells: &BTreeMap<Window, WindowTotals>| cells.get(window).copied().unwrap_or_default();
        let (read, least, most) = (of(&read.windows), of(&least), of(&most));
        let exact = read == most || least != most;
        let between = records(&least) <= records(&read) && records(&read) <= records(&most);
        if !exact || !between {
            let Series { source, subject, .. } = series;
            return Err(format!(
                "{source} {subject} {window}: {read:?}, not {least:?} to {most:?}"
            ));
        }
    }
    Ok(())
}

/// What must be in the tables, and what may be.
struct Truth {
    /// By batch: the items of a clean pass.
    clean: BTreeMap<BatchId, Rc<Clean>>,
    done: BTreeSet<BatchId>,
    quarantined: BTreeSet<BatchId>,
    /// Some delivery that was done is claimed anew.
    anew: bool,
}

impl Truth {
    fn of(run: &Run<'_>, open: &BTreeSet<usize>) -> Result<Self, String> {
        let mut truth = Self {
            clean: BTreeMap::new(),
            done: BTreeSet::new(),
            quarantined: BTreeSet::new(),
            anew: false,
        };
        let ledger: BTreeMap<BatchId, LedgerEntry> =
            run.world.tables.ledger().into_iter().collect();
        for n in &run.chosen {
            truth.delivery(run, *n, open.contains(n), &ledger)?;
        }
        Ok(truth)
    }

    fn delivery(
        &mut self,
        run: &Run<'_>,
        n: usize,
        open: bool,
        ledger: &BTreeMap<BatchId, LedgerEntry>,
    ) -> Result<(), String> {
        let delivery = &run.pool.deliveries[n];
        let batch = delivery.batch;
        let claims: Vec<_> =
            run.world.claims.borrow().iter().filter(|c| c.batch == batch).cloned().collect();
        let Some((first, last)) = claims.first().zip(claims.last()) else {
            let why = format!("delivery {n} was acknowledged and never claimed");
            return if open { Ok(()) } else { Err(why) };
        };
        let clean = |claim: &flowlog_core::store::Claim| {
            let at = delivery.versions.iter().position(|v| v.stored.etag == claim.etag);
            let horizon = claim.horizon.unwrap_or_default();
            run.pool.clean(n, at.unwrap_or(0), claim.mapping, horizon, run.world.shape)
        };
        self.clean.insert(batch, clean(first));
        if run.world.overridden.borrow().contains(&batch) {
            return Err(format!("delivery {n} was done and is quarantined"));
        }
        let Some(entry) = ledger.get(&batch) else {
            let gone = claims.iter().all(|claim| claim.ttl > now());
            let why = format!("the ledger entry of delivery {n} is gone");
            return if gone { Err(why) } else { Ok(()) };
        };
        let completed = run.world.completed.borrow().contains(&batch);
        let quarantined = run.world.quarantined.borrow().contains(&batch);
        match entry.state {
            LedgerState::Done => {
                let (found, clean) = (entry.completion.as_ref().map(|c| &c.counts), clean(last));
                if found != Some(&clean.counts) {
                    return Err(format!("delivery {n}: {found:?}, not {:?}", clean.counts));
                }
                // Claimed anew after its time it is late, and writes nothing.
                if claims.len() == 1 {
                    self.done.insert(batch);
                }
            }
            LedgerState::Quarantined => {
                if !delivery.damaged && !run.disturbed.contains(&n) {
                    return Err(format!("delivery {n} is quarantined: {:?}", entry.reason));
                }
                if !completed {
                    self.quarantined.insert(batch);
                }
            }
            LedgerState::Claimed if open => {}
            // A claim that was on its way when its old entry, which said how the delivery had ended,
            // expired: nobody works on it, and nothing is written.
            LedgerState::Claimed if claims.len() > 1 && (completed || quarantined) => {
                self.anew = true;
            }
            LedgerState::Claimed => {
                return Err(format!("delivery {n} was acknowledged and is not done"));
            }
        }
        Ok(())
    }

    /// Every partial is one of a clean pass, byte for byte, and none is missing.
    fn items(&self, run: &Run<'_>) -> Result<(), String> {
        let there = run.world.tables.all_partials();
        for item in &there {
            let key = (item.pk(), item.sk());
            let clean = self.clean.get(&item.batch).and_then(|clean| clean.items.get(&key));
            if clean != Some(item) {
                return Err(format!("{} {} is no item of a clean pass", key.0, key.1));
            }
        }
        let keys: BTreeSet<Key> = there.iter().map(|item| (item.pk(), item.sk())).collect();
        for batch in &self.done {
            for (key, item) in &self.clean[batch].items {
                if item.ttl() > now() && !keys.contains(key) {
                    return Err(format!("{} {} is missing", key.0, key.1));
                }
            }
        }
        Ok(())
    }

    /// The sums of those items of clean passes that `counts` chooses.
    fn cells(&self, counts: impl Fn(&BatchId, &PartialItem) -> bool) -> Cells {
        let mut cells = Cells::new();
        for (batch, clean) in &self.clean {
            for item in clean.items.values().filter(|item| counts(batch, item)) {
                if let Ok(rollup) = Rollup::decode(&item.blob) {
                    let key = (item.series.clone(), item.window);
                    cells.entry(key).or_default().add(&window_totals(&rollup));
                }
            }
        }
        cells
    }
}

/// The items that compaction must have kept for history by now.
pub(crate) fn settled(run: &Run<'_>) -> Result<BTreeSet<Key>, String> {
    let everybody = (0..run.pool.deliveries.len()).collect();
    let truth = Truth::of(run, &everybody)?;
    let mut keys = BTreeSet::new();
    for batch in &run.done {
        for (key, item) in truth.clean.get(batch).iter().flat_map(|clean| &clean.items) {
            if item.ttl() > now() {
                keys.insert(key.clone());
            }
        }
    }
    Ok(keys)
}
