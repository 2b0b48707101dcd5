//! The laws that exactness rests on: what is stored is a set that only grows, and folding it gives the
//! same sums in whatever order. (`hostile/rollups.rs` has the laws of a single roll-up.)

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use flowlog_core::detect::History;
use flowlog_core::record::{Action, Address, BatchId, Direction, Scope, Source, Window};
use flowlog_core::rollup::{ActionTotals, Breakdown, Distinct, Rollup, Sums};
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::{AggregateReader, AggregateWriter, PartialItem, Series};
use proptest::prelude::*;

const START: i64 = 1_793_491_200;

/// The reference store never makes anybody wait.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the memory store made somebody wait"),
    }
}

fn window(n: i64) -> Window {
    Window::of(START).unwrap().forward(n)
}

fn series() -> Series {
    Series::interface(Source::parse("fl-0123").unwrap(), "eni-1")
}

/// The partial of one delivery: what it holds follows from its key.
fn partial((batch, at, chunk, weight): (u8, i64, u16, u32)) -> PartialItem {
    let mut breakdown = Breakdown::default();
    for (nth, action) in [Action::Accept, Action::Reject, Action::Other].into_iter().enumerate() {
        let n = u64::from(weight) * (nth as u64 + 1) + u64::from(batch) + u64::from(chunk);
        let sums = Sums { records: n % 7, packets: n, bytes: n * 1_000 };
        breakdown.add((action, Direction::Ingress, Scope::Public), &sums);
    }
    let rollup = Rollup { breakdown, nodata: u64::from(batch), ..Rollup::default() };
    PartialItem {
        series: series(),
        window: window(at),
        batch: BatchId::of_object("bucket", &batch.to_string()),
        chunk,
        mapping: 1,
        totals: rollup.totals(),
        blob: rollup.encode(),
    }
}

fn read(store: &MemoryStore) -> BTreeMap<(String, String), PartialItem> {
    let found = now(store.partials(&series(), window(0), window(9))).unwrap();
    found.into_iter().map(|p| ((p.pk(), p.sk()), p)).collect()
}

fn sums(history: &History) -> BTreeMap<Window, (ActionTotals, u64)> {
    history.windows.iter().map(|(w, r)| (*w, (r.totals(), r.nodata))).collect()
}

fn fold<'a>(items: impl Iterator<Item = &'a PartialItem>) -> History {
    let mut history = History::default();
    for item in items {
        history.add(item.window, &Rollup::decode(&item.blob).unwrap());
    }
    history
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is put, how often and in what order: what was there stays, and the end is the set.
    #[test]
    fn the_map_of_partials_only_grows_and_putting_again_changes_nothing(
        keys in proptest::collection::btree_map((0..6_u8, 0..4_i64, 0..2_u16), 0..1_000_u32, 1..20),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..80),
        together in 1..30_usize,
    ) {
        let items: Vec<PartialItem> =
            keys.into_iter().map(|((b, w, c), weight)| partial((b, w, c, weight))).collect();
        let store = MemoryStore::new();
        let mut before = read(&store);
        let drawn: Vec<PartialItem> = order.iter().map(|at| items[at.index(items.len())].clone()).collect();
        for puts in drawn.chunks(together) {
            now(store.put_partials(puts)).unwrap();
            let after = read(&store);
            for (key, item) in &before {
                prop_assert_eq!(after.get(key), Some(item));
            }
            // Once more: nothing happens.
            now(store.put_partials(puts)).unwrap();
            prop_assert_eq!(&read(&store), &after);
            before = after;
        }
        let set: BTreeMap<_, _> = drawn.into_iter().map(|p| ((p.pk(), p.sk()), p)).collect();
        prop_assert_eq!(before, set);
    }

    /// A fold is a function of the set.
    #[test]
    fn totals_fold_in_any_order(
        keys in proptest::collection::btree_map((0..6_u8, 0..4_i64, 0..2_u16), 0..1_000_u32, 1..20),
        seed in any::<u64>(),
    ) {
        let mut items: Vec<PartialItem> =
            keys.into_iter().map(|((b, w, c), weight)| partial((b, w, c, weight))).collect();
        let folded = sums(&fold(items.iter()));
        let mut by_hand: BTreeMap<Window, ActionTotals> = BTreeMap::new();
        for item in &items {
            by_hand.entry(item.window).or_default().add(&item.totals);
        }
        let totals: BTreeMap<Window, ActionTotals> = folded.iter().map(|(w, (t, _))| (*w, *t)).collect();
        prop_assert_eq!(totals, by_hand);
        items.sort_by_key(|p| {
            let key = format!("{} {} {seed}", p.pk(), p.sk());
            BatchId::of_object("order", &key)
        });
        prop_assert_eq!(sums(&fold(items.iter())), folded);
    }
}

/// The interval is stated as 95 %: of 2,000 sets of many sizes no more than 8 % may lie outside, and
/// every set that a list holds whole is counted exactly.
#[test]
fn distinct_counts_lie_within_the_interval_that_they_state() {
    let mut outside = 0;
    let trials = 2_000_u32;
    for trial in 0..trials {
        let size = 1 + trial * 7 % 4_000;
        let mut values: Vec<_> = (0..size)
            .map(|n| {
                let [a, b, c, d] = (trial.wrapping_mul(2_654_435_761) ^ n).to_be_bytes();
                Distinct::address(&Address::V4([a, b, c, d].into()))
            })
            .collect();
        values.sort_unstable();
        let estimate = Distinct::of(values.into_iter()).estimate().unwrap();
        assert!(estimate.low <= estimate.estimate && estimate.estimate <= estimate.high);
        let size = u64::from(size);
        if size <= 32 {
            assert_eq!(estimate.estimate, size);
        }
        if size < estimate.low || estimate.high < size {
            outside += 1;
        }
    }
    assert!(outside <= trials * 8 / 100, "{outside} of {trials} outside of their interval");
}
