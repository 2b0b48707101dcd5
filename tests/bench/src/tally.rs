//! What the programs that are compared with are asked for, as one writes it first: owned strings as
//! keys, the standard hash map. Unbounded, trusting.

#![expect(clippy::disallowed_types, reason = "it is what one writes first")]

use std::collections::HashMap;
use std::fmt;

/// What is counted of a row, by the names of its fields.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    pub interface_id: &'a str,
    pub srcaddr: &'a str,
    pub dstaddr: &'a str,
    pub srcport: u16,
    pub dstport: u16,
    pub protocol: u8,
    pub packets: u64,
    pub bytes: u64,
    /// Seconds since 1970.
    pub start: u64,
    pub action: &'a str,
}

#[derive(Default)]
struct Sums {
    records: u64,
    packets: u64,
    bytes: u64,
}

impl Sums {
    fn add(&mut self, packets: u64, bytes: u64) {
        self.records += 1;
        self.packets += packets;
        self.bytes += bytes;
    }
}

/// Sums per interface, window and action; refused connections; and the talkers.
#[derive(Default)]
pub struct Tally {
    cells: HashMap<(String, u64, String), Sums>,
    talkers: HashMap<(String, u64, String, u16, u8), Sums>,
    pairs: HashMap<(String, String, u16, u8), Sums>,
}

impl Tally {
    /// Counts one row that is `OK`.
    pub fn add(&mut self, row: &Row<'_>) {
        let window = row.start / 300;
        let cell = (row.interface_id.to_owned(), window, row.action.to_owned());
        self.cells.entry(cell).or_default().add(row.packets, row.bytes);
        if row.action == "REJECT" {
            let pair = (row.srcaddr.to_owned(), row.dstaddr.to_owned(), row.dstport, row.protocol);
            self.pairs.entry(pair).or_default().add(row.packets, row.bytes);
        } else {
            let port = row.srcport.min(row.dstport);
            let remote = if port == row.srcport { row.dstaddr } else { row.srcaddr };
            let talker =
                (row.interface_id.to_owned(), window, remote.to_owned(), port, row.protocol);
            self.talkers.entry(talker).or_default().add(row.packets, row.bytes);
        }
    }
}

/// The line that `compare.py` holds against the others' lines.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = Sums::default();
        for sums in self.cells.values() {
            all.records += sums.records;
            all.packets += sums.packets;
            all.bytes += sums.bytes;
        }
        write!(
            f,
            "{} talkers; {} records, {} packets, {} bytes, {} sums, {} refused connections",
            self.talkers.len(),
            all.records,
            all.packets,
            all.bytes,
            self.cells.len(),
            self.pairs.len()
        )
    }
}
