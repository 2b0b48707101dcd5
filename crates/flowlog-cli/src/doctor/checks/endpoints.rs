//! The parser in private subnets: a way to S3 and to DynamoDB, and endpoints that admit what it asks.

use serde_json::Value;

use super::super::account::{Account, list_of, text};
use super::super::cli::{Refused, command};
use super::super::finding::Findings;
use super::super::policy::{Policy, Wish};

pub(super) fn check(account: &Account<'_>, found: &mut Findings) -> Result<(), Refused> {
    let function = account.function("S3ParserFunctionName")?;
    let network = &function["VpcConfig"];
    let subnets = list_of(&network["SubnetIds"]);
    if subnets.is_empty() {
        found.ok("the parser runs outside of any VPC and needs no endpoints");
        return Ok(());
    }
    let mut words = vec!["ec2", "describe-subnets", "--subnet-ids"];
    words.extend(subnets.iter().map(text));
    let answer = account.ask(&words)?;
    let vpc = text(&answer["Subnets"][0]["VpcId"]);
    let of_vpc = format!("Name=vpc-id,Values={vpc}");
    let tables = account.ask(&["ec2", "describe-route-tables", "--filters", &of_vpc])?;
    let endpoints = account.ask(&["ec2", "describe-vpc-endpoints", "--filters", &of_vpc])?;
    let endpoints = list_of(&endpoints["VpcEndpoints"]);
    let mut seen = Vec::new();
    for subnet in subnets.iter().map(text) {
        let Some(table) = table_of(list_of(&tables["RouteTables"]), subnet) else {
            found.problem(
                format!("the parser's subnet {subnet} has no route table"),
                vec![command(&["aws", "ec2", "describe-subnets", "--subnet-ids", subnet])],
            );
            continue;
        };
        let id = text(&table["RouteTableId"]);
        if !seen.contains(&id) {
            seen.push(id);
            for service in ["s3", "dynamodb"] {
                way(account, vpc, table, service, endpoints, found);
            }
        }
    }
    egress(account, list_of(&network["SecurityGroupIds"]), found)?;
    if found.well() {
        found.ok(format!(
            "the parser's {} route table(s) lead to S3 and DynamoDB, by endpoints that admit it",
            seen.len()
        ));
    }
    Ok(())
}

/// The route table of a subnet: its own, else the VPC's main one.
fn table_of<'a>(tables: &'a [Value], subnet: &str) -> Option<&'a Value> {
    let associated = |such: &dyn Fn(&Value) -> bool| {
        tables.iter().find(|table| list_of(&table["Associations"]).iter().any(such))
    };
    associated(&|a| text(&a["SubnetId"]) == subnet).or_else(|| associated(&|a| a["Main"] == true))
}

/// Whether this route table leads to the service, and the service's endpoint admits the parser.
fn way(
    account: &Account<'_>,
    vpc: &str,
    table: &Value,
    service: &str,
    endpoints: &[Value],
    found: &mut Findings,
) {
    let id = text(&table["RouteTableId"]);
    let of_service: Vec<_> = endpoints
        .iter()
        .filter(|e| text(&e["ServiceName"]).ends_with(&format!(".{service}")))
        .collect();
    let serves = |e: &&&Value| {
        let interface =
            text(&e["VpcEndpointType"]) == "Interface" && e["PrivateDnsEnabled"] == true;
        interface || list_of(&e["RouteTableIds"]).iter().any(|table| text(table) == id)
    };
    if let Some(endpoint) = of_service.iter().find(serves) {
        let endpoint_id = text(&endpoint["VpcEndpointId"]);
        let state = text(&endpoint["State"]);
        if !state.eq_ignore_ascii_case("available") {
            found.problem(
                format!("the endpoint {endpoint_id} for {service} is {state}"),
                vec![command(&[
                    "aws",
                    "ec2",
                    "describe-vpc-endpoints",
                    "--vpc-endpoint-ids",
                    endpoint_id,
                ])],
            );
        }
        admits(account, endpoint, service, found);
        return;
    }
    // A way to the Internet does as well; for a function an Internet gateway is none.
    let other = list_of(&table["Routes"]).iter().any(|route| {
        text(&route["DestinationCidrBlock"]) == "0.0.0.0/0"
            && text(&route["State"]) != "blackhole"
            && ["NatGatewayId", "TransitGatewayId", "NetworkInterfaceId"]
                .iter()
                .any(|gateway| !text(&route[*gateway]).is_empty())
    });
    if other {
        found.warning(
            format!(
                "{id} leads to {service} by a NAT gateway or beyond, which is paid by the gigabyte"
            ),
            vec![create(account, vpc, id, service)],
        );
        return;
    }
    let mend = match of_service.iter().find(|e| text(&e["VpcEndpointType"]) == "Gateway") {
        Some(endpoint) => {
            let words = ["aws", "ec2", "modify-vpc-endpoint", "--vpc-endpoint-id"];
            let rest = [text(&endpoint["VpcEndpointId"]), "--add-route-table-ids", id];
            command(&[&words[..], &rest].concat())
        }
        None => create(account, vpc, id, service),
    };
    found.problem(
        format!("the parser's route table {id} has no way to {service}: every object times out"),
        vec![mend],
    );
}

fn create(account: &Account<'_>, vpc: &str, table: &str, service: &str) -> String {
    let name = format!("com.amazonaws.{}.{service}", account.stack.region);
    let words = ["aws", "ec2", "create-vpc-endpoint", "--vpc-id", vpc, "--vpc-endpoint-type"];
    let rest = ["Gateway", "--service-name", &name, "--route-table-ids", table];
    command(&[&words[..], &rest].concat())
}

/// Whether the endpoint's policy lets the parser do what it does.
fn admits(account: &Account<'_>, endpoint: &Value, service: &str, found: &mut Findings) {
    let stack = &account.stack;
    let policy = Policy::read(&endpoint["PolicyDocument"]);
    // AWS shows the policy of an endpoint that was given none; who shows nothing has nothing to say.
    if policy.statements.is_empty() {
        return;
    }
    let table = |output| stack.arn("dynamodb", &format!("table/{}", stack.output(output)));
    let mut needs = match service {
        "s3" => vec![
            ("s3:GetObject", stack.bucket_arn(&format!("{}/AWSLogs/object", stack.bucket()))),
            ("s3:ListBucket", stack.bucket_arn(stack.bucket())),
        ],
        _ => vec![
            ("dynamodb:BatchWriteItem", table("AggregatesTable")),
            ("dynamodb:UpdateItem", table("ControlTable")),
        ],
    };
    if let Some(existing) = stack.existing_bucket().filter(|_| service == "s3") {
        needs.push(("s3:GetObject", stack.bucket_arn(&format!("{existing}/object"))));
    }
    let context = [
        ("aws:principalaccount", stack.account.as_str()),
        ("aws:resourceaccount", stack.account.as_str()),
    ];
    let id = text(&endpoint["VpcEndpointId"]);
    for (action, resource) in needs {
        let wish = Wish { service: "*", action, resource: &resource, context: &context };
        if !policy.allows(&wish) || policy.denying(&wish).next().is_some() {
            let words =
                ["aws", "ec2", "modify-vpc-endpoint", "--vpc-endpoint-id", id, "--reset-policy"];
            found.problem(
                format!("the endpoint {id} does not admit {action} on {resource}"),
                vec![
                    "# infra/network.yaml has the narrow policy. This one admits everything for now:".into(),
                    command(&words),
                ],
            );
            return;
        }
    }
}

/// Whether the parser's security groups let HTTPS out.
fn egress(account: &Account<'_>, groups: &[Value], found: &mut Findings) -> Result<(), Refused> {
    let mut words = vec!["ec2", "describe-security-groups", "--group-ids"];
    words.extend(groups.iter().map(text));
    let answer = account.ask(&words)?;
    let mut rules =
        list_of(&answer["SecurityGroups"]).iter().flat_map(|g| list_of(&g["IpPermissionsEgress"]));
    let https = rules.any(|rule| {
        let protocol = text(&rule["IpProtocol"]);
        let port = |name: &str| rule[name].as_i64().unwrap_or(-1);
        protocol == "-1"
            || (protocol == "tcp" && (port("FromPort")..=port("ToPort")).contains(&443))
    });
    if !https && let Some(group) = groups.first().map(text) {
        let words = ["aws", "ec2", "authorize-security-group-egress", "--group-id", group];
        let rest = ["--protocol", "tcp", "--port", "443", "--cidr", "0.0.0.0/0"];
        found.problem(
            format!("the parser's security group {group} lets no HTTPS out"),
            vec![command(&[&words[..], &rest].concat())],
        );
    }
    Ok(())
}
