//! What a person and a program receive.
//!
//! Everything in a record is chosen by strangers. What is shown of one is an address, a number or
//! an id, and decoding lets only letters, digits and hyphens into an id. What is shown comes out of
//! a table, though, so ids are made printable here once more; and names (tags) are free text, which
//! never gets into a subject or an attribute.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use percent_encoding::percent_decode_str;
use serde_json::json;

use super::document::Notice;
use super::{Alert, AlertKey, Digest, Notification, document, text};
use crate::detect::{Finding, Rule, RulesError, Severity, Why};
use crate::rollup::About;

/// Longest subject that SNS takes, less one.
const SUBJECT: usize = 99;
/// Most flow logs that one message names.
const SOURCES: usize = 20;
/// Longest id that is shown.
pub(super) const ID: usize = 128;

/// Renders the latest claim of an alert.
pub fn render(alert: &Alert, key: &AlertKey) -> Notification {
    let finding = &alert.finding.printable();
    let dedupe_id = printable(&format!("{key}#{}#{}", alert.since.start(), alert.seq), 4 * ID);
    let loud = finding.severity.name().to_uppercase();
    let update = if alert.told_times > 1 { " (update)" } else { "" };
    let subject = printable(
        &format!("flowlog {loud}: {} on {}{update}", finding.rule, finding.interface_id),
        SUBJECT,
    );
    let text = text::alert(finding, alert, &dedupe_id);
    let thread = key.to_string();
    let severity = finding.severity.name();
    Notification {
        json: document::ocsf(finding, alert, key, &dedupe_id).to_string(),
        chat: document::chat(&subject, &text, severity, &thread, &dedupe_id).to_string(),
        subject,
        text,
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

/// Renders a digest.
pub fn render_digest(digest: &Digest) -> Notification {
    let dedupe_id = format!("digest#{}", digest.seq);
    let subject =
        format!("flowlog digest: {} alerts noted, {} held back", digest.noted, digest.held);
    let text = text::digest(digest, &dedupe_id);
    Notification {
        json: document::ocsf_digest(digest, &dedupe_id).to_string(),
        chat: document::chat(&subject, &text, "digest", "digest", &dedupe_id).to_string(),
        subject: printable(&subject, SUBJECT),
        text,
        attributes: vec![("severity", "digest".to_owned()), ("rule", "digest".to_owned())],
        dedupe_id,
    }
}

/// A message that shows whether notifications arrive; `now` in epoch seconds.
pub fn render_test(now: i64) -> Notification {
    let dedupe_id = format!("test#{now}");
    let subject = "flowlog TEST: alerts reach you".to_owned();
    let text = format!(
        "This is a test by `flowlog test-alert`. Whoever reads it receives flowlog's alerts.\n\nid {dedupe_id}\n"
    );
    let notice = Notice {
        kind: "test",
        severity: Severity::Recorded,
        count: 1,
        message:
            "This is a test by `flowlog test-alert`. Whoever reads it receives flowlog's alerts."
                .to_owned(),
        details: json!({}),
    };
    Notification {
        json: document::ocsf_notice(&notice, now, &dedupe_id).to_string(),
        chat: document::chat(&subject, &text, "test", "test", &dedupe_id).to_string(),
        subject,
        text,
        attributes: vec![("severity", "test".to_owned()), ("rule", "test".to_owned())],
        dedupe_id,
    }
}

/// How many pieces of a rules file a message names.
const PIECES: usize = 20;

/// Says once that a rules file is not used, or not all of it: `lost` is what this version does not use of the one that
/// stays in force, and `was_good` tells whether that is this file. `now` in epoch seconds.
pub fn render_refused_rules(
    error: &RulesError,
    was_good: bool,
    lost: &[String],
    now: i64,
) -> Notification {
    let place = printable(&error.to_string(), 4 * ID);
    let dedupe_id = format!("rules#{now}");
    let (subject, stays) = if was_good {
        ("flowlog: not all of the rules file is used", "All of it that can be used stays in force")
    } else {
        (
            "flowlog: the rules file is wrong and not used",
            "The last good one stays in force (the defaults, if there was none)",
        )
    };
    let subject = subject.to_owned();
    let mut stays = format!("{stays}.");
    if lost.is_empty() {
        stays.push(' ');
    } else {
        stays.push_str(" Not used as it is written there:\n");
        for piece in lost.iter().take(PIECES) {
            let _ = write!(stays, "\n  {}", printable(piece, 4 * ID));
        }
        if lost.len() > PIECES {
            let _ = write!(stays, "\n  and {} more, in the alerter's log", lost.len() - PIECES);
        }
        stays.push_str("\n\n");
    }
    let text = format!(
        "The rules file cannot be used as it is:\n\n  {place}\n\n{stays}Check a file before you deploy it:\n\n  flowlog rules check FILE\n\nid {dedupe_id}\n"
    );
    let kept = if was_good { "what can be used of it" } else { "the last good one" };
    let notice = Notice {
        kind: "rules",
        severity: Severity::Notify,
        count: 1,
        message: format!(
            "The rules file cannot be used as it is, and {kept} stays in force: {place}"
        ),
        details: json!({
            "line": error.line, "column": error.column, "message": printable(&error.message, 4 * ID),
            "lost": lost.iter().take(PIECES).map(|piece| printable(piece, 4 * ID)).collect::<Vec<_>>(),
        }),
    };
    Notification {
        json: document::ocsf_notice(&notice, now, &dedupe_id).to_string(),
        chat: document::chat(&subject, &text, "notify", "rules", &dedupe_id).to_string(),
        subject,
        text,
        attributes: vec![("severity", "notify".to_owned()), ("rule", "rules".to_owned())],
        dedupe_id,
    }
}

/// Says once which rules sources (by name) cannot feed, and why. `number` counts these messages; `now` in
/// epoch seconds.
pub fn render_starved(
    news: &BTreeMap<String, BTreeMap<Rule, String>>,
    number: u64,
    now: i64,
) -> Notification {
    let dedupe_id = format!("starved#{number}");
    let rules: BTreeSet<Rule> = news.values().flat_map(BTreeMap::keys).copied().collect();
    let subject = format!("flowlog: {} rule(s) lack what they need of a flow log", rules.len());
    let mut text = String::from(
        "These rules are in force, and cannot find anything in what these flow logs record:\n\n",
    );
    let mut message = String::from("Rules in force cannot find anything in what flow logs record.");
    let mut details = Vec::new();
    for (source, starved) in news.iter().take(SOURCES) {
        let source = printable(source, ID);
        let _ = writeln!(text, "{source}");
        let mut said = Vec::new();
        for (rule, why) in starved {
            let why = printable(why, ID);
            let _ = writeln!(text, "  {rule}: {why}");
            said.push(format!("{rule}: {why}"));
            details.push(json!({ "flow_log": source, "rule": rule.name(), "reason": why }));
        }
        let _ = write!(message, " {source}: {}.", said.join("; "));
    }
    if news.len() > SOURCES {
        let _ = writeln!(text, "and {} more flow logs", news.len() - SOURCES);
        let _ = write!(message, " And {} more flow logs.", news.len() - SOURCES);
    }
    let _ = write!(
        text,
        "\nA flow log cannot be changed: to feed a rule, make another one that records ALL traffic in a format with the\nfields named above (`flowlog doctor` has the command), and delete the old one. A rule that is not wanted is\nswitched off in the rules file:\n\n  [rules.block-public-access]\n  enabled = false\n\nThis is said once for each flow log and rule; the other rules work.\n\nid {dedupe_id}\n"
    );
    let notice = Notice {
        kind: "starved",
        severity: Severity::Digest,
        count: news.values().map(|starved| starved.len() as u64).sum(),
        message,
        details: details.into(),
    };
    Notification {
        json: document::ocsf_notice(&notice, now, &dedupe_id).to_string(),
        chat: document::chat(&subject, &text, "digest", "starved", &dedupe_id).to_string(),
        subject: printable(&subject, SUBJECT),
        text,
        attributes: vec![("severity", "digest".to_owned()), ("rule", "starved".to_owned())],
        dedupe_id,
    }
}

/// Printable ASCII, with `?` for everything else.
pub(super) fn printable(text: &str, longest: usize) -> String {
    text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).take(longest).collect()
}

/// SNS refuses empty attribute values.
fn or_unknown(text: &str) -> String {
    if text.is_empty() { "unknown".to_owned() } else { text.to_owned() }
}

/// Interface, instance, name, subnet, VPC, account: what people call it; of a printable finding.
pub(super) fn owner(finding: &Finding) -> String {
    let About { subnet_id, instance_id, name } = &finding.about;
    // What the records say comes first; a directory knows more.
    let known = finding.parties.place.clone().unwrap_or_default();
    let or = |text: &String, other: &String| if text.is_empty() { other } else { text }.clone();
    let instance_id = &or(instance_id, &known.instance_id);
    let described = if instance_id.is_empty() { &known.description } else { &known.name };
    let name = or(name, &or(&known.name, described));
    let mut place = finding.interface_id.clone();
    if !name.is_empty() {
        let _ = write!(place, " named \"{name}\"");
    }
    if !known.owner.is_empty() {
        let _ = write!(place, ", owner \"{}\"", known.owner);
    }
    for (label, value) in [
        ("instance", instance_id),
        ("subnet", subnet_id),
        ("VPC", &finding.vpc_id),
        ("account", &finding.account_id),
    ] {
        if !value.is_empty() && value != &finding.interface_id {
            let _ = write!(place, ", {label} {value}");
        }
    }
    place
}

impl Finding {
    /// The same finding with ids and names that can be shown anywhere.
    fn printable(&self) -> Self {
        let name = percent_decode_str(&self.about.name).decode_utf8_lossy().replace('"', "'");
        Self {
            interface_id: printable(&self.interface_id, ID),
            account_id: printable(&self.account_id, ID),
            vpc_id: printable(&self.vpc_id, ID),
            about: About {
                subnet_id: printable(&self.about.subnet_id, ID),
                instance_id: printable(&self.about.instance_id, ID),
                name: printable(&name, ID),
            },
            parties: self.parties.printable(),
            evidence: Why {
                measure: printable(&self.evidence.measure, ID).into(),
                ..self.evidence.clone()
            },
            ..self.clone()
        }
    }
}
