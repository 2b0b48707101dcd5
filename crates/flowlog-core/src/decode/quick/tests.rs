//! The quick reader beside the plain decoder: the same records, rejections and roll-ups, whatever the
//! text and however it is cut.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::decode::{
    Counts, Fallback, Limits, LineDecoder, RecordSink, RejectedLine, Verdict, parse_row,
};
use crate::format::Format;
use crate::record::Record;
use crate::rollup::{Accumulator, Budget, Chunk};

/// What a sink was told, as text.
#[derive(Default)]
struct Heard<const QUICK: bool> {
    said: Vec<String>,
    ids: BTreeMap<u32, String>,
    last: String,
    /// Leaves every so many quick rows to the plain decoder.
    leave: usize,
    quick: usize,
}

impl<const QUICK: bool> RecordSink for Heard<QUICK> {
    const QUICK: bool = QUICK;

    fn record(&mut self, r: &Record<'_>) -> Verdict {
        let ids =
            [r.account_id, r.interface_id, r.resource_id, r.vpc_id, r.subnet_id, r.instance_id];
        self.last = format!("{ids:?} {:?}", r.tag);
        // Of an accepted row the packets' address at the other side is what counts.
        let (src, dst) = match r.flow_direction.filter(|_| r.action != Action::Reject) {
            Some(Direction::Ingress) => (r.pkt_srcaddr.or(r.srcaddr), r.dstaddr),
            Some(Direction::Egress) => (r.srcaddr, r.pkt_dstaddr.or(r.dstaddr)),
            _ => (r.srcaddr, r.dstaddr),
        };
        self.said.push(format!(
            "{} {src:?} {dst:?} {:?} {:?} {:?} {} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            self.last,
            r.srcport,
            r.dstport,
            r.protocol,
            r.packets,
            r.bytes,
            r.start,
            r.end,
            r.action,
            r.log_status,
            r.flow_direction,
            r.tcp_flags,
            r.traffic_path,
            r.encryption_status,
            r.reject_reason
        ));
        Verdict::Counted
    }

    fn quick(&mut self, rows: &[QuickRow]) -> usize {
        for (at, r) in rows.iter().enumerate() {
            self.quick += 1;
            let (Some(src), Some(dst)) = (r.src.address(), r.dst.address()) else { return at };
            if self.leave > 0 && self.quick.is_multiple_of(self.leave) {
                return at;
            }
            let Some(ids) = self.ids.get(&r.head) else { return at };
            self.said.push(format!(
                "{ids} {:?} {:?} {:?} {:?} {:?} {} {} {:?} {:?} {:?} Ok {:?} {:?} {:?} {:?} None",
                Some(src),
                Some(dst),
                Some(r.srcport),
                Some(r.dstport),
                Some(r.protocol),
                r.packets,
                r.bytes,
                Some(r.start),
                Some(r.end),
                r.action,
                r.direction,
                r.tcp_flags,
                r.traffic_path,
                r.encryption_status
            ));
        }
        rows.len()
    }

    fn head(&mut self, head: u32) {
        self.ids.insert(head, self.last.clone());
    }

    fn rejected(&mut self, line: RejectedLine) {
        self.said.push(format!("{line:?}"));
    }
}

/// Hides the quick way of the sink within.
struct Plainly(Accumulator);

impl RecordSink for Plainly {
    fn record(&mut self, record: &Record<'_>) -> Verdict {
        self.0.record(record)
    }

    fn format(&mut self, format: &Format) {
        self.0.format(format);
    }
}

pub(super) fn decode<S: RecordSink>(text: &[u8], piece: usize, sink: &mut S) -> Counts {
    let mut decoder = LineDecoder::new(Limits::default(), Fallback::Default);
    for piece in text.chunks(piece) {
        decoder.push(piece, sink).unwrap();
    }
    decoder.finish(sink).unwrap();
    decoder.counts().clone()
}

/// Encoded roll-ups in order.
fn stored(chunks: Vec<Chunk>) -> Vec<(String, i64, Vec<u8>)> {
    let rollups = chunks.into_iter().flatten();
    rollups.map(|(id, window, rollup)| (id, window.start(), rollup.encode())).collect()
}

/// Rows that the generator would not write, from few interfaces and addresses, so that they meet.
fn line() -> impl Strategy<Value = String> {
    let address = prop_oneof![
        8 => (0u8..3, 0u8..9).prop_map(|(c, d)| format!("10.0.{c}.{d}")),
        4 => any::<u32>().prop_map(|n| std::net::Ipv4Addr::from(n).to_string()),
        2 => (0u16..4).prop_map(|n| format!("2001:db8::{n:x}")),
        1 => any::<u128>().prop_map(|n| Ipv6Addr::from(n).to_string()),
        1 => Just("02:00:5e:10:00:ff".to_owned()),
        1 => prop_oneof![Just("-"), Just("01.2.3.4"), Just("1.2.3.256"), Just("::ffff:1.2.3.4"), Just("1.2.3")]
            .prop_map(str::to_owned),
    ];
    let number = prop_oneof![
        60 => (0u64..65_000).prop_map(|n| n.to_string()),
        2 => any::<u64>().prop_map(|n| n.to_string()),
        1 => prop_oneof![Just("-"), Just("007"), Just("+7"), Just("")].prop_map(str::to_owned),
    ];
    let head = (
        0u8..6,
        prop_oneof![30 => Just("2 123456789010"), 1 => Just("3 unknown"), 1 => Just("2  1")],
    );
    let tail = prop_oneof![
        60 => Just("ACCEPT OK"), 20 => Just("REJECT OK"), 1 => Just("ACCEPT NODATA"), 1 => Just("- SKIPDATA"),
        1 => Just("ACCEPT OK\r"), 1 => Just("ACCEPT  OK"), 1 => Just("ACCEPT OK "), 1 => Just("ACCEPT OKAY")
    ];
    let times = (0u32..1000, 0u32..90, 0u8..60).prop_map(|(s, d, odd)| match odd {
        0 => format!("{} {}", 1_793_491_300 + s, 1_793_491_200 - d),
        1 => format!("{}000 {}", 1_793_491_200 + s, 1_793_491_200 + s + d),
        2 => "- -".to_owned(),
        _ => format!("{} {}", 1_793_491_200 + s, 1_793_491_200 + s + d),
    });
    // Each interface has an address of its own, which stands in most of its rows.
    (head, address, 0u8..10, prop::collection::vec(number, 5), times, tail).prop_map(
        |((eni, head), remote, side, numbers, times, tail)| {
            let own = match (side, remote.contains("::")) {
                (9, _) => "198.51.100.7".to_owned(),
                (_, true) => format!("2001:db8:1::{eni}"),
                (_, false) => format!("10.0.9.{eni}"),
            };
            let (src, dst) = if side < 5 { (own, remote) } else { (remote, own) };
            let [srcport, dstport, protocol, packets, bytes] = numbers.as_slice() else {
                return String::new();
            };
            let protocol = if protocol.len() > 2 { "6" } else { protocol };
            let numbers = format!("{srcport} {dstport} {protocol} {packets} {bytes}");
            format!("{head} eni-0123456789abcde{eni} {src} {dst} {numbers} {times} {tail}")
        },
    )
}

/// A text of rows, some of them damaged.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop_oneof![
        12 => Just(None),
        1 => (any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0)]).prop_map(Some),
    ];
    prop::collection::vec((line(), damage), 1..120).prop_map(|lines| {
        let mut text = format!("{}\n", crate::format::DEFAULT_HEADER).into_bytes();
        for (line, damage) in lines {
            let mut line = line.into_bytes();
            if let Some((at, byte)) = damage {
                let at = at.index(line.len());
                line[at] = byte;
            }
            text.extend_from_slice(&line);
            text.push(b'\n');
        }
        text
    })
}

/// Whether the quick reader says what the plain decoder says of a text that comes in pieces.
pub(super) fn says_the_same(text: &[u8], piece: usize, leave: usize) -> Result<(), TestCaseError> {
    let mut plain = Heard::<false>::default();
    let mut quick = Heard::<true> { leave, ..Heard::default() };
    let expected = decode(text, piece, &mut plain);
    prop_assert_eq!(decode(text, piece, &mut quick), expected);
    prop_assert_eq!(quick.said, plain.said);
    Ok(())
}

/// Whether its rows become the same roll-ups.
pub(super) fn rolls_up_the_same(
    text: &[u8],
    piece: usize,
    budget: Budget,
    horizon: Option<i64>,
) -> Result<(), TestCaseError> {
    let mut plain = Plainly(Accumulator::new(budget, horizon));
    let mut quick = Accumulator::new(budget, horizon);
    let expected = decode(text, piece, &mut plain);
    prop_assert_eq!(decode(text, piece, &mut quick), expected);
    prop_assert_eq!(stored(quick.finish()), stored(plain.0.finish()));
    Ok(())
}

/// Chunks that are cut all the time, by one limit or the other.
pub(super) fn budget() -> impl Strategy<Value = Budget> {
    let windows = prop_oneof![2 => Just(usize::MAX), 1 => 0..6usize];
    let charged = prop_oneof![Just((96, 176)), (32..96usize, 176..420usize)];
    (1usize..24, charged, windows, any::<bool>()).prop_map(
        |(kib, (talker_bytes, held_bytes), interface_windows, ends_whole)| Budget {
            state_bytes: kib << 10,
            talker_bytes,
            held_bytes,
            pruned_entries: 2,
            interface_windows,
            ends_whole,
        },
    )
}

proptest! {
    #[test]
    fn says_what_the_plain_decoder_says(text in text(), piece in 1usize..9000, leave in 0usize..5) {
        says_the_same(&text, piece, leave)?;
    }

    #[test]
    fn rolls_up_as_the_plain_decoder_does(text in text(), piece in 200usize..9000, budget in budget()) {
        rolls_up_the_same(&text, piece, budget, Some(1_793_491_500))?;
    }

    #[test]
    fn v6_is_read_as_the_library_reads_it(
        groups in prop::collection::vec("[0-9a-fA-F]{0,5}|::?|0|1\\.2\\.3\\.4|%", 0..11),
        separator in "::?",
        bits: u128,
    ) {
        for text in [groups.join(&separator), groups.concat(), Ipv6Addr::from(bits).to_string()] {
            let expected = text.parse::<Ipv6Addr>().ok().map(Ipv6Addr::to_bits);
            prop_assert_eq!(v6_bits(text.as_bytes()), expected, "{}", text);
        }
        // Zeros that are left out at any place.
        let sparse = bits & bits.rotate_left(17) & bits.rotate_left(71) & (u128::MAX << 48 | 0xffff);
        let text = Ipv6Addr::from(sparse).to_string();
        prop_assert_eq!(v6_bits(text.as_bytes()), Some(sparse), "{}", text);
    }

    #[test]
    fn spelling_is_the_address(bits: u32) {
        let v4 = std::net::Ipv4Addr::from(bits);
        let spelled = Spelled::of(Address::V4(v4));
        prop_assert_eq!(spelled.address(), Some(Address::V4(v4)));
        let text = v4.to_string();
        prop_assert_eq!(&spelled.bits.to_le_bytes()[..text.len()], text.as_bytes());
    }
}

/// The tests above would pass if the quick reader took nothing.
#[test]
fn ordinary_rows_are_taken() {
    let mut text = format!("{}\n", crate::format::DEFAULT_HEADER);
    for n in 0..1000 {
        let (src, dst) = if n % 10 == 0 {
            ("2001:db8:1234:5678:9abc:def0:1234:5678".to_owned(), "2001:db8::1".to_owned())
        } else {
            (format!("203.0.113.{}", n % 250), "10.0.0.1".to_owned())
        };
        let _ = writeln!(
            text,
            "2 123456789010 eni-1235b8ca12345678{} {src} {dst} {} 443 6 20 4249 1418530010 1418530070 ACCEPT OK",
            n % 5,
            40_000 + n
        );
    }
    let mut heard = Heard::<true>::default();
    decode(text.as_bytes(), text.len(), &mut heard);
    // The first row of each head, and the last ones, behind which there is nothing to look at.
    assert!(heard.quick >= 990, "{}", heard.quick);
    assert_eq!(heard.said.len(), 1000);
    assert!(parse_row(text.lines().nth(1).unwrap(), &Format::default_v2()).is_ok());
}

/// What rows from IPv6 to IPv4 teach of an interface's own address is not its IPv4 address, nor the IPv6
/// address whose number is that address's text.
#[test]
fn an_address_of_the_other_family_is_not_taken_for_its_own() {
    let mut text = format!("{}\n", crate::format::DEFAULT_HEADER);
    let talks = [
        ("203.0.113.1", "10.0.9.1", "ACCEPT"),
        ("2001:db8::1", "198.51.100.7", "ACCEPT"),
        ("2001:db8::2", "198.51.100.7", "ACCEPT"),
        ("10.0.1.3", "10.0.9.1", "REJECT"),
        ("::372e:3030:312e:3135:2e38:3931", "2001:db8::5", "ACCEPT"),
    ];
    for (src, dst, action) in talks.into_iter().cycle().take(40) {
        let _ = writeln!(
            text,
            "2 123456789010 eni-1235b8ca123456780 {src} {dst} 40000 22 6 20 4249 1418530010 1418530070 {action} OK"
        );
    }
    rolls_up_the_same(text.as_bytes(), text.len(), Budget::default(), None).unwrap();
}

/// The plain decoder separates columns by tabs, too: what the quick one takes for one may be two of them.
#[test]
fn a_head_with_a_tab_is_learned_by_nobody() {
    let row = |tab: &str, src: &str| {
        format!(
            "2 123456789010 eni-1235b8ca123456789{tab}10.0.0.1 {src}172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK\n"
        )
    };
    let (good, bad) = (row("\t", ""), row("\t", "172.31.16.139 "));
    let text = [crate::format::DEFAULT_HEADER, "\n", &good, &bad, &bad, &row(" ", "").repeat(5)];
    says_the_same(text.concat().as_bytes(), 4096, 0).unwrap();
}

/// A zero at the end of an address is no part of the text that stands for it.
#[test]
fn zeros_spell_no_address() {
    let rows = |src: &str| {
        let row = |src| {
            format!(
                "2 123456789010 eni-1235b8ca123456780 {src} 10.0.0.1 40000 22 6 20 4249 1418530010 1418530070 ACCEPT OK\n"
            )
        };
        format!(
            "{}\n{}{}{}",
            crate::format::DEFAULT_HEADER,
            row("10.0.0.2"),
            row(src),
            row("10.0.0.3").repeat(4)
        )
    };
    for (src, rejected) in
        [("10.0.0.2", 0), ("10.0.0.2\0", 1), ("10.0.0.\0", 1), ("10.0.0.2\0\0", 1)]
    {
        let counts =
            decode(rows(src).as_bytes(), 4096, &mut Accumulator::new(Budget::default(), None));
        assert_eq!((counts.parsed, counts.rejected_total()), (6 - rejected, rejected), "{src:?}");
    }
}

/// Counts what the accumulator within is given plainly.
pub(super) struct Counting(pub(super) Accumulator, pub(super) usize);

impl RecordSink for Counting {
    const QUICK: bool = true;

    fn record(&mut self, record: &Record<'_>) -> Verdict {
        self.1 += 1;
        self.0.record(record)
    }

    fn quick(&mut self, rows: &[QuickRow]) -> usize {
        self.0.quick(rows)
    }

    fn head(&mut self, head: u32) {
        self.0.head(head);
    }

    fn format(&mut self, format: &Format) {
        self.0.format(format);
    }
}

/// Each kind of row is rolled up quickly once its interface is known in its window.
#[test]
fn known_interfaces_need_no_plain_decoder() {
    for (own, remote, port, action) in [
        ("10.0.0.1", "203.0.113.7", 443, "ACCEPT"),
        ("10.110.210.110", "203.110.113.127", 443, "ACCEPT"),
        ("10.0.0.1", "10.0.0.9", 5432, "ACCEPT"),
        ("10.0.0.1", "203.0.113.7", 22, "REJECT"),
        ("2001:db8:1234:5678:9abc:def0:1234:5678", "2a02::ffcb:5c99:f6aa:8871", 443, "ACCEPT"),
    ] {
        let mut text = format!("{}\n", crate::format::DEFAULT_HEADER);
        for n in 0..200 {
            let remote =
                if n == 1 { remote.replace('7', "8").replace('9', "3") } else { remote.to_owned() };
            let (src, dst) =
                if n % 3 == 0 { (own, remote.as_str()) } else { (remote.as_str(), own) };
            let _ = writeln!(
                text,
                "2 123456789010 eni-1235b8ca123456780 {src} {dst} 40000 {port} 6 20 4249 1418530010 1418530070 {action} OK",
            );
        }
        let mut counting = Counting(Accumulator::new(Budget::default(), None), 0);
        decode(text.as_bytes(), text.len(), &mut counting);
        // The first row teaches the head, two the interface's own address; the last ones have nothing behind them.
        assert!(counting.1 <= 6, "{} of {own}", counting.1);
    }
}
