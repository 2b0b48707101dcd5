//! What the account's own rules say of a path: the one thing that no flow log can tell.
//!
//! ```text
//!  A ─ security groups out ─ ACL out ─ route ─ peering ─► ACL in ─ security groups in ─ B    forward
//!  A ◄───────── ACL in (ephemeral) ──────── peering ─ route ─ ACL out (ephemeral) ───── B    back
//! ```
//!
//! Flow logs say where packets ended; each place above is then read from EC2, by the command `aws`, and
//! the one that would stop them there is named. They are the rules of *now*: what was changed since the
//! records were made shows as rules that would let it pass.

mod asked;
mod groups;
mod network;
#[cfg(test)]
mod tests;

use flowlog_core::record::Address;
use flowlog_core::why::{Evidence, Explanation, Outcome, Service};
use ipnet::IpNet;
use serde_json::{Value, json};

use crate::doctor::{Aws, Once, Refused};
use asked::Ends;

/// What one place does with the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// It lets them pass.
    Passes,
    /// It stops them.
    Stops,
    /// What is here cannot decide it.
    Unknown,
}

/// A place that packets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Security groups of A, outbound.
    GroupsOut,
    /// Network ACL of A's subnet, outbound.
    AclOut,
    /// Route of A's subnet to B.
    Route,
    /// Network ACL of B's subnet, inbound.
    AclIn,
    /// Security groups of B, inbound.
    GroupsIn,
    /// Network ACL of B's subnet, outbound, for answers.
    AnswerAclOut,
    /// Route of B's subnet to A.
    AnswerRoute,
    /// Network ACL of A's subnet, inbound, for answers.
    AnswerAclIn,
}

impl Place {
    /// A stable name in snake case.
    pub fn code(self) -> &'static str {
        match self {
            Self::GroupsOut => "security_groups_out",
            Self::AclOut => "network_acl_out",
            Self::Route => "route",
            Self::AclIn => "network_acl_in",
            Self::GroupsIn => "security_groups_in",
            Self::AnswerAclOut => "answer_network_acl_out",
            Self::AnswerRoute => "answer_route",
            Self::AnswerAclIn => "answer_network_acl_in",
        }
    }

    /// Whether packets that end as the records say can have ended here. `recorded`: whether B's end is.
    fn explains(self, outcome: Outcome, recorded: bool) -> bool {
        match outcome {
            // It left, no answer arrived, and what is between is not on record.
            Outcome::NeverArrived if !recorded => {
                !matches!(self, Self::GroupsOut | Self::AclOut | Self::AnswerAclIn)
            }
            Outcome::RefusedForward { leaving: true } => {
                matches!(self, Self::GroupsOut | Self::AclOut)
            }
            Outcome::RefusedForward { leaving: false } => {
                matches!(self, Self::GroupsIn | Self::AclIn)
            }
            Outcome::RefusedBack { leaving: true } => self == Self::AnswerAclOut,
            // A security group stops answers that come by another way than the question.
            Outcome::RefusedBack { leaving: false } => {
                matches!(self, Self::AnswerAclIn | Self::AnswerRoute)
            }
            Outcome::NeverArrived => self == Self::Route,
            Outcome::AnswerLost => self == Self::AnswerRoute,
            // Nothing says where: all of them may.
            Outcome::Mixed | Outcome::NoTraffic | Outcome::Gap | Outcome::Undetermined => true,
            // A transit gateway's own route tables are not read.
            Outcome::Accepted | Outcome::Reset | Outcome::Unanswered | Outcome::Dropped { .. } => {
                false
            }
        }
    }
}

/// What was read of one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Where.
    pub place: Place,
    /// What it does.
    pub does: Does,
    /// In a sentence.
    pub what: String,
    /// A command that would let the packets pass; empty where none is known.
    pub mend: String,
}

/// What the account says about one explanation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowed {
    /// All that was read, along the way.
    pub facts: Vec<Fact>,
    /// Those that explain what the records show: indices of `facts`.
    pub causes: Vec<usize>,
    /// What else there is to know, and what could not be read.
    pub notes: Vec<String>,
}

/// What is asked of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Packet<'a> {
    protocol: u8,
    /// Destination ports: one, or those that clients use where `answer`.
    ports: &'a [u16],
    from: Address,
    to: Address,
}

/// Reads what the account says about one explanation.
pub(crate) fn narrow(aws: &dyn Aws, evidence: &Evidence, explanation: &Explanation) -> Narrowed {
    let mut narrowed = Narrowed::default();
    let Some(service) = explanation.service else {
        narrowed.notes.push("Name a port: rules are about ports.".to_owned());
        return narrowed;
    };
    let once = Once::new(aws);
    if let Err(refused) = read(&once, evidence, explanation, service, &mut narrowed) {
        narrowed.notes.push(format!("The account could not be asked about all of it: {refused}."));
    }
    let end_here =
        |fact: &Fact| fact.place.explains(explanation.outcome, evidence.dst.is_covered());
    let explains = |fact: &Fact| fact.does == Does::Stops && end_here(fact);
    narrowed.causes =
        (0..narrowed.facts.len()).filter(|at| explains(&narrowed.facts[*at])).collect();
    let looked_at = narrowed.facts.iter().any(end_here);
    if narrowed.causes.is_empty() && looked_at {
        narrowed.notes.push(
            "As they are now, the rules that can be read would let it pass: they were changed since, or it is what the records leave open."
                .to_owned(),
        );
    }
    narrowed
}

fn read(
    aws: &dyn Aws,
    evidence: &Evidence,
    explanation: &Explanation,
    service: Service,
    narrowed: &mut Narrowed,
) -> Result<(), Refused> {
    let (a, b) = (evidence.path.src, evidence.path.dst);
    let ends = Ends::ask(aws, evidence)?;
    for (address, end) in [(a, &ends.src), (b, &ends.dst)] {
        if end.is_none() {
            narrowed.notes.push(format!(
                "No interface of this account and Region has the address {address} now: its end is not looked at."
            ));
        }
    }
    let asked = [service.port];
    let forward = Packet { protocol: service.protocol, ports: &asked, from: a, to: b };
    let clients = client_ports(explanation, a);
    let answer = Packet { protocol: service.protocol, ports: &clients, from: b, to: a };
    let (src, dst) = (ends.src.as_ref(), ends.dst.as_ref());
    // What passes within a subnet meets no network ACL.
    let same_subnet = src.zip(dst).is_some_and(|(src, dst)| src.subnet == dst.subnet);
    if let Some(src) = src {
        let peers = dst.map_or(&[][..], |dst| &dst.groups);
        narrowed.facts.push(groups::check(aws, Place::GroupsOut, src, peers, forward)?);
        if !same_subnet {
            narrowed.facts.extend(network::acl(aws, Place::AclOut, src, forward)?);
        }
        narrowed.facts.push(network::route(aws, Place::Route, src, dst, b)?);
    }
    if let Some(dst) = dst {
        if !same_subnet {
            narrowed.facts.extend(network::acl(aws, Place::AclIn, dst, forward)?);
        }
        let peers = src.map_or(&[][..], |src| &src.groups);
        narrowed.facts.push(groups::check(aws, Place::GroupsIn, dst, peers, forward)?);
        if !same_subnet {
            narrowed.facts.extend(network::acl(aws, Place::AnswerAclOut, dst, answer)?);
        }
        narrowed.facts.push(network::route(aws, Place::AnswerRoute, dst, src, a)?);
    }
    if let Some(src) = src.filter(|_| !same_subnet) {
        narrowed.facts.extend(network::acl(aws, Place::AnswerAclIn, src, answer)?);
    }
    Ok(())
}

/// The ports that answers go to: those of the records, else one from each of the ranges that systems use.
fn client_ports(explanation: &Explanation, client: Address) -> Vec<u16> {
    let legs = &explanation.legs;
    let rows = [&legs.sent, &legs.arrived, &legs.answered, &legs.returned]
        .into_iter()
        .flat_map(|leg| [&leg.accepted, &leg.refused])
        .flat_map(|seen| &seen.rows);
    let port = |row: &flowlog_core::rollup::Evidence| {
        if row.srcaddr == Some(client) { row.srcport } else { row.dstport }
    };
    let mut ports: Vec<u16> = rows.map(port).filter(|port| *port >= 1024).collect();
    ports.sort_unstable();
    ports.dedup();
    if ports.is_empty() { vec![1024, 32_768, 49_152, 60_999, 65_535] } else { ports }
}

/// The block that a text names, if it is one.
fn block(text: &str) -> Option<IpNet> {
    text.parse().ok()
}

/// Whether a block has an address.
fn holds(block: &IpNet, address: Address) -> bool {
    match (block, address) {
        (IpNet::V4(block), Address::V4(address)) => block.contains(&address),
        (IpNet::V6(block), Address::V6(address)) => block.contains(&address),
        _ => false,
    }
}

/// An address as the smallest block that has it.
fn alone(address: Address) -> String {
    match address {
        Address::V4(address) => format!("{address}/32"),
        Address::V6(address) => format!("{address}/128"),
        Address::Mac(_) => address.to_string(),
    }
}

impl Narrowed {
    /// For scripts.
    pub fn to_json(&self) -> Value {
        let does = |does| match does {
            Does::Passes => "passes",
            Does::Stops => "stops",
            Does::Unknown => "unknown",
        };
        json!({
            "facts": self.facts.iter().enumerate().map(|(at, fact)| json!({
                "place": fact.place.code(), "does": does(fact.does), "what": fact.what,
                "mend": fact.mend, "explains": self.causes.contains(&at),
            })).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }

    /// For people, line by line: title and text.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        for at in &self.causes {
            let fact = &self.facts[*at];
            lines.push(("Account:", fact.what.clone()));
            if !fact.mend.is_empty() {
                lines.push(("", format!("  {}", fact.mend)));
            }
        }
        let others = self.facts.iter().enumerate().filter(|(at, _)| !self.causes.contains(at));
        for (_, fact) in others {
            let title = match fact.does {
                Does::Passes => "passes:",
                Does::Stops => "stops, too:",
                Does::Unknown => "unknown:",
            };
            lines.push((title, fact.what.clone()));
        }
        lines.extend(self.notes.iter().map(|note| ("Account:", note.clone())));
        lines
    }
}
