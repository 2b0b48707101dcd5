//! Invocations: which objects, what became of them, what is acknowledged.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use flowlog_aws::deadline::Deadline;
use flowlog_aws::telemetry::{self, Metric};
use flowlog_core::event::{Notification, Notifications, json_error, parse_notifications};
use flowlog_core::ingest::{Begun, Delivery, Lateness, Outcome};
use flowlog_core::object::{Listing, ObjectError, ObjectRef, Objects};
use flowlog_core::record::{BatchId, Source};
use flowlog_core::store::{AggregateWriter, Ledger, LedgerReader};
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

use crate::object::{ReadError, read};
use crate::reconcile::{Request, reconcile};
use crate::{App, HandlerError};

/// What became of one notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which object.
    pub object: ObjectRef,
    /// What became of it.
    pub outcome: Outcome,
}

/// Deals with one invocation. SQS batches are answered with the messages that must come again; any
/// other event fails as a whole if anything in it must.
pub async fn handle<O, S>(app: &App<O, S>, event: LambdaEvent<Value>) -> Result<Value, HandlerError>
where
    O: Objects + Listing,
    S: Ledger + LedgerReader + AggregateWriter,
{
    let LambdaEvent { payload, context } = event;
    let deadline = Deadline::of(context.deadline, (app.now)());
    if let Some(request) = Request::of(&payload)? {
        let summary = reconcile(app, &request, deadline).await?;
        return Ok(serde_json::to_value(summary).unwrap_or_default());
    }
    let from_queue = payload["Records"][0]["eventSource"] == "aws:sqs";
    if !from_queue {
        let reports = notified(app, &payload.to_string(), deadline).await?;
        return Ok(json!({ "objects": reports.len() }));
    }
    let batch: SqsEvent = serde_json::from_value(payload)
        .map_err(|error| flowlog_core::event::EventError::Json(json_error(&error)))?;
    let mut response = SqsBatchResponse::default();
    for message in batch.records {
        let body = message.body.as_deref().unwrap_or_default();
        if let Err(error) = notified(app, body, deadline).await {
            let id = message.message_id.unwrap_or_default();
            // A message that nobody can read goes the same way: the dead-letter queue is where a
            // person finds it, since no ledger entry can name it.
            // As an invocation that fails says it, which this one does not.
            let kind = error.error_type();
            tracing::error!(message_id = %id, kind, error = %error, "message left to a later attempt");
            (app.metrics)("s3-parser", &[(Metric::DeliveriesRetried, 1)]);
            response.add_failure(id);
        }
    }
    Ok(serde_json::to_value(response).unwrap_or_default())
}

/// Ingests every object that a message names. The first error stops it, and so does the deadline:
/// the message comes again, and what was done by then is found done.
async fn notified<O: Objects, S: Ledger + AggregateWriter>(
    app: &App<O, S>,
    body: &str,
    deadline: Deadline,
) -> Result<Vec<Report>, HandlerError> {
    let Notifications { created, ignored } = parse_notifications(body)?;
    for ignored in ignored {
        tracing::info!(?ignored, "notification calls for no work");
    }
    let mut reports = Vec::with_capacity(created.len());
    for notification in created {
        let ingested = deadline.within((app.now)(), ingest_object(app, &notification)).await;
        let outcome = ingested.ok_or(HandlerError::OutOfTime)??;
        reports.push(Report { object: notification.object, outcome });
    }
    Ok(reports)
}

/// Ingests one object, exactly once however often it is asked to.
pub async fn ingest_object<O: Objects, S: Ledger + AggregateWriter>(
    app: &App<O, S>,
    notification: &Notification,
) -> Result<Outcome, HandlerError> {
    let at = &notification.object;
    let outcome = match not_a_flow_log(&at.key) {
        Some(reason) => Outcome::Skipped(reason),
        None => attempt(app, notification).await?,
    };
    report(app, at, &outcome);
    Ok(outcome)
}

async fn attempt<O: Objects, S: Ledger + AggregateWriter>(
    app: &App<O, S>,
    notification: &Notification,
) -> Result<Outcome, HandlerError> {
    let at = &notification.object;
    let object_error = |source| HandlerError::Object { at: at.to_string(), source };
    let ingest_error = |source| HandlerError::Ingest { at: at.to_string(), source };
    let etag = match &notification.etag {
        Some(etag) => etag.clone(),
        None => match app.objects.head(at).await {
            Ok(head) => head.etag,
            Err(ObjectError::Gone) => String::new(),
            Err(error) => return Err(object_error(error)),
        },
    };
    let delivery = Delivery {
        batch: BatchId::of_object(&at.bucket, &at.key),
        source: Source::of_object(&at.bucket, &at.key),
        etag,
        origin: at.to_string(),
    };
    let now = app.now;
    let lateness = app.horizon.map(|horizon| {
        let now = now();
        Lateness { arrived: notification.time.unwrap_or(now), now, horizon }
    });
    let begun = app.ingestor.begin(&app.store, &delivery, lateness).await;
    let mut attempt = match begun.map_err(ingest_error)? {
        Begun::Duplicate => return Ok(Outcome::Duplicate),
        Begun::Quarantined(reason) => return Ok(Outcome::Quarantined(reason)),
        Begun::Attempt(attempt) => attempt,
    };
    // The first pass verifies the object to its end. What it comes to is written then, unless that is more
    // than can be held: such an object is read a second time, chunk by chunk.
    let trial = attempt.trial();
    let first = read(&app.objects, at, &delivery.etag, app.limits, trial, async |_| Ok(()));
    let mut decoded = match first.await.map_err(ingest_error)? {
        Ok(decoded) => decoded,
        Err(ReadError::Decode(error)) => {
            tracing::warn!(object = %at, error = %error, "object is unusable");
            return attempt.quarantine(error.code()).await.map_err(ingest_error);
        }
        Err(ReadError::Object(ObjectError::Gone)) => {
            return attempt.quarantine("object_gone").await.map_err(ingest_error);
        }
        Err(ReadError::Object(ObjectError::Replaced)) => {
            return attempt.quarantine("object_replaced").await.map_err(ingest_error);
        }
        Err(ReadError::Object(error)) => return Err(object_error(error)),
    };
    if decoded.sink.chunks_mut().is_overflown() {
        // What the first pass holds is not needed any more, and as large as what the second will.
        drop(decoded);
        let accumulator = attempt.accumulator();
        let second =
            read(&app.objects, at, &delivery.etag, app.limits, accumulator, async |partials| {
                attempt.write(partials).await
            });
        decoded = match second.await.map_err(ingest_error)? {
            Ok(decoded) => decoded,
            Err(ReadError::Object(error)) => return Err(object_error(error)),
            // The same bytes decoded a moment ago.
            Err(ReadError::Decode(error)) => {
                let source = ObjectError::Retryable(error.into());
                return Err(object_error(source));
            }
        };
    }
    attempt.write(&mut decoded.sink.finish()).await.map_err(ingest_error)?;
    attempt.done(decoded.counts).await.map_err(ingest_error)
}

/// Why a key is not worth reading, if so. Content decides about everything else.
pub(crate) fn not_a_flow_log(key: &str) -> Option<String> {
    if key.ends_with('/') {
        return Some("folder".to_owned());
    }
    // In AWS's own layout the service stands in the key: `…/AWSLogs/<account>/<service>/…`, or
    // `…/aws-service=<service>/…`.
    let rest = key.split_once("AWSLogs/")?.1;
    if rest.contains("vpcflowlogs") {
        return None;
    }
    let mut parts = rest.split('/').skip_while(|part| {
        part.starts_with("o-")
            || part.starts_with("aws-account-id=")
            || part.bytes().all(|b| b.is_ascii_digit())
    });
    let service = parts.next().unwrap_or_default();
    // A file without a service's folder around it: content decides.
    parts.next()?;
    Some(format!("logs of another service: {}", service.chars().take(64).collect::<String>()))
}

fn report<O, S>(app: &App<O, S>, at: &ObjectRef, outcome: &Outcome) {
    let batch = BatchId::of_object(&at.bucket, &at.key);
    let metrics = match outcome {
        Outcome::Done { counts, partials, digest_changed } => {
            tracing::info!(object = %at, %batch, read = counts.read, parsed = counts.parsed, rejected = counts.rejected_total(), late = counts.late, partials, "object ingested");
            telemetry::of_done(counts, *partials, *digest_changed)
        }
        Outcome::Duplicate => {
            tracing::info!(object = %at, %batch, "object was ingested before");
            vec![(Metric::DeliveriesDuplicate, 1)]
        }
        Outcome::Quarantined(reason) => {
            tracing::warn!(object = %at, %batch, reason, "object is quarantined");
            vec![(Metric::DeliveriesQuarantined, 1)]
        }
        Outcome::Skipped(reason) => {
            tracing::info!(object = %at, %batch, reason, "object is skipped");
            return;
        }
    };
    (app.metrics)("s3-parser", &metrics);
}

#[cfg(test)]
mod tests {
    use super::not_a_flow_log;

    #[test]
    fn keys_of_other_things_are_skipped_with_a_reason() {
        for key in [
            "AWSLogs/123456789012/vpcflowlogs/us-east-1/2026/11/01/x.log.gz",
            "p/AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/x.log.parquet",
            "AWSLogs/o-abc/123456789012/vpcflowlogs/us-east-1/x.log.gz",
            "anything/else.gz",
            "AWSLogs/copied-here.log.gz",
        ] {
            assert_eq!(not_a_flow_log(key), None, "{key}");
        }
        let trail = not_a_flow_log("AWSLogs/123456789012/CloudTrail/us-east-1/x.json.gz").unwrap();
        assert_eq!(trail, "logs of another service: CloudTrail");
        assert_eq!(not_a_flow_log("AWSLogs/"), Some("folder".to_owned()));
    }
}
