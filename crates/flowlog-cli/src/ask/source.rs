//! What is asked: of which store, about which time and which part of the network.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments are help text here, and back quotes show there"
)]

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use flowlog_aws::sdk::SdkConfig;
use flowlog_aws::{DynamoDbStore, Tables, env, schema, sdk};
use flowlog_core::record::{BatchId, DAY_SECONDS, HOUR_SECONDS, Source, WINDOWS_PER_DAY, Window};
use flowlog_core::store::{
    AggregateReader, AlertStore, LedgerEntry, LedgerReader, PartialItem, Quarantine, Series,
    SeriesItems, StateItem, StoreError, View,
};
use flowlog_s3_parser::ConfigError;
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde_json::{Value, json};

use super::command::AskError;
use super::{Asked, GAP, Material, Period, Subject, end_of_data};
use crate::embedded::{EmbeddedDb, FileReader, Location, is_database};
use crate::report::time;
use crate::usage::Usage;

/// Which store.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// A local store, as `flowlog local --store` keeps it. Without it the tables are those of AWS,
    /// named by AGGREGATES_TABLE and CONTROL_TABLE; AWS_REGION and AWS_ACCESS_KEY_ID … are as everywhere.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// The tables of this deployed stack, found by their names. Credentials are taken from AWS_ACCESS_KEY_ID …
    /// only; for a profile: eval "$(aws configure export-credentials --format env)".
    #[arg(long, value_name = "NAME", conflicts_with = "store")]
    stack: Option<String>,
}

/// Which time.
#[derive(Debug, Args)]
pub(crate) struct Times {
    /// From this time on: 2026-11-01 (UTC), 2026-11-01T08:00Z, 2026-11-01T10:00+02:00, 1793491200 (epoch
    /// seconds, as JSON has them), or so long before the last data: 90m, 24h, 7d.
    #[arg(long, value_name = "TIME", value_parser = a_time)]
    pub(super) since: Option<String>,
    /// Up to this time; the window of five minutes that it falls into is in it, as a whole.
    #[arg(long, value_name = "TIME", value_parser = a_time)]
    pub(super) until: Option<String>,
}

impl Times {
    /// From when to before when (epoch seconds), as far as somebody said; lengths of time count back from `end`.
    fn asked(&self, end: i64) -> Result<(Option<i64>, Option<i64>), AskError> {
        let at = |text: &Option<String>| text.as_deref().map(|text| moment(text, end)).transpose();
        let (since, until) = (at(&self.since)?, at(&self.until)?);
        in_order(since, until)?;
        Ok((since, until))
    }

    /// Where what is asked about ends in any case, in epoch seconds: at the end of the data. That is looked for only if
    /// `counts_back`, or if the last day is asked about, or a time counts back from it; else it is the end of that day.
    pub(crate) async fn end<S: AggregateReader>(
        &self,
        store: &S,
        whole: Period,
        counts_back: bool,
    ) -> Result<i64, AskError> {
        let last_day = whole.to.back(WINDOWS_PER_DAY - 1).start();
        let early = |text: &str| moment(text, 0).is_ok_and(|at| 0 < at && at <= last_day);
        let counts_back = counts_back || self.since.as_deref().is_some_and(is_length);
        if !counts_back && self.until.as_deref().is_some_and(early) {
            return Ok(whole.to.end());
        }
        Ok(end_of_data(store, whole, env::now()).await?)
    }

    /// That part of what there is, which ends at `end`.
    pub(crate) fn wanted(&self, whole: Period, end: i64) -> Result<Wanted, AskError> {
        let asked = self.asked(end)?;
        let window = |epoch: i64| Window::of(epoch.max(0));
        let last = window(end - 1).unwrap_or(whole.to).min(whole.to);
        let from = asked.0.map_or(Some(whole.from), window).ok_or(AskError::NoSuchTime(whole))?;
        let from = from.max(whole.from);
        let until = asked.1.map_or(whole.to, |until| {
            // Windows are not taken apart: the last one is whole, as the first is.
            window(until.saturating_sub(1)).unwrap_or(whole.to).min(whole.to)
        });
        if from > until {
            return Err(AskError::NoSuchTime(whole));
        }
        // Later on the last day there is nothing, which the answer says.
        let to = if from > last { until } else { until.min(last) };
        let before = asked.0.filter(|since| whole.from.start() - since >= GAP);
        let after = asked.1.filter(|until| until - to.end() >= GAP && to == last);
        let sides = [before.map(|_| ("before", whole.from.start())), after.map(|_| ("after", end))];
        let sides: Vec<String> =
            sides.into_iter().flatten().map(|(side, at)| format!("{side} {}", time(at))).collect();
        let lacks = (!sides.is_empty()).then(|| {
            let asked = match asked {
                (Some(since), Some(until)) => format!("{} to {}", time(since), time(until)),
                (Some(since), None) => format!("the time since {}", time(since)),
                (None, until) => format!("the time until {}", time(until.unwrap_or(end))),
            };
            let sides = sides.join(" or ");
            format!(
                "asked for {asked}; the store has nothing {sides}: this answer says nothing about those times."
            )
        });
        Ok(Wanted { period: Period { from, to }, asked, lacks })
    }
}

/// What is asked about.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// What of it the store has days of.
    pub(crate) period: Period,
    /// From when to before when (epoch seconds), as far as somebody said.
    pub(super) asked: (Option<i64>, Option<i64>),
    /// What it has none of, an hour or more, in words.
    pub(super) lacks: Option<String>,
}

impl Wanted {
    /// The material knows what it lacks of what was asked for.
    pub(super) fn bound(&self, material: &mut Material) {
        material.bound(self.asked.0.map(|_| self.period.from.start()), self.period.to.end());
        material.lacks.clone_from(&self.lacks);
    }

    /// What somebody said, for scripts.
    pub(super) fn asked_json(&self) -> Value {
        json!({ "from": self.asked.0, "to": self.asked.1 })
    }
}

/// What every question takes.
#[derive(Debug, Args)]
pub struct AskArgs {
    #[command(flatten)]
    pub(super) store: StoreArgs,
    #[command(flatten)]
    pub(super) times: Times,
    /// One interface, or transit gateway attachment.
    #[arg(long, value_name = "ID", conflicts_with_all = ["vpc", "account"])]
    interface: Option<String>,
    /// One VPC: its interfaces, each window of each from one flow log; others are named.
    #[arg(long, value_name = "ID", conflicts_with = "account")]
    vpc: Option<String>,
    /// One account: its interfaces, each window of each from one flow log; others are named.
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Tables for people, one JSON object for scripts, or CSV: a row for each entry of each list, the
    /// first column names the list; bounds of errors and what the answer rests on are rows, too.
    #[arg(long, value_enum, default_value_t = AnswerFormat::Table)]
    pub(super) format: AnswerFormat,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AnswerFormat {
    Table,
    Json,
    Csv,
}

/// An opened store. The database of a local one lives as long as this.
pub(crate) struct Opened {
    pub(crate) store: AskStore,
    _database: Option<EmbeddedDb>,
}

/// The tables; items of a local store are read from its file.
pub(crate) struct AskStore {
    tables: DynamoDbStore,
    file: Option<FileReader>,
}

impl AggregateReader for AskStore {
    async fn partials(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> Result<Vec<PartialItem>, StoreError> {
        Ok(self.items(series, from, to).await?.partials)
    }

    async fn items(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> Result<SeriesItems, StoreError> {
        match &self.file {
            Some(file) => file.items(series, from, to).await,
            None => self.tables.items(series, from, to).await,
        }
    }

    async fn condensed(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> Result<SeriesItems, StoreError> {
        match &self.file {
            Some(file) => file.condensed(series, from, to).await,
            None => self.tables.condensed(series, from, to).await,
        }
    }

    async fn sources(
        &self,
        from_day: &str,
        to_day: &str,
    ) -> Result<Vec<(String, Source)>, StoreError> {
        match &self.file {
            Some(file) => file.sources(from_day, to_day).await,
            None => self.tables.sources(from_day, to_day).await,
        }
    }

    async fn subjects(
        &self,
        source: &Source,
        view: View,
        day: &str,
    ) -> Result<Vec<String>, StoreError> {
        match &self.file {
            Some(file) => file.subjects(source, view, day).await,
            None => self.tables.subjects(source, view, day).await,
        }
    }
}

impl LedgerReader for AskStore {
    async fn entries(&self, batches: &[BatchId]) -> Result<Vec<Option<LedgerEntry>>, StoreError> {
        match &self.file {
            Some(file) => file.entries(batches).await,
            None => self.tables.entries(batches).await,
        }
    }
}

impl Asked for AskStore {
    fn file(&self) -> Option<FileReader> {
        self.file.clone()
    }
}

impl Quarantine for AskStore {
    async fn quarantined(&self) -> Result<Vec<(BatchId, LedgerEntry)>, StoreError> {
        self.tables.quarantined().await
    }

    async fn reopen(&self, batch: BatchId) -> Result<bool, StoreError> {
        self.tables.reopen(batch).await
    }
}

impl AlertStore for AskStore {
    async fn state(&self, kind: &str, subject: &str) -> Result<Option<StateItem>, StoreError> {
        self.tables.state(kind, subject).await
    }

    async fn states(&self, kind: &str) -> Result<Vec<StateItem>, StoreError> {
        self.tables.states(kind).await
    }

    async fn swap_state(
        &self,
        item: &StateItem,
        expected: Option<i64>,
    ) -> Result<bool, StoreError> {
        self.tables.swap_state(item, expected).await
    }

    async fn spend_budget(
        &self,
        hour: i64,
        limit: u32,
        token: &str,
        expires: i64,
    ) -> Result<bool, StoreError> {
        self.tables.spend_budget(hour, limit, token, expires).await
    }
}

impl Opened {
    fn of(tables: DynamoDbStore) -> Self {
        Self { store: AskStore { tables, file: None }, _database: None }
    }
}

impl StoreArgs {
    /// Which one, for people.
    pub(super) fn name(&self) -> String {
        match (&self.store, &self.stack) {
            (Some(file), _) => file.display().to_string(),
            (None, Some(stack)) => format!("the stack {stack}"),
            (None, None) => {
                let table = env::process("AGGREGATES_TABLE").unwrap_or_default();
                format!("the table {table}")
            }
        }
    }

    /// Refuses to write over a store: over this one, whatever its name, or any other.
    pub(super) fn spare(&self, output: &Path) -> Result<(), Usage> {
        let whole = |path: &Path| path.canonicalize().ok();
        let is_this = self.store.as_deref().is_some_and(|store| whole(store) == whole(output));
        if output.exists() && (is_this || is_database(output)) {
            let path = output.display();
            return Err(Usage(format!("{path} is a store; -o writes the page to another file")));
        }
        Ok(())
    }

    /// Opens the store that is asked.
    pub(crate) async fn open(&self) -> Result<Opened, AskError> {
        if let Some(file) = &self.store {
            if !file.exists() {
                return Err(AskError::NoStore(file.clone()));
            }
            let database = EmbeddedDb::open(Location::File(file.clone())).await?;
            let store = AskStore { tables: database.store(), file: Some(database.reader()) };
            return Ok(Opened { store, _database: Some(database) });
        }
        let config = sdk::from_lookup(&env::process);
        if let Some(stack) = &self.stack {
            let tables = tables_of(&config, stack).await?;
            return Ok(Opened::of(DynamoDbStore::new(&config, tables)));
        }
        let table = |name| env::process(name).ok_or(AskError::NoTables(name));
        let tables =
            Tables { aggregates: table("AGGREGATES_TABLE")?, control: table("CONTROL_TABLE")? };
        Ok(Opened::of(DynamoDbStore::new(&config, tables)))
    }
}

/// The tables of a stack.
pub(crate) async fn tables_of(config: &SdkConfig, stack: &str) -> Result<Tables, AskError> {
    let tables = schema::tables_of_stack(config, stack).await?;
    tables.map_err(|found| AskError::Stack { stack: stack.to_owned(), found })
}

/// The parser's settings for a command that does its work: the tables of a stack, or those that the environment
/// names as all else.
pub(crate) async fn parser_config(
    config: &SdkConfig,
    stack: Option<&str>,
) -> Result<flowlog_s3_parser::Config, Box<dyn Error>> {
    let tables = match stack {
        None => {
            let config = flowlog_s3_parser::Config::from_lookup(&env::process);
            return config.map_err(|error| match error {
                ConfigError::Missing(name) => AskError::NoTables(name).into(),
                ConfigError::Number(_) => error.into(),
            });
        }
        Some(stack) => tables_of(config, stack).await?,
    };
    let lookup = |name: &str| match name {
        "AGGREGATES_TABLE" => Some(tables.aggregates.clone()),
        "CONTROL_TABLE" => Some(tables.control.clone()),
        _ => env::process(name),
    };
    Ok(flowlog_s3_parser::Config::from_lookup(&lookup)?)
}

impl AskArgs {
    pub(super) fn subject(&self) -> Subject {
        if let Some(id) = &self.interface {
            return Subject::Interface(id.clone());
        }
        let scope = self.vpc.as_ref().or(self.account.as_ref());
        scope.map_or(Subject::Everything, |id| Subject::Scope(id.clone()))
    }

    /// From when to before when (epoch seconds); lengths of time count back from `end`.
    pub(super) fn times(&self, end: i64) -> Result<(i64, i64), AskError> {
        let (since, until) = self.times.asked(end)?;
        Ok((since.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX)))
    }

    /// The asked part of what there is.
    pub(super) async fn wanted<S: AggregateReader>(
        &self,
        store: &S,
        whole: Period,
    ) -> Result<Wanted, AskError> {
        let end = self.times.end(store, whole, false).await?;
        self.times.wanted(whole, end)
    }
}

/// From when to before when; without an end, for ever.
pub(crate) fn in_order(since: Option<i64>, until: Option<i64>) -> Result<(i64, i64), Usage> {
    let (from, until) = (since.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX));
    if from < until {
        Ok((from, until))
    } else {
        Err(Usage::from("--since must be before --until"))
    }
}

/// A time on the command line, as it was typed: from which moment a length counts back is not known yet.
pub(crate) fn a_time(text: &str) -> Result<String, AskError> {
    moment(text, 0).map(|_| text.to_owned())
}

/// Whether a time is a length of time: `24h`, not a date.
fn is_length(text: &str) -> bool {
    moment(text, 0).is_ok_and(|at| at <= 0)
}

/// A time as epoch seconds; lengths of time count back from `end`.
pub(crate) fn moment(text: &str, end: i64) -> Result<i64, AskError> {
    let wrong = || AskError::Time(text.to_owned());
    // Ten digits: shorter ones might be a year, or a length without its unit.
    if text.len() == 10
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(at) = text.parse()
    {
        return Ok(at);
    }
    if let Some((number, unit)) = text.split_at_checked(text.len().saturating_sub(1))
        && let Ok(number) = number.parse::<u32>()
    {
        let seconds = match unit {
            "m" => 60,
            "h" => HOUR_SECONDS,
            "d" => DAY_SECONDS,
            _ => return Err(wrong()),
        };
        return Ok(end - i64::from(number) * seconds);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_second());
    }
    if text.contains(['T', ' ']) && text.parse::<DateTime>().is_ok() {
        return Err(AskError::NoZone(text.to_owned()));
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
            ("1793491201", midnight + 1),
            ("90m", midnight - 5400),
            ("24h", midnight - 86_400),
            ("7d", midnight - 7 * 86_400),
        ] {
            assert_eq!(moment(text, midnight).unwrap(), expected, "{text}");
        }
        for text in ["2026-11-01T08:00", "2026-11-01 08:00:30"] {
            let error = moment(text, midnight).unwrap_err();
            assert_eq!(error.to_string(), format!("{text:?} has no time zone: add Z or +02:00"));
        }
        for text in [
            "",
            "yesterday",
            "24",
            "h",
            "-1h",
            "2026-13-01",
            "9999999999d",
            "é",
            "2026",
            "179349120",
            "17934912000",
            "1793491.20",
        ] {
            assert!(moment(text, midnight).is_err(), "{text}");
        }
    }
}
