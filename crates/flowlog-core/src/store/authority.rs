//! Which of several sources speaks for a subject, and when.
//!
//! Two sources that see the same traffic are never added together. On each day those with the
//! highest [authority](Source::authority) speak, and others before the first and after the last
//! window of that day that they have (but no log group, which may carry refused traffic only, and would pass
//! for all of it); each window is read from one of them, so a flow log
//! that replaces another takes over where that one ends. Of sources that are equal, the one with
//! more windows that have records (NODATA is none) in the period comes first, a window that has accepted and refused
//! ones for two, and no window that has none hides one that has.
//!
//! What one source has of a window and what another has are added if no record can be in both: one has accepted records
//! only and the other refused ones only, as a flow log of each kind has.
//!
//! A flow log that aggregates for ten minutes fills every other window with what belongs to two, so the one behind is its
//! own, too.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::reader::{Answer, Deliveries, Detail, answer_in_pieces};
use super::summary::WindowTotals;
use super::{AggregateReader, LedgerReader, Series, StoreError, View};
use crate::record::{Source, WINDOW_SECONDS, WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window};
use crate::rollup::ActionTotals;

/// Which sources saw a subject on which days (`YYYYMMDD`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenBy(BTreeMap<String, BTreeSet<Source>>);

impl SeenBy {
    /// A source saw it on a day.
    pub fn insert(&mut self, day: &str, source: Source) {
        self.0.entry(day.to_owned()).or_default().insert(source);
    }

    /// All sources, those with the most authority first.
    pub fn sources(&self) -> Vec<Source> {
        let mut all: Vec<Source> = self.0.values().flatten().cloned().collect();
        all.sort_by_cached_key(|source| (source.authority(), source.clone()));
        all.dedup();
        all
    }

    /// The sources that may speak, each with the stretches of days on which it does, as the first
    /// window of the first day and the last window of the last.
    fn speakers(&self) -> BTreeMap<Source, Vec<(Window, Window)>> {
        let mut speakers: BTreeMap<Source, Vec<(Window, Window)>> = BTreeMap::new();
        for (day, sources) in &self.0 {
            let Some(first) = Window::day_start(day).and_then(Window::of) else { continue };
            let last = first.forward(WINDOWS_PER_DAY - 1);
            let highest = sources.iter().map(Source::authority).min();
            for source in sources.iter().filter(|s| Some(s.authority()) == highest) {
                let stretches = speakers.entry(source.clone()).or_default();
                match stretches.last_mut() {
                    Some((_, end)) if end.forward(1) == first => *end = last,
                    _ => stretches.push((first, last)),
                }
            }
        }
        speakers
    }

    /// The days that sources of several authorities saw it on, log groups aside: the first window, and the sources by
    /// authority.
    fn shared(&self) -> impl Iterator<Item = (Window, BTreeMap<u8, Vec<&Source>>)> {
        self.0.iter().filter_map(|(day, sources)| {
            let first = Window::day_start(day).and_then(Window::of)?;
            let mut ranks: BTreeMap<u8, Vec<&Source>> = BTreeMap::new();
            for source in sources.iter().filter(|source| !source.is_log_group()) {
                ranks.entry(source.authority()).or_default().push(source);
            }
            (ranks.len() > 1).then_some((first, ranks))
        })
    }
}

/// Who of several sources that saw a subject comes first, the least of all: each window is read from the first that has
/// records in it, or else from the first that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence(u8, Reverse<(usize, usize)>);

/// Which records there are of a window: accepted ones, refused ones. Those whose format does not say may be both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Actions {
    /// Accepted.
    pub accepted: bool,
    /// Refused.
    pub refused: bool,
}

impl Actions {
    /// Those of records that were counted.
    pub fn of(totals: &ActionTotals) -> Self {
        let unknown = !totals.other.is_zero();
        Self {
            accepted: unknown || !totals.accept.is_zero(),
            refused: unknown || !totals.reject.is_zero(),
        }
    }

    /// How many kinds.
    pub fn count(self) -> usize {
        usize::from(self.accepted) + usize::from(self.refused)
    }

    /// Whether a record may be among those and among these.
    pub fn overlap(self, other: Self) -> bool {
        (self.accepted && other.accepted) || (self.refused && other.refused)
    }

    /// Those of either.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self { accepted: self.accepted || other.accepted, refused: self.refused || other.refused }
    }
}

/// Whether windows in order are those of a flow log that aggregates for ten minutes, as far as they tell: hardly two of
/// them follow one another.
pub fn fills_every_other(windows: impl Iterator<Item = Window>) -> bool {
    let (mut count, mut pairs, mut before) = (0, 0, None);
    for window in windows {
        count += 1;
        pairs += usize::from(before.is_some_and(|before: Window| before.forward(1) == window));
        before = Some(window);
    }
    count > 2 && 10 * pairs <= count
}

impl Precedence {
    /// Of a source with this [authority](Source::authority) that has so many windows of the subject, with so many
    /// [actions](Actions) in all of them.
    pub fn of(authority: u8, actions: usize, windows: usize) -> Self {
        Self(authority, Reverse((actions, windows)))
    }
}

/// What is known of a subject, each window from one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spoken {
    /// All of it. Its deliveries are those of the sources that speak.
    pub answer: Answer,
    /// The sources that it is from.
    pub sources: Vec<Source>,
    /// Sources that saw something of the same days, and are not in it; none if nothing is.
    pub not_added: Vec<Source>,
}

impl Spoken {
    /// What who reads `subject`'s answer should know of its sources.
    pub fn notes(&self, subject: &str) -> Vec<String> {
        let mut notes = Vec::new();
        if let [_, _, ..] = &self.sources[..] {
            let sources: Vec<String> = self.sources.iter().map(ToString::to_string).collect();
            notes.push(format!(
                "{subject} was seen by more than one flow log ({}): each window is read from one, or from one that has only what was accepted and one that has only what was refused",
                sources.join(", ")
            ));
        }
        let others = self.not_added.iter();
        notes.extend(others.map(|s| format!("{subject} is also seen by {s}, which is not added")));
        notes
    }
}

/// Days that are read at once, and folded before the next ones are: memory is for so many.
const DAYS_AT_ONCE: i64 = 8;

/// Reads a subject from `from` to `to`, folded as far as `detail` allows. `ledger` keeps what the ledger has
/// said, for the next subject: most deliveries are of many.
pub async fn read<R: AggregateReader + LedgerReader>(
    reader: &R,
    ledger: &mut Deliveries,
    (view, subject): (View, &str),
    seen: &SeenBy,
    (from, to): (Window, Window),
    detail: Detail,
) -> Result<Spoken, StoreError> {
    let mut answers: Vec<(Source, Answer)> = Vec::new();
    let mut silent: Vec<Source> = Vec::new();
    let mut speakers = seen.speakers();
    speakers.retain(|_, stretches| {
        stretches.retain(|(first, last)| *first <= to && *last >= from);
        !stretches.is_empty()
    });
    // Where two have a window, it takes every window by itself to add those that one of them lacks.
    let of_each = if speakers.len() > 1 { Detail::WINDOWS } else { detail };
    for (source, stretches) in speakers {
        let series = Series { source: source.clone(), view, subject: subject.to_owned() };
        let mut whole = Answer::default();
        for (first, last) in stretches {
            let (mut first, last) = (first.max(from), last.min(to));
            while first <= last {
                let day = first.midnight();
                let end = last.min(day.forward(DAYS_AT_ONCE * WINDOWS_PER_DAY - 1));
                let wanted = (from, of_each);
                let part = answer_in_pieces(reader, ledger, &series, (first, end), wanted).await?;
                whole.append(part);
                // There is none after the last window that can be written.
                if end == last {
                    break;
                }
                first = end.forward(1);
            }
        }
        if whole.windows.is_empty() {
            silent.push(source);
        } else {
            answers.push((source, whole));
        }
    }
    answers.sort_by_cached_key(|(source, answer)| {
        let actions = answer.windows.values().map(|window| Actions::of(&window.totals).count());
        Precedence::of(source.authority(), actions.sum(), answer.windows.len())
    });
    let mut spoken = Spoken::default();
    let mut behind = Behind::new();
    for (source, answer) in answers {
        if add(&mut spoken.answer, &mut behind, answer) {
            spoken.sources.push(source);
        }
    }
    spoken.answer = spoken.answer.folded(from, detail);
    let asked = Asked { view, subject, from, to, detail };
    for (first, ranks) in seen.shared() {
        asked.fill(reader, ledger, (first, ranks), &mut spoken).await?;
    }
    // Where nobody speaks, there is nothing that another could be added to.
    if !spoken.sources.is_empty() {
        spoken.not_added = seen.sources();
        spoken.not_added.retain(|s| !spoken.sources.contains(s) && !silent.contains(s));
    }
    Ok(spoken)
}

/// What is read.
struct Asked<'a> {
    view: View,
    subject: &'a str,
    from: Window,
    to: Window,
    detail: Detail,
}

impl Asked<'_> {
    /// Adds, of one day, what sources of less authority have before those with more begin and after they end.
    async fn fill<R: AggregateReader + LedgerReader>(
        &self,
        reader: &R,
        ledger: &mut Deliveries,
        (day, ranks): (Window, BTreeMap<u8, Vec<&Source>>),
        spoken: &mut Spoken,
    ) -> Result<(), StoreError> {
        let (from, to) = (day.max(self.from), day.forward(WINDOWS_PER_DAY - 1).min(self.to));
        if from > to {
            return Ok(());
        }
        let mut above: Vec<&Source> = Vec::new();
        for rank in ranks.into_values() {
            let rooms = if above.is_empty() {
                Vec::new()
            } else {
                self.rooms(reader, &above, (day, from, to), &spoken.answer).await?
            };
            let (mut of_rank, mut behind) = (Spoken::default(), Behind::new());
            for source in rank.iter().copied().filter(|_| !rooms.is_empty()) {
                let answer = self.within(reader, ledger, source, (from, to), &rooms).await?;
                if add(&mut of_rank.answer, &mut behind, answer) {
                    of_rank.sources.push(source.clone());
                }
            }
            if !of_rank.answer.windows.is_empty() {
                spoken.answer.append(of_rank.answer.folded(self.from, self.detail));
                for source in of_rank.sources {
                    if !spoken.sources.contains(&source) {
                        spoken.sources.push(source);
                    }
                }
            }
            above.extend(rank);
        }
        Ok(())
    }

    /// The times between `from` and `to`, a part of `day`, that are before the first or after the last window which
    /// those `above` have of the whole day.
    async fn rooms<R: AggregateReader>(
        &self,
        reader: &R,
        above: &[&Source],
        (day, from, to): (Window, Window, Window),
        answer: &Answer,
    ) -> Result<Vec<(Window, Window)>, StoreError> {
        let there: Vec<Window> =
            answer.windows.range(from..=to).map(|(window, _)| *window).collect();
        let known = there.first().copied().zip(there.last().copied());
        let end = day.forward(WINDOWS_PER_DAY - 1);
        let mut rooms = Vec::new();
        let mut earlier = None;
        if day < from && known.is_none_or(|(first, _)| from < first) {
            // Most go on all day: the hour before tells.
            let hour = from.back(WINDOWS_PER_HOUR).max(day);
            earlier = self.last_of(reader, above, (hour, from.back(1))).await?;
            if earlier.is_none() && day < hour {
                earlier = self.last_of(reader, above, (day, hour.back(1))).await?;
            }
        }
        if let Some((first, last)) = known {
            if from < first && earlier.is_none() {
                rooms.push((from, first.back(1)));
            }
            // A flow log that aggregates for ten minutes fills every other window, and the one after its last is its own.
            let span = (last.start() - first.start()) / WINDOW_SECONDS + 1;
            let every_one = i64::try_from(there.len()).is_ok_and(|n| 2 * n > span + 1);
            let after = last.forward(if every_one { 1 } else { 2 });
            let ends = last < after
                && after <= to
                && (to == end
                    || self.last_of(reader, above, (to.forward(1), end)).await?.is_none());
            if ends {
                rooms.push((after, to));
            }
        } else {
            let after = earlier.map_or(from, |earlier| from.max(earlier.forward(2)));
            let is_between = earlier.is_some()
                && to < end
                && self.last_of(reader, above, (to.forward(1), end)).await?.is_some();
            if after <= to && !is_between {
                rooms.push((after, to));
            }
        }
        Ok(rooms)
    }

    /// The last window that any of the sources has.
    async fn last_of<R: AggregateReader>(
        &self,
        reader: &R,
        sources: &[&Source],
        (from, to): (Window, Window),
    ) -> Result<Option<Window>, StoreError> {
        let mut last = None;
        for source in sources {
            let items = reader.condensed(&self.series(source), from, to).await?;
            let folded = items.summaries.iter().flat_map(|summary| &summary.windows);
            let windows = folded.map(|(window, _)| *window);
            let windows = windows.chain(items.partials.iter().map(|partial| partial.window));
            last = last.max(windows.filter(|window| from <= *window && *window <= to).max());
        }
        Ok(last)
    }

    /// What a source has within these times between `from` and `to`, window by window.
    async fn within<R: AggregateReader + LedgerReader>(
        &self,
        reader: &R,
        ledger: &mut Deliveries,
        source: &Source,
        (from, to): (Window, Window),
        rooms: &[(Window, Window)],
    ) -> Result<Answer, StoreError> {
        let is_in = |window: Window| rooms.iter().any(|(a, b)| *a <= window && window <= *b);
        let series = self.series(source);
        let mut whole = Answer::default();
        for (first, last) in rooms {
            // Hours are read whole, so that those that are folded are seen to have more in them.
            let last = last.hour().forward(WINDOWS_PER_HOUR - 1).min(to);
            let (first, wanted) = (first.hour().max(from), (self.from, Detail::WINDOWS));
            let mut part = answer_in_pieces(reader, ledger, &series, (first, last), wanted).await?;
            let elsewhere: BTreeSet<Window> =
                part.windows.keys().filter(|w| !is_in(**w)).map(|w| w.hour()).collect();
            part.hours.retain(|hour, _| !elsewhere.contains(hour));
            part.windows.retain(|window, _| is_in(*window));
            part.detailed.retain(|window, _| is_in(*window));
            if !part.windows.is_empty() {
                whole.append(part);
            }
        }
        Ok(whole)
    }

    fn series(&self, source: &Source) -> Series {
        Series { source: source.clone(), view: self.view, subject: self.subject.to_owned() }
    }
}

/// Windows behind those that a flow log of ten minutes fills, with the actions of what it has of them.
type Behind = BTreeMap<Window, Actions>;

/// Adds what `other` has that `answer` does not: windows that are new or had no records, and what of a window cannot be
/// there. Whether there is any.
fn add(answer: &mut Answer, behind: &mut Behind, other: Answer) -> bool {
    let mut own = Behind::new();
    if fills_every_other(other.windows.keys().copied()) {
        let actions = |(window, totals): (&Window, &WindowTotals)| {
            (window.forward(1), Actions::of(&totals.totals))
        };
        own.extend(other.windows.iter().map(actions));
    }
    if answer.windows.is_empty() {
        *answer = other;
        *behind = own;
        return true;
    }
    // What is there already, and what is not.
    let (mut there, mut fresh) = (BTreeSet::new(), BTreeMap::new());
    for (window, totals) in other.windows {
        let actions = Actions::of(&totals.totals);
        let known = answer.windows.get(&window).map(|known| Actions::of(&known.totals));
        let taken = behind.get(&window).is_some_and(|behind| behind.overlap(actions));
        let is_fresh = match known {
            None => !taken,
            Some(known) => !taken && actions.count() > 0 && !known.overlap(actions),
        };
        if is_fresh {
            if known.is_some_and(|known| known.count() == 0) {
                answer.windows.remove(&window);
                answer.detailed.remove(&window);
            }
            fresh.insert(window, totals);
        } else {
            there.insert(window.hour());
        }
    }
    if fresh.is_empty() {
        return false;
    }
    // The lists of an hour that is folded as a whole cannot be taken apart: where a window of it is
    // there already, its other windows are only counted.
    let hours: BTreeSet<Window> = fresh.keys().map(|window| window.hour()).collect();
    for (hour, rollup) in other.hours {
        if hours.contains(&hour) && !there.contains(&hour) {
            answer.hours.entry(hour).or_default().merge(&rollup);
        }
    }
    for (window, rollup) in other.detailed {
        if fresh.contains_key(&window) {
            match answer.hours.get_mut(&window.hour()) {
                Some(folded) => folded.merge(&rollup),
                None => match answer.detailed.entry(window) {
                    Entry::Vacant(entry) => _ = entry.insert(rollup),
                    Entry::Occupied(entry) => entry.into_mut().merge(&rollup),
                },
            }
        }
    }
    for (window, totals) in fresh {
        answer.windows.entry(window).or_default().add(&totals);
    }
    for (window, actions) in own {
        let known = behind.entry(window).or_default();
        *known = known.with(actions);
    }
    answer.deliveries.extend(other.deliveries);
    true
}
