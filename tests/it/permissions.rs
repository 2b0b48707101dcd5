//! What the functions call is what `infra/permissions.json` says: no less, and no more.
//!
//! Handlers run with the adapters they have in AWS, against the embedded database and a recorder.
//! `tests/infra/permission_tests.py` holds the same file against what the template grants. Nothing
//! here decides a policy: that the two agree is all that can be shown without IAM.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use flowlog_aws::{DynamoDbStore, Ec2Directory, S3Objects, SnsNotifier, sdk};
use flowlog_cli::embedded::{EmbeddedDb, Location, Server};
use flowlog_core::alert::Policy;
use flowlog_core::decode::Limits;
use flowlog_core::detect::RuleSet;
use flowlog_core::format::Format;
use flowlog_core::ingest::Ingestor;
use flowlog_core::object::ObjectRef;
use flowlog_s3_parser as parser;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};

use crate::recorder::{Calls, Recorder};
use crate::support::{START, event, no_metrics, project, sqs};

const SAMPLE: &str = "AWSLogs/123456789012/vpcflowlogs/us-east-1/2026/11/01/\
    123456789012_vpcflowlogs_us-east-1_fl-0123456789abcdef0_20261101T0000Z_7c1fdc3c.log.gz";

fn declared(function: &str) -> (Calls, BTreeSet<String>) {
    let text = std::fs::read_to_string(project("infra/permissions.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let function = &all[function];
    let calls = serde_json::from_value(function["calls"].clone()).unwrap();
    let keys = serde_json::from_value(function["control_keys"].clone()).unwrap();
    (calls, keys)
}

async fn database() -> (EmbeddedDb, Server) {
    let database = EmbeddedDb::open(Location::Temporary).await.unwrap();
    let server = database.serve(0).unwrap();
    (database, server)
}

fn check(function: &str, recorder: &Recorder) {
    let (calls, keys) = recorder.take();
    let (expected_calls, expected_keys) = declared(function);
    assert_eq!(calls, expected_calls, "{function}: recorded and declared");
    assert_eq!(keys, expected_keys, "{function}: keys of FlowControl");
}

#[tokio::test]
async fn the_parser_calls_what_is_declared_and_only_s3_and_dynamodb() {
    let (database, server) = database().await;
    let name = SAMPLE.rsplit('/').next().unwrap();
    let sample = std::fs::read(project("events/s3-parser").join(name)).unwrap();
    let bad = SAMPLE.replace("7c1fdc3c", "deadbeef");
    let objects = BTreeMap::from([(SAMPLE.to_owned(), sample), (bad.clone(), b"no gzip".to_vec())]);
    let recorder = Recorder::start(&server.endpoint(), objects);
    let config = sdk::local(&recorder.endpoint());
    let app = parser::App {
        objects: S3Objects::new(&config),
        store: DynamoDbStore::new(&config, database.tables().clone()),
        limits: Limits::default(),
        horizon: Some(30 * 86_400),
        now: || START + 7200,
        metrics: no_metrics,
        ingestor: Ingestor::default(),
    };
    let at = |key: &str| ObjectRef { bucket: "logs".to_owned(), key: key.to_owned() };
    // Done, done again, unusable, gone.
    let deliveries =
        [at(SAMPLE), at(SAMPLE), at(&bad), at(&SAMPLE.replace("7c1fdc3c", "00000000"))];
    for object in deliveries {
        let answer = parser::handle(&app, sqs(&[object])).await.unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
    }
    // And the schedule: everything is in the ledger by now.
    let reconcile = json!({ "flowlog": "reconcile", "buckets": ["logs"], "prefixes": [""], "days": ["20261101"] });
    let answer =
        parser::handle(&app, LambdaEvent::new(reconcile, Context::default())).await.unwrap();
    assert_eq!(answer["missing"], 0, "{answer}");
    check("s3-parser", &recorder);
}

#[tokio::test]
async fn the_subscriber_calls_what_is_declared() {
    let (mut calls, mut keys) = (Calls::new(), BTreeSet::new());
    // Done, done again; and with a format that does not fit, given up.
    for format in [Format::default_v2(), Format::from_log_format("${start} ${vpc-id}").unwrap()] {
        let (database, server) = database().await;
        let recorder = Recorder::start(&server.endpoint(), BTreeMap::new());
        let config = sdk::local(&recorder.endpoint());
        let app = flowlog_cwl_subscriber::App {
            store: DynamoDbStore::new(&config, database.tables().clone()),
            formats: vec![format],
            limits: Limits::default(),
            horizon: Some(30 * 86_400),
            now: || START,
            metrics: no_metrics,
            ingestor: Ingestor::default(),
        };
        for name in ["control-message", "data-message", "data-message"] {
            let event = event(&format!("cwl-subscriber/{name}.json"));
            flowlog_cwl_subscriber::handle(&app, event).await.unwrap();
        }
        let (called, leading) = recorder.take();
        for (resource, actions) in called {
            calls.entry(resource).or_default().extend(actions);
        }
        keys.extend(leading);
    }
    assert_eq!((calls, keys), declared("cwl-subscriber"), "recorded and declared");
}

#[tokio::test]
async fn the_alerter_calls_what_is_declared() {
    let (database, server) = database().await;
    let name = SAMPLE.rsplit('/').next().unwrap();
    let sample = std::fs::read(project("events/s3-parser").join(name)).unwrap();
    let recorder =
        Recorder::start(&server.endpoint(), BTreeMap::from([(SAMPLE.to_owned(), sample)]));
    let config = sdk::local(&recorder.endpoint());
    let store = DynamoDbStore::new(&config, database.tables().clone());
    let filled = parser::App {
        objects: S3Objects::new(&config),
        store: store.clone(),
        limits: Limits::default(),
        horizon: None,
        now: || START,
        metrics: no_metrics,
        ingestor: Ingestor::default(),
    };
    let object = ObjectRef { bucket: "logs".to_owned(), key: SAMPLE.to_owned() };
    parser::handle(&filled, sqs(&[object])).await.unwrap();
    recorder.take();
    let app = flowlog_anomaly_alerter::App {
        store,
        notifier: SnsNotifier::new(&config, "arn:aws:sns:us-east-1:123456789012:alerts".to_owned()),
        directory: Some(Box::new(Ec2Directory::new(&config))),
        rules: RefCell::new(RuleSet::default()),
        rules_read: Cell::default(),
        rules_text: None,
        policy: Policy { stale_after: None, ..Policy::default() },
        clock: flowlog_anomaly_alerter::Clock::event(),
        metrics: no_metrics,
    };
    for name in ["dynamodb-stream-insert", "sweep", "dynamodb-stream-insert", "compact"] {
        if name == "compact" {
            // Once the sample's hour is over; and a run that is out of time leaves word.
            app.clock.at(START + 2 * 3600);
        }
        let event = event(&format!("anomaly-alerter/{name}.json"));
        flowlog_anomaly_alerter::handle(&app, event).await.unwrap();
    }
    check("anomaly-alerter", &recorder);
}
