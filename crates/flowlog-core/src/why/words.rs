//! Verdict, causes and advice as people read them.
//!
//! Nothing a stranger wrote stands in them but addresses, numbers and ids that are checked.

use super::explain::{Doubt, Outcome, Ruling};
use super::{Basis, End, Evidence, Legs, Passed, Seen, Service, is_carried};
use crate::record::Address;

/// See [`super::Explanation`].
pub(super) struct Words {
    pub(super) verdict: String,
    pub(super) causes: Vec<String>,
    pub(super) advice: Vec<String>,
}

/// `tcp/443`, `icmp`, `any port`.
fn named(service: Option<Service>) -> String {
    match service {
        None => "any port".to_owned(),
        Some(Service { protocol: 1 | 58, port: 0 }) => "icmp".to_owned(),
        Some(Service { protocol: 6, port }) => format!("tcp/{port}"),
        Some(Service { protocol: 17, port }) => format!("udp/{port}"),
        Some(Service { protocol, port }) => format!("protocol {protocol} port {port}"),
    }
}

/// Interface ids with their subnets: letters, digits and hyphens only.
fn place(end: &End, address: Address) -> String {
    let plain = |id: &str| id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let mut places = end.interfaces.iter().filter(|(id, _)| plain(id)).map(|(id, place)| {
        if place.subnet_id.is_empty() || !plain(&place.subnet_id) {
            id.clone()
        } else {
            format!("{id} in {}", place.subnet_id)
        }
    });
    let Some(first) = places.next() else { return address.to_string() };
    match places.count() {
        0 => format!("{address} ({first})"),
        more => format!("{address} ({first} and {more} more)"),
    }
}

/// That an address is that of hosts in several VPCs.
pub(super) fn several(address: Address, vpcs: usize) -> String {
    format!(
        "{address} is an address in {vpcs} VPCs: what each of those hosts recorded is told together."
    )
}

/// Whether both ends' VPCs are known, and are one.
fn is_in_one_vpc(evidence: &Evidence) -> bool {
    let vpc = |end: &End| {
        let first = end.interfaces.values().next()?;
        (!first.vpc_id.is_empty()).then(|| first.vpc_id.clone())
    };
    vpc(&evidence.src).is_some_and(|a| vpc(&evidence.dst) == Some(a))
}

/// Where packets can be lost without a record, and what to look at.
type Ways = (Vec<String>, Vec<String>);

/// Within one VPC, from one end to the other: there is always a route.
fn local(from: Address, to: &str) -> Ways {
    (
        list([format!(
            "A route more specific than the VPC's local one, in the table of {from}'s subnet, leads to an appliance or another target, and the packets end there."
        )]),
        list([format!(
            "Route table of the subnet of {from}: is there a route to {to} beside the local one? Then its target. The local route is always there."
        )]),
    )
}

/// Behind a transit gateway that carried them: there are routes into it and out of it.
fn beyond(evidence: &Evidence, to: Address) -> Ways {
    let plain = |id: &&String| id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let ids = evidence.between.keys().filter(|id| id.starts_with("tgw-attach-")).filter(plain);
    let at = ids.take(4).map(String::as_str).collect::<Vec<_>>().join(", ");
    (
        list([
            format!(
                "The network ACL of the subnets of the transit gateway's attachment in the VPC of {to} denies it, outbound towards {to}."
            ),
            format!(
                "The route table of those subnets has a route to {to} that is more specific than the local one, into an appliance or nothing."
            ),
            format!(
                "The transit gateway's route leads into another attachment than that of the VPC of {to}."
            ),
        ]),
        list([format!(
            "The attachment in the VPC of {to} (the path passed {at}): network ACL and route table of its subnets. The route before the gateway is there, and the gateway dropped nothing."
        )]),
    )
}

pub(super) fn words(
    evidence: &Evidence,
    service: Option<Service>,
    legs: &Legs,
    ruling: &Ruling,
) -> Words {
    let (a, b) = (evidence.path.src, evidence.path.dst);
    let there = Ends {
        what: named(service),
        src: place(&evidence.src, a),
        dst: place(&evidence.dst, b),
        a,
        b,
    };
    match ruling.outcome {
        Outcome::Accepted => Words {
            verdict: format!("{a} reaches {b} at {}: there and back.", there.what),
            causes: Vec::new(),
            advice: Vec::new(),
        },
        Outcome::Reset => reset(&there),
        Outcome::Unanswered => unanswered(evidence, &there),
        Outcome::RefusedForward { leaving } => refused_forward(&there, leaving, legs),
        Outcome::RefusedBack { leaving } => refused_back(&there, leaving),
        Outcome::Mixed => mixed(evidence.basis, &there),
        Outcome::Dropped { back } => dropped(evidence, &there, back, legs),
        Outcome::NeverArrived => never_arrived(evidence, &there, legs),
        Outcome::AnswerLost => answer_lost(evidence, &there, legs),
        Outcome::Gap => gap(evidence, &there),
        Outcome::NoTraffic => no_traffic(evidence, &there),
        Outcome::Undetermined => undetermined(evidence, &there, legs, &ruling.doubts),
    }
}

/// Everything that a sentence names.
struct Ends {
    what: String,
    src: String,
    dst: String,
    a: Address,
    b: Address,
}

fn list<const N: usize>(items: [String; N]) -> Vec<String> {
    items.into()
}

fn reset(Ends { what, dst, a, b, .. }: &Ends) -> Words {
    Words {
        verdict: format!("{a} reaches {b}, which answers at {what} with resets only."),
        causes: list([format!(
            "No process listens at {what} on {b}, or it refuses the connection."
        )]),
        advice: list([format!("See what listens on {dst}. Nothing of AWS stands in the way.")]),
    }
}

fn unanswered(evidence: &Evidence, Ends { what, dst, b, a, .. }: &Ends) -> Words {
    if evidence.dst.is_covered() {
        return Words {
            verdict: format!("{what} from {a} arrived at {b}, was let in, and was never answered."),
            causes: list([
                format!("A firewall of the host's own drops it, or the process at {what} hangs."),
                "A protocol that does not answer, such as syslog over UDP, looks the same."
                    .to_owned(),
                "The answer left by another interface, which is not in the data.".to_owned(),
            ]),
            advice: list([format!(
                "Look on {dst} itself: security groups and network ACLs let it in."
            )]),
        };
    }
    Words {
        verdict: format!("{what} left {a} for {b}, and nothing came back."),
        causes: list([
            format!("{b} does not answer, or refuses without a word: its owner knows."),
            "The way out leads nowhere: no Internet gateway or NAT gateway in the route."
                .to_owned(),
        ]),
        advice: list([format!("Try another address beyond; then the route of {a}'s subnet.")]),
    }
}

fn refused_forward(Ends { what, src, dst, a, b }: &Ends, leaving: bool, legs: &Legs) -> Words {
    let leg = if leaving { &legs.sent } else { &legs.arrived };
    if leg.refused.reasons.iter().any(|reason| reason == "BPA") {
        return Words {
            verdict: format!("{what} from {a} to {b} was refused by VPC Block Public Access."),
            causes: list(["The account blocks public access to its VPCs.".to_owned()]),
            advice: list([
                "Add an exclusion for the VPC or subnet, if the traffic is wanted.".to_owned()
            ]),
        };
    }
    let both = "The log does not tell which of the two it was: it has one verdict for both.";
    if leaving {
        return Words {
            verdict: format!("{what} from {a} to {b} was refused as it left {src}."),
            causes: list([
                format!("No outbound rule of the security groups of {a} allows {what} to {b}, or"),
                format!("an outbound rule of the network ACL of its subnet denies it. {both}"),
            ]),
            advice: list([
                format!("Security groups of {src}: allow outbound {what} to {b}."),
                format!(
                    "Network ACL of its subnet: an allowing outbound rule for {what} before any that denies it."
                ),
            ]),
        };
    }
    Words {
        verdict: format!("{what} from {a} was refused at {dst}, on its way in."),
        causes: list([
            format!("No inbound rule of the security groups of {b} allows {what} from {a}, or"),
            format!("an inbound rule of the network ACL of its subnet denies it. {both}"),
        ]),
        advice: list([
            format!("Security groups of {dst}: allow inbound {what} from {a}, if it is wanted."),
            format!(
                "Network ACL of its subnet: an allowing inbound rule for {what} before any that denies it."
            ),
        ]),
    }
}

fn refused_back(Ends { what, src, dst, a, b }: &Ends, leaving: bool) -> Words {
    let (place, direction) = if leaving { (dst, "outbound") } else { (src, "inbound") };
    let moment = if leaving { format!("as it left {dst}") } else { format!("as it reached {src}") };
    Words {
        verdict: format!("{what} from {a} reached {b}; the answer was refused {moment}."),
        causes: list([
            format!(
                "The network ACL of that subnet: it is stateless and has no {direction} rule for the ephemeral ports (1024–65535) of answers."
            ),
            "A return route: the answer took another way than the question, so that a security group met it without having seen the connection open.".to_owned(),
        ]),
        advice: list([
            format!("Network ACL of the subnet of {place}: allow {direction} TCP and UDP 1024–65535 {} {}.",
                if leaving { "to" } else { "from" }, if leaving { a } else { b }),
            "Security groups are stateful and let answers through by themselves: their rules need no change.".to_owned(),
            format!("If the ACL allows it: compare the routes between the subnets of {a} and {b}, both ways."),
        ]),
    }
}

/// Why a transit gateway dropped packets: words of ours.
pub(super) fn reasons(seen: &Seen) -> String {
    let reasons: Vec<&str> = seen.reasons.iter().map(String::as_str).collect();
    reasons.join(", ")
}

fn dropped(evidence: &Evidence, Ends { what, a, b, .. }: &Ends, back: bool, legs: &Legs) -> Words {
    let leg = if back { &legs.carried_back } else { &legs.carried };
    let plain = |id: &&String| id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let ids = evidence.dropped_by.iter().filter(plain).take(4);
    let at = ids.map(String::as_str).collect::<Vec<_>>().join(", ");
    let to = if back { a } else { b };
    let why = reasons(&leg.refused);
    let (mut causes, mut advice) = (Vec::new(), Vec::new());
    for reason in &leg.refused.reasons {
        match reason.as_str() {
            "no route" => {
                causes.push(format!(
                    "The transit gateway's route table of the attachment that it came from has no route to {to}."
                ));
                advice.push(format!(
                    "Transit gateway route table of {at}: a route to {to}, by propagation from its attachment or a static one."
                ));
            }
            "blackhole" => {
                causes.push(format!(
                    "The transit gateway's route to {to} is a blackhole: a static one that says so, or its attachment is gone."
                ));
                advice.push(format!(
                    "Transit gateway route table of {at}: the route to {to}, its attachment and state."
                ));
            }
            "MTU exceeded" => {
                causes.push(
                    "Packets are larger than the transit gateway carries (8500 bytes; 1500 over a VPN)."
                        .to_owned(),
                );
                advice.push(format!(
                    "A smaller MTU at {a} and {b}, or let path MTU discovery's ICMP through."
                ));
            }
            _ => {
                causes
                    .push("The packets' time to live ended there: they go in a circle.".to_owned());
                advice.push(format!(
                    "The routes to {to}, from one table to the next: two lead to each other."
                ));
            }
        }
    }
    let verdict = if back {
        format!(
            "{what} from {a} reached {b}; the answer was dropped by the transit gateway ({at}): {why}."
        )
    } else {
        format!("{what} from {a} to {b} was dropped by the transit gateway ({at}): {why}.")
    };
    Words { verdict, causes, advice }
}

fn mixed(basis: Basis, Ends { what, a, b, src, dst }: &Ends) -> Words {
    let changed = match basis {
        Basis::Records => "Rules were changed more than once in that time.",
        Basis::RollUps => "Rules were changed in that time: roll-ups do not tell when in a window.",
    };
    Words {
        verdict: format!("{what} from {a} to {b} is accepted and refused in turns."),
        causes: list([
            "Several interfaces or targets, not all with the same rules.".to_owned(),
            changed.to_owned(),
            "Connections that idle longer than connection tracking remembers them.".to_owned(),
        ]),
        advice: list([format!(
            "Compare the rules of {src} and {dst} at the times below; narrow --since and --until."
        )]),
    }
}

fn never_arrived(evidence: &Evidence, ends: &Ends, legs: &Legs) -> Words {
    let Ends { what, src, dst, a, b } = ends;
    if !evidence.dst.is_covered() {
        return never_answered(evidence, ends, legs);
    }
    let verdict = format!("{what} left {a}, was accepted there, and never arrived at {dst}.");
    if is_carried(&legs.sent, &legs.carried) {
        let (causes, advice) = beyond(evidence, *b);
        return Words { verdict, causes, advice };
    }
    if is_in_one_vpc(evidence) {
        let (causes, advice) = local(*a, dst);
        return Words { verdict, causes, advice };
    }
    let mut advice = list([
        format!(
            "Route table of the subnet of {src}: the most specific route that covers {b}, its target and state."
        ),
        peering(ends),
    ]);
    if by_peering(legs) {
        advice.push(DIRECT.to_owned());
    }
    let pending =
        "The peering connection is not active, or its other side has no route.".to_owned();
    Words { verdict, causes: list([route(ends), pending, transitive(ends)]), advice }
}

/// Sent, and B is not recorded: it may have arrived and been refused, as most of what is refused is.
fn never_answered(evidence: &Evidence, ends: &Ends, legs: &Legs) -> Words {
    let Ends { what, src, a, b, .. } = ends;
    let table = format!(
        "Route table of the subnet of {src}: the most specific route that covers {b}, its target and state."
    );
    // What took a peering had a route, to that one.
    let (causes, looks) = if is_carried(&legs.sent, &legs.carried) {
        beyond(evidence, *b)
    } else if by_peering(legs) {
        (list([transitive(ends)]), list([table, peering(ends), DIRECT.to_owned()]))
    } else {
        (list([route(ends), transitive(ends)]), list([table, peering(ends), DIRECT.to_owned()]))
    };
    let refused = format!(
        "It was refused at {b}: no inbound rule of its security groups allows {what} from {a}, or the network ACL of its subnet denies it or the answer."
    );
    let rules = [
        format!("Security groups of {b}: allow inbound {what} from {a}, if it is wanted."),
        "Network ACL of its subnet: allowing rules, inbound for that and outbound for the answers (1024–65535).".to_owned(),
    ];
    let log = format!("A flow log of the VPC of {b}, with refused traffic: then ask again.");
    let others = [
        format!("It arrived, and {b} did not answer, or the answer was lost on its way back."),
        format!("{b} does not exist."),
    ];
    Words {
        verdict: format!(
            "{what} left {a} and was accepted there; nothing came back, and whether it arrived at {b} is not on record."
        ),
        causes: [refused].into_iter().chain(causes).chain(others).collect(),
        advice: rules.into_iter().chain(looks).chain([log]).collect(),
    }
}

/// Whether `traffic-path` says that it left through a peering connection.
fn by_peering(legs: &Legs) -> bool {
    const PEERING: [u8; 2] = [4, 5];
    legs.sent.accepted.paths.iter().any(|path| PEERING.contains(path))
}

const DIRECT: &str = "Peer the two VPCs directly, or connect all of them by a transit gateway.";

fn route(Ends { a, b, .. }: &Ends) -> String {
    format!(
        "Route: the table of {a}'s subnet has no route to {b}, or one into nothing (state `blackhole`), or it points at another target."
    )
}

fn transitive(Ends { b, .. }: &Ends) -> String {
    format!(
        "Peering is not transitive: if {b} is in a VPC that is peered only with a VPC in between, packets for it are dropped. So are those for what lies behind a peer's gateways."
    )
}

fn peering(Ends { a, b, .. }: &Ends) -> String {
    format!(
        "The peering connection between the VPCs of {a} and {b}: is there one between these two, is it active?"
    )
}

fn answer_lost(evidence: &Evidence, Ends { what, dst, src, a, b }: &Ends, legs: &Legs) -> Words {
    let (mut causes, advice) = if is_carried(&legs.answered, &legs.carried_back) {
        beyond(evidence, *a)
    } else if is_in_one_vpc(evidence) {
        local(*b, src)
    } else {
        (
            list([
                format!(
                    "Return route: the table of {b}'s subnet has no route to {a}, or one into nothing, so the answer is dropped after it left."
                ),
                format!(
                    "Peering needs a route on each side; {b}'s side is missing, or its peering is another one."
                ),
            ]),
            list([format!(
                "Route table of the subnet of {dst}: add a route to {a} (its VPC's range) by the way the question came."
            )]),
        )
    };
    if !evidence.src.is_covered() {
        causes.push(format!("{a} received it, but its interface is not logged."));
    }
    Words {
        verdict: format!(
            "{what} from {a} reached {b}, which answered; the answer never arrived at {src}."
        ),
        causes,
        advice,
    }
}

fn gap(evidence: &Evidence, Ends { what, a, b, .. }: &Ends) -> Words {
    let covered = evidence.src.is_covered() || evidence.dst.is_covered();
    let ends = [&evidence.src, &evidence.dst];
    let mut causes = Vec::new();
    if ends.iter().any(|end| !end.gaps.is_empty()) {
        causes.push("SKIPDATA: AWS could not keep up and left records out, which says nothing about the traffic.".to_owned());
    }
    if ends.iter().any(|end| !end.silent.is_empty()) {
        causes.push("Nothing was delivered, not even NODATA: the flow log was deleted or cannot deliver, or the interface was not there.".to_owned());
    }
    if causes.is_empty() {
        causes.push("No flow log covers either address, or not in this time.".to_owned());
    }
    let advice = if covered {
        format!(
            "Ask again about a time without gaps; `flowlog coverage` shows them. Or try {what} again now."
        )
    } else {
        format!("Check both addresses; create flow logs for the VPCs of {a} and {b}.")
    };
    Words {
        verdict: format!("Whether {a} reached {b} at {what} cannot be told: records are missing."),
        causes,
        advice: list([advice]),
    }
}

/// What does not show, and why, in a sentence.
pub(super) fn doubt(doubt: Doubt) -> String {
    match doubt {
        Doubt::NoRefusals(address) => format!(
            "No REJECT record is there of the flow logs of {address}: if they are of accepted traffic only, a refusal there does not show."
        ),
        Doubt::NothingAccepted(address) => format!(
            "No ACCEPT record is there of the flow logs of {address}: if they are of refused traffic only, what was let through there does not show."
        ),
        Doubt::Cut(address) => format!(
            "The roll-ups of {address} list the heaviest only: it may be among what they leave out."
        ),
        Doubt::Hidden => {
            "Roll-ups do not keep an interface's own address; it shows only where it was refused something, or refused it."
                .to_owned()
        }
    }
}

/// How many interfaces that may be an end are named.
const PASSED: usize = 4;

/// What passed interfaces that may be an end, though roll-ups cannot tell.
pub(super) fn passed(evidence: &Evidence, service: Option<Service>) -> Vec<String> {
    let mut all = evidence.passed.iter().filter(|p| service.is_none_or(|s| s == p.service));
    let told = all.by_ref().take(PASSED).map(|passed| {
        let Passed { with_dst, interface, service, packets_in, packets_out } = passed;
        let (a, b) = (evidence.path.src, evidence.path.dst);
        let (with, own) = if *with_dst { (b, a) } else { (a, b) };
        let what = named(Some(*service));
        format!(
            "{interface} exchanged {what} with {with}: {packets_in} packets in, {packets_out} out. It may be the interface of {own}."
        )
    });
    let mut told: Vec<String> = told.collect();
    let more = all.count();
    if more > 0 {
        told.push(format!("So may those of {more} more such exchanges."));
    }
    told
}

fn undetermined(
    evidence: &Evidence,
    Ends { what, a, b, src, dst }: &Ends,
    legs: &Legs,
    doubts: &[Doubt],
) -> Words {
    let verdict = if !legs.answered.accepted.is_empty() {
        format!(
            "{what} from {a} reached {b}, which answered; whether the answer arrived at {src} cannot be told."
        )
    } else if !legs.arrived.accepted.is_empty() {
        format!("{what} from {a} reached {b}; whether it was answered cannot be told.")
    } else if legs.sent.accepted.is_empty() {
        format!("Whether {a} reached {b} at {what} cannot be told.")
    } else if evidence.dst.is_covered() {
        format!(
            "{what} left {a} and was accepted there; whether it arrived at {dst} cannot be told."
        )
    } else {
        format!("{what} left {a} and was accepted there; what became of it cannot be told.")
    };
    let by_verdict =
        |doubt: &Doubt| matches!(doubt, Doubt::NoRefusals(_) | Doubt::NothingAccepted(_));
    let sent = [&legs.sent, &legs.arrived, &legs.answered].iter().any(|leg| !leg.is_empty());
    let otherwise = if sent { "it was lost on the way" } else { "nobody tried" };
    let causes = doubts.iter().map(|doubt| match doubt {
        Doubt::NoRefusals(address) => format!(
            "A security group or network ACL at {address} refused it, which is not recorded; or {otherwise}."
        ),
        Doubt::NothingAccepted(address) => format!(
            "It was let through at {address}, which is not recorded; or {otherwise}."
        ),
        Doubt::Cut(_) | Doubt::Hidden => {
            "It may have passed, there and back, and not show in roll-ups.".to_owned()
        }
    });
    let mut causes: Vec<String> = causes.collect();
    causes.dedup();
    let mut advice = Vec::new();
    if doubts.iter().any(by_verdict) {
        advice.push(format!(
            "Flow logs of all traffic (ALL) for the VPCs of {a} and {b}; one that exists cannot be changed, it takes a new one. Then ask again."
        ));
    }
    if !doubts.iter().all(by_verdict) {
        advice.push("Ask the records: --data with the files of both interfaces.".to_owned());
    }
    Words { verdict, causes, advice }
}

fn no_traffic(evidence: &Evidence, Ends { what, a, b, src, .. }: &Ends) -> Words {
    let verdict = match evidence.basis {
        Basis::Records => format!("{a} sent nothing to {b} at {what}."),
        Basis::RollUps => format!("Nothing shows that {a} sent anything to {b} at {what}."),
    };
    Words {
        verdict,
        causes: list([
            format!("Nobody tried in this time: the application on {src} did not connect."),
            "The name resolved to another address, or a proxy stands between.".to_owned(),
        ]),
        advice: list([format!(
            "Connect from {a} and ask again ten minutes later; check what the name of {b} resolves to."
        )]),
    }
}
