//! Roll-ups in, a report out.
//!
//! Of each interface and window the encoded roll-up is kept (at most 8 KiB), so that rules can look
//! at it once every file has been read; the lists over everything are bounded tables.

use std::collections::BTreeMap;

use flowlog_core::detect::{Finding, History, RuleSet, review};
use flowlog_core::record::{Address, Window};
use flowlog_core::rollup::{
    BlobError, Lacking, PortKey, RejectedSource, Rollup, Talker, Tally, Weigh,
};

use super::{Coverage, FileReport, InterfaceWindow, PortRow, Report, SourceRow, TalkerRow};

/// How many rows a list of the report has.
const ROWS: usize = 20;

/// Collects roll-ups.
#[derive(Debug, Default)]
pub struct Builder {
    cells: BTreeMap<String, BTreeMap<Window, Vec<Vec<u8>>>>,
    talkers: Tops<Address, Talker>,
    sources: Tops<Address, RejectedSource>,
    ports: Tops<PortKey, Tally>,
    lacking: Lacking,
    accepted: bool,
    rejected: bool,
}

impl Builder {
    /// Takes in one roll-up.
    pub fn add(&mut self, interface_id: &str, window: Window, rollup: &Rollup) {
        for (key, talker) in rollup.talkers.iter() {
            self.talkers.add(key.remote, talker);
        }
        self.talkers.error = self.talkers.error.saturating_add(rollup.talkers.error());
        for (address, source) in rollup.rejected_sources.iter() {
            self.sources.add(*address, source);
        }
        self.sources.error = self.sources.error.saturating_add(rollup.rejected_sources.error());
        for (key, tally) in rollup.rejected_ports.iter() {
            self.ports.add(*key, tally);
        }
        self.ports.error = self.ports.error.saturating_add(rollup.rejected_ports.error());
        self.lacking.add(rollup.lacking);
        let totals = rollup.totals();
        self.accepted |= !totals.accept.is_zero();
        self.rejected |= !totals.reject.is_zero();
        let windows = self.cells.entry(interface_id.to_owned()).or_default();
        windows.entry(window).or_default().push(rollup.encode());
    }

    /// Takes in everything that another builder has collected.
    pub fn absorb(&mut self, other: Self) {
        self.talkers.absorb(other.talkers);
        self.sources.absorb(other.sources);
        self.ports.absorb(other.ports);
        self.lacking.add(other.lacking);
        self.accepted |= other.accepted;
        self.rejected |= other.rejected;
        for (interface_id, windows) in other.cells {
            let mine = self.cells.entry(interface_id).or_default();
            for (window, mut blobs) in windows {
                mine.entry(window).or_default().append(&mut blobs);
            }
        }
    }

    /// Everything that the rules find, the loudest first.
    pub fn findings(&self, rules: &RuleSet) -> Result<Vec<Finding>, BlobError> {
        let mut findings = Vec::new();
        for interface_id in self.cells.keys() {
            findings.extend(review::of_interface(rules, &self.history(interface_id)?));
        }
        let mut windows: BTreeMap<Window, Vec<&str>> = BTreeMap::new();
        for (interface_id, cells) in &self.cells {
            for window in cells.keys() {
                windows.entry(*window).or_default().push(interface_id);
            }
        }
        let mut across = review::AcrossInterfaces::default();
        let (first, last) = (windows.keys().next().copied(), windows.keys().next_back().copied());
        // Every window of the recording: silence is seen in those that have nothing.
        let mut next = first;
        while let Some(window) = next {
            let mut rollups = Vec::new();
            for interface_id in windows.remove(&window).unwrap_or_default() {
                let blobs = self.cells.get(interface_id).and_then(|cells| cells.get(&window));
                let blobs = blobs.map(Vec::as_slice).unwrap_or_default();
                rollups.push((interface_id.to_owned(), folded(blobs)?));
            }
            findings.extend(across.step(rules, window, rollups));
            next = (Some(window) < last).then(|| window.forward(1));
        }
        findings.sort_by(|a, b| {
            let order =
                |f: &Finding| (f.window, f.rule, f.interface_id.clone(), f.source, f.target);
            b.severity.cmp(&a.severity).then_with(|| order(a).cmp(&order(b)))
        });
        Ok(findings)
    }

    /// What the formats of the files lack, taken together.
    pub fn lacking(&self) -> Lacking {
        self.lacking
    }

    /// Whether any accepted, and any rejected record was seen.
    pub fn seen(&self) -> (bool, bool) {
        (self.accepted, self.rejected)
    }

    /// Every window that has records, in order.
    pub fn windows(&self) -> Vec<Window> {
        let all: std::collections::BTreeSet<Window> =
            self.cells.values().flat_map(|windows| windows.keys().copied()).collect();
        all.into_iter().collect()
    }

    /// How many interfaces there are, and how many interface-windows.
    pub fn interface_windows(&self) -> (u64, u64) {
        let windows = self.cells.values().map(|windows| windows.len() as u64).sum();
        (self.cells.len() as u64, windows)
    }

    /// The windows of one interface.
    fn history(&self, interface_id: &str) -> Result<History, BlobError> {
        let mut history = History { interface_id: interface_id.to_owned(), ..History::default() };
        for (window, blobs) in self.cells.get(interface_id).into_iter().flatten() {
            history.add(*window, &folded(blobs)?);
        }
        Ok(history)
    }

    /// Evaluates the rules and sums everything up.
    pub fn finish(self, files: Vec<FileReport>, rules: &RuleSet) -> Result<Report, BlobError> {
        let mut report = Report { files, ..Report::default() };
        for file in &report.files {
            report.totals.add(&file.counts);
        }
        let mut coverage = Coverage {
            lacking: self.lacking.fields().map(flowlog_core::record::Field::name).collect(),
            talkers_error: self.talkers.error,
            sources_error: self.sources.error,
            ports_error: self.ports.error,
            ..Coverage::default()
        };
        report.findings = self.findings(rules)?;
        for (interface_id, windows) in self.cells {
            for (window, blobs) in windows {
                let rollup = folded(&blobs)?;
                coverage.add(window, &rollup);
                report.interfaces.push(InterfaceWindow {
                    account_id: rollup.account_id.clone(),
                    interface_id: interface_id.clone(),
                    window,
                    totals: rollup.totals(),
                });
            }
        }
        report.coverage = coverage;
        report.top_talkers = self.talkers.heaviest().into_iter().map(talker_row).collect();
        report.rejected_sources = self.sources.heaviest().into_iter().map(source_row).collect();
        report.rejected_ports = self
            .ports
            .heaviest()
            .into_iter()
            .map(|(key, tally)| PortRow { key, records: tally.0 })
            .collect();
        Ok(report)
    }
}

/// The roll-ups of one interface and window as one.
fn folded(blobs: &[Vec<u8>]) -> Result<Rollup, BlobError> {
    let mut folded = Rollup::default();
    for blob in blobs {
        folded.merge(&Rollup::decode(blob)?);
    }
    Ok(folded)
}

impl Coverage {
    fn add(&mut self, window: Window, rollup: &Rollup) {
        let totals = rollup.totals();
        let silent = totals.accept.is_zero() && totals.reject.is_zero() && totals.other.is_zero();
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

fn source_row((address, source): (Address, RejectedSource)) -> SourceRow {
    SourceRow {
        address,
        records: source.records,
        packets: source.packets,
        bytes: source.bytes,
        contacts: source.contact_count,
        first: source.first,
        last: source.last,
    }
}

/// The heaviest entries over everything, in bounded memory.
#[derive(Debug)]
pub struct Tops<K, V> {
    entries: BTreeMap<K, V>,
    /// What an entry that is not there, or listed too low, may weigh.
    error: u64,
}

impl<K, V> Default for Tops<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), error: 0 }
    }
}

/// How many entries are kept; twice as many are held before the lightest half is let go.
const KEPT: usize = 32_768;

impl<K: Ord + Copy, V: Weigh + Clone> Tops<K, V> {
    fn add(&mut self, key: K, value: &V) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.absorb(value);
            return;
        }
        self.entries.insert(key, value.clone());
        if self.entries.len() >= 2 * KEPT {
            self.shed();
        }
    }

    fn absorb(&mut self, other: Self) {
        self.error = self.error.saturating_add(other.error);
        for (key, value) in other.entries {
            self.add(key, &value);
        }
    }

    fn shed(&mut self) {
        let mut weights: Vec<u64> = self.entries.values().map(Weigh::weight).collect();
        weights.sort_unstable_by(|a, b| b.cmp(a));
        let bar = weights[KEPT];
        self.entries.retain(|_, v| v.weight() > bar);
        self.error = self.error.saturating_add(bar);
    }

    fn heaviest(self) -> Vec<(K, V)> {
        let mut ranked: Vec<(K, V)> = self.entries.into_iter().collect();
        ranked.sort_by(|a, b| b.1.weight().cmp(&a.1.weight()).then_with(|| a.0.cmp(&b.0)));
        ranked.truncate(ROWS);
        ranked
    }
}
