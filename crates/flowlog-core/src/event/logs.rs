//! The payload of a CloudWatch Logs subscription: base64 of gzip of JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::decode::{GzipError, Inflater};
use crate::record::Field;

/// What CloudWatch Logs sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// `CONTROL_MESSAGE`: a probe whether the destination can be reached. Nothing to do.
    Control,
    /// `DATA_MESSAGE`.
    Data(LogsPayload),
}

/// A batch of log events from one log stream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogsPayload {
    /// Account that owns the log group.
    pub owner: String,
    /// Log group.
    pub log_group: String,
    /// Log stream: one per network interface. Its name is not parsed.
    pub log_stream: String,
    /// The events, in order.
    #[serde(default)]
    pub log_events: Vec<LogEvent>,
}

/// One log event: one flow log record, without a header.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEvent {
    /// Unique id of the event.
    pub id: String,
    /// The record.
    pub message: String,
    /// What the subscription filter's pattern named after a flow log field, if it names columns.
    #[serde(default, deserialize_with = "extracted_fields")]
    pub extracted_fields: Vec<(Field, Box<str>)>,
}

/// Why a payload is unusable. All of these are permanent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogsError {
    /// No base64.
    #[error("awslogs.data is no base64: {0}")]
    Base64(String),
    /// Damaged or truncated gzip.
    #[error("awslogs.data is no whole gzip: {0}")]
    Gzip(String),
    /// More than the limit.
    #[error("awslogs.data inflates to more than {0} bytes")]
    TooLarge(usize),
    /// No JSON, or other JSON than CloudWatch Logs sends.
    #[error("awslogs.data is no CloudWatch Logs message: {0}")]
    Json(String),
    /// A message type that is not known.
    #[error("message type {0:?} is not known")]
    MessageType(String),
}

/// Characters of an unknown message type that are shown: each may be ten long when it is escaped.
const TYPE_SHOWN: usize = 24;

impl LogsError {
    /// A stable code in snake case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Base64(_) => "bad_base64",
            Self::Gzip(_) => "corrupt_gzip",
            Self::TooLarge(_) => "decompression_bomb",
            Self::Json(_) => "bad_json",
            Self::MessageType(_) => "unknown_message_type",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    message_type: String,
}

/// Decodes `awslogs.data`. Every gzip member is read; more than `limit` inflated bytes is an error.
pub fn decode_logs(data: &str, limit: usize) -> Result<Message, LogsError> {
    let compressed = STANDARD.decode(data).map_err(|e| LogsError::Base64(e.to_string()))?;
    let json = inflate(&compressed, limit)?;
    let json_error = |e: serde_json::Error| LogsError::Json(super::json_error(&e));
    let envelope: Envelope = serde_json::from_slice(&json).map_err(json_error)?;
    match envelope.message_type.as_str() {
        "CONTROL_MESSAGE" => Ok(Message::Control),
        "DATA_MESSAGE" => serde_json::from_slice(&json).map(Message::Data).map_err(json_error),
        other => Err(LogsError::MessageType(other.chars().take(TYPE_SHOWN).collect())),
    }
}

/// Of `extractedFields`, an object of texts whose names the author of the filter has chosen, what is
/// named after a flow log field. Anything else that may stand there, now or later, is no reason to
/// lose the message beside it.
fn extracted_fields<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<(Field, Box<str>)>, D::Error> {
    let Value::Object(columns) = Value::deserialize(from)? else { return Ok(Vec::new()) };
    let known = columns.into_iter().filter_map(|(name, value)| match value {
        Value::String(text) => Some((Field::from_name(&name)?, text.into_boxed_str())),
        _ => None,
    });
    Ok(known.collect())
}

fn inflate(compressed: &[u8], limit: usize) -> Result<Vec<u8>, LogsError> {
    let mut json = Vec::new();
    let mut inflater = Inflater::default();
    inflater.push(compressed, |piece| {
        if piece.len() > limit - json.len() {
            return Err(LogsError::TooLarge(limit));
        }
        json.extend_from_slice(piece);
        Ok(())
    })?;
    inflater.finish()?;
    Ok(json)
}

impl From<GzipError> for LogsError {
    fn from(error: GzipError) -> Self {
        Self::Gzip(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn encode(json: &str, members: usize) -> String {
        let mut out = Vec::new();
        let cut = json.len() / members;
        for n in 0..members {
            let end = if n + 1 == members { json.len() } else { (n + 1) * cut };
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&json.as_bytes()[n * cut..end]).unwrap();
            out.extend(gzip.finish().unwrap());
        }
        STANDARD.encode(out)
    }

    const DATA: &str = r#"{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"g","logStream":"s","subscriptionFilters":["f"],"logEvents":[{"id":"1","timestamp":0,"message":"m","extractedFields":{"a":"b"}}]}"#;

    #[test]
    fn data_and_control_and_members() {
        let Message::Data(payload) = decode_logs(&encode(DATA, 1), 1 << 20).unwrap() else {
            panic!()
        };
        assert_eq!(payload.log_events[0].message, "m");
        assert_eq!(decode_logs(&encode(DATA, 3), 1 << 20).unwrap(), Message::Data(payload));
        let control = r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],"logEvents":[]}"#;
        assert_eq!(decode_logs(&encode(control, 1), 1 << 20).unwrap(), Message::Control);
    }

    #[test]
    fn every_damage_has_its_code() {
        let code = |data: &str, limit| decode_logs(data, limit).unwrap_err().code();
        let whole = encode(DATA, 1);
        assert_eq!(code("%", 1 << 20), "bad_base64");
        assert_eq!(code(&whole, 100), "decompression_bomb");
        assert_eq!(code(&encode("[]", 1), 100), "bad_json");
        assert_eq!(code(&encode(r#"{"messageType":"X"}"#, 1), 100), "unknown_message_type");
        let said = |json: &str| decode_logs(&encode(json, 1), 1 << 20).unwrap_err().to_string();
        let anything = format!("\"{}\"", "a stranger's, expected by nobody".repeat(999));
        let words = said(&anything);
        assert!(words.ends_with(": expected struct Envelope at line 1 column 31970"), "{words}");
        assert!(said(r#"{"owner":"1"}"#).contains("missing field `messageType` at line 1"));
        let bytes = STANDARD.decode(&whole).unwrap();
        for cut in 0..bytes.len() {
            let data = STANDARD.encode(&bytes[..cut]);
            assert!(decode_logs(&data, 1 << 20).is_err(), "cut at {cut}");
        }
    }
}
