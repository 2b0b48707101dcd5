//! What no stream record rings for, every five minutes.
//!
//! 1. The rules in force.
//! 2. Silence, and sweeps over many hosts; which rules a source cannot feed.
//! 3. Once an hour for each interface, what takes a day to show, up to the latest window that is closed.
//! 4. Alerts that were left unpublished or are over, and the digest.
//!
//! What cannot be read or raised keeps nothing else from being looked at, and the run fails at its end.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flowlog_aws::deadline::{Deadline, begin};
use flowlog_aws::telemetry::Metric;
use flowlog_core::alert::{Notifier, sweep_until};
use flowlog_core::detect::review::Scope;
use flowlog_core::detect::{Baseline, History, Known, OPEN, Rules};
use flowlog_core::record::{Source, WINDOW_SECONDS, Window};
use flowlog_core::store::reader::history;
use flowlog_core::store::{AggregateReader, AlertStore, Series, StoreError, View};
use futures_util::future::join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::feeds::Heard;
use crate::handler::{BASELINE, kept, raise_all};
use crate::{App, HandlerError, READS};

/// Windows in an hour: in each run one interface in so many has its day looked at.
const TURNS: i64 = 12;
/// Days, or hours of an account's interfaces, that are read at once: up to 600 partials of at most 8 KiB each.
const AT_ONCE: usize = 4;
/// What is left to alerts, at the end of a run that has more days to look at than time.
const FOR_ALERTS: Duration = Duration::from_mins(1);

/// Runs everything that is due at `now` (epoch seconds). Days that there is no time for before the
/// deadline are left, and said; alerts are always seen to, whatever came before. The first error is
/// returned when all else has been done.
pub async fn schedule<S: AggregateReader + AlertStore, N: Notifier>(
    app: &App<S, N>,
    now: i64,
    deadline: Deadline,
) -> Result<Value, HandlerError> {
    run(app, now, deadline, None).await
}

/// What is left to do at `now` when nothing comes any more, as at the end of a recording: the schedule, but for what
/// goes by what did not come, which is everything then. Alerts that go on at the second `until`, where the recording
/// ends, are not over: it may be continued.
pub async fn settle<S: AggregateReader + AlertStore, N: Notifier>(
    app: &App<S, N>,
    now: i64,
    until: i64,
) -> Result<Value, HandlerError> {
    run(app, now, Deadline::NONE, Some(until)).await
}

async fn run<S: AggregateReader + AlertStore, N: Notifier>(
    app: &App<S, N>,
    now: i64,
    deadline: Deadline,
    until: Option<i64>,
) -> Result<Value, HandlerError> {
    let mut first = None;
    let work = deadline.sooner(FOR_ALERTS / 2);
    let work = work
        .within(app.clock.now(), Box::pin(look(app, now, deadline, until.is_some(), &mut first)));
    let looked = work.await.unwrap_or(Err(HandlerError::Deadline));
    let (found, left) = kept(&mut first, looked);
    let mut answer: Value = kept(&mut first, tidy_until(app, now, until.unwrap_or(now)).await);
    answer["found"] = json!(found);
    answer["days_left"] = json!(left);
    first.map_or(Ok(answer), Err)
}

/// Looks for what no single window shows and raises it: how much, and how many days there was no time for.
/// Without the rules that are to be, or what is known of interfaces, nothing is judged.
async fn look<S: AggregateReader + AlertStore, N: Notifier>(
    app: &App<S, N>,
    now: i64,
    deadline: Deadline,
    is_over: bool,
    first: &mut Option<HandlerError>,
) -> Result<(usize, usize), HandlerError> {
    app.load_rules().await?;
    let at = Window::of(now).unwrap_or_default().back(1);
    let mut everyone: BTreeMap<String, Known> = BTreeMap::new();
    for item in app.store.states(BASELINE).await? {
        if let Some(known) = kept(first, item.read::<Known>().map(Some)) {
            everyone.insert(item.subject.clone(), known);
        }
    }
    let mut found = 0;
    if !is_over {
        let silence: Vec<Known> = everyone.values().cloned().collect();
        let findings = app.rules.borrow().evaluate_silence(&silence, now);
        // Raised as they are found: should the time be over, they are not lost.
        found += findings.len();
        kept(first, raise_all(app, findings, Some(now)).await);
    }
    let seen = kept(first, seen(&app.store, at).await);
    let mut heard = Heard::default();
    for (account, series) in kept(first, scopes(&app.store, &seen, at).await) {
        let mut scope = Scope::default();
        for some in series.chunks(AT_ONCE) {
            let from = at.back(Rules::LOOKBACK - 1);
            let reads = some.iter().map(|one| history(&app.store, one, from, at));
            for (one, last) in some.iter().zip(join_all(reads).await) {
                let Some((last, _)) = kept(first, last.map(Some)) else { continue };
                heard.hear(&one.source, &last);
                scope.add(last);
            }
        }
        let findings = app.rules.borrow().evaluate_scope(&scope.histories(), &account, at);
        found += findings.len();
        kept(first, raise_all(app, findings, Some(now)).await);
    }
    kept(first, app.hear(&heard, now).await);
    // An hour is judged when all of it has arrived, and the next one where it ended.
    let closed = at.back(OPEN);
    let mut days: Vec<(&String, &Source)> = seen
        .iter()
        .filter(|(id, _)| turn(id) == (at.start() / WINDOW_SECONDS).rem_euclid(TURNS))
        .collect();
    // Should the time not be enough for all, others are the first ones an hour later.
    let first_one = begin(at.start(), days.len());
    days.rotate_left(first_one);
    let mut rest = days.as_slice();
    while !rest.is_empty() {
        let (some, later) = rest.split_at(AT_ONCE.min(rest.len()));
        let reads = some.iter().map(|(id, source)| day(&app.store, id, source, closed));
        let work = deadline.sooner(FOR_ALERTS).within(app.clock.now(), join_all(reads));
        let Some(read) = work.await else { break };
        for ((interface_id, _), day) in some.iter().zip(read) {
            let Some(day) = kept(first, day.map(Some)) else { continue };
            let usual = everyone.get(*interface_id).map_or_else(Baseline::default, |k| k.baseline);
            let findings = app.rules.borrow().evaluate_day(&day, &usual, closed);
            found += findings.len();
            kept(first, raise_all(app, findings, Some(now)).await);
        }
        rest = later;
    }
    let left = rest.len();
    if left > 0 {
        tracing::warn!(left, of = days.len(), "no time for the days of some interfaces");
    }
    Ok((found, left))
}

/// What the rules look at that judge a day of an interface.
async fn day<S: AggregateReader>(
    store: &S,
    interface_id: &str,
    source: &Source,
    at: Window,
) -> Result<History, StoreError> {
    let series = Series::interface(source.clone(), interface_id);
    Ok(history(store, &series, at.back(Rules::DAY_OF_HOUR - 1), at).await?.0)
}

/// The part of the schedule that looks at alerts only: what was left unpublished, what is over, and
/// the digest.
pub async fn tidy<S: AlertStore, N: Notifier>(
    app: &App<S, N>,
    now: i64,
) -> Result<Value, HandlerError> {
    tidy_until(app, now, now).await
}

async fn tidy_until<S: AlertStore, N: Notifier>(
    app: &App<S, N>,
    now: i64,
    until: i64,
) -> Result<Value, HandlerError> {
    let swept = sweep_until(&app.store, &app.notifier, &app.policy, now, until).await?;
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

/// The interfaces that had records in the days of the last closed hour and of what came since, each with the source that speaks for it:
/// the highest [authority](Source::authority), and of equals the one that was heard in more of the
/// last hour's windows, so that a flow log that replaces another is followed.
async fn seen<S: AggregateReader>(
    store: &S,
    at: Window,
) -> Result<BTreeMap<String, Source>, StoreError> {
    let mut by_interface: BTreeMap<String, BTreeSet<(u8, Source)>> = BTreeMap::new();
    let from = at.back(Rules::LOOKBACK + OPEN - 1);
    let mut read = stream::iter(store.sources(&from.day(), &at.day()).await?)
        .map(async |(day, source)| {
            let interfaces = store.subjects(&source, View::Interface, &day).await?;
            Ok((source, interfaces))
        })
        .buffered(READS);
    while let Some((source, interfaces)) = read.try_next().await? {
        for interface_id in interfaces {
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

/// In how many windows a source had records, going by its views of accounts and VPCs (log groups have
/// none).
async fn windows<S: AggregateReader>(
    store: &S,
    source: &Source,
    from: Window,
    to: Window,
) -> Result<usize, StoreError> {
    let mut heard = BTreeSet::new();
    for scope in scopes_of(store, source, from, to).await? {
        let (scope, _) = history(store, &Series::scope(source.clone(), &scope), from, to).await?;
        let with_records =
            scope.windows.into_iter().filter(|(_, rollup)| !rollup.totals().is_zero());
        heard.extend(with_records.map(|(window, _)| window));
    }
    Ok(heard.len())
}

/// The accounts and VPCs that a source summed up on the days of these windows: just after midnight there are none of the
/// new day.
async fn scopes_of<S: AggregateReader>(
    store: &S,
    source: &Source,
    from: Window,
    to: Window,
) -> Result<BTreeSet<String>, StoreError> {
    let mut scopes = BTreeSet::new();
    for day in BTreeSet::from([from.day(), to.day()]) {
        scopes.extend(store.subjects(source, View::Scope, &day).await?);
    }
    Ok(scopes)
}

/// What to look at for each account: its own view, where the source keeps one, else every interface.
async fn scopes<S: AggregateReader>(
    store: &S,
    seen: &BTreeMap<String, Source>,
    at: Window,
) -> Result<BTreeMap<String, Vec<Series>>, StoreError> {
    let mut scopes: BTreeMap<String, Vec<Series>> = BTreeMap::new();
    let sources: BTreeSet<&Source> = seen.values().collect();
    let from = at.back(Rules::LOOKBACK - 1);
    let mut read = stream::iter(sources)
        .map(async |source| Ok((source, scopes_of(store, source, from, at).await?)))
        .buffered(READS);
    while let Some((source, mut accounts)) = read.try_next().await? {
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
