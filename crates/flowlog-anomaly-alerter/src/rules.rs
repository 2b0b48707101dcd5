//! Which rules are in force: the configured file, else the stored one, else the defaults.
//!
//! A file that is wrong is not used: the last good one stays in force (it is remembered in the
//! state, so that a cold start finds it), the log and a metric say so, and so does one notification.
//! Should this version not accept all of the last good one, the rest of it stays in force: what an
//! update refuses of a file must not take its allow-list and its silences away.

use flowlog_aws::telemetry::Metric;
use flowlog_core::alert::{Notifier, RaiseError, render_refused_rules};
use flowlog_core::detect::{RuleSet, RulesError};
use flowlog_core::store::{AlertStore, StateItem};
use serde::{Deserialize, Serialize};

use crate::{App, HandlerError};

/// Where rules files are in the alerter's state.
const KIND: &str = "rules";
/// The one that `flowlog rules put` wrote.
const CURRENT: &str = "current";
/// The last one that could be read.
const LAST_GOOD: &str = "last-good";
/// The last one that could not.
const REFUSED: &str = "refused";
/// Rules files do not expire: the last second that a state can name.
const NEVER: i64 = 9_999_999_999;

/// A stored rules file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    text: String,
}

/// A rules file that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub RulesError);

/// Whoever judges looks for other rules so often, in seconds: as often as the schedule does.
const REFRESH: i64 = 300;

impl<S: AlertStore, N: Notifier> App<S, N> {
    /// Reads the stored rules again if it is time. Should that fail, those in force stay, and the next look is as
    /// far away.
    pub(crate) async fn refresh_rules(&self) {
        let now = self.clock.now();
        if self.rules_text.is_some() || now - self.rules_read.get() < REFRESH {
            return;
        }
        self.rules_read.set(now);
        if let Err(error) = self.load_rules().await {
            tracing::error!(error = %error, "rules could not be read again, the last ones stay in force");
        }
    }

    /// Puts the rules in force that are to be, and says why they are not if so.
    pub async fn load_rules(&self) -> Result<Option<Refused>, HandlerError> {
        let text = match &self.rules_text {
            Some(text) => Some(text.clone()),
            None => self.stored(CURRENT).await?.map(|(_, stored)| stored.text),
        };
        // No file at all: those that the app was made with.
        let Some(text) = text else { return Ok(None) };
        match RuleSet::parse(&text) {
            Ok(rules) => {
                self.rules.replace(rules);
                self.remember(LAST_GOOD, &text).await?;
                if self.stored(REFUSED).await?.is_some_and(|(_, refused)| !refused.text.is_empty())
                {
                    // The same mistake made again is news.
                    self.remember(REFUSED, "").await?;
                }
                Ok(None)
            }
            Err(error) => {
                let good = self.stored(LAST_GOOD).await?.map(|(_, good)| good.text);
                let was_good = good.as_ref() == Some(&text);
                let mut lost = Vec::new();
                if let Some((rules, left_out)) = good.and_then(|good| RuleSet::salvage(&good)) {
                    self.rules.replace(rules);
                    lost = left_out;
                }
                self.refuse(&text, &error, was_good, &lost).await?;
                Ok(Some(Refused(error)))
            }
        }
    }

    /// Says it every time in the log, and once to people.
    async fn refuse(
        &self,
        text: &str,
        error: &RulesError,
        was_good: bool,
        lost: &[String],
    ) -> Result<(), HandlerError> {
        tracing::error!(error = %error, was_good, "rules file refused, the last good one stays in force");
        for piece in lost {
            tracing::error!(piece, "not used of the rules that stay in force");
        }
        (self.metrics)("anomaly-alerter", &[(Metric::RulesRefused, 1)]);
        // Claimed first: all processes that start together find it.
        if self.remember(REFUSED, text).await? {
            let notification = render_refused_rules(error, was_good, lost, self.clock.now());
            if let Err(error) = self.notifier.publish(&notification).await {
                self.remember(REFUSED, "").await?;
                return Err(RaiseError::from(error).into());
            }
        }
        Ok(())
    }

    async fn stored(&self, subject: &str) -> Result<Option<(i64, Stored)>, HandlerError> {
        let Some(item) = self.store.state(KIND, subject).await? else { return Ok(None) };
        Ok(Some((item.version, item.read()?)))
    }

    /// Stores a text, if it is not there; whether this is who did.
    async fn remember(&self, subject: &str, text: &str) -> Result<bool, HandlerError> {
        let there = self.stored(subject).await?;
        if there.as_ref().is_some_and(|(_, stored)| stored.text == text) {
            return Ok(false);
        }
        let version = there.map(|(version, _)| version);
        let item = item(subject, version, text)?;
        // Whoever was faster remembers the same.
        Ok(self.store.swap_state(&item, version).await?)
    }
}

/// Stores a rules file for the alerter to use; the caller has checked it.
pub async fn put_rules<S: AlertStore>(store: &S, text: &str) -> Result<(), HandlerError> {
    let version = store.state(KIND, CURRENT).await?.map(|item| item.version);
    let item = item(CURRENT, version, text)?;
    if store.swap_state(&item, version).await? { Ok(()) } else { Err(HandlerError::RulesRace) }
}

/// A text that takes the place of the one of a version.
fn item(subject: &str, version: Option<i64>, text: &str) -> Result<StateItem, HandlerError> {
    Ok(StateItem {
        kind: KIND.to_owned(),
        subject: subject.to_owned(),
        version: version.unwrap_or(0) + 1,
        body: serde_json::to_string(&Stored { text: text.to_owned() })?,
        ttl: NEVER,
    })
}
