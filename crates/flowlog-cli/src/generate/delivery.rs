//! Delivers rows as AWS does: into the object of their flow log and of the five-minute slot their `end` falls into.
//!
//! At most two slots are open at a time, because a capture window is shorter than a slot; each object is compressed
//! while it is written, so that memory depends neither on the rate nor on the length of the recording.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use jiff::Timestamp;
use jiff::tz::Offset;

use super::clock::{WINDOW, window_of};
use super::columns::Columns;
use super::draw::hash;
use super::network::{ACCOUNT, Addr, COUNT, Eni, Network, REGION};
use super::plan::{FileFormat, GenerateError, Layout, Plan};
use super::row::{Gap, Row, Scribe, Verdict};
use super::truth::{ObjectTruth, Tally, Totals};

/// Text collected before it goes through the compressor.
const BUFFER: usize = 64 * 1024;

/// What befalls every row of some interfaces for a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spell {
    pub(super) eni: Eni,
    /// The first second, and the last.
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) kind: SpellKind,
}

/// What befalls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpellKind {
    /// Nothing is delivered.
    Silent,
    /// It is Block Public Access that refuses strangers.
    Blocked,
}

/// The way from rows to objects.
pub(super) struct Delivery<'a> {
    network: &'a Network,
    out: &'a Path,
    /// Stands for the plan in the objects' names.
    plan_hash: u64,
    layout: Layout,
    file_format: FileFormat,
    scribe: Scribe,
    open: Vec<Object>,
    closed: Vec<ObjectTruth>,
    tally: Tally,
    /// Who has reported in this capture window.
    reported: [bool; COUNT],
    spells: Vec<Spell>,
    /// Rows that a silence swallowed.
    withheld: u64,
}

/// An object being written.
struct Object {
    flow_log: usize,
    slot: i64,
    key: String,
    path: PathBuf,
    text: Vec<u8>,
    stored: Stored,
    counts: Totals,
}

/// Where the text of an object goes.
enum Stored {
    Lines(Box<GzEncoder<File>>),
    Columns(Box<Columns>),
}

impl<'a> Delivery<'a> {
    /// Nothing is created before the first row.
    pub(super) fn new(
        plan: &Plan,
        network: &'a Network,
        out: &'a Path,
        spells: Vec<Spell>,
    ) -> Self {
        Self {
            network,
            out,
            plan_hash: plan.hash(),
            layout: plan.format,
            file_format: plan.file_format,
            scribe: Scribe::new(plan.format, network),
            open: Vec::new(),
            closed: Vec::new(),
            tally: Tally::new(plan),
            reported: [false; COUNT],
            spells,
            withheld: 0,
        }
    }

    /// Forgets who reported in the capture window before.
    pub(super) fn begin_window(&mut self) {
        self.reported = [false; COUNT];
    }

    /// Who has not reported in this capture window.
    pub(super) fn idle(&self) -> Vec<Eni> {
        (0..COUNT).filter(|eni| !self.reported[*eni]).collect()
    }

    /// How many those are.
    pub(super) fn idle_count(&self) -> u64 {
        self.reported.iter().map(|reported| u64::from(!reported)).sum()
    }

    /// Rows so far, with those that were withheld: who fills a budget does not fill it a second time.
    pub(super) fn rows(&self) -> u64 {
        self.tally.totals.read + self.withheld
    }

    /// Whether an interface is under a spell.
    fn befalls(&self, kind: SpellKind, eni: Eni, second: i64) -> bool {
        let here = |s: &Spell| s.kind == kind && s.eni == eni && (s.from..=s.to).contains(&second);
        self.spells.iter().any(here)
    }

    /// Delivers a record.
    pub(super) fn row(&mut self, row: &Row) -> Result<(), GenerateError> {
        self.reported[row.eni] = true;
        if self.befalls(SpellKind::Silent, row.eni, row.start) {
            self.withheld += 1;
            return Ok(());
        }
        let stranger = row.verdict == Verdict::Reject && is_foreign(row.src);
        let blocked = stranger && self.befalls(SpellKind::Blocked, row.eni, row.start);
        let row = &Row { reason: if blocked { "BPA" } else { "-" }, ..*row };
        self.tally.add(row);
        let nth = self.object(row.eni, row.end)?;
        let object = &mut self.open[nth];
        object.counts.flow();
        self.scribe.row(row, &mut object.text);
        object.flush_above(BUFFER)
    }

    /// Delivers a row without a flow.
    pub(super) fn gap(
        &mut self,
        eni: Eni,
        gap: Gap,
        from: i64,
        to: i64,
    ) -> Result<(), GenerateError> {
        self.reported[eni] = true;
        if self.befalls(SpellKind::Silent, eni, from) {
            self.withheld += 1;
            return Ok(());
        }
        self.tally.totals.gap(gap);
        let nth = self.object(eni, to)?;
        let object = &mut self.open[nth];
        object.counts.gap(gap);
        self.scribe.gap(eni, gap, from, to, &mut object.text);
        object.flush_above(BUFFER)
    }

    /// Finishes the objects whose slot has passed at this second.
    pub(super) fn close_before(&mut self, second: i64) -> Result<(), GenerateError> {
        while let Some(nth) = self.open.iter().position(|object| object.slot + WINDOW <= second) {
            let object = self.open.swap_remove(nth).close()?;
            self.closed.push(object);
        }
        Ok(())
    }

    /// Finishes all objects, and tells what they hold.
    pub(super) fn finish(mut self) -> Result<(Vec<ObjectTruth>, Tally), GenerateError> {
        self.close_before(i64::MAX)?;
        Ok((self.closed, self.tally))
    }

    /// The open object for this interface's flow log and second; created with its header line when it is the first.
    fn object(&mut self, eni: Eni, end: i64) -> Result<usize, GenerateError> {
        let flow_log = self.network.interfaces[eni].vpc;
        let slot = window_of(end);
        let found =
            self.open.iter().position(|object| object.slot == slot && object.flow_log == flow_log);
        if let Some(nth) = found {
            return Ok(nth);
        }
        let id = &self.network.flow_log_ids[flow_log];
        let name = hash(format!("{}/{id}/{slot}", self.plan_hash).as_bytes());
        let key = key(id, slot, name, self.file_format);
        let path = self.out.join(&key);
        let stored = Stored::create(&path, self.layout, self.file_format)
            .map_err(|source| GenerateError::io(&path, source))?;
        let text = Vec::with_capacity(BUFFER + 1024);
        let counts = Totals::default();
        self.open.push(Object { flow_log, slot, key, path, text, stored, counts });
        Ok(self.open.len() - 1)
    }
}

/// Not one of ours. Refusals inside are of IPv4.
fn is_foreign(address: Addr) -> bool {
    match address {
        Addr::V4(bits) => bits >> 24 != 10,
        Addr::V6(_) => true,
    }
}

impl Stored {
    /// Creates the file, with what stands at its beginning.
    fn create(path: &Path, layout: Layout, format: FileFormat) -> io::Result<Self> {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let file = File::create(path)?;
        if format == FileFormat::Parquet {
            return Columns::new(file, layout).map(|columns| Self::Columns(Box::new(columns)));
        }
        // Neither a time nor an operating system in the header: both would make equal plans differ.
        let mut gzip =
            GzBuilder::new().mtime(0).operating_system(255).write(file, Compression::new(6));
        gzip.write_all(layout.header().as_bytes())?;
        gzip.write_all(b"\n")?;
        Ok(Self::Lines(Box::new(gzip)))
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Lines(gzip) => gzip.write_all(text),
            Self::Columns(columns) => columns.write(text),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Lines(gzip) => gzip.finish().map(drop),
            Self::Columns(columns) => columns.finish(),
        }
    }
}

impl Object {
    fn flush_above(&mut self, limit: usize) -> Result<(), GenerateError> {
        if self.text.len() > limit {
            self.stored
                .write(&self.text)
                .map_err(|source| GenerateError::io(&self.path, source))?;
            self.text.clear();
        }
        Ok(())
    }

    fn close(mut self) -> Result<ObjectTruth, GenerateError> {
        self.flush_above(0)?;
        self.stored.finish().map_err(|source| GenerateError::io(&self.path, source))?;
        let Totals { read, parsed, nodata, skipdata } = self.counts;
        Ok(ObjectTruth { key: self.key, read, parsed, nodata, skipdata })
    }
}

/// The S3 key under which AWS delivers the slot's object; the last part tells several of one slot apart.
fn key(flow_log_id: &str, slot: i64, hash: u64, format: FileFormat) -> String {
    let at = Offset::UTC.to_datetime(Timestamp::from_second(slot).unwrap_or_default());
    let (year, month, day) = (at.year(), at.month(), at.day());
    let (hour, minute) = (at.hour(), at.minute());
    let hash = (hash >> 32) ^ (hash & 0xffff_ffff);
    let ending = match format {
        FileFormat::PlainText => "log.gz",
        FileFormat::Parquet => "log.parquet",
    };
    format!(
        "AWSLogs/{ACCOUNT}/vpcflowlogs/{REGION}/{year:04}/{month:02}/{day:02}/\
         {ACCOUNT}_vpcflowlogs_{REGION}_{flow_log_id}_{year:04}{month:02}{day:02}T{hour:02}{minute:02}Z_{hash:08x}.{ending}"
    )
}
