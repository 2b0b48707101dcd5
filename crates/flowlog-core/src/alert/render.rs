//! What a person and a program receive.
//!
//! Everything in a record is chosen by strangers. What is shown of one is an address, a number or
//! an id, and decoding lets only letters, digits and hyphens into an id. What is shown comes out of
//! a table, though, so ids are made printable here once more.

use std::fmt::Write as _;

use serde_json::json;

use super::Notification;
use crate::detect::{Finding, Rule, Why};
use crate::record::{Action, Address};
use crate::rollup::Evidence;
use crate::store::AlertState;

/// Longest subject that SNS takes, less one.
const SUBJECT: usize = 99;

/// Longest id that is shown.
const ID: usize = 128;

/// Renders notification number `state.seq` of an alert.
pub fn render(finding: &Finding, key: &str, state: &AlertState) -> Notification {
    let finding = &finding.printable();
    let key = printable(key, 2 * ID);
    let dedupe_id = format!("{key}#{}#{}", state.since.start(), state.seq);
    let severity = finding.severity.name();
    Notification {
        subject: subject(finding),
        text: text(finding, state, &dedupe_id),
        json: document(finding, state, &dedupe_id).to_string(),
        attributes: vec![
            ("severity", severity.to_owned()),
            ("rule", finding.rule.name().to_owned()),
            ("interface_id", or_unknown(&finding.interface_id)),
            ("vpc", or_unknown(&finding.vpc_id)),
            ("account", or_unknown(&finding.account_id)),
        ],
        dedupe_id,
    }
}

/// Printable ASCII, with `?` for everything else.
fn printable(text: &str, longest: usize) -> String {
    text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).take(longest).collect()
}

/// SNS refuses empty attribute values.
fn or_unknown(text: &str) -> String {
    if text.is_empty() { "unknown".to_owned() } else { text.to_owned() }
}

/// Rule, severity and interface only.
fn subject(finding: &Finding) -> String {
    let loud = finding.severity.name().to_uppercase();
    let subject = format!("flowlog {loud}: {} on {}", finding.rule, finding.interface_id);
    printable(&subject, SUBJECT)
}

fn text(finding: &Finding, state: &AlertState, dedupe_id: &str) -> String {
    let why = &finding.evidence;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}\n", headline(finding));
    let _ = writeln!(
        out,
        "When       {} UTC, 5-minute window; first notified for {} UTC",
        finding.window, state.since
    );
    let _ = writeln!(out, "Interface  {}", place(finding));
    let _ = writeln!(
        out,
        "Why        {} {} in {} minutes; the threshold is {}",
        why.value,
        why.measure,
        why.seconds / 60,
        why.threshold
    );
    let _ = writeln!(
        out,
        "Refused    {} records in this window, from {} source(s)",
        why.rejected, why.sources
    );
    if !why.ports.is_empty() {
        let ports: Vec<String> = why.ports.iter().map(u16::to_string).collect();
        let _ = writeln!(out, "Ports      {}", ports.join(" "));
    }
    let _ = writeln!(out, "Complete   {}", completeness(why));
    if !why.records.is_empty() {
        out.push_str("\nRecords that show it\n");
        for record in &why.records {
            let _ = writeln!(out, "  {}", row(record));
        }
    }
    let _ = writeln!(out, "\nLikely     {}", likely(finding));
    let _ = writeln!(out, "Next       {}", next_step(finding));
    let _ = writeln!(out, "\nid {dedupe_id}");
    out
}

fn headline(finding: &Finding) -> String {
    match (finding.rule, finding.source) {
        (Rule::PortScan, Some(source)) => {
            format!(
                "{source} ({}) is scanning through interface {}.",
                side(&source),
                finding.interface_id
            )
        }
        (Rule::PortScan, None) => format!("Interface {} is being scanned.", finding.interface_id),
        (Rule::RejectBurst, Some(source)) => format!(
            "Interface {} refuses a burst of traffic, nearly all of it from {source} ({}).",
            finding.interface_id,
            side(&source)
        ),
        (Rule::RejectBurst, None) => {
            format!(
                "Interface {} refuses a burst of traffic from many sources.",
                finding.interface_id
            )
        }
    }
}

fn side(address: &Address) -> &'static str {
    match address.scope() {
        crate::record::Scope::Private => "inside",
        _ => "Internet",
    }
}

fn place(finding: &Finding) -> String {
    let mut place = finding.interface_id.clone();
    for (name, value) in [("VPC", &finding.vpc_id), ("account", &finding.account_id)] {
        if !value.is_empty() {
            let _ = write!(place, ", {name} {value}");
        }
    }
    place
}

fn completeness(why: &Why) -> String {
    if why.skipdata == 0 {
        "AWS reported no skipped records for these windows".to_owned()
    } else {
        format!("AWS skipped records ({} SKIPDATA rows): there may have been more", why.skipdata)
    }
}

fn likely(finding: &Finding) -> &'static str {
    match finding.rule {
        Rule::PortScan if finding.source.is_some_and(|s| side(&s) == "inside") => {
            "a host of yours is looking for open ports: an inventory scanner, or an intruder moving on"
        }
        Rule::PortScan => "an Internet scanner; refused, so nothing got through by these records",
        Rule::RejectBurst => {
            "a flood or botnet from outside, or a security group or network ACL that refuses what it used to accept"
        }
    }
}

fn next_step(finding: &Finding) -> String {
    match (finding.rule, finding.source) {
        (Rule::PortScan, Some(source)) if side(&source) == "inside" => format!(
            "find the owner of {source}; if it is no approved scanner, isolate it and look for ACCEPT records from it"
        ),
        _ => "compare the ports above with what the interface should serve, and with recent changes of its security groups".to_owned(),
    }
}

fn row(e: &Evidence) -> String {
    let address = |a: Option<Address>| a.map_or_else(|| "-".to_owned(), |a| a.to_string());
    let action = match e.action {
        Action::Accept => "ACCEPT",
        Action::Reject => "REJECT",
        Action::Other => "-",
    };
    format!(
        "{} port {} -> {} port {}, protocol {}, {} packets, {} bytes, {}",
        address(e.srcaddr),
        e.srcport,
        address(e.dstaddr),
        e.dstport,
        e.protocol,
        e.packets,
        e.bytes,
        action
    )
}

fn document(finding: &Finding, state: &AlertState, dedupe_id: &str) -> serde_json::Value {
    json!({
        "schema": "flowlog.alert/1",
        "dedupe_id": dedupe_id,
        "sequence": state.seq,
        "since": state.since.start(),
        "finding": finding.to_json(),
    })
}

impl Finding {
    /// The same finding with ids that can be shown anywhere.
    fn printable(&self) -> Self {
        Self {
            interface_id: printable(&self.interface_id, ID),
            account_id: printable(&self.account_id, ID),
            vpc_id: printable(&self.vpc_id, ID),
            ..self.clone()
        }
    }

    /// The finding as `flowlog analyze --format json` lists it.
    pub fn to_json(&self) -> serde_json::Value {
        let why = &self.evidence;
        let mut value = json!({
            "type": self.rule.name(),
            "severity": self.severity.name(),
            "account_id": printable(&self.account_id, ID),
            "vpc_id": printable(&self.vpc_id, ID),
            "interface_id": printable(&self.interface_id, ID),
            "window": self.window.start(),
            "evidence": {
                "measure": why.measure,
                "value": why.value,
                "threshold": why.threshold,
                "seconds": why.seconds,
                "sources": why.sources,
                "ports": why.ports,
                "rejected_records": why.rejected,
                "skipdata": why.skipdata,
                "records": why.records.iter().map(record_json).collect::<Vec<_>>(),
            },
        });
        if let (Some(source), Some(object)) = (self.source, value.as_object_mut()) {
            object.insert("source".to_owned(), json!(source.to_string()));
        }
        value
    }
}

fn record_json(e: &Evidence) -> serde_json::Value {
    json!({
        "start": e.start,
        "end": e.end,
        "srcaddr": e.srcaddr.map(|a| a.to_string()),
        "dstaddr": e.dstaddr.map(|a| a.to_string()),
        "srcport": e.srcport,
        "dstport": e.dstport,
        "protocol": e.protocol,
        "packets": e.packets,
        "bytes": e.bytes,
        "action": match e.action {
            Action::Accept => "ACCEPT",
            Action::Reject => "REJECT",
            Action::Other => "-",
        },
    })
}
