//! The whole pipeline: real objects through the functions' own handlers into an embedded DynamoDB.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::large_futures,
    reason = "a test that cannot go on says so by panicking, and what it skips it says aloud"
)]

mod alerting;
mod answers;
mod audit;
mod compaction;
mod contract;
mod deadline;
mod envelopes;
mod evaluation;
mod exactly_once;
mod independent;
mod layouts;
mod metrics;
mod ocsf;
mod pace;
mod permissions;
mod questions;
mod reads;
mod reconcile;
mod recorder;
mod reference;
mod requeue;
mod resume;
mod sample_day;
mod support;
mod tidy;
mod why;
mod write_units;
