//! A little traffic, the same on every machine, with something for every part of a roll-up.

use std::fmt::Write as _;

use flowlog_core::decode::{Fallback, Limits, ObjectDecoder};
use flowlog_core::rollup::{Accumulator, Budget, Chunk, Mapping};

/// Midnight, 1 November 2026.
pub(crate) const MIDNIGHT: i64 = 1_793_491_200;

const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol \
                      packets bytes start end action log-status vpc-id subnet-id instance-id \
                      tcp-flags flow-direction traffic-path reject-reason encryption-status \
                      interface-tag";

/// An object of `rows` rows over `windows` windows from `start`, of three interfaces in two VPCs.
pub(crate) fn text(rows: i64, windows: i64, start: i64, salt: i64) -> String {
    let mut text = format!("{HEADER}\n");
    for n in 0..rows {
        let k = n * 7919 + salt * 104_729;
        let at = start + (k % windows) * 300 + k % 240;
        let interface = k % 3;
        let inward = k % 2 == 0;
        let rejected = k % 5 < 2;
        let own = format!("10.{}.0.{}", interface % 2, 10 + interface);
        let other = match k % 4 {
            0 => format!("203.0.113.{}", k % 250),
            1 => format!("10.{}.7.{}", (interface + 1) % 2, k % 90),
            2 => format!("2001:db8::{:x}", k % 300),
            _ => format!("10.0.9.{}", k % 5),
        };
        let (src, dst) = if inward { (other, own) } else { (own, other) };
        let port = [22, 443, 5432, 3389, 8080][usize::try_from(k % 5).unwrap()];
        let (srcport, dstport) =
            if inward { (40_000 + k % 999, port) } else { (port, 50_000 + k % 99) };
        let action = if rejected { "REJECT" } else { "ACCEPT" };
        let direction = if inward { "ingress" } else { "egress" };
        let reason = if rejected && k % 11 == 0 { "BPA" } else { "-" };
        writeln!(
            text,
            "11 123456789012 eni-{interface:017x} {src} {dst} {srcport} {dstport} {} {} {} {at} {} \
             {action} OK vpc-{} subnet-{interface} i-{interface:017x} {} {direction} {} {reason} \
             {} web%2D{interface}",
            if k % 13 == 0 { 17 } else { 6 },
            1 + k % 77,
            40 + k % 90_001,
            at + 59,
            interface % 2,
            [0, 2, 18, 19][usize::try_from(k % 4).unwrap()],
            if inward { "-".to_owned() } else { (1 + k % 8).to_string() },
            k % 4,
        )
        .unwrap();
    }
    for (status, interface) in [("NODATA", 1), ("SKIPDATA", 2)] {
        writeln!(
            text,
            "11 123456789012 eni-{interface:017x} - - - - - - - {start} {} - {status} vpc-{} - - - - - - - -",
            start + 59,
            interface % 2
        )
        .unwrap();
    }
    text
}

/// The chunks of a text under a mapping version.
pub(crate) fn chunks(text: &str, mapping: Mapping, budget: Budget) -> Vec<Chunk> {
    let sink = Accumulator::of(mapping, budget, None, Vec::new());
    let mut decoder = ObjectDecoder::new(Limits::default(), Fallback::Default, None, sink);
    let mut chunks = Vec::new();
    for piece in text.as_bytes().chunks(1000) {
        decoder.push(piece).unwrap();
        chunks.extend(decoder.sink_mut().unwrap().take_ready());
    }
    let whole = decoder.finish().unwrap();
    assert!(whole.counts.balances());
    assert_eq!(whole.counts.rejected_total(), 0, "{:?}", whole.counts);
    chunks.extend(whole.sink.finish());
    chunks
}
