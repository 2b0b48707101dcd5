//! What no stream record rings for, every five minutes.
//!
//! 1. The rules in force.
//! 2. Silence, and sweeps over many hosts.
//! 3. Once an hour for each interface, what takes a day to show.
//! 4. Alerts that were left unpublished or are over, and the digest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use flowlog_aws::telemetry::Metric;
use flowlog_core::alert::{Notifier, sweep};
use flowlog_core::detect::{Baseline, Known, Rules};
use flowlog_core::record::{Source, WINDOW_SECONDS, Window};
use flowlog_core::store::reader::history;
use flowlog_core::store::{AggregateReader, AlertStore, Series, StoreError, View};
use serde_json::{Value, json};

use crate::handler::{BASELINE, known, raise_all};
use crate::{App, HandlerError};

/// Windows in an hour: in each run one interface in so many has its day looked at.
const TURNS: i64 = 12;

/// Runs everything that is due at `now` (epoch seconds).
pub async fn schedule<S: AggregateReader + AlertStore, N: Notifier>(
    app: &App<S, N>,
    now: i64,
) -> Result<Value, HandlerError> {
    app.load_rules().await?;
    let at = Window::of(now).unwrap_or_default().back(1);
    let mut everyone: BTreeMap<String, Known> = BTreeMap::new();
    for item in app.store.states(BASELINE).await? {
        everyone.insert(item.subject.clone(), known(&item)?);
    }
    let silence: Vec<Known> = everyone.values().cloned().collect();
    let mut findings = app.rules.borrow().evaluate_silence(&silence, now);
    let seen = seen(&app.store, at).await?;
    for (account, series) in scopes(&app.store, &seen, at).await? {
        let mut scope = Vec::with_capacity(series.len());
        for one in series {
            scope.push(history(&app.store, &one, at.back(Rules::LOOKBACK - 1), at).await?.0);
        }
        findings.extend(app.rules.borrow().evaluate_scope(&scope, &account, at));
    }
    for (interface_id, source) in &seen {
        if turn(interface_id) != (at.start() / WINDOW_SECONDS).rem_euclid(TURNS) {
            continue;
        }
        let series = Series::interface(source.clone(), interface_id);
        let (day, _) = history(&app.store, &series, at.back(Rules::DAY - 1), at).await?;
        let usual = everyone.get(interface_id).map_or_else(Baseline::default, |k| k.baseline);
        findings.extend(app.rules.borrow().evaluate_day(&day, &usual, at));
    }
    let found = findings.len();
    raise_all(app, findings, Some(now)).await?;
    let mut answer = tidy(app, now).await?;
    answer["found"] = json!(found);
    Ok(answer)
}

/// The part of the schedule that looks at alerts only: what was left unpublished, what is over, and
/// the digest.
pub async fn tidy<S: AlertStore, N: Notifier>(
    app: &App<S, N>,
    now: i64,
) -> Result<Value, HandlerError> {
    let swept = sweep(&app.store, &app.notifier, &app.policy, now).await?;
    tracing::info!(
        repaired = swept.repaired,
        resolved = swept.resolved,
        open = swept.open,
        digested = swept.digested,
        held = swept.held,
        "swept"
    );
    if swept.repaired > 0 {
        (app.metrics)("anomaly-alerter", &[(Metric::AlertsRepeated, swept.repaired)]);
    }
    Ok(json!({
        "repaired": swept.repaired, "resolved": swept.resolved, "open": swept.open,
        "digested": swept.digested, "held": swept.held,
    }))
}

/// The interfaces that had records in the last hour's days, each with the source that speaks for it:
/// the highest [authority](Source::authority), and of equals the one that was heard in more of the
/// last hour's windows, so that a flow log that replaces another is followed.
async fn seen<S: AggregateReader>(
    store: &S,
    at: Window,
) -> Result<BTreeMap<String, Source>, StoreError> {
    let mut by_interface: BTreeMap<String, BTreeSet<(u8, Source)>> = BTreeMap::new();
    let from = at.back(Rules::LOOKBACK - 1);
    for (day, source) in store.sources(&from.day(), &at.day()).await? {
        for interface_id in store.subjects(&source, View::Interface, &day).await? {
            by_interface
                .entry(interface_id)
                .or_default()
                .insert((source.authority(), source.clone()));
        }
    }
    let mut heard: BTreeMap<Source, usize> = BTreeMap::new();
    let mut seen = BTreeMap::new();
    for (interface_id, sources) in by_interface {
        let highest = sources.first().map(|(authority, _)| *authority);
        let equals = sources.into_iter().filter(|(authority, _)| Some(*authority) == highest);
        let equals: Vec<Source> = equals.map(|(_, source)| source).collect();
        if let [_, _, ..] = &equals[..] {
            for source in &equals {
                if !heard.contains_key(source) {
                    heard.insert(source.clone(), windows(store, source, from, at).await?);
                }
            }
        }
        if let Some(speaker) = equals.into_iter().min_by_key(|s| Reverse(heard.get(s).copied())) {
            seen.insert(interface_id, speaker);
        }
    }
    Ok(seen)
}

/// In how many windows a source was heard, going by its views of accounts and VPCs (log groups have
/// none).
async fn windows<S: AggregateReader>(
    store: &S,
    source: &Source,
    from: Window,
    to: Window,
) -> Result<usize, StoreError> {
    let mut heard = BTreeSet::new();
    for scope in store.subjects(source, View::Scope, &to.day()).await? {
        let (scope, _) = history(store, &Series::scope(source.clone(), &scope), from, to).await?;
        heard.extend(scope.windows.into_keys());
    }
    Ok(heard.len())
}

/// What to look at for each account: its own view, where the source keeps one, else every interface.
async fn scopes<S: AggregateReader>(
    store: &S,
    seen: &BTreeMap<String, Source>,
    at: Window,
) -> Result<BTreeMap<String, Vec<Series>>, StoreError> {
    let mut scopes: BTreeMap<String, Vec<Series>> = BTreeMap::new();
    let sources: BTreeSet<&Source> = seen.values().collect();
    for source in sources {
        let mut accounts = store.subjects(source, View::Scope, &at.day()).await?;
        // A VPC is part of its account.
        accounts.retain(|scope| !scope.starts_with("vpc-"));
        if accounts.is_empty() {
            let own = seen.iter().filter(|(_, s)| *s == source);
            let series = own.map(|(id, _)| Series::interface(source.clone(), id)).collect();
            scopes.insert(source.to_string(), series);
        }
        for account in accounts {
            let series = Series::scope(source.clone(), &account);
            scopes.entry(account).or_default().push(series);
        }
    }
    Ok(scopes)
}

/// In which of the hour's runs an interface's day is looked at.
fn turn(interface_id: &str) -> i64 {
    let sum = interface_id.bytes().fold(0_i64, |sum, byte| (sum * 31 + i64::from(byte)) % 9_973);
    sum % TURNS
}
