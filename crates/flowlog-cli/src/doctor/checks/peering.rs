//! Peering connections of the VPCs that are logged: accepted, and routed on both sides.

use ipnet::Ipv4Net;
use serde_json::Value;

use super::super::account::{Account, list_of, text};
use super::super::cli::{Refused, command};
use super::super::finding::Findings;
use super::flow_logs;

/// One end of a connection.
struct Side<'a> {
    vpc: &'a str,
    account: &'a str,
    region: &'a str,
    blocks: Vec<Ipv4Net>,
}

impl<'a> Side<'a> {
    fn read(info: &'a Value) -> Self {
        let set = list_of(&info["CidrBlockSet"]).iter().map(|block| text(&block["CidrBlock"]));
        let mut blocks: Vec<Ipv4Net> =
            set.chain([text(&info["CidrBlock"])]).filter_map(|block| block.parse().ok()).collect();
        blocks.sort();
        blocks.dedup();
        Self {
            vpc: text(&info["VpcId"]),
            account: text(&info["OwnerId"]),
            region: text(&info["Region"]),
            blocks,
        }
    }

    fn has(&self, destination: Ipv4Net) -> bool {
        self.blocks.iter().any(|own| own.contains(&destination) || destination.contains(own))
    }
}

pub(super) fn check(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    let mut vpcs: Vec<String> = flow_logs::own_vpcs(account).map(str::to_owned).collect();
    let logged = flow_logs::ours(account)?.into_iter().map(|log| log.resource);
    vpcs.extend(logged.filter(|resource| resource.starts_with("vpc-")));
    let answer = account.ask(&["ec2", "describe-vpc-peering-connections"])?;
    let all = list_of(&answer["VpcPeeringConnections"]);
    let mut routed = 0;
    for connection in all {
        let from = Side::read(&connection["RequesterVpcInfo"]);
        let to = Side::read(&connection["AccepterVpcInfo"]);
        if !vpcs.iter().any(|vpc| vpc == from.vpc || vpc == to.vpc) {
            continue;
        }
        let id = text(&connection["VpcPeeringConnectionId"]);
        if !active(connection, id, &from, &to, all, found) {
            continue;
        }
        routed += 1;
        for (here, there) in [(&from, &to), (&to, &from)] {
            routes(account, id, here, there, found)?;
        }
    }
    lost(account, &vpcs, all, found)?;
    if found.well() {
        match routed {
            0 => found.ok("the VPCs that are logged are peered with none"),
            many => found
                .ok(format!("{many} peering connection(s) are active and routed on both sides")),
        }
    }
    Ok(())
}

/// Whether the connection carries traffic; what keeps it from that is found.
fn active(
    connection: &Value,
    id: &str,
    from: &Side<'_>,
    to: &Side<'_>,
    all: &[Value],
    found: &mut Findings,
) -> bool {
    let status = text(&connection["Status"]["Code"]);
    let message = text(&connection["Status"]["Message"]);
    let ends = format!("{id} between {} and {}", from.vpc, to.vpc);
    match status {
        "active" => return true,
        "pending-acceptance" => {
            let words =
                ["aws", "ec2", "accept-vpc-peering-connection", "--vpc-peering-connection-id"];
            let mut accept = [&words[..], &[id]].concat();
            if !to.region.is_empty() && to.region != from.region {
                accept.extend(["--region", to.region]);
            }
            found.problem(
                format!("{ends} waits to be accepted, for seven days at most"),
                vec![format!("# as account {}:", to.account), command(&accept)],
            );
        }
        "initiating-request" | "provisioning" => {
            found.warning(format!("{ends} is {status}; ask again in a minute"), Vec::new());
        }
        // What was deleted, refused or has failed is shown for a while, also when another has taken its
        // place. Routes that still lead there are found as such.
        _ => {
            let replaced = all.iter().any(|other| {
                text(&other["Status"]["Code"]) == "active"
                    && text(&other["RequesterVpcInfo"]["VpcId"]) == from.vpc
                    && text(&other["AccepterVpcInfo"]["VpcId"]) == to.vpc
            });
            if !replaced && !["deleted", "deleting"].contains(&status) {
                let words = ["aws", "ec2", "create-vpc-peering-connection", "--vpc-id", from.vpc];
                let rest = ["--peer-vpc-id", to.vpc, "--peer-owner-id", to.account];
                found.problem(
                    format!("{ends} is {status}: {message}"),
                    vec![
                        "# Blocks that overlap cannot be peered. Otherwise, ask again:".to_owned(),
                        command(&[&words[..], &rest].concat()),
                    ],
                );
            }
        }
    }
    false
}

/// The route tables of a VPC, in its Region.
fn tables(account: &Account<'_>, vpc: &str, region: &str) -> Result<Vec<Value>, Refused> {
    let of_vpc = format!("Name=vpc-id,Values={vpc}");
    let mut words = vec!["ec2", "describe-route-tables", "--filters", &of_vpc];
    if !region.is_empty() && region != account.stack.region {
        words.extend(["--region", region]);
    }
    Ok(list_of(&account.ask(&words)?["RouteTables"]).to_vec())
}

/// Whether a route table of `here` leads to `there`, and none leads beyond it.
fn routes(
    account: &Account<'_>,
    id: &str,
    here: &Side<'_>,
    there: &Side<'_>,
    found: &mut Findings,
) -> Result<(), Refused> {
    let block = there.blocks.first().map(Ipv4Net::to_string).unwrap_or_default();
    if !here.account.is_empty() && here.account != account.stack.account {
        let of_vpc = format!("Name=vpc-id,Values={}", here.vpc);
        let words = ["aws", "ec2", "describe-route-tables", "--filters", &of_vpc];
        found.warning(
            format!(
                "whether {} routes {block} to {id} is known in account {} only",
                here.vpc, here.account
            ),
            vec!["# there (infra/peer-side.yaml makes the routes):".to_owned(), command(&words)],
        );
        return Ok(());
    }
    let tables = tables(account, here.vpc, here.region)?;
    let mut leads = false;
    for table in &tables {
        let table_id = text(&table["RouteTableId"]);
        let by_peering = list_of(&table["Routes"]).iter();
        for route in by_peering.filter(|route| text(&route["VpcPeeringConnectionId"]) == id) {
            let Ok(destination) = text(&route["DestinationCidrBlock"]).parse::<Ipv4Net>() else {
                // A prefix list, or IPv6: what it holds is not looked up.
                leads = true;
                continue;
            };
            if there.has(destination) {
                leads = true;
            } else {
                found.warning(
                    format!(
                        "{table_id} of {} sends {destination} by {id}, which ends in {}: peering is not \
                         transitive, and what is for elsewhere is dropped there",
                        here.vpc, there.vpc
                    ),
                    vec![
                        format!("# Peer {} with whoever has {destination}; this route leads nowhere:", here.vpc),
                        delete(table_id, &destination.to_string()),
                    ],
                );
            }
        }
    }
    if !leads {
        let mut mend =
            vec!["# in the route table of each subnet that should reach it, of these:".to_owned()];
        for table in &tables {
            let words =
                ["aws", "ec2", "create-route", "--route-table-id", text(&table["RouteTableId"])];
            let rest = ["--destination-cidr-block", &block, "--vpc-peering-connection-id", id];
            mend.push(command(&[&words[..], &rest].concat()));
        }
        found.problem(
            format!(
                "no route table of {} leads to {block} by {id}: what {} sends here is never answered",
                here.vpc, there.vpc
            ),
            mend,
        );
    }
    Ok(())
}

fn delete(table: &str, destination: &str) -> String {
    let words = ["aws", "ec2", "delete-route", "--route-table-id", table];
    command(&[&words[..], &["--destination-cidr-block", destination]].concat())
}

/// Routes of the logged VPCs to connections that are no longer there.
fn lost(
    account: &Account<'_>,
    vpcs: &[String],
    all: &[Value],
    found: &mut Findings,
) -> Result<(), Refused> {
    let mut asked: Vec<&str> = Vec::new();
    for vpc in vpcs {
        if asked.contains(&vpc.as_str()) {
            continue;
        }
        asked.push(vpc);
        for table in tables(account, vpc, "")? {
            for route in list_of(&table["Routes"]) {
                let id = text(&route["VpcPeeringConnectionId"]);
                let alive = |connection: &&Value| {
                    text(&connection["VpcPeeringConnectionId"]) == id
                        && !["deleted", "deleting", "failed", "rejected", "expired"]
                            .contains(&text(&connection["Status"]["Code"]))
                };
                if !id.is_empty() && !all.iter().any(|connection| alive(&connection)) {
                    let destination = text(&route["DestinationCidrBlock"]);
                    let table = text(&table["RouteTableId"]);
                    found.problem(
                        format!("{table} of {vpc} sends {destination} to {id}, which is gone"),
                        vec![delete(table, destination)],
                    );
                }
            }
        }
    }
    Ok(())
}
