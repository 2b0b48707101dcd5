//! flowlog on a laptop: the same core, handlers and items as in AWS.
//!
//! [`analyze`] reads files in one pass without a store. [`local`] runs the whole pipeline: folders
//! stand in for buckets, an embedded DynamoDB for the tables, a printed notification for SNS. [`ask`]
//! puts questions to a store, a local one or the deployed tables.

pub mod alerting;
pub mod analyze;
pub mod ask;
pub mod backfill;
pub mod colour;
pub mod cost;
pub mod doctor;
pub mod embedded;
pub mod folder;
pub mod generate;
pub mod input;
pub mod local;
pub mod nat_cost;
pub mod output;
pub mod page;
mod parquet;
pub mod replay;
pub mod report;
pub mod requeue;
pub mod shell;
mod sources;
pub mod usage;
pub mod why;
