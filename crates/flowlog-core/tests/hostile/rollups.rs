//! The laws of roll-ups, against a count that keeps everything: sums are exact whatever the budget,
//! the chunks and the order of folding; lists stay within the error that they state.

use std::collections::{BTreeMap, BTreeSet};

use flowlog_core::decode::RecordSink as _;
use flowlog_core::detect::review::across;
use flowlog_core::record::{Action, Address, Direction, LogStatus, Record, Window};
use flowlog_core::rollup::{
    Accumulator, BLOB_LIMIT, Budget, Chunk, Contact, Distinct, PortKey, Ranked, RejectedSource,
    Rollup, Sums, TalkerKey,
};
use proptest::prelude::*;
use proptest::sample::select;

const START: i64 = 1_793_491_200;

/// A record with few enough values that they meet again.
#[derive(Debug, Clone, Copy)]
struct Flow {
    interface: usize,
    window: i64,
    remote: u16,
    port: u16,
    ingress: bool,
    action: Action,
    status: LogStatus,
    packets: u64,
    bytes: u64,
    flags: u8,
    v6: bool,
}

const INTERFACES: [&str; 3] = ["eni-1", "eni-2", "tgw-attach-1"];

fn flow() -> impl Strategy<Value = Flow> {
    let action = select(&[Action::Accept, Action::Reject, Action::Reject, Action::Other][..]);
    let status = prop_oneof![
        20 => Just(LogStatus::Ok),
        1 => Just(LogStatus::NoData),
        1 => Just(LogStatus::SkipData),
    ];
    let bytes = prop_oneof![4 => 0..2_000_u64, 1 => 0..i64::MAX.cast_unsigned() / 4_096];
    (
        (0..3_usize, 0..2_i64, prop_oneof![2 => 0..5_u16, 3 => 0..400_u16], 0..40_u16),
        (any::<bool>(), action, status, 0..100_u64, bytes, 0..64_u8, any::<bool>()),
    )
        .prop_map(|((interface, window, remote, port), rest)| {
            let (ingress, action, status, packets, bytes, flags, v6) = rest;
            Flow {
                interface,
                window,
                remote,
                port,
                ingress,
                action,
                status,
                packets,
                bytes,
                flags,
                v6,
            }
        })
}

impl Flow {
    fn remote(self) -> Address {
        let [high, low] = self.remote.to_be_bytes();
        if self.v6 {
            Address::V6([0x2001, 0xdb8, 0, 0, 0, 0, 0, self.remote].into())
        } else {
            Address::V4([203, 0, high, low].into())
        }
    }

    fn record(self) -> Record<'static> {
        let own = if self.v6 { "2001:db8:1::1" } else { "10.0.0.1" };
        let (own, remote) = (Address::parse(own), Some(self.remote()));
        let start = START + self.window * 300 + i64::from(self.port);
        let ports = (Some(50_000), Some(self.port));
        Record {
            interface_id: Some(INTERFACES[self.interface]),
            srcaddr: if self.ingress { remote } else { own },
            dstaddr: if self.ingress { own } else { remote },
            srcport: ports.0,
            dstport: ports.1,
            protocol: Some(6),
            packets: self.packets,
            bytes: self.bytes,
            start: Some(start),
            end: Some(start + 1),
            action: self.action,
            log_status: self.status,
            tcp_flags: Some(self.flags),
            flow_direction: Some(if self.ingress { Direction::Ingress } else { Direction::Egress }),
            packets_lost: [u64::from(self.flags), 0, 0, 1],
            ..Record::empty()
        }
    }

    fn source(self) -> Address {
        self.record().srcaddr.unwrap()
    }
}

/// Everything that is known of an interface and window.
#[derive(Debug, Default)]
struct Exact {
    actions: BTreeMap<Action, Sums>,
    status: [u64; 2],
    flags: BTreeMap<u8, u64>,
    lost: [u64; 4],
    talkers: BTreeMap<TalkerKey, u64>,
    sources: BTreeMap<Address, u64>,
    ports: BTreeMap<PortKey, u64>,
}

type Cells<T> = BTreeMap<(String, Window), T>;

fn count(flows: &[Flow]) -> Cells<Exact> {
    let mut cells: Cells<Exact> = BTreeMap::new();
    for flow in flows {
        let record = flow.record();
        let key = (record.subject().to_owned(), record.window().unwrap());
        let exact = cells.entry(key).or_default();
        match flow.status {
            LogStatus::NoData => exact.status[0] += 1,
            LogStatus::SkipData => exact.status[1] += 1,
            LogStatus::Ok => {
                let sums = exact.actions.entry(flow.action).or_default();
                sums.add(&Sums { records: 1, packets: flow.packets, bytes: flow.bytes });
                *exact.flags.entry(if flow.flags < 32 { flow.flags } else { 255 }).or_default() +=
                    1;
                exact.lost[0] += u64::from(flow.flags);
                exact.lost[3] += 1;
                if flow.action == Action::Reject {
                    *exact.sources.entry(flow.source()).or_default() += 1;
                    let port = PortKey { protocol: 6, port: flow.port };
                    *exact.ports.entry(port).or_default() += 1;
                } else {
                    let (remote, port) = (flow.remote(), flow.port.min(50_000));
                    let key = TalkerKey { remote, port, protocol: 6 };
                    *exact.talkers.entry(key).or_default() += flow.bytes;
                }
            }
        }
    }
    cells
}

fn chunks(flows: &[Flow], budget: Budget) -> Vec<Chunk> {
    chunks_of(&mut Accumulator::new(budget, None), flows)
}

fn chunks_of(accumulator: &mut Accumulator, flows: &[Flow]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    for (n, flow) in flows.iter().enumerate() {
        accumulator.record(&flow.record());
        // As a reader of an object does: now and then.
        if n % 7 == 0 {
            chunks.extend(accumulator.take_ready());
        }
    }
    chunks.extend(accumulator.renew(Vec::new()));
    chunks
}

/// What a store holds of these chunks.
fn stored(chunks: &[Chunk]) -> Vec<((String, Window), Rollup)> {
    let mut stored = Vec::new();
    for (id, window, rollup) in chunks.iter().flatten() {
        let bytes = rollup.encode();
        assert!((1..=BLOB_LIMIT).contains(&bytes.len()), "{} bytes", bytes.len());
        let decoded = Rollup::decode(&bytes).unwrap();
        assert_eq!(decoded.totals(), rollup.totals());
        assert_eq!(decoded.breakdown, rollup.breakdown);
        assert_eq!(decoded.encode(), bytes, "encoding once more changes nothing");
        stored.push(((id.clone(), *window), decoded));
    }
    stored
}

fn fold(parts: &[((String, Window), Rollup)]) -> Cells<Rollup> {
    let mut folded: Cells<Rollup> = BTreeMap::new();
    for (key, rollup) in parts {
        folded.entry(key.clone()).or_default().merge(rollup);
    }
    folded
}

/// Sums are what a count says, to the last byte.
fn sums_are_exact(folded: &Cells<Rollup>, exact: &Cells<Exact>) {
    assert_eq!(folded.keys().collect::<Vec<_>>(), exact.keys().collect::<Vec<_>>());
    for (rollup, exact) in folded.values().zip(exact.values()) {
        let totals = rollup.totals();
        let of = |action| exact.actions.get(&action).copied().unwrap_or_default();
        assert_eq!(totals.accept, of(Action::Accept));
        assert_eq!(totals.reject, of(Action::Reject));
        assert_eq!(totals.other, of(Action::Other));
        assert_eq!([rollup.nodata, rollup.skipdata], exact.status);
        assert_eq!(rollup.tcp_flags, exact.flags);
        assert_eq!(rollup.packets_lost, exact.lost);
    }
}

/// What is listed weighs at most so much less than in truth, and what is not listed no more.
fn within<K: Ord + std::fmt::Debug>(
    error: u64,
    listed: impl Iterator<Item = (K, u64)>,
    exact: &BTreeMap<K, u64>,
) {
    let listed: BTreeMap<K, u64> = listed.collect();
    for (key, weight) in &listed {
        let truth = exact[key];
        assert!(
            *weight <= truth && truth - weight <= error,
            "{key:?}: {weight} of {truth} ± {error}"
        );
    }
    for (key, truth) in exact.iter().filter(|(key, _)| !listed.contains_key(key)) {
        assert!(error > 0, "{key:?} is missing from a list that says it is complete");
        assert!(*truth <= error, "{key:?} with {truth} is not listed, ± {error}");
    }
}

fn lists_keep_their_bounds(folded: &Cells<Rollup>, exact: &Cells<Exact>) {
    for (rollup, exact) in folded.values().zip(exact.values()) {
        let talkers = rollup.talkers.iter().map(|(k, v)| (*k, v.bytes()));
        within(rollup.talkers.error(), talkers, &exact.talkers);
        let sources = rollup.rejected_sources.iter().map(|(k, v)| (*k, v.records));
        within(rollup.rejected_sources.error(), sources, &exact.sources);
        let ports = rollup.rejected_ports.iter().map(|(k, v)| (*k, v.0));
        within(rollup.rejected_ports.error(), ports, &exact.ports);
    }
}

/// Four standard errors of the sketch, and two for small numbers.
fn near(seen: &Distinct, truth: usize) {
    let estimate = seen.estimate().map_or(0, |d| d.estimate);
    let truth = truth as u64;
    assert!(estimate.abs_diff(truth) <= truth * 14 / 100 + 2, "{estimate} for {truth}");
}

fn distinct_counts_are_near(folded: &Cells<Rollup>, exact: &Cells<Exact>) {
    for (rollup, exact) in folded.values().zip(exact.values()) {
        let remotes: BTreeSet<_> = exact.talkers.keys().map(|k| k.remote).collect();
        near(&rollup.talkers_seen(), remotes.len());
        near(&rollup.rejected_sources_seen(), exact.sources.len());
        near(&rollup.rejected_ports_seen(), exact.ports.len());
    }
}

fn budget() -> impl Strategy<Value = Budget> {
    let bytes = prop_oneof![
        Just(0_usize),
        1..3_000_usize,
        3_000..60_000_usize,
        Just(Budget::default().state_bytes)
    ];
    let windows = prop_oneof![3 => Just(usize::MAX), 1 => 0..6_usize];
    let charged = prop_oneof![Just((96, 176)), Just((48, Budget::HELD_WHOLE))];
    (bytes, charged, 0..40_usize, windows, any::<bool>()).prop_map(
        |(state_bytes, charged, pruned_entries, interface_windows, ends_whole)| Budget {
            state_bytes,
            talker_bytes: charged.0,
            held_bytes: charged.1,
            pruned_entries,
            interface_windows,
            ends_whole,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sums_are_exact_and_lists_within_their_bounds(
        flows in proptest::collection::vec(flow(), 1..700),
        budget in budget(),
    ) {
        let exact = count(&flows);
        let folded = fold(&stored(&chunks(&flows, budget)));
        sums_are_exact(&folded, &exact);
        lists_keep_their_bounds(&folded, &exact);
        distinct_counts_are_near(&folded, &exact);
    }

    /// A reader may take it from each part, which spares folding the rest.
    #[test]
    fn what_is_looked_at_across_interfaces_is_the_same_taken_before_folding_or_after(
        flows in proptest::collection::vec(flow(), 1..400),
        budget in budget(),
    ) {
        let mut parts = stored(&chunks(&flows, budget));
        let whole = fold(&parts);
        for (_, rollup) in &mut parts {
            *rollup = across(std::mem::take(rollup));
        }
        let after: Cells<Rollup> = whole.into_iter().map(|(key, rollup)| (key, across(rollup))).collect();
        prop_assert_eq!(fold(&parts), after);
    }

    /// However the records are spread over deliveries, and in whatever order those are folded.
    #[test]
    fn the_order_of_folding_changes_no_sum(
        flows in proptest::collection::vec(flow(), 1..400),
        deliveries in 1..6_usize,
        budget in budget(),
        order in any::<prop::sample::Index>(),
    ) {
        let exact = count(&flows);
        let length = flows.len().div_ceil(deliveries);
        let mut parts: Vec<_> =
            flows.chunks(length).flat_map(|flows| stored(&chunks(flows, budget))).collect();
        let forwards = fold(&parts);
        let turn = order.index(parts.len());
        parts.rotate_left(turn);
        parts[turn / 2..].reverse();
        let otherwise = fold(&parts);
        for folded in [&forwards, &otherwise] {
            sums_are_exact(folded, &exact);
            lists_keep_their_bounds(folded, &exact);
        }
        // Pairs of pairs: folding is associative.
        let mut halves = parts.chunks(parts.len().div_ceil(2)).map(fold);
        let mut together = halves.next().unwrap();
        for (key, rollup) in halves.flatten() {
            together.entry(key).or_default().merge(&rollup);
        }
        sums_are_exact(&together, &exact);
        lists_keep_their_bounds(&together, &exact);
        // What is folded can be stored again, as a summary is.
        for rollup in together.values() {
            let bytes = rollup.encode();
            prop_assert!((1..=BLOB_LIMIT).contains(&bytes.len()));
            prop_assert_eq!(Rollup::decode(&bytes).unwrap().totals(), rollup.totals());
        }
    }

    /// Two accumulators hash by other seeds, and one may have rolled up something else before; nobody must
    /// be able to tell.
    #[test]
    fn equal_records_give_equal_bytes(
        flows in proptest::collection::vec(flow(), 1..600),
        before in proptest::collection::vec(flow(), 0..300),
        budget in budget(),
    ) {
        let encode = |chunks: Vec<Chunk>| {
            let cell = |(id, window, rollup): &(String, Window, Rollup)| {
                (id.clone(), *window, rollup.encode())
            };
            chunks.iter().map(|chunk| chunk.iter().map(cell).collect()).collect::<Vec<Vec<_>>>()
        };
        let expected = encode(chunks(&flows, budget));
        prop_assert_eq!(encode(chunks(&flows, budget)), expected.clone());
        let mut used = Accumulator::new(budget, None);
        chunks_of(&mut used, &before);
        prop_assert_eq!(encode(chunks_of(&mut used, &flows)), expected);
    }
}

/// A list that drops what weighs nothing has dropped something all the same.
#[test]
fn a_list_that_lost_an_entry_never_says_it_is_complete() {
    let flows: Vec<Flow> = (0..100)
        .map(|remote| Flow {
            interface: 0,
            window: 0,
            remote,
            port: 1,
            ingress: true,
            action: Action::Accept,
            status: LogStatus::Ok,
            packets: 0,
            bytes: 0,
            flags: 0,
            v6: false,
        })
        .collect();
    let folded = fold(&stored(&chunks(&flows, Budget::default())));
    lists_keep_their_bounds(&folded, &count(&flows));
    distinct_counts_are_near(&folded, &count(&flows));
}

/// One side does not list all that the source tried; what the other one lists may be the rest, or not.
#[test]
fn contacts_that_are_not_all_never_say_that_they_are() {
    let tried = |ports: std::ops::Range<u16>, contact_count| {
        let contact =
            |port| Contact { host: Address::parse("10.0.0.1").unwrap(), port, protocol: 6 };
        let source = RejectedSource {
            records: 10,
            packets: 10,
            bytes: 400,
            replies: 0,
            first: START,
            last: START,
            direction: Direction::Ingress,
            contacts: ports.map(contact).collect(),
            contact_count,
        };
        let source = (Address::parse("203.0.113.9").unwrap(), source);
        Rollup { rejected_sources: Ranked::new(vec![source], 0), ..Rollup::default() }
    };
    let (cut, rest, other) = (tried(0..5, 8), tried(5..8, 3), tried(20..23, 3));
    for (parts, complete, count) in [
        ([&cut, &rest], false, 8),
        ([&rest, &cut], false, 8),
        ([&cut, &other], false, 8),
        ([&cut, &cut], false, 8),
        ([&rest, &other], true, 6),
    ] {
        let mut merged = Rollup::default();
        for part in parts {
            merged.merge(part);
        }
        let (_, source) = merged.rejected_sources.iter().next().unwrap();
        assert_eq!((source.contacts_complete(), source.contact_count), (complete, count));
        assert!(source.contacts.len() >= 5);
    }
}

/// Sums at the end of what a number can hold stay there, and everything still fits.
#[test]
fn sums_saturate() {
    let mut accumulator = Accumulator::new(Budget::default(), None);
    let most = i64::MAX.cast_unsigned();
    for action in [Action::Accept, Action::Reject, Action::Other] {
        for n in 0..6 {
            accumulator.record(&Record {
                interface_id: Some("eni-1"),
                srcaddr: Address::parse("203.0.113.9"),
                dstaddr: Address::parse("10.0.0.1"),
                packets: most,
                bytes: most,
                packets_lost: [most; 4],
                start: Some(START + n),
                end: Some(9_999_999_999),
                action,
                ..Record::empty()
            });
        }
    }
    let chunks = accumulator.finish();
    let mut folded = fold(&stored(&chunks));
    let rollup = folded.first_entry().unwrap().into_mut();
    let part = rollup.clone();
    rollup.merge(&part);
    let totals = rollup.totals();
    for sums in [totals.accept, totals.reject, totals.other] {
        assert_eq!(sums, Sums { records: 12, packets: u64::MAX, bytes: u64::MAX });
    }
    assert_eq!(rollup.packets_lost, [u64::MAX; 4]);
    assert!(!rollup.encode().is_empty());
}
