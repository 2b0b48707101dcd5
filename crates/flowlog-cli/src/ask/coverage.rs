//! How complete the data is, by hour.

use std::collections::BTreeMap;

use flowlog_core::record::Window;
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

/// The hours that have anything, sorted.
pub fn hours(material: &Material) -> BTreeMap<Window, Hour> {
    let mut hours: BTreeMap<Window, Hour> = BTreeMap::new();
    for (_, answer) in &material.answers {
        for (window, totals) in &answer.windows {
            let hour = hours.entry(window.hour()).or_default();
            let sums = &totals.totals;
            let silent = [sums.accept, sums.reject, sums.other].iter().all(|s| s.is_zero());
            hour.windows += 1;
            hour.with_skipdata += u64::from(totals.skipdata > 0);
            hour.silent += u64::from(silent && totals.skipdata == 0);
            hour.totals.add(totals);
        }
    }
    hours
}

impl Hour {
    /// For scripts.
    pub fn to_json(&self, start: Window) -> Value {
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
