//! From findings to notifications: claim → publish → mark.
//!
//! ```text
//!             claim (n+1, cooldown)            publish (dedupe id)          mark (pub = n)
//!  finding ──────────────────────────► claimed ─────────────────► published ─────────────► quiet
//!     │  cooldown holds, pub = n          │ crash: pub < n             │ crash: pub < n      │
//!     └──────────────► held               └── the retry publishes n again, same dedupe id     │
//!                                                                      cooldown over ◄────────┘
//! ```
//!
//! A crash between publish and mark sends a second copy, with the same dedupe id; a crash anywhere
//! else sends none twice and loses none, because the stream's batch is retried. An alert's key leaves
//! the source of the records out, so two paths that see the same thing make one alert.

mod render;

pub use render::render;

use std::future::Future;

use crate::detect::{Finding, Severity};
use crate::store::item::{ALERT_TTL, AlertClaim};
use crate::store::{AlertStore, StoreError};

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
    fn publish(&self, notification: &Notification)
    -> impl Future<Output = Result<(), NotifyError>>;
}

/// How often people may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The same alert is not repeated for so many seconds, unless it gets more severe.
    pub cooldown: i64,
    /// Notifications per hour and topic.
    pub budget_per_hour: u32,
    /// Findings whose window ended more than this many seconds ago notify nobody.
    pub stale_after: Option<i64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { cooldown: 3600, budget_per_hour: 20, stale_after: Some(3600) }
    }
}

/// What became of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raised {
    /// Not loud enough for a notification.
    BelowNotify,
    /// Too old to disturb anybody.
    Stale,
    /// The same alert was sent within its cooldown.
    Held,
    /// This hour's budget is spent; counted.
    OverBudget,
    /// Sent, as this number of the alert's notifications.
    Sent(u64),
}

/// Why a finding could not be raised. The batch must come again.
#[derive(Debug, thiserror::Error)]
pub enum RaiseError {
    /// The state of the alert could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The notification could not be sent.
    #[error(transparent)]
    Notify(#[from] NotifyError),
}

/// The key of an alert: rule, interface and, where it is one source's doing, that source.
pub fn key(finding: &Finding) -> String {
    let subject = match finding.source {
        Some(source) => format!("{}#{source}", finding.interface_id),
        None => finding.interface_id.clone(),
    };
    format!("A#{}#{subject}", finding.rule)
}

/// Raises one finding at `now` (epoch seconds; in local runs the records' own clock).
pub async fn raise<S: AlertStore, N: Notifier>(
    store: &S,
    notifier: &N,
    policy: &Policy,
    finding: &Finding,
    now: i64,
) -> Result<Raised, RaiseError> {
    if finding.severity < Severity::Notify {
        return Ok(Raised::BelowNotify);
    }
    if policy.stale_after.is_some_and(|age| now - finding.window.end() > age) {
        return Ok(Raised::Stale);
    }
    let key = key(finding);
    let claim = AlertClaim {
        now,
        next: now + policy.cooldown,
        severity: finding.severity.level(),
        window: finding.window,
        ttl: now + ALERT_TTL,
    };
    let state = match store.claim_alert(&key, &claim).await? {
        Ok(claimed) => claimed,
        // Claimed before and published: the cooldown holds. Not published: a crash came between.
        Err(state) if state.published >= state.seq => return Ok(Raised::Held),
        Err(state) => state,
    };
    let notification = render(finding, &key, &state);
    let hour = now.div_euclid(3600);
    let expires = now + 2 * 86_400;
    let granted =
        store.spend_budget(hour, policy.budget_per_hour, &notification.dedupe_id, expires).await?;
    if granted {
        notifier.publish(&notification).await?;
    }
    store.mark_published(&key, state.seq).await?;
    Ok(if granted { Raised::Sent(state.seq) } else { Raised::OverBudget })
}
