//! The parser's way out, and peering.

use serde_json::json;

use super::super::Canned;
use super::{planted_among, problem, set, warning};

const ROUTES_A: &str = "ec2 describe-route-tables --filters Name=vpc-id,Values=vpc-a";
const ROUTES_B: &str = "ec2 describe-route-tables --filters Name=vpc-id,Values=vpc-b";
const ENDPOINTS: &str = "ec2 describe-vpc-endpoints";
const PEERING: &str = "ec2 describe-vpc-peering-connections";

#[test]
fn endpoints() {
    let check = "endpoints";
    let away = set(ENDPOINTS, "/VpcEndpoints/0/RouteTableIds", json!(["rtb-a"]));
    problem(away, check, "rtb-parser has no way to s3", "--add-route-table-ids rtb-parser");
    let none = |canned: &mut Canned| {
        canned.of(ENDPOINTS)["VpcEndpoints"].as_array_mut().unwrap().remove(1);
    };
    problem(none, check, "no way to dynamodb", "com.amazonaws.us-east-1.dynamodb");
    let by_nat = |canned: &mut Canned| {
        none(canned);
        let routes = canned.of(ROUTES_A)["RouteTables"][2]["Routes"].as_array_mut().unwrap();
        routes.push(json!({"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"}));
    };
    warning(by_nat, check, "by a NAT gateway", "create-vpc-endpoint");
    let pending = set(ENDPOINTS, "/VpcEndpoints/0/State", json!("deleting"));
    problem(pending, check, "vpce-s3 for s3 is deleting", "describe-vpc-endpoints");
    let policy = json!(
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::o/*"}]}"#
    );
    let narrow = set(ENDPOINTS, "/VpcEndpoints/0/PolicyDocument", policy);
    problem(narrow, check, "does not admit s3:GetObject on arn:aws:s3:::logs", "--reset-policy");
    let shut = set(
        "ec2 describe-security-groups",
        "/SecurityGroups/0/IpPermissionsEgress",
        json!([{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}]),
    );
    problem(shut, check, "lets no HTTPS out", "authorize-security-group-egress --group-id sg-1");
    // The main route table is that of a subnet without one.
    let main = set(ROUTES_A, "/RouteTables/2/Associations", json!([]));
    planted_among(main, check, "rtb-main has no way to s3", "--add-route-table-ids rtb-main");
}

#[test]
fn peering() {
    let check = "peering";
    let code = "/VpcPeeringConnections/0/Status/Code";
    let pending = |canned: &mut Canned| {
        canned.set(PEERING, code, json!("pending-acceptance"));
        canned.set(PEERING, "/VpcPeeringConnections/0/AccepterVpcInfo/Region", json!("eu-west-1"));
    };
    let accept =
        "accept-vpc-peering-connection --vpc-peering-connection-id pcx-1 --region eu-west-1";
    problem(pending, check, "waits to be accepted", accept);
    let failed = set(PEERING, code, json!("failed"));
    planted_among(
        failed,
        check,
        "pcx-1 between vpc-a and vpc-b is failed",
        "create-vpc-peering-connection",
    );
    let deleted = set(PEERING, code, json!("deleted"));
    let gone = "rtb-a of vpc-a sends 10.20.0.0/16 to pcx-1, which is gone";
    problem(deleted, check, gone, "delete-route --route-table-id rtb-a");
    let there = |canned: &mut Canned| {
        canned.of(ROUTES_A)["RouteTables"][1]["Routes"].as_array_mut().unwrap().remove(1);
    };
    let create = "create-route --route-table-id rtb-a --destination-cidr-block 10.20.0.0/16";
    problem(there, check, "no route table of vpc-a leads to 10.20.0.0/16", create);
    let back = |canned: &mut Canned| {
        canned.of(ROUTES_B)["RouteTables"][0]["Routes"].as_array_mut().unwrap().remove(1);
    };
    let create = "create-route --route-table-id rtb-b --destination-cidr-block 10.10.0.0/16";
    problem(back, check, "no route table of vpc-b leads to 10.10.0.0/16", create);
    let beyond = |canned: &mut Canned| {
        let routes = canned.of(ROUTES_A)["RouteTables"][1]["Routes"].as_array_mut().unwrap();
        routes.push(
            json!({"DestinationCidrBlock": "10.30.0.0/16", "VpcPeeringConnectionId": "pcx-1"}),
        );
    };
    warning(beyond, check, "not transitive", "delete-route --route-table-id rtb-a");
    let elsewhere = |canned: &mut Canned| {
        canned.set(
            PEERING,
            "/VpcPeeringConnections/0/AccepterVpcInfo/OwnerId",
            json!("210987654321"),
        );
    };
    warning(elsewhere, check, "known in account 210987654321 only", "describe-route-tables");
}
