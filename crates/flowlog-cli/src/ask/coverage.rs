//! How complete the data is, by hour, and when there is none.

use std::collections::{BTreeMap, BTreeSet};

use flowlog_core::record::{HOUR_SECONDS, WINDOW_SECONDS, Window};
use flowlog_core::store::authority::fills_every_other;
use flowlog_core::store::summary::WindowTotals;
use serde_json::{Value, json};

use super::Material;

/// One hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hour {
    /// Windows of interfaces (or scopes) with any record.
    pub windows: u64,
    /// Of them, those in which AWS lost records.
    pub with_skipdata: u64,
    /// Of them, those with NODATA only: silent, and known to be.
    pub silent: u64,
    /// Sums.
    pub totals: WindowTotals,
}

/// The hours that have anything, and what is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hours {
    /// By their first window.
    pub by_hour: BTreeMap<Window, Hour>,
    /// What the material [lacks](Material::gaps).
    pub gaps: Vec<(i64, i64)>,
}

/// What is on record by hour, and when nothing is.
pub fn hours(material: &Material) -> Hours {
    let mut by_hour: BTreeMap<Window, Hour> = BTreeMap::new();
    for (_, answer) in &material.answers {
        for (window, totals) in &answer.windows {
            let hour = by_hour.entry(window.hour()).or_default();
            let silent = totals.totals.is_zero();
            hour.windows += 1;
            hour.with_skipdata += u64::from(totals.skipdata > 0);
            hour.silent += u64::from(silent && totals.skipdata == 0);
            hour.totals.add(totals);
        }
    }
    Hours { by_hour, gaps: material.gaps.clone() }
}

/// Seconds without any record that are told, at least. A flow log that aggregates for ten minutes fills every other
/// window, and deliveries come late.
pub(super) const GAP: i64 = HOUR_SECONDS;

/// The times of [an hour](GAP) or more between windows of which nothing is on record, not even NODATA: first second,
/// and the one after the last.
pub(super) fn gaps(material: &Material) -> Vec<(i64, i64)> {
    let windows: BTreeSet<Window> =
        material.answers.iter().flat_map(|(_, answer)| answer.windows.keys().copied()).collect();
    holes(windows.iter().copied()).collect()
}

/// The times of [an hour](GAP) or more between windows, sorted: first second, and the one after the last.
pub(crate) fn holes(
    windows: impl Iterator<Item = Window> + Clone,
) -> impl Iterator<Item = (i64, i64)> {
    let next = windows.clone().skip(1);
    let times = windows.zip(next).map(|(window, next)| (window.end(), next.start()));
    times.filter(|(end, next)| next - end >= GAP)
}

/// How many windows are missing between these, sorted, and up to `end`: those that have no record. Where they are a flow
/// log's that aggregates for ten minutes, the one behind each of them is none.
pub(super) fn missing(windows: impl Iterator<Item = Window>, end: i64) -> u64 {
    /// Windows to either side that tell: a flow log may be replaced by one that aggregates for a minute, at any time.
    const TELLING: usize = 8;
    let windows: Vec<Window> = windows.collect();
    let every_other = |windows: &[Window]| fills_every_other(windows.iter().copied());
    let next = windows.iter().skip(1).map(|window| window.start()).chain([end]);
    let missing = windows.iter().zip(next).enumerate().map(|(at, (window, next))| {
        let between = (next - window.end()) / WINDOW_SECONDS;
        let forgiven = between > 0 && {
            let before = &windows[at.saturating_sub(TELLING)..=at];
            let behind = &windows[at..windows.len().min(at + 1 + TELLING)];
            every_other(before) || every_other(behind)
        };
        (between - i64::from(forgiven)).max(0).unsigned_abs()
    });
    missing.sum()
}

impl Hours {
    /// For scripts.
    pub fn to_json(&self) -> Value {
        let hours: Vec<Value> =
            self.by_hour.iter().map(|(start, hour)| hour.to_json(*start)).collect();
        json!({ "hours": hours, "gaps": gaps_json(&self.gaps) })
    }
}

/// Gaps for scripts.
pub(crate) fn gaps_json(gaps: &[(i64, i64)]) -> Vec<Value> {
    gaps.iter().map(|(from, to)| json!({ "from": from, "to": to })).collect()
}

impl Hour {
    fn to_json(self, start: Window) -> Value {
        let totals = &self.totals;
        json!({
            "hour": start.start(),
            "interface_windows": self.windows,
            "with_skipdata": self.with_skipdata,
            "silent": self.silent,
            "accepted_records": totals.totals.accept.records,
            "rejected_records": totals.totals.reject.records,
            "other_records": totals.totals.other.records,
            "nodata": totals.nodata,
            "skipdata": totals.skipdata,
        })
    }
}
