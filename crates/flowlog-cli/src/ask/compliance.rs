//! What an auditor asks: which sensitive ports strangers reached, what flowed unencrypted, and how much
//! of the time is on record.

use std::collections::{BTreeMap, BTreeSet};

use flowlog_core::record::{Address, Scope};
use flowlog_core::rollup::{Service, Weigh as _, is_watched};
use serde_json::{Value, json};

use super::{Material, Period};

/// Accepted use of a sensitive port by public addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// The interface that let it in.
    pub interface: String,
    /// Its own port.
    pub port: u16,
    /// IANA protocol number.
    pub protocol: u8,
    /// The addresses that used it, and how much.
    pub by: BTreeMap<Address, Service>,
}

/// What is on record about an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The interface.
    pub interface: String,
    /// Windows (5 minutes) that have any record.
    pub windows: u64,
    /// Windows between its first and its last that have none.
    pub missing: u64,
    /// Windows in which AWS skipped records.
    pub skipped: u64,
    /// First second on record in the time that is reported on.
    pub first: i64,
    /// Last second on record.
    pub last: i64,
}

/// The report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compliance {
    /// By interface and port.
    pub exposed: Vec<Exposure>,
    /// Uses of watched ports that are not listed, at most.
    pub exposed_error: u64,
    /// Records by encryption status: 0 none, 1 Nitro, 2 application, 3 both.
    pub encryption: BTreeMap<u8, u64>,
    /// Interfaces with unencrypted records, and how many.
    pub unencrypted: BTreeMap<String, u64>,
    /// Interfaces whose format does not say.
    pub encryption_unknown: BTreeSet<String>,
    /// By interface.
    pub recorded: Vec<Recorded>,
    /// Fields that some of the formats lack.
    pub lacking: BTreeSet<&'static str>,
    /// The days that the store still has, first and last second.
    pub retained: (i64, i64),
}

/// The report on a time; `whole` is what the store has at all.
pub fn compliance(material: &Material, whole: Period) -> Compliance {
    let mut report =
        Compliance { retained: (whole.from.start(), whole.to.end()), ..Compliance::default() };
    for (id, answer) in &material.answers {
        let folded = answer.fold();
        let mut ports: BTreeMap<(u16, u8), BTreeMap<Address, Service>> = BTreeMap::new();
        for (key, service) in folded.services.iter() {
            // Services also hold what refused sources exchanged at any port.
            let answered = service.flows > 0 && service.bytes_out > 0;
            if key.remote.scope() == Scope::Public && is_watched(key.port) && answered {
                let by = ports.entry((key.port, key.protocol)).or_default();
                by.entry(key.remote).or_default().absorb(service);
            }
        }
        report.exposed_error = report.exposed_error.saturating_add(folded.services.error());
        report.exposed.extend(ports.into_iter().map(|((port, protocol), by)| Exposure {
            interface: id.clone(),
            port,
            protocol,
            by,
        }));
        for (status, records) in &folded.encryption_status {
            *report.encryption.entry(*status).or_default() += records;
        }
        if folded.encryption_status.is_empty() {
            report.encryption_unknown.insert(id.clone());
        }
        if let Some(records) = folded.encryption_status.get(&0) {
            report.unencrypted.insert(id.clone(), *records);
        }
        report.lacking.extend(folded.lacking.fields().map(|field| field.name()));
        let ends = answer.windows.keys().next().zip(answer.windows.keys().next_back());
        if let Some((first, last)) = ends {
            let windows = answer.windows.len() as u64;
            let span = ((last.end() - first.start()) / 300).unsigned_abs();
            report.recorded.push(Recorded {
                interface: id.clone(),
                windows,
                missing: span.saturating_sub(windows),
                skipped: answer.windows.values().filter(|w| w.skipdata > 0).count() as u64,
                first: first.start(),
                last: last.end(),
            });
        }
    }
    report
}

impl Compliance {
    /// For scripts.
    pub fn to_json(&self) -> Value {
        json!({
            "exposed": self.exposed.iter().map(|e| json!({
                "interface": e.interface, "port": e.port, "protocol": e.protocol,
                "by": e.by.iter().map(|(address, s)| json!({
                    "address": address.to_string(), "flows": s.flows,
                    "bytes_in": s.bytes_in, "bytes_out": s.bytes_out,
                })).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "encryption_status": self.encryption,
            "unencrypted": self.unencrypted,
            "encryption_unknown": self.encryption_unknown,
            "recorded": self.recorded.iter().map(|r| json!({
                "interface": r.interface, "windows": r.windows, "missing": r.missing,
                "skipped": r.skipped, "first": r.first, "last": r.last,
            })).collect::<Vec<_>>(),
            "fields_lacking": self.lacking,
            "retained": { "from": self.retained.0, "to": self.retained.1 },
            "error_bounds": { "exposed_flows": self.exposed_error },
        })
    }
}
