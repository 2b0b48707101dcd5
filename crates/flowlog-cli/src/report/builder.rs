//! Roll-ups in, a report out.
//!
//! Of each interface and window the encoded roll-up is kept (at most 8 KiB), so that rules can look
//! at it once every file has been read; the lists over everything are bounded tables.

use std::collections::BTreeMap;

use flowlog_core::detect::{History, Rules};
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
        let windows = self.cells.entry(interface_id.to_owned()).or_default();
        windows.entry(window).or_default().push(rollup.encode());
    }

    /// Takes in everything that another builder has collected.
    pub fn absorb(&mut self, other: Self) {
        self.talkers.absorb(other.talkers);
        self.sources.absorb(other.sources);
        self.ports.absorb(other.ports);
        self.lacking.add(other.lacking);
        for (interface_id, windows) in other.cells {
            let mine = self.cells.entry(interface_id).or_default();
            for (window, mut blobs) in windows {
                mine.entry(window).or_default().append(&mut blobs);
            }
        }
    }

    /// Evaluates the rules and sums everything up.
    pub fn finish(self, files: Vec<FileReport>, rules: &Rules) -> Result<Report, BlobError> {
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
        for (interface_id, windows) in self.cells {
            let mut history = History { interface_id, ..History::default() };
            for (window, blobs) in windows {
                for blob in blobs {
                    history.add(window, &Rollup::decode(&blob)?);
                }
            }
            for (window, rollup) in &history.windows {
                coverage.add(*window, rollup);
                report.interfaces.push(InterfaceWindow {
                    account_id: rollup.account_id.clone(),
                    interface_id: history.interface_id.clone(),
                    window: *window,
                    totals: rollup.totals(),
                });
                report.findings.extend(rules.evaluate(&history, *window));
            }
        }
        report.findings.sort_by(|a, b| {
            let order = |f: &flowlog_core::detect::Finding| {
                (f.window, f.rule, f.interface_id.clone(), f.source)
            };
            b.severity.cmp(&a.severity).then_with(|| order(a).cmp(&order(b)))
        });
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
