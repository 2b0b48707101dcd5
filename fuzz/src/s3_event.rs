//! What says that an object has been created, in its envelopes.

use flowlog_core::event::{EventError, Ignored, Notifications, parse_notifications};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// An event asks for something, passes something over aloud, or is an error; envelopes around it change
/// nothing; what was found can be told again.
pub fn s3_event(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let found = parse_notifications(text);
    let queued = json!({ "Records": [{ "eventSource": "aws:sqs", "body": text }] }).to_string();
    let topic = json!({ "Type": "Notification", "Message": text }).to_string();
    for envelope in [queued, topic] {
        match (parse_notifications(&envelope), &found) {
            (Err(EventError::TooDeep(_)), _) => {}
            (inner, outer) => assert_eq!(&inner, outer),
        }
    }
    match found {
        Ok(Notifications { created, ignored }) => {
            assert!(!created.is_empty() || !ignored.is_empty(), "nothing is never what it says");
            for one in &ignored {
                if let Ignored::OtherEvent(name) = one {
                    assert!(name.chars().count() <= 64);
                }
            }
            let records: Vec<Value> = created
                .iter()
                .map(|one| {
                    let key = utf8_percent_encode(&one.object.key, NON_ALPHANUMERIC).to_string();
                    json!({ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
                            "s3": { "bucket": { "name": one.object.bucket },
                                    "object": { "key": key, "eTag": one.etag, "size": one.size } } })
                })
                .collect();
            if records.is_empty() {
                return;
            }
            let again = parse_notifications(&json!({ "Records": records }).to_string());
            let again = again.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(again.ignored, []);
            assert!(again.created.iter().zip(&created).all(|(a, b)| a.object == b.object));
            assert!(
                again
                    .created
                    .iter()
                    .zip(&created)
                    .all(|(a, b)| (&a.etag, a.size) == (&b.etag, b.size))
            );
            assert_eq!(again.created.len(), created.len());
        }
        Err(error) => {
            let words = error.to_string();
            assert!(words.len() < 300 && !words.chars().any(char::is_control), "{words:?}");
        }
    }
}
