//! The e-mail: for somebody who never heard of flowlog.

use std::fmt::Write as _;

use super::render::{ID, owner, printable};
use super::silence::is_account;
use super::{Alert, Digest, silence};
use crate::detect::{Cause, EVERY_INTERFACE, Finding, Rule, is_internal};
use crate::record::{Action, Address, DAY_SECONDS, HOUR_SECONDS, WINDOW_SECONDS, Window};
use crate::rollup::{CONTACTS, Evidence, is_watched};

/// The text of one notification; `finding` is printable.
pub(super) fn alert(finding: &Finding, alert: &Alert, dedupe_id: &str) -> String {
    let why = &finding.evidence;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}\n", headline(finding));
    if alert.told_times > 1 {
        let _ = writeln!(
            out,
            "Update     message {} of an alert that goes on; it showed in {} five-minute windows",
            alert.told_times, alert.windows
        );
    }
    let since = began(finding, alert);
    let _ = writeln!(out, "Since      {since} UTC (latest: {} UTC)", finding.window);
    let _ = writeln!(out, "Who        {}", who(finding));
    let _ = writeln!(out, "Whom       {}", whom(finding));
    let _ = writeln!(out, "How much   {}", how_much(finding));
    let _ = writeln!(out, "Why        {}", reason(finding));
    let _ = writeln!(out, "Complete   {}", completeness(finding));
    if !why.records.is_empty() {
        out.push_str("\nRecords that show it\n");
        for record in &why.records {
            let _ = writeln!(out, "  {}", row(record));
        }
    }
    let _ = writeln!(out, "\nLikely     {}", likely(finding));
    let (advice, command) = next_step(finding);
    let _ = writeln!(out, "Next       {advice}");
    if let Some(command) = command {
        let _ = writeln!(out, "\n  {command}");
    }
    out.push_str("\nTo silence this, put into the rules file:\n\n");
    for line in silence::entry(finding, finding.window.end()).lines() {
        let _ = writeln!(out, "  {line}");
    }
    let _ = writeln!(
        out,
        "\nflowlog reads the VPC flow logs of your AWS account and tells what was refused, and what follows from it."
    );
    let _ = writeln!(out, "id {dedupe_id}");
    out
}

/// The first window that is known of: of the episode, of the records that are shown, or of what was found in each
/// window of a while.
pub(super) fn began(finding: &Finding, alert: &Alert) -> Window {
    let why = &finding.evidence;
    // No record that was looked at is older.
    let first = finding.window.end() - why.seconds.max(WINDOW_SECONDS);
    let of = |second: i64| Window::of(second.max(first)).unwrap_or(finding.window);
    let shown = why.records.iter().map(|record| of(record.start));
    // Older versions did not say since when.
    let unsaid = finding.cause == Cause::SecurityGroupOrAcl && why.since.is_none();
    let lasting = unsaid.then(|| of(first));
    shown.chain(lasting).fold(alert.since.min(finding.since()), Window::min)
}

/// Whether a finding is that nothing is recorded any more.
fn is_silence(finding: &Finding) -> bool {
    finding.rule == Rule::DataGap && finding.evidence.skipdata == 0
}

/// What happened, in one sentence.
pub(super) fn headline(finding: &Finding) -> String {
    let place = &finding.interface_id;
    let source = finding.source.map_or_else(|| "somebody".to_owned(), |s| side(&s));
    let port = finding.target.and_then(|t| t.port).unwrap_or(0);
    let target = finding.target.and_then(|t| t.host).map_or_else(String::new, |h| h.to_string());
    match finding.rule {
        Rule::RejectBurst if finding.source.is_some() => {
            format!("Interface {place} refuses a burst of traffic, nearly all of it from {source}.")
        }
        Rule::RejectBurst => {
            format!("Interface {place} refuses a burst of traffic from many sources.")
        }
        Rule::RejectAnomaly => {
            format!("Interface {place} refuses far more traffic than it usually does.")
        }
        Rule::PortScan => format!("{source} is scanning through interface {place}."),
        Rule::HostSweep => format!("{source} tries port {port} on many hosts of {place}."),
        Rule::SlowScan => format!("Slow scanners try doors of interface {place}, a few a day."),
        Rule::BruteForce => {
            format!("{source} opens one short connection after another to port {port} of {place}.")
        }
        Rule::RejectedThenAccepted if is_watched(port) => format!(
            "{source} was refused at many doors of interface {place} and has now been let in at port {port}."
        ),
        Rule::RejectedThenAccepted => format!(
            "{source} was refused at many doors of interface {place}, and the two now exchange data on port {port}."
        ),
        Rule::EgressVolume => {
            format!(
                "Interface {place} sends far more to the Internet than usual, to new addresses."
            )
        }
        Rule::EastWestReject
            if finding.cause == Cause::SecurityGroupOrAcl && finding.source.is_none() =>
        {
            let clients = finding.evidence.sources;
            format!(
                "{clients} clients of ours cannot reach {target} port {port}: every attempt is refused."
            )
        }
        Rule::EastWestReject if finding.cause == Cause::SecurityGroupOrAcl => {
            format!("{source} cannot reach {target} port {port}: every attempt is refused.")
        }
        Rule::EastWestReject => {
            format!("{source} tries many hosts or ports inside, and is refused.")
        }
        Rule::AsymmetricPath => {
            format!("{source} reaches {target} port {port}, but the answers are refused.")
        }
        Rule::SensitivePortExposed => {
            format!("Port {port} of interface {place} talks with the Internet.")
        }
        Rule::Beacon => format!("Interface {place} contacts {source} at regular intervals."),
        Rule::DataGap if finding.evidence.skipdata > 0 => {
            format!("AWS lost flow records of interface {place}.")
        }
        Rule::DataGap => {
            let whole = match place.as_str() {
                EVERY_INTERFACE => "any interface".to_owned(),
                vpc if vpc.starts_with("vpc-") => format!("any interface of VPC {vpc}"),
                account if is_account(account) => format!("any interface of account {account}"),
                interface => format!("interface {interface}"),
            };
            format!("No flow records come from {whole} any more.")
        }
        Rule::Unencrypted => format!("Interface {place} exchanges unencrypted traffic."),
        Rule::BlockPublicAccess => {
            format!("VPC Block Public Access refuses traffic at interface {place}.")
        }
    }
}

/// `10.1.0.9 (inside)`.
fn side(address: &Address) -> String {
    let side = if is_internal(address) { "inside" } else { "Internet" };
    format!("{address} ({side})")
}

fn who(finding: &Finding) -> String {
    let sources = finding.evidence.sources;
    let source = finding.source.map(|source| {
        format!("{}{}", side(&source), finding.known(finding.parties.source.as_ref()))
    });
    match source {
        Some(source) if sources > 1 => format!("{source} and {} more", sources - 1),
        Some(source) => source,
        None if sources > 0 && !finding.evidence.named.is_empty() => {
            let few = finding.evidence.named.iter().take(5).map(side);
            format!("{sources} sources, among them {}", few.collect::<Vec<_>>().join(", "))
        }
        // Of a silence these are the interfaces themselves.
        None if finding.rule == Rule::DataGap && sources > 1 => {
            format!("{sources} interfaces, all that were known there")
        }
        None if finding.rule == Rule::DataGap => "-".to_owned(),
        None if sources > 0 => format!("{sources} sources"),
        None => "-".to_owned(),
    }
}

fn whom(finding: &Finding) -> String {
    let mut place = owner(finding);
    if let Some(target) = finding.target {
        let port = target.port.map_or_else(String::new, |port| format!(" port {port}"));
        match target.host {
            Some(host) => {
                let who = finding.known(finding.parties.target.as_ref());
                place = format!("{host}{port}{who}, seen at {place}");
            }
            None => place = format!("{place}{port}"),
        }
    }
    place
}

fn how_much(finding: &Finding) -> String {
    let why = &finding.evidence;
    if is_silence(finding) {
        let measure = why.measure.trim_start_matches("seconds ");
        return format!("{} {measure}", duration(why.seconds));
    }
    let mut text = format!(
        "{} {} in {}; {}",
        figure(finding.rule, finding.cause, why.value),
        why.measure,
        duration(why.seconds),
        refused(finding)
    );
    if !why.ports.is_empty() {
        let ports: Vec<String> = why.ports.iter().map(u16::to_string).collect();
        let _ = write!(text, "; ports {}", ports.join(" "));
    }
    text
}

/// What was measured: where it was counted in a list that may be full, at least so much.
fn figure(rule: Rule, cause: Cause, value: u64) -> String {
    let listed = match rule {
        Rule::PortScan | Rule::HostSweep | Rule::RejectedThenAccepted => true,
        Rule::EastWestReject => cause == Cause::InsideScan,
        _ => false,
    };
    let full = listed && value >= CONTACTS as u64;
    if full { format!("at least {value}") } else { value.to_string() }
}

/// The refused records that stand beside what was measured: which ones depends on the rule.
fn refused(finding: &Finding) -> String {
    let count = finding.evidence.rejected;
    let records = if count == 1 { "record" } else { "records" };
    match (finding.rule, finding.cause) {
        (Rule::PortScan | Rule::HostSweep | Rule::RejectedThenAccepted, _)
        | (Rule::EastWestReject, Cause::InsideScan) => {
            format!("{count} of its records refused there")
        }
        (Rule::RejectAnomaly, _) => {
            format!(
                "{count} {records} refused there in the same {}",
                duration(finding.evidence.seconds)
            )
        }
        (Rule::SlowScan, _) => format!("{count} {records} refused there in the last hour of it"),
        _ => format!("{count} {records} refused there in the latest five minutes"),
    }
}

fn reason(finding: &Finding) -> String {
    let why = &finding.evidence;
    // Its threshold counts windows, and its value records.
    if finding.cause == Cause::SecurityGroupOrAcl {
        return format!(
            "refused in at least {} windows in a row, and let through in none",
            why.threshold
        );
    }
    let usual = match why.baseline {
        Some(usual) => format!("{usual} is usual here"),
        None => "what is usual here is not needed, or not known yet".to_owned(),
    };
    format!("value {}, threshold {}; {usual}", why.value, why.threshold)
}

fn duration(seconds: i64) -> String {
    match seconds {
        DAY_SECONDS => "24 hours".to_owned(),
        s if s >= 2 * HOUR_SECONDS => {
            format!("{} hours and {} minutes", s / HOUR_SECONDS, s % HOUR_SECONDS / 60)
        }
        s if s < 120 => format!("{s} seconds"),
        s => format!("{} minutes", s / 60),
    }
}

fn completeness(finding: &Finding) -> String {
    let why = &finding.evidence;
    if is_silence(finding) {
        "no: what went on there since then is in no record".to_owned()
    } else if why.skipdata == 0 {
        "AWS reported no skipped records for these windows; records that are still on their way are not in it"
            .to_owned()
    } else {
        format!("AWS skipped records ({} SKIPDATA rows): there may have been more", why.skipdata)
    }
}

fn likely(finding: &Finding) -> &'static str {
    match finding.cause {
        Cause::InternetScan => {
            "attack: an Internet scanner; refused, so nothing got through by these records"
        }
        Cause::InsideScan => {
            "attack, or your own inventory scanner: a host of yours looks for open ports; an intruder who moves on does just that"
        }
        Cause::FloodOrChangedRule => {
            "attack (a flood or a botnet), or a security group or network ACL that now refuses what it used to accept"
        }
        Cause::PasswordGuessing => "attack: somebody guesses passwords or keys",
        Cause::WayIn => "attack: somebody who looked for a way in has found an open port",
        Cause::Exfiltration => "attack (data leaves), or a new backup, release or partner",
        Cause::SecurityGroupOrAcl => {
            "misconfiguration: a security group, or an inbound network ACL, lacks a rule for this connection (with addresses of a peered VPC, look at the peering's routes too)"
        }
        Cause::NetworkAclOrReturnRoute => {
            "misconfiguration: a network ACL without the ephemeral ports (it is stateless), or a return route through another device"
        }
        Cause::ExposedPort => {
            "misconfiguration: a security group opens this port to more than it should"
        }
        Cause::LostRecords => {
            "lost visibility: AWS's own loss, a deleted flow log, a changed bucket policy, or an interface that is gone"
        }
        Cause::Plaintext => {
            "misconfiguration: an instance type or a hop that does not encrypt in transit"
        }
        Cause::BlockPublicAccess => {
            "working as configured: nothing to do, unless something there should be reachable"
        }
    }
}

/// What to do, and a command that begins it. Commands hold addresses, numbers and checked ids only.
fn next_step(finding: &Finding) -> (&'static str, Option<String>) {
    let place = &finding.interface_id;
    let interface = (place.starts_with("eni-")).then(|| {
        format!("aws ec2 describe-network-interfaces --network-interface-ids {place} --query 'NetworkInterfaces[].[Attachment.InstanceId,Groups,SubnetId]'")
    });
    let owner = finding.source.filter(is_internal).map(|source| {
        let filter = match source {
            Address::V6(_) => "ipv6-addresses.ipv6-address",
            _ => "addresses.private-ip-address",
        };
        format!("aws ec2 describe-network-interfaces --filters Name={filter},Values={source}")
    });
    match finding.cause {
        Cause::InsideScan => (
            "find the host; if it is no approved scanner, isolate it and look for what it was let through to",
            owner,
        ),
        Cause::SecurityGroupOrAcl | Cause::NetworkAclOrReturnRoute => (
            "compare the security groups, the network ACLs of both subnets and both route tables with the ports above",
            interface.or(owner),
        ),
        Cause::WayIn | Cause::PasswordGuessing => (
            "close the port to this source now, then read the host's own login records",
            interface,
        ),
        Cause::ExposedPort => ("find the rule that opens the port, and narrow it", interface),
        Cause::Exfiltration => ("find out what on the host sends, and whether anybody expects it", interface),
        Cause::LostRecords => (
            "see whether the flow log still delivers",
            Some("aws ec2 describe-flow-logs --query 'FlowLogs[].[FlowLogId,ResourceId,DeliverLogsStatus,DeliverLogsErrorMessage]'".to_owned()),
        ),
        Cause::Plaintext | Cause::BlockPublicAccess => ("see what the interface belongs to", interface),
        Cause::InternetScan | Cause::FloodOrChangedRule => (
            "compare the ports above with what the interface should serve, and with recent changes of its security groups",
            interface,
        ),
    }
}

fn row(e: &Evidence) -> String {
    let address = |a: Option<Address>| a.map_or_else(|| "-".to_owned(), |a| a.to_string());
    format!(
        "{} port {} -> {} port {}, protocol {}, {} packets, {} bytes, {}",
        address(e.srcaddr),
        e.srcport,
        address(e.dstaddr),
        e.dstport,
        e.protocol,
        e.packets,
        e.bytes,
        action(e.action)
    )
}

/// As AWS writes it.
pub(super) fn action(action: Action) -> &'static str {
    match action {
        Action::Accept => "ACCEPT",
        Action::Reject => "REJECT",
        Action::Other => "-",
    }
}

/// The text of a digest.
pub(super) fn digest(digest: &Digest, dedupe_id: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} alerts that nobody was woken for; {} of them were held back because the hour's budget of notifications was spent.\n",
        digest.noted, digest.held
    );
    for (rule, count) in &digest.by_rule {
        let _ = writeln!(out, "  {count:>6}  {}", printable(rule, ID));
    }
    out.push('\n');
    for line in &digest.lines {
        let held = if line.held { " (held back)" } else { "" };
        let source = match &line.sources[..] {
            [] => String::new(),
            sources => format!(" from {}", sources.join(", ")),
        };
        let _ = writeln!(
            out,
            "{}{held}: {} on {}{}: {} {}, in {} five-minute window(s)",
            line.severity.name(),
            line.rule,
            printable(&line.place, ID),
            printable(&source, 8 * ID),
            figure(line.rule, Cause::InternetScan, line.value),
            printable(&line.measure, ID),
            line.windows
        );
    }
    let left = digest.noted.saturating_sub(digest.lines.len() as u64);
    if left > 0 {
        let _ = writeln!(out, "and {left} more");
    }
    let _ = writeln!(out, "\nid {dedupe_id}");
    out
}
