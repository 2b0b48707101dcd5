//! How to silence an alert: the lines for a rules file.

use std::fmt::Write as _;

use super::AlertKey;
use crate::detect::Finding;
use crate::record::Window;

/// Seconds that the proposed silence lasts: a week.
const WEEK: i64 = 7 * 86_400;

/// An entry for a rules file that silences findings like this one for a week: until the day of a week after
/// `since`, in epoch seconds, or after its window, if that is later.
pub fn entry(finding: &Finding, since: i64) -> String {
    let mut entry = format!("[[suppress]]\nrule = \"{}\"\n", finding.rule);
    let place = &finding.interface_id;
    let plain = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    // Writing to a String cannot fail.
    if AlertKey::is_of_source(finding) {
        // It is silenced wherever it shows.
    } else if plain(place) && !place.starts_with("vpc-") {
        let _ = writeln!(entry, "interface = \"{place}\"");
    } else if plain(&finding.vpc_id) {
        let _ = writeln!(entry, "vpc = \"{}\"", finding.vpc_id);
    }
    if let Some(source) = finding.source {
        let _ = writeln!(entry, "source = [\"{source}\"]");
    }
    if let Some(port) = finding.target.and_then(|t| t.port) {
        let _ = writeln!(entry, "ports = [{port}]");
    }
    let until = Window::of(finding.window.end().max(since) + WEEK).unwrap_or(finding.window);
    let _ = writeln!(entry, "until = {}", day(until));
    entry.push_str("reason = \"say why\"\n");
    entry
}

/// `2026-11-01`.
fn day(window: Window) -> String {
    let day = window.day();
    format!("{}-{}-{}", &day[..4], &day[4..6], &day[6..])
}
