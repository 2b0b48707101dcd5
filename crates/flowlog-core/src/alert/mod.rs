//! From findings to notifications: claim → publish → mark, and a sweeper that repairs what died on
//! the way. `state` draws the machine; `docs/detection.md` explains it to users.
//!
//! Every change of an alert is a compare-and-swap on its item, so two workers never both win. A
//! crash between claim and publish is repaired by the sweeper (or by the retry of the same batch); a
//! crash between publish and mark sends a second copy with the same dedupe id; nothing is lost. An
//! alert's key leaves the flow log out, so two paths that see the same thing make one alert, and it
//! holds no address: what strangers send cannot make items without bound.

mod digest;
mod directory;
mod document;
mod key;
mod policy;
mod render;
#[cfg(test)]
mod schedules;
mod silence;
#[cfg(test)]
mod snapshots;
mod state;
mod sweep;
#[cfg(test)]
mod tests;
mod text;

pub use digest::{Digest, Line};
pub use directory::{Directory, LookUp, Subject, identify};
pub use key::AlertKey;
pub use policy::Policy;
pub use render::{render, render_digest, render_refused_rules, render_starved, render_test};
pub use silence::entry as silence_entry;
pub use state::{Alert, Decision, decide};
pub use sweep::{Swept, sweep, sweep_until};

use std::future::Future;

use crate::detect::{Finding, Severity};
use crate::record::{DAY_SECONDS, HOUR_SECONDS};
use crate::store::{AlertStore, StateItem, StoreError};

/// One message for people and programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Printable ASCII, fewer than 100 characters, never text from a record.
    pub subject: String,
    /// For people (e-mail).
    pub text: String,
    /// For programs (queues, HTTPS): an OCSF Detection Finding as JSON.
    pub json: String,
    /// For a chat: a custom notification of Amazon Q Developer in chat applications (AWS Chatbot).
    pub chat: String,
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

/// What became of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raised {
    /// Recorded only: nobody is told.
    Recorded,
    /// Remembered: in the next digest, or as part of an open alert.
    Noted,
    /// Seen before, or the same alert was told within its cooldown.
    Held,
    /// This hour's budget is spent; in the next digest.
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
    /// Others changed the same alert again and again.
    #[error("the alert {0} changed at every attempt")]
    Contended(String),
}

impl RaiseError {
    /// Whether the same call can succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Notify(error) => matches!(error, NotifyError::Retryable(_)),
            Self::Contended(_) => true,
        }
    }
}

/// Attempts at one compare-and-swap before the batch is left to come again.
const ATTEMPTS: usize = 8;
/// Alert state is kept so many seconds after its last change.
pub const STATE_TTL: i64 = 35 * DAY_SECONDS;

/// Raises one finding at `now` (epoch seconds; in local runs the records' own clock).
pub async fn raise<S: AlertStore, N: Notifier>(
    store: &S,
    notifier: &N,
    policy: &Policy,
    finding: &Finding,
    now: i64,
) -> Result<Raised, RaiseError> {
    let mut key = AlertKey::of(finding);
    // One of the clients that were told of under their server's key, when few of them are left.
    if let (Some(client), Some(server)) = (finding.source, AlertKey::of_server(finding))
        && let Some((_, alert)) = load(store, &server).await?
        && alert.open
        && alert.has_met(&client)
    {
        key = server;
    }
    for _ in 0..ATTEMPTS {
        let old = load(store, &key).await?;
        if let Some((item, alert)) = &old
            && alert.is_left(finding.window, now)
        {
            // Claimed before and never published: an error or a crash came between. First that, then this.
            finish(store, notifier, policy, &key, item.version, alert.clone(), now).await?;
            continue;
        }
        let decision = decide(old.as_ref().map(|(_, alert)| alert), finding, policy, now);
        let (alert, claimed) = match decision {
            Decision::Nothing if finding.severity == Severity::Recorded => {
                return Ok(Raised::Recorded);
            }
            Decision::Nothing => return Ok(Raised::Held),
            Decision::Note(alert) => (alert, false),
            Decision::Claim(alert) => (alert, true),
        };
        let expected = old.as_ref().map(|(item, _)| item.version);
        if !swap(store, &key, expected, &alert, now).await? {
            continue;
        }
        if !claimed {
            let noted = alert.told_times == 0 || alert.held || alert.noted_at == Some(now);
            return Ok(if noted { Raised::Noted } else { Raised::Held });
        }
        let version = expected.unwrap_or(0) + 1;
        return finish(store, notifier, policy, &key, version, *alert, now).await;
    }
    Err(RaiseError::Contended(key.to_string()))
}

/// Publishes a claim and marks it, or notes that the budget held it back.
async fn finish<S: AlertStore, N: Notifier>(
    store: &S,
    notifier: &N,
    policy: &Policy,
    key: &AlertKey,
    version: i64,
    alert: Alert,
    now: i64,
) -> Result<Raised, RaiseError> {
    let notification = render(&alert, key);
    let seq = alert.seq;
    let limit = policy.limit(alert.severity == Severity::High);
    let hour = now.div_euclid(HOUR_SECONDS);
    let expires = now + 2 * DAY_SECONDS;
    let published = async {
        let granted = store.spend_budget(hour, limit, &notification.dedupe_id, expires).await?;
        if granted {
            notifier.publish(&notification).await?;
        }
        Ok::<_, RaiseError>(granted)
    };
    let granted = match published.await {
        Ok(granted) => granted,
        Err(error) => {
            // Whoever comes next need not wait. Should this fail, too, the sweeper will see to it.
            let _released = swap(store, key, Some(version), &alert.released(), now).await;
            return Err(error);
        }
    };
    let done = |alert: Alert| {
        if granted { alert.marked(seq) } else { alert.held_back(seq, now) }
    };
    let (mut version, mut alert) = (version, alert);
    for _ in 0..ATTEMPTS {
        if swap(store, key, Some(version), &done(alert.clone()), now).await? {
            return Ok(if granted { Raised::Sent(seq) } else { Raised::OverBudget });
        }
        match load(store, key).await? {
            // Somebody else published or marked the same claim.
            Some((_, there)) if there.published >= seq => break,
            Some((item, there)) => (version, alert) = (item.version, there),
            // Expired between two calls.
            None => break,
        }
    }
    Ok(if granted { Raised::Sent(seq) } else { Raised::OverBudget })
}

async fn load<S: AlertStore>(
    store: &S,
    key: &AlertKey,
) -> Result<Option<(StateItem, Alert)>, RaiseError> {
    let Some(item) = store.state(&key.kind, &key.subject).await? else { return Ok(None) };
    let alert = item.read()?;
    Ok(Some((item, alert)))
}

async fn swap<S: AlertStore>(
    store: &S,
    key: &AlertKey,
    expected: Option<i64>,
    alert: &Alert,
    now: i64,
) -> Result<bool, RaiseError> {
    let item = StateItem {
        kind: key.kind.clone(),
        subject: key.subject.clone(),
        version: expected.unwrap_or(0) + 1,
        // Nothing in it can fail to become JSON.
        body: serde_json::to_string(alert).unwrap_or_default(),
        ttl: now + STATE_TTL,
    };
    Ok(store.swap_state(&item, expected).await?)
}
