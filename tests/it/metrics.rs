//! What alarms and the dashboard listen to is said when it happens, and counts what happened.

use std::cell::RefCell;
use std::collections::BTreeMap;

use flowlog_anomaly_alerter::{App as Alerter, handle as alerter_handle, put_rules, ring};
use flowlog_aws::telemetry::Metric;
use flowlog_cli::generate::Attack;
use flowlog_core::alert::Policy;
use flowlog_core::object::ObjectRef;
use flowlog_core::store::memory::MemoryStore;
use flowlog_cwl_subscriber::{App as Subscriber, handle as subscriber_handle};
use flowlog_s3_parser::{App as Parser, handle as parser_handle};
use serde_json::{Value, json};

use crate::alerting::{alerter, bells};
use crate::reconcile::{NOW, schedule, set_age};
use crate::support::{Day, START, event, generate, ingested, log_events, parser, sqs, subscriber};

thread_local! {
    static SAID: RefCell<BTreeMap<(String, &'static str), u64>> = RefCell::default();
}

/// Each test has a thread of its own.
pub(crate) fn recorded(function: &str, values: &[(Metric, u64)]) {
    SAID.with_borrow_mut(|said| {
        for (metric, value) in values {
            *said.entry((function.to_owned(), metric.name())).or_default() += value;
        }
    });
}

/// What was said since this was asked last.
pub(crate) fn said(function: &str, metric: Metric) -> Option<u64> {
    SAID.with_borrow_mut(|said| said.remove(&(function.to_owned(), metric.name())))
}

fn objects(day: &Day) -> Vec<ObjectRef> {
    day.objects().objects().map(|(object, _)| object.clone()).collect()
}

#[tokio::test]
async fn the_parser_says_what_became_of_deliveries_and_lines() {
    let day = generate(3, 10, 60, &[]);
    let named = objects(&day);
    let app = Parser { metrics: recorded, ..parser(day.objects(), MemoryStore::default()) };
    parser_handle(&app, sqs(&named)).await.unwrap();
    let of = |metric| said("s3-parser", metric);
    let many = named.len() as u64;
    assert_eq!((of(Metric::DeliveriesDone), of(Metric::DeliveriesDuplicate)), (Some(many), None));
    let truth = &day.truth.totals;
    assert_eq!(of(Metric::RecordsRead), Some(truth.read));
    assert_eq!(of(Metric::RecordsParsed), Some(truth.parsed));
    assert_eq!(of(Metric::RecordsNodata), Some(truth.nodata));
    assert_eq!(of(Metric::RecordsSkipdata), Some(truth.skipdata));
    assert_eq!(of(Metric::RecordsRejected), Some(0));
    assert_eq!(of(Metric::DigestChanged), Some(0));
    parser_handle(&app, sqs(&named)).await.unwrap();
    assert_eq!((of(Metric::DeliveriesDone), of(Metric::DeliveriesDuplicate)), (None, Some(many)));
    let mut event = sqs(&named[..1]);
    event.payload["Records"][0]["body"] = json!("{\"hello\":1}");
    parser_handle(&app, event).await.unwrap();
    assert_eq!(of(Metric::DeliveriesRetried), Some(1));
}

#[tokio::test]
async fn the_reconciler_says_how_many_objects_nobody_announced() {
    let day = generate(3, 30, 60, &[]);
    day.objects().objects().for_each(|(_, path)| set_age(path, 3600));
    let app =
        Parser { metrics: recorded, now: || NOW, ..parser(day.objects(), MemoryStore::default()) };
    for missing in [objects(&day).len() as u64, 0] {
        let answer = parser_handle(&app, schedule(&objects(&day)[0].bucket)).await.unwrap();
        assert_eq!(said("s3-parser", Metric::DeliveriesMissing), Some(missing), "{answer}");
        assert_eq!(said("s3-parser", Metric::FoldersLeft), Some(0), "{answer}");
        // An hour without deliveries has a value, too: without one the alarm on silence waits for hours more.
        let read = said("s3-parser", Metric::RecordsRead).expect("a value in every hour");
        assert_eq!(read > 0, missing > 0, "{answer}");
    }
    let mut event = schedule(&objects(&day)[0].bucket);
    event.context.deadline = u64::try_from(NOW + 5).unwrap() * 1000;
    let answer = parser_handle(&app, event).await.unwrap();
    let folders = answer["folders"].as_u64();
    assert!(folders > Some(0), "{answer}");
    assert_eq!(said("s3-parser", Metric::FoldersLeft), folders, "{answer}");
}

#[tokio::test]
async fn the_subscriber_says_what_became_of_payloads_and_messages() {
    let app = Subscriber { metrics: recorded, ..subscriber(MemoryStore::default()) };
    let of = |metric| said("cwl-subscriber", metric);
    let row = |n: i64| {
        format!(
            "2 123456789012 eni-1 203.0.113.9 10.0.0.1 50000 22 6 1 40 {0} {0} REJECT OK",
            START + n
        )
    };
    let records = [row(0), "no record".to_owned(), row(1)];
    for done in [true, false] {
        subscriber_handle(&app, log_events(&records)).await.unwrap();
        let (first, again) = (done.then_some(1), (!done).then_some(1));
        assert_eq!(
            (of(Metric::DeliveriesDone), of(Metric::DeliveriesDuplicate)),
            (first, again),
            "{done}"
        );
        assert_eq!(of(Metric::RecordsRejected), first);
    }
    let foreign =
        ["this".to_owned(), "is no".to_owned(), "flow log".to_owned(), "at all".to_owned()];
    subscriber_handle(&app, log_events(&foreign)).await.unwrap();
    assert_eq!(of(Metric::DeliveriesQuarantined), Some(1));
    assert_eq!((of(Metric::DeliveriesDone), of(Metric::DeliveriesDuplicate)), (None, None));
}

#[tokio::test]
async fn the_alerter_says_what_was_sent_and_what_was_held_back() {
    let day = generate(31, 60, 60, &[Attack::PortScan, Attack::RejectBurst]);
    for budget in [20, 0] {
        let policy = Policy {
            budget_per_hour: budget,
            reserved_for_high: 0,
            stale_after: None,
            ..Policy::default()
        };
        let app = Alerter { metrics: recorded, policy, ..alerter(ingested(&day).await) };
        for bell in bells(&app.store).await {
            ring(&app, &[bell]).await.unwrap();
        }
        let sent = app.notifier.sent().len() as u64;
        let published = said("anomaly-alerter", Metric::AlertsPublished);
        let suppressed = said("anomaly-alerter", Metric::AlertsSuppressed);
        assert_eq!(published, (sent > 0).then_some(sent));
        assert_eq!((published.is_some(), suppressed.is_some()), (budget > 0, budget == 0));
    }
}

#[tokio::test]
async fn the_alerter_says_that_rules_are_wrong_and_what_compaction_left() {
    let app = Alerter { metrics: recorded, ..alerter(ingested(&generate(41, 180, 40, &[])).await) };
    app.clock.at(START + 4 * 3600);
    alerter_handle(&app, event("anomaly-alerter/sweep.json")).await.unwrap();
    assert_eq!(said("anomaly-alerter", Metric::RulesRefused), None);
    put_rules(&app.store, "[rules.port-scan]\ncontcats = 7\n").await.unwrap();
    alerter_handle(&app, event("anomaly-alerter/sweep.json")).await.unwrap();
    assert_eq!(said("anomaly-alerter", Metric::RulesRefused), Some(1));

    let compact = async |seconds: i64| -> Value {
        let mut event = event("anomaly-alerter/compact.json");
        event.context.deadline = u64::try_from(app.clock.now() + seconds).unwrap() * 1000;
        alerter_handle(&app, event).await.unwrap()
    };
    let answer = compact(1).await;
    let left = said("anomaly-alerter", Metric::HoursLeft);
    assert!(left > Some(0), "no time for any: {answer}");
    assert!(said("anomaly-alerter", Metric::HoursCompacted).unwrap_or(0) == 0, "{answer}");
    let answer = compact(600).await;
    assert_eq!(said("anomaly-alerter", Metric::HoursLeft), Some(0), "{answer}");
    assert!(said("anomaly-alerter", Metric::HoursCompacted) > Some(0), "{answer}");
}
