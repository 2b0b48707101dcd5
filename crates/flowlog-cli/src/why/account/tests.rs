//! Each place on the way stops the packets in turn, and is named; nothing else is.

use std::collections::BTreeMap;

use flowlog_core::why::{Basis, Leg, Legs, Path, Seen, Service, Shows};
use serde_json::json;

use super::*;

const A: &str = "10.10.0.31";
const B: &str = "10.20.16.21";

/// EC2 with two peered VPCs, each with one interface, in which everything may pass.
struct Ec2(BTreeMap<&'static str, Value>);

impl Aws for Ec2 {
    fn ask(&self, words: &[&str]) -> Result<Value, Refused> {
        let mut answer = self.0.get(words[1]).cloned().ok_or_else(|| Refused::ByAws {
            call: words[..2].join(" "),
            code: "UnauthorizedOperation".to_owned(),
            message: "no".to_owned(),
        })?;
        // The filters that EC2 would apply.
        let wanted = words[words.len() - 1];
        let keep = |list: &mut Value, of: &dyn Fn(&Value) -> bool| {
            list.as_array_mut().unwrap().retain(|one| of(one));
        };
        let value = wanted.rsplit('=').next().unwrap().to_owned();
        match words[1] {
            "describe-network-interfaces" => {
                keep(&mut answer["NetworkInterfaces"], &|one| one["Address"] == value);
            }
            "describe-security-groups" => {
                keep(&mut answer["SecurityGroups"], &|one| words.contains(&text(&one["GroupId"])));
            }
            "describe-network-acls" => {
                keep(&mut answer["NetworkAcls"], &|one| one["Subnet"] == value);
            }
            "describe-route-tables" => {
                keep(&mut answer["RouteTables"], &|one| one["VpcId"] == value);
            }
            _ => {}
        }
        Ok(answer)
    }
}

use crate::doctor::text;

fn ec2() -> Ec2 {
    let everyone = json!([{ "IpProtocol": "-1", "IpRanges": [{ "CidrIp": "0.0.0.0/0" }] }]);
    let interface = |side: &str, address: &str| {
        json!({
            "NetworkInterfaceId": format!("eni-{side}"), "SubnetId": format!("subnet-{side}"),
            "VpcId": format!("vpc-{side}"), "Groups": [{ "GroupId": format!("sg-{side}") }],
            "Address": address,
        })
    };
    let acl = |side: &str| {
        let entry = |egress: bool, number: i64, action: &str| {
            json!({ "Egress": egress, "RuleNumber": number, "RuleAction": action,
                "Protocol": "-1", "CidrBlock": "0.0.0.0/0" })
        };
        json!({ "NetworkAclId": format!("acl-{side}"), "Subnet": format!("subnet-{side}"), "Entries": [
            entry(false, 100, "allow"), entry(true, 100, "allow"),
            entry(false, 32_767, "deny"), entry(true, 32_767, "deny"),
        ]})
    };
    let table = |side: &str, own: &str, other: &str| {
        json!({
            "RouteTableId": format!("rtb-{side}"), "VpcId": format!("vpc-{side}"),
            "Associations": [{ "Main": true }],
            "Routes": [
                { "DestinationCidrBlock": own, "GatewayId": "local", "State": "active" },
                { "DestinationCidrBlock": other, "VpcPeeringConnectionId": "pcx-1", "State": "active" },
            ],
        })
    };
    Ec2(BTreeMap::from([
        (
            "describe-network-interfaces",
            json!({ "NetworkInterfaces": [interface("a", A), interface("b", B)] }),
        ),
        (
            "describe-security-groups",
            json!({ "SecurityGroups": [
                { "GroupId": "sg-a", "IpPermissions": [], "IpPermissionsEgress": everyone },
                { "GroupId": "sg-b", "IpPermissions": [
                    { "IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432,
                      "UserIdGroupPairs": [{ "GroupId": "sg-a" }] } ], "IpPermissionsEgress": [] },
            ]}),
        ),
        ("describe-network-acls", json!({ "NetworkAcls": [acl("a"), acl("b")] })),
        (
            "describe-route-tables",
            json!({ "RouteTables": [
                table("a", "10.10.0.0/16", "10.20.0.0/16"), table("b", "10.20.0.0/16", "10.10.0.0/16"),
            ]}),
        ),
        (
            "describe-vpc-peering-connections",
            json!({ "VpcPeeringConnections": [{
                "VpcPeeringConnectionId": "pcx-1", "Status": { "Code": "active" },
                "RequesterVpcInfo": { "VpcId": "vpc-a", "CidrBlock": "10.10.0.0/16" },
                "AccepterVpcInfo": { "VpcId": "vpc-b", "CidrBlock": "10.20.0.0/16" },
            }]}),
        ),
    ]))
}

/// Records that end at a place.
fn evidence(legs: Legs) -> Evidence {
    let address = |text| Address::parse(text).unwrap();
    let path = Path { src: address(A), dst: address(B), port: Some(5432), protocol: None };
    let mut evidence = Evidence::nothing(path, Basis::Records);
    for (end, id) in [(&mut evidence.src, "eni-a"), (&mut evidence.dst, "eni-b")] {
        end.interfaces.insert(id.to_owned(), flowlog_core::why::Place::default());
        end.span = Some((0, 3600));
        end.shows = Shows { accepted: true, refused: true };
    }
    evidence.services.insert(Service { protocol: 6, port: 5432 }, legs);
    evidence
}

fn some() -> Seen {
    Seen { records: 3, packets: 3, first: 10, last: 70, ..Seen::default() }
}

fn accepted() -> Leg {
    Leg { accepted: some(), refused: Seen::default() }
}

fn refused() -> Leg {
    Leg { accepted: Seen::default(), refused: some() }
}

fn narrowed(ec2: &Ec2, legs: Legs) -> Narrowed {
    let evidence = evidence(legs);
    narrow(ec2, &evidence, &evidence.explain()[0])
}

fn causes(found: &Narrowed) -> Vec<Place> {
    found.causes.iter().map(|at| found.facts[*at].place).collect()
}

/// A change of what EC2 answers: the call, the place in its answer, the value.
type Plant = (&'static str, &'static str, Value);

fn change(ec2: &mut Ec2, (call, path, value): Plant) {
    let answer = ec2.0.get_mut(call).and_then(|answer| answer.pointer_mut(path));
    *answer.unwrap_or_else(|| panic!("{call} {path}")) = value;
}

const GROUPS: &str = "describe-security-groups";
const ACLS: &str = "describe-network-acls";
const TABLES: &str = "describe-route-tables";
const PEERINGS: &str = "describe-vpc-peering-connections";

/// What is planted, what the records show, the place that explains it, and words of the sentence and the command.
type Case = (Plant, Legs, Place, &'static str, &'static str);

fn refusals() -> Vec<Case> {
    let sent = || Legs { sent: refused(), ..Legs::default() };
    let arrived = || Legs { sent: accepted(), arrived: refused(), ..Legs::default() };
    let some_ports = json!({ "Egress": true, "RuleNumber": 100, "RuleAction": "allow", "Protocol": "6",
        "CidrBlock": "0.0.0.0/0", "PortRange": { "From": 1024, "To": 40_000 } });
    vec![
        (
            (GROUPS, "/SecurityGroups/0/IpPermissionsEgress", json!([])),
            sent(),
            Place::GroupsOut,
            "no outbound rule of sg-a (security groups of eni-a) allows tcp/5432 to 10.20.16.21",
            "aws ec2 authorize-security-group-egress --group-id sg-a",
        ),
        (
            (ACLS, "/NetworkAcls/0/Entries/1/RuleAction", json!("deny")),
            sent(),
            Place::AclOut,
            "network ACL acl-a of subnet-a: its rule 100 denies outbound tcp/5432 to 10.20.16.21",
            "--network-acl-id acl-a --egress --rule-number 99 --protocol 6 --rule-action allow --cidr-block 10.20.16.21/32 --port-range From=5432,To=5432",
        ),
        (
            (GROUPS, "/SecurityGroups/1/IpPermissions/0/FromPort", json!(5433)),
            arrived(),
            Place::GroupsIn,
            "no inbound rule of sg-b",
            "'IpProtocol=tcp,FromPort=5432,ToPort=5432,IpRanges=[{CidrIp=10.10.0.31/32}]'",
        ),
        (
            (ACLS, "/NetworkAcls/1/Entries/0/CidrBlock", json!("192.0.2.0/24")),
            arrived(),
            Place::AclIn,
            "no rule of it allows inbound tcp/5432",
            "--ingress --rule-number 32766",
        ),
        (
            (ACLS, "/NetworkAcls/1/Entries/1", some_ports),
            Legs { sent: accepted(), arrived: accepted(), answered: refused(), ..Legs::default() },
            Place::AnswerAclOut,
            "no rule of it allows outbound tcp/49152 (answers) to 10.10.0.31",
            "--port-range From=1024,To=65535",
        ),
        (
            (ACLS, "/NetworkAcls/0/Entries/0/RuleAction", json!("deny")),
            Legs { returned: refused(), ..answered() },
            Place::AnswerAclIn,
            "network ACL acl-a of subnet-a: its rule 100 denies inbound",
            "--ingress --rule-number 99",
        ),
    ]
}

fn answered() -> Legs {
    Legs { sent: accepted(), arrived: accepted(), answered: accepted(), ..Legs::default() }
}

fn losses() -> Vec<Case> {
    let left = || Legs { sent: accepted(), ..Legs::default() };
    let third = json!({ "VpcId": "vpc-c", "CidrBlock": "10.40.0.0/16" });
    let elsewhere = || json!("10.30.0.0/16");
    vec![
        (
            (TABLES, "/RouteTables/0/Routes/1/DestinationCidrBlock", elsewhere()),
            left(),
            Place::Route,
            "rtb-a, the route table of subnet-a, has no route to 10.20.16.21",
            "aws ec2 create-route --route-table-id rtb-a --destination-cidr-block 10.20.0.0/16 --vpc-peering-connection-id pcx-1",
        ),
        (
            (TABLES, "/RouteTables/0/Routes/1/State", json!("blackhole")),
            left(),
            Place::Route,
            "which is gone (blackhole)",
            "aws ec2 replace-route",
        ),
        (
            (PEERINGS, "/VpcPeeringConnections/0/Status/Code", json!("pending-acceptance")),
            left(),
            Place::Route,
            "pcx-1, which is pending-acceptance",
            "aws ec2 accept-vpc-peering-connection --vpc-peering-connection-id pcx-1",
        ),
        (
            (PEERINGS, "/VpcPeeringConnections/0/AccepterVpcInfo", third),
            left(),
            Place::Route,
            "peering is not transitive",
            "aws ec2 create-vpc-peering-connection --vpc-id vpc-a --peer-vpc-id vpc-b",
        ),
        (
            (TABLES, "/RouteTables/1/Routes/1/DestinationCidrBlock", elsewhere()),
            answered(),
            Place::AnswerRoute,
            "rtb-b, the route table of subnet-b, has no route to 10.10.0.31",
            "--destination-cidr-block 10.10.0.0/16 --vpc-peering-connection-id pcx-1",
        ),
    ]
}

#[test]
fn the_place_that_stops_it_is_named() {
    for (plant, legs, place, what, mend) in refusals().into_iter().chain(losses()) {
        let well = narrowed(&ec2(), legs.clone());
        assert!(well.causes.is_empty(), "{place:?} nothing planted: {well:?}");
        assert!(well.facts.iter().all(|fact| fact.does == Does::Passes), "{well:?}");
        assert!(well.notes.iter().any(|note| note.contains("would let it pass")), "{well:?}");
        let mut planted = ec2();
        change(&mut planted, plant);
        let found = narrowed(&planted, legs);
        assert_eq!(causes(&found), [place], "{found:?}");
        let cause = &found.facts[found.causes[0]];
        assert!(cause.what.contains(what), "{what}: {cause:?}");
        assert!(cause.mend.contains(mend), "{mend}: {cause:?}");
        let lines = found.lines();
        assert_eq!(lines[0], ("Account:", cause.what.clone()));
        assert_eq!(found.to_json()["facts"].as_array().unwrap().len(), found.facts.len());
    }
}

#[test]
fn what_stops_it_elsewhere_is_said_and_is_no_cause() {
    // Refused where it arrived, so what A's own rules do now is another matter.
    let mut ec2 = ec2();
    change(&mut ec2, (GROUPS, "/SecurityGroups/0/IpPermissionsEgress", json!([])));
    let found = narrowed(&ec2, Legs { sent: accepted(), arrived: refused(), ..Legs::default() });
    assert!(found.causes.is_empty());
    assert!(found.lines().iter().any(|(title, _)| *title == "stops, too:"), "{found:?}");
}

#[test]
fn without_access_it_says_so() {
    let mut ec2 = ec2();
    ec2.0.remove("describe-network-acls");
    let found = narrowed(&ec2, Legs { sent: refused(), ..Legs::default() });
    assert_eq!(found.facts.len(), 1, "what was read before stays");
    assert!(found.notes[0].contains("UnauthorizedOperation"), "{found:?}");
    let nobody =
        Ec2(BTreeMap::from([("describe-network-interfaces", json!({ "NetworkInterfaces": [] }))]));
    let found = narrowed(&nobody, Legs { sent: refused(), ..Legs::default() });
    assert!(found.facts.is_empty() && found.notes.len() == 2, "{found:?}");
}

/// B's end is not on record: whatever stops the packets behind A's is a cause, and the first comes first.
#[test]
fn what_may_have_stopped_it_where_nothing_is_recorded_is_a_cause() {
    let mut ec2 = ec2();
    let groups = ec2.0.get_mut("describe-security-groups").unwrap();
    groups["SecurityGroups"][1]["IpPermissions"] = json!([]);
    let tables = ec2.0.get_mut("describe-route-tables").unwrap();
    tables["RouteTables"][1]["Routes"].as_array_mut().unwrap().remove(1);
    let legs = || Legs { sent: accepted(), ..Legs::default() };
    let places = |evidence: &Evidence| {
        let explanation = &evidence.explain()[0];
        assert_eq!(explanation.outcome, Outcome::NeverArrived);
        let narrowed = narrow(&ec2, evidence, explanation);
        narrowed.causes.iter().map(|at| narrowed.facts[*at].place).collect::<Vec<_>>()
    };
    let mut evidence = evidence(legs());
    // It would have shown there, refused or not.
    assert_eq!(places(&evidence), []);
    evidence.dst = flowlog_core::why::End::default();
    assert_eq!(places(&evidence), [Place::GroupsIn, Place::AnswerRoute]);
}
