//! Invocation payloads: which objects an S3 notification names, which records CloudWatch Logs sent.
//!
//! What kind of event it is, AWS's own discriminators tell (`eventSource`, `EventSource`, `source`,
//! `Event`); nothing is tried until it fits. Unknown fields are ignored: AWS adds them.

mod logs;
mod s3;

pub use logs::{LogEvent, LogsError, LogsPayload, Message, decode_logs};
pub use s3::{EventError, Ignored, Notification, Notifications, parse_notifications};

/// What is wrong with JSON, and where. Of what stands in its place nothing is repeated: it may be
/// anything, and of any length.
pub fn json_error(error: &serde_json::Error) -> String {
    let words = error.to_string();
    // `invalid type: string "…", expected …`: what is expected is ours, and comes last.
    match words.rfind(", expected ") {
        Some(at) => words[at + 2..].to_owned(),
        None => words,
    }
}
