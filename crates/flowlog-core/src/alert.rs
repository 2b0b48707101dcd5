//! From findings to notifications: claim → publish → mark.

use std::future::Future;

/// One message for people and programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Printable ASCII, fewer than 100 characters, never text from a record.
    pub subject: String,
    /// For people (e-mail).
    pub text: String,
    /// For programs (queues, HTTPS): a JSON document.
    pub json: String,
    /// Message attributes for filter policies: (name, value), at most ten.
    pub attributes: Vec<(&'static str, String)>,
    /// The same for every attempt to send the same message.
    pub dedupe_id: String,
}

/// Why a notification was not sent.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// Throttled, timed out, 5xx.
    #[error("the topic is not available: {0}")]
    Retryable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No such topic, access denied, message refused.
    #[error("the topic refused: {0}")]
    Permanent(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where notifications go: an SNS topic, or a terminal.
pub trait Notifier {
    /// Send one. Sending the same one again is allowed and carries the same dedupe id.
    fn publish(
        &self,
        notification: &Notification,
    ) -> impl Future<Output = Result<(), NotifyError>>;
}
