//! Why there is no answer.

use std::path::PathBuf;

use flowlog_core::rollup::BlobError;
use flowlog_core::store::StoreError;

use crate::ask::Period;
use crate::embedded::EmbeddedError;
use crate::report::time;
use crate::usage::Usage;
use crate::why::WhyError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The command line.
    #[error(transparent)]
    Usage(#[from] Usage),
    /// Neither a time nor a length of time.
    #[error(
        "{0:?} is no time: expected 2026-11-01, 2026-11-01T08:00Z, epoch seconds, 90m, 24h or 7d"
    )]
    Time(String),
    /// A length of time, and nothing says up to when.
    #[error(
        "{0:?} counts back from the time in a flow log file's name, and no file of --data has one: give a date, as 2026-11-01 or 2026-11-01T08:00Z"
    )]
    NoEnd(String),
    /// A time of day, which is another moment in each zone.
    #[error("{0:?} has no time zone: add Z or +02:00")]
    NoZone(String),
    /// Nothing to ask, and how many deliveries are quarantined.
    #[error("the store is empty{}", in_quarantine(*.0))]
    Empty(usize),
    /// Nobody has counted.
    #[error(
        "records that name no interface do not tell interfaces apart: --by peers goes without --vpc and --account here"
    )]
    Peers,
    /// A question makes no store.
    #[error("{}: there is no such store; `flowlog local --store` makes one", .0.display())]
    NoStore(PathBuf),
    /// A time that the store has no days of.
    #[error("no such time: the store has {} to {}", time(.0.from.start()), time(.0.to.end()))]
    NoSuchTime(Period),
    /// The tables of AWS are not named.
    #[error(
        "which store? --store FILE, --stack NAME, or the environment variable {0}, which is not set"
    )]
    NoTables(&'static str),
    /// No such stack, or one that has taken the name of another one.
    #[error(
        "there is not exactly one pair of tables that is called as those of the stack {stack:?}: {}",
        others(found)
    )]
    Stack {
        /// Its name.
        stack: String,
        /// The tables that there are.
        found: Vec<String>,
    },
    /// The local store.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The files.
    #[error(transparent)]
    Why(#[from] WhyError),
    /// No such alert.
    #[error("no alert {0:?}: `flowlog alerts` lists them")]
    NoAlert(String),
    /// The page goes nowhere.
    #[error("report needs -o FILE.html, or --format json")]
    NoOutput,
    /// The port cannot be listened at, or a connection broke.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// CSV.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// The page's numbers.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A roll-up.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl AskError {
    /// Whether it is the command line that is wrong.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Usage(_)
                | Self::Time(_)
                | Self::NoEnd(_)
                | Self::NoZone(_)
                | Self::Peers
                | Self::NoTables(_)
                | Self::NoOutput
        )
    }
}

fn in_quarantine(deliveries: usize) -> String {
    match deliveries {
        0 => String::new(),
        n => format!(": {n} deliveries are quarantined, which `flowlog requeue` lists"),
    }
}

/// What to do where a stack's name does not tell its tables.
fn others(found: &[String]) -> String {
    if found.is_empty() {
        return "this account and Region have none".to_owned();
    }
    format!(
        "there are {}; name two by AGGREGATES_TABLE and CONTROL_TABLE, in place of --stack",
        found.join(", ")
    )
}
