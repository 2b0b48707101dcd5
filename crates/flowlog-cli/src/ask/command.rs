//! The questions as subcommands: options, the store they are put to, the answer as text.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments are help text here, and back quotes show there"
)]

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use flowlog_aws::{DynamoDbStore, Tables, env, sdk};
use flowlog_core::record::{Address, Window};
use flowlog_core::store::{AggregateReader, LedgerReader, StoreError};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    By, Material, Period, Subject, coverage_text, hours, read, rejected, rejected_text, top,
    top_text, who, who_text, whole_period,
};
use crate::embedded::{EmbeddedDb, EmbeddedError, Location};

/// What every question takes.
#[derive(Debug, Args)]
pub struct AskArgs {
    /// A local store, as `flowlog local --store` keeps it. Without it the tables are those of AWS,
    /// named by AGGREGATES_TABLE and CONTROL_TABLE; AWS_REGION and AWS_ACCESS_KEY_ID … are as everywhere.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// From this time on: 2026-11-01, 2026-11-01T08:00Z, or so long before the last data: 90m, 24h, 7d.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to this time; the window that it falls into is left out.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// One interface, or transit gateway attachment.
    #[arg(long, value_name = "ID", conflicts_with_all = ["vpc", "account"])]
    interface: Option<String>,
    /// One VPC, as its own sums have it: those of one flow log, and the answer names the others.
    #[arg(long, value_name = "ID", conflicts_with = "account")]
    vpc: Option<String>,
    /// One account, as its own sums have it: those of one flow log, and the answer names the others.
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Tables for people, or one JSON object for scripts.
    #[arg(long, value_enum, default_value_t = AnswerFormat::Table)]
    format: AnswerFormat,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AnswerFormat {
    Table,
    Json,
}

/// Options of `flowlog top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// What to rank by.
    #[arg(long, value_enum, default_value_t = By::Bytes)]
    by: By,
    /// How many rows.
    #[arg(short = 'n', long, default_value_t = 20)]
    most: usize,
    #[command(flatten)]
    ask: AskArgs,
}

/// Options of `flowlog rejected`.
#[derive(Debug, Args)]
pub struct RejectedArgs {
    /// How many rows of each list.
    #[arg(short = 'n', long, default_value_t = 20)]
    most: usize,
    #[command(flatten)]
    ask: AskArgs,
}

/// Options of `flowlog who`.
#[derive(Debug, Args)]
pub struct WhoArgs {
    /// An IPv4 or IPv6 address.
    #[arg(value_name = "ADDRESS", value_parser = parse_address)]
    address: Address,
    #[command(flatten)]
    ask: AskArgs,
}

/// Options of `flowlog coverage`.
#[derive(Debug, Args)]
pub struct CoverageArgs {
    #[command(flatten)]
    ask: AskArgs,
}

/// A question.
#[derive(Debug)]
pub enum Question {
    /// Who talks most.
    Top(TopArgs),
    /// What is refused.
    Rejected(RejectedArgs),
    /// What is known of an address.
    Who(WhoArgs),
    /// How complete it is.
    Coverage(CoverageArgs),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Neither a time nor a length of time.
    #[error("{0:?} is no time: expected 2026-11-01, 2026-11-01T08:00Z, 90m, 24h or 7d")]
    Time(String),
    /// Nothing to ask.
    #[error("the store is empty")]
    Empty,
    /// The tables of AWS are not named.
    #[error("no --store, and the environment variable {0} is not set")]
    NoTables(&'static str),
    /// The local store.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn parse_address(text: &str) -> Result<Address, String> {
    Address::parse(text).ok_or_else(|| "neither an IPv4 nor an IPv6 address".to_owned())
}

/// Puts a question to its store and returns the answer as text.
pub async fn ask(question: Question) -> Result<String, AskError> {
    let args = question.args();
    if let Some(file) = &args.store {
        let database = EmbeddedDb::open(Location::File(file.clone())).await?;
        return answer(&database.store(), &question).await;
    }
    let table = |name| env::process(name).ok_or(AskError::NoTables(name));
    let tables =
        Tables { aggregates: table("AGGREGATES_TABLE")?, control: table("CONTROL_TABLE")? };
    let store = DynamoDbStore::new(&sdk::from_lookup(&env::process), tables);
    answer(&store, &question).await
}

async fn answer<S: AggregateReader + LedgerReader>(
    store: &S,
    question: &Question,
) -> Result<String, AskError> {
    let args = question.args();
    let whole = whole_period(store).await?.ok_or(AskError::Empty)?;
    let period = args.period(whole)?;
    let material = read(store, &args.subject(), period).await?;
    let (value, text) = question.answer(&material);
    Ok(match args.format {
        AnswerFormat::Table => text,
        AnswerFormat::Json => {
            let mut whole = material.to_json();
            whole["from"] = json!(period.from.start());
            whole["to"] = json!(period.to.end());
            whole["answer"] = value;
            format!("{whole}\n")
        }
    })
}

impl Question {
    fn args(&self) -> &AskArgs {
        match self {
            Self::Top(args) => &args.ask,
            Self::Rejected(args) => &args.ask,
            Self::Who(args) => &args.ask,
            Self::Coverage(args) => &args.ask,
        }
    }

    fn answer(&self, material: &Material) -> (Value, String) {
        match self {
            Self::Top(args) => {
                let top = top(material, args.by, args.most);
                (top.to_json(), top_text(&top, material))
            }
            Self::Rejected(args) => {
                let rejected = rejected(material, args.most);
                (rejected.to_json(), rejected_text(&rejected, material))
            }
            Self::Who(args) => {
                let who = who(material, args.address);
                (who.to_json(), who_text(&who, material))
            }
            Self::Coverage(_) => {
                let hours = hours(material);
                let values: Vec<Value> =
                    hours.iter().map(|(start, hour)| hour.to_json(*start)).collect();
                (json!({ "hours": values }), coverage_text(&hours, material))
            }
        }
    }
}

impl AskArgs {
    fn subject(&self) -> Subject {
        if let Some(id) = &self.interface {
            return Subject::Interface(id.clone());
        }
        let scope = self.vpc.as_ref().or(self.account.as_ref());
        scope.map_or(Subject::Everything, |id| Subject::Scope(id.clone()))
    }

    /// The asked part of what there is.
    fn period(&self, whole: Period) -> Result<Period, AskError> {
        let end = whole.to.end();
        let from = self.since.as_deref().map(|text| moment(text, end)).transpose()?;
        let until = self.until.as_deref().map(|text| moment(text, end)).transpose()?;
        let window = |epoch: i64| Window::of(epoch.max(0));
        Ok(Period {
            from: from.and_then(window).unwrap_or(whole.from).max(whole.from),
            to: until.and_then(|at| window(at - 300)).unwrap_or(whole.to).min(whole.to),
        })
    }
}

/// A time as epoch seconds; lengths of time count back from `end`.
fn moment(text: &str, end: i64) -> Result<i64, AskError> {
    let wrong = || AskError::Time(text.to_owned());
    if let Some((number, unit)) = text.split_at_checked(text.len().saturating_sub(1))
        && let Ok(number) = number.parse::<u32>()
    {
        let seconds = match unit {
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        return Ok(end - i64::from(number) * seconds);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_second());
    }
    let midnight = format!("{text}T00:00Z").parse::<Timestamp>();
    midnight.map(Timestamp::as_second).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_moments_and_lengths() {
        let midnight = 1_793_491_200;
        for (text, expected) in [
            ("2026-11-01", midnight),
            ("2026-11-01T08:00Z", midnight + 8 * 3600),
            ("2026-11-01T08:00:30+01:00", midnight + 7 * 3600 + 30),
            ("90m", midnight - 5400),
            ("24h", midnight - 86_400),
            ("7d", midnight - 7 * 86_400),
        ] {
            assert_eq!(moment(text, midnight).unwrap(), expected, "{text}");
        }
        for text in ["", "yesterday", "24", "h", "-1h", "2026-13-01", "9999999999d", "é"] {
            assert!(moment(text, midnight).is_err(), "{text}");
        }
    }
}
