//! What CloudWatch Logs sends to a subscription.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flowlog_core::decode::{Limits, MessageDecoder};
use flowlog_core::event::{LogsPayload, Message, decode_logs};
use flowlog_core::format::Format;
use serde_json::json;

use super::first;
use super::gzip::member;
use super::heard::Heard;

/// The subscriber's own limit is higher; what is told apart by it is not.
const LIMIT: usize = 1 << 20;

/// First byte: what the rest is. 0: base64; 1: the gzip in it; 2: the JSON in that; 3: messages, a line
/// each.
///
/// What cannot be used has a code and words that can be shown; of what can, every message that is not
/// blank is counted once; messages come out as they went in.
pub fn subscription(mut bytes: &[u8]) {
    let payload = match first(&mut bytes) % 4 {
        0 => {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            text.to_owned()
        }
        1 => STANDARD.encode(bytes),
        2 => STANDARD.encode(member(bytes, false)),
        _ => {
            let text = String::from_utf8_lossy(bytes);
            let messages: Vec<&str> = text.split('\n').collect();
            let events: Vec<_> =
                messages.iter().map(|m| json!({ "id": "1", "message": m })).collect();
            let json = json!({ "messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "g",
                               "logStream": "s", "logEvents": events });
            let payload = STANDARD.encode(member(json.to_string().as_bytes(), true));
            let Ok(Message::Data(data)) = decode_logs(&payload, LIMIT) else {
                assert!(json.to_string().len() > LIMIT, "a payload that is whole is refused");
                return;
            };
            assert!(data.log_events.iter().map(|event| &*event.message).eq(messages));
            payload
        }
    };
    match decode_logs(&payload, LIMIT) {
        Ok(Message::Control) => {}
        Ok(Message::Data(data)) => read(&data),
        Err(error) => {
            let words = error.to_string();
            assert!(words.len() < 300 && !words.chars().any(char::is_control), "{words:?}");
            assert!(!error.code().is_empty());
        }
    }
}

fn read(payload: &LogsPayload) {
    let custom = "${interface-id} ${start} ${bytes} ${action} ${interface-tag} ${new}";
    let formats =
        vec![Format::default_v2(), Format::from_log_format(custom).unwrap_or(Format::default_v2())];
    let mut decoder = MessageDecoder::new(Limits::default(), formats);
    let mut sink = Heard::new();
    for (position, event) in (1..).zip(&payload.log_events) {
        decoder.push_named(position, &event.message, &event.extracted_fields, &mut sink);
    }
    let blank = |event: &&flowlog_core::event::LogEvent| !event.message.trim_ascii().is_empty();
    assert_eq!(decoder.counts().read, payload.log_events.iter().filter(blank).count() as u64);
    assert!(decoder.counts().balances(), "{:?}", decoder.counts());
}
