//! Invocation payloads: which objects an S3 notification names, which records CloudWatch Logs sent.
//!
//! What kind of event it is, AWS's own discriminators tell (`eventSource`, `EventSource`, `source`,
//! `Event`); nothing is tried until it fits. Unknown fields are ignored: AWS adds them.

mod logs;
mod s3;

pub use logs::{LogEvent, LogsError, LogsPayload, Message, decode_logs};
pub use s3::{EventError, Ignored, Notification, Notifications, parse_notifications};
