//! What an auditor asks: which sensitive ports strangers reached, what flowed unencrypted, and how much
//! of the time is on record.

use std::collections::{BTreeMap, BTreeSet};

use flowlog_core::detect::is_own_service;
use flowlog_core::record::{Address, Scope, WINDOW_SECONDS, Window};
use flowlog_core::rollup::{ActionTotals, Rollup, Service, WATCHED_PORTS, Weigh as _, is_watched};
use flowlog_core::store::StoreError;
use flowlog_core::store::item::{LEDGER_TTL, PARTIAL_TTL, SUMMARY_TTL};
use flowlog_core::store::reader::{Answer, Detail};
use serde_json::{Value, json};

use super::{A_DAY, Asked, Material, Period, Subject, read_with};

/// Accepted use of a sensitive port by public addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exposure {
    /// The interface that let it in.
    pub interface: String,
    /// Its own port.
    pub port: u16,
    /// IANA protocol number.
    pub protocol: u8,
    /// The addresses that used it, and how much.
    pub by: BTreeMap<Address, Service>,
    /// First second of the first window (5 minutes) in which they did; of its hour or day, as far as the store tells.
    pub first: i64,
    /// The second after the last such window.
    pub last: i64,
    /// VPC of the interface; this and what follows is empty where it is unknown.
    pub vpc: String,
    /// Instance, `i-…`.
    pub instance: String,
    /// Tag, percent-encoded as AWS writes it.
    pub name: String,
}

impl Exposure {
    /// The times of roll-ups that tell of it: first second, and the one after the last. What is folded is taken for
    /// `folded` seconds.
    fn times(&self, answer: &Answer, folded: i64) -> Option<(i64, i64)> {
        let shows = |rollup: &Rollup| {
            rollup.services.iter().any(|(key, service)| {
                (key.port, key.protocol) == (self.port, self.protocol)
                    && service.flows > 0
                    && self.by.contains_key(&key.remote)
            })
        };
        let pieces = answer.hours.iter().map(|(window, rollup)| (window, folded, rollup));
        let windows =
            answer.detailed.iter().map(|(window, rollup)| (window, WINDOW_SECONDS, rollup));
        let times = pieces.chain(windows).filter(|(.., rollup)| shows(rollup));
        let times = times.map(|(window, long, _)| (window.start(), window.start() + long));
        times.reduce(both)
    }
}

/// The time from the earlier beginning to the later end.
fn both(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
    (a.0.min(b.0), a.1.max(b.1))
}

/// What is on record about an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The interface.
    pub interface: String,
    /// Windows (5 minutes) that have any record.
    pub windows: u64,
    /// Windows from its first on that have none, up to the last that any interface has.
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
    /// Uses of watched ports that are not listed, at most: lists are cut, or do not tell whether the
    /// connection was the interface's own.
    pub exposed_error: u64,
    /// Whether interfaces were summed up before anybody asked: one's answer then stands for all.
    pub summed: bool,
    /// Records by encryption status: 0 none, 1 Nitro, 2 application, 3 both.
    pub encryption: BTreeMap<u8, u64>,
    /// Interfaces with unencrypted records, and how many.
    pub unencrypted: BTreeMap<String, u64>,
    /// Interfaces with records that do not say, and how many.
    pub encryption_unknown: BTreeMap<String, u64>,
    /// By interface.
    pub recorded: Vec<Recorded>,
    /// Fields that some of the formats lack.
    pub lacking: BTreeSet<&'static str>,
    /// The days that the store still has, first and last second.
    pub retained: (i64, i64),
}

/// The report on a time; `whole` is what the store has at all.
pub fn compliance(material: &Material, subject: &Subject, whole: Period) -> Compliance {
    let mut report = Compliance {
        retained: (whole.from.start(), whole.to.end()),
        summed: matches!(subject, Subject::Scope(_)),
        ..Compliance::default()
    };
    let end = material.last_window();
    for (id, answer) in &material.answers {
        let mut ports: BTreeMap<(u16, u8), BTreeMap<Address, Service>> = BTreeMap::new();
        let mut encryption: BTreeMap<u8, u64> = BTreeMap::new();
        for (_, rollup) in answer.rollups() {
            report.add_uses(rollup, &mut ports);
            for (status, records) in &rollup.encryption_status {
                let sum = encryption.entry(*status).or_default();
                *sum = sum.saturating_add(*records);
            }
            report.lacking.extend(rollup.lacking.fields().map(|field| field.name()));
        }
        // What was sought and not answered is no use.
        for by in ports.values_mut() {
            by.retain(|_, service| service.flows > 0 && service.bytes_out > 0);
        }
        ports.retain(|_, by| !by.is_empty());
        for ((port, protocol), by) in ports {
            let interface = id.clone();
            let mut exposure = Exposure { interface, port, protocol, by, ..Exposure::default() };
            (exposure.first, exposure.last) = exposure.times(answer, DAY).unwrap_or_default();
            for (_, rollup) in answer.rollups() {
                let about = &rollup.about;
                for (known, told) in [
                    (&mut exposure.vpc, &rollup.vpc_id),
                    (&mut exposure.instance, &about.instance_id),
                    (&mut exposure.name, &about.name),
                ] {
                    if !told.is_empty() {
                        known.clone_from(told);
                    }
                }
            }
            report.exposed.push(exposure);
        }
        report.add_encryption(id, &encryption, answer.totals().totals);
        let ends = answer.windows.keys().next().zip(answer.windows.keys().next_back());
        if let Some((first, last)) = ends {
            let windows = answer.windows.len() as u64;
            let end = end.unwrap_or(*last).end();
            let span = ((end - first.start()) / WINDOW_SECONDS).unsigned_abs();
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

/// Seconds of a day, and of an hour.
const DAY: i64 = 86_400;
const HOUR: i64 = 3600;

impl Compliance {
    /// Finds the first and the last window of each exposure in its first and its last day. Where windows are no longer
    /// there, it is the hour.
    pub async fn date<S: Asked>(
        &mut self,
        store: &S,
        subject: &Subject,
        period: Period,
    ) -> Result<(), StoreError> {
        for of_one in self.exposed.chunk_by_mut(|a, b| a.interface == b.interface) {
            let Some(id) = of_one.first().map(|exposure| exposure.interface.clone()) else {
                continue;
            };
            let of = match subject {
                Subject::Scope(_) => Subject::Scope(id),
                Subject::Everything | Subject::Interface(_) => Subject::Interface(id),
            };
            let days: BTreeSet<i64> = of_one.iter().flat_map(|e| [e.first, e.last - DAY]).collect();
            let mut times: Vec<Option<(i64, i64)>> = vec![None; of_one.len()];
            for first in days.into_iter().filter_map(Window::of) {
                let (from, to) = (first.max(period.from), first.forward(A_DAY - 1).min(period.to));
                let (day, detail) = (Period { from, to }, Detail::WINDOWS);
                let material = read_with(store, &of, day, detail, |_, answer| answer).await?;
                for (exposure, known) in of_one.iter().zip(&mut times) {
                    let answers = material.answers.iter();
                    let found = answers.filter_map(|(_, answer)| exposure.times(answer, HOUR));
                    *known = known.iter().copied().chain(found).reduce(both);
                }
            }
            for (exposure, known) in of_one.iter_mut().zip(times) {
                let (first, last) = known.unwrap_or((exposure.first, exposure.last));
                exposure.first = first.max(period.from.start());
                exposure.last = last.min(period.to.end());
            }
        }
        Ok(())
    }

    /// Adds who used the watched ports of an interface, answered or not.
    fn add_uses(
        &mut self,
        rollup: &Rollup,
        ports: &mut BTreeMap<(u16, u8), BTreeMap<Address, Service>>,
    ) {
        self.exposed_error = self.exposed_error.saturating_add(rollup.services.error());
        // Services also hold what refused sources exchanged at any port.
        let watched = rollup.services.iter();
        let watched =
            watched.filter(|(key, _)| key.remote.scope() == Scope::Public && is_watched(key.port));
        for (key, service) in watched {
            match is_own_service(rollup, key, service) {
                Some(true) => {
                    let by = ports.entry((key.port, key.protocol)).or_default();
                    by.entry(key.remote).or_default().absorb(service);
                }
                Some(false) => {}
                None => self.exposed_error = self.exposed_error.saturating_add(service.flows),
            }
        }
    }

    /// Adds what an interface's records say of encryption, of which there are so many.
    fn add_encryption(&mut self, id: &str, said: &BTreeMap<u8, u64>, records: ActionTotals) {
        let mut unknown = [records.accept, records.reject, records.other]
            .iter()
            .fold(0_u64, |sum, of| sum.saturating_add(of.records));
        for (status, records) in said {
            let sum = self.encryption.entry(*status).or_default();
            *sum = sum.saturating_add(*records);
            unknown = unknown.saturating_sub(*records);
        }
        if unknown > 0 {
            self.encryption_unknown.insert(id.to_owned(), unknown);
        }
        if let Some(records) = said.get(&0) {
            self.unencrypted.insert(id.to_owned(), *records);
        }
    }

    /// For scripts.
    pub fn to_json(&self) -> Value {
        json!({
            "exposed_summed_over_interfaces": self.summed,
            "exposed": self.exposed.iter().map(|e| json!({
                "interface": e.interface, "vpc": e.vpc, "instance": e.instance, "name": e.name,
                "port": e.port, "protocol": e.protocol, "first": e.first, "last": e.last,
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
            "kept_days": {
                "windows": PARTIAL_TTL / DAY, "deliveries": LEDGER_TTL / DAY, "summaries": SUMMARY_TTL / DAY,
            },
            "watched_ports": &WATCHED_PORTS[..],
            "error_bounds": { "exposed_flows": self.exposed_error },
        })
    }
}
