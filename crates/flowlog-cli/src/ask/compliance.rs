//! What an auditor asks: which sensitive ports strangers reached, what flowed unencrypted, and how much
//! of the time is on record.

use std::collections::{BTreeMap, BTreeSet};

use flowlog_core::detect::is_own_service;
use flowlog_core::record::{
    Action, Address, DAY_SECONDS, Direction, HOUR_SECONDS, Scope, WINDOW_SECONDS, WINDOWS_PER_DAY,
    Window,
};
use flowlog_core::rollup::{
    ActionTotals, Rollup, Service, Sums, TalkerKey, WATCHED_PORTS, Weigh as _, is_watched,
};
use flowlog_core::store::StoreError;
use flowlog_core::store::item::{LEDGER_TTL, PARTIAL_TTL, SUMMARY_TTL};
use flowlog_core::store::reader::{Answer, Deliveries};
use serde_json::{Value, json};

use super::{Asked, Material, Period, Subject, find, missing};

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
    /// Windows from its first on that have no record, up to the last that any interface has; of a flow log that aggregates
    /// for ten minutes the one behind each is none.
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
    /// Interfaces whose lists of services were cut, with the flows that any address may have more at any port than is
    /// listed. Addresses and ports may be missing; how many, nothing tells.
    pub cut: BTreeMap<String, u64>,
    /// Answered flows at watched ports of which nothing tells whether the connection was the interface's own: not listed.
    pub undecided: u64,
    /// Interfaces with records that cannot tell who was answered, and the fields that those lack.
    pub untold: BTreeMap<String, BTreeSet<&'static str>>,
    /// Of whom all that is on record was refused, in words: so may be what their flow log is of. Nothing in them if that
    /// is so of all.
    pub only_refused: BTreeSet<String>,
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
        summed: subject.is_summed(material),
        ..Compliance::default()
    };
    let end = material.last_window();
    // Of the interfaces of each VPC, whether anything was let in; nothing names the VPC of some.
    let mut vpcs: BTreeMap<String, bool> = BTreeMap::new();
    for (id, answer) in &material.answers {
        let mut ports: BTreeMap<(u16, u8), BTreeMap<Address, Service>> = BTreeMap::new();
        let mut undecided: BTreeMap<TalkerKey, Service> = BTreeMap::new();
        let mut encryption: BTreeMap<u8, u64> = BTreeMap::new();
        for (_, rollup) in answer.rollups() {
            add_uses(rollup, &mut ports, &mut undecided);
            report.add_limits(id, rollup);
            for (status, records) in &rollup.encryption_status {
                let sum = encryption.entry(*status).or_default();
                *sum = sum.saturating_add(*records);
            }
            report.lacking.extend(rollup.lacking.fields().map(|field| field.name()));
        }
        // What was sought and not answered is no use.
        let answered = |service: &Service| service.flows > 0 && service.bytes_out > 0;
        for by in ports.values_mut() {
            by.retain(|_, service| answered(service));
        }
        for service in undecided.values().filter(|service| answered(service)) {
            report.undecided = report.undecided.saturating_add(service.flows);
        }
        ports.retain(|_, by| !by.is_empty());
        for ((port, protocol), by) in ports {
            let interface = id.clone();
            let mut exposure = Exposure { interface, port, protocol, by, ..Exposure::default() };
            (exposure.first, exposure.last) =
                exposure.times(answer, DAY_SECONDS).unwrap_or_default();
            for (_, rollup) in answer.rollups() {
                let about = &rollup.about;
                // Of sums it would be one of many.
                if report.summed {
                    break;
                }
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
        let totals = answer.totals().totals;
        let let_in = !totals.accept.is_zero() || !totals.other.is_zero();
        if let_in || !totals.reject.is_zero() {
            let vpc = answer.rollups().map(|(_, rollup)| rollup.vpc_id.clone()).max();
            *vpcs.entry(vpc.unwrap_or_default()).or_default() |= let_in;
        }
        report.add_encryption(id, &encryption, totals);
        let ends = answer.windows.keys().next().zip(answer.windows.keys().next_back());
        if let Some((first, last)) = ends {
            let end = end.unwrap_or(*last).end();
            report.recorded.push(Recorded {
                interface: id.clone(),
                windows: answer.windows.len() as u64,
                missing: missing(answer.windows.keys().copied(), end),
                skipped: answer.windows.values().filter(|w| w.skipdata > 0).count() as u64,
                first: first.start(),
                last: last.end(),
            });
        }
    }
    let refused = vpcs.iter().filter(|(_, let_in)| !**let_in).map(|(vpc, _)| match vpc.as_str() {
        _ if vpcs.values().all(|let_in| !let_in) => String::new(),
        "" => " of interfaces whose records name no VPC".to_owned(),
        vpc => format!(" of interfaces of {vpc}"),
    });
    report.only_refused = refused.collect();
    report
}

/// Adds who used the watched ports of an interface, answered or not; and what may have been connections of its own.
fn add_uses(
    rollup: &Rollup,
    ports: &mut BTreeMap<(u16, u8), BTreeMap<Address, Service>>,
    undecided: &mut BTreeMap<TalkerKey, Service>,
) {
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
            None => undecided.entry(*key).or_default().absorb(service),
        }
    }
}

/// Fields without which nothing tells who was answered at which port.
const TELLING: [&str; 6] = ["srcaddr", "dstaddr", "srcport", "dstport", "bytes", "flow-direction"];

/// Fields that accepted records lack, judged by what they come to: of the fields of formats roll-ups keep others only.
fn lacking(rollup: &Rollup) -> Vec<&'static str> {
    let mut fields = Vec::new();
    let let_in = rollup.breakdown.iter().filter(|((action, ..), _)| *action != Action::Reject);
    let mut sums = Sums::default();
    for ((_, direction, scope), of) in let_in {
        sums.add(of);
        if (direction, scope) == (Direction::Unknown, Scope::Public) && of.records > 0 {
            fields.push("flow-direction");
        }
        if scope == Scope::Unknown && of.records > 0 {
            fields.extend(["srcaddr", "dstaddr"]);
        }
    }
    if sums.records > 0 && sums.packets == 0 {
        fields.push("packets");
    }
    if sums.records > 0 && sums.bytes == 0 {
        fields.push("bytes");
    }
    // Of TCP, UDP and where nobody knows. Port 0 anybody can use, but hardly everybody.
    let of_ports = rollup.talkers.iter().filter(|(key, _)| [6, 17, 255].contains(&key.protocol));
    let mut ports = of_ports.map(|(key, _)| key.port).peekable();
    if ports.peek().is_some() && ports.all(|port| port == 0) {
        fields.extend(["srcport", "dstport"]);
    }
    if rollup.talkers.iter().any(|(key, _)| key.protocol == u8::MAX) {
        fields.push("protocol");
    }
    fields
}

impl Compliance {
    /// Finds the first and the last window of each exposure in its first and its last day. Where windows are no longer
    /// there, it is the hour.
    pub async fn date<S: Asked>(
        &mut self,
        store: &S,
        subject: &Subject,
        period: Period,
    ) -> Result<(), StoreError> {
        if self.exposed.is_empty() {
            return Ok(());
        }
        let found = find(store, subject, period).await?;
        let mut ledger = Deliveries::default();
        for of_one in self.exposed.chunk_by_mut(|a, b| a.interface == b.interface) {
            let Some(id) = of_one.first().map(|exposure| exposure.interface.clone()) else {
                continue;
            };
            let days: BTreeSet<i64> =
                of_one.iter().flat_map(|e| [e.first, e.last - DAY_SECONDS]).collect();
            let mut times: Vec<Option<(i64, i64)>> = vec![None; of_one.len()];
            for first in days.into_iter().filter_map(Window::of) {
                let day = period.within(first, WINDOWS_PER_DAY);
                let answer = found.again(store, &mut ledger, &id, day).await?;
                for (exposure, known) in of_one.iter().zip(&mut times) {
                    let times = exposure.times(&answer, HOUR_SECONDS);
                    *known = known.iter().copied().chain(times).reduce(both);
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

    /// Adds what an interface's roll-up cannot tell.
    fn add_limits(&mut self, id: &str, rollup: &Rollup) {
        let error = rollup.services.error();
        if error > 0 {
            let cut = self.cut.entry(id.to_owned()).or_default();
            *cut = cut.saturating_add(error);
        }
        for field in lacking(rollup) {
            self.lacking.insert(field);
            if TELLING.contains(&field) {
                self.untold.entry(id.to_owned()).or_default().insert(field);
            }
        }
    }

    /// Flows that an address may have more than is listed, at most, at any interface.
    pub fn exposed_error(&self) -> u64 {
        self.cut.values().copied().max().unwrap_or(0)
    }

    /// Of whom, and why, the records do not tell who was answered, a sentence for each reason.
    pub fn not_known(&self) -> Vec<String> {
        let mut by_fields: BTreeMap<&BTreeSet<&str>, Vec<&str>> = BTreeMap::new();
        for (id, fields) in &self.untold {
            by_fields.entry(fields).or_default().push(id);
        }
        let of_fields = by_fields.into_iter().map(|(fields, ids)| {
            let fields: Vec<&str> = fields.iter().copied().collect();
            format!(
                "some records of {} have no {}: they do not tell who was answered at which port.",
                some_of(&ids),
                fields.join(", ")
            )
        });
        let refused = self.only_refused.iter().map(|of| {
            format!(
                "only refused traffic is on record{of}: a flow log of refused traffic does not tell who was answered."
            )
        });
        of_fields.chain(refused).collect()
    }

    /// Why exposures may be missing, a sentence for each reason.
    pub fn unsure(&self) -> Vec<String> {
        let cut: Vec<&str> = self.cut.keys().map(String::as_str).collect();
        let cut = (!cut.is_empty()).then(|| {
            format!(
                "lists of who used the ports of {} are cut: any address may have had up to {} more flows at a port, and addresses and ports may be missing; how many is not known.",
                some_of(&cut),
                self.exposed_error()
            )
        });
        cut.into_iter().chain(self.not_known()).collect()
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
                "windows": PARTIAL_TTL / DAY_SECONDS, "deliveries": LEDGER_TTL / DAY_SECONDS, "summaries": SUMMARY_TTL / DAY_SECONDS,
            },
            "watched_ports": &WATCHED_PORTS[..],
            "cut": self.cut.iter().map(|(interface, flows)| json!({
                "interface": interface, "flows": flows,
            })).collect::<Vec<_>>(),
            "undecided_flows": self.undecided,
            "not_known": self.not_known(),
            "error_bounds": { "exposed_flows": self.exposed_error() },
        })
    }
}

/// Interfaces that are named in a sentence.
const NAMED: usize = 5;

/// These ids, or some of them and how many more.
fn some_of(ids: &[&str]) -> String {
    let some = ids[..ids.len().min(NAMED)].join(", ");
    if ids.len() > NAMED { format!("{some} and {} more", ids.len() - NAMED) } else { some }
}
