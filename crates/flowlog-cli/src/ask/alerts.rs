//! `flowlog alerts`, `resolve`, `silence`: what was reported, and what people say about it.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments are help text here, and back quotes show there"
)]

use std::fmt::Write as _;

use clap::Args;
use flowlog_aws::env;
use flowlog_core::alert::{Alert, STATE_TTL, silence_entry};
use flowlog_core::detect::Rule;
use flowlog_core::record::{Address, DAY_SECONDS};
use flowlog_core::store::{AggregateReader, AlertStore, Quarantine, StateItem};
use serde_json::{Value, json};

use super::command::AskError;
use super::csv::csv_of;
use super::source::{AnswerFormat, AskArgs, StoreArgs};
use super::{Period, Subject, end_of_data, whole_period};
use crate::colour;
use crate::page::Mark;
use crate::report::{printable, table, time};

/// Options of `flowlog alerts`.
#[derive(Debug, Args)]
pub struct AlertsArgs {
    /// Only those that go on.
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    ask: AskArgs,
}

/// Options of `flowlog resolve`.
#[derive(Debug, Args)]
pub struct ResolveArgs {
    /// Keys of alerts, as `flowlog alerts` lists them: RULE#SUBJECT.
    #[arg(required = true, value_name = "ALERT")]
    keys: Vec<String>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Options of `flowlog silence`.
#[derive(Debug, Args)]
pub struct SilenceArgs {
    /// The alert, as `flowlog alerts` lists it: RULE#SUBJECT.
    #[arg(value_name = "ALERT")]
    key: String,
    #[command(flatten)]
    store: StoreArgs,
}

/// Every alert that is remembered, by rule and subject.
pub(super) async fn alerts_of<S: AlertStore>(
    store: &S,
) -> Result<Vec<(StateItem, Alert)>, AskError> {
    let mut found = Vec::new();
    for rule in Rule::ALL {
        for item in store.states(rule.name()).await? {
            let alert: Alert = item.read()?;
            found.push((item, alert));
        }
    }
    Ok(found)
}

/// `RULE#SUBJECT`.
pub(super) fn key(item: &StateItem) -> String {
    format!("{}#{}", item.kind, item.subject)
}

/// Whether an alert goes on at some time from `from` to before `to` (epoch seconds).
fn goes_on(alert: &Alert, from: i64, to: i64) -> bool {
    alert.since.start() < to && alert.last.end() > from
}

fn is_about(alert: &Alert, subject: &Subject) -> bool {
    let finding = &alert.finding;
    match subject {
        Subject::Interface(id) => finding.interface_id == *id,
        Subject::Scope(id) => finding.vpc_id == *id || finding.account_id == *id,
        Subject::Everything => true,
    }
}

/// The alerts of a time that name an address: as who did it, alone or among others, as the one that it was done to, or
/// in the records that show it.
pub(super) async fn about<S: AlertStore>(
    store: &S,
    address: Address,
    period: Period,
) -> Result<Vec<(StateItem, Alert)>, AskError> {
    let (from, to) = (period.from.start(), period.to.end());
    let mut found = alerts_of(store).await?;
    found.retain(|(_, alert)| {
        let finding = &alert.finding;
        let mut rows = finding.evidence.records.iter();
        let named = finding.source == Some(address)
            || finding.target.and_then(|target| target.host) == Some(address)
            || finding.evidence.named.contains(&address)
            || rows.any(|row| [row.srcaddr, row.dstaddr].contains(&Some(address)));
        named && goes_on(alert, from, to)
    });
    Ok(found)
}

/// Lists alerts, the latest first.
pub async fn alerts(args: AlertsArgs) -> Result<String, AskError> {
    let opened = args.ask.store.open().await?;
    let mut found = alerts_of(&opened.store).await?;
    let latest = found.iter().map(|(_, alert)| alert.last.end()).max().unwrap_or_default();
    let until = data_until(&opened.store).await?;
    let (from, to) = args.ask.times(until.unwrap_or(latest))?;
    let subject = args.ask.subject();
    found.retain(|(_, alert)| {
        (!args.open || alert.open) && goes_on(alert, from, to) && is_about(alert, &subject)
    });
    found.sort_by(|(a, left), (b, right)| right.last.cmp(&left.last).then(key(a).cmp(&key(b))));
    let list: Vec<Value> = found.iter().map(|(item, alert)| alert_json(item, alert)).collect();
    let rests = Rests::on(&opened.store, &found, until).await?;
    let mut answer = rests.to_json();
    answer["alerts"] = json!(list);
    // What cannot be in the list, whatever happens.
    let starved = flowlog_anomaly_alerter::starved(&opened.store).await?;
    let starved: Vec<(String, Vec<&str>)> = starved
        .into_iter()
        .map(|(source, rules)| (source, rules.into_iter().map(Rule::name).collect()))
        .collect();
    answer["cannot_feed"] =
        starved.iter().map(|(source, rules)| json!({ "source": source, "rules": rules })).collect();
    Ok(match args.ask.format {
        AnswerFormat::Json => format!("{answer}\n"),
        AnswerFormat::Csv => csv_of(&answer)?,
        AnswerFormat::Table => {
            let rows = found.iter().map(|(item, alert)| {
                vec![
                    key(item),
                    alert.severity.name().to_owned(),
                    if alert.open { "open" } else { "over" }.to_owned(),
                    time(alert.since.start()),
                    time(alert.last.end()),
                    alert.told_times.to_string(),
                    evidence(alert),
                ]
            });
            let header = ["alert", "severity", "", "since", "last", "told", "what showed it"];
            let mut text = table(&header, &[5], rows.collect()) + &rests.to_text();
            for (source, rules) in starved {
                let (source, rules) = (printable(&source), rules.join(", "));
                let _ = writeln!(text, "note: {source} cannot feed {rules}");
            }
            text
        }
    })
}

/// Where the data of a store end (epoch seconds), if there are any.
async fn data_until<S: AggregateReader>(store: &S) -> Result<Option<i64>, AskError> {
    let Some(whole) = whole_period(store).await? else { return Ok(None) };
    Ok(Some(end_of_data(store, whole, env::now()).await?))
}

/// What a list of alerts rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rests {
    /// Before when (epoch seconds) the store has data; `None` if it has none.
    until: Option<i64>,
    /// Deliveries that are quarantined now: no rule saw what is in them.
    quarantined: usize,
    /// SKIPDATA records in the windows that the listed alerts were last raised for.
    skipdata: u64,
    /// Alerts whose last message the hourly budget held back.
    held: usize,
}

impl Rests {
    async fn on<S: AggregateReader + Quarantine>(
        store: &S,
        listed: &[(StateItem, Alert)],
        until: Option<i64>,
    ) -> Result<Self, AskError> {
        Ok(Self {
            until,
            quarantined: store.quarantined().await?.len(),
            skipdata: listed.iter().map(|(_, alert)| alert.finding.evidence.skipdata).sum(),
            held: listed.iter().filter(|(_, alert)| alert.held).count(),
        })
    }

    fn is_complete(&self) -> bool {
        self.quarantined == 0 && self.skipdata == 0
    }

    fn to_json(&self) -> Value {
        json!({
            "complete": self.is_complete(),
            "data_until": self.until,
            "remembered_seconds": STATE_TTL,
            "quarantined_deliveries": self.quarantined,
            "skipdata": self.skipdata,
            "held_back": self.held,
        })
    }

    fn to_text(&self) -> String {
        let until = self.until.map_or_else(
            || "There is no data.".to_owned(),
            |until| format!("Rests on the data up to {}.", time(until)),
        );
        let mut out = format!(
            "{until} {} SKIPDATA records in the windows of these alerts; {} deliveries of the store are quarantined; the messages of {} alerts were held back by the hourly budget.\n",
            self.skipdata, self.quarantined, self.held
        );
        let _ = writeln!(
            out,
            "What an alert measured is a lower bound: lists are cut at the heaviest. Alerts are remembered for {} days after their last change, the latest episode of each.",
            STATE_TTL / DAY_SECONDS
        );
        if !self.is_complete() {
            let _ = writeln!(
                out,
                "{}: no rule saw the records that AWS skipped, nor what is quarantined.",
                colour::word("Incomplete")
            );
        }
        out
    }
}

pub(super) fn alert_json(item: &StateItem, alert: &Alert) -> Value {
    json!({
        "key": key(item), "rule": item.kind, "severity": alert.severity.name(), "open": alert.open,
        "since": alert.since.start(), "last": alert.last.end(), "windows": alert.windows,
        "told_times": alert.told_times, "held": alert.held,
        "interface": alert.finding.interface_id, "vpc": alert.finding.vpc_id,
        "source": alert.finding.source.map(|source| source.to_string()),
        "evidence": evidence(alert),
    })
}

/// What showed it, in a few words.
pub(super) fn evidence(alert: &Alert) -> String {
    let why = &alert.finding.evidence;
    let source = alert.finding.source.map_or_else(String::new, |source| format!("{source}: "));
    format!("{source}{} {}, {} is the threshold", why.value, why.measure, why.threshold)
}

/// The alerts of a time, as marks of the page.
pub(super) async fn marks<S: AlertStore>(
    store: &S,
    from: i64,
    to: i64,
) -> Result<Vec<Mark>, AskError> {
    let found = alerts_of(store).await?.into_iter();
    let marks = found.filter(|(_, alert)| goes_on(alert, from, to));
    Ok(marks
        .map(|(item, alert)| Mark {
            key: key(&item),
            open: alert.open,
            at: alert.since.start().max(from),
            rule: item.kind,
            severity: alert.severity.name().to_owned(),
            interface: alert.finding.interface_id.clone(),
            source: alert.finding.source.map_or_else(String::new, |source| source.to_string()),
            evidence: evidence(&alert),
        })
        .collect())
}

/// The alert of a key.
async fn find<S: AlertStore>(store: &S, wanted: &str) -> Result<(StateItem, Alert), AskError> {
    let missing = || AskError::NoAlert(wanted.to_owned());
    let (kind, subject) = wanted.split_once('#').ok_or_else(missing)?;
    if !Rule::ALL.iter().any(|rule| rule.name() == kind) {
        return Err(missing());
    }
    let item = store.state(kind, subject).await?.ok_or_else(missing)?;
    let alert = serde_json::from_str(&item.body)?;
    Ok((item, alert))
}

/// The lines that silence an alert.
pub async fn silence(args: SilenceArgs) -> Result<String, AskError> {
    let opened = args.store.open().await?;
    let (_, alert) = find(&opened.store, &args.key).await?;
    Ok(silence_entry(&alert.finding, env::now()))
}

/// Says that alerts are over: one that fires again begins anew, but for a silence that only lasts.
pub async fn resolve(args: ResolveArgs) -> Result<String, AskError> {
    let opened = args.store.open().await?;
    let mut out = String::new();
    for wanted in &args.keys {
        let (item, mut alert) = find(&opened.store, wanted).await?;
        alert.open = false;
        let resolved = StateItem {
            version: item.version + 1,
            body: serde_json::to_string(&alert)?,
            ttl: item.ttl.max(env::now() + STATE_TTL),
            ..item.clone()
        };
        // Somebody may have changed it meanwhile, by raising it: then it is not over.
        let done = opened.store.swap_state(&resolved, Some(item.version)).await?;
        let fate = if done { "resolved" } else { "has just changed; look again" };
        let _ = writeln!(out, "{wanted}: {fate}");
    }
    Ok(out)
}
