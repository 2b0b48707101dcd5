//! What people and programs receive, as it arrives: one snapshot of each.

use std::collections::BTreeMap;

use super::tests::{finding, now};
use super::*;
use crate::detect::{Cause, Identity, Parties, Rule, Target, Why};
use crate::record::{Action, Address};
use crate::rollup::{About, Evidence};

fn address(text: &str) -> Option<Address> {
    Address::parse(text)
}

fn refused(source: &str, host: &str, port: u16, second: i64) -> Evidence {
    Evidence {
        start: 1_793_491_200 + second,
        end: 1_793_491_205 + second,
        srcaddr: address(source),
        dstaddr: address(host),
        srcport: 50_000,
        dstport: port,
        protocol: 6,
        packets: 1,
        bytes: 40,
        action: Action::Reject,
    }
}

fn inside(rule: Rule, cause: Cause) -> Finding {
    Finding {
        account_id: "123456789012".to_owned(),
        vpc_id: "vpc-0a1b2c3d".to_owned(),
        about: About {
            subnet_id: "subnet-01".to_owned(),
            instance_id: "i-0123456789abcdef0".to_owned(),
            name: "web%20server%2D1".to_owned(),
        },
        source: address("10.1.0.9"),
        cause,
        ..finding(rule, Severity::Notify, "eni-0a1b2c3d", 0)
    }
}

fn first(finding: &Finding) -> (AlertKey, Alert) {
    match decide(None, finding, &Policy::default(), finding.window.end()) {
        Decision::Claim(alert) => (AlertKey::of(finding), *alert),
        other => panic!("{other:?}"),
    }
}

fn scan() -> Finding {
    Finding {
        evidence: Why {
            measure: "different (host, port) contacts refused".into(),
            value: 42,
            threshold: 25,
            seconds: 900,
            sources: 1,
            ports: vec![21, 22, 23, 25],
            rejected: 57,
            records: (0..5)
                .map(|n| refused("10.1.0.9", "10.0.0.5", 21 + n, i64::from(n)))
                .collect(),
            ..Why::default()
        },
        ..inside(Rule::PortScan, Cause::InsideScan)
    }
}

#[test]
fn the_email_about_a_scan_from_inside() {
    let (key, alert) = first(&scan());
    let sent = render(&alert, &key);
    insta::assert_snapshot!(format!("Subject: {}\n\n{}", sent.subject, sent.text));
}

#[test]
fn the_email_about_a_misconfiguration() {
    let finding = Finding {
        target: Some(Target { host: address("10.0.0.5"), port: Some(6_379) }),
        evidence: Why {
            measure: "refusals of one connection, in every window, and none let through".into(),
            value: 10,
            threshold: 5,
            seconds: 1_500,
            sources: 1,
            ports: vec![6_379],
            rejected: 10,
            records: vec![refused("10.1.0.9", "10.0.0.5", 6_379, 0)],
            ..Why::default()
        },
        ..inside(Rule::EastWestReject, Cause::SecurityGroupOrAcl)
    };
    let (key, alert) = first(&finding);
    insta::assert_snapshot!(render(&alert, &key).text);
}

/// Knows everybody: by the last sign of who is asked about.
#[derive(Debug)]
struct Names;

impl Directory for Names {
    fn look_up<'a>(&'a self, subjects: &'a [Subject]) -> LookUp<'a> {
        let of = |subject: &Subject| {
            let (id, name, owner) = match subject {
                Subject::Interface(_) => ("eni-0a1b2c3d", "cache \"one\"\u{202e}", "shop"),
                Subject::Address(a) if a.to_string() == "10.1.0.9" => ("eni-9", "edge-1", ""),
                Subject::Address(_) => ("eni-5", "", ""),
            };
            let identity = Identity {
                interface_id: id.to_owned(),
                account_id: "123456789012".to_owned(),
                vpc_id: "vpc-0a1b2c3d".to_owned(),
                name: name.to_owned(),
                owner: owner.to_owned(),
                instance_id: if owner.is_empty() { String::new() } else { "i-7".to_owned() },
                description: "ElastiCache cache-one".to_owned(),
            };
            (subject.clone(), vec![identity])
        };
        Box::pin(async move { subjects.iter().map(of).collect() })
    }
}

/// One interface that recorded something, and everybody who has the address that is asked about.
#[derive(Debug)]
struct Hosts(Vec<Identity>);

impl Directory for Hosts {
    fn look_up<'a>(&'a self, subjects: &'a [Subject]) -> LookUp<'a> {
        let of = |subject: &Subject| {
            let all = match subject {
                Subject::Interface(id) => vec![host(id, "vpc-a")],
                Subject::Address(_) => self.0.clone(),
            };
            (subject.clone(), all)
        };
        Box::pin(async move { subjects.iter().map(of).collect() })
    }
}

fn host(interface_id: &str, vpc_id: &str) -> Identity {
    Identity {
        interface_id: interface_id.to_owned(),
        vpc_id: vpc_id.to_owned(),
        account_id: "123456789012".to_owned(),
        ..Identity::default()
    }
}

/// Two VPCs may have the same addresses.
#[test]
fn an_address_is_whose_it_is_in_the_vpc_that_recorded_it() {
    let (near, far, farther) =
        (host("eni-1", "vpc-a"), host("eni-2", "vpc-b"), host("eni-3", "vpc-c"));
    let shared = Identity { account_id: "210987654321".to_owned(), ..near.clone() };
    let all = |hosts: &[&Identity]| hosts.iter().map(|host| (*host).clone()).collect::<Vec<_>>();
    for (vpc, hosts, known) in [
        ("vpc-a", all(&[&near, &far]), "10.1.0.9 (inside) (eni-1)"),
        ("vpc-a", all(&[&far, &near]), "10.1.0.9 (inside) (eni-1)"),
        // The records name no VPC, but the directory knows that of the interface.
        ("", all(&[&near, &far]), "10.1.0.9 (inside) (eni-1)"),
        ("vpc-b", all(&[&near, &far]), "10.1.0.9 (inside) (eni-2)"),
        // Somebody else's interface in a shared VPC.
        ("vpc-a", all(&[&shared, &far]), "10.1.0.9 (inside) (eni-1)"),
        // Who may be reached from there, or may not.
        ("vpc-a", all(&[&far]), "10.1.0.9 (inside) (eni-2, VPC vpc-b)"),
        ("vpc-a", all(&[&far, &farther]), "10.1.0.9 (inside)"),
        ("vpc-a", all(&[&near, &near]), "10.1.0.9 (inside)"),
        ("vpc-a", all(&[]), "10.1.0.9 (inside)"),
    ] {
        let mut finding = Finding { vpc_id: vpc.to_owned(), ..scan() };
        now(identify(&mut finding, &Hosts(hosts.clone())));
        let (key, alert) = first(&finding);
        let text = render(&alert, &key).text;
        let who = text.lines().find(|line| line.starts_with("Who ")).unwrap();
        assert_eq!(who, format!("Who        {known}"), "{vpc}: {hosts:?}");
    }
    // What is found across an account is of no VPC.
    for (hosts, known) in [(all(&[&far]), true), (all(&[&near, &far]), false)] {
        let account = "123456789012".to_owned();
        let mut finding = Finding { interface_id: account, vpc_id: String::new(), ..scan() };
        now(identify(&mut finding, &Hosts(hosts)));
        assert_eq!(finding.parties.source.is_some(), known);
    }
}

/// Another account's hosts have the same private addresses.
#[test]
fn a_directory_of_one_account_names_nobody_in_another() {
    for (account, known) in [("123456789012", true), ("", true), ("210987654321", false)] {
        let mut finding = Finding {
            account_id: account.to_owned(),
            vpc_id: "vpc-1".to_owned(),
            source: address("10.1.0.9"),
            target: Some(Target { host: address("10.0.0.5"), port: Some(6_379) }),
            ..scan()
        };
        now(identify(&mut finding, &Names));
        let Parties { place, source, target } = finding.parties;
        assert!(place.is_some(), "an interface's id is its own everywhere");
        assert_eq!((source.is_some(), target.is_some()), (known, known), "{account:?}");
    }
}

#[test]
fn the_document_says_what_the_finding_is_on() {
    for (id, kind) in [
        ("eni-0a1b2c3d", "AWS::EC2::NetworkInterface"),
        ("tgw-attach-1", "AWS::EC2::TransitGatewayAttachment"),
        ("vpc-1", "AWS::EC2::VPC"),
        ("123456789012", "AWS::::Account"),
        ("", "AWS::EC2::NetworkInterface"),
    ] {
        let (key, alert) = first(&Finding { interface_id: id.to_owned(), ..scan() });
        let document: serde_json::Value = serde_json::from_str(&render(&alert, &key).json).unwrap();
        assert_eq!(document["resources"][0]["type"], kind, "{id:?}");
    }
}

#[test]
fn the_email_names_people_where_a_directory_knows_them() {
    let mut finding = Finding {
        about: About::default(),
        target: Some(Target { host: address("10.0.0.5"), port: Some(6_379) }),
        ..scan()
    };
    now(identify(&mut finding, &Names));
    let (key, alert) = first(&finding);
    let sent = render(&alert, &key);
    let line = |label: &str| sent.text.lines().find(|l| l.starts_with(label)).unwrap().to_owned();
    assert_eq!(line("Who "), "Who        10.1.0.9 (inside) (\"edge-1\", eni-9)");
    assert_eq!(
        line("Whom "),
        "Whom       10.0.0.5 port 6379 (\"ElastiCache cache-one\", eni-5), seen at eni-0a1b2c3d named \"cache 'one'?\", \
         owner \"shop\", instance i-7, VPC vpc-0a1b2c3d, account 123456789012"
    );
    assert!(
        !sent.subject.contains("edge-1") && !format!("{:?}", sent.attributes).contains("edge-1")
    );
    let document: serde_json::Value = serde_json::from_str(&sent.json).unwrap();
    let parties = &document["unmapped"]["flowlog"]["finding"]["parties"];
    assert_eq!(
        (&parties["source"]["name"], &parties["place"]["owner"]),
        (&"edge-1".into(), &"shop".into())
    );
}

#[test]
fn the_email_about_a_way_in_by_ipv6_as_an_update() {
    let finding = Finding {
        source: address("2001:db8::9"),
        target: Some(Target { host: None, port: Some(22) }),
        severity: Severity::High,
        evidence: Why {
            measure: "doors that refused it before one let it in".into(),
            value: 40,
            threshold: 10,
            seconds: 3_600,
            sources: 1,
            ports: vec![22],
            rejected: 44,
            skipdata: 2,
            records: vec![refused("2001:db8::9", "2001:db8:1::5", 22, 0)],
            ..Why::default()
        },
        ..inside(Rule::RejectedThenAccepted, Cause::WayIn)
    };
    let (key, alert) = first(&finding);
    let later = Finding { window: finding.window.forward(12), ..finding };
    let Decision::Claim(update) =
        decide(Some(&alert), &later, &Policy::default(), later.window.end())
    else {
        panic!("the cooldown is over");
    };
    let sent = render(&update, &key);
    insta::assert_snapshot!(format!("Subject: {}\n\n{}", sent.subject, sent.text));
}

#[test]
fn the_document_for_programs_and_the_attributes() {
    let (key, alert) = first(&scan());
    let sent = render(&alert, &key);
    let mut document: serde_json::Value = serde_json::from_str(&sent.json).unwrap();
    document["metadata"]["product"]["version"] = "0.0.0".into();
    insta::assert_json_snapshot!(document);
    insta::assert_debug_snapshot!(sent.attributes);
}

#[test]
fn the_chat() {
    let (key, alert) = first(&scan());
    let chat: serde_json::Value = serde_json::from_str(&render(&alert, &key).chat).unwrap();
    insta::assert_json_snapshot!(chat);
}

#[test]
fn the_digest() {
    let mut digest = Digest { to: 1_793_491_100, ..Digest::default() }.next(1_793_491_600);
    for (n, held) in [(0, false), (1, true), (2, false)] {
        let finding = Finding {
            source: address("203.0.113.9"),
            ..finding(Rule::PortScan, Severity::Digest, &format!("eni-{n}"), 0)
        };
        let Decision::Note(mut alert) = decide(None, &finding, &Policy::default(), 1_793_491_500)
        else {
            panic!("a digest is no notification");
        };
        alert.held = held;
        digest.add(&alert);
    }
    digest.shorten();
    let sent = render_digest(&digest);
    insta::assert_snapshot!(format!("Subject: {}\n\n{}", sent.subject, sent.text));
}

#[test]
fn programs_are_told_what_people_are_of_what_is_no_finding() {
    let said = |notification: Notification| -> serde_json::Value {
        serde_json::from_str(&notification.json).unwrap()
    };
    let why = "reject-reason is not in the format".to_owned();
    let starved = BTreeMap::from([(Rule::BlockPublicAccess, why)]);
    let starved = said(render_starved(&BTreeMap::from([("fl-0a1b".to_owned(), starved)]), 1, 0));
    assert_eq!(
        starved["message"],
        "Rules in force cannot find anything in what flow logs record. fl-0a1b: block-public-access: \
         reject-reason is not in the format."
    );
    assert_eq!((&starved["severity"], &starved["count"]), (&"Low".into(), &1.into()));
    let details = &starved["unmapped"]["flowlog"]["starved"][0];
    assert_eq!(
        (&details["flow_log"], &details["rule"]),
        (&"fl-0a1b".into(), &"block-public-access".into())
    );
    let error = crate::detect::RuleSet::parse("[rules.portscan]\n").unwrap_err();
    let refused = said(render_refused_rules(&error, false, &[], 0));
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("line 1, column 8: unknown field `portscan`"), "{message}");
    assert_eq!(refused["severity"], "Medium");
    assert_eq!(refused["unmapped"]["flowlog"]["rules"]["line"], 1);
    let test = said(render_test(0));
    assert_eq!(
        (&test["severity"], &test["finding_info"]["title"]),
        (&"Informational".into(), &"test".into())
    );
    assert!(
        test["message"].as_str().unwrap().starts_with("This is a test by `flowlog test-alert`.")
    );
}

/// Whoever silences an alert does not want to hear of the next stranger in it, and of everything else.
#[test]
fn the_proposed_silence_is_of_the_alert() {
    let stranger = |rule, cause, source: &str, port: Option<u16>| Finding {
        source: address(source),
        target: port.map(|port| Target { host: None, port: Some(port) }),
        ..inside(rule, cause)
    };
    let of = |place: &str, vpc: &str, account: &str| Finding {
        interface_id: place.to_owned(),
        vpc_id: vpc.to_owned(),
        account_id: account.to_owned(),
        source: None,
        ..inside(Rule::DataGap, Cause::LostRecords)
    };
    let (exposed, way_in) = (Rule::SensitivePortExposed, Rule::RejectedThenAccepted);
    let egress = |source| stranger(Rule::EgressVolume, Cause::Exfiltration, source, None);
    let scanner = Finding { account_id: "210987654321".to_owned(), ..scan() };
    for (told, next, same) in vec![
        (
            stranger(exposed, Cause::ExposedPort, "198.51.100.1", Some(22)),
            stranger(exposed, Cause::ExposedPort, "198.51.100.2", Some(22)),
            true,
        ),
        (
            stranger(exposed, Cause::ExposedPort, "198.51.100.1", Some(22)),
            stranger(exposed, Cause::ExposedPort, "198.51.100.1", Some(3_389)),
            false,
        ),
        (egress("198.51.100.1"), egress("198.51.100.2"), true),
        (
            stranger(way_in, Cause::WayIn, "10.0.7.2", Some(22)),
            stranger(way_in, Cause::WayIn, "10.0.7.5", Some(22)),
            false,
        ),
        (of("vpc-1", "vpc-1", ""), of("vpc-2", "vpc-2", ""), false),
        (of("123456789012", "", "123456789012"), of("eni-1", "", "210987654321"), false),
        (of("123456789012", "", "123456789012"), of("eni-1", "", "123456789012"), false),
        (of("every-interface", "", ""), of("eni-1", "", ""), false),
        (scan(), scanner, false),
        (scan(), Finding { interface_id: "eni-2".to_owned(), ..scan() }, true),
    ] {
        let entry = silence::entry(&told, 0);
        assert!(entry.contains("vpc = ") || entry.contains("interface = "), "{entry}");
        let rules = crate::detect::RuleSet::parse(&entry).unwrap();
        let after = rules.hush(vec![told.clone(), next.clone()]);
        assert_eq!(after[0].severity, Severity::Recorded, "{entry}");
        assert_eq!(after[1].severity == Severity::Recorded, same, "{next:?}\n{entry}");
        assert_eq!(AlertKey::of(&told) == AlertKey::of(&next), same, "{next:?}");
    }
}

/// What is counted beside it, where a list was full, and since when.
#[test]
fn the_email_says_what_it_knows() {
    let line = |finding: &Finding, label: &str| {
        let (key, alert) = first(finding);
        let text = render(&alert, &key).text;
        text.lines().find(|line| line.starts_with(label)).unwrap_or_default().to_owned()
    };
    let full = Finding { evidence: Why { value: 65, ..scan().evidence }, ..scan() };
    assert_eq!(
        line(&full, "How much"),
        "How much   at least 65 different (host, port) contacts refused in 15 minutes; 57 of its records refused there; ports 21 22 23 25"
    );
    let burst = inside(Rule::RejectBurst, Cause::FloodOrChangedRule);
    assert!(line(&burst, "How much").contains("; 310 records refused there in the latest five"));
    let lasting = Finding {
        evidence: Why { seconds: 1_500, ..Why::default() },
        target: Some(Target { host: address("10.0.0.5"), port: Some(6_379) }),
        ..inside(Rule::EastWestReject, Cause::SecurityGroupOrAcl)
    };
    assert_eq!(
        line(&lasting, "Since"),
        "Since      2026-10-31 23:40 UTC (latest: 2026-11-01 00:00 UTC)",
        "as older versions stored it"
    );
    // Its last record ends after its window.
    let since = Some(lasting.window.back(8));
    let evidence = Why { seconds: 3_000, since, ..Why::default() };
    assert_eq!(
        line(&Finding { evidence, ..lasting.clone() }, "Since"),
        "Since      2026-10-31 23:20 UTC (latest: 2026-11-01 00:00 UTC)"
    );
    let (key, alert) = first(&lasting);
    let document: serde_json::Value = serde_json::from_str(&render(&alert, &key).json).unwrap();
    assert_eq!(document["finding_info"]["first_seen_time"], 1_793_490_000_000_i64);
    let silence = Finding {
        interface_id: "vpc-0a1b2c3d".to_owned(),
        source: None,
        evidence: Why {
            measure: "seconds without a record from any known interface there".into(),
            value: 22_200,
            threshold: 1_800,
            seconds: 22_200,
            sources: 3,
            ..Why::default()
        },
        ..inside(Rule::DataGap, Cause::LostRecords)
    };
    assert_eq!(
        line(&silence, "No "),
        "No flow records come from any interface of VPC vpc-0a1b2c3d any more."
    );
    assert_eq!(line(&silence, "Who "), "Who        3 interfaces, all that were known there");
    assert_eq!(
        line(&silence, "How much"),
        "How much   6 hours and 10 minutes without a record from any known interface there"
    );
    assert_eq!(
        line(&silence, "Complete"),
        "Complete   no: what went on there since then is in no record"
    );
}

/// What the e-mail proposes is a rules file that does what it says.
#[test]
fn the_proposed_silence_silences() {
    for finding in [scan(), inside(Rule::DataGap, Cause::LostRecords)] {
        let entry = silence::entry(&finding, 0);
        let rules =
            crate::detect::RuleSet::parse(&entry).unwrap_or_else(|e| panic!("{e}\n{entry}"));
        let hushed = rules.hush(vec![finding.clone()]);
        assert_eq!(hushed[0].severity, Severity::Recorded, "{entry}");
        let later = Finding { window: finding.window.forward(9 * 288), ..finding.clone() };
        assert_eq!(rules.hush(vec![later.clone()])[0].severity, Severity::Notify);
        // Asked for on that day, the week is that day's.
        let entry = silence::entry(&finding, later.window.start());
        let rules = crate::detect::RuleSet::parse(&entry).unwrap();
        assert_eq!(rules.hush(vec![later])[0].severity, Severity::Recorded, "{entry}");
    }
}
