//! S3 notifications in the envelopes that AWS puts around them.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::object::ObjectRef;

/// One object that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Where it is; the key is decoded.
    pub object: ObjectRef,
    /// Its ETag, where the event carries one.
    pub etag: Option<String>,
    /// Its size, where the event carries one.
    pub size: Option<u64>,
    /// When the event happened (epoch seconds), where it says so.
    pub time: Option<i64>,
}

/// A part of an event that calls for no work, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ignored {
    /// `s3:TestEvent`, which S3 sends when a notification is configured.
    TestEvent,
    /// Another event than `ObjectCreated:*` / `Object Created`: a deletion, a restore, ….
    OtherEvent(String),
}

/// What an event asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notifications {
    /// Objects to read, in the event's order.
    pub created: Vec<Notification>,
    /// What was passed over.
    pub ignored: Vec<Ignored>,
}

/// Why a payload is no S3 event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// No JSON.
    #[error("the payload is no JSON: {0}")]
    Json(String),
    /// JSON that is none of the envelopes.
    #[error("the payload is no S3 notification, SNS message or EventBridge event")]
    Unknown,
    /// An envelope with something missing.
    #[error("the event has no {0}")]
    Missing(&'static str),
    /// Envelopes within envelopes.
    #[error("more than {0} envelopes within each other")]
    TooDeep(u8),
}

/// SQS, SNS and the notification itself make three.
const MAX_DEPTH: u8 = 4;

/// Reads the body of an SQS message, an SNS message, an EventBridge event, or a direct S3 event.
pub fn parse_notifications(body: &str) -> Result<Notifications, EventError> {
    let value: Value = serde_json::from_str(body).map_err(|e| EventError::Json(e.to_string()))?;
    let mut found = Notifications::default();
    collect(&value, &mut found, 0)?;
    Ok(found)
}

fn collect(event: &Value, found: &mut Notifications, depth: u8) -> Result<(), EventError> {
    if depth == MAX_DEPTH {
        return Err(EventError::TooDeep(MAX_DEPTH));
    }
    if let Some(records) = event.get("Records").and_then(Value::as_array)
        && !records.is_empty()
    {
        return records.iter().try_for_each(|record| collect_record(record, found, depth));
    }
    if text(event, "Event") == Some("s3:TestEvent") {
        found.ignored.push(Ignored::TestEvent);
        return Ok(());
    }
    if text(event, "source") == Some("aws.s3") {
        return collect_eventbridge(event, found);
    }
    // SNS to SQS without raw delivery.
    if text(event, "Type") == Some("Notification") {
        return collect_inner(
            text(event, "Message").ok_or(EventError::Missing("Message"))?,
            found,
            depth,
        );
    }
    Err(EventError::Unknown)
}

fn collect_record(record: &Value, found: &mut Notifications, depth: u8) -> Result<(), EventError> {
    let source = text(record, "eventSource").or_else(|| text(record, "EventSource"));
    match source {
        Some("aws:s3") => collect_s3(record, found),
        Some("aws:sqs") => {
            collect_inner(text(record, "body").ok_or(EventError::Missing("body"))?, found, depth)
        }
        Some("aws:sns") => {
            let message = record.get("Sns").and_then(|sns| text(sns, "Message"));
            collect_inner(message.ok_or(EventError::Missing("Sns.Message"))?, found, depth)
        }
        _ => Err(EventError::Unknown),
    }
}

fn collect_inner(body: &str, found: &mut Notifications, depth: u8) -> Result<(), EventError> {
    let value: Value = serde_json::from_str(body).map_err(|e| EventError::Json(e.to_string()))?;
    collect(&value, found, depth + 1)
}

fn collect_s3(record: &Value, found: &mut Notifications) -> Result<(), EventError> {
    let name = text(record, "eventName").ok_or(EventError::Missing("eventName"))?;
    if !name.trim_start_matches("s3:").starts_with("ObjectCreated:") {
        found.ignored.push(Ignored::OtherEvent(short(name)));
        return Ok(());
    }
    let s3 = record.get("s3").ok_or(EventError::Missing("s3"))?;
    let bucket = s3.get("bucket").and_then(|b| text(b, "name"));
    let object = s3.get("object").ok_or(EventError::Missing("s3.object"))?;
    let key = text(object, "key").ok_or(EventError::Missing("s3.object.key"))?;
    found.created.push(Notification {
        object: ObjectRef {
            bucket: bucket.ok_or(EventError::Missing("s3.bucket.name"))?.to_owned(),
            key: decode_key(key),
        },
        etag: text(object, "eTag").map(unquoted),
        size: object.get("size").and_then(Value::as_u64),
        time: text(record, "eventTime").and_then(epoch),
    });
    Ok(())
}

/// EventBridge documents its keys without the encoding that S3's own notifications have: as is.
fn collect_eventbridge(event: &Value, found: &mut Notifications) -> Result<(), EventError> {
    let kind = text(event, "detail-type").ok_or(EventError::Missing("detail-type"))?;
    if kind != "Object Created" {
        found.ignored.push(Ignored::OtherEvent(short(kind)));
        return Ok(());
    }
    let detail = event.get("detail").ok_or(EventError::Missing("detail"))?;
    let object = detail.get("object").ok_or(EventError::Missing("detail.object"))?;
    let bucket = detail.get("bucket").and_then(|b| text(b, "name"));
    found.created.push(Notification {
        object: ObjectRef {
            bucket: bucket.ok_or(EventError::Missing("detail.bucket.name"))?.to_owned(),
            key: text(object, "key").ok_or(EventError::Missing("detail.object.key"))?.to_owned(),
        },
        etag: text(object, "etag").map(unquoted),
        size: object.get("size").and_then(Value::as_u64),
        time: text(event, "time").and_then(epoch),
    });
    Ok(())
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

/// ISO 8601 to epoch seconds.
fn epoch(time: &str) -> Option<i64> {
    time.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

/// Names of events go to logs: no longer than AWS's own.
fn short(name: &str) -> String {
    name.chars().take(64).collect()
}

/// Keys in S3 notifications are form-encoded: `+` is a space, then `%XX` is a byte.
fn decode_key(key: &str) -> String {
    percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_form_decoded() {
        for (encoded, key) in [
            ("a+b/c", "a b/c"),
            ("Happy%20Face.jpg", "Happy Face.jpg"),
            ("x%2By", "x+y"),
            (
                "aws-account-id%3D123456789012/year%3D2026/f.log.gz",
                "aws-account-id=123456789012/year=2026/f.log.gz",
            ),
        ] {
            assert_eq!(decode_key(encoded), key);
        }
    }

    #[test]
    fn what_is_no_event_says_so() {
        let err = |body| parse_notifications(body).unwrap_err();
        assert!(matches!(err("x"), EventError::Json(_)));
        assert_eq!(err("{}"), EventError::Unknown);
        assert_eq!(err(r#"{"Records":[{"eventSource":"aws:kinesis"}]}"#), EventError::Unknown);
        assert_eq!(
            err(r#"{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put"}]}"#),
            EventError::Missing("s3")
        );
        let mut body = r#"{"Type":"Notification","Message":"{}"}"#.to_owned();
        for _ in 0..4 {
            body = serde_json::json!({"Type": "Notification", "Message": body}).to_string();
        }
        assert_eq!(err(&body), EventError::TooDeep(4));
    }
}
