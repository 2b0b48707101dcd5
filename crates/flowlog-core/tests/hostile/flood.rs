//! Memory depends on limits, never on how many addresses or interfaces a stranger invents: floods in
//! the small, with budgets as small.

use flowlog_core::decode::RecordSink as _;
use flowlog_core::detect::{Baseline, History, Rule, Rules};
use flowlog_core::record::{Action, Address, Record};
use flowlog_core::rollup::{Accumulator, BLOB_LIMIT, Budget, LISTED, Rollup};

const START: i64 = 1_793_491_200;

fn budget(state_bytes: usize) -> Budget {
    Budget { state_bytes, ..Budget::default() }
}

fn source(n: u32) -> Address {
    Address::V4((0x5000_0000 + n).into())
}

fn reject(interface: &str, src: Address, dstport: u16) -> Record<'_> {
    Record {
        interface_id: Some(interface),
        srcaddr: Some(src),
        dstaddr: Address::parse("10.0.0.1"),
        srcport: Some(50_000),
        dstport: Some(dstport),
        protocol: Some(6),
        packets: 1,
        bytes: 40,
        start: Some(START),
        end: Some(START),
        action: Action::Reject,
        ..Record::empty()
    }
}

#[test]
fn forged_interfaces_come_out_as_they_go_in() {
    let state_bytes = 256 << 10;
    let mut accumulator = Accumulator::new(budget(state_bytes), None);
    let (mut cells, mut records) = (0, 0);
    let mut count = |chunks: Vec<Vec<(String, _, Rollup)>>| {
        for chunk in chunks {
            // A cell and its interface cost some 1 KiB; nothing here costs less.
            assert!(chunk.len() <= state_bytes / 512, "{} cells in a chunk", chunk.len());
            cells += chunk.len();
            records += chunk.iter().map(|(_, _, r)| r.totals().reject.records).sum::<u64>();
        }
    };
    for n in 0..50_000_u32 {
        accumulator.record(&reject(&format!("eni-{n:017x}"), source(n), 22));
        let ready = accumulator.take_ready();
        assert!(ready.len() <= 1, "a chunk comes out when it is full");
        count(ready);
    }
    count(accumulator.finish());
    assert_eq!((cells, records), (50_000, 50_000));
}

#[test]
fn forged_windows_come_out_as_they_go_in() {
    let mut accumulator = Accumulator::new(budget(64 << 10), None);
    let mut chunks = Vec::new();
    for n in 0..5_000 {
        let start = Some(n * 300);
        accumulator.record(&Record { start, end: start, ..reject("eni-1", source(1), 22) });
        chunks.extend(accumulator.take_ready());
    }
    chunks.extend(accumulator.finish());
    assert!(chunks.len() > 10);
    assert!(chunks.iter().all(|chunk| chunk.len() <= 128));
    assert_eq!(chunks.iter().map(Vec::len).sum::<usize>(), 5_000);
}

#[test]
fn a_chunk_ends_with_the_interface_window_that_is_one_too_many() {
    let mut accumulator =
        Accumulator::new(Budget { interface_windows: 30, ..Budget::default() }, None);
    // Each three times, but not one after the other.
    for n in 0..3_000_u32 {
        let interface = format!("eni-{:017x}", n / 90 * 30 + n % 30);
        accumulator.record(&reject(&interface, source(n), 22));
    }
    let chunks = accumulator.finish();
    let lengths: Vec<usize> = chunks.iter().map(Vec::len).collect();
    let (last, full) = lengths.split_last().unwrap();
    assert!(
        full.len() > 30 && full.iter().all(|length| *length == 31) && *last <= 31,
        "{lengths:?}"
    );
    let rollups = chunks.iter().flatten();
    assert_eq!(rollups.map(|(_, _, r)| r.totals().reject.records).sum::<u64>(), 3_000);
}

/// Lists of which most is kept: pruning them cannot free half of the state, so they need not lose anything.
#[test]
fn a_chunk_that_pruning_could_not_halve_ends_whole() {
    let chunks = |ends_whole| {
        let budget = Budget { pruned_entries: 20, ends_whole, ..budget(64 << 10) };
        let mut accumulator = Accumulator::new(budget, None);
        for n in 0..4_000_u32 {
            accumulator.record(&reject(&format!("eni-{:017x}", n % 10), source(n), 22));
        }
        let chunks = accumulator.finish();
        let rollups = || chunks.iter().flatten().map(|(_, _, rollup)| rollup);
        assert_eq!(rollups().map(|r| r.totals().reject.records).sum::<u64>(), 4_000);
        let cut = rollups().filter(|r| r.rejected_sources.error() > 0).count();
        (chunks.len(), cut)
    };
    let (pruned, whole) = (chunks(false), chunks(true));
    assert!(pruned.0 > 10 && pruned.1 > 50, "{pruned:?}");
    assert!(whole.0.abs_diff(pruned.0) <= 1 && whole.1 == 0, "{whole:?}, pruned {pruned:?}");
}

#[test]
fn a_flood_of_sources_is_counted_and_hides_nobody() {
    let scanner = Address::parse("10.9.9.9").unwrap();
    let mut accumulator = Accumulator::new(budget(1 << 20), None);
    let flood = 200_000_u32;
    for n in 0..flood {
        accumulator.record(&reject("eni-1", source(n), u16::try_from(n % 60_000).unwrap()));
        // One record in a thousand is of somebody who does something else.
        if n % 1_000 == 0 {
            let port = u16::try_from(n / 1_000 + 1).unwrap();
            accumulator.record(&reject("eni-1", scanner, port));
        }
        assert!(accumulator.take_ready().is_empty(), "one interface stays one chunk");
    }
    let chunk = accumulator.finish().pop().unwrap();
    let [(id, window, rollup)] = &chunk[..] else { panic!("one cell") };
    let bytes = rollup.encode();
    assert!(bytes.len() <= BLOB_LIMIT);
    let rollup = Rollup::decode(&bytes).unwrap();
    assert_eq!(rollup.totals().reject.records, u64::from(flood) + 200);
    assert!(rollup.rejected_sources.len() <= LISTED);
    let seen = rollup.rejected_sources_seen().estimate().unwrap().estimate;
    assert!(seen.abs_diff(u64::from(flood) + 1) < u64::from(flood) / 7, "{seen} sources");
    let listed = rollup.rejected_sources.get(&scanner).expect("the heaviest is listed");
    let missing = 200 - listed.records;
    assert!(missing <= rollup.rejected_sources.error(), "{missing} of its records are missing");
    let mut history = History { interface_id: id.clone(), ..History::default() };
    history.add(*window, &rollup);
    let findings = Rules::default().evaluate(&history, &Baseline::default(), *window);
    assert!(findings.iter().any(|f| f.rule == Rule::PortScan && f.source == Some(scanner)));
    assert!(findings.iter().any(|f| f.rule == Rule::RejectBurst));
}

/// Whoever chooses what a field says cannot make a roll-up grow beyond what can be stored.
#[test]
fn every_field_at_its_worst_still_fits() {
    let long = "x".repeat(64);
    let mut accumulator = Accumulator::new(Budget::default(), None);
    for n in 0..60_000_u32 {
        let address = |seed: u32| {
            let bits = u128::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            Some(Address::V6(bits.into()))
        };
        let reason = format!("{}{n:04}", &long[..60]);
        let small = u8::try_from(n % 256).unwrap();
        accumulator.record(&Record {
            account_id: Some(&long),
            vpc_id: Some(&long),
            interface_id: Some(&long),
            srcaddr: address(n % 700),
            dstaddr: address(n + 1_000),
            srcport: Some(60_000),
            dstport: Some(u16::try_from(n).unwrap()),
            protocol: Some(small),
            packets: u64::from(n) << 40,
            bytes: i64::MAX.cast_unsigned() >> 8,
            start: Some(START),
            end: Some(9_999_999_999),
            action: [Action::Accept, Action::Reject, Action::Other][n as usize % 3],
            tcp_flags: Some(small),
            traffic_path: Some(small),
            encryption_status: Some(small),
            reject_reason: Some(&reason),
            packets_lost: [u64::MAX; 4],
            ..Record::empty()
        });
    }
    let chunk = accumulator.finish().pop().unwrap();
    let [(_, _, rollup)] = &chunk[..] else { panic!("one cell") };
    let bytes = rollup.encode();
    assert!((1..=BLOB_LIMIT).contains(&bytes.len()), "{} bytes", bytes.len());
    let decoded = Rollup::decode(&bytes).unwrap();
    assert_eq!(decoded.totals(), rollup.totals());
    assert_eq!(decoded.reject_reasons.len(), 9);
}
