//! Notifications by SNS.

use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;
use aws_types::SdkConfig;
use flowlog_core::alert::{Notification, Notifier, NotifyError};
use serde_json::json;

use crate::error;

/// Subjects must be shorter than 100 characters.
const LONGEST_SUBJECT: usize = 99;
/// With more, SNS drops messages on their way to queues that take them raw.
const MOST_ATTRIBUTES: usize = 10;

/// The notifier port on an SNS topic.
#[derive(Debug, Clone)]
pub struct SnsNotifier {
    client: Client,
    topic_arn: String,
}

impl SnsNotifier {
    /// Notifications to this topic.
    pub fn new(config: &SdkConfig, topic_arn: impl Into<String>) -> Self {
        Self { client: Client::new(config), topic_arn: topic_arn.into() }
    }
}

impl Notifier for SnsNotifier {
    async fn publish(&self, notification: &Notification) -> Result<(), NotifyError> {
        let mut request = self
            .client
            .publish()
            .topic_arn(&self.topic_arn)
            .subject(subject(&notification.subject))
            .message_structure("json")
            .message(message(notification));
        for (name, value) in attributes(notification) {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value);
            let value = value.build().map_err(|e| NotifyError::Permanent(Box::new(e)))?;
            request = request.message_attributes(name, value);
        }
        request.send().await.map_err(|e| error::notify("Publish", &e))?;
        Ok(())
    }
}

/// People (e-mail, and whatever protocol is not named) get the text, programs the JSON.
fn message(notification: &Notification) -> String {
    let Notification { text, json, .. } = notification;
    json!({
        "default": text,
        "email": text,
        "sqs": json,
        "http": json,
        "https": json,
        "lambda": json,
    })
    .to_string()
}

/// The dedupe id, then the notification's own; SNS refuses empty values.
fn attributes(notification: &Notification) -> impl Iterator<Item = (&str, &str)> {
    std::iter::once(("dedupe_id", notification.dedupe_id.as_str()))
        .chain(
            notification
                .attributes
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .filter(|(name, _)| *name != "dedupe_id"),
        )
        .filter(|(_, value)| !value.is_empty())
        .take(MOST_ATTRIBUTES)
}

/// What SNS takes as a subject: printable ASCII that begins with a letter, a digit or punctuation.
/// The caller promises that already; a promise broken must not lose the alert.
fn subject(wanted: &str) -> String {
    let printable = wanted.trim().chars().map(|c| match c {
        ' '..='~' => c,
        _ => '?',
    });
    let subject: String = printable.take(LONGEST_SUBJECT).collect();
    if subject.is_empty() { "flowlog".to_owned() } else { subject }
}
