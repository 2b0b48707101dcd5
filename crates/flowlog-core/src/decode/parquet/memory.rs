//! What reading one row group may take, and what its columns share.

use super::bomb;
use crate::decode::{DecodeError, Inflater};

/// Bytes in memory and bytes of output, in which all columns of a row group have a share.
#[derive(Debug)]
pub(super) struct Memory {
    /// Chunks as they are stored, pages and dictionaries as they are decoded.
    held: u64,
    hold_at_most: u64,
    /// Bytes that pages may still inflate to, over the whole file.
    output: u64,
    /// Size of the file and bound on its output, for the error.
    size: u64,
    limit: u64,
    /// For pages, which are inflated one at a time.
    inflater: Option<Inflater>,
}

impl Memory {
    /// `output` bytes are left of the `limit` for a file of `size`.
    pub(super) fn new(hold_at_most: u64, output: u64, size: u64, limit: u64) -> Self {
        Self { held: 0, hold_at_most, output, size, limit, inflater: None }
    }

    /// What pages are inflated with.
    pub(super) fn inflater(&mut self) -> &mut Inflater {
        self.inflater.get_or_insert_default()
    }

    /// Bytes that pages may still inflate to.
    pub(super) fn output_left(&self) -> u64 {
        self.output
    }

    /// To be asked before so many bytes are allocated.
    pub(super) fn hold(&mut self, bytes: u64) -> Result<(), DecodeError> {
        self.held = self.held.saturating_add(bytes);
        if self.held > self.hold_at_most {
            return Err(DecodeError::ParquetTooLarge {
                bytes: self.held,
                limit: self.hold_at_most,
            });
        }
        Ok(())
    }

    /// So many bytes are free again.
    pub(super) fn release(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }

    /// So many bytes of output.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), DecodeError> {
        let left = self.output.checked_sub(bytes);
        self.output = left.ok_or_else(|| bomb(self.size, self.limit))?;
        Ok(())
    }
}
