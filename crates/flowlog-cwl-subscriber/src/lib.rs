//! The CloudWatch Logs subscription: payloads of flow log records, into partials in DynamoDB.
//!
//! The CloudWatch Logs path. Its source is the log group, which is never added to the flow log in S3 that sees
//! the same traffic. It calls nothing but DynamoDB.

mod config;
mod error;
mod handler;

pub use config::{Config, ConfigError};
pub use error::HandlerError;
pub use handler::{handle, ingest_payload};

use flowlog_aws::telemetry::Metric;
use flowlog_core::decode::Limits;
use flowlog_core::format::Format;
use flowlog_core::ingest::Ingestor;

/// What the handler works with: the port it was granted, and its settings.
#[derive(Debug)]
pub struct App<S> {
    /// Ledger and aggregates.
    pub store: S,
    /// The formats that the log group's flow logs are configured with.
    pub formats: Vec<Format>,
    /// Bounds on what a payload may do.
    pub limits: Limits,
    /// Rows older than this many seconds are late; `None` in local runs.
    pub horizon: Option<i64>,
    /// The present (epoch seconds): a payload carries no time of its own.
    pub now: fn() -> i64,
    /// Where metrics go.
    pub metrics: fn(&str, &[(Metric, u64)]),
    /// Directory entries that are known to be there.
    pub ingestor: Ingestor,
}
