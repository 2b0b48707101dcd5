//! `flowlog analyze`: one pass over files, no store.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use flowlog_core::decode::{
    Counts, Decoded, Encoding, Fallback, Limits, QuickRow, RecordSink, RejectedLine, Verdict,
};
use flowlog_core::detect::RuleSet;
use flowlog_core::format::Format;
use flowlog_core::record::{Field, Record, Window};
use flowlog_core::rollup::{Accumulator, BlobError, Budget, ChunkSink, Mapping, Rollup};
use flowlog_core::store::authority::Actions;
use indicatif::{ProgressBar, ProgressStyle};

use crate::input::{Input, expand};
use crate::report::{Builder, FileReport, Report};
use crate::sources::{Apart, Seen, Sources};

/// What is held while a file is rolled up: less than the functions hold, since the lists over everything are beside it. Of
/// a file that needs more, lists of interface-windows are cut earlier than theirs. A talker takes an entry of 32 bytes and
/// its part of the slots, and 84 bytes more when the chunk ends; a record whose direction is not known yet is charged
/// what it will be. The functions' charges are part of their mapping version.
const BUDGET: Budget = Budget {
    state_bytes: 18 << 20,
    talker_bytes: 72,
    held_bytes: Budget::HELD_WHOLE,
    pruned_entries: 128,
    interface_windows: 8_000,
    ends_whole: true,
};

/// How many rejected lines of one file are shown one by one.
const SHOWN: usize = 10;

/// A message about one file, for standard error.
pub type Complaint = String;

/// Reads everything and reports. `complain` gets one line for each thing that could not be read.
pub fn analyze(
    paths: &[PathBuf],
    limits: Limits,
    fallback: &Fallback,
    complain: &mut dyn FnMut(Complaint),
) -> Result<Report, BlobError> {
    let (builder, files) = read(paths, limits, fallback, complain)?;
    builder.finish(files, &RuleSet::default())
}

/// Reads everything into roll-ups, with what became of each file.
pub(crate) fn read(
    paths: &[PathBuf],
    limits: Limits,
    fallback: &Fallback,
    complain: &mut dyn FnMut(Complaint),
) -> Result<(Builder, Vec<FileReport>), BlobError> {
    let ((mut builder, files), notes) = settled(paths, complain, |inputs, sources, complain| {
        read_once(inputs, sources, limits, fallback, complain)
    })?;
    for note in notes {
        builder.say(note);
    }
    Ok((builder, files))
}

/// Reads all files by `once`; and once more, without another complaint, where only then it is known which of several flow
/// logs counts. Returns also what was not counted.
fn settled<T, E>(
    paths: &[PathBuf],
    complain: &mut dyn FnMut(Complaint),
    once: impl Fn(&[Input], &mut Arc<Sources>, &mut dyn FnMut(Complaint)) -> Result<T, E>,
) -> Result<(T, Vec<String>), E> {
    let inputs = expand(paths);
    let mut sources = Arc::new(Sources::of(&inputs));
    let mut all = once(&inputs, &mut sources, complain)?;
    if Arc::make_mut(&mut sources).settle(&inputs) {
        // Before the next one is made.
        drop(all);
        all = once(&inputs, &mut sources, &mut |_| {})?;
    }
    let notes = sources.notes();
    notes.iter().cloned().for_each(complain);
    Ok((all, notes))
}

/// Reads each delivery, and of what more than one flow log saw, if that is known, what counts.
fn read_once(
    inputs: &[Input],
    sources: &mut Arc<Sources>,
    limits: Limits,
    fallback: &Fallback,
    complain: &mut dyn FnMut(Complaint),
) -> Result<(Builder, Vec<FileReport>), BlobError> {
    let progress = progress(inputs.iter().filter_map(Input::size).sum());
    let mut builder = Builder::default();
    let mut files = Vec::with_capacity(inputs.len());
    let mut spare = None;
    for (nth, input) in inputs.iter().enumerate() {
        if Arc::make_mut(sources).copied(nth).is_some() {
            files.push(not_counted(input, "duplicate"));
            continue;
        }
        let whose = (!sources.is_one()).then(|| (Arc::clone(sources), nth));
        let read = read_input(input, whose, limits, fallback, &mut spare, &progress)?;
        if nth + 1 == inputs.len() {
            // Of the last file only what was found is needed, and room to add it to that of the others.
            drop(spare.take());
        }
        progress.suspend(|| {
            for line in &read.complaints {
                complain(format!("{}: {line}", input.name()));
            }
        });
        // A file that breaks off counts for nothing, as in the pipeline: no sum is half a file's.
        if let Some((found, seen)) = read.found {
            Arc::make_mut(sources).took(nth, &seen);
            builder.absorb(found)?;
        }
        files.push(read.report);
    }
    progress.finish_and_clear();
    Ok((builder, files))
}

/// A file of which nothing was counted, and as what.
fn not_counted(input: &Input, format: &str) -> FileReport {
    let counts = Counts::default();
    FileReport { path: input.name(), format: format.to_owned(), counts, error: None }
}

/// All files, decoded into one sink.
pub(crate) struct Each<S> {
    pub(crate) sink: S,
    /// What became of the lines of the files that could be read.
    pub(crate) counts: Counts,
    /// How many could be, and how many there are.
    pub(crate) read: usize,
    pub(crate) files: usize,
    /// What was not counted.
    pub(crate) notes: Vec<String>,
}

/// Decodes each file into a sink of its own and merges it once it was read to its end: a file that
/// breaks off counts for nothing, nor does a second copy of a delivery; and, `of_one`, what more than one flow log saw
/// counts once. `complain` gets one line for each that cannot be read.
pub(crate) fn each<S: RecordSink>(
    paths: &[PathBuf],
    fallback: &Fallback,
    of_one: bool,
    sink: impl Fn() -> S,
    merge: impl Fn(&mut S, S),
    complain: &mut dyn FnMut(Complaint),
) -> Each<S> {
    let Ok((all, notes)) = settled(paths, complain, |inputs, sources, complain| {
        let sources = Arc::make_mut(sources);
        let all = each_once(inputs, sources, fallback, of_one, &sink, &merge, complain);
        Ok::<_, Infallible>(all)
    });
    Each { notes, ..all }
}

fn each_once<S: RecordSink>(
    inputs: &[Input],
    sources: &mut Sources,
    fallback: &Fallback,
    of_one: bool,
    sink: &impl Fn() -> S,
    merge: &impl Fn(&mut S, S),
    complain: &mut dyn FnMut(Complaint),
) -> Each<S> {
    let progress = progress_of_objects(inputs.len() as u64);
    let of_one = of_one && !sources.is_one();
    let files = inputs.len();
    let mut all =
        Each { sink: sink(), counts: Counts::default(), read: 0, files, notes: Vec::new() };
    for (nth, input) in inputs.iter().enumerate() {
        progress.inc(1);
        if sources.copied(nth).is_some() {
            all.read += 1;
            continue;
        }
        let hidden = ProgressBar::hidden();
        let apart = Apart::new(sink(), of_one.then_some(&*sources), nth);
        match input.decode(Limits::default(), fallback, apart, &hidden) {
            Ok(decoded) => {
                all.read += 1;
                all.counts.add(&decoded.counts);
                let Apart { sink, seen, .. } = decoded.sink;
                sources.took(nth, &seen);
                merge(&mut all.sink, sink);
            }
            Err(error) => progress.suspend(|| complain(format!("{}: {error}", input.name()))),
        }
    }
    progress.finish_and_clear();
    all
}

/// Counts objects; drawn only where standard error is a terminal.
pub fn progress_of_objects(objects: u64) -> ProgressBar {
    ProgressBar::new(objects).with_style(counting("objects"))
}

/// What a bar that counts such things looks like.
pub(crate) fn counting(things: &str) -> ProgressStyle {
    ProgressStyle::with_template(&format!("{{bar:30}} {{pos}}/{{len}} {things} {{eta}}"))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Counts bytes; drawn only where standard error is a terminal.
fn progress(bytes: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style)
}

struct ReadFile {
    report: FileReport,
    complaints: Vec<Complaint>,
    /// With where its flow log saw what.
    found: Option<(Builder, Seen)>,
}

/// Reads one file. What it is rolled up with is taken from `spare`, and put there for the next one.
fn read_input(
    input: &Input,
    whose: Option<(Arc<Sources>, usize)>,
    limits: Limits,
    fallback: &Fallback,
    spare: &mut Option<Accumulator<Added>>,
    progress: &ProgressBar,
) -> Result<ReadFile, BlobError> {
    let failed = |error: String| ReadFile {
        report: FileReport {
            path: input.name(),
            format: "unknown".to_owned(),
            counts: Counts::default(),
            error: Some(error.clone()),
        },
        complaints: vec![error],
        found: None,
    };
    let mut accumulator = spare
        .take()
        .unwrap_or_else(|| Accumulator::of(Mapping::CURRENT, BUDGET, None, Added::of_a_file()));
    drop(accumulator.renew(Added { whose, ..Added::of_a_file() }));
    Ok(match input.decode(limits, fallback, Watched::new(accumulator), progress) {
        Ok(decoded) => {
            let Decoded { sink, counts, format, encoding, .. } = decoded;
            let described = format.map_or_else(|| "unknown".to_owned(), |f| f.describe());
            let complaints = sink.complaints(counts.rejected_total(), encoding);
            let Watched { mut accumulator, lacking, .. } = sink;
            let Added { mut builder, failed, seen, taken, whose: _ } =
                accumulator.renew(Added::of_a_file());
            *spare = Some(accumulator);
            failed.map_or(Ok(()), Err)?;
            builder.lack(lacking);
            if taken == Some(false) {
                // Another flow log speaks for all of it.
                let report = not_counted(input, "not added");
                return Ok(ReadFile {
                    report,
                    complaints,
                    found: Some((Builder::of_a_file(), seen)),
                });
            }
            ReadFile {
                report: FileReport {
                    path: input.name(),
                    format: format!("{} {described}", encoding.name()),
                    counts,
                    error: None,
                },
                complaints,
                found: Some((builder, seen)),
            }
        }
        Err(error) => failed(error),
    })
}

/// Adds each roll-up to a report as it comes.
struct Added {
    builder: Builder,
    failed: Option<BlobError>,
    /// Which file of which flow logs it is, where there are several.
    whose: Option<(Arc<Sources>, usize)>,
    seen: Seen,
    /// Whether anything was added, once there was something.
    taken: Option<bool>,
}

impl Added {
    fn of_a_file() -> Self {
        let (builder, seen) = (Builder::of_a_file(), Seen::default());
        Self { builder, failed: None, whose: None, seen, taken: None }
    }
}

impl ChunkSink for Added {
    fn begin(&mut self, _: bool) -> bool {
        self.failed.is_none()
    }

    fn rollup(&mut self, interface_id: &str, window: Window, rollup: Rollup) {
        if let Some((sources, nth)) = &self.whose {
            self.seen.insert(interface_id, window, Actions::of(&rollup.totals()));
            let counts = sources.counts(*nth, interface_id, window);
            self.taken = Some(self.taken.unwrap_or_default() || counts);
            if !counts {
                return;
            }
        }
        if self.failed.is_none() {
            self.failed = self.builder.add(interface_id, window, rollup).err();
        }
    }

    fn end(&mut self) {}
}

/// Rolls up, and remembers what to tell about the lines.
struct Watched {
    accumulator: Accumulator<Added>,
    rejected: Vec<RejectedLine>,
    unknown: Vec<String>,
    /// Fields that a format could have and did not.
    lacking: BTreeSet<&'static str>,
}

impl Watched {
    fn new(accumulator: Accumulator<Added>) -> Self {
        Self { accumulator, rejected: Vec::new(), unknown: Vec::new(), lacking: BTreeSet::new() }
    }

    fn complaints(&self, rejected: u64, encoding: Encoding) -> Vec<Complaint> {
        let mut lines: Vec<Complaint> = self.unknown.clone();
        for line in &self.rejected {
            let column = line.column.map_or_else(String::new, |c| format!(", column {c}"));
            let place = match encoding {
                Encoding::Parquet => format!("row {}{column}", line.line),
                _ => format!("line {}{column} (byte {})", line.line, line.offset),
            };
            let reason = line.reason;
            lines.push(format!("{place}: {}: {}", reason.code(), reason.explanation()));
        }
        let more = rejected.saturating_sub(self.rejected.len() as u64);
        if more > 0 {
            lines.push(format!("… and {more} more unreadable lines"));
        }
        lines
    }
}

impl RecordSink for Watched {
    const QUICK: bool = <Accumulator<Added>>::QUICK;

    fn record(&mut self, record: &Record<'_>) -> Verdict {
        self.accumulator.record(record)
    }

    fn quick(&mut self, rows: &[QuickRow]) -> usize {
        self.accumulator.quick(rows)
    }

    fn head(&mut self, head: u32) {
        self.accumulator.head(head);
    }

    fn rejected(&mut self, line: RejectedLine) {
        if self.rejected.len() < SHOWN {
            self.rejected.push(line);
        }
    }

    fn format(&mut self, format: &Format) {
        self.accumulator.format(format);
        self.lacking.extend(format.lacking().map(Field::name));
        let unknown: Vec<&str> = format.unknown().collect();
        if !unknown.is_empty() && self.unknown.len() < SHOWN {
            self.unknown.push(format!(
                "header: {} unknown column(s) carried past: {}",
                unknown.len(),
                unknown.join(" ")
            ));
        }
    }
}
