//! Every field by its name: where it may stand, what `-` means, what is a good and what a bad value.

use flowlog_core::decode::{Reason, Rejection, parse_row};
use flowlog_core::format::{Format, MAX_COLUMNS};
use flowlog_core::record::{Action, Address, Direction, Field, LogStatus, Record};

/// What kind of value a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Whatever it says is carried past: no roll-up uses it.
    Free,
    Id,
    Address,
    /// A number up to this one.
    Number(u64),
    Time,
    /// One of these words.
    Word(&'static [&'static str], Reason),
}

use Kind::{Free, Id, Number, Time, Word};

const PORT: Kind = Number(65_535);
const SMALL: Kind = Number(255);
const BIG: Kind = Number(i64::MAX as u64);

/// All 72 names, with the version that brought them.
const FIELDS: [(&str, u8, Kind); 72] = [
    ("version", 2, Free),
    ("account-id", 2, Id),
    ("interface-id", 2, Id),
    ("srcaddr", 2, Kind::Address),
    ("dstaddr", 2, Kind::Address),
    ("srcport", 2, PORT),
    ("dstport", 2, PORT),
    ("protocol", 2, SMALL),
    ("packets", 2, BIG),
    ("bytes", 2, BIG),
    ("start", 2, Time),
    ("end", 2, Time),
    ("action", 2, Word(&["ACCEPT", "REJECT"], Reason::BadAction)),
    ("log-status", 2, Word(&["OK", "NODATA", "SKIPDATA"], Reason::BadLogStatus)),
    ("vpc-id", 3, Id),
    ("subnet-id", 3, Free),
    ("instance-id", 3, Free),
    ("tcp-flags", 3, SMALL),
    ("type", 3, Free),
    ("pkt-srcaddr", 3, Kind::Address),
    ("pkt-dstaddr", 3, Kind::Address),
    ("region", 4, Free),
    ("az-id", 4, Free),
    ("sublocation-type", 4, Free),
    ("sublocation-id", 4, Free),
    ("pkt-src-aws-service", 5, Free),
    ("pkt-dst-aws-service", 5, Free),
    ("flow-direction", 5, Word(&["ingress", "egress"], Reason::BadDirection)),
    ("traffic-path", 5, SMALL),
    ("ecs-cluster-arn", 7, Free),
    ("ecs-cluster-name", 7, Free),
    ("ecs-container-instance-arn", 7, Free),
    ("ecs-container-instance-id", 7, Free),
    ("ecs-container-id", 7, Free),
    ("ecs-second-container-id", 7, Free),
    ("ecs-service-name", 7, Free),
    ("ecs-task-definition-arn", 7, Free),
    ("ecs-task-arn", 7, Free),
    ("ecs-task-id", 7, Free),
    ("reject-reason", 8, Id),
    ("resource-id", 9, Id),
    ("encryption-status", 10, SMALL),
    ("instance-tag", 11, Free),
    ("instance-tag-2", 11, Free),
    ("interface-tag", 11, Free),
    ("interface-tag-2", 11, Free),
    ("asg-tag", 11, Free),
    ("asg-tag-2", 11, Free),
    ("interface-type", 11, Free),
    ("next-hop-interface-id", 11, Free),
    ("next-hop-subnet-id", 11, Free),
    ("next-hop-az-id", 11, Free),
    ("next-hop-vpc-id", 11, Free),
    ("next-hop-interface-type", 11, Free),
    ("resource-type", 6, Free),
    ("tgw-id", 6, Free),
    ("tgw-attachment-id", 6, Id),
    ("tgw-src-vpc-account-id", 6, Free),
    ("tgw-dst-vpc-account-id", 6, Free),
    ("tgw-src-vpc-id", 6, Id),
    ("tgw-dst-vpc-id", 6, Free),
    ("tgw-src-subnet-id", 6, Free),
    ("tgw-dst-subnet-id", 6, Free),
    ("tgw-src-eni", 6, Free),
    ("tgw-dst-eni", 6, Free),
    ("tgw-src-az-id", 6, Free),
    ("tgw-dst-az-id", 6, Free),
    ("tgw-pair-attachment-id", 6, Free),
    ("packets-lost-no-route", 6, BIG),
    ("packets-lost-blackhole", 6, BIG),
    ("packets-lost-mtu-exceeded", 6, BIG),
    ("packets-lost-ttl-expired", 6, BIG),
];

impl Kind {
    fn good(self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
        match self {
            // Percent-encoded tags, ARNs, words that AWS may add.
            Free => words(&[
                "x",
                "%2D%20%C3%A9",
                "arn:aws:ecs:eu-west-1:123456789012:cluster/c",
                "wavelength",
                "start",
                "0",
                "unknown",
                "é",
                "\"}{",
                "..",
                "a=b&c=d",
                "#",
                "--",
            ]),
            Id => words(&[
                "eni-0a1b2c3d4e5f60718",
                "nat-0123456789abcdef0",
                "tgw-attach-1",
                "000000000001",
                "unknown",
                "BPA",
                "EC",
                "Accepted",
                "a_b",
                "X",
                "0123456789012345678901234567890123456789012345678901234567890123",
            ]),
            Kind::Address => words(&[
                "0.0.0.0",
                "10.0.0.1",
                "255.255.255.255",
                "::",
                "::1",
                "2001:db8::1",
                "fe80::1",
                "2001:0DB8:0000:0000:0000:0000:0000:0001",
                "::ffff:192.0.2.1",
                "02:00:5e:10:00:ff",
                "02:00:5E:10:00:FF",
            ]),
            Number(most) => vec!["0".into(), "1".into(), "00".into(), most.to_string()],
            Time => words(&[
                "0",
                "1",
                "1793491200",
                "9999999999",
                "1793491200000",
                "1793491200999",
                "9999999999999",
            ]),
            Word(all, _) => words(all),
        }
    }

    /// Values that are wrong, and why.
    fn bad(self) -> Vec<(String, Reason)> {
        let all =
            |words: &[&str], reason| words.iter().map(|w| ((*w).to_owned(), reason)).collect();
        let digits =
            ["+1", "-1", "1.0", "1e3", "0x1", "1,000", "x", "1_000", "٣", "١٢", "NaN", "--"];
        match self {
            Free => Vec::new(),
            Id => all(
                &[
                    "eni#1",
                    "eni/1",
                    "eni.1",
                    "eni:1",
                    "a|b",
                    "é",
                    "e\u{301}",
                    "%2D",
                    "\"eni\"",
                    "eni-1;",
                    "<eni>",
                    "../x",
                    "\u{202e}",
                    "01234567890123456789012345678901234567890123456789012345678901234",
                ],
                Reason::BadIdentifier,
            ),
            Kind::Address => all(
                &[
                    "10.0.0",
                    "10.0.0.0.1",
                    "256.0.0.1",
                    "01.2.3.4",
                    "10.0.0.1/32",
                    "10.0.0.x",
                    "1",
                    "2001:db8::1::",
                    "2001:db8",
                    ":::",
                    "fe80::1%eth0",
                    "[::1]",
                    "::g",
                    "12345::",
                    "02:00:5e:10:00",
                    "02:00:5e:10:00:ff:01",
                    "02-00-5e-10-00-ff",
                    "2:0:5e:10:0:f",
                    "localhost",
                    "１.2.3.4",
                    "1.2.3.4,",
                    "0x7f.1",
                    "2130706433",
                    "--",
                ],
                Reason::BadAddress,
            ),
            Number(most) => {
                let over = [
                    (u128::from(most) + 1).to_string(),
                    "18446744073709551616".to_owned(),
                    "9".repeat(100),
                    "0".repeat(20),
                ];
                let bad = digits.map(str::to_owned).into_iter().chain(over);
                bad.map(|word| (word, Reason::BadNumber)).collect()
            }
            Time => {
                let over = ["10000000000", "99999999999", "10000000000000", "9223372036854775808"];
                digits.into_iter().chain(over).map(|w| (w.to_owned(), Reason::BadNumber)).collect()
            }
            Word(words, reason) => {
                let wrong = ["x", "accept", "ok", "Egress", "0", "OKAY", "ACCEPT,", "--"];
                let missing = words.iter().map(|w| w[1..].to_owned());
                missing.chain(wrong.map(str::to_owned)).map(|w| (w, reason)).collect()
            }
        }
    }
}

/// What a record says of a field, as text; `None` for `-`, or where no roll-up uses the field.
fn says(record: &Record<'_>, name: &str) -> Option<String> {
    let text = |value: Option<&str>| value.map(str::to_owned);
    let address = |value: Option<Address>| value.map(|a| a.to_string());
    match name {
        "account-id" => text(record.account_id),
        "interface-id" => text(record.interface_id),
        "tgw-attachment-id" => text(record.tgw_attachment_id),
        "resource-id" => text(record.resource_id),
        "vpc-id" | "tgw-src-vpc-id" => text(record.vpc_id),
        "reject-reason" => text(record.reject_reason),
        "srcaddr" => address(record.srcaddr),
        "dstaddr" => address(record.dstaddr),
        "pkt-srcaddr" => address(record.pkt_srcaddr),
        "pkt-dstaddr" => address(record.pkt_dstaddr),
        "srcport" => record.srcport.map(|n| n.to_string()),
        "dstport" => record.dstport.map(|n| n.to_string()),
        "protocol" => record.protocol.map(|n| n.to_string()),
        "tcp-flags" => record.tcp_flags.map(|n| n.to_string()),
        "traffic-path" => record.traffic_path.map(|n| n.to_string()),
        "encryption-status" => record.encryption_status.map(|n| n.to_string()),
        "packets" => Some(record.packets.to_string()),
        "bytes" => Some(record.bytes.to_string()),
        "packets-lost-no-route" => Some(record.packets_lost[0].to_string()),
        "packets-lost-blackhole" => Some(record.packets_lost[1].to_string()),
        "packets-lost-mtu-exceeded" => Some(record.packets_lost[2].to_string()),
        "packets-lost-ttl-expired" => Some(record.packets_lost[3].to_string()),
        "start" => record.start.map(|n| n.to_string()),
        "end" => record.end.map(|n| n.to_string()),
        "action" => match record.action {
            Action::Accept => Some("ACCEPT".to_owned()),
            Action::Reject => Some("REJECT".to_owned()),
            Action::Other => None,
        },
        "log-status" => Some(
            match record.log_status {
                LogStatus::Ok => "OK",
                LogStatus::NoData => "NODATA",
                LogStatus::SkipData => "SKIPDATA",
            }
            .to_owned(),
        ),
        "flow-direction" => match record.flow_direction {
            Some(Direction::Ingress) => Some("ingress".to_owned()),
            Some(Direction::Egress) => Some("egress".to_owned()),
            Some(Direction::Unknown) | None => None,
        },
        _ => None,
    }
}

/// The same value as the record spells it.
fn canonical(kind: Kind, value: &str) -> Option<String> {
    match kind {
        Free => None,
        Id | Word(..) => Some(value.to_owned()),
        Kind::Address => {
            let ip = value.parse::<std::net::IpAddr>().map(|ip| ip.to_string());
            Some(ip.unwrap_or_else(|_| value.to_lowercase()))
        }
        Number(_) => Some(value.parse::<u64>().unwrap().to_string()),
        Time => {
            let number: u64 = value.parse().unwrap();
            Some(if number > 9_999_999_999 { number / 1000 } else { number }.to_string())
        }
    }
}

/// A format with one field at a place among others that have no part in this, and its row.
fn row_with(name: &str, value: &str, place: usize) -> (Format, String) {
    let mut names = vec!["region", "az-id", "new-field"];
    let mut tokens = vec!["eu-west-1", "euw1-az1", "-"];
    names.insert(place, name);
    tokens.insert(place, value);
    if !matches!(name, "start" | "end") {
        names.push("start");
        tokens.push("1793491200");
    }
    (Format::from_header(&names.join(" "), MAX_COLUMNS).unwrap(), tokens.join(" "))
}

/// Fields that stand around the one in question.
fn usable(name: &str) -> bool {
    !matches!(name, "region" | "az-id")
}

#[test]
fn the_table_is_the_published_one() {
    for ((name, since, _), field) in FIELDS.iter().zip(Field::ALL) {
        assert_eq!((*name, *since), (field.name(), field.since()));
        let format = Format::from_header(name, 64).unwrap();
        assert_eq!(format.position(*field), Some(0));
        let underscored = Format::from_header(&name.replace('-', "_"), 64).unwrap();
        assert_eq!(underscored.position(*field), Some(0), "{name} as Athena spells it");
        assert!(Format::from_header(&name.to_uppercase(), 64).is_err());
    }
    assert_eq!(Field::ALL.len(), FIELDS.len());
}

#[test]
fn good_values_are_read_wherever_the_field_stands() {
    for (name, _, kind) in FIELDS.into_iter().filter(|f| usable(f.0)) {
        for value in kind.good() {
            for place in 0..3 {
                let (format, row) = row_with(name, &value, place);
                let record = parse_row(&row, &format)
                    .unwrap_or_else(|rejection| panic!("{name} = {value}: {rejection:?}"));
                assert_eq!(says(&record, name), canonical(kind, &value), "{name} = {value}");
            }
        }
    }
}

#[test]
fn a_dash_says_nothing() {
    for (name, _, kind) in FIELDS.into_iter().filter(|f| usable(f.0)) {
        let (format, row) = row_with(name, "-", 1);
        let parsed = parse_row(&row, &format);
        if kind == Time {
            let reason = parsed.unwrap_err().reason;
            assert_eq!(reason, Reason::NoTimestamp, "{name} is the only time there is");
            continue;
        }
        let nothing = match (name, kind) {
            // Sums of what is not said, and a status that goes without saying.
            (_, BIG) => Some("0".to_owned()),
            ("log-status", _) => Some("OK".to_owned()),
            _ => None,
        };
        assert_eq!(says(&parsed.unwrap(), name), nothing, "{name}");
    }
}

#[test]
fn bad_values_reject_the_row_and_are_blamed_by_column() {
    for (name, _, kind) in FIELDS {
        for (value, reason) in kind.bad() {
            for place in [0, 2] {
                let (format, row) = row_with(name, &value, place);
                let rejection = Rejection { reason, column: Some(place + 1) };
                assert_eq!(parse_row(&row, &format), Err(rejection), "{name} = {value}");
            }
        }
    }
}

#[test]
fn one_time_is_enough_and_two_must_be_in_order() {
    let both = Format::from_header("start end", 64).unwrap();
    let times = |row| parse_row(row, &both).map(|r| (r.start.unwrap(), r.end.unwrap()));
    assert_eq!(times("5 5"), Ok((5, 5)));
    assert_eq!(times("5 -"), Ok((5, 5)));
    assert_eq!(times("- 5"), Ok((5, 5)));
    assert_eq!(times("- -").unwrap_err().reason, Reason::NoTimestamp);
    let order = Rejection { reason: Reason::StartAfterEnd, column: Some(1) };
    assert_eq!(times("6 5"), Err(order));
    // Seconds and milliseconds of one moment, as one delivery mixed them.
    assert_eq!(times("1793491200 1793491200999"), Ok((1_793_491_200, 1_793_491_200)));
    assert_eq!(times("1793491201 1793491200999"), Err(order));
}

#[test]
fn a_record_is_counted_under_the_first_subject_there_is() {
    let format =
        Format::from_header("resource-id tgw-attachment-id interface-id start", 64).unwrap();
    for (row, subject) in [
        ("nat-1 tgw-attach-1 eni-1 1", "eni-1"),
        ("nat-1 tgw-attach-1 - 1", "tgw-attach-1"),
        ("nat-1 - - 1", "nat-1"),
        ("- - - 1", "-"),
    ] {
        assert_eq!(parse_row(row, &format).unwrap().subject(), subject);
    }
    // A transit gateway's VPC is that of the source.
    let format = Format::from_header("vpc-id tgw-src-vpc-id start", 64).unwrap();
    assert_eq!(parse_row("vpc-1 vpc-2 1", &format).unwrap().vpc_id, Some("vpc-1"));
    assert_eq!(parse_row("- vpc-2 1", &format).unwrap().vpc_id, Some("vpc-2"));
}

#[test]
fn an_efa_row_has_addresses_of_hardware_and_no_ports() {
    let format = Format::default_v2();
    let row = "2 123456789012 eni-1 02:00:5e:10:00:01 02:00:5e:10:00:02 - - - 9 900 1 2 ACCEPT OK";
    let record = parse_row(row, &format).unwrap();
    assert_eq!(record.srcaddr, Some(Address::Mac([2, 0, 0x5e, 0x10, 0, 1])));
    assert_eq!((record.srcport, record.protocol, record.bytes), (None, None, 900));
}
