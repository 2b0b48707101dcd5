//! How complete the data is, by hour.

use std::collections::BTreeMap;

use flowlog_core::record::{WINDOW_SECONDS, Window};
use flowlog_core::store::summary::{WINDOWS_PER_HOUR, WindowTotals};
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

/// The hours that have anything, and what is missing between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hours {
    /// By their first window.
    pub by_hour: BTreeMap<Window, Hour>,
    /// The times between those hours of which nothing is on record, not even NODATA: first second, and the one
    /// after the last.
    pub gaps: Vec<(i64, i64)>,
}

/// What is on record by hour, and when nothing is.
pub fn hours(material: &Material) -> Hours {
    let mut hours: BTreeMap<Window, Hour> = BTreeMap::new();
    for (_, answer) in &material.answers {
        for (window, totals) in &answer.windows {
            let hour = hours.entry(window.hour()).or_default();
            let silent = totals.totals.is_zero();
            hour.windows += 1;
            hour.with_skipdata += u64::from(totals.skipdata > 0);
            hour.silent += u64::from(silent && totals.skipdata == 0);
            hour.totals.add(totals);
        }
    }
    let starts = || hours.keys().map(|hour| hour.start());
    let ends = starts().map(|start| start + WINDOW_SECONDS * WINDOWS_PER_HOUR);
    let gaps = ends.zip(starts().skip(1)).filter(|(end, next)| end < next).collect();
    Hours { by_hour: hours, gaps }
}

impl Hours {
    /// For scripts.
    pub fn to_json(&self) -> Value {
        let hours: Vec<Value> =
            self.by_hour.iter().map(|(start, hour)| hour.to_json(*start)).collect();
        let gaps: Vec<Value> =
            self.gaps.iter().map(|(from, to)| json!({ "from": from, "to": to })).collect();
        json!({ "hours": hours, "gaps": gaps })
    }
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
