//! Parquet objects: the driver brings the ranges that are asked for, rows come out.
//!
//! ```text
//! end of the file ─► footer ─► for each row group: the chunks of the columns that are used
//!                                   └─► pages, inflated within bounds ─► values ─► RecordSink
//! ```
//!
//! This reads the part of Parquet that flow logs are: flat columns of numbers and texts, plain or
//! with a dictionary. The `parquet` crate, which reads all of it, inflates a page to its end whatever
//! its header says and panics on some that are broken; it writes the files of our tests. What a row
//! is worth is judged by the same code as a line.
//!
//! *Architecture invariants*: nothing is reserved because a header claims it, before the claim has
//! been held against the file and the limits; memory is bounded by [`Limits::row_group`], of which
//! one row group's compressed columns and its inflated pages take their share.

mod column;
mod footer;
mod memory;
mod pages;
mod quick;
mod rows;
mod runs;
mod thrift;

use std::ops::Range;

use bytes::Bytes;

use self::column::ColumnReader;
use self::footer::{Footer, Group, TAIL};
use self::memory::Memory;
use self::quick::{AHEAD, QuickRows};
use self::rows::{Places, Row};
use super::values::{self, Blame};
use super::{Counts, DecodeError, Decoded, Encoding, Limits, RecordSink, RejectedLine, count};

/// What a Parquet file begins and ends with.
pub(super) const MAGIC: &[u8; 4] = b"PAR1";

/// How much of the end is asked for first: enough for the footer of most files.
const FIRST_READ: u64 = 64 << 10;
/// Rows that are read at a time.
const BATCH: usize = 1024;

/// What a decoder wants next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// These ranges of the file, by [`ParquetDecoder::push`].
    Need(Vec<Range<u64>>),
    /// Some rows went to the sink. Go on when what it has ready has been taken out.
    Rows,
    /// All rows went to the sink: [`ParquetDecoder::finish`].
    Done,
}

/// Decodes a Parquet file of known size by ranges.
#[derive(Debug)]
pub struct ParquetDecoder<S: RecordSink> {
    limits: Limits,
    size: u64,
    sink: S,
    counts: Counts,
    stage: Stage,
    /// For formats and sinks that have quick rows.
    quick: Option<Box<QuickRows>>,
    /// Bytes that pages may still inflate to.
    output_left: u64,
}

#[derive(Debug)]
enum Stage {
    /// The end of the file is wanted, from here.
    End(Range<u64>),
    /// The footer is wanted.
    Footer(Range<u64>),
    /// The columns of a row group are wanted, if there is one.
    Group(Box<Footer>, usize),
    /// Rows of a row group come out.
    Rows(Box<Reading>),
    /// After an error: it is said again.
    Failed(DecodeError),
}

impl<S: RecordSink> ParquetDecoder<S> {
    /// A decoder of a file of `size` bytes.
    pub fn new(limits: Limits, size: u64, sink: S) -> Self {
        let minimum = TAIL + MAGIC.len() as u64;
        let stage = if size < minimum {
            Stage::Failed(corrupt(format!("{size} bytes are no Parquet file")))
        } else {
            Stage::End(size - size.min(FIRST_READ)..size)
        };
        let output_left = limits.output_of(size);
        Self { limits, size, sink, counts: Counts::default(), stage, quick: None, output_left }
    }

    /// Says what is wanted, or decodes some rows. After an error the decoder is spent and repeats
    /// it.
    pub fn step(&mut self) -> Result<Step, DecodeError> {
        let result = match &self.stage {
            Stage::End(range) | Stage::Footer(range) => Ok(Step::Need(vec![range.clone()])),
            Stage::Group(footer, at) => match footer.groups.get(*at) {
                Some(group) => self.memory(group).map(|_| Step::Need(group.ranges())),
                None => Ok(Step::Done),
            },
            Stage::Rows(_) => self.rows(),
            Stage::Failed(error) => Err(error.clone()),
        };
        self.keep(result)
    }

    /// Takes in the ranges that were asked for, in the order in which they were.
    pub fn push(&mut self, ranges: Vec<Bytes>) -> Result<(), DecodeError> {
        let spent = Stage::Failed(corrupt("ranges that nobody asked for"));
        let result = match std::mem::replace(&mut self.stage, spent) {
            Stage::End(range) => self.end(range, &ranges),
            Stage::Footer(range) => {
                let footer =
                    whole(&ranges, std::slice::from_ref(&range)).map(|()| ranges[0].clone());
                footer.and_then(|bytes| self.footer(&bytes, range.start))
            }
            Stage::Group(footer, at) => self.group(footer, at, ranges),
            Stage::Rows(_) => Err(corrupt("ranges that nobody asked for")),
            Stage::Failed(error) => Err(error),
        };
        self.keep(result)
    }

    /// The sink, to take out what it has ready.
    pub fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// What all rows were.
    pub fn finish(self) -> Result<Decoded<S>, DecodeError> {
        match self.stage {
            Stage::Group(footer, at) if at == footer.groups.len() => Ok(Decoded {
                sink: self.sink,
                counts: self.counts,
                format: Some(footer.format),
                encoding: Encoding::Parquet,
                input_bytes: self.size,
            }),
            Stage::Failed(error) => Err(error),
            _ => Err(corrupt("rows are missing")),
        }
    }

    fn keep<T>(&mut self, result: Result<T, DecodeError>) -> Result<T, DecodeError> {
        if let Err(error) = &result {
            self.stage = Stage::Failed(error.clone());
        }
        result
    }

    fn end(&mut self, asked: Range<u64>, ranges: &[Bytes]) -> Result<(), DecodeError> {
        whole(ranges, std::slice::from_ref(&asked))?;
        let bytes = &ranges[0];
        let tail = bytes.len().saturating_sub(usize::try_from(TAIL).unwrap_or(bytes.len()));
        let range = footer::range(&bytes[tail..], self.size)?;
        let within = range.start.checked_sub(asked.start).and_then(|at| usize::try_from(at).ok());
        if let Some(at) = within {
            return self.footer(&bytes[at..tail], range.start);
        }
        self.stage = Stage::Footer(range);
        Ok(())
    }

    fn footer(&mut self, bytes: &[u8], start: u64) -> Result<(), DecodeError> {
        let (size, limits) = (self.size, self.limits);
        let footer = Footer::read(bytes, start, size, &limits)?;
        self.sink.format(&footer.format);
        self.quick = S::QUICK.then(|| QuickRows::of(&footer.format)).flatten().map(Box::new);
        self.stage = Stage::Group(Box::new(footer), 0);
        Ok(())
    }

    fn group(
        &mut self,
        footer: Box<Footer>,
        at: usize,
        ranges: Vec<Bytes>,
    ) -> Result<(), DecodeError> {
        let group = footer.groups.get(at).ok_or_else(|| corrupt("ranges that nobody asked for"))?;
        whole(&ranges, &group.ranges())?;
        let memory = self.memory(group)?;
        let parts = footer.columns.iter().zip(&group.chunks).zip(ranges);
        let columns: Vec<_> = parts
            .map(|((column, chunk), bytes)| ColumnReader::new(*column, chunk, bytes, group.rows))
            .collect();
        let (rows_left, places) = (group.rows, Places::new(&columns));
        if let Some(quick) = &mut self.quick {
            quick.begin();
        }
        self.stage =
            Stage::Rows(Box::new(Reading { footer, at, columns, places, memory, rows_left }));
        Ok(())
    }

    /// What reading a row group may take, its chunks already counted: asked before they are brought.
    fn memory(&self, group: &Group) -> Result<Memory, DecodeError> {
        let limit = self.limits.output_of(self.size);
        let mut memory = Memory::new(self.limits.row_group, self.output_left, self.size, limit);
        let sizes = group.chunks.iter().map(|chunk| chunk.range.end - chunk.range.start);
        memory.hold(sizes.sum())?;
        Ok(memory)
    }

    /// Decodes some rows.
    fn rows(&mut self) -> Result<Step, DecodeError> {
        let Stage::Rows(reading) = &mut self.stage else { return Ok(Step::Done) };
        if reading.rows_left > 0 {
            let rows = reading.read()?;
            let reading = &**reading;
            let (counts, sink) = (&mut self.counts, &mut self.sink);
            for first in (0..rows).step_by(AHEAD) {
                let end = rows.min(first + AHEAD);
                let mut quick = self.quick.as_deref_mut();
                if let Some(quick) = &mut quick {
                    quick.fill(&reading.columns, &reading.places, first..end);
                }
                let mut at = first;
                while at < end {
                    let ready = quick.as_ref().map_or(&[][..], |quick| quick.from(at - first));
                    let taken = if ready.is_empty() { 0 } else { sink.quick(ready) };
                    counts.read += taken as u64;
                    counts.parsed += taken as u64;
                    at += taken;
                    if taken < ready.len() || ready.is_empty() {
                        let head = quick.as_ref().and_then(|quick| quick.head(at - first));
                        reading.row(at, head, counts, sink);
                        at += 1;
                    }
                }
            }
            return Ok(Step::Rows);
        }
        self.output_left = reading.memory.output_left();
        let spent = Stage::Failed(corrupt("rows are missing"));
        if let Stage::Rows(reading) = std::mem::replace(&mut self.stage, spent) {
            self.stage = Stage::Group(reading.footer, reading.at + 1);
        }
        Ok(Step::Rows)
    }
}

/// A row group whose rows come out.
#[derive(Debug)]
struct Reading {
    footer: Box<Footer>,
    at: usize,
    columns: Vec<ColumnReader>,
    places: Places,
    memory: Memory,
    rows_left: usize,
}

impl Reading {
    /// Decodes a row plainly; if it is a record, it has this head.
    fn row<S: RecordSink>(&self, at: usize, head: Option<u32>, counts: &mut Counts, sink: &mut S) {
        let Self { footer, columns, places, .. } = self;
        counts.read += 1;
        match values::record(&Row { columns, places, at }) {
            Ok(record) => {
                count(counts, &record, sink);
                if let Some(head) = head {
                    sink.head(head);
                }
            }
            Err(Blame { field, reason }) => {
                counts.reject(reason);
                let column = field.and_then(|f| footer.format.position(f)).map(|at| at + 1);
                sink.rejected(RejectedLine { line: counts.read, offset: 0, reason, column });
            }
        }
    }

    /// Reads the next rows of all columns, one at least; returns how many.
    fn read(&mut self) -> Result<usize, DecodeError> {
        let mut rows = self.rows_left.min(BATCH);
        for column in &mut self.columns {
            rows = rows.min(column.ready(&mut self.memory)?);
        }
        if rows == 0 {
            let Self { at, rows_left, .. } = self;
            let words = format!("row group {at}: {rows_left} rows fewer than the footer says");
            return Err(corrupt(words));
        }
        self.columns.iter_mut().try_for_each(|column| column.read(rows))?;
        self.rows_left -= rows;
        Ok(rows)
    }
}

/// Whether the ranges are as long as they were asked for.
fn whole(given: &[Bytes], wanted: &[Range<u64>]) -> Result<(), DecodeError> {
    let fits = given.len() == wanted.len()
        && given.iter().zip(wanted).all(|(g, w)| g.len() as u64 == w.end - w.start);
    if fits { Ok(()) } else { Err(corrupt("ranges of another length")) }
}

/// An error with words that can be shown.
fn corrupt(reason: impl Into<String>) -> DecodeError {
    let printable = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    let reason = reason.into().chars().take(200).map(printable).collect();
    DecodeError::CorruptParquet { reason }
}

fn bomb(size: u64, limit: u64) -> DecodeError {
    DecodeError::Bomb { offset: size, limit }
}
