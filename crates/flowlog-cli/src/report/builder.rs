//! Roll-ups in, a report out.
//!
//! Interface-windows are held within a budget ([`super::held`]); the lists over everything are bounded
//! tables.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::mem::take;

use flowlog_core::detect::{Finding, RuleSet, review};
use flowlog_core::record::{Address, Field, Window};
use flowlog_core::rollup::{
    BlobError, Lacking, PortKey, RejectedSource, Rollup, Talker, Tally, Weigh,
};

use super::held::{Held, is_silent};
use super::tops::Tops;
use super::{
    Coverage, FileReport, Gaps, InterfaceWindow, PortRow, Report, SourceRow, TalkerRow,
    unlisted_bytes,
};

/// What may be held while the rules look.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// How many findings are kept, the loudest, of about a kilobyte each; half as many more are held before the others
    /// are let go.
    pub findings: usize,
    /// About how many bytes of the last hour are looked at across interfaces, each by itself.
    pub across: usize,
    /// Whether a silence that somebody is told of is a finding in each of its windows, not in the first one only.
    pub lasting: bool,
}

impl Room {
    /// For a report, which nobody reads to its five thousandth finding.
    const REPORTED: Self = Self { findings: 5_000, across: review::ACROSS / 2, lasting: false };
    /// Where every finding counts, since it may keep an alert open.
    pub const REPLAYED: Self = Self { findings: 20_000, across: review::ACROSS, lasting: true };
}

/// Collects roll-ups.
#[derive(Debug, Default)]
pub struct Builder {
    held: Held,
    talkers: Tops<Address, Talker>,
    sources: Tops<Address, Refused>,
    ports: Tops<PortKey, Tally>,
    lacking: Lacking,
    /// The same by the formats themselves, where they are known.
    formats_lack: Option<BTreeSet<&'static str>>,
    accepted: bool,
    rejected: bool,
    /// What else the reader should know.
    said: Vec<String>,
}

/// What the rules found, and what they were not asked about.
#[derive(Debug, Default)]
pub struct Found {
    /// The loudest first.
    pub findings: Vec<Finding>,
    /// Findings that there was no room for, none of them louder.
    pub left_out: u64,
    /// Interface-windows that were not looked at together with the others of their hour.
    pub apart: u64,
}

impl Builder {
    /// One for a single file, to be absorbed once it has been read to its end.
    pub fn of_a_file() -> Self {
        Self { held: Held::of_a_file(), ..Self::default() }
    }

    /// Says what the formats of the records lack, each by itself ([`Format::lacking`]).
    ///
    /// [`Format::lacking`]: flowlog_core::format::Format::lacking
    pub fn lack(&mut self, names: impl IntoIterator<Item = &'static str>) {
        self.formats_lack.get_or_insert_default().extend(names);
    }

    /// Says what the reader of the report should know.
    pub fn say(&mut self, note: String) {
        self.said.push(note);
    }

    /// What was said.
    pub fn said(&self) -> &[String] {
        &self.said
    }

    /// Takes in one roll-up.
    pub fn add(
        &mut self,
        interface_id: &str,
        window: Window,
        rollup: Rollup,
    ) -> Result<(), BlobError> {
        self.talkers.add(rollup.talkers.iter().map(|(key, talker)| (key.remote, *talker)));
        self.talkers.error = self.talkers.error.saturating_add(unlisted_bytes(&rollup));
        let sources = rollup.rejected_sources.iter();
        self.sources.add(sources.map(|(address, source)| (*address, Refused::of(source))));
        self.sources.error = self.sources.error.saturating_add(rollup.rejected_sources.error());
        self.ports.add(rollup.rejected_ports.iter().map(|(key, tally)| (*key, *tally)));
        self.ports.error = self.ports.error.saturating_add(rollup.rejected_ports.error());
        self.lacking.add(rollup.lacking);
        let totals = rollup.totals();
        self.accepted |= !totals.accept.is_zero();
        self.rejected |= !totals.reject.is_zero();
        self.held.add(interface_id, window, rollup)
    }

    /// Takes in everything that another builder has collected.
    pub fn absorb(&mut self, other: Self) -> Result<(), BlobError> {
        self.talkers.absorb(other.talkers);
        self.sources.absorb(other.sources);
        self.ports.absorb(other.ports);
        self.lacking.add(other.lacking);
        if let Some(names) = other.formats_lack {
            self.lack(names);
        }
        self.accepted |= other.accepted;
        self.rejected |= other.rejected;
        self.held.absorb(other.held)
    }

    /// What the rules find in what is held, as far as there is room. `see` is shown each roll-up, in order of
    /// interfaces and windows.
    pub fn findings(
        &self,
        rules: &RuleSet,
        room: Room,
        mut see: impl FnMut(&str, Window, &Rollup),
    ) -> Result<Found, BlobError> {
        let mut found = Found::default();
        for interface_id in self.held.interfaces() {
            let windows = self.held.windows_of(interface_id).inspect(|one| {
                if let Ok((window, rollup)) = one {
                    see(interface_id, *window, rollup);
                }
            });
            found.add(review::of_interface(rules, interface_id, windows)?, room);
        }
        let mut windows = self.held.by_window();
        let mut across =
            review::AcrossInterfaces::within(room.across).with_lasting_silence(room.lasting);
        let mut next = windows.first_key_value().map(|(window, _)| *window);
        while let Some(window) = next {
            let mut failed = None;
            let here = windows.remove(&window).unwrap_or_default().into_iter();
            let rollups = here.map_while(|interface_id| {
                match self.held.part(interface_id, window, review::across) {
                    Ok(rollup) => Some((interface_id.to_owned(), rollup)),
                    Err(error) => {
                        failed = Some(error);
                        None
                    }
                }
            });
            found.add(across.step(rules, window, rollups), room);
            failed.map_or(Ok(()), Err)?;
            // Silence is seen in windows that have nothing.
            let recorded = windows.first_key_value().map(|(window, _)| *window);
            let follows = window.forward(1);
            next = recorded.map(|r| if across.waits(rules, window) { follows } else { r });
        }
        found.apart = across.left_out();
        found.settle();
        Ok(found)
    }

    /// What the formats of the files lack, taken together.
    pub fn lacking(&self) -> Lacking {
        self.lacking
    }

    /// By name; a roll-up says it of nine fields only, and of a transit gateway's as of a VPC's.
    fn lacking_names(&self) -> Vec<&'static str> {
        match &self.formats_lack {
            Some(names) => names.iter().copied().collect(),
            None => self.lacking.fields().map(Field::name).collect(),
        }
    }

    /// Whether any accepted, and any rejected record was seen.
    pub fn seen(&self) -> (bool, bool) {
        (self.accepted, self.rejected)
    }

    /// The first and the last window that have records.
    pub fn span(&self) -> Option<(Window, Window)> {
        let windows = self.held.by_window();
        Some((*windows.keys().next()?, *windows.keys().next_back()?))
    }

    /// How many interfaces are held, and how many interface-windows.
    pub fn interface_windows(&self) -> (u64, u64) {
        self.held.lengths()
    }

    /// What there was no room for, in a sentence.
    pub fn note(&self) -> Option<String> {
        let left_out = self.held.left_out();
        (left_out.interface_windows > 0).then(|| {
            format!(
                "more interfaces and windows than are held at once: {} interface-windows are in every sum and list but one by one, and no rule looked at them; no interface had more than {} records in them",
                left_out.interface_windows, left_out.most_records
            )
        })
    }

    /// Evaluates the rules and sums everything up.
    pub fn finish(mut self, files: Vec<FileReport>, rules: &RuleSet) -> Result<Report, BlobError> {
        let mut report = Report { files, notes: take(&mut self.said), ..Report::default() };
        for file in &report.files {
            report.totals.add(&file.counts);
        }
        let left_out = self.held.left_out();
        let mut coverage = Coverage {
            interface_windows: left_out.interface_windows,
            with_skipdata: left_out.with_skipdata,
            only_nodata: left_out.only_nodata,
            from: left_out.span.map(|(from, _)| from),
            to: left_out.span.map(|(_, to)| to),
            gaps: Gaps::default(),
            lacking: self.lacking_names(),
            talkers_error: self.talkers.error,
            sources_error: self.sources.error,
            ports_error: self.ports.error,
            left_out,
        };
        // What becomes of them needs little memory, and the rules need much.
        let talkers = take(&mut self.talkers).heaviest();
        report.top_talkers = talkers.into_iter().map(talker_row).collect();
        let sources = take(&mut self.sources).heaviest();
        report.rejected_sources = sources.into_iter().map(source_row).collect();
        let ports = take(&mut self.ports).heaviest();
        report.rejected_ports =
            ports.into_iter().map(|(key, tally)| PortRow { key, records: tally.0 }).collect();
        report.notes.extend(self.note());
        let mut sources = take(&mut report.rejected_sources);
        let found = self.findings(rules, Room::REPORTED, |interface_id, window, rollup| {
            coverage.add(window, rollup);
            // The parts of a window, of several files, know some contacts each; together they know all.
            for source in &mut sources {
                if let Some(whole) = rollup.rejected_sources.get(&source.address) {
                    source.contacts = source.contacts.max(whole.contact_count);
                }
            }
            report.interfaces.push(InterfaceWindow {
                account_id: rollup.account_id.clone(),
                interface_id: interface_id.to_owned(),
                window,
                totals: rollup.totals(),
            });
        })?;
        report.rejected_sources = sources;
        report.notes.extend(found.notes());
        report.findings = found.findings;
        coverage.gaps = Gaps::of(&report.interfaces, left_out.span);
        report.coverage = coverage;
        Ok(report)
    }
}

impl Found {
    fn add(&mut self, findings: Vec<Finding>, room: Room) {
        self.findings.extend(findings);
        if self.findings.len() > room.findings + room.findings / 2 {
            self.settle();
            self.left_out += (self.findings.len() - room.findings) as u64;
            self.findings.truncate(room.findings);
        }
    }

    /// The loudest first.
    fn settle(&mut self) {
        fn order(f: &Finding) -> impl Ord + '_ {
            (Reverse(f.severity), f.window, f.rule, f.interface_id.as_str(), f.source, f.target)
        }
        self.findings.sort_by(|a, b| order(a).cmp(&order(b)));
    }

    /// What there was no room for, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.left_out > 0 {
            notes.push(format!("{} findings more, none of them louder", self.left_out));
        }
        if self.apart > 0 {
            notes.push(format!(
                "{} interface-windows were not looked at together with the others of their hour: sweeps over many interfaces may be missed",
                self.apart
            ));
        }
        notes
    }
}

impl Coverage {
    fn add(&mut self, window: Window, rollup: &Rollup) {
        let silent = is_silent(&rollup.totals());
        self.interface_windows += 1;
        self.with_skipdata += u64::from(rollup.skipdata > 0);
        self.only_nodata += u64::from(silent && rollup.skipdata == 0);
        self.from = Some(self.from.map_or(window, |from| from.min(window)));
        self.to = Some(self.to.map_or(window, |to| to.max(window)));
    }
}

fn talker_row((address, talker): (Address, Talker)) -> TalkerRow {
    TalkerRow {
        address,
        records: talker.records,
        packets: talker.packets_in.saturating_add(talker.packets_out),
        bytes_in: talker.bytes_in,
        bytes_out: talker.bytes_out,
    }
}

fn source_row((address, source): (Address, Refused)) -> SourceRow {
    SourceRow {
        address,
        records: source.records,
        packets: source.packets,
        bytes: source.bytes,
        contacts: source.contacts,
        first: source.first,
        last: source.last,
    }
}

/// What the report says of a refused source. Attacks invent tens of thousands.
#[derive(Debug, Clone, Copy)]
struct Refused {
    records: u64,
    packets: u64,
    bytes: u64,
    first: i64,
    last: i64,
    /// The most contacts in one interface and window, as far as one part of it tells.
    contacts: u32,
}

impl Refused {
    fn of(source: &RejectedSource) -> Self {
        Self {
            records: source.records,
            packets: source.packets,
            bytes: source.bytes,
            first: source.first,
            last: source.last,
            contacts: source.contact_count,
        }
    }
}

impl Weigh for Refused {
    fn weight(&self) -> u64 {
        self.records
    }

    fn absorb(&mut self, other: &Self) {
        self.records = self.records.saturating_add(other.records);
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.contacts = self.contacts.max(other.contacts);
    }
}

#[cfg(test)]
mod tests {
    use flowlog_core::record::{Action, Direction, Scope};
    use flowlog_core::rollup::Sums;

    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_in_every_sum_and_said() {
        let mut builder = Builder::default();
        let mut rollup = Rollup::default();
        let sums = Sums { records: 1, packets: 2, bytes: 3 };
        rollup.breakdown.add((Action::Reject, Direction::Ingress, Scope::Public), &sums);
        let window = Window::of(1_793_491_200).unwrap();
        for n in 0..60_000 {
            builder.add(&format!("eni-{n}"), window.forward(n % 12), rollup.clone()).unwrap();
        }
        let report = builder.finish(Vec::new(), &RuleSet::default()).unwrap();
        let left_out = report.coverage.left_out;
        assert_eq!(report.interfaces.len() as u64 + left_out.interface_windows, 60_000);
        assert!(left_out.interface_windows > 20_000 && left_out.most_records > 0);
        assert_eq!(report.coverage.interface_windows, 60_000);
        assert_eq!(
            (report.traffic().reject.records, report.traffic().reject.bytes),
            (60_000, 180_000)
        );
        assert!(
            report.notes[0].contains("interface-windows are in every sum"),
            "{:?}",
            report.notes
        );
        let written = serde_json::to_string(&super::super::Json { report: &report, alerts: None });
        let value: serde_json::Value = serde_json::from_str(&written.unwrap()).unwrap();
        assert_eq!(value, super::super::to_json(&report));
        assert_eq!(value["coverage"]["left_out"]["reject"]["records"], left_out.interface_windows);
    }
}
