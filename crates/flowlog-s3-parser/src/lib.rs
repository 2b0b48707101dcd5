//! The S3-triggered parser: objects that S3 notifications name, into partials in DynamoDB.
//!
//! Accepts SQS messages that carry S3 notifications (the default), SNS in SQS, EventBridge's
//! `Object Created` and S3's own events, and on a schedule `{"flowlog": "reconcile", …}`, which finds
//! and ingests what no notification told of. It calls nothing but S3 and DynamoDB, so it can run in
//! private subnets with only their gateway endpoints.

mod config;
mod download;
mod error;
mod handler;
mod object;
mod parquet;
mod reconcile;

pub use config::{Config, ConfigError};
pub use error::HandlerError;
pub use handler::{Report, handle, ingest_object};

use flowlog_aws::telemetry::Metric;
use flowlog_core::decode::Limits;
use flowlog_core::ingest::Ingestor;

/// What the handler works with: the ports it was granted, and its settings.
#[derive(Debug)]
pub struct App<O, S> {
    /// Where objects are read.
    pub objects: O,
    /// Ledger and aggregates.
    pub store: S,
    /// Bounds on what an object may do.
    pub limits: Limits,
    /// Rows older than this many seconds are late; `None` in local runs.
    pub horizon: Option<i64>,
    /// The present (epoch seconds), for events that carry no time.
    pub now: fn() -> i64,
    /// Where metrics go.
    pub metrics: fn(&str, &[(Metric, u64)]),
    /// Directory entries that are known to be there.
    pub ingestor: Ingestor,
}
