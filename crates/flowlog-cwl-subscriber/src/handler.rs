//! Invocations: one payload each.

use flowlog_aws::telemetry::{self, Metric};
use flowlog_core::decode::{MessageDecoder, Reason, RecordSink, RejectedLine, Verdict};
use flowlog_core::event::{LogEvent, LogsPayload, Message, decode_logs};
use flowlog_core::format::Format;
use flowlog_core::ingest::{Begun, Delivery, IngestError, Lateness, Outcome, Partials};
use flowlog_core::record::{BatchId, Record, Source};
use flowlog_core::rollup::Accumulator;
use flowlog_core::store::{AggregateWriter, Ledger};
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

use crate::{App, HandlerError};

/// Most bytes of a payload's JSON. Compressed it is at most 1 MB; flow log text packs about 5 : 1.
const PAYLOAD_LIMIT: usize = 64 << 20;

/// Deals with one invocation.
pub async fn handle<S: Ledger + AggregateWriter>(
    app: &App<S>,
    event: LambdaEvent<Value>,
) -> Result<Value, HandlerError> {
    let data = event.payload["awslogs"]["data"].as_str().ok_or(HandlerError::Event)?;
    match decode_logs(data, PAYLOAD_LIMIT)? {
        Message::Control => {
            tracing::info!("control message: the subscription is reachable");
            Ok(json!({ "events": 0 }))
        }
        Message::Data(payload) => {
            let outcome = ingest_payload(app, &payload).await?;
            report(app, &payload, &outcome);
            Ok(json!({ "events": payload.log_events.len() }))
        }
    }
}

/// Ingests one payload, exactly once however often it is delivered.
pub async fn ingest_payload<S: Ledger + AggregateWriter>(
    app: &App<S>,
    payload: &LogsPayload,
) -> Result<Outcome, IngestError> {
    let LogsPayload { owner, log_group, log_stream, log_events } = payload;
    let batch = batch_of(payload);
    let delivery = Delivery {
        batch,
        source: Source::of_log_group(owner, log_group),
        // The ids are the content: the same ones are the same delivery.
        etag: batch.to_string(),
        origin: format!("logs:{log_group}/{log_stream}"),
    };
    let lateness = app.horizon.map(|horizon| {
        let now = (app.now)();
        Lateness { arrived: now, now, horizon }
    });
    let mut attempt = match app.ingestor.begin(&app.store, &delivery, lateness).await? {
        Begun::Duplicate => return Ok(Outcome::Duplicate),
        Begun::Quarantined(reason) => return Ok(Outcome::Quarantined(reason)),
        Begun::Attempt(attempt) => attempt,
    };
    let mut decoder = MessageDecoder::new(app.limits, app.formats.clone());
    let mut sink = Logged(attempt.accumulator());
    for (position, event) in (1..).zip(log_events) {
        let LogEvent { message, extracted_fields, .. } = event;
        decoder.push_named(position, message, extracted_fields, &mut sink);
    }
    let counts = decoder.counts().clone();
    if counts.read > 0 && counts.rejected_total() == counts.read {
        // Nothing fits: the configured format is not that of the flow log.
        return attempt.quarantine(Reason::FormatMismatch.code()).await;
    }
    // A payload is at most 64 MiB of text; what is written of it fits into memory.
    attempt.write(&mut sink.0.finish()).await?;
    attempt.done(counts).await
}

fn batch_of(payload: &LogsPayload) -> BatchId {
    let ids = payload.log_events.iter().map(|event| event.id.as_str());
    BatchId::of_log_events(&payload.owner, &payload.log_group, &payload.log_stream, ids)
}

/// Passes records on and logs rejected messages by position and reason, never by content.
struct Logged<'a>(Accumulator<Partials<'a>>);

impl RecordSink for Logged<'_> {
    fn record(&mut self, record: &Record<'_>) -> Verdict {
        self.0.record(record)
    }

    fn rejected(&mut self, line: RejectedLine) {
        tracing::debug!(
            event = line.line,
            reason = line.reason.code(),
            column = line.column,
            "message rejected"
        );
    }

    fn format(&mut self, format: &Format) {
        self.0.format(format);
    }
}

fn report<S>(app: &App<S>, payload: &LogsPayload, outcome: &Outcome) {
    let events = payload.log_events.len();
    let batch = batch_of(payload);
    let metrics = match outcome {
        Outcome::Done { counts, partials, digest_changed } => {
            tracing::info!(
                %batch,
                events,
                parsed = counts.parsed,
                rejected = counts.rejected_total(),
                late = counts.late,
                partials,
                "payload ingested"
            );
            telemetry::of_done(counts, *partials, *digest_changed)
        }
        Outcome::Duplicate => {
            tracing::info!(%batch, events, "payload was ingested before");
            vec![(Metric::DeliveriesDuplicate, 1)]
        }
        Outcome::Quarantined(reason) | Outcome::Skipped(reason) => {
            tracing::warn!(%batch, events, reason, "payload is quarantined");
            vec![(Metric::DeliveriesQuarantined, 1)]
        }
    };
    (app.metrics)("cwl-subscriber", &metrics);
}
