//! The anomaly alerter: a DynamoDB stream rings, rules read the state, people are told through SNS.
//!
//! The stream is only a doorbell: what a rule judges is read from the table, all partials of the
//! interface's windows folded, so a repeated, reordered or skipped stream record changes no verdict.
//! What a stream cannot ring for is done on the schedule: sweeping alerts, the digest, silence,
//! sweeps over many hosts, and whatever takes a day to show.

mod compact;
mod config;
mod error;
mod feeds;
mod handler;
mod rules;
mod schedule;

pub use config::{Config, ConfigError};
pub use error::HandlerError;
pub use feeds::starved;
pub use handler::{Bell, Sent, handle, ring};
pub use rules::{Refused, put_rules};
pub use schedule::{schedule, settle, tidy};

use std::cell::{Cell, RefCell};

use flowlog_aws::telemetry::Metric;
use flowlog_core::alert::{Directory, Policy};
use flowlog_core::detect::RuleSet;

/// Days of a flow log whose entries in the directory are read at once.
const READS: usize = 32;

/// What the handler works with: the ports it was granted, and its settings.
#[derive(Debug)]
pub struct App<S, N> {
    /// Aggregates to read, alert state to write.
    pub store: S,
    /// Where notifications go.
    pub notifier: N,
    /// Who knows the names of interfaces; without it people get ids.
    pub directory: Option<Box<dyn Directory>>,
    /// The rules, thresholds and exceptions in force.
    pub rules: RefCell<RuleSet>,
    /// When the stored rules were last read.
    pub rules_read: Cell<i64>,
    /// A rules file given by configuration; without it, the stored one is used.
    pub rules_text: Option<String>,
    /// How often people may be told.
    pub policy: Policy,
    /// What time it is.
    pub clock: Clock,
    /// Where metrics go.
    pub metrics: fn(&str, &[(Metric, u64)]),
}

/// What time it is (epoch seconds).
#[derive(Debug)]
pub enum Clock {
    /// The present.
    Wall(fn() -> i64),
    /// In local runs, which live in the records' own time: the end of the latest window seen.
    Event(Cell<i64>),
}

impl Clock {
    /// A clock for local runs.
    pub fn event() -> Self {
        Self::Event(Cell::new(0))
    }

    /// The time for what is found in a window that ends at `end`, which is not over before.
    pub fn of(&self, end: i64) -> i64 {
        match self {
            Self::Wall(now) => now(),
            Self::Event(latest) => latest.get().max(end),
        }
    }

    /// The time, now that a window which ends at `end` has been seen.
    pub fn at(&self, end: i64) -> i64 {
        match self {
            Self::Wall(now) => now(),
            Self::Event(latest) => {
                latest.set(latest.get().max(end));
                latest.get()
            }
        }
    }

    /// The time.
    pub fn now(&self) -> i64 {
        self.at(0)
    }
}
