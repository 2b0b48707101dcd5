//! Bounds on what one object may do.

use std::ops::RangeInclusive;

/// Bounds on what one object may do.
///
/// Those that judge an object as a whole are settings: an object that one deployment refuses and the
/// next one takes was quarantined, and nothing of it counts. Those that judge a line, `line` and
/// `columns`, decide what is written of an object, as the budget of a roll-up does: they belong to the
/// mapping version, and an attempt that goes on under other ones would leave what it does not write
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest line in bytes, without its end. The longest that AWS can write has six tags of 256
    /// characters, percent-encoded to at most twelve bytes each, beside some 5 KiB of other fields:
    /// below that, whoever may tag an interface could make its records disappear.
    pub line: usize,
    /// Most columns in a format.
    pub columns: usize,
    /// Most bytes that a compressed object may inflate to, each line taken for 64 or more.
    pub output: u64,
    /// Most output bytes per input byte …
    pub ratio: u64,
    /// … beyond this many free ones.
    pub ratio_slack: u64,
    /// Most bytes of a Parquet row group in memory: the columns that are used as they are stored,
    /// and their pages as they are decoded. AWS's files are 75 MB at most.
    pub row_group: u64,
}

/// A line of a compressed object, or a row of Parquet, counts as so many bytes of output at least: the shortest line of
/// text with a place and a time. What is refused line by line takes time as well.
pub(super) const LEAST_LINE: u64 = 64;

impl Limits {
    /// The limits as they are set. `number` gives the setting of a name, or the default beside it, or
    /// says that it is not in the range: `MAX_OUTPUT_BYTES`, `MAX_OUTPUT_RATIO`, `MAX_ROW_GROUP_BYTES`.
    pub fn configured<E>(
        number: impl Fn(&'static str, u64, RangeInclusive<u64>) -> Result<u64, E>,
    ) -> Result<Self, E> {
        let default = Self::default();
        Ok(Self {
            output: number("MAX_OUTPUT_BYTES", default.output, 1..=u64::MAX)?,
            ratio: number("MAX_OUTPUT_RATIO", default.ratio, 1..=u64::MAX)?,
            row_group: number("MAX_ROW_GROUP_BYTES", default.row_group, 1..=u64::MAX)?,
            ..default
        })
    }

    /// Most bytes that `input` bytes may inflate to.
    pub(super) fn output_of(&self, input: u64) -> u64 {
        let by_ratio = input.saturating_mul(self.ratio).saturating_add(self.ratio_slack);
        self.output.min(by_ratio)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 32 * 1024,
            columns: 64,
            output: 4 << 30,
            ratio: 200,
            ratio_slack: 1 << 20,
            row_group: 144 << 20,
        }
    }
}
