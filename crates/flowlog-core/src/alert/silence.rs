//! How to silence an alert: the lines for a rules file.

use std::fmt::Write as _;

use super::AlertKey;
use crate::detect::{Finding, Rule, is_internal};
use crate::record::{DAY_SECONDS, Window};

/// Seconds that the proposed silence lasts: a week.
const WEEK: i64 = 7 * DAY_SECONDS;

/// Whether a place is an account.
pub(super) fn is_account(place: &str) -> bool {
    !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_digit())
}

/// An entry for a rules file that silences findings of this one's alert for a week: until the day of a week after
/// `since`, in epoch seconds, or after its window, if that is later. It names what the alert's [key](AlertKey::of)
/// holds: a source of ours; strangers share an alert, and the next of them would not be silent.
pub fn entry(finding: &Finding, since: i64) -> String {
    let mut entry = format!("[[suppress]]\nrule = \"{}\"\n", finding.rule);
    let plain = |text: &&str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    // What is about a host of ours is silenced wherever it shows in its account.
    let of_source = AlertKey::is_of_source(finding) && is_account(&finding.account_id);
    let there = if of_source { &finding.account_id } else { &finding.interface_id };
    let places = [there.as_str(), &finding.vpc_id, &finding.account_id];
    // A rule that looks at whole accounts takes no other place.
    let taken = |place: &&str| finding.rule != Rule::HostSweep || is_account(place);
    // Writing to a String cannot fail.
    if let Some(place) = places.into_iter().filter(plain).find(taken) {
        // As `vpc` an account is every place in it.
        let whole = place.starts_with("vpc-") || of_source;
        let name = if whole { "vpc" } else { "interface" };
        let _ = writeln!(entry, "{name} = \"{place}\"");
    }
    if let Some(source) = finding.source.filter(is_internal) {
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
