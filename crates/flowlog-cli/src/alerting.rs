//! Commands about alerts: what rules would send, which rules are in force, whether anybody hears.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments are help text here, and back quotes show there"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use flowlog_aws::{DynamoDbStore, SnsNotifier, Tables, env, sdk};
use flowlog_core::alert::{Notifier as _, render_test};
use flowlog_core::decode::Fallback;
use flowlog_core::detect::{RuleSet, Rules};

use crate::ask::{self, AskError, StoreArgs, Times, tables_of};
use crate::input::declared;
use crate::output::Said;
use crate::replay::{self, Outcome};
use crate::report::printable;

/// Options of `flowlog replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Files, folders (every .log, .gz and .parquet file below), or - for standard input. Without any, a
    /// store's roll-ups, of the last 35 days at most: as the deployed rules see them.
    #[arg(value_name = "PATH", conflicts_with_all = ["store", "stack", "since", "until"])]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    times: Times,
    /// The rules file; without it, the defaults.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Compare with this rules file.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Tables for people, or one JSON object for scripts.
    #[arg(long, value_enum, default_value_t = ReplayFormat::Table)]
    format: ReplayFormat,
    /// The flow log's LogFormat, for files without a header line.
    #[arg(long, value_name = "FORMAT", requires = "paths", value_parser = declared)]
    log_format: Option<Fallback>,
}

/// How a replay is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReplayFormat {
    Table,
    Json,
}

/// `flowlog rules …`
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Check a rules file: the first mistake with its line and column, or that it can be used.
    ///
    /// Notes tell what can be used and is hardly meant: what silences or allows everything, or nothing any more.
    ///
    /// Exit status: 0 it can be used, notes or not; 1 it cannot, or not be read; 2 the command line is wrong.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Check a rules file and store it in the table FlowControl; the alerter uses it within five
    /// minutes.
    ///
    /// Exit status: 0 stored; 1 it cannot be used, or not be stored; 2 the command line is wrong.
    #[command(group(ArgGroup::new("table").required(true).args(["stack", "control_table"])))]
    Put {
        /// The file.
        file: PathBuf,
        /// The name of the table FlowControl (the stack's output ControlTable).
        #[arg(long, value_name = "TABLE")]
        control_table: Option<String>,
        /// The deployed stack, whose table is found by its name. Credentials are taken from AWS_ACCESS_KEY_ID …
        /// only; for a profile: eval "$(aws configure export-credentials --format env)".
        #[arg(long, value_name = "NAME")]
        stack: Option<String>,
    },
    /// Print every rule with its thresholds, as a rules file.
    ///
    /// Exit status: 0 printed; 2 the command line is wrong.
    Defaults,
}

/// Options of `flowlog test-alert`.
#[derive(Debug, Args)]
pub struct TestAlertArgs {
    /// The ARN of the topic (the stack's output AlertTopicArn).
    #[arg(long, value_name = "ARN")]
    topic: String,
}

fn read_rules(file: Option<&Path>) -> Result<RuleSet, Box<dyn Error>> {
    let Some(file) = file else { return Ok(RuleSet::default()) };
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    RuleSet::parse(&text).map_err(|e| format!("{}: {e}", file.display()).into())
}

/// Runs one rules file or two over a recording.
pub async fn replay(
    args: &ReplayArgs,
    complain: &mut dyn FnMut(String),
) -> Result<Said, Box<dyn Error>> {
    let rules = read_rules(args.rules.as_deref())?;
    let against = args.against.as_deref().map(|file| read_rules(Some(file))).transpose()?;
    let fallback = args.log_format.clone().unwrap_or_default();
    let recording = if args.paths.is_empty() {
        let opened = args.store.open().await?;
        let whole = ask::whole_period(&opened.store).await?.ok_or(AskError::Empty(0))?;
        let end = args.times.end(&opened.store, whole, false).await?;
        let period = args.times.wanted(whole, end)?.period;
        replay::read_store(&opened.store, period, complain).await?
    } else {
        replay::read(&args.paths, &fallback, complain)?
    };
    let outcome = replay::replay(&recording, &rules).await?;
    let other = match &against {
        Some(rules) => Some(replay::replay(&recording, rules).await?),
        None => None,
    };
    let text = match args.format {
        ReplayFormat::Table => to_text(&outcome, other.as_ref(), args.against.as_deref()),
        ReplayFormat::Json => to_json(&outcome, other.as_ref()),
    };
    let unread = recording.files.iter().any(|f| f.error.is_some() || f.counts.rejected_total() > 0);
    Ok(Said { text, well: !unread })
}

fn to_text(outcome: &Outcome, other: Option<&Outcome>, against: Option<&Path>) -> String {
    let mut text = outcome.to_text();
    if let Some(other) = other {
        let name = against.map_or_else(String::new, |path| path.display().to_string());
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\nAgainst {}\n\n{}\nDifference (- only the first, + only the second)\n{}",
            printable(&name),
            other.to_text(),
            replay::difference(outcome, other)
        );
    }
    text
}

fn to_json(outcome: &Outcome, other: Option<&Outcome>) -> String {
    let mut value = outcome.to_json();
    if let Some(other) = other {
        value["against"] = other.to_json();
        value["difference"] = replay::difference(outcome, other).lines().collect();
    }
    format!("{value}\n")
}

/// Checks, stores or shows rules.
pub async fn rules(command: RulesCommand) -> Result<Said, Box<dyn Error>> {
    match command {
        RulesCommand::Check { file } => {
            let mut text = "the rules file can be used\n".to_owned();
            for note in read_rules(Some(&file))?.notes(env::now()) {
                let _ = writeln!(text, "note: {}", printable(&note));
            }
            Ok(Said::well(text))
        }
        RulesCommand::Put { file, control_table, stack } => {
            read_rules(Some(&file))?;
            let text = std::fs::read_to_string(&file)?;
            let config = sdk::from_lookup(&env::process);
            let tables = match stack {
                Some(stack) => tables_of(&config, &stack).await?,
                None => Tables { control: control_table.unwrap_or_default(), ..Tables::default() },
            };
            let store = DynamoDbStore::new(&config, tables);
            flowlog_anomaly_alerter::put_rules(&store, &text).await?;
            Ok(Said::well("stored; the alerter uses it within five minutes\n"))
        }
        RulesCommand::Defaults => Ok(Said::well(defaults()?)),
    }
}

/// Every default, as a rules file: numbers, truths and names are written in TOML as in JSON.
fn defaults() -> Result<String, serde_json::Error> {
    let rules: BTreeMap<String, BTreeMap<String, serde_json::Value>> =
        serde_json::from_value(serde_json::to_value(Rules::default())?)?;
    let mut text = String::new();
    for (rule, thresholds) in rules {
        let gap = if text.is_empty() { "" } else { "\n" };
        let _ = writeln!(text, "{gap}[rules.{rule}]");
        for (name, value) in thresholds {
            let _ = writeln!(text, "{name} = {value}");
        }
    }
    Ok(text)
}

/// Sends a test message, and says who gets it.
pub async fn test_alert(args: &TestAlertArgs) -> Result<Said, Box<dyn Error>> {
    let notifier = SnsNotifier::new(&sdk::from_lookup(&env::process), &args.topic);
    notifier.publish(&render_test(env::now())).await?;
    let mut text = "sent\n".to_owned();
    let subscriptions = notifier.subscriptions().await?;
    for s in &subscriptions {
        let state = if s.confirmed { "confirmed" } else { "NOT CONFIRMED: gets nothing" };
        let _ = writeln!(text, "{:<12} {}  {state}", s.protocol, printable(&s.endpoint));
    }
    let well = subscriptions.iter().any(|s| s.confirmed);
    if !well {
        text.push_str("nobody receives alerts: there is no confirmed subscription\n");
    }
    Ok(Said { text, well })
}
