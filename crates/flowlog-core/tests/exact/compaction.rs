//! A summary and its partials are one number, whenever and however often compaction runs, whatever
//! has expired by then.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use flowlog_core::compact::{self, Compacted, compact_hour};
use flowlog_core::decode::{Decoded, Fallback, Limits, ObjectDecoder};
use flowlog_core::ingest::{Attempt, Begun, Delivery, Ingestor, Lateness, Outcome, Partials};
use flowlog_core::record::{BatchId, Source, Window};
use flowlog_core::rollup::{About, Accumulator, Budget, Mapping, Rollup};
use flowlog_core::store::item::PARTIAL_TTL;
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::reader::{Answer, Deliveries, Detail, Pieces, answer, answer_in_pieces};
use flowlog_core::store::summary::Part;
use flowlog_core::store::{AggregateReader as _, Ledger as _, Series, View};

use crate::traffic::{MIDNIGHT, text};

/// Polls a future that never waits.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the memory store made somebody wait"),
    }
}

fn source() -> Source {
    Source::parse("fl-1").unwrap()
}

fn delivery(n: i64) -> Delivery {
    Delivery {
        batch: BatchId::of_object("bucket", &format!("object-{n}")),
        source: source(),
        etag: format!("etag-{n}"),
        origin: format!("s3://bucket/object-{n}"),
    }
}

/// Ingests the `n`-th object: 200 rows over the first 14 windows of the day.
fn ingest(store: &MemoryStore, n: i64, present: i64) -> Outcome {
    let ingestor = Ingestor::new(
        Mapping::CURRENT,
        Budget { state_bytes: 30_000, pruned_entries: 8, ..Budget::default() },
    );
    let delivery = delivery(n);
    let lateness = Lateness { arrived: MIDNIGHT + 7200, now: present, horizon: 30 * 86_400 };
    let mut attempt = match now(ingestor.begin(store, &delivery, Some(lateness))).unwrap() {
        Begun::Attempt(attempt) => attempt,
        Begun::Duplicate => return Outcome::Duplicate,
        Begun::Quarantined(reason) => return Outcome::Quarantined(reason),
    };
    let whole = decoded(&attempt, &text(200, 14, MIDNIGHT, n));
    now(attempt.write(&mut whole.sink.finish())).unwrap();
    now(attempt.done(whole.counts)).unwrap()
}

fn decoded<'a>(
    attempt: &Attempt<'a, MemoryStore>,
    text: &str,
) -> Decoded<Accumulator<Partials<'a>>> {
    let sink = attempt.accumulator();
    let mut decoder = ObjectDecoder::new(Limits::default(), Fallback::Default, None, sink);
    decoder.push(text.as_bytes()).unwrap();
    decoder.finish().unwrap()
}

/// Every series that has partials.
fn every_series(store: &MemoryStore) -> Vec<Series> {
    let all: BTreeSet<Series> = store.all_partials().into_iter().map(|p| p.series).collect();
    all.into_iter().collect()
}

fn compact_all(store: &MemoryStore) -> Compacted {
    let mut all = Compacted::default();
    for series in every_series(store) {
        for hour in [MIDNIGHT, MIDNIGHT + 3600] {
            let hour = Window::of(hour).unwrap();
            all.add(&now(compact_hour(store, &series, hour)).unwrap());
        }
    }
    all
}

fn read(store: &MemoryStore, series: &Series, from: i64, to: i64) -> Answer {
    let start = Window::of(MIDNIGHT).unwrap();
    now(answer(store, &mut Deliveries::default(), series, start.forward(from), start.forward(to)))
        .unwrap()
}

/// Totals by window of every series.
fn totals(store: &MemoryStore, series: &[Series]) -> Vec<Answer> {
    series.iter().map(|series| read(store, series, 0, 20)).collect()
}

#[test]
fn compaction_changes_no_total_at_any_time() {
    let clean = MemoryStore::new();
    (0..6).for_each(|n| assert!(matches!(ingest(&clean, n, MIDNIGHT), Outcome::Done { .. })));
    let series = every_series(&clean);
    assert_eq!(series.iter().filter(|s| s.view == View::Interface).count(), 3);
    assert_eq!(series.iter().filter(|s| s.view == View::Scope).count(), 3, "two VPCs, one account");
    let truth = totals(&clean, &series);
    assert!(truth.iter().all(|answer| answer.hours.is_empty() && answer.coverage().is_complete()));

    // Compacted after every prefix of the deliveries, once and again.
    for cut in 0..=6 {
        let store = MemoryStore::new();
        (0..cut).for_each(|n| drop(ingest(&store, n, MIDNIGHT)));
        let first = compact_all(&store);
        assert_eq!(first.partials > 0, cut > 0);
        assert_eq!(compact_all(&store), Compacted::default(), "nothing is left to do");
        (cut..6).for_each(|n| drop(ingest(&store, n, MIDNIGHT)));
        assert_eq!(totals(&store, &series), truth, "summaries beside partials, cut {cut}");
        let second = compact_all(&store);
        assert_eq!(second.partials > 0, cut < 6);
        // A late duplicate changes nothing.
        assert_eq!(ingest(&store, 0, MIDNIGHT), Outcome::Duplicate);

        // Partials expire one window after the other.
        for expired in 0..=14 {
            store.expire(MIDNIGHT + 300 * expired + PARTIAL_TTL);
            for (series, truth) in series.iter().zip(&truth) {
                let answer = read(&store, series, 0, 20);
                assert_eq!(answer.windows, truth.windows, "cut {cut}, {expired} windows expired");
                assert_eq!(answer.hours.is_empty(), expired == 0);
                assert!(
                    answer.hours.keys().all(|hour| {
                        answer.detailed.keys().all(|window| window.hour() != *hour)
                    })
                );
                assert_eq!(answer.fold().totals(), truth.fold().totals());
                assert_eq!(answer.deliveries, truth.deliveries);
            }
        }
    }
}

#[test]
fn a_range_within_an_hour_is_exact_after_expiry() {
    let store = MemoryStore::new();
    (0..3).for_each(|n| drop(ingest(&store, n, MIDNIGHT)));
    let series = every_series(&store);
    let before: Vec<Answer> = series.iter().map(|s| read(&store, s, 3, 7)).collect();
    compact_all(&store);
    store.expire(MIDNIGHT + 10 * 86_400 + PARTIAL_TTL);
    for (series, before) in series.iter().zip(before) {
        let after = read(&store, series, 3, 7);
        assert_eq!(after.windows, before.windows);
        assert_eq!(after.totals(), before.totals());
        assert!(after.detailed.is_empty() && !after.hours.is_empty());
    }
}

#[test]
fn only_what_is_done_is_folded_and_the_quarantined_is_left_out() {
    let store = MemoryStore::new();
    drop(ingest(&store, 0, MIDNIGHT));
    let series = every_series(&store);
    let truth = totals(&store, &series);
    // Another delivery writes a chunk and dies.
    let ingestor = Ingestor::new(Mapping::CURRENT, Budget::default());
    let half = delivery(1);
    let Begun::Attempt(mut attempt) = now(ingestor.begin(&store, &half, None)).unwrap() else {
        panic!("it is new");
    };
    let mut partials = decoded(&attempt, &text(50, 3, MIDNIGHT, 1)).sink.finish();
    now(attempt.write(&mut partials)).unwrap();
    let compacted = compact_all(&store);
    assert!(compacted.waiting > 0 && compacted.partials > 0);
    let parts = store.all_summaries().into_iter().flat_map(|summary| summary.parts);
    assert!(parts.into_iter().all(|part| part.batch != half.batch));
    let answer = read(&store, &series[0], 0, 20);
    assert_eq!((answer.coverage().in_progress, answer.coverage().is_complete()), (1, false));
    assert_ne!(answer.windows, truth[0].windows, "what is being ingested shows");

    now(store.quarantine(half.batch, "object_replaced")).unwrap();
    for (series, truth) in series.iter().zip(&truth) {
        let answer = read(&store, series, 0, 20);
        assert_eq!(answer.windows, truth.windows, "a half object counts for nothing");
        assert!(!answer.coverage().is_complete());
    }
}

#[test]
fn an_attempt_that_comes_too_late_to_keep_what_it_writes_is_refused() {
    let store = MemoryStore::new();
    let ingestor = Ingestor::default();
    let delivery = delivery(0);
    let lateness = |now| Some(Lateness { arrived: MIDNIGHT, now, horizon: 30 * 86_400 });
    for (days, refused) in [(33, false), (34, true)] {
        let present = MIDNIGHT + 300 + days * 86_400;
        let begun = now(ingestor.begin(&store, &delivery, lateness(present))).unwrap();
        let Begun::Attempt(mut attempt) = begun else { panic!("it is not done") };
        let mut partials = decoded(&attempt, &text(50, 3, MIDNIGHT, 0)).sink.finish();
        let written = now(attempt.write(&mut partials));
        assert_eq!(written.is_err(), refused, "{days} days");
        assert!(written.err().is_none_or(|error| !error.is_retryable()));
    }
}

#[test]
fn scopes_sum_up_their_interfaces() {
    let store = MemoryStore::new();
    (0..3).for_each(|n| drop(ingest(&store, n, MIDNIGHT)));
    let mut interfaces = Rollup::default();
    let mut account = Rollup::default();
    for series in every_series(&store) {
        let folded = read(&store, &series, 0, 20).fold();
        match series.view {
            View::Interface => interfaces.merge(&folded),
            View::Scope if series.subject == "123456789012" => account = folded,
            View::Scope => {}
        }
    }
    assert_eq!(account.totals(), interfaces.totals());
    assert_eq!(account.breakdown, interfaces.breakdown);
    assert_eq!((account.nodata, account.skipdata), (interfaces.nodata, interfaces.skipdata));
}

#[test]
fn a_run_looks_at_hours_that_are_over_and_at_days_that_settle() {
    let hour = |n: i64| Window::of(MIDNIGHT + n * 3600).unwrap();
    assert_eq!(compact::closed_hours(MIDNIGHT + 5 * 3600 + 1799), [hour(1), hour(2), hour(3)]);
    assert_eq!(compact::closed_hours(MIDNIGHT + 5 * 3600 + 1800), [hour(2), hour(3), hour(4)]);
    let settled = compact::settle_days(MIDNIGHT + 34 * 86_400 + 77);
    assert_eq!((settled.len(), settled[0]), (72, hour(0)));
    assert!(settled.is_sorted());
}

fn in_pieces(store: &MemoryStore, series: &Series, range: (i64, i64), detail: Detail) -> Answer {
    let start = Window::of(MIDNIGHT).unwrap();
    let (from, to) = (start.forward(range.0), start.forward(range.1));
    let mut ledger = Deliveries::default();
    now(answer_in_pieces(store, &mut ledger, series, (from, to), (from, detail))).unwrap()
}

#[test]
fn who_needs_no_detail_hears_the_same_from_summaries() {
    let clean = MemoryStore::new();
    (0..6).for_each(|n| drop(ingest(&clean, n, MIDNIGHT)));
    let series = every_series(&clean);
    let start = Window::of(MIDNIGHT).unwrap();
    let mut spared = 0;
    for cut in 0..=6 {
        // Compacted before some came, so that not all is in the summaries, and again when all were there.
        let store = MemoryStore::new();
        (0..cut).for_each(|n| drop(ingest(&store, n, MIDNIGHT)));
        compact_all(&store);
        (cut..6).for_each(|n| drop(ingest(&store, n, MIDNIGHT)));
        for again in [false, true] {
            if again {
                compact_all(&store);
            }
            let whole = store.all_summaries().iter().filter(|summary| summary.whole).count();
            for series in &series {
                for (from, to) in [(0, 23), (0, 20), (5, 14), (12, 23)] {
                    let (first, last) = (start.forward(from), start.forward(to));
                    let all = now(store.items(series, first, last)).unwrap().partials.len();
                    let left = now(store.condensed(series, first, last)).unwrap().partials.len();
                    spared += all - left;
                    let truth = read(&clean, series, from, to);
                    for pieces in [Pieces::Hours, Pieces::Days, Pieces::One, Pieces::Totals] {
                        for apart in [None, Some(start.forward(7)), Some(start.forward(12))] {
                            let detail = Detail { pieces, apart };
                            let expected = truth.clone().folded(first, detail);
                            let mut found = in_pieces(&store, series, (from, to), detail);
                            let mut expected = expected;
                            // Whose it is, is the same in all of an interface's; of a VPC or an account
                            // the first that was folded is named.
                            for rollup in
                                found.hours.values_mut().chain(expected.hours.values_mut())
                            {
                                if series.view == View::Scope {
                                    rollup.vpc_id.clear();
                                    rollup.about = About::default();
                                }
                            }
                            let what = format!("{series:?} {from} {to} {detail:?} {cut} {whole}");
                            assert_eq!(found, expected, "{what}");
                        }
                    }
                    assert_eq!(in_pieces(&store, series, (from, to), Detail::WINDOWS), truth);
                }
            }
            assert!(cut + i64::from(again) == 0 || whole > 0, "some summaries are whole");
        }
    }
    assert!(spared > 1000, "{spared} partials needed not be read");
}

#[test]
fn a_summary_that_lacks_something_stands_for_nothing() {
    let store = MemoryStore::new();
    (0..3).for_each(|n| drop(ingest(&store, n, MIDNIGHT)));
    compact_all(&store);
    let start = Window::of(MIDNIGHT).unwrap();
    for mut summary in store.all_summaries() {
        let parts = summary.parts.clone();
        let (first, last) = (summary.hour, summary.hour.forward(11));
        summary.whole = true;
        assert!(summary.stands_for(&parts, first, last));
        assert!(summary.stands_for(&parts, start, start.forward(23)));
        assert!(
            !summary.stands_for(&parts, first.forward(1), last),
            "not all of the hour is asked"
        );
        assert!(!summary.stands_for(&parts, first, last.back(1)));
        assert!(!summary.stands_for(&parts[1..], first, last), "one has expired");
        let late = [&parts[..], &[Part { chunk: 999, ..parts[parts.len() - 1] }]].concat();
        assert!(!summary.stands_for(&late, first, last), "one has come");
        summary.whole = false;
        assert!(!summary.stands_for(&parts, first, last), "lists were cut");
    }
    // Forty deliveries of as many strangers each.
    let crowd = MemoryStore::new();
    for n in 0..40 {
        ingest(&crowd, n, MIDNIGHT);
    }
    compact_all(&crowd);
    let cut: Vec<_> = crowd.all_summaries().into_iter().filter(|summary| !summary.whole).collect();
    assert!(!cut.is_empty(), "so many lists do not fit");
    for summary in cut {
        let (first, last) = (summary.hour, summary.hour.forward(11));
        let found = now(crowd.condensed(&summary.series, first, last)).unwrap();
        assert_eq!(found.partials.len(), summary.parts.len(), "all are read");
    }
}
