//! Answers as text for a terminal. Everything in them that strangers chose is an address, a number
//! or an id of letters, digits, hyphens and underscores.

use std::fmt::Write as _;

use flowlog_core::alert::Alert;
use flowlog_core::rollup::Sums;
use flowlog_core::store::StateItem;
use indicatif::{HumanBytes, HumanCount};

use super::alerts::{evidence, key};
use super::who::Unlisted;
use super::{Hours, Material, Rejected, Top, Who};
use crate::colour;
use crate::report::{protocol_name, table, time};

pub(super) fn count(n: u64) -> String {
    HumanCount(n).to_string()
}

pub(super) fn bytes(n: u64) -> String {
    HumanBytes(n).to_string()
}

/// Who talks most.
pub fn top_text(top: &Top, material: &Material) -> String {
    let rows = top.rows.iter().map(|row| {
        vec![
            row.address.to_string(),
            count(row.sums.records),
            count(row.sums.packets_in.saturating_add(row.sums.packets_out)),
            bytes(row.sums.bytes_in),
            bytes(row.sums.bytes_out),
            count(row.peers),
        ]
    });
    let header = ["address", "records", "packets", "received from it", "sent to it", "peers"];
    let mut out = table(&header, &[1, 2, 3, 4, 5], rows.collect());
    if top.error_bytes > 0 {
        let _ = writeln!(
            out,
            "Lists are cut at the heaviest: an address may have up to {} more than it says here.",
            bytes(top.error_bytes)
        );
    }
    out + &footer(material)
}

/// The column that says what was not refused the day before.
const NEW: &str = "new since yesterday";

/// What is refused.
pub fn rejected_text(rejected: &Rejected, material: &Material) -> String {
    let Sums { records, packets, bytes: size } = rejected.total;
    let mut out = format!(
        "{} rejected records, {} packets, {}\n",
        count(records),
        count(packets),
        bytes(size)
    );
    let subjects = rejected.by_subject.iter();
    let rows = subjects.map(|(id, s)| vec![id.clone(), count(s.records), bytes(s.bytes)]);
    out += &table(&["where", "records", "bytes"], &[1, 2], rows.collect());
    // Whether something is new is not known where nothing is known of the time before.
    let new = |is: Option<bool>| match is {
        Some(true) => "new".to_owned(),
        Some(false) => String::new(),
        None => "?".to_owned(),
    };
    let rows = rejected.sources.iter().map(|(address, source)| {
        let contacts = count(u64::from(source.contact_count));
        let more = if source.contacts_complete() { "" } else { "+" };
        vec![
            address.to_string(),
            count(source.records),
            format!("{contacts}{more}"),
            time(source.first),
            time(source.last),
            new(rejected.new.as_ref().map(|new| new.sources.contains(address))),
        ]
    });
    let header = ["source", "records", "hosts and ports", "first", "last", NEW];
    out += &table(&header, &[1, 2], rows.collect());
    let rows = rejected.ports.iter().map(|(key, records)| {
        vec![
            format!("{} {}", protocol_name(key.protocol), key.port),
            count(*records),
            new(rejected.new.as_ref().map(|new| new.ports.contains(key))),
        ]
    });
    out += &table(&["port", "records", NEW], &[1], rows.collect());
    if rejected.new.is_none() {
        out.push_str(
            "What is new cannot be told: nothing is known of the time before the last day.\n",
        );
    }
    for (reason, records) in &rejected.reasons {
        let _ = writeln!(out, "refused because of {reason}: {}", count(*records));
    }
    if rejected.sources_error > 0 || rejected.ports_error > 0 {
        let _ = writeln!(
            out,
            "Lists are cut at the heaviest: a source may have up to {} records more, a port {}.",
            count(rejected.sources_error),
            count(rejected.ports_error)
        );
    }
    out + &footer(material)
}

/// What is known of one address.
pub fn who_text(who: &Who, alerts: &[(StateItem, Alert)], material: &Material) -> String {
    let mut out = String::new();
    for (item, alert) in alerts {
        let _ = writeln!(
            out,
            "Alert {} ({}, {}), {} to {}: {}",
            key(item),
            colour::word(alert.severity.name()),
            colour::word(if alert.open { "open" } else { "over" }),
            time(alert.since.start()),
            time(alert.last.end()),
            evidence(alert)
        );
    }
    if who.seen.is_empty() {
        let is_nowhere = who.unlisted.is_nothing() && who.refused_by.is_empty();
        let where_not = if is_nowhere { "shows nowhere" } else { "is in no list" };
        let said = format!("{} {where_not}.\n", who.address);
        return out + &said + &refused_by(who) + &unlisted(who) + &footer(material);
    }
    for seen in &who.seen {
        out.push_str(&colour::title(&seen.subject));
        if let Some((first, last)) = seen.windows {
            let _ = write!(out, ", from {first} to {}", time(last.end()));
        }
        out.push('\n');
        let rows = seen.talked.iter().map(|(key, talker)| {
            vec![
                format!("{} {}", protocol_name(key.protocol), key.port),
                count(talker.records),
                bytes(talker.bytes_in),
                bytes(talker.bytes_out),
            ]
        });
        if !seen.talked.is_empty() {
            let header = ["port", "records", "received from it", "sent to it"];
            out += &table(&header, &[1, 2, 3], rows.collect());
        }
        if let Some(refused) = &seen.refused {
            let _ = writeln!(
                out,
                "  refused as a source: {} records to {}{} hosts and ports, {} to {}",
                count(refused.records),
                count(u64::from(refused.contact_count)),
                if refused.contacts_complete() { "" } else { " or more" },
                time(refused.first),
                time(refused.last)
            );
        }
        for (tuple, verdicts) in &seen.tuples {
            let _ = writeln!(
                out,
                "  {} → {} port {}: refused {} there and {} back; accepted {} packets there and {} back",
                tuple.client,
                tuple.server,
                tuple.port,
                count(verdicts.rejected_forward),
                count(verdicts.rejected_back),
                count(verdicts.accepted_forward),
                count(verdicts.accepted_back)
            );
        }
    }
    out + &refused_by(who) + &unlisted(who) + &footer(material)
}

/// Where to ask what an address's own interface recorded.
fn refused_by(who: &Who) -> String {
    /// Interfaces that are named.
    const NAMED: usize = 3;
    let Some(first) = who.refused_by.first() else { return String::new() };
    let named: Vec<&str> = who.refused_by.iter().take(NAMED).map(String::as_str).collect();
    let more = who.refused_by.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "{}{more} refused packets of it, or for it: such an interface has the address, beside others perhaps, or passes on for who has it. `flowlog top --interface {first}` tells what that one recorded, which is not in this answer.\n",
        named.join(", ")
    )
}

/// What of an address may not show.
fn unlisted(who: &Who) -> String {
    let Unlisted { bytes: size, refused, connections } = who.unlisted;
    if who.unlisted.is_nothing() {
        return String::new();
    }
    let mut out = format!(
        "Lists are cut at the heaviest: up to {} that others exchanged with it and {} records that were refused to it as a source may not show",
        bytes(size),
        count(refused)
    );
    if connections > 0 {
        let _ = write!(
            out,
            ", and of each connection with a private address {} refused records",
            count(connections)
        );
    }
    out + ".\n"
}

/// How complete the data is.
pub fn coverage_text(hours: &Hours, material: &Material) -> String {
    let rows = hours.by_hour.iter().map(|(start, hour)| {
        vec![
            start.to_string(),
            count(hour.windows),
            count(hour.totals.totals.accept.records),
            count(hour.totals.totals.reject.records),
            count(hour.silent),
            count(hour.with_skipdata),
        ]
    });
    let header = ["hour", "interface-windows", "accepted", "rejected", "silent", "with SKIPDATA"];
    table(&header, &[1, 2, 3, 4, 5], rows.collect()) + &footer(material)
}

/// What every answer rests on.
pub(super) fn footer(material: &Material) -> String {
    let coverage = material.coverage();
    let mut out = format!(
        "Rests on {} deliveries: {} done, {} in progress, {} quarantined, {} known by summaries only; {} SKIPDATA records.\n",
        count(coverage.done + coverage.in_progress + coverage.quarantined + coverage.expired),
        count(coverage.done),
        count(coverage.in_progress),
        count(coverage.quarantined),
        count(coverage.expired),
        count(material.skipdata())
    );
    for why in material.incomplete() {
        let _ = writeln!(out, "{}: {why}", colour::word("Incomplete"));
    }
    for note in material.all_notes() {
        let _ = writeln!(out, "note: {note}");
    }
    out
}
