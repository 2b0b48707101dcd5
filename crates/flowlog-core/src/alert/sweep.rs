//! The sweeper, on the schedule: publishes what was claimed by somebody who died, resolves what has
//! been quiet, and sends the digest.

use super::digest::{Digest, SETTLED};
use super::{
    ATTEMPTS, Alert, AlertKey, Notifier, Policy, RaiseError, Raised, finish, load, render_digest,
    swap,
};
use crate::detect::Rule;
use crate::store::{AlertStore, StateItem, StoreError};

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Claims that were left unpublished and are published now.
    pub repaired: u64,
    /// Alerts that are over.
    pub resolved: u64,
    /// Alerts that go on.
    pub open: u64,
    /// Alerts that the digest names or counts, if one was sent.
    pub digested: u64,
    /// Of these, those that the budget held back.
    pub held: u64,
}

/// Where the digest's own state is.
const KIND: &str = "digest";
const SUBJECT: &str = "hourly";

/// Looks at every alert at `now` (epoch seconds; in local runs the records' own clock). One that cannot
/// be read or published, the digest too, keeps no other from being seen to: the first error is returned
/// when all else has been done.
pub async fn sweep<S: AlertStore, N: Notifier>(
    store: &S,
    notifier: &N,
    policy: &Policy,
    now: i64,
) -> Result<Swept, RaiseError> {
    sweep_until(store, notifier, policy, now, now).await
}

/// The same at the end of a recording: what goes on at the second `until`, where it ends, is not over, however long ago
/// that is.
pub async fn sweep_until<S: AlertStore, N: Notifier>(
    store: &S,
    notifier: &N,
    policy: &Policy,
    now: i64,
    until: i64,
) -> Result<Swept, RaiseError> {
    let mut swept = Swept::default();
    let mut first = None;
    swept.repaired += u64::from(kept(&mut first, repair_digest(store, notifier, now).await));
    let (before, mut digest) = kept(&mut first, next_digest(store, now).await);
    for rule in Rule::ALL {
        let states = store.states(rule.name()).await;
        if states.as_ref().is_err_and(StoreError::is_retryable) {
            // A digest without them would count them as told; a later sweep has all of them.
            digest = None;
        }
        for item in kept(&mut first, states.map_err(RaiseError::from)) {
            let alert = kept(&mut first, item.read::<Alert>().map(Some).map_err(RaiseError::from));
            let Some(mut alert) = alert else { continue };
            let key = AlertKey { kind: item.kind.clone(), subject: item.subject.clone() };
            if alert.is_stuck(now) {
                let raised =
                    finish(store, notifier, policy, &key, item.version, alert.clone(), now).await;
                let raised = kept(&mut first, raised.map(Some));
                swept.repaired += u64::from(matches!(raised, Some(Raised::Sent(_))));
                // What came of it: the digest counts what the budget held back.
                if let Some((_, there)) = kept(&mut first, load(store, &key).await) {
                    alert = there;
                }
            }
            if alert.is_quiet(until) {
                let resolved = resolve(store, &key, now, until).await;
                swept.resolved += u64::from(kept(&mut first, resolved));
            } else {
                swept.open += u64::from(alert.open);
            }
            if let Some(digest) = &mut digest {
                digest.add(&alert);
            }
        }
    }
    match digest {
        Some(mut digest) if digest.due => {
            digest.shorten();
            if kept(&mut first, swap_digest(store, before, &digest, now).await) {
                (swept.digested, swept.held) = (digest.noted, digest.held);
                let sent = send(store, notifier, before.unwrap_or(0) + 1, digest, now).await;
                kept(&mut first, sent);
            }
        }
        _ => {}
    }
    first.map_or(Ok(swept), Err)
}

/// What came out, or nothing; the first error of several is kept.
fn kept<T: Default>(first: &mut Option<RaiseError>, result: Result<T, RaiseError>) -> T {
    result.unwrap_or_else(|error| {
        first.get_or_insert(error);
        T::default()
    })
}

async fn resolve<S: AlertStore>(
    store: &S,
    key: &AlertKey,
    now: i64,
    until: i64,
) -> Result<bool, RaiseError> {
    for _ in 0..ATTEMPTS {
        let Some((item, mut alert)) = load(store, key).await? else { return Ok(false) };
        if !alert.is_quiet(until) {
            return Ok(false);
        }
        alert.open = false;
        if swap(store, key, Some(item.version), &alert, now).await? {
            return Ok(true);
        }
    }
    Err(RaiseError::Contended(key.to_string()))
}

/// The version of the digest's item, and the digest to be filled if one is due. One that is being
/// published by somebody else comes first.
async fn next_digest<S: AlertStore>(
    store: &S,
    now: i64,
) -> Result<(Option<i64>, Option<Digest>), RaiseError> {
    let Some(item) = store.state(KIND, SUBJECT).await? else {
        return Ok((None, Some(Digest::default().next(now))));
    };
    let last: Digest = item.read()?;
    let due = last.claimed_at.is_none() && now - last.to >= Policy::DIGEST_EVERY + SETTLED;
    Ok((Some(item.version), due.then(|| last.next(now))))
}

/// Publishes a digest that its claimant left unpublished.
async fn repair_digest<S: AlertStore, N: Notifier>(
    store: &S,
    notifier: &N,
    now: i64,
) -> Result<bool, RaiseError> {
    let Some(item) = store.state(KIND, SUBJECT).await? else { return Ok(false) };
    let digest: Digest = item.read()?;
    if digest.claimed_at.is_none_or(|at| now - at <= Policy::REPAIR_AFTER) {
        return Ok(false);
    }
    send(store, notifier, item.version, digest, now).await?;
    Ok(true)
}

async fn send<S: AlertStore, N: Notifier>(
    store: &S,
    notifier: &N,
    version: i64,
    digest: Digest,
    now: i64,
) -> Result<(), RaiseError> {
    notifier.publish(&render_digest(&digest)).await?;
    // If somebody else marked it meanwhile, the same message was sent twice with the same id.
    swap_digest(store, Some(version), &Digest { claimed_at: None, ..digest }, now).await?;
    Ok(())
}

async fn swap_digest<S: AlertStore>(
    store: &S,
    expected: Option<i64>,
    digest: &Digest,
    now: i64,
) -> Result<bool, RaiseError> {
    let item = StateItem {
        kind: KIND.to_owned(),
        subject: SUBJECT.to_owned(),
        version: expected.unwrap_or(0) + 1,
        body: serde_json::to_string(digest).unwrap_or_default(),
        ttl: now + super::STATE_TTL,
    };
    Ok(store.swap_state(&item, expected).await?)
}
