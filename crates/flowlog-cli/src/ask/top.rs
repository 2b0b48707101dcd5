//! Who talks most.

use std::collections::BTreeMap;

use clap::ValueEnum;
use flowlog_core::record::Address;
use flowlog_core::rollup::{Talker, Weigh as _};
use serde_json::{Value, json};

use super::Material;
use crate::report::unlisted_bytes;

/// What talkers are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Bytes both ways.
    Bytes,
    /// Packets both ways.
    Packets,
    /// Flow records.
    Records,
    /// How many interfaces talked with it.
    Peers,
}

/// One address that the subject's interfaces talked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The other side.
    pub address: Address,
    /// Sums over its ports and the interfaces.
    pub sums: Talker,
    /// How many interfaces (or scopes) talked with it.
    pub peers: u64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// Heaviest first.
    pub rows: Vec<Row>,
    /// Bytes that an address which is not listed, or listed too low, may have more.
    pub error_bytes: u64,
}

/// The heaviest talkers.
pub fn top(material: &Material, by: By, most: usize) -> Top {
    let mut rows: BTreeMap<Address, Row> = BTreeMap::new();
    let mut error_bytes = 0_u64;
    for (_, answer) in &material.answers {
        let mut here: BTreeMap<Address, Talker> = BTreeMap::new();
        for (_, rollup) in answer.rollups() {
            error_bytes = error_bytes.saturating_add(unlisted_bytes(rollup));
            for (key, talker) in rollup.talkers.iter() {
                here.entry(key.remote).or_default().absorb(talker);
            }
        }
        for (address, talker) in here {
            let empty = Row { address, sums: Talker::default(), peers: 0 };
            let row = rows.entry(address).or_insert(empty);
            row.sums.absorb(&talker);
            row.peers += 1;
        }
    }
    let weight = |row: &Row| match by {
        By::Bytes => row.sums.bytes(),
        By::Packets => row.sums.packets_in.saturating_add(row.sums.packets_out),
        By::Records => row.sums.records,
        By::Peers => row.peers,
    };
    let mut rows: Vec<Row> = rows.into_values().collect();
    rows.sort_by(|a, b| weight(b).cmp(&weight(a)).then(a.address.cmp(&b.address)));
    rows.truncate(most);
    Top { rows, error_bytes }
}

impl Top {
    /// For scripts.
    pub fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "address": row.address.to_string(),
                "records": row.sums.records,
                "packets": row.sums.packets_in.saturating_add(row.sums.packets_out),
                "bytes": row.sums.bytes(),
                "bytes_in": row.sums.bytes_in,
                "bytes_out": row.sums.bytes_out,
                "peers": row.peers,
            })
        });
        json!({ "talkers": rows.collect::<Vec<_>>(), "error_bound_bytes": self.error_bytes })
    }
}
