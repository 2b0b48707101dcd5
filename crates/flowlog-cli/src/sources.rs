//! Which flow log a file is of, and which one counts where two saw the same.
//!
//! As in a store, a delivery counts once however many copies of it there are, and of several flow logs that saw
//! the same interface in the same window one is counted, by the same [`Precedence`], and what cannot be among its
//! records: what was refused beside what was accepted. What a file is of, its
//! name tells, as AWS gives it; all files without such a name are taken for one flow log. Which one is counted is
//! known once all files were read, so where two saw the same they are read a second time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flowlog_core::decode::{QuickRow, RecordSink, RejectedLine, Verdict};
use flowlog_core::format::Format;
use flowlog_core::record::{
    Action, BatchId, DAY_SECONDS, LogStatus, Record, Source, WINDOW_SECONDS, WINDOWS_PER_DAY,
    Window,
};
use flowlog_core::store::authority::{Actions, Precedence, fills_every_other};

use crate::folder::object_at;
use crate::input::Input;
use crate::report::printable;

/// Days of interfaces that are remembered of all flow logs, and of a file, of about 170 bytes each; those beyond are added up
/// as they come, which is said.
const DAYS: usize = 32_768;
/// Interfaces that a note names.
const NAMED: usize = 4;

/// What makes two files the same delivery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    Delivery(BatchId),
    /// A file that has no name of AWS's.
    File(PathBuf),
}

/// The files of a run, by what they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// Of each file, in order: what it is, and which of `logs` it is of.
    files: Vec<(Option<Identity>, usize)>,
    /// By authority; `None` are the files that do not name theirs.
    logs: Vec<Option<Source>>,
    /// What each of `logs` saw.
    seen: Vec<Seen>,
    /// How many more days fit in all of `seen`.
    room: usize,
    /// The first file of each delivery that was read.
    read: BTreeMap<Identity, usize>,
    copies: u64,
    /// What more than one of `logs` saw could not be told apart.
    counted_twice: bool,
    /// Interfaces of which more than one of `logs` saw the same, with those, who speaks first first, and whether each
    /// aggregates for ten minutes.
    contested: BTreeMap<String, Vec<(usize, bool)>>,
}

/// Of a day: windows that have any record, accepted ones, refused ones; those whose format does not say which are both.
type Windows = [[u64; 5]; 3];

/// In which windows an interface was seen, by day (days since 1970).
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    interfaces: BTreeMap<String, BTreeMap<i64, Windows>>,
    days: usize,
    /// There were more.
    full: bool,
}

/// The day of a window, and where its bit is.
fn place(window: Window) -> (i64, usize, u64) {
    let nth = window.start().div_euclid(WINDOW_SECONDS);
    let of_day = usize::try_from(nth.rem_euclid(WINDOWS_PER_DAY)).unwrap_or_default();
    (nth.div_euclid(WINDOWS_PER_DAY), of_day / 64, 1 << (of_day % 64))
}

impl Seen {
    /// An interface was seen in a window, with records of these actions.
    pub(crate) fn insert(&mut self, interface_id: &str, window: Window, actions: Actions) {
        let (day, word, bit) = place(window);
        let met = [true, actions.accepted, actions.refused];
        let add = |windows: &mut Windows| {
            for (words, met) in windows.iter_mut().zip(met) {
                words[word] |= if met { bit } else { 0 };
            }
        };
        if let Some(windows) =
            self.interfaces.get_mut(interface_id).and_then(|days| days.get_mut(&day))
        {
            add(windows);
        } else if self.days < DAYS {
            self.days += 1;
            let days = self.interfaces.entry(interface_id.to_owned()).or_default();
            add(days.entry(day).or_default());
        } else {
            self.full = true;
        }
    }

    /// Adds what another saw, as far as there is `room` for more days.
    fn merge(&mut self, other: &Self, room: &mut usize) {
        self.full |= other.full;
        for (interface_id, days) in &other.interfaces {
            for (day, theirs) in days {
                let known = self.interfaces.get(interface_id);
                if known.is_none_or(|days| !days.contains_key(day)) {
                    if *room == 0 {
                        self.full = true;
                        continue;
                    }
                    *room -= 1;
                }
                let mine = self.interfaces.entry(interface_id.clone()).or_default();
                let mine = mine.entry(*day).or_default();
                for (mine, theirs) in mine.iter_mut().flatten().zip(theirs.iter().flatten()) {
                    *mine |= theirs;
                }
            }
        }
    }

    /// Whether an interface was seen on the day of a window, whether in the window, and what its records were.
    fn of(&self, interface_id: &str, window: Window) -> (bool, bool, Actions) {
        let (day, word, bit) = place(window);
        let windows = self.interfaces.get(interface_id).and_then(|days| days.get(&day));
        let [any, accepted, refused] =
            windows.map_or([false; 3], |of| of.map(|words| words[word] & bit != 0));
        (windows.is_some(), any, Actions { accepted, refused })
    }

    /// How many actions the records of an interface have, window by window, and how many windows it has.
    fn lengths(&self, interface_id: &str) -> (usize, usize) {
        let days = self.interfaces.get(interface_id).into_iter().flat_map(BTreeMap::values);
        let ones =
            |words: &[u64; 5]| words.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        days.fold((0, 0), |(actions, any), of| {
            (actions + ones(&of[1]) + ones(&of[2]), any + ones(&of[0]))
        })
    }

    /// The windows of an interface, in order.
    fn windows(&self, interface_id: &str) -> impl Iterator<Item = Window> {
        let days = self.interfaces.get(interface_id).into_iter().flatten();
        days.flat_map(|(day, of)| {
            let first = Window::of(day * DAY_SECONDS);
            let bits = (0..).zip(of[0]).flat_map(|(word, bits)| {
                (0..64).filter(move |n| bits >> n & 1 != 0).map(move |n| 64 * word + n)
            });
            bits.filter_map(move |n| Some(first?.forward(n)))
        })
    }

    /// Whether another saw something of an interface that may be the same: records of one action in one window.
    fn overlaps(&self, other: &Self, interface_id: &str) -> bool {
        let mine = self.interfaces.get(interface_id).into_iter().flatten();
        let theirs = other.interfaces.get(interface_id);
        mine.filter_map(|(day, mine)| Some((mine, theirs?.get(day)?))).any(|(mine, theirs)| {
            let words = mine.iter().zip(theirs).skip(1);
            words.flat_map(|(a, b)| a.iter().zip(b)).any(|(a, b)| a & b != 0)
        })
    }
}

impl Sources {
    /// By the names of the files.
    pub(crate) fn of(inputs: &[Input]) -> Self {
        let named = |input: &Input| match input {
            Input::File(path) => identity(path),
            Input::Stdin | Input::Unreadable(..) => (None, None),
        };
        let named: Vec<_> = inputs.iter().map(named).collect();
        let mut logs: Vec<Option<Source>> = named.iter().map(|(_, log)| log.clone()).collect();
        // Who names no flow log speaks after those who do.
        logs.sort_by_cached_key(|log| (log.is_none(), log.clone()));
        logs.dedup();
        let at = |log: &Option<Source>| logs.iter().position(|known| known == log);
        let files = named.iter().map(|(what, log)| (what.clone(), at(log).unwrap_or_default()));
        let files = files.collect();
        let seen = vec![Seen::default(); logs.len()];
        Self { files, logs, seen, room: DAYS, ..Self::default() }
    }

    /// Whether all files are of one flow log, so that nothing can be seen by two.
    pub(crate) fn is_one(&self) -> bool {
        self.logs.len() < 2
    }

    /// The file that was read and is the same delivery as this one.
    pub(crate) fn copied(&mut self, nth: usize) -> Option<usize> {
        let first = self.read.get(self.files.get(nth)?.0.as_ref()?).copied();
        self.copies += u64::from(first.is_some());
        first
    }

    /// A file was read to its end, and this is what it saw.
    pub(crate) fn took(&mut self, nth: usize, seen: &Seen) {
        let Some((identity, log)) = self.files.get(nth) else { return };
        if let Some(identity) = identity {
            self.read.entry(identity.clone()).or_insert(nth);
        }
        if let Some(all) = self.seen.get_mut(*log) {
            all.merge(seen, &mut self.room);
        }
    }

    /// After all files: whether two flow logs saw the same, so that the files must be read once more, now that it is known
    /// what counts. Standard input cannot be.
    pub(crate) fn settle(&mut self, inputs: &[Input]) -> bool {
        let mut met: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (log, seen) in self.seen.iter().enumerate() {
            for interface_id in seen.interfaces.keys() {
                met.entry(interface_id).or_default().push(log);
            }
        }
        let overlap = |interface_id: &str, logs: &[usize]| {
            let pairs = logs
                .iter()
                .enumerate()
                .flat_map(|(n, a)| logs[n + 1..].iter().map(move |b| (a, b)));
            pairs.into_iter().any(|(a, b)| self.seen[*a].overlaps(&self.seen[*b], interface_id))
        };
        let mut contested: BTreeMap<String, Vec<(usize, bool)>> = BTreeMap::new();
        for (interface_id, mut logs) in met {
            if overlap(interface_id, &logs) {
                // Of equals, who comes first in `logs`.
                logs.sort_by_key(|log| {
                    let (actions, windows) = self.seen[*log].lengths(interface_id);
                    Precedence::of(self.authority(*log), actions, windows)
                });
                let slow = |log: usize| fills_every_other(self.seen[log].windows(interface_id));
                let logs = logs.into_iter().map(|log| (log, slow(log))).collect();
                contested.insert(interface_id.to_owned(), logs);
            }
        }
        if contested.is_empty() {
            return false;
        }
        if inputs.iter().any(|input| matches!(input, Input::Stdin)) {
            self.counted_twice = true;
            return false;
        }
        // Each delivery is read anew.
        self.contested = contested;
        self.read.clear();
        self.copies = 0;
        true
    }

    /// Of one of `logs`: files that name no flow log come after those that do.
    fn authority(&self, log: usize) -> u8 {
        self.logs.get(log).and_then(Option::as_ref).map_or(u8::MAX, Source::authority)
    }

    /// Whether what a file says of an interface and window counts: it does, unless another flow log speaks for it.
    pub(crate) fn counts(&self, nth: usize, interface_id: &str, window: Window) -> bool {
        let Some((logs, (_, log))) = self.contested.get(interface_id).zip(self.files.get(nth))
        else {
            return true;
        };
        let seen = |log: usize, window| self.seen[log].of(interface_id, window);
        // On each day those with the highest authority speak.
        let spoke = logs.iter().filter(|(log, _)| seen(*log, window).0);
        let highest = spoke.map(|(log, _)| self.authority(*log)).min();
        let speak = logs.iter().filter(|(log, _)| Some(self.authority(*log)) == highest);
        let mut told = Actions::default();
        for (one, is_slow) in speak.clone() {
            let mut actions = seen(*one, window).2;
            if actions.count() == 0 && *is_slow {
                actions = seen(*one, window.back(1)).2;
            }
            let counts = actions.count() > 0 && !actions.overlap(told);
            if one == log && actions.count() > 0 {
                return counts;
            }
            if counts {
                told = told.with(actions);
            }
        }
        let has_it = |(log, _): &&(usize, bool)| seen(*log, window).1;
        told.count() == 0 && speak.clone().find(has_it).is_none_or(|(first, _)| first == log)
    }

    /// What was not counted, in sentences.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.counted_twice {
            notes.push(
                "standard input cannot be read twice: what more than one flow log saw is counted more than once"
                    .to_owned(),
            );
        }
        if self.copies > 0 {
            notes.push(format!(
                "{} file(s) are copies of deliveries that were read already, and are not counted again",
                self.copies
            ));
        }
        if self.seen.iter().any(|seen| seen.full) {
            notes.push(format!(
                "only the first {DAYS} days of interfaces are compared between flow logs: of the rest, what two of them saw is counted twice"
            ));
        }
        let mut alike: BTreeMap<&[(usize, bool)], Vec<&str>> = BTreeMap::new();
        for (interface_id, logs) in &self.contested {
            alike.entry(logs).or_default().push(interface_id);
        }
        for (logs, interfaces) in alike {
            let of = logs.iter().map(|(log, _)| match &self.logs[*log] {
                Some(source) => printable(&source.to_string()),
                None => "files that name no flow log".to_owned(),
            });
            let ids: Vec<String> = interfaces.iter().take(NAMED).map(|id| printable(id)).collect();
            let more = interfaces.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            notes.push(format!(
                "{}{more}: seen by more than one flow log ({}); each window is counted from one, the first of them that has records in it, and from another only what cannot be among those: what was refused beside what was accepted",
                ids.join(", "),
                of.collect::<Vec<_>>().join(", ")
            ));
        }
        notes
    }
}

/// The actions that a record may have.
fn actions(record: &Record<'_>) -> Actions {
    let is_ok = record.log_status == LogStatus::Ok;
    Actions {
        accepted: is_ok && record.action != Action::Reject,
        refused: is_ok && record.action != Action::Accept,
    }
}

/// What a file is, and which flow log it is of, as far as its name tells.
fn identity(path: &Path) -> (Option<Identity>, Option<Source>) {
    let Ok(path) = path.canonicalize() else { return (None, None) };
    let Some(object) = object_at(&path) else { return (Some(Identity::File(path)), None) };
    let batch = BatchId::of_object(&object.bucket, &object.key);
    let source = Source::of_object(&object.bucket, &object.key);
    (Some(Identity::Delivery(batch)), source.to_string().starts_with("fl-").then_some(source))
}

/// Hands on the records that count, and remembers what was seen.
pub(crate) struct Apart<'a, S> {
    pub(crate) sink: S,
    pub(crate) seen: Seen,
    sources: Option<&'a Sources>,
    nth: usize,
}

impl<'a, S> Apart<'a, S> {
    /// Of this file. Without `sources` nothing is remembered, and all of it counts.
    pub(crate) fn new(sink: S, sources: Option<&'a Sources>, nth: usize) -> Self {
        Self { sink, seen: Seen::default(), sources, nth }
    }
}

impl<S: RecordSink> RecordSink for Apart<'_, S> {
    const QUICK: bool = S::QUICK;

    fn record(&mut self, record: &Record<'_>) -> Verdict {
        if let Some(sources) = self.sources
            && let Some(window) = record.start.or(record.end).and_then(Window::of)
        {
            if !sources.counts(self.nth, record.subject(), window) {
                return Verdict::Counted;
            }
            if sources.contested.is_empty() {
                self.seen.insert(record.subject(), window, actions(record));
            }
        }
        self.sink.record(record)
    }

    fn quick(&mut self, rows: &[QuickRow]) -> usize {
        // Rows that were not looked at are left to the plain decoder.
        if self.sources.is_some() { 0 } else { self.sink.quick(rows) }
    }

    fn head(&mut self, head: u32) {
        self.sink.head(head);
    }

    fn rejected(&mut self, line: RejectedLine) {
        self.sink.rejected(line);
    }

    fn format(&mut self, format: &Format) {
        self.sink.format(format);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(log: &str, minute: i64) -> Input {
        let name = format!(
            "123456789012_vpcflowlogs_us-east-1_fl-{log:0>17}_20261101T00{minute:02}Z_{log}{minute:0>7}.log.gz"
        );
        Input::File(PathBuf::from(name))
    }

    fn window(n: i64) -> Window {
        Window::of(1_793_491_200).unwrap().forward(n)
    }

    fn seen(of: &[(&str, i64, bool)]) -> Seen {
        let mut seen = Seen::default();
        for (interface_id, n, accepted) in of {
            let actions = Actions { accepted: *accepted, refused: false };
            seen.insert(interface_id, window(*n), actions);
        }
        seen
    }

    /// Two files of two flow logs.
    fn two(folder: &Path) -> Vec<Input> {
        let inputs = [file("a", 5), file("b", 5)].into_iter();
        let made = inputs.map(|input| match input {
            Input::File(name) => {
                let path = folder.join(name);
                std::fs::write(&path, "").unwrap();
                Input::File(path)
            }
            other => other,
        });
        made.collect()
    }

    /// As for a store: who has more windows with records first, and no window without records hides one that has some.
    #[test]
    fn each_window_counts_from_one_flow_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut inputs = two(folder.path());
        inputs.push(Input::Stdin);
        let mut sources = Sources::of(&inputs);
        assert!(!sources.is_one());
        sources.took(0, &seen(&[("eni-1", 0, true), ("eni-1", 1, false), ("eni-2", 0, true)]));
        sources.took(1, &seen(&[("eni-1", 0, true), ("eni-1", 1, true), ("eni-1", 2, true)]));
        sources.took(2, &seen(&[("eni-1", 3, true), ("eni-3", 0, true)]));
        assert!(!sources.clone().settle(&inputs), "standard input is not read twice");
        assert!(sources.settle(&inputs[..2]));
        let counts = |interface_id: &str, n: i64| {
            [0, 1, 2].map(|nth| sources.counts(nth, interface_id, window(n)))
        };
        assert_eq!(counts("eni-1", 0), [false, true, false]);
        assert_eq!(counts("eni-1", 1), [false, true, false]);
        // A day on which a flow log speaks is not a file's that names none.
        assert!(!sources.counts(2, "eni-1", window(0)));
        assert_eq!(counts("eni-2", 0), [true; 3], "nobody else saw it");
        let notes = sources.notes().join("\n");
        assert!(
            notes.contains(
                "eni-1: seen by more than one flow log (fl-0000000000000000b, fl-0000000000000000a"
            ),
            "{notes}"
        );
        // One flow log after another is added.
        let mut sources = Sources::of(&inputs);
        sources.took(0, &seen(&[("eni-1", 0, true)]));
        sources.took(1, &seen(&[("eni-1", 1, true)]));
        assert!(!sources.settle(&[]));
        assert_eq!(sources.notes(), [""; 0]);
    }

    /// Of a flow log of what is accepted and one of what is refused both count, beside one of all neither.
    #[test]
    fn what_was_refused_counts_beside_what_was_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = two(folder.path());
        let of = |accepted, refused| Actions { accepted, refused };
        let (accepted, refused, all) = (of(true, false), of(false, true), of(true, true));
        let one = |actions: Actions, windows: &[i64]| {
            let mut seen = Seen::default();
            for n in windows {
                seen.insert("eni-1", window(*n), actions);
            }
            seen
        };
        let mut sources = Sources::of(&inputs);
        sources.took(0, &one(accepted, &[0, 1]));
        sources.took(1, &one(refused, &[0, 1]));
        assert!(!sources.settle(&inputs), "they saw nothing that may be the same");
        assert!(sources.counts(0, "eni-1", window(0)) && sources.counts(1, "eni-1", window(0)));
        // As many windows, but less of each.
        let mut sources = Sources::of(&inputs);
        sources.took(0, &one(accepted, &[0, 1]));
        let mut seen = one(all, &[0]);
        seen.insert("eni-1", window(1), refused);
        sources.took(1, &seen);
        assert!(sources.settle(&inputs));
        let counts = |n| [0, 1].map(|nth| sources.counts(nth, "eni-1", window(n)));
        assert_eq!((counts(0), counts(1)), ([false, true], [true, true]));
    }

    /// One that aggregates for ten minutes fills every other window, with what another has in two.
    #[test]
    fn the_window_behind_one_of_ten_minutes_is_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = two(folder.path());
        let of = |windows: &[i64]| {
            seen(&windows.iter().map(|n| ("eni-1", *n, true)).collect::<Vec<_>>())
        };
        let mut sources = Sources::of(&inputs);
        sources.took(0, &of(&[0, 2, 4, 6, 8, 10, 12, 14]));
        sources.took(1, &of(&[10, 11, 12, 13, 14, 15, 16]));
        assert!(sources.settle(&inputs));
        let counted = |nth: usize| -> Vec<i64> {
            (0..17).filter(|n| sources.counts(nth, "eni-1", window(*n))).collect()
        };
        assert_eq!(counted(0), (0..16).collect::<Vec<_>>());
        assert_eq!(counted(1), [16]);
    }
}
