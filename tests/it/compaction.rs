//! Compaction as it is deployed: the alerter's own schedule, over stored deliveries.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use flowlog_anomaly_alerter::{App, Clock, handle};
use flowlog_aws::telemetry::Metric;
use flowlog_core::alert::{Notification, Notifier, NotifyError, Policy};
use flowlog_core::detect::RuleSet;
use flowlog_core::record::{BatchId, Window};
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::reader::{Deliveries, answer};
use flowlog_core::store::{AggregateReader as _, Ledger as _, Series, View};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};

use crate::metrics::{recorded, said};
use crate::pace::Slow;
use crate::support::{START, event, generate, ingested, no_metrics};

const HOUR: i64 = 3600;

struct Nobody;

impl Notifier for Nobody {
    async fn publish(&self, _: &Notification) -> Result<(), NotifyError> {
        unreachable!("compaction tells nobody")
    }
}

fn alerter<S>(store: S, clock: Clock) -> App<S, Nobody> {
    App {
        store,
        notifier: Nobody,
        directory: None,
        rules: RefCell::new(RuleSet::default()),
        rules_read: Cell::default(),
        rules_text: None,
        policy: Policy::default(),
        clock,
        metrics: no_metrics,
    }
}

/// Three hours of two VPCs.
async fn three_hours() -> MemoryStore {
    ingested(&generate(41, 180, 40, &[])).await
}

async fn every_series(store: &MemoryStore) -> Vec<Series> {
    let mut all = Vec::new();
    for (day, source) in store.sources("00000000", "99999999").await.unwrap() {
        for view in [View::Interface, View::Scope] {
            for subject in store.subjects(&source, view, &day).await.unwrap() {
                all.push(Series { source: source.clone(), view, subject });
            }
        }
    }
    all
}

/// By series: how many summaries, how many partials in them, and what a reader answers.
async fn state(store: &MemoryStore) -> BTreeMap<String, (usize, usize, u64)> {
    let (from, to) = (Window::of(START).unwrap(), Window::of(START + 3 * HOUR).unwrap());
    let mut state = BTreeMap::new();
    for series in every_series(store).await {
        let items = store.items(&series, from, to).await.unwrap();
        let parts = items.summaries.iter().map(|s| s.parts.len()).sum();
        let totals = answer(store, &mut Deliveries::default(), &series, from, to)
            .await
            .unwrap()
            .fold()
            .totals();
        let records = totals.accept.records + totals.reject.records + totals.other.records;
        state.insert(series.pk(from), (items.summaries.len(), parts, records));
    }
    state
}

async fn run(app: &App<MemoryStore, Nobody>, payload: Value) -> Value {
    handle(app, LambdaEvent::new(payload, Context::default())).await.unwrap()
}

#[tokio::test]
async fn a_schedule_folds_every_hour_once_it_is_over_and_changes_no_answer() {
    let app = alerter(three_hours().await, Clock::Event(Cell::new(0)));
    let before = state(&app.store).await;
    assert!(before.len() > 15 && before.values().all(|(summaries, ..)| *summaries == 0));

    // At 01:20 no hour has been over for half an hour.
    app.clock.at(START + HOUR + 1200);
    let early = handle(&app, event("anomaly-alerter/compact.json")).await.unwrap();
    assert_eq!(
        (early["summaries"].as_u64(), early["left"].as_u64()),
        (Some(0), Some(0)),
        "{early}"
    );
    let mut written = 0;
    for hour in 1..=4 {
        app.clock.at(START + hour * HOUR + 2400);
        let answer = handle(&app, event("anomaly-alerter/compact.json")).await.unwrap();
        assert_eq!(
            (answer["failed"].as_u64(), answer["after"].as_str()),
            (Some(0), None),
            "{answer}"
        );
        written += answer["summaries"].as_u64().unwrap();
    }
    let after = state(&app.store).await;
    let counted: usize = after.values().map(|(summaries, ..)| summaries).sum();
    assert_eq!(written, counted as u64, "each hour of each series once");
    for (series, (summaries, parts, records)) in &after {
        assert!(*summaries >= 1 && *parts >= *summaries, "{series}: {summaries} of {parts}");
        assert_eq!(*records, before[series].2, "{series}");
    }
    // Whatever is done already is left alone, by hand too.
    let again = run(&app, json!({ "flowlog": "compact", "days": ["2026-11-01"] })).await;
    assert_eq!(
        (again["summaries"].as_u64(), again["series"].as_u64()),
        (Some(0), Some(after.len() as u64))
    );
    let error = handle(
        &app,
        LambdaEvent::new(json!({ "flowlog": "compact", "days": ["today"] }), Context::default()),
    );
    assert!(error.await.unwrap_err().to_string().contains("today"));
}

#[tokio::test]
async fn what_is_not_done_waits_and_is_folded_by_a_later_run() {
    let app = alerter(three_hours().await, Clock::Event(Cell::new(0)));
    app.clock.at(START + HOUR + 2400);
    // A delivery in progress: claimed, its partial written, not done.
    let open = flowlog_core::store::contract::claim("open");
    app.store.claim(&open).await.unwrap();
    let series = every_series(&app.store).await.remove(0);
    let first = Window::of(START).unwrap();
    let mut partial =
        app.store.partials(&series, first, first.forward(11)).await.unwrap().remove(0);
    partial.batch = open.batch;
    flowlog_core::store::AggregateWriter::put_partials(&app.store, &[partial]).await.unwrap();
    let answer = run(&app, json!({ "flowlog": "compact" })).await;
    assert_eq!(answer["waiting"], 1, "{answer}");
    let done = flowlog_core::store::contract::completion('a');
    app.store.complete(open.batch, &open.etag, &done).await.unwrap();
    let answer = run(&app, json!({ "flowlog": "compact" })).await;
    assert_eq!(
        (answer["waiting"].as_u64(), answer["partials"].as_u64()),
        (Some(0), Some(1)),
        "{answer}"
    );
    let _: BatchId = open.batch;
}

/// A clock that goes on by a second whenever it is looked at.
static CLOCK: AtomicI64 = AtomicI64::new(0);

#[tokio::test]
async fn a_run_that_is_out_of_time_says_where_and_the_next_goes_on_there() {
    CLOCK.store(START + 4 * HOUR + 2400, Ordering::Relaxed);
    let app = alerter(three_hours().await, Clock::Wall(|| CLOCK.fetch_add(1, Ordering::Relaxed)));
    let mut seen = Vec::new();
    for _ in 0..50 {
        let mut context = Context::default();
        // Time for a few groups of series, and the reserve for the answer.
        let now = CLOCK.load(Ordering::Relaxed);
        context.deadline = u64::try_from(now + 5 + 4).unwrap() * 1000;
        let event = LambdaEvent::new(json!({ "flowlog": "compact" }), context);
        let answer = handle(&app, event).await.unwrap();
        assert_eq!(answer["after"].is_null(), answer["left"] == 0, "{answer}");
        let done = answer["after"].is_null();
        seen.push(answer);
        if done {
            break;
        }
    }
    assert!(seen.len() > 2, "the time was to be short: {seen:?}");
    // The last hour that is closed; the one before it and the first are in the same runs.
    let state = state(&app.store).await;
    assert!(state.values().all(|(summaries, ..)| *summaries >= 1), "{state:?}");
    let written: u64 = seen.iter().map(|a| a["summaries"].as_u64().unwrap()).sum();
    assert_eq!(written, state.values().map(|(summaries, ..)| *summaries as u64).sum::<u64>());
}

/// The directory of some thousands of flow logs takes longer than a run has, or the table does not answer.
#[tokio::test]
async fn a_run_that_cannot_read_the_directory_in_time_says_so() {
    let now = START + 4 * HOUR + 2400;
    let store = Slow(three_hours().await, Duration::from_millis(1500));
    let app = App { metrics: recorded, ..alerter(store, Clock::Event(Cell::new(now))) };
    let mut context = Context::default();
    // A second, and the reserve for the answer.
    context.deadline = u64::try_from(now + 6).unwrap() * 1000;
    let run = handle(&app, LambdaEvent::new(json!({ "flowlog": "compact" }), context));
    let answer = tokio::time::timeout(Duration::from_secs(5), run).await;
    let answer = answer.expect("Lambda would have ended it").unwrap();
    assert_eq!((&answer["series"], &answer["left"]), (&json!(0), &json!(6)), "{answer}");
    assert_eq!(said("anomaly-alerter", Metric::HoursLeft), Some(6));
}
