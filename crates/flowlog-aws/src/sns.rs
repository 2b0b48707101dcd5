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
    chat: bool,
}

impl SnsNotifier {
    /// Notifications to this topic.
    pub fn new(config: &SdkConfig, topic_arn: impl Into<String>) -> Self {
        Self { client: Client::new(config), topic_arn: topic_arn.into(), chat: false }
    }

    /// Whether HTTPS subscribers are a chat (Amazon Q Developer in chat applications, once AWS
    /// Chatbot), which takes custom notifications only; otherwise they get the OCSF document.
    #[must_use]
    pub fn chat(self, chat: bool) -> Self {
        Self { chat, ..self }
    }
}

/// Who receives a topic's messages, or would once confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// `email`, `sqs`, `https`, ….
    pub protocol: String,
    /// Address, ARN or URL.
    pub endpoint: String,
    /// Whether it has been confirmed: an e-mail address gets nothing before.
    pub confirmed: bool,
}

impl SnsNotifier {
    /// Every subscription of the topic.
    pub async fn subscriptions(&self) -> Result<Vec<Subscription>, NotifyError> {
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let page = self
                .client
                .list_subscriptions_by_topic()
                .topic_arn(&self.topic_arn)
                .set_next_token(next)
                .send()
                .await
                .map_err(|e| error::notify("ListSubscriptionsByTopic", &e))?;
            for one in page.subscriptions.unwrap_or_default() {
                let arn = one.subscription_arn.unwrap_or_default();
                found.push(Subscription {
                    protocol: one.protocol.unwrap_or_default(),
                    endpoint: one.endpoint.unwrap_or_default(),
                    // Before it is confirmed, SNS says so in place of the ARN.
                    confirmed: arn.starts_with("arn:"),
                });
            }
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(found);
            }
        }
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
            .message(message(notification, self.chat));
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
fn message(notification: &Notification, to_chat: bool) -> String {
    let Notification { text, json, chat, .. } = notification;
    let https = if to_chat { chat } else { json };
    json!({
        "default": text,
        "email": text,
        "sqs": json,
        "http": json,
        "https": https,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;
    use crate::replay::Wire;

    const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:alerts";

    fn notification() -> Notification {
        Notification {
            subject: "[high] rejected scan on eni-0a".to_owned(),
            text: "Somebody knocks.\nLook here.".to_owned(),
            json: "{\"class_uid\":2004}".to_owned(),
            chat: "{\"source\":\"custom\"}".to_owned(),
            attributes: vec![("severity", "high".to_owned()), ("vpc", String::new())],
            dedupe_id: "D1#eni-0a#3".to_owned(),
        }
    }

    /// The fields of an `application/x-www-form-urlencoded` body.
    fn form(body: &str) -> BTreeMap<String, String> {
        let decode = |text: &str| {
            let mut bytes = Vec::new();
            let mut rest = text.bytes();
            while let Some(byte) = rest.next() {
                bytes.push(match byte {
                    b'+' => b' ',
                    b'%' => {
                        let hex = [rest.next().unwrap(), rest.next().unwrap()];
                        u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
                    }
                    other => other,
                });
            }
            String::from_utf8(bytes).unwrap()
        };
        body.split('&')
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, value)| (decode(name), decode(value)))
            .collect()
    }

    #[tokio::test]
    async fn people_get_text_and_programs_get_json() {
        let published = "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>";
        let wire = Wire::new([(200, Vec::new(), published.to_owned())]);
        SnsNotifier::new(&wire.config(), TOPIC).publish(&notification()).await.unwrap();
        let form = form(&wire.asked()[0].body);
        assert_eq!(form["Action"], "Publish");
        assert_eq!(form["TopicArn"], TOPIC);
        assert_eq!(form["Subject"], "[high] rejected scan on eni-0a");
        assert_eq!(form["MessageStructure"], "json");
        let message: Value = serde_json::from_str(&form["Message"]).unwrap();
        assert_eq!(message["default"], "Somebody knocks.\nLook here.");
        assert_eq!(message["email"], message["default"]);
        assert_eq!(message["sqs"], "{\"class_uid\":2004}");
        assert_eq!(message["https"], message["sqs"]);
        // The SDK sends them in no order.
        let attributes: BTreeMap<&str, [&str; 2]> = form
            .iter()
            .filter_map(|(field, name)| Some((field.strip_suffix(".Name")?, name.as_str())))
            .map(|(entry, name)| {
                let value = ["DataType", "StringValue"]
                    .map(|part| form[&format!("{entry}.Value.{part}")].as_str());
                (name, value)
            })
            .collect();
        // An empty value would be refused.
        let expected = [("dedupe_id", ["String", "D1#eni-0a#3"]), ("severity", ["String", "high"])];
        assert_eq!(attributes, BTreeMap::from(expected));
    }

    #[tokio::test]
    async fn errors_are_classified() {
        let publish = async |status, code: &str| {
            let body = format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code></Error></ErrorResponse>"
            );
            let wire = Wire::new([(status, Vec::new(), body)]);
            SnsNotifier::new(&wire.config(), TOPIC).publish(&notification()).await.unwrap_err()
        };
        assert!(matches!(publish(400, "Throttling").await, NotifyError::Retryable(_)));
        assert!(matches!(publish(500, "InternalError").await, NotifyError::Retryable(_)));
        assert!(matches!(publish(404, "NotFound").await, NotifyError::Permanent(_)));
        assert!(matches!(publish(403, "AuthorizationError").await, NotifyError::Permanent(_)));
        assert!(matches!(publish(400, "InvalidParameter").await, NotifyError::Permanent(_)));
    }

    #[test]
    fn subjects_are_printable_and_short() {
        for (wanted, expected) in [
            ("[low] all is well", "[low] all is well"),
            ("  two\r\nlines\u{202e} é \u{7f}", "two??lines? ? ?"),
            ("", "flowlog"),
            ("\n\t ", "flowlog"),
        ] {
            assert_eq!(subject(wanted), expected);
        }
        assert_eq!(subject(&"x".repeat(300)).len(), LONGEST_SUBJECT);
    }

    #[tokio::test]
    async fn subscriptions_say_whether_they_are_confirmed() {
        let member = |arn: &str, protocol: &str, endpoint: &str| {
            format!(
                "<member><SubscriptionArn>{arn}</SubscriptionArn><Protocol>{protocol}</Protocol><Endpoint>{endpoint}</Endpoint></member>"
            )
        };
        let page = |members: &str, next: &str| {
            let body = format!(
                "<ListSubscriptionsByTopicResponse><ListSubscriptionsByTopicResult><Subscriptions>{members}</Subscriptions>{next}</ListSubscriptionsByTopicResult></ListSubscriptionsByTopicResponse>"
            );
            (200, Vec::new(), body)
        };
        let wire = Wire::new([
            page(
                &member("PendingConfirmation", "email", "a@example.com"),
                "<NextToken>t</NextToken>",
            ),
            page(&member(&format!("{TOPIC}:1"), "sqs", "arn:aws:sqs:eu-west-1:1:q"), ""),
        ]);
        let found = SnsNotifier::new(&wire.config(), TOPIC).subscriptions().await.unwrap();
        let found: Vec<_> = found.iter().map(|s| (s.protocol.as_str(), s.confirmed)).collect();
        assert_eq!(found, [("email", false), ("sqs", true)]);
        assert_eq!(form(&wire.asked()[1].body)["NextToken"], "t");
    }
}
