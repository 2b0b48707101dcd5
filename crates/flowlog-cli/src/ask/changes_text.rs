//! Differences and the compliance report as text.

use std::fmt::Write as _;

use flowlog_core::record::{Address, DAY_SECONDS};
use flowlog_core::rollup::{Sums, WATCHED_PORTS};
use flowlog_core::store::item::{LEDGER_TTL, PARTIAL_TTL, SUMMARY_TTL};

use super::compliance::Compliance;
use super::diff::Diff;
use super::text::{bytes, count, footer};
use super::{Made, Material, Period};
use crate::colour;
use crate::report::{printable, protocol_name, table, time};

/// Addresses that are named for one exposed port.
const NAMED: usize = 5;

/// What changed.
pub(super) fn diff_text(
    diff: &Diff,
    (earlier, before): (Period, &Material),
    (later, material): (Period, &Material),
) -> String {
    let mut out = format!(
        "{} to {}, compared with {} to {}\n",
        time(later.from.start()),
        time(later.to.end()),
        time(earlier.from.start()),
        time(earlier.to.end())
    );
    if before.answers.is_empty() {
        out += "Nothing is on record of the time before: whoever talks now is called new.\n";
    } else if !before.is_complete() {
        out += "The time before is not complete: who is called new may have been there.\n";
    }
    let row = |name: &str, before: &Sums, after: &Sums| {
        vec![
            name.to_owned(),
            count(before.records),
            count(after.records),
            bytes(before.bytes),
            bytes(after.bytes),
        ]
    };
    let rows = vec![
        row("accepted", &diff.before.accept, &diff.after.accept),
        row("rejected", &diff.before.reject, &diff.after.reject),
    ];
    out += &table(&["", "records before", "after", "bytes before", "after"], &[1, 2, 3, 4], rows);
    let mut list = |title: &str, unit: &str, rows: Vec<Vec<String>>| {
        if rows.is_empty() {
            let _ = writeln!(out, "{title}: none");
        } else {
            out += &table(&[title, unit], &[1], rows);
        }
    };
    let by_bytes = |list: &[(Address, u64)]| {
        list.iter().map(|(address, n)| vec![address.to_string(), bytes(*n)]).collect()
    };
    list("new talkers", "bytes", by_bytes(&diff.new_talkers));
    list("talkers that are gone", "bytes before", by_bytes(&diff.gone_talkers));
    let sources = diff.new_sources.iter().map(|(a, n)| vec![a.to_string(), count(*n)]).collect();
    list("newly refused sources", "records", sources);
    let ports = diff.new_ports.iter();
    let ports = ports
        .map(|(key, n)| vec![format!("{} {}", protocol_name(key.protocol), key.port), count(*n)]);
    list("newly refused ports", "records", ports.collect());
    for (title, ids) in [("new", &diff.new_interfaces), ("gone", &diff.gone_interfaces)] {
        if !ids.is_empty() {
            let _ = writeln!(out, "{title} interfaces: {}", ids.join(", "));
        }
    }
    let (before, after) = diff.talkers_error;
    if before.max(after).max(diff.sources_error).max(diff.ports_error) > 0 {
        let _ = writeln!(
            out,
            "Lists are cut at the heaviest: what is called new may have been there before with up to {}, {} refused records as a source, {} at a port; what is gone, after with up to {}.",
            bytes(before),
            count(diff.sources_error),
            count(diff.ports_error),
            bytes(after)
        );
    }
    out + &footer(material)
}

/// The report for an auditor.
pub(super) fn compliance_text(
    report: &Compliance,
    period: Period,
    made: &Made,
    material: &Material,
) -> String {
    let mut out = format!(
        "Network flow compliance\n{made}\nTime reported on: {} to {}\n",
        time(period.from.start()),
        time(period.to.end())
    );
    if let Some(lacks) = &material.lacks {
        let _ = writeln!(out, "{}: {lacks}", colour::word("Incomplete"));
    }
    out += &exposures_text(report, material);
    out.push_str("\n2. Encryption in transit, as AWS saw it\n");
    for (status, records) in &report.encryption {
        let name = match status {
            0 => "not encrypted",
            1 => "encrypted by Nitro",
            2 => "encrypted by the application",
            3 => "encrypted by both",
            _ => "another status",
        };
        let _ = writeln!(out, "  {name}: {} records", count(*records));
    }
    for (interface, records) in &report.unencrypted {
        let _ = writeln!(out, "  unencrypted at {interface}: {} records", count(*records));
    }
    let unknown = report.encryption_unknown.values().fold(0_u64, |sum, n| sum.saturating_add(*n));
    if unknown > 0 {
        let _ = writeln!(
            out,
            "  not known: {} records of {} interfaces: their flow log's format lacks encryption-status, or encryption controls are off",
            count(unknown),
            report.encryption_unknown.len()
        );
    }
    out.push_str("\n3. Retention and coverage\n");
    let _ = writeln!(
        out,
        "The store has the days from {} to {}.",
        time(report.retained.0),
        time(report.retained.1)
    );
    let days = |seconds: i64| seconds / DAY_SECONDS;
    let _ = writeln!(
        out,
        "The tables of a stack keep windows of 5 minutes for {} days, what became of deliveries for {}, and summaries of hours for {}; the file of a local store keeps everything.",
        days(PARTIAL_TTL),
        days(LEDGER_TTL),
        days(SUMMARY_TTL)
    );
    let rows = report.recorded.iter().map(|r| {
        vec![
            r.interface.clone(),
            time(r.first),
            time(r.last),
            count(r.windows),
            count(r.missing),
            count(r.skipped),
        ]
    });
    let header = ["interface", "first", "last", "windows", "without records", "with SKIPDATA"];
    out += &table(&header, &[3, 4, 5], rows.collect());
    if !report.lacking.is_empty() {
        let fields: Vec<&str> = report.lacking.iter().copied().collect();
        let _ = writeln!(out, "Fields that some formats lack: {}", fields.join(", "));
    }
    out + &footer(material)
}

/// Its first part.
fn exposures_text(report: &Compliance, material: &Material) -> String {
    let mut out = "\n1. Sensitive ports that public addresses used\n".to_owned();
    let watched: Vec<String> = WATCHED_PORTS.iter().map(ToString::to_string).collect();
    let _ = writeln!(out, "Watched ports: {}", watched.join(", "));
    let is_sure = report.unsure().is_empty() && material.unsure.is_empty() && report.undecided == 0;
    if material.answers.is_empty() {
        out.push_str("Not known: nothing is on record.\n");
    } else if report.exposed.is_empty() && is_sure {
        out.push_str("None on record: no public address was answered at a watched port.\n");
    } else if report.exposed.is_empty() {
        out.push_str("None is listed.\n");
    }
    for why in report.not_known() {
        let _ = writeln!(out, "Not known: {why}");
    }
    for exposure in &report.exposed {
        let flows: u64 = exposure.by.values().map(|service| service.flows).sum();
        let mut who: Vec<String> =
            exposure.by.keys().take(NAMED).map(ToString::to_string).collect();
        if exposure.by.len() > NAMED {
            who.push(format!("{} more", exposure.by.len() - NAMED));
        }
        let about = [&exposure.vpc[..], &exposure.instance, &exposure.name];
        let about: Vec<String> =
            about.into_iter().filter(|text| !text.is_empty()).map(printable).collect();
        let about =
            if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
        let _ = writeln!(
            out,
            "  {}{about} {} {}: {} flows from {}, between {} and {}",
            exposure.interface,
            protocol_name(exposure.protocol),
            exposure.port,
            count(flows),
            who.join(", "),
            time(exposure.first),
            time(exposure.last)
        );
    }
    let more = report.exposed_error();
    if more > 0 {
        let _ = writeln!(
            out,
            "  Lists are cut: any address may have had up to {} more flows, and addresses and ports may be missing; how many is not known.",
            count(more)
        );
    }
    if report.undecided > 0 {
        let _ = writeln!(
            out,
            "  Not decided, and not listed: {} flows at watched ports that may have been answers to connections of the interface's own.",
            count(report.undecided)
        );
    }
    if report.summed && !report.exposed.is_empty() {
        out.push_str(
            "  Interfaces are summed up here: flows include those that only another one of them answered.\n",
        );
    }
    out
}
