//! Network ACLs, which keep no state, and routes, with the peering connections that they lead to.

use flowlog_core::record::Address;
use ipnet::IpNet;
use serde_json::Value;

use super::asked::Interface;
use super::groups::named;
use super::{Does, Fact, Packet, Place, block, holds};
use crate::doctor::{Aws, Refused, command, list_of, text};

/// What the network ACL of an interface's subnet does with packets; `None` if EC2 names none.
pub(super) fn acl(
    aws: &dyn Aws,
    place: Place,
    interface: &Interface,
    packet: Packet<'_>,
) -> Result<Option<Fact>, Refused> {
    let egress = matches!(place, Place::AclOut | Place::AnswerAclOut);
    let filter = format!("Name=association.subnet-id,Values={}", interface.subnet);
    let answer = aws.ask(&["ec2", "describe-network-acls", "--filters", &filter])?;
    let Some(acl) = list_of(&answer["NetworkAcls"]).first() else { return Ok(None) };
    let id = text(&acl["NetworkAclId"]);
    let other = if egress { packet.to } else { packet.from };
    let mut entries: Vec<&Value> = list_of(&acl["Entries"])
        .iter()
        .filter(|entry| entry["Egress"].as_bool() == Some(egress))
        .collect();
    entries.sort_by_key(|entry| entry["RuleNumber"].as_i64());
    let direction = if egress { "outbound" } else { "inbound" };
    for port in packet.ports {
        let one = Packet { ports: &[*port], ..packet };
        let decides = entries.iter().find(|entry| fits(entry, *port, packet.protocol, other));
        if decides.is_some_and(|entry| text(&entry["RuleAction"]) == "allow") {
            continue;
        }
        let rule = decides.and_then(|entry| entry["RuleNumber"].as_i64());
        // 32767 is the rule "*", which denies what no other decides.
        let by = match rule.filter(|number| *number < 32_767) {
            Some(number) => format!("its rule {number} denies"),
            None => "no rule of it allows".to_owned(),
        };
        let answers = if place >= Place::AnswerAclOut { " (answers)" } else { "" };
        let what = format!(
            "network ACL {id} of {}: {by} {direction} {}{answers} {} {other}.",
            interface.subnet,
            named(one),
            if egress { "to" } else { "from" },
        );
        let mend = allow(id, &entries, rule, egress, packet, other, answers.is_empty());
        return Ok(Some(Fact { place, does: Does::Stops, what, mend }));
    }
    let what = format!(
        "network ACL {id} of {} allows {direction} {} {} {other}.",
        interface.subnet,
        named(packet),
        if egress { "to" } else { "from" }
    );
    Ok(Some(Fact { place, does: Does::Passes, what, mend: String::new() }))
}

/// Whether an entry decides about a packet.
fn fits(entry: &Value, port: u16, protocol: u8, other: Address) -> bool {
    let blocks = [text(&entry["CidrBlock"]), text(&entry["Ipv6CidrBlock"])];
    if !blocks.into_iter().filter_map(block).any(|block| holds(&block, other)) {
        return false;
    }
    let number = text(&entry["Protocol"]);
    if number == "-1" {
        return true;
    }
    let range = &entry["PortRange"];
    let ports = range["From"].as_i64().unwrap_or(0)..=range["To"].as_i64().unwrap_or(65_535);
    number.parse() == Ok(protocol)
        && (!matches!(protocol, 6 | 17) || ports.contains(&i64::from(port)))
}

/// The command that adds an entry before the one that denies.
fn allow(
    id: &str,
    entries: &[&Value],
    denies: Option<i64>,
    egress: bool,
    packet: Packet<'_>,
    other: Address,
    forward: bool,
) -> String {
    let taken: Vec<i64> = entries.iter().filter_map(|entry| entry["RuleNumber"].as_i64()).collect();
    let below = denies.unwrap_or(32_767).min(32_767);
    let free = (1..below).rev().find(|number| !taken.contains(number)).map(|n| n.to_string());
    let Some(number) = free else { return String::new() };
    let protocol = packet.protocol.to_string();
    let ports = match (packet.protocol, forward) {
        (6 | 17, true) => format!("From={0},To={0}", packet.ports[0]),
        (6 | 17, false) => "From=1024,To=65535".to_owned(),
        _ => String::new(),
    };
    let cidr = super::alone(other);
    let family = if cidr.contains(':') { "--ipv6-cidr-block" } else { "--cidr-block" };
    let mut words = vec!["aws", "ec2", "create-network-acl-entry", "--network-acl-id", id];
    words.push(if egress { "--egress" } else { "--ingress" });
    words.extend(["--rule-number", &number, "--protocol", &protocol, "--rule-action", "allow"]);
    words.extend([family, &cidr]);
    if packet.protocol == 1 || packet.protocol == 58 {
        words.extend(["--icmp-type-code", "Code=-1,Type=-1"]);
    } else if !ports.is_empty() {
        words.extend(["--port-range", &ports]);
    }
    command(&words)
}

/// Where the route of an interface's subnet leads to an address; `there` is who has it.
pub(super) fn route(
    aws: &dyn Aws,
    place: Place,
    here: &Interface,
    there: Option<&Interface>,
    address: Address,
) -> Result<Fact, Refused> {
    let filter = format!("Name=vpc-id,Values={}", here.vpc);
    let answer = aws.ask(&["ec2", "describe-route-tables", "--filters", &filter])?;
    let Some(table) = table_of(list_of(&answer["RouteTables"]), &here.subnet) else {
        let what = format!("the route table of {} is not described.", here.subnet);
        return Ok(Fact { place, does: Does::Unknown, what, mend: String::new() });
    };
    let id = text(&table["RouteTableId"]);
    let peerings = aws.ask(&["ec2", "describe-vpc-peering-connections"])?;
    let peerings = list_of(&peerings["VpcPeeringConnections"]);
    let fact = |does, what: String, mend| Fact { place, does, what, mend };
    let routes = list_of(&table["Routes"]);
    let mend = || way(id, routes, (here, there), address, peerings);
    let stops = |what: String| fact(Does::Stops, what, mend());
    let Some((to, found)) = longest(routes, address) else {
        let lists = routes.iter().any(|r| r["DestinationPrefixListId"].is_string());
        let what = format!("{id}, the route table of {}, has no route to {address}.", here.subnet);
        return Ok(if lists {
            fact(Does::Unknown, what + " Its prefix lists are not read here.", String::new())
        } else {
            stops(what)
        });
    };
    let leads = format!("{id}, the route table of {}, sends {to} to", here.subnet);
    if text(&found["State"]) == "blackhole" {
        return Ok(stops(format!("{leads} {}, which is gone (blackhole).", target(found))));
    }
    let peering = text(&found["VpcPeeringConnectionId"]);
    let elsewhere = there.is_some_and(|there| there.vpc != here.vpc);
    if peering.is_empty() {
        let what = format!("{leads} {}.", target(found));
        // `local` ends in the VPC itself; what another target does with it stands in no route table.
        return Ok(match (text(&found["GatewayId"]), elsewhere) {
            ("local", true) => stops(what),
            ("local", false) => fact(Does::Passes, what, String::new()),
            (gateway, true) if gateway.starts_with("igw-") => stops(what),
            _ => fact(Does::Unknown, what, String::new()),
        });
    }
    let Some(connection) =
        peerings.iter().find(|one| text(&one["VpcPeeringConnectionId"]) == peering)
    else {
        return Ok(stops(format!("{leads} {peering}, which is not there.")));
    };
    let status = text(&connection["Status"]["Code"]);
    if status != "active" {
        let mut found = stops(format!("{leads} {peering}, which is {status}."));
        if status == "pending-acceptance" {
            let words = ["aws", "ec2", "accept-vpc-peering-connection"];
            let which = ["--vpc-peering-connection-id", peering];
            found.mend = command(&[&words[..], &which].concat());
        }
        return Ok(found);
    }
    let (ours, other) = sides(connection, &here.vpc);
    if ours && !blocks(other).iter().any(|block| holds(block, address)) {
        return Ok(stops(format!(
            "{leads} {peering}, which ends in {}, and {address} is not in that VPC: peering is not transitive.",
            text(&other["VpcId"])
        )));
    }
    Ok(fact(Does::Passes, format!("{leads} {peering}, which is active."), String::new()))
}

/// The route table of a subnet: its own, else the VPC's main one.
fn table_of<'a>(tables: &'a [Value], subnet: &str) -> Option<&'a Value> {
    let associated = |such: &dyn Fn(&Value) -> bool| {
        tables.iter().find(|table| list_of(&table["Associations"]).iter().any(such))
    };
    associated(&|a| text(&a["SubnetId"]) == subnet).or_else(|| associated(&|a| a["Main"] == true))
}

/// The most specific route.
fn longest(routes: &[Value], address: Address) -> Option<(IpNet, &Value)> {
    let blocks = routes.iter().flat_map(|route| {
        ["DestinationCidrBlock", "DestinationIpv6CidrBlock"]
            .into_iter()
            .filter_map(move |key| Some((block(text(&route[key]))?, route)))
    });
    blocks.filter(|(block, _)| holds(block, address)).max_by_key(|(block, _)| block.prefix_len())
}

/// What a route leads to.
fn target(route: &Value) -> &str {
    let keys = [
        "GatewayId",
        "NatGatewayId",
        "TransitGatewayId",
        "VpcPeeringConnectionId",
        "NetworkInterfaceId",
        "EgressOnlyInternetGatewayId",
        "LocalGatewayId",
        "CarrierGatewayId",
        "CoreNetworkArn",
    ];
    keys.into_iter().map(|key| text(&route[key])).find(|id| !id.is_empty()).unwrap_or("a target")
}

/// Whether a VPC is an end of a connection, and the other end.
fn sides<'a>(connection: &'a Value, vpc: &str) -> (bool, &'a Value) {
    let ends = [&connection["RequesterVpcInfo"], &connection["AccepterVpcInfo"]];
    match ends.map(|end| text(&end["VpcId"]) == vpc) {
        [true, _] => (true, ends[1]),
        [_, is] => (is, ends[0]),
    }
}

fn blocks(end: &Value) -> Vec<IpNet> {
    let sets = [("CidrBlockSet", "CidrBlock"), ("Ipv6CidrBlockSet", "Ipv6CidrBlock")];
    let listed = sets
        .into_iter()
        .flat_map(|(set, key)| list_of(&end[set]).iter().map(move |b| text(&b[key])));
    listed.chain([text(&end["CidrBlock"])]).filter_map(block).collect()
}

/// The command that makes a way: a route by the connection between both VPCs, or that connection.
fn way(
    table: &str,
    routes: &[Value],
    (here, there): (&Interface, Option<&Interface>),
    address: Address,
    peerings: &[Value],
) -> String {
    let Some(there) = there.filter(|there| there.vpc != here.vpc) else { return String::new() };
    let between = peerings.iter().find_map(|connection| {
        let (ours, other) = sides(connection, &here.vpc);
        let is_theirs = ours && text(&other["VpcId"]) == there.vpc;
        (is_theirs && text(&connection["Status"]["Code"]) == "active")
            .then_some((connection, other))
    });
    let Some((connection, other)) = between else {
        let words = ["aws", "ec2", "create-vpc-peering-connection", "--vpc-id", &here.vpc];
        return command(&[&words[..], &["--peer-vpc-id", &there.vpc]].concat());
    };
    let all = blocks(other);
    let Some(block) = all.iter().find(|block| holds(block, address)) else { return String::new() };
    let (block, id) = (block.to_string(), text(&connection["VpcPeeringConnectionId"]));
    let family = if matches!(address, Address::V6(_)) {
        "--destination-ipv6-cidr-block"
    } else {
        "--destination-cidr-block"
    };
    let same = |route: &Value| {
        [text(&route["DestinationCidrBlock"]), text(&route["DestinationIpv6CidrBlock"])]
            .contains(&block.as_str())
    };
    let call = if routes.iter().any(same) { "replace-route" } else { "create-route" };
    let words = ["aws", "ec2", call, "--route-table-id", table, family, &block];
    command(&[&words[..], &["--vpc-peering-connection-id", id]].concat())
}
