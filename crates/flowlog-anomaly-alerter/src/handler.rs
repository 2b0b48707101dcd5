//! Invocations: batches of a DynamoDB stream, and the schedule.

use std::collections::BTreeMap;

use aws_lambda_events::dynamodb::Event as StreamEvent;
use flowlog_aws::deadline::Deadline;
use flowlog_aws::telemetry::Metric;
use flowlog_core::alert::{Notifier, Raised, STATE_TTL, identify, raise};
use flowlog_core::detect::{Baseline, Finding, History, Known, OPEN, Rules, Severity, Traffic};
use flowlog_core::record::{Source, Window};
use flowlog_core::store::reader::history;
use flowlog_core::store::{
    AggregateReader, AlertStore, LedgerReader, PartialItem, Series, StateItem, SummaryWriter, View,
};
use lambda_runtime::LambdaEvent;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::feeds::has_accepts;
use crate::{App, HandlerError, compact, schedule};

/// What a stream record names: the roll-up of an interface and window has changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bell {
    /// The flow log or log group.
    pub source: Source,
    /// The interface.
    pub interface_id: String,
    /// The window.
    pub window: Window,
}

/// A changed window changes the judgement of as many after it.
const REACH: i64 = Rules::LOOKBACK - 1;

impl Bell {
    /// Whether `later`, which sorts after it, needs some of the same history.
    fn touches(&self, later: &Self) -> bool {
        (&self.source, &self.interface_id) == (&later.source, &later.interface_id)
            && later.window.back(REACH + OPEN) <= self.window.forward(REACH)
    }
}

/// A finding that was raised, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// What was found.
    pub finding: Finding,
    /// What became of it.
    pub raised: Raised,
}

/// Deals with one stream batch, or with a schedule. Answers a stream with the sequence number
/// from which it must come again, if any: a later record may be judged twice, which changes nothing.
pub async fn handle<S, N>(app: &App<S, N>, event: LambdaEvent<Value>) -> Result<Value, HandlerError>
where
    S: AggregateReader + AlertStore + LedgerReader + SummaryWriter,
    N: Notifier,
{
    if let Some(task) = event.payload.get("flowlog") {
        let deadline = Deadline::of(event.context.deadline, app.clock.now());
        return match task.as_str() {
            Some("sweep") => schedule(app, app.clock.now(), deadline).await,
            Some("compact") => {
                let request = compact::Request::deserialize(&event.payload)?;
                Ok(serde_json::to_value(compact::compact(app, request, deadline).await?)?)
            }
            _ => Err(HandlerError::Task(task.to_string())),
        };
    }
    app.refresh_rules().await;
    let event: StreamEvent = serde_json::from_value(event.payload)?;
    // Several records may ring for the same window; it is judged once, and fails at the first.
    let mut bells: BTreeMap<Bell, usize> = BTreeMap::new();
    let mut sequence = Vec::with_capacity(event.records.len());
    for (at, record) in event.records.iter().enumerate() {
        sequence.push(record.change.sequence_number.clone().unwrap_or_default());
        let key = |name| match record.change.keys.get(name) {
            Some(serde_dynamo::AttributeValue::S(text)) => Some(text.as_str()),
            _ => None,
        };
        let (Some(pk), Some(sk)) = (key("pk"), key("sk")) else { continue };
        // Interfaces ring; what their scopes sum up has rung by then.
        if let Some((series, window)) = PartialItem::parse_key(pk, sk)
            && series.view == View::Interface
        {
            let Series { source, subject: interface_id, .. } = series;
            bells.entry(Bell { source, interface_id, window }).or_insert(at);
        }
    }
    let mut first_failure: Option<usize> = None;
    let all: Vec<(Bell, usize)> = bells.into_iter().collect();
    for together in all.chunk_by(|(a, _), (b, _)| a.touches(b)) {
        let bells: Vec<Bell> = together.iter().map(|(bell, _)| bell.clone()).collect();
        if let Err(error) = ring(app, &bells).await {
            let (interface_id, window) = (&bells[0].interface_id, bells[0].window.start());
            tracing::error!(%interface_id, window, error = %error, "windows left to a later attempt");
            first_failure = together.iter().map(|(_, at)| *at).chain(first_failure).min();
        }
    }
    let failures: Vec<Value> = first_failure
        .and_then(|at| sequence.get(at))
        .map(|number| json!({ "itemIdentifier": number }))
        .into_iter()
        .collect();
    Ok(json!({ "batchItemFailures": failures }))
}

/// Judges every window that changed ones can affect, once and in order, raises what is found, and
/// learns what is usual from the windows that are closed by now. `bells` are of one interface, sorted,
/// and near each other, so that one read of its history serves all of them.
pub async fn ring<S: AggregateReader + AlertStore, N: Notifier>(
    app: &App<S, N>,
    bells: &[Bell],
) -> Result<Vec<Sent>, HandlerError> {
    let (Some(first), Some(last)) = (bells.first(), bells.last()) else { return Ok(Vec::new()) };
    app.clock.at(last.window.end());
    // The hour before the latest closed window is looked at as well, to learn from.
    let (from, to) = (first.window.back(REACH + OPEN), last.window.forward(REACH));
    let series = Series::interface(first.source.clone(), &first.interface_id);
    let (history, _) = history(&app.store, &series, from, to).await?;
    let (version, known) = baseline(&app.store, &first.interface_id).await?;
    let authority = first.source.authority();
    let learns = known.as_ref().is_none_or(|k| k.learns_from(authority, last.window));
    // What a source that sees more has to say of what is usual begins anew.
    let known = known.filter(|known| !known.is_poorer_than(authority));
    let baseline = known.as_ref().map_or_else(Baseline::default, |known| known.baseline);
    let there = history.windows.range(first.window..=to).map(|(window, _)| *window);
    let affected = there.filter(|window| {
        bells.iter().any(|b| b.window <= *window && *window <= b.window.forward(REACH))
    });
    let mut sent = Vec::new();
    for window in affected.collect::<Vec<Window>>() {
        let usual = baseline.before(&history, window);
        let mut findings = app.rules.borrow().evaluate(&history, &usual, window);
        drop_unfed(app, &first.source, &history, &mut findings).await?;
        sent.extend(raise_all(app, findings, None).await?);
    }
    let mut learned = baseline;
    learned.advance(&history, last.window.back(OPEN));
    if learns && learned.last != baseline.last {
        remember(app, &history, version, (learned, authority), known).await?;
    }
    Ok(sent)
}

/// Takes out what is found by what is missing, accepted traffic, of a source that was never heard to have any.
async fn drop_unfed<S: AlertStore, N>(
    app: &App<S, N>,
    source: &Source,
    history: &History,
    findings: &mut Vec<Finding>,
) -> Result<(), HandlerError> {
    let needs_both = |finding: &Finding| finding.rule.traffic() == Traffic::Both;
    let accepts = history.windows.values().any(|rollup| rollup.totals().accept.records > 0);
    if !accepts && findings.iter().any(needs_both) && !has_accepts(&app.store, source).await? {
        findings.retain(|finding| !needs_both(finding));
    }
    Ok(())
}

/// Raises findings at `now` or later, or each at the present. One that cannot be raised keeps no other from it: the
/// first error is returned when all have been tried.
pub(crate) async fn raise_all<S: AlertStore, N: Notifier>(
    app: &App<S, N>,
    findings: Vec<Finding>,
    now: Option<i64>,
) -> Result<Vec<Sent>, HandlerError> {
    let mut sent = Vec::with_capacity(findings.len());
    let mut first = None;
    for mut finding in findings {
        if finding.severity >= Severity::Notify
            && let Some(directory) = &app.directory
        {
            identify(&mut finding, directory.as_ref()).await;
        }
        let now = now.map_or_else(
            || app.clock.of(finding.window.end()),
            // A long run has more to raise than a moment takes.
            |begun| begun.max(app.clock.now()),
        );
        let raised = raise(&app.store, &app.notifier, &app.policy, &finding, now).await;
        if let Some(raised) = kept(&mut first, raised.map(Some)) {
            report(app, &finding, raised);
            sent.push(Sent { finding, raised });
        }
    }
    first.map_or(Ok(sent), Err)
}

/// What came out, or nothing; an error is logged, and the first of several is kept.
pub(crate) fn kept<T: Default>(
    first: &mut Option<HandlerError>,
    result: Result<T, impl Into<HandlerError>>,
) -> T {
    result.unwrap_or_else(|error| {
        let error = error.into();
        tracing::error!(error = %error, "the rest goes on without it");
        first.get_or_insert(error);
        T::default()
    })
}

/// Where baselines are in the alerter's state.
pub(crate) const BASELINE: &str = "baseline";

/// What is usual at an interface, and the version of what was read.
async fn baseline<S: AlertStore>(
    store: &S,
    interface_id: &str,
) -> Result<(Option<i64>, Option<Known>), HandlerError> {
    let Some(item) = store.state(BASELINE, interface_id).await? else { return Ok((None, None)) };
    Ok((Some(item.version), Some(item.read()?)))
}

/// Stores what was learned, if nobody else learned meanwhile: a version is the last window that was
/// taken in, so a redelivered window is never taken in twice.
async fn remember<S: AlertStore, N>(
    app: &App<S, N>,
    history: &History,
    version: Option<i64>,
    (learned, authority): (Baseline, u8),
    known: Option<Known>,
) -> Result<(), HandlerError> {
    let Some(last) = learned.last else { return Ok(()) };
    let names = history.windows.values().next_back();
    let (vpc_id, account_id) = known.map(|k| (k.vpc_id, k.account_id)).unwrap_or_default();
    // A format that does not say is no news.
    let or = |name: Option<&String>, known: String| {
        name.filter(|name| !name.is_empty()).cloned().unwrap_or(known)
    };
    let known = Known {
        interface_id: history.interface_id.clone(),
        vpc_id: or(names.map(|r| &r.vpc_id), vpc_id),
        account_id: or(names.map(|r| &r.account_id), account_id),
        baseline: learned,
        authority,
    };
    let item = StateItem {
        kind: BASELINE.to_owned(),
        subject: history.interface_id.clone(),
        version: last.start(),
        body: serde_json::to_string(&known)?,
        ttl: last.end() + STATE_TTL,
    };
    let _faster = app.store.swap_state(&item, version).await?;
    Ok(())
}

fn report<S, N>(app: &App<S, N>, finding: &Finding, raised: Raised) {
    tracing::info!(rule = finding.rule.name(), severity = finding.severity.name(), interface_id = %finding.interface_id, window = finding.window.start(), ?raised, "finding");
    match raised {
        Raised::Sent(_) => (app.metrics)("anomaly-alerter", &[(Metric::AlertsPublished, 1)]),
        Raised::OverBudget => (app.metrics)("anomaly-alerter", &[(Metric::AlertsSuppressed, 1)]),
        Raised::Recorded | Raised::Noted | Raised::Held => {}
    }
}
