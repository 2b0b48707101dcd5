//! Security groups: what no rule of any of them allows is refused.

use serde_json::Value;

use super::asked::Interface;
use super::{Does, Fact, Packet, Place, alone, block, holds};
use crate::doctor::{Aws, Refused, command, list_of, text};
use crate::report::protocol_name;

/// What the security groups of an interface do with packets. `peers` are the groups of the other end, which
/// rules may name instead of addresses.
pub(super) fn check(
    aws: &dyn Aws,
    place: Place,
    interface: &Interface,
    peers: &[String],
    packet: Packet<'_>,
) -> Result<Fact, Refused> {
    let inbound = place == Place::GroupsIn;
    let direction = if inbound { "inbound" } else { "outbound" };
    let other = if inbound { packet.from } else { packet.to };
    let mut words = vec!["ec2", "describe-security-groups", "--group-ids"];
    words.extend(interface.groups.iter().map(String::as_str));
    let answer = aws.ask(&words)?;
    let key = if inbound { "IpPermissions" } else { "IpPermissionsEgress" };
    let mut lists: Vec<&str> = Vec::new();
    for group in list_of(&answer["SecurityGroups"]) {
        for rule in list_of(&group[key]).iter().filter(|rule| fits(rule, packet)) {
            let cidr = |name: &'static str, range: &'static str| {
                list_of(&rule[name]).iter().map(move |value| text(&value[range]))
            };
            let mut blocks = cidr("IpRanges", "CidrIp").chain(cidr("Ipv6Ranges", "CidrIpv6"));
            let by_block = blocks.find(|found| block(found).is_some_and(|b| holds(&b, other)));
            let mut pairs = list_of(&rule["UserIdGroupPairs"]).iter().map(|p| text(&p["GroupId"]));
            let by_group = pairs.find(|id| peers.iter().any(|peer| peer == id));
            if let Some(whom) = by_block.or(by_group) {
                let what = format!(
                    "{} of {} allows {direction} {} {} {whom}.",
                    text(&group["GroupId"]),
                    interface.id,
                    named(packet),
                    if inbound { "from" } else { "to" },
                );
                return Ok(Fact { place, does: Does::Passes, what, mend: String::new() });
            }
            lists.extend(list_of(&rule["PrefixListIds"]).iter().map(|l| text(&l["PrefixListId"])));
        }
    }
    let groups = interface.groups.join(", ");
    if !lists.is_empty() {
        let what = format!(
            "{groups} of {} allow {direction} {} by prefix lists ({}), which are not read here.",
            interface.id,
            named(packet),
            lists.join(", ")
        );
        return Ok(Fact { place, does: Does::Unknown, what, mend: String::new() });
    }
    let what = format!(
        "no {direction} rule of {groups} (security groups of {}) allows {} {} {other}.",
        interface.id,
        named(packet),
        if inbound { "from" } else { "to" },
    );
    Ok(Fact { place, does: Does::Stops, what, mend: mend(inbound, interface, packet) })
}

/// `tcp/443`.
pub(super) fn named(packet: Packet<'_>) -> String {
    match (packet.protocol, packet.ports) {
        (1 | 58, _) => "icmp".to_owned(),
        (protocol, [port]) => format!("{}/{port}", protocol_name(protocol)),
        (protocol, ports) => {
            let ports: Vec<String> = ports.iter().take(5).map(ToString::to_string).collect();
            format!("{}/{}", protocol_name(protocol), ports.join(","))
        }
    }
}

/// Whether a rule is about this protocol and port.
fn fits(rule: &Value, packet: Packet<'_>) -> bool {
    let named = text(&rule["IpProtocol"]);
    let number = match named {
        "-1" => return true,
        "tcp" => 6,
        "udp" => 17,
        "icmp" => 1,
        "icmpv6" => 58,
        other => match other.parse::<u8>() {
            Ok(number) => number,
            Err(_) => return false,
        },
    };
    let ports = || {
        let from = rule["FromPort"].as_i64().unwrap_or(0);
        let to = rule["ToPort"].as_i64().unwrap_or(65_535);
        packet.ports.iter().all(|port| (from..=to).contains(&i64::from(*port)))
    };
    // ICMP has types in place of ports, which records do not tell: any type counts.
    number == packet.protocol && (!matches!(number, 6 | 17) || ports())
}

/// The command that adds the rule.
fn mend(inbound: bool, interface: &Interface, packet: Packet<'_>) -> String {
    let Some(group) = interface.groups.first() else { return String::new() };
    let call = if inbound {
        "authorize-security-group-ingress"
    } else {
        "authorize-security-group-egress"
    };
    let other = alone(if inbound { packet.from } else { packet.to });
    let (protocol, port) = match packet.protocol {
        6 => ("tcp".to_owned(), packet.ports[0].to_string()),
        17 => ("udp".to_owned(), packet.ports[0].to_string()),
        number => (number.to_string(), "-1".to_owned()),
    };
    let range = if other.contains(':') { "Ipv6Ranges=[{CidrIpv6=" } else { "IpRanges=[{CidrIp=" };
    let permission =
        format!("IpProtocol={protocol},FromPort={port},ToPort={port},{range}{other}}}]");
    command(&["aws", "ec2", call, "--group-id", group, "--ip-permissions", &permission])
}
