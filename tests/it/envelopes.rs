//! The sample payloads in `events/`, through the handlers that get them in AWS.

use std::cell::{Cell, RefCell};

use flowlog_anomaly_alerter as alerter;
use flowlog_cli::folder::{FileBody, FolderObjects};
use flowlog_cli::local::Inbox;
use flowlog_core::alert::Policy;
use flowlog_core::detect::RuleSet;
use flowlog_core::object::{Listed, Listing, ObjectError, ObjectHead, ObjectRef, Objects, Page};
use flowlog_core::record::BatchId;
use flowlog_core::rollup::{ActionTotals, Rollup};
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::{LedgerReader, LedgerState};
use flowlog_cwl_subscriber::handle as subscriber_handle;
use flowlog_s3_parser::App;
use serde_json::json;

use crate::support::{START, event, no_metrics, parser, project, subscriber};

/// The sample object, whatever bucket and key it is asked for under, with the ETag that is asked.
struct OneObject(FolderObjects, ObjectRef);

impl OneObject {
    fn sample() -> Self {
        let folder = FolderObjects::open(&[project("events/s3-parser")]).unwrap();
        let object = folder
            .objects()
            .map(|(object, _)| object.clone())
            .find(|object| object.key.ends_with(".log.gz"))
            .unwrap();
        Self(folder, object)
    }
}

impl Objects for OneObject {
    type Body = FileBody;

    async fn head(&self, at: &ObjectRef) -> Result<ObjectHead, ObjectError> {
        assert_eq!(at.bucket, "flowlog-dev-logs");
        assert!(at.key.starts_with("AWSLogs/123456789012/vpcflowlogs/us-east-1/2026/11/01/"));
        self.0.head(&self.1).await
    }

    async fn get(
        &self,
        at: &ObjectRef,
        range: Option<std::ops::Range<u64>>,
        if_match: Option<&str>,
    ) -> Result<(ObjectHead, FileBody), ObjectError> {
        self.head(at).await?;
        let etag = if_match.unwrap().to_owned();
        let (head, body) = self.0.get(&self.1, range, None).await?;
        Ok((ObjectHead { etag, ..head }, body))
    }
}

/// The bucket has this one object, under AWS's key.
impl Listing for OneObject {
    async fn list(&self, _: &str, prefix: &str, _: Option<&str>) -> Result<Page, ObjectError> {
        let mut page = Page::default();
        if prefix == format!("{REGION}2026/11/01/") {
            let key = format!("{REGION}2026/11/01/{}", self.1.key);
            let object = ObjectRef { bucket: "flowlog-dev-logs".to_owned(), key };
            let head = self.head(&object).await?;
            page.objects.push(Listed { object, head, modified: START });
        }
        Ok(page)
    }

    async fn folders(&self, bucket: &str, prefix: &str) -> Result<Vec<String>, ObjectError> {
        assert_eq!(bucket, "flowlog-dev-logs");
        let next = REGION.strip_prefix(prefix).and_then(|rest| rest.find('/'));
        Ok(next.map(|at| REGION[..=prefix.len() + at].to_owned()).into_iter().collect())
    }
}

const REGION: &str = "AWSLogs/123456789012/vpcflowlogs/us-east-1/";

#[tokio::test]
async fn the_schedule_finds_what_no_notification_told_of() {
    let app = App { now: || START + 3000, ..parser(OneObject::sample(), MemoryStore::default()) };
    let answer = alright(parser_handle(&app, "reconcile").await, "reconcile");
    let summary = |missing: u64| {
        json!({
            "folders": 2, "left": 0, "listed": 1, "missing": missing, "unfinished": 0, "ingested": missing,
            "failed": 0, "complete": true,
        })
    };
    assert_eq!(answer, summary(1));
    let answer = alright(parser_handle(&app, "reconcile").await, "reconcile");
    assert_eq!(answer, summary(0));
}

#[tokio::test]
async fn every_s3_payload_is_the_same_delivery() {
    let app = parser(OneObject::sample(), MemoryStore::default());
    let mut answers = Vec::new();
    for name in [
        "sqs-s3-notification",
        "sns-sqs-s3",
        "sns-raw-sqs-s3",
        "sns-s3",
        "s3-direct",
        "eventbridge-object-created",
        "eventbridge-sqs",
        "s3-test-event",
    ] {
        let answer = alright(parser_handle(&app, name).await, name);
        answers.push((name, answer));
    }
    for (name, answer) in &answers {
        match *name {
            "sns-s3" | "s3-direct" | "eventbridge-object-created" => {
                assert_eq!(answer["objects"], 1, "{name}");
            }
            _ => assert_eq!(answer, &json!({ "batchItemFailures": [] }), "{name}"),
        }
    }
    let key = &app.objects.1.key;
    let batch = BatchId::of_object("flowlog-dev-logs", key);
    let entry = app.store.entries(&[batch]).await.unwrap()[0].clone().unwrap();
    assert_eq!(entry.state, LedgerState::Done);
    assert_eq!(entry.completion.unwrap().counts.read, 87);
}

async fn parser_handle(
    app: &flowlog_s3_parser::App<OneObject, MemoryStore>,
    name: &str,
) -> Result<serde_json::Value, flowlog_s3_parser::HandlerError> {
    flowlog_s3_parser::handle(app, event(&format!("s3-parser/{name}.json"))).await
}

fn alright<T, E: std::fmt::Display>(result: Result<T, E>, name: &str) -> T {
    result.unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[tokio::test]
async fn a_message_that_nobody_can_read_is_left_to_the_queue() {
    let app = parser(OneObject::sample(), MemoryStore::default());
    let mut event = event("s3-parser/sqs-s3-notification.json");
    let mut poison = event.payload["Records"][0].clone();
    poison["messageId"] = json!("poison");
    poison["body"] = json!("{\"hello\":1}");
    event.payload["Records"].as_array_mut().unwrap().insert(0, poison);
    let answer = flowlog_s3_parser::handle(&app, event).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "poison" }] }));
}

#[tokio::test]
async fn log_events_become_partials_once_and_control_messages_nothing() {
    let app = subscriber(MemoryStore::default());
    let control =
        subscriber_handle(&app, event("cwl-subscriber/control-message.json")).await.unwrap();
    assert_eq!(control, json!({ "events": 0 }));
    for _ in 0..2 {
        let data =
            subscriber_handle(&app, event("cwl-subscriber/data-message.json")).await.unwrap();
        assert_eq!(data, json!({ "events": 7 }));
        let rollups =
            app.store.all_partials().into_iter().map(|p| Rollup::decode(&p.blob).unwrap());
        let events = rollups.map(|rollup| {
            let ActionTotals { accept, reject, other } = rollup.totals();
            let records = accept.records + reject.records + other.records;
            records + rollup.nodata + rollup.skipdata
        });
        assert_eq!(events.sum::<u64>(), 7, "each is in one partial");
    }
}

#[tokio::test]
async fn the_stream_rings_and_a_person_is_told_once() {
    let ingested = parser(OneObject::sample(), MemoryStore::default());
    alright(parser_handle(&ingested, "sqs-s3-notification").await, "parser");
    let app = alerter::App {
        store: ingested.store,
        notifier: Inbox::default(),
        directory: None,
        rules: RefCell::new(RuleSet::default()),
        rules_read: Cell::default(),
        rules_text: None,
        policy: Policy { stale_after: None, ..Policy::default() },
        clock: alerter::Clock::event(),
        metrics: no_metrics,
    };
    for _ in 0..2 {
        let answer = alerter::handle(&app, event("anomaly-alerter/dynamodb-stream-insert.json"))
            .await
            .unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
    }
    let told = app.notifier.sent();
    assert_eq!(told.len(), 1);
    assert!(told[0].subject.starts_with("flowlog HIGH: port-scan on eni-"), "{}", told[0].subject);
}
