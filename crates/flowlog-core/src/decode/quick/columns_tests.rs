//! Rows of custom formats by the quick reader and by the plain decoder: the same records, rejections and
//! roll-ups, whatever the format and the text and however it is cut.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::tests::{Counting, budget, decode, rolls_up_the_same, says_the_same};
use crate::rollup::{Accumulator, Budget};

/// What a row says, by the names of fields.
type Row = Vec<(&'static str, String)>;

/// Fields without which no format is read quickly, and others.
const NEEDED: [&str; 10] = [
    "interface-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
];
const OTHERS: [&str; 21] = [
    "version",
    "account-id",
    "action",
    "log-status",
    "vpc-id",
    "subnet-id",
    "instance-id",
    "tcp-flags",
    "type",
    "pkt-srcaddr",
    "pkt-dstaddr",
    "az-id",
    "pkt-src-aws-service",
    "flow-direction",
    "traffic-path",
    "reject-reason",
    "resource-id",
    "encryption-status",
    "instance-tag",
    "interface-tag",
    "shiny-new",
];

/// A header: fields in any order, most often all that are needed, sometimes one of a transit gateway.
fn header() -> impl Strategy<Value = Vec<&'static str>> {
    let others = prop::sample::subsequence(OTHERS.to_vec(), 0..=OTHERS.len());
    let left_out = prop_oneof![30 => Just(None), 1 => (0..NEEDED.len()).prop_map(Some)];
    let gateway = prop_oneof![
        30 => Just(None),
        1 => prop::sample::select(vec!["tgw-attachment-id", "tgw-src-vpc-id", "packets-lost-no-route"]).prop_map(Some),
    ];
    (others, left_out, gateway)
        .prop_map(|(mut names, left_out, gateway)| {
            names.extend(
                NEEDED.iter().enumerate().filter(|(n, _)| Some(*n) != left_out).map(|(_, f)| f),
            );
            names.extend(gateway);
            names
        })
        .prop_shuffle()
}

/// One of these, or rarely one of those.
fn mostly(
    usual: impl Strategy<Value = String> + 'static,
    odd: &'static [&'static str],
) -> impl Strategy<Value = String> {
    prop_oneof![40 => usual, 1 => prop::sample::select(odd).prop_map(str::to_owned)]
}

fn text(choice: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(choice).prop_map(str::to_owned)
}

/// Action, status, whether the direction is an odd one, flags, path, encryption and the reason of a refusal.
fn words() -> impl Strategy<Value = (String, String, u8, String, String, String, String)> {
    (
        mostly(text(&["ACCEPT", "ACCEPT", "REJECT"]), &["-", "ACCEPTED", "accept"]),
        mostly(text(&["OK"]), &["-", "NODATA", "SKIPDATA", "FINE"]),
        prop_oneof![40 => Just(0u8), 3 => 1u8..5],
        mostly(text(&["0", "2", "3", "18", "19", "-"]), &["255", "256", "x"]),
        mostly(text(&["-", "1", "8"]), &["15", "16", "300", "-1"]),
        mostly(text(&["-", "0", "3"]), &["99"]),
        mostly(text(&["-"]), &["BPA", "a/b"]),
    )
}

/// Rows from few interfaces and addresses, so that they meet.
fn row() -> impl Strategy<Value = Row> {
    let address = prop_oneof![
        8 => (0u8..3, 0u8..9).prop_map(|(c, d)| format!("10.0.{c}.{d}")),
        4 => any::<u32>().prop_map(|n| std::net::Ipv4Addr::from(n).to_string()),
        2 => (0u16..4).prop_map(|n| format!("2001:db8:0:1::{n:x}")),
        1 => text(&["-", "01.2.3.4", "1.2.3.256", "::ffff:1.2.3.4", "::1", "1.2.3", "02:00:5e:10:00:ff"]),
    ];
    let number = || {
        mostly(
            (0u64..65_000).prop_map(|n| n.to_string()),
            &["-", "007", "+7", "65536", "123456789", "1234567890123456", "18446744073709551615"],
        )
    };
    let times = (0u32..1000, 0u32..90, 0u8..60).prop_map(|(s, d, odd)| {
        let (start, end) = (1_793_491_200 + s, 1_793_491_200 + s + d);
        match odd {
            0 => [end.to_string(), (start - 1).to_string()],
            1 => [format!("{start}000"), end.to_string()],
            2 => ["-".to_owned(), "-".to_owned()],
            3 => [start.to_string(), "-".to_owned()],
            _ => [start.to_string(), end.to_string()],
        }
    });
    let identity = (
        0u8..5,
        mostly(text(&["123456789012"]), &["unknown", "-", "12#4"]),
        mostly(text(&["vpc-0f9bbc065388e33c2"]), &["vpc-2", "-", "vpc!"]),
        mostly(text(&["i-005b9c7f757ea377f", "-"]), &["i-other", "i:1"]),
        mostly(text(&["web-1", "-"]), &["#1", "caf\u{e9}", "a%20b", "start"]),
        mostly(text(&["eni"]), &["-", "eni/1", "eni-1"]),
    );
    let packets = prop_oneof![
        20 => Just("same".to_owned()),
        2 => Just("-".to_owned()),
        3 => address.clone(),
    ];
    let flow = (address, 0u8..10, prop::array::uniform5(number()), times, packets.clone(), packets);
    (identity, flow, words()).prop_map(|(identity, flow, words)| {
        let (eni, account, vpc, instance, tag, interface) = identity;
        let (
            remote,
            side,
            [srcport, dstport, protocol, packets, bytes],
            [start, end],
            by_src,
            by_dst,
        ) = flow;
        let (action, status, turned, flags, path, encryption, reason) = words;
        let own = match (side, remote.contains("::")) {
            (9, _) => "198.51.100.7".to_owned(),
            (_, true) => format!("2001:db8:0:9::{eni}"),
            (_, false) => format!("10.0.9.{eni}"),
        };
        let outward = side < 5;
        let (src, dst) = if outward { (own, remote) } else { (remote, own) };
        let direction = match (turned, outward) {
            (0, true) | (1, false) => "egress",
            (0, false) | (1, true) => "ingress",
            (2, _) => "-",
            _ => "Egress",
        };
        let by = |by: String, of: &String| if by == "same" { of.clone() } else { by };
        let interface =
            if interface == "eni" { format!("eni-0123456789abcde{eni}") } else { interface };
        vec![
            ("version", "8".to_owned()),
            ("account-id", account),
            ("interface-id", interface),
            ("pkt-srcaddr", by(by_src, &src)),
            ("pkt-dstaddr", by(by_dst, &dst)),
            ("srcaddr", src),
            ("dstaddr", dst),
            ("srcport", srcport),
            ("dstport", dstport),
            ("protocol", if protocol.len() > 3 { "6".to_owned() } else { protocol }),
            ("packets", packets),
            ("bytes", bytes),
            ("start", start),
            ("end", end),
            ("action", action),
            ("log-status", status),
            ("vpc-id", vpc),
            ("subnet-id", format!("subnet-{eni}")),
            ("instance-id", instance),
            ("tcp-flags", flags),
            ("type", "IPv4".to_owned()),
            ("az-id", if side == 0 { "use1/az1" } else { "use1-az1" }.to_owned()),
            ("flow-direction", direction.to_owned()),
            ("traffic-path", path),
            ("encryption-status", encryption),
            ("reject-reason", reason),
            ("instance-tag", tag),
            ("shiny-new", format!("{:x}", side.pow(2))),
        ]
    })
}

/// A text of rows below their header, some of them damaged.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop_oneof![
        12 => Just(None),
        1 => (any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(b' '), Just(b'\t'), Just(b'\n')])
            .prop_map(Some),
    ];
    let ends =
        prop_oneof![40 => Just("\n"), 1 => Just("\r\n"), 1 => Just(" \n"), 1 => Just(" x\n")];
    (header(), prop::collection::vec((row(), damage, ends), 1..120)).prop_map(|(names, rows)| {
        let mut text = format!("{}\n", names.join(" ")).into_bytes();
        for (row, damage, end) in rows {
            let value = |name: &&str| {
                let value = row.iter().find(|(of, _)| of == name);
                value.map_or("-", |(_, value)| value.as_str())
            };
            let mut line = names.iter().map(value).collect::<Vec<_>>().join(" ").into_bytes();
            if let Some((at, byte)) = damage {
                let at = at.index(line.len());
                line[at] = byte;
            }
            text.extend_from_slice(&line);
            text.extend_from_slice(end.as_bytes());
        }
        text
    })
}

proptest! {
    #[test]
    fn says_what_the_plain_decoder_says(text in lines(), piece in 1usize..30_000, leave in 0usize..5) {
        says_the_same(&text, piece, leave)?;
    }

    #[test]
    fn rolls_up_as_the_plain_decoder_does(text in lines(), piece in 200usize..30_000, budget in budget()) {
        rolls_up_the_same(&text, piece, budget, Some(1_793_491_500))?;
    }
}

const V5: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end \
                  action log-status vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id \
                  sublocation-type sublocation-id pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path";

/// A text of so many rows of this format, in which addresses and ports of the packets vary.
fn ordinary(rows: usize, [own, remote]: [&str; 2], [packet, action]: [&str; 2]) -> String {
    let mut text = format!("{V5}\n");
    for n in 0..rows {
        let port = 40_000 + n;
        let packet = if packet == "same" { remote } else { packet };
        let (src, dst, by_src, by_dst, direction, path) = if n % 3 == 0 {
            (own, remote, own, packet, "egress", "8")
        } else {
            (remote, own, packet, own, "ingress", "-")
        };
        let _ = writeln!(
            text,
            "5 123456789012 eni-0123456789abcde{} {src} {dst} {port} 443 6 20 4249 1418530010 1418530070 {action} OK \
             vpc-0f9bbc065388e33c2 subnet-0263ea427e3883c4f i-005b9c7f757ea377f 19 IPv4 {by_src} {by_dst} us-east-1 \
             use1-az6 - - - AMAZON {direction} {path}",
            n % 5
        );
    }
    text
}

/// The tests above would pass if the quick reader took nothing: each kind of row is rolled up quickly once
/// its interface is known in its window.
#[test]
fn known_interfaces_need_no_plain_decoder() {
    const V6: [&str; 2] = ["2001:db8:1234:5678:9abc:def0:1234:5678", "2a02::ffcb:5c99:f6aa:8871"];
    for (addresses, more) in [
        (["10.0.0.1", "203.0.113.7"], ["same", "ACCEPT"]),
        (["10.0.0.1", "203.0.113.7"], ["-", "ACCEPT"]),
        (["10.0.0.1", "10.0.0.9"], ["203.0.113.7", "ACCEPT"]),
        (["10.0.0.1", "10.0.0.9"], ["same", "REJECT"]),
        (["203.0.113.99", "203.0.113.7"], ["same", "REJECT"]),
        (V6, ["same", "ACCEPT"]),
        (V6, ["same", "REJECT"]),
    ] {
        let text = ordinary(300, addresses, more);
        let mut counting = Counting(Accumulator::new(Budget::default(), None), 0);
        let counts = decode(text.as_bytes(), text.len(), &mut counting);
        assert_eq!(counts.parsed, 300);
        // The first row of each interface; the last one has too little behind it.
        assert!(counting.1 <= 6, "{} of {addresses:?} {more:?}", counting.1);
    }
    // Nobody can say in one row that a packet was refused and had other addresses.
    let text = ordinary(300, ["10.0.0.1", "10.0.0.9"], ["203.0.113.7", "REJECT"]);
    let mut counting = Counting(Accumulator::new(Budget::default(), None), 0);
    decode(text.as_bytes(), text.len(), &mut counting);
    assert_eq!(counting.1, 300);
}

/// Two families at one interface do not make each other forgotten.
#[test]
fn both_families_of_an_interface_are_known() {
    let v4 = ordinary(100, ["10.0.0.1", "203.0.113.7"], ["same", "ACCEPT"]);
    let v6 = ordinary(100, ["2001:db8::1:1:1:1", "2a02::ffcb:5c99:1"], ["same", "ACCEPT"]);
    let mut text = format!("{V5}\n");
    for (v4, v6) in v4.lines().zip(v6.lines()).skip(1) {
        let _ = writeln!(text, "{v4}\n{v6}");
    }
    let mut counting = Counting(Accumulator::new(Budget::default(), None), 0);
    assert_eq!(decode(text.as_bytes(), text.len(), &mut counting).parsed, 200);
    assert!(counting.1 <= 11, "{}", counting.1);
}
