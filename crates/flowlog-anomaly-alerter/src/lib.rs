//! The anomaly alerter: a DynamoDB stream rings, rules read the state, people are told through SNS.
//!
//! The stream is only a doorbell: what a rule judges is read from the table, all partials of the
//! interface's windows folded, so a repeated, reordered or skipped stream record changes no verdict.

mod config;
mod error;
mod handler;

pub use config::{Config, ConfigError};
pub use error::HandlerError;
pub use handler::{Bell, Sent, handle, ring};

use flowlog_aws::telemetry::Metric;
use flowlog_core::alert::Policy;
use flowlog_core::detect::Rules;

/// What the handler works with: the ports it was granted, and its settings.
#[derive(Debug)]
pub struct App<S, N> {
    /// Aggregates to read, alert state to write.
    pub store: S,
    /// Where notifications go.
    pub notifier: N,
    /// The rules and their thresholds.
    pub rules: Rules,
    /// How often people may be told.
    pub policy: Policy,
    /// The present (epoch seconds); `None` in local runs, which live in the records' own time.
    pub now: Option<fn() -> i64>,
    /// Where metrics go.
    pub metrics: fn(&str, &[(Metric, u64)]),
}
