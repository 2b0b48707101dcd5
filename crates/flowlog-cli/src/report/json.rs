//! The report as JSON. The shape is stable: scripts rely on it.

use flowlog_core::decode::Counts;
use flowlog_core::detect::Finding;
use flowlog_core::rollup::Sums;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value, json};

use super::{FileReport, InterfaceWindow, Report};

/// A report to be written as JSON, with the alerts that were sent where there are any. Its lines of
/// interfaces and its findings are made while it is written: there may be a hundred thousand.
#[derive(Debug)]
pub struct Json<'a> {
    /// The report.
    pub report: &'a Report,
    /// What was sent, as documents.
    pub alerts: Option<Vec<Value>>,
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        for (key, value) in head(self.report) {
            object.serialize_entry(&key, &value)?;
        }
        object.serialize_entry("findings", &Each(&self.report.findings, Finding::to_json))?;
        object.serialize_entry("interfaces", &Each(&self.report.interfaces, interface))?;
        if let Some(alerts) = &self.alerts {
            object.serialize_entry("alerts", alerts)?;
        }
        object.end()
    }
}

/// A list, and what each of it is written as.
struct Each<'a, T>(&'a [T], fn(&T) -> Value);

impl<T> Serialize for Each<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(self.1))
    }
}

/// The whole report as one value.
pub fn to_json(report: &Report) -> Value {
    // Numbers, texts and lists under texts: there is nothing that could fail.
    serde_json::to_value(Json { report, alerts: None }).unwrap_or_default()
}

/// Everything but findings and interfaces.
fn head(report: &Report) -> Map<String, Value> {
    let coverage = &report.coverage;
    let left_out = &coverage.left_out;
    let value = json!({
        "files": report.files.iter().map(file).collect::<Vec<_>>(),
        "totals": Value::Object(counts(&report.totals)),
        "top_talkers": report.top_talkers.iter().map(|t| json!({
            "address": t.address.to_string(),
            "records": t.records,
            "packets": t.packets,
            "bytes": t.bytes_in.saturating_add(t.bytes_out),
            "bytes_in": t.bytes_in,
            "bytes_out": t.bytes_out,
        })).collect::<Vec<_>>(),
        "rejected_sources": report.rejected_sources.iter().map(|s| json!({
            "source": s.address.to_string(),
            "records": s.records,
            "packets": s.packets,
            "bytes": s.bytes,
            "contacts": s.contacts,
            "first": s.first,
            "last": s.last,
        })).collect::<Vec<_>>(),
        "rejected_ports": report.rejected_ports.iter().map(|p| json!({
            "protocol": p.key.protocol,
            "port": p.key.port,
            "records": p.records,
        })).collect::<Vec<_>>(),
        "coverage": {
            "interface_windows": coverage.interface_windows,
            "with_skipdata": coverage.with_skipdata,
            "only_nodata": coverage.only_nodata,
            "from": coverage.from.map(flowlog_core::record::Window::start),
            "to": coverage.to.map(flowlog_core::record::Window::end),
            "gaps": coverage.gaps.listed.iter().map(|gap| json!({
                "from": gap.from, "to": gap.to, "interfaces": gap.interfaces,
            })).collect::<Vec<_>>(),
            "more_gaps": coverage.gaps.more,
            "fields_lacking": coverage.lacking,
            "error_bounds": {
                "top_talkers_bytes": coverage.talkers_error,
                "rejected_sources_records": coverage.sources_error,
                "rejected_ports_records": coverage.ports_error,
            },
            "left_out": {
                "interface_windows": left_out.interface_windows,
                "most_records": left_out.most_records,
                "accept": sums(&left_out.totals.accept),
                "reject": sums(&left_out.totals.reject),
                "other": sums(&left_out.totals.other),
            },
        },
        "notes": report.notes,
    });
    if let Value::Object(object) = value { object } else { Map::new() }
}

fn sums(sums: &Sums) -> Value {
    json!({ "records": sums.records, "packets": sums.packets, "bytes": sums.bytes })
}

fn file(file: &FileReport) -> Value {
    let mut object = Map::new();
    object.insert("path".to_owned(), json!(file.path));
    object.insert("format".to_owned(), json!(file.format));
    object.append(&mut counts(&file.counts));
    if let Some(error) = &file.error {
        object.insert("error".to_owned(), json!(error));
    }
    Value::Object(object)
}

fn counts(counts: &Counts) -> Map<String, Value> {
    let rejected: Map<String, Value> =
        counts.rejected.iter().map(|(reason, n)| (reason.code().to_owned(), json!(n))).collect();
    let mut object = Map::new();
    object.insert("read".to_owned(), json!(counts.read));
    object.insert("parsed".to_owned(), json!(counts.parsed));
    object.insert("nodata".to_owned(), json!(counts.nodata));
    object.insert("skipdata".to_owned(), json!(counts.skipdata));
    object.insert("rejected".to_owned(), Value::Object(rejected));
    object.insert("late".to_owned(), json!(counts.late));
    object
}

fn interface(row: &InterfaceWindow) -> Value {
    // Transit gateway rows are counted by attachment.
    let name = if row.interface_id.starts_with("tgw-attach-") {
        "tgw_attachment_id"
    } else {
        "interface_id"
    };
    json!({
        "account_id": row.account_id,
        name: row.interface_id,
        "window": row.window.start(),
        "accept": sums(&row.totals.accept),
        "reject": sums(&row.totals.reject),
        "other": sums(&row.totals.other),
    })
}
