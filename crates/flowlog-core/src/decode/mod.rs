//! From bytes to records: push bytes in, records come out, nothing here reads anything.
//!
//! ```text
//! bytes ─► ObjectDecoder ─(1f 8b)─► gzip, every member, capped ─► LineDecoder ─► row ─► RecordSink
//!                        └─────────── plain text ───────────────►      │
//!                                                                      └─► Counts, rejected lines
//! ranges of a file ─► ParquetDecoder ─► values ─► the same judgement ─► RecordSink
//! ```
//!
//! *Architecture invariants*: any split of the input gives the same output; every truncation of a
//! gzip is an error; a bad line is data with a position and loses nothing else; only an unusable
//! object is an [`DecodeError`]. What is read always balances ([`Counts::balances`]).

mod counts;
mod digits;
mod gzip;
mod limits;
mod lines;
mod messages;
mod object;
mod parquet;
mod quick;
mod row;
mod values;

pub use counts::{Counts, Reason};
pub use gzip::{GzipError, Inflater};
pub use limits::Limits;
pub use lines::LineDecoder;
pub use messages::{MessageDecoder, NamedColumn};
pub use object::{Decoded, Encoding, ObjectDecoder};
pub use parquet::{ParquetDecoder, Step};
pub use quick::{QuickRow, Spelled};
pub use row::{Rejection, parse_row};

use crate::format::{Format, FormatError};
use crate::record::{LogStatus, Record};

/// Where the format of an object without a header line comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Fallback {
    /// The default (version 2) format, if the first line fits it.
    #[default]
    Default,
    /// The flow log's own format, if the first line fits it.
    Declared(Format),
}

/// What the sink did with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Rolled up (or, for NODATA and SKIPDATA, noted).
    Counted,
    /// Older than the horizon: not rolled up.
    Late,
}

/// A line (or a row of a Parquet file) that is no record. Positions are those of the inflated text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectedLine {
    /// Line number, from 1, blank and header lines included; in Parquet, row number.
    pub line: u64,
    /// Byte offset of the line's first byte; 0 in Parquet and in CloudWatch Logs.
    pub offset: u64,
    /// Why.
    pub reason: Reason,
    /// The column (from 1) that is wrong, where one is.
    pub column: Option<usize>,
}

/// Receives what a decoder finds, in the order of the lines.
pub trait RecordSink {
    /// A record.
    fn record(&mut self, record: &Record<'_>) -> Verdict;

    /// Whether this sink takes quick rows; one that does not is spared them.
    const QUICK: bool = false;

    /// Records as a quick reader found them, in order. Returns how many of
    /// the first ones were rolled up; the one that follows is left, with nothing changed, to the plain
    /// decoder: as must be done with an address that is none.
    fn quick(&mut self, _rows: &[QuickRow]) -> usize {
        0
    }

    /// The record just given has this head: a sink may remember what it found out for it.
    fn head(&mut self, _head: u32) {}

    /// A line that is no record; it has already been counted.
    fn rejected(&mut self, _line: RejectedLine) {}

    /// The format of the lines that follow.
    fn format(&mut self, _format: &Format) {}
}

/// Counts a record by its status and hands it to the sink.
fn count<S: RecordSink>(counts: &mut Counts, record: &Record<'_>, sink: &mut S) {
    match (sink.record(record), record.log_status) {
        (Verdict::Late, _) => counts.late += 1,
        (Verdict::Counted, LogStatus::Ok) => counts.parsed += 1,
        (Verdict::Counted, LogStatus::NoData) => counts.nodata += 1,
        (Verdict::Counted, LogStatus::SkipData) => counts.skipdata += 1,
    }
}

/// Why an object is unusable as a whole. Each is permanent: the same bytes fail again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No byte, or no line that is anything.
    #[error("empty: no header and no record")]
    Empty,
    /// The first line is neither a header nor a record of the expected format.
    #[error("line {line}: not a flow log: neither a header line nor a record ({})", .reason.explanation())]
    NotAFlowLog {
        /// The line.
        line: u64,
        /// What is wrong with it as a record.
        reason: Reason,
    },
    /// A header line that cannot be used.
    #[error("line {line}: bad header: {source}")]
    BadHeader {
        /// The line.
        line: u64,
        /// What is wrong with it.
        source: FormatError,
    },
    /// Bad magic after a member, bad block, bad CRC or length.
    #[error("byte {offset}: corrupt gzip: {reason}")]
    CorruptGzip {
        /// Bytes of compressed input that were taken in before the error showed.
        offset: u64,
        /// The decompressor's words.
        reason: String,
    },
    /// The input ends inside a gzip member.
    #[error("byte {offset}: truncated gzip: the input ends inside a member")]
    TruncatedGzip {
        /// Length of the input.
        offset: u64,
    },
    /// More output than the limits allow for this input.
    #[error(
        "byte {offset}: inflates to more than {limit} bytes (a line is taken for 64): taken for a decompression bomb"
    )]
    Bomb {
        /// Bytes of compressed input taken in.
        offset: u64,
        /// The bound that was passed.
        limit: u64,
    },
    /// Column names that make no format.
    #[error("bad columns: {source}")]
    BadColumns {
        /// What is wrong with them.
        source: FormatError,
    },
    /// A Parquet file that contradicts itself, or is damaged.
    #[error("corrupt Parquet: {reason}")]
    CorruptParquet {
        /// Where and what, in printable ASCII.
        reason: String,
    },
    /// A Parquet row group that takes more memory than the limits allow.
    #[error("a Parquet row group takes {bytes} bytes of memory or more, of {limit} at most")]
    ParquetTooLarge {
        /// What it takes as far as it was read.
        bytes: u64,
        /// The bound that was passed.
        limit: u64,
    },
    /// Something that this decoder does not read.
    #[error("not read: {0}")]
    Unsupported(&'static str),
}

impl DecodeError {
    /// A stable code in snake case, for the ledger and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotAFlowLog { .. } => "not_a_flow_log",
            Self::BadHeader { .. } | Self::BadColumns { .. } => "bad_header",
            Self::CorruptGzip { .. } => "corrupt_gzip",
            Self::TruncatedGzip { .. } => "truncated_gzip",
            Self::Bomb { .. } => "decompression_bomb",
            Self::CorruptParquet { .. } => "corrupt_parquet",
            Self::ParquetTooLarge { .. } => "parquet_too_large",
            Self::Unsupported(_) => "unsupported_encoding",
        }
    }
}
