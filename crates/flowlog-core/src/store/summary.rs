//! Summaries: what compaction makes of an hour of partials, and what it must remember of them.

use serde::{Deserialize, Serialize};

use super::item::{PartialItem, SUMMARY_TTL, Series, window_sk};
use crate::record::{BatchId, HOUR_SECONDS, WINDOW_SECONDS, WINDOWS_PER_HOUR, Window};
use crate::rollup::ActionTotals;

/// Most partials that one summary may hold: 19 bytes each, and an item ends at 400 KB.
pub const MAX_PARTS: usize = 18_000;

/// One partial of a series and hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Its window.
    pub window: Window,
    /// Its delivery.
    pub batch: BatchId,
    /// Its chunk.
    pub chunk: u16,
}

impl Part {
    /// The part that a partial is.
    pub fn of(partial: &PartialItem) -> Self {
        Self { window: partial.window, batch: partial.batch, chunk: partial.chunk }
    }

    /// The part whose partial has this sort key, `None` if it is none of a partial.
    pub fn parse_sk(sk: &str) -> Option<Self> {
        let (window, rest) = sk.strip_prefix('W')?.split_once("#P#")?;
        let (batch, chunk) = rest.split_once('#')?;
        let window = Window::of(window.parse().ok().filter(|_| window.len() == 10)?)?;
        Some(Self { window, batch: BatchId::parse(batch)?, chunk: chunk.parse().ok()? })
    }
}

/// What a summary keeps of one window: enough for exact totals after the partials have expired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowTotals {
    /// Sums by action.
    pub totals: ActionTotals,
    /// NODATA records.
    pub nodata: u64,
    /// SKIPDATA records.
    pub skipdata: u64,
}

impl WindowTotals {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.totals.add(&other.totals);
        self.nodata = self.nodata.saturating_add(other.nodata);
        self.skipdata = self.skipdata.saturating_add(other.skipdata);
    }
}

/// An hour of one series, folded from partials, with the set of those that are in it.
///
/// A reader adds to it the partials that are not in the set; so it does not matter when, how often
/// or by how many it is made, nor whether the partials are still there.
///
/// | attribute | type | meaning |
/// |---|---|---|
/// | `pk` | S | as of the hour's partials |
/// | `sk` | S | `W<epoch10 of the hour's last window>#S`: after every partial of the hour, so that a paged read meets the partials first |
/// | `t` | S | `S` |
/// | `v` | N | version, from 1: a summary replaces the one it was made from, or nothing |
/// | `ids` | B | the parts, sorted, 19 bytes each: window of the hour, batch id, chunk |
/// | `w` | B | `postcard` of the windows' totals |
/// | `b` | B | blob of the hour's roll-up |
/// | `f` | N | 1 if the blob is whole; not there otherwise |
/// | `ttl` | N | hour end + 400 days |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryItem {
    /// What it is a summary of.
    pub series: Series,
    /// First window of the hour.
    pub hour: Window,
    /// From 1.
    pub version: u64,
    /// The partials that are in it, sorted.
    pub parts: Vec<Part>,
    /// Exact totals of the windows that have any, sorted.
    pub windows: Vec<(Window, WindowTotals)>,
    /// The encoded roll-up of the hour.
    pub blob: Vec<u8>,
    /// Nothing was cut while it was folded: the blob says what its partials together say.
    pub whole: bool,
}

/// Why stored bytes are no parts or windows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SummaryError {
    /// Not a whole number of parts, or not in order.
    #[error("ids of {0} bytes are no sorted list of parts")]
    Parts(usize),
    /// Not what was written.
    #[error("the windows cannot be read: {0}")]
    Windows(String),
}

/// Bytes of one stored part.
const PART: usize = 1 + 16 + 2;

impl SummaryItem {
    /// The partition key, see [`Series::pk`].
    pub fn pk(&self) -> String {
        self.series.pk(self.hour)
    }

    /// `W<epoch10 of the hour's last window>#S`.
    pub fn sk(&self) -> String {
        format!("{}#S", window_sk(self.hour.forward(WINDOWS_PER_HOUR - 1)))
    }

    /// The hour that a summary's sort key names, `None` if it is no summary's.
    pub fn parse_sk(sk: &str) -> Option<Window> {
        let window = sk.strip_prefix('W')?.strip_suffix("#S")?;
        Some(Window::of(window.parse().ok()?)?.hour())
    }

    /// When DynamoDB may delete it.
    pub fn ttl(&self) -> i64 {
        self.hour.start() + HOUR_SECONDS + SUMMARY_TTL
    }

    /// Whether a partial is in it.
    pub fn contains(&self, part: &Part) -> bool {
        self.parts.binary_search(part).is_ok()
    }

    /// Whether who asks for `from ..= to` may read this summary in place of its hour's partials: all of the
    /// hour is asked for, `there`, sorted, are the partials that it is of and no others, and it is whole.
    pub fn stands_for(&self, there: &[Part], from: Window, to: Window) -> bool {
        let asked = from <= self.hour && self.hour.forward(WINDOWS_PER_HOUR - 1) <= to;
        self.whole && asked && self.parts == there
    }

    /// The attribute `ids`.
    pub fn packed_parts(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.parts.len() * PART);
        for part in &self.parts {
            let offset = (part.window.start() - self.hour.start()) / WINDOW_SECONDS;
            bytes.push(u8::try_from(offset).unwrap_or(u8::MAX));
            bytes.extend_from_slice(part.batch.as_bytes());
            bytes.extend_from_slice(&part.chunk.to_be_bytes());
        }
        bytes
    }

    /// Reads the attribute `ids` back.
    pub fn unpack_parts(hour: Window, bytes: &[u8]) -> Result<Vec<Part>, SummaryError> {
        let (parts, rest) = bytes.as_chunks::<PART>();
        let parts: Vec<Part> = parts
            .iter()
            .map(|bytes| {
                let mut batch = [0; 16];
                batch.copy_from_slice(&bytes[1..17]);
                Part {
                    window: hour.forward(i64::from(bytes[0])),
                    batch: BatchId::from_bytes(batch),
                    chunk: u16::from_be_bytes([bytes[17], bytes[18]]),
                }
            })
            .collect();
        let inside = |part: &Part| part.window.hour() == hour;
        if rest.is_empty() && parts.is_sorted() && parts.iter().all(inside) {
            Ok(parts)
        } else {
            Err(SummaryError::Parts(bytes.len()))
        }
    }

    /// The attribute `w`.
    pub fn packed_windows(&self) -> Vec<u8> {
        // Writing to a Vec fails only for types that postcard cannot represent; none is here.
        postcard::to_extend(&self.windows, Vec::new()).unwrap_or_default()
    }

    /// Reads the attribute `w` back.
    pub fn unpack_windows(bytes: &[u8]) -> Result<Vec<(Window, WindowTotals)>, SummaryError> {
        postcard::from_bytes(bytes).map_err(|error| SummaryError::Windows(error.to_string()))
    }
}
