//! Explanations for people and for scripts.

use std::fmt::Write as _;

use flowlog_core::record::Action;
use flowlog_core::rollup::Evidence as Row;
use flowlog_core::why::{Basis, End, Evidence, Explanation, Leg, Seen, Unread};
use indicatif::HumanCount;
use serde_json::{Value, json};

use super::account::Narrowed;
use crate::colour;
use crate::report::{printable, protocol_name, time};

/// How many services are explained at length; the rest in a line each.
pub const AT_LENGTH: usize = 3;
/// How many services are named at all.
const NAMED: usize = 20;

/// For people. `narrowed` is what the account says of the first explanations.
pub fn to_text(evidence: &Evidence, explanations: &[Explanation], narrowed: &[Narrowed]) -> String {
    let mut out = String::new();
    for (n, explanation) in explanations.iter().take(AT_LENGTH).enumerate() {
        one(explanation, narrowed.get(n), &mut out);
    }
    for explanation in explanations.iter().skip(AT_LENGTH).take(NAMED) {
        let _ = writeln!(out, "{} ({})", explanation.verdict, explanation.sureness.name());
    }
    let more = explanations.len().saturating_sub(AT_LENGTH + NAMED);
    if more > 0 {
        let _ = writeln!(out, "… and {more} more ports; name one to have it explained.");
    }
    let _ = writeln!(out, "\nRests on {}.", basis(evidence));
    for (name, address, end) in
        [("From", evidence.path.src, &evidence.src), ("To", evidence.path.dst, &evidence.dst)]
    {
        let _ = writeln!(out, "{name} {address}: {}", describe(end, evidence.hidden));
    }
    if evidence.reverse > 0 {
        let _ = writeln!(
            out,
            "{} records are of connections the other way round, which {} opened.",
            HumanCount(evidence.reverse),
            evidence.path.dst
        );
    }
    for why in incomplete(evidence) {
        let _ = writeln!(out, "{}: {why}", colour::word("Incomplete"));
    }
    out
}

/// Times without any record that are named.
const GAPS: usize = 10;

/// Why records do not say all of what was asked about, a sentence for each reason. Of roll-ups, the store's footer does.
pub fn incomplete(evidence: &Evidence) -> Vec<String> {
    let mut why = Vec::new();
    if evidence.basis == Basis::RollUps {
        return why;
    }
    let ends = [&evidence.src, &evidence.dst];
    if !evidence.unread.is_nothing() {
        why.push("not all of the files could be read.".to_owned());
    }
    if ends.iter().any(|end| !end.gaps.is_empty()) {
        why.push("AWS skipped records of the ends.".to_owned());
    }
    why.extend(evidence.unheard.iter().take(GAPS).map(|(from, to)| {
        format!("nothing is on record from {} to {}, not even NODATA.", time(*from), time(*to))
    }));
    let more = evidence.unheard.len().saturating_sub(GAPS);
    if more > 0 {
        why.push(format!("there are {more} more such times of an hour or longer."));
    }
    if ends.iter().any(|end| !end.silent.is_empty()) {
        why.push("for some of the time nothing was delivered of one of the ends.".to_owned());
    }
    if !ends.iter().any(|end| end.is_covered()) {
        why.push("no interface in the data has either address.".to_owned());
    }
    why
}

fn basis(evidence: &Evidence) -> String {
    let Unread { of, files, lines } = evidence.unread;
    match evidence.basis {
        Basis::RollUps => "the store's roll-ups".to_owned(),
        Basis::Records if evidence.unread.is_nothing() => "every record of the files".to_owned(),
        Basis::Records => {
            let [read, of, lines] = [of - files, of, lines].map(HumanCount);
            format!("{read} of {of} files; of these, {lines} line(s) could not be read")
        }
    }
}

/// `hidden`: how many interfaces may have the address without its showing.
fn describe(end: &End, hidden: u64) -> String {
    if end.interfaces.is_empty() && hidden > 0 {
        let hidden = HumanCount(hidden);
        return format!(
            "not known from roll-ups, which do not show the own address of {hidden} interface(s); --data tells"
        );
    }
    if end.interfaces.is_empty() {
        return "no interface in the data has this address".to_owned();
    }
    let ids = end.interfaces.iter().map(|(id, place)| match place.subnet_id.as_str() {
        "" => printable(id),
        subnet => format!("{} in {}", printable(id), printable(subnet)),
    });
    let mut text = ids.take(4).collect::<Vec<_>>().join(", ");
    if let Some((first, last)) = end.span {
        let _ = write!(text, ", {} to {}", time(first), time(last));
    }
    if !end.gaps.is_empty() {
        let _ = write!(text, ", {} gap(s)", end.gaps.len());
    }
    // To the nearest minute.
    let minute = |second: i64| time(second + 30);
    for (from, to) in &end.silent {
        let _ = write!(text, ", nothing delivered {} to {}", minute(*from), minute(to + 1));
    }
    text
}

fn one(explanation: &Explanation, narrowed: Option<&Narrowed>, out: &mut String) {
    if !out.is_empty() {
        out.push('\n');
    }
    let verdict = colour::title(&explanation.verdict);
    let _ = writeln!(out, "{verdict}\n  {}", explanation.sureness.name());
    for (title, lines) in [
        ("Why", &explanation.causes),
        ("What to do", &explanation.advice),
        ("Note", &explanation.notes),
    ] {
        for (n, line) in lines.iter().enumerate() {
            let title = if n == 0 { format!("{title}:") } else { String::new() };
            let _ = writeln!(out, "  {title:<11} {line}");
        }
    }
    for (title, line) in narrowed.map(Narrowed::lines).into_iter().flatten() {
        let _ = writeln!(out, "  {title:<11} {line}");
    }
    for (name, leg) in legs(explanation) {
        for (verdict, seen) in [("accepted", &leg.accepted), ("refused", &leg.refused)] {
            if seen.is_empty() {
                continue;
            }
            // Roll-ups keep the packets of what was accepted, not its records.
            let dropped = verdict == "refused" && name.ends_with("gateway");
            let verdict = if dropped { "dropped" } else { verdict };
            let (many, unit) = match seen.records {
                0 => (seen.packets, "packets"),
                records => (records, "records"),
            };
            let _ = writeln!(
                out,
                "  {name}: {} {unit} {}, {} to {}",
                HumanCount(many),
                colour::word(verdict),
                time(seen.first),
                time(seen.last)
            );
            for row in &seen.rows {
                let _ = writeln!(out, "      {}", row_text(row));
            }
        }
    }
}

fn legs(explanation: &Explanation) -> [(&'static str, &Leg); 6] {
    let legs = &explanation.legs;
    [
        ("sent, where it left", &legs.sent),
        ("sent, at the transit gateway", &legs.carried),
        ("sent, where it arrived", &legs.arrived),
        ("answer, where it left", &legs.answered),
        ("answer, at the transit gateway", &legs.carried_back),
        ("answer, where it arrived", &legs.returned),
    ]
}

fn row_text(row: &Row) -> String {
    let address = |address: Option<flowlog_core::record::Address>| {
        address.map_or_else(|| "-".to_owned(), |a| a.to_string())
    };
    format!(
        "{} {} → {} {}→{} {}, {} packets, {} bytes: {}",
        time(row.start),
        address(row.srcaddr),
        address(row.dstaddr),
        row.srcport,
        row.dstport,
        protocol_name(row.protocol),
        row.packets,
        row.bytes,
        colour::word(action(row.action))
    )
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Accept => "ACCEPT",
        Action::Reject => "REJECT",
        Action::Other => "-",
    }
}

/// For scripts.
pub fn to_json(evidence: &Evidence, explanations: &[Explanation], narrowed: &[Narrowed]) -> Value {
    let narrowed = narrowed.iter().map(Some).chain(std::iter::repeat(None));
    let explained = explanations.iter().zip(narrowed).map(|(explanation, narrowed)| {
        let mut value = explanation_json(explanation);
        if let Some(narrowed) = narrowed {
            value["account"] = narrowed.to_json();
        }
        value
    });
    json!({
        "src": evidence.path.src.to_string(),
        "dst": evidence.path.dst.to_string(),
        "basis": match evidence.basis { Basis::Records => "records", Basis::RollUps => "rollups" },
        "ends": { "src": end_json(&evidence.src), "dst": end_json(&evidence.dst) },
        "reverse_records": evidence.reverse,
        "files_unread": evidence.unread.files,
        "lines_unread": evidence.unread.lines,
        "interfaces_unknown": evidence.hidden,
        "explanations": explained.collect::<Vec<_>>(),
    })
}

fn end_json(end: &End) -> Value {
    json!({
        "interfaces": end.interfaces.iter().map(|(id, place)| json!({
            "interface_id": id, "vpc_id": place.vpc_id, "subnet_id": place.subnet_id,
        })).collect::<Vec<_>>(),
        "gaps": end.gaps,
        "silent": end.silent,
        "from": end.span.map(|(first, _)| first),
        "to": end.span.map(|(_, last)| last),
    })
}

fn explanation_json(explanation: &Explanation) -> Value {
    let legs = &explanation.legs;
    let leg = |leg: &Leg| json!({ "accepted": seen(&leg.accepted), "refused": seen(&leg.refused) });
    json!({
        "protocol": explanation.service.map(|s| s.protocol),
        "port": explanation.service.map(|s| s.port),
        "outcome": explanation.outcome.code(),
        "sureness": explanation.sureness.name(),
        "verdict": explanation.verdict,
        "causes": explanation.causes,
        "advice": explanation.advice,
        "notes": explanation.notes,
        "legs": {
            "sent": leg(&legs.sent), "arrived": leg(&legs.arrived),
            "answered": leg(&legs.answered), "returned": leg(&legs.returned),
            "carried": leg(&legs.carried), "carried_back": leg(&legs.carried_back),
        },
    })
}

fn seen(seen: &Seen) -> Value {
    if seen.is_empty() {
        return Value::Null;
    }
    json!({
        "records": (seen.records > 0).then_some(seen.records),
        "packets": seen.packets, "first": seen.first, "last": seen.last,
        "tcp_flags": seen.flags, "reject_reasons": seen.reasons,
        "rows": seen.rows.iter().map(|row| json!({
            "start": row.start, "end": row.end,
            "srcaddr": row.srcaddr.map(|a| a.to_string()), "dstaddr": row.dstaddr.map(|a| a.to_string()),
            "srcport": row.srcport, "dstport": row.dstport, "protocol": row.protocol,
            "packets": row.packets, "bytes": row.bytes, "action": action(row.action),
        })).collect::<Vec<_>>(),
    })
}
