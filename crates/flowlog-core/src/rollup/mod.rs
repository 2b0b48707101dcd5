//! Sums per interface and window.

use serde::{Deserialize, Serialize};

/// Records, packets and bytes. Additions saturate at `u64::MAX`, which no AWS account reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Flow records.
    pub records: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Sums {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.records = self.records.saturating_add(other.records);
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    /// No records.
    pub fn is_zero(&self) -> bool {
        self.records == 0
    }
}

/// Sums by action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionTotals {
    /// `ACCEPT`.
    pub accept: Sums,
    /// `REJECT`.
    pub reject: Sums,
    /// Rows whose format has no action, or that say `-`.
    pub other: Sums,
}
