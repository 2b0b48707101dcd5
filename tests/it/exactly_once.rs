//! A delivery counts once: whatever dies on the way, and however often it comes.

use std::cell::Cell;

use flowlog_cli::embedded::{EmbeddedDb, Location};
use flowlog_core::decode::Counts;
use flowlog_core::ingest::{Begun, Delivery, IngestError, Ingestor};
use flowlog_core::object::ObjectRef;
use flowlog_core::record::{BatchId, Source, Window};
use flowlog_core::rollup::ActionTotals;
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::{AggregateReader, LedgerReader, LedgerState, Series};
use flowlog_s3_parser::handle;

use crate::support::{Day, Dying, START, generate, parser, sqs};

fn refs(day: &Day) -> Vec<ObjectRef> {
    day.objects().objects().map(|(object, _)| object.clone()).collect()
}

async fn totals<S: AggregateReader>(store: &S, day: &Day) -> Vec<(String, Window, ActionTotals)> {
    let from = Window::of(START).unwrap().back(2);
    let mut rows = Vec::new();
    let mut flow_logs: Vec<Source> =
        refs(day).iter().map(|o| Source::of_object(&o.bucket, &o.key)).collect();
    flow_logs.sort();
    flow_logs.dedup();
    for source in &flow_logs {
        for name in &day.truth.names {
            let series = Series::interface(source.clone(), &name.interface_id);
            for partial in store.partials(&series, from, from.forward(40)).await.unwrap() {
                rows.push((partial.series.subject, partial.window, partial.totals));
            }
        }
    }
    rows
}

/// Whoever cannot say what became of every line has not done the delivery.
#[tokio::test]
async fn a_delivery_whose_counts_do_not_balance_is_not_done() {
    let day = generate(3, 10, 60, &[]);
    let ObjectRef { bucket, key } = refs(&day)[0].clone();
    let delivery = Delivery {
        batch: BatchId::of_object(&bucket, &key),
        etag: "e".to_owned(),
        source: Source::of_object(&bucket, &key),
        origin: format!("s3://{bucket}/{key}"),
    };
    let (store, ingestor) = (MemoryStore::default(), Ingestor::default());
    let Begun::Attempt(attempt) = ingestor.begin(&store, &delivery, None).await.unwrap() else {
        panic!("nobody was here before");
    };
    let lost_one = Counts { read: 1, ..Counts::default() };
    let refused = attempt.done(lost_one).await.unwrap_err();
    assert!(matches!(refused, IngestError::Unbalanced(_)) && !refused.is_retryable(), "{refused}");
    let entry = store.entries(&[delivery.batch]).await.unwrap()[0].clone().unwrap();
    assert_eq!(entry.state, LedgerState::Claimed);
}

#[tokio::test]
async fn dying_at_every_call_and_coming_again_changes_nothing() {
    let day = generate(3, 10, 60, &[]);
    let objects = refs(&day);
    let clean = parser(day.objects(), MemoryStore::default());
    handle(&clean, sqs(&objects)).await.unwrap();
    let truth = totals(&clean.store, &day).await;
    let records: u64 = truth.iter().map(|(.., t)| t.accept.records + t.reject.records).sum();
    assert_eq!(records, day.truth.totals.parsed);

    let mut deaths = 0;
    for applied in [false, true] {
        for call in 0.. {
            let store = Dying { inner: MemoryStore::default(), left: Cell::new(call), applied };
            let app = parser(day.objects(), store);
            let first = handle(&app, sqs(&objects)).await.unwrap();
            let died = !first["batchItemFailures"].as_array().unwrap().is_empty();
            app.store.left.set(-1);
            // SQS delivers what failed again; here everything comes again, twice.
            for _ in 0..2 {
                let again = handle(&app, sqs(&objects)).await.unwrap();
                assert_eq!(again["batchItemFailures"], serde_json::json!([]));
            }
            assert_eq!(
                totals(&app.store.inner, &day).await,
                truth,
                "call {call}, applied {applied}"
            );
            if !died {
                break;
            }
            deaths += 1;
        }
    }
    // Claim, partials, directory and done, of each object, before and after.
    assert!(deaths >= 2 * 4 * objects.len() - 4, "only {deaths} deaths");
}

#[tokio::test]
async fn dying_between_partials_and_done_on_the_embedded_database() {
    let day = generate(4, 10, 60, &[]);
    let objects = refs(&day);
    let database = EmbeddedDb::open(Location::Temporary).await.unwrap();
    // Claim, partials, directory: the fourth call is the first object's completion.
    let store = Dying { inner: database.store(), left: Cell::new(3), applied: false };
    let app = parser(day.objects(), store);
    let answer = handle(&app, sqs(&objects)).await.unwrap();
    assert_eq!(answer["batchItemFailures"].as_array().unwrap().len(), 1);
    let batch = [BatchId::of_object(&objects[0].bucket, &objects[0].key)];
    let entry = app.store.inner.entries(&batch).await.unwrap()[0].clone().unwrap();
    assert_eq!(entry.state, LedgerState::Claimed, "partials are written, done is not");

    let again = handle(&app, sqs(&objects)).await.unwrap();
    assert_eq!(again["batchItemFailures"], serde_json::json!([]));
    let clean = parser(day.objects(), MemoryStore::default());
    handle(&clean, sqs(&objects)).await.unwrap();
    assert_eq!(totals(&app.store.inner, &day).await, totals(&clean.store, &day).await);
}
