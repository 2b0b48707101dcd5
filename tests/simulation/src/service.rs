//! The two ingesting functions in one process, and the messages that they are invoked with.

use std::rc::Rc;

use bytes::Bytes;
use flowlog_aws::telemetry::Metric;
use flowlog_core::decode::Limits;
use flowlog_core::format::Format;
use flowlog_core::ingest::Ingestor;
use flowlog_core::object::ObjectRef;
use flowlog_core::rollup::{Budget, Mapping};
use flowlog_cwl_subscriber as subscriber;
use flowlog_s3_parser as parser;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};

use crate::bucket::Bucket;
use crate::mutant::Mutant;
use crate::pool::{BUCKET, HORIZON, LOG_FORMAT};
use crate::process::{Code, Process};
use crate::world::{World, now};

/// What a message asks for.
#[derive(Debug, Clone)]
pub enum What {
    /// An S3 notification in an SQS message.
    Object {
        /// Which object.
        at: ObjectRef,
        /// The notification's ETag, if it carries one.
        etag: Option<String>,
        /// The notification's time, if it carries one.
        time: Option<i64>,
    },
    /// A CloudWatch Logs payload, base64.
    Logs(Bytes),
}

/// Something that is delivered at least once.
#[derive(Debug, Clone)]
pub struct Message {
    /// Which delivery it is about.
    pub delivery: usize,
    /// What it asks for.
    pub what: What,
    /// How often it was received in vain.
    pub received: u32,
}

/// The functions of one process.
pub struct Service {
    parser: parser::App<Bucket, Process>,
    subscriber: subscriber::App<Process>,
}

/// Every mapping version has one budget; in a crowded world a small one.
fn ingestor(world: &World, code: Code) -> Ingestor {
    let mapping = Mapping::from_number(code.writes).unwrap_or_default();
    if !world.shape.crowded {
        return Ingestor::new(mapping, Budget::default());
    }
    let crowded = Budget { state_bytes: 1_500, ..Budget::default() };
    Ingestor::new(mapping, crowded).holding(if world.shape.holds { 2_000 } else { 0 })
}

fn no_metrics(_function: &str, _values: &[(Metric, u64)]) {}

impl Service {
    /// Starts a cold process with this code.
    pub fn start(world: &Rc<World>, code: Code, mutant: Option<Mutant>) -> Self {
        Self {
            parser: parser::App {
                objects: Bucket(Rc::clone(world)),
                store: Process::start(world, code, mutant),
                limits: Limits::default(),
                horizon: Some(HORIZON),
                now,
                metrics: no_metrics,
                ingestor: ingestor(world, code),
            },
            subscriber: subscriber::App {
                store: Process::start(world, code, mutant),
                formats: Format::from_log_format(LOG_FORMAT).into_iter().collect(),
                limits: Limits::default(),
                horizon: Some(HORIZON),
                now,
                metrics: no_metrics,
                ingestor: ingestor(world, code),
            },
        }
    }

    /// Holds the bucket against the ledger; whether everything that was missing is ingested.
    pub async fn reconcile(&self) -> bool {
        let request = json!({
            "flowlog": "reconcile", "buckets": [BUCKET], "days": ["2026-11-01"],
            "older_than_seconds": 0,
        });
        match parser::handle(&self.parser, event(request)).await {
            Ok(answer) => answer["failed"] == 0 && answer["complete"] == true,
            Err(_) => false,
        }
    }

    /// Invokes the functions with these messages; which of them must come again?
    pub async fn deliver(&self, messages: Vec<Message>) -> Vec<bool> {
        let mut failed = vec![false; messages.len()];
        let mut records = Vec::new();
        for (n, message) in messages.iter().enumerate() {
            match &message.what {
                What::Object { at, etag, time } => {
                    records.push(sqs_record(n, at, etag.as_deref(), *time));
                }
                What::Logs(data) => {
                    let data = String::from_utf8_lossy(data);
                    let event = event(json!({ "awslogs": { "data": data } }));
                    failed[n] = subscriber::handle(&self.subscriber, event).await.is_err();
                }
            }
        }
        if records.is_empty() {
            return failed;
        }
        let answer = parser::handle(&self.parser, event(json!({ "Records": records }))).await;
        let Ok(answer) = answer else { return vec![true; messages.len()] };
        for item in answer["batchItemFailures"].as_array().into_iter().flatten() {
            let id = item["itemIdentifier"].as_str().and_then(|id| id.parse::<usize>().ok());
            if let Some(failed) = id.and_then(|id| failed.get_mut(id)) {
                *failed = true;
            }
        }
        failed
    }
}

fn event(payload: Value) -> LambdaEvent<Value> {
    LambdaEvent::new(payload, Context::default())
}

fn sqs_record(n: usize, at: &ObjectRef, etag: Option<&str>, time: Option<i64>) -> Value {
    let mut object = json!({ "key": at.key });
    if let Some(etag) = etag {
        object["eTag"] = json!(etag);
    }
    let mut record = json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": at.bucket }, "object": object },
    });
    if let Some(time) = time.and_then(|t| jiff::Timestamp::from_second(t).ok()) {
        record["eventTime"] = json!(time.to_string());
    }
    let body = json!({ "Records": [record] }).to_string();
    json!({ "messageId": n.to_string(), "eventSource": "aws:sqs", "body": body })
}
