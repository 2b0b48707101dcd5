//! For programs: OCSF Detection Finding (class 2004), and a chat's custom notification.
//!
//! Mapping to OCSF 1.5: notify = Medium, high = High, digest = Low, recorded = Informational; an
//! update has activity 2 and the same `finding_info.uid`. What OCSF has no place for is under
//! `unmapped.flowlog`, which is also what `flowlog analyze --format json` lists as a finding.

use serde_json::{Value, json};

use super::render::{ID, owner, printable};
use super::silence::is_account;
use super::text::{action, began, headline};
use super::{Alert, AlertKey, Digest};
use crate::detect::{Finding, Rule, Severity};
use crate::rollup::Evidence;

/// The schema that documents follow.
const OCSF: &str = "1.5.0";

fn severity(severity: Severity) -> (u8, &'static str) {
    match severity {
        Severity::Recorded => (1, "Informational"),
        Severity::Digest => (2, "Low"),
        Severity::Notify => (3, "Medium"),
        Severity::High => (4, "High"),
    }
}

/// MITRE ATT&CK: technique id and name, tactic id and name.
fn attack(rule: Rule) -> &'static [[&'static str; 4]] {
    match rule {
        Rule::RejectBurst | Rule::RejectAnomaly => &[
            ["T1498", "Network Denial of Service", "TA0040", "Impact"],
            ["T1046", "Network Service Discovery", "TA0007", "Discovery"],
        ],
        Rule::PortScan => &[["T1046", "Network Service Discovery", "TA0007", "Discovery"]],
        Rule::HostSweep => &[["T1018", "Remote System Discovery", "TA0007", "Discovery"]],
        Rule::SlowScan => &[["T1595.001", "Scanning IP Blocks", "TA0043", "Reconnaissance"]],
        Rule::BruteForce => &[["T1110", "Brute Force", "TA0006", "Credential Access"]],
        Rule::RejectedThenAccepted => &[
            ["T1190", "Exploit Public-Facing Application", "TA0001", "Initial Access"],
            ["T1133", "External Remote Services", "TA0001", "Initial Access"],
        ],
        Rule::EgressVolume => {
            &[["T1048", "Exfiltration Over Alternative Protocol", "TA0010", "Exfiltration"]]
        }
        Rule::EastWestReject => &[["T1021", "Remote Services", "TA0008", "Lateral Movement"]],
        Rule::SensitivePortExposed => {
            &[["T1133", "External Remote Services", "TA0001", "Initial Access"]]
        }
        Rule::Beacon => &[["T1071", "Application Layer Protocol", "TA0011", "Command and Control"]],
        Rule::DataGap => {
            &[["T1562.008", "Disable or Modify Cloud Logs", "TA0005", "Defense Evasion"]]
        }
        Rule::Unencrypted => &[["T1040", "Network Sniffing", "TA0006", "Credential Access"]],
        Rule::AsymmetricPath | Rule::BlockPublicAccess => &[],
    }
}

/// What CloudFormation or AWS Config call what a finding is on: an interface, an attachment, a VPC or an account.
fn resource_type(id: &str) -> &'static str {
    match id {
        id if id.starts_with("vpc-") => "AWS::EC2::VPC",
        id if id.starts_with("tgw-attach-") => "AWS::EC2::TransitGatewayAttachment",
        id if is_account(id) => "AWS::::Account",
        _ => "AWS::EC2::NetworkInterface",
    }
}

/// The OCSF document of one notification; `finding` is printable.
pub(super) fn ocsf(finding: &Finding, alert: &Alert, key: &AlertKey, dedupe_id: &str) -> Value {
    let (severity_id, severity) = severity(finding.severity);
    let began = milliseconds(began(finding, alert).start());
    let update = alert.told_times > 1;
    let (activity_id, activity) = if update { (2, "Update") } else { (1, "Create") };
    let attacks: Vec<Value> = attack(finding.rule)
        .iter()
        .map(|[id, name, tactic, tactic_name]| {
            json!({
                "technique": { "uid": id, "name": name },
                "tactic": { "uid": tactic, "name": tactic_name },
                "version": "15.1",
            })
        })
        .collect();
    let mut resource = json!({
        "uid": or_unknown(&finding.interface_id),
        "type": resource_type(&finding.interface_id),
        "name": owner(finding),
    });
    if !finding.about.instance_id.is_empty() {
        resource["labels"] = json!([format!("instance:{}", finding.about.instance_id)]);
    }
    json!({
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": 2004,
        "class_name": "Detection Finding",
        "activity_id": activity_id,
        "activity_name": activity,
        "type_uid": 200_400 + activity_id,
        "type_name": format!("Detection Finding: {activity}"),
        "severity_id": severity_id,
        "severity": severity,
        "status_id": 1,
        "status": "New",
        "time": milliseconds(finding.window.end()),
        "start_time": began,
        "end_time": milliseconds(finding.window.end()),
        "count": alert.told_times.max(1),
        "message": headline(finding),
        "metadata": {
            "version": OCSF,
            "product": { "name": "flowlog", "vendor_name": "flowlog", "version": env!("CARGO_PKG_VERSION") },
            "profiles": ["cloud"],
            "uid": dedupe_id,
            "correlation_uid": key.to_string(),
        },
        "cloud": { "provider": "AWS", "account": { "uid": or_unknown(&finding.account_id), "name": or_unknown(&finding.account_id), "type_id": 10, "type": "AWS Account" } },
        "finding_info": {
            "uid": format!("{key}#{}", alert.since.start()),
            "title": format!("{} on {}", finding.rule, finding.interface_id),
            "desc": headline(finding),
            "types": [finding.rule.name()],
            "created_time": milliseconds(alert.since.start()),
            "first_seen_time": began,
            "last_seen_time": milliseconds(finding.window.end()),
            "analytic": { "type_id": 1, "type": "Rule", "uid": finding.rule.name(), "name": finding.rule.name() },
            "attacks": attacks,
            "data_sources": ["Amazon VPC Flow Logs"],
        },
        "resources": [resource],
        "evidences": finding.evidence.records.iter().map(evidence).collect::<Vec<_>>(),
        "unmapped": { "flowlog": { "finding": finding.to_json(), "sequence": alert.seq } },
    })
}

fn evidence(e: &Evidence) -> Value {
    let endpoint = |address: Option<crate::record::Address>, port: u16| json!({ "ip": address.map(|a| a.to_string()), "port": port });
    json!({
        "src_endpoint": endpoint(e.srcaddr, e.srcport),
        "dst_endpoint": endpoint(e.dstaddr, e.dstport),
        "connection_info": { "protocol_num": e.protocol, "direction_id": 0 },
        "data": { "packets": e.packets, "bytes": e.bytes, "start": e.start, "end": e.end, "action": action(e.action) },
    })
}

fn milliseconds(seconds: i64) -> i64 {
    seconds.saturating_mul(1_000)
}

fn or_unknown(text: &str) -> String {
    if text.is_empty() { "unknown".to_owned() } else { text.to_owned() }
}

/// The OCSF document of a digest: one finding of low severity.
pub(super) fn ocsf_digest(digest: &Digest, dedupe_id: &str) -> Value {
    let notice = Notice {
        kind: "digest",
        severity: Severity::Digest,
        count: digest.noted,
        message: format!("{} alerts noted, {} held back", digest.noted, digest.held),
        details: json!(digest),
    };
    ocsf_notice(&notice, digest.to, dedupe_id)
}

/// What is told beside findings.
pub(super) struct Notice {
    /// Its type, and where its details are under `unmapped.flowlog`.
    pub(super) kind: &'static str,
    pub(super) severity: Severity,
    /// How many things it tells of.
    pub(super) count: u64,
    /// What it says in a sentence or two; printable.
    pub(super) message: String,
    /// The same for programs.
    pub(super) details: Value,
}

/// The OCSF document of a notice; `at` in epoch seconds.
pub(super) fn ocsf_notice(notice: &Notice, at: i64, dedupe_id: &str) -> Value {
    let Notice { kind, count, message, details, .. } = notice;
    let (severity_id, severity) = severity(notice.severity);
    json!({
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": 2004,
        "class_name": "Detection Finding",
        "activity_id": 1,
        "activity_name": "Create",
        "type_uid": 200_401,
        "type_name": "Detection Finding: Create",
        "severity_id": severity_id,
        "severity": severity,
        "status_id": 1,
        "status": "New",
        "time": milliseconds(at),
        "count": count,
        "message": message,
        "metadata": {
            "version": OCSF,
            "product": { "name": "flowlog", "vendor_name": "flowlog", "version": env!("CARGO_PKG_VERSION") },
            "uid": dedupe_id,
        },
        "finding_info": {
            "uid": dedupe_id,
            "title": kind,
            "desc": message,
            "types": [kind],
            "created_time": milliseconds(at),
            "data_sources": ["Amazon VPC Flow Logs"],
        },
        "unmapped": { "flowlog": { *kind: details } },
    })
}

/// A custom notification of Amazon Q Developer in chat applications (formerly AWS Chatbot).
pub(super) fn chat(
    title: &str,
    text: &str,
    severity: &str,
    thread: &str,
    dedupe_id: &str,
) -> Value {
    /// What the service takes, with some room.
    const DESCRIPTION: usize = 7_000;
    let description: String = text.chars().take(DESCRIPTION).collect();
    json!({
        "version": "1.0",
        "source": "custom",
        "id": printable(dedupe_id, 2 * ID),
        "content": {
            "textType": "client-markdown",
            "title": title,
            "description": format!("```\n{}\n```", description.replace("```", "'''")),
            "keywords": ["flowlog", severity],
        },
        "metadata": { "threadId": printable(thread, 2 * ID), "summary": title, "eventType": "flowlog-alert" },
    })
}

impl Finding {
    /// The finding as `flowlog analyze --format json` lists it.
    pub fn to_json(&self) -> Value {
        let why = &self.evidence;
        let mut value = json!({
            "type": self.rule.name(),
            "severity": self.severity.name(),
            "cause": self.cause.name(),
            "account_id": printable(&self.account_id, ID),
            "vpc_id": printable(&self.vpc_id, ID),
            "interface_id": printable(&self.interface_id, ID),
            "window": self.window.start(),
            "evidence": {
                "measure": why.measure,
                "value": why.value,
                "baseline": why.baseline,
                "threshold": why.threshold,
                "seconds": why.seconds,
                "sources": why.sources,
                "named": why.named.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "ports": why.ports,
                "rejected_records": why.rejected,
                "skipdata": why.skipdata,
                "records": why.records.iter().map(record_json).collect::<Vec<_>>(),
            },
        });
        if let Some(object) = value.as_object_mut() {
            if let Some(source) = self.source {
                object.insert("source".to_owned(), json!(source.to_string()));
            }
            if let Some(since) = why.since {
                object["evidence"]["since"] = json!(since.start());
            }
            if let Some(target) = self.target {
                let host = target.host.map(|h| h.to_string());
                object.insert("target".to_owned(), json!({ "host": host, "port": target.port }));
            }
            let parties = self.parties.printable();
            let known =
                [("place", parties.place), ("source", parties.source), ("target", parties.target)];
            let known: serde_json::Map<String, Value> = known
                .into_iter()
                .filter_map(|(party, who)| Some((party.to_owned(), json!(who?))))
                .collect();
            if !known.is_empty() {
                object.insert("parties".to_owned(), known.into());
            }
        }
        value
    }
}

fn record_json(e: &Evidence) -> Value {
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
        "action": action(e.action),
    })
}
