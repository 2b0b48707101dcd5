//! Invocations: batches of a DynamoDB stream.

use std::collections::BTreeMap;

use aws_lambda_events::dynamodb::Event as StreamEvent;
use flowlog_aws::telemetry::Metric;
use flowlog_core::alert::{Notifier, Raised, raise};
use flowlog_core::detect::{Finding, Rules};
use flowlog_core::record::{Source, Window};
use flowlog_core::store::reader::history;
use flowlog_core::store::{AggregateReader, AlertStore, PartialItem, Series, View};
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

use crate::{App, HandlerError};

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

/// A finding that was raised, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// What was found.
    pub finding: Finding,
    /// What became of it.
    pub raised: Raised,
}

/// Deals with one stream batch. Answers with the sequence number from which the stream must come
/// again, if any: a later record may be judged twice, which changes nothing.
pub async fn handle<S: AggregateReader + AlertStore, N: Notifier>(
    app: &App<S, N>,
    event: LambdaEvent<Value>,
) -> Result<Value, HandlerError> {
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
    for (bell, at) in &bells {
        if let Err(error) = ring(app, bell).await {
            tracing::error!(interface_id = %bell.interface_id, window = bell.window.start(), error = %error, "window left to a later attempt");
            first_failure = Some(first_failure.map_or(*at, |first| first.min(*at)));
        }
    }
    let failures: Vec<Value> = first_failure
        .and_then(|at| sequence.get(at))
        .map(|number| json!({ "itemIdentifier": number }))
        .into_iter()
        .collect();
    Ok(json!({ "batchItemFailures": failures }))
}

/// Judges every window that a changed one can affect, itself first, and raises what is found.
pub async fn ring<S: AggregateReader + AlertStore, N: Notifier>(
    app: &App<S, N>,
    bell: &Bell,
) -> Result<Vec<Sent>, HandlerError> {
    let reach = Rules::LOOKBACK - 1;
    let (from, to) = (bell.window.back(reach), bell.window.forward(reach));
    let series = Series::interface(bell.source.clone(), &bell.interface_id);
    let (history, _) = history(&app.store, &series, from, to).await?;
    let affected: Vec<Window> = history.windows.range(bell.window..=to).map(|(w, _)| *w).collect();
    let mut sent = Vec::new();
    for window in affected {
        for finding in app.rules.evaluate(&history, window) {
            let now = app.now.map_or(finding.window.end(), |now| now());
            let raised = raise(&app.store, &app.notifier, &app.policy, &finding, now).await?;
            report(app, &finding, raised);
            sent.push(Sent { finding, raised });
        }
    }
    Ok(sent)
}

fn report<S, N>(app: &App<S, N>, finding: &Finding, raised: Raised) {
    tracing::info!(rule = finding.rule.name(), severity = finding.severity.name(), interface_id = %finding.interface_id, window = finding.window.start(), ?raised, "finding");
    match raised {
        Raised::Sent(_) => (app.metrics)("anomaly-alerter", &[(Metric::AlertsPublished, 1)]),
        Raised::OverBudget => (app.metrics)("anomaly-alerter", &[(Metric::AlertsSuppressed, 1)]),
        Raised::BelowNotify | Raised::Stale | Raised::Held => {}
    }
}
