//! Which rules a source cannot feed: said once for each source and rule, in one message.
//!
//! What is known of the sources (what their formats lack, which traffic they ever had) is one item of the
//! alerter's state. It is claimed by what it says: published first and remembered afterwards, so that a crash
//! between the two sends a second copy with the same dedupe id, and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};

use flowlog_core::alert::{Notifier, RaiseError, STATE_TTL, render_starved};
use flowlog_core::detect::{Feed, History, Rule};
use flowlog_core::record::{DAY_SECONDS, HOUR_SECONDS, Source};
use flowlog_core::store::{AlertStore, StateItem, StoreError};
use serde::{Deserialize, Serialize};

use crate::{App, HandlerError};

/// Where it is in the alerter's state.
const KIND: &str = "feeds";
const SUBJECT: &str = "sources";
/// As many sources are remembered, so that the item stays small (some 150 bytes each).
const SOURCES: usize = 1_000;
/// The item is written at least so often, so that a source which is still there is not forgotten.
const REFRESH: i64 = DAY_SECONDS;

/// What is known of every source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Feeds {
    /// How many messages there were.
    number: u64,
    /// By source.
    sources: BTreeMap<String, Known>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    feed: Feed,
    /// When it was last heard, to a day (epoch seconds).
    last: i64,
    /// Rules that people know of.
    told: BTreeSet<Rule>,
}

/// What is known, and the version of the item that it is in, if there is one.
async fn feeds<S: AlertStore>(store: &S) -> Result<(Feeds, Option<i64>), StoreError> {
    let Some(item) = store.state(KIND, SUBJECT).await? else { return Ok(Default::default()) };
    Ok((item.read()?, Some(item.version)))
}

/// Whether a source was ever heard to have an accepted record.
pub(crate) async fn has_accepts<S: AlertStore>(
    store: &S,
    source: &Source,
) -> Result<bool, StoreError> {
    let (feeds, _) = feeds(store).await?;
    Ok(feeds.sources.get(&source.to_string()).is_some_and(|known| known.feed.accepted))
}

/// The rules that each source cannot feed, as far as people were told.
pub async fn starved<S: AlertStore>(
    store: &S,
) -> Result<BTreeMap<String, BTreeSet<Rule>>, StoreError> {
    let (feeds, _) = feeds(store).await?;
    let told = feeds.sources.into_iter().map(|(source, known)| (source, known.told));
    Ok(told.filter(|(_, told)| !told.is_empty()).collect())
}

/// What sources recorded in the last hour.
#[derive(Debug, Default)]
pub(crate) struct Heard(BTreeMap<Source, Feed>);

impl Heard {
    /// Takes in the hour of one series of a source.
    pub(crate) fn hear(&mut self, source: &Source, hour: &History) {
        for rollup in hour.windows.values() {
            self.0.entry(source.clone()).or_default().hear(rollup);
        }
    }
}

impl Feeds {
    /// Takes in what a source recorded in the last hour.
    fn hear(&mut self, source: &Source, heard: &Feed, now: i64) {
        let name = source.to_string();
        if self.sources.len() >= SOURCES && !self.sources.contains_key(&name) {
            return;
        }
        let known = self.sources.entry(name).or_insert_with(|| Known {
            feed: Feed { since: now, ..Feed::default() },
            ..Known::default()
        });
        known.feed.absorb(heard);
        if now - known.last >= REFRESH {
            known.last = now;
        }
    }
}

impl<S: AlertStore, N: Notifier> App<S, N> {
    /// Takes in the last hour of the sources that speak for something, and says which rules they cannot
    /// feed, as far as people do not know. It waits for the next run where the hour's budget is spent.
    pub(crate) async fn hear(&self, heard: &Heard, now: i64) -> Result<(), HandlerError> {
        let (before, version) = feeds(&self.store).await?;
        let mut feeds = before.clone();
        for (source, heard) in &heard.0 {
            feeds.hear(source, heard, now);
        }
        feeds.sources.retain(|_, known| now - known.last < STATE_TTL);
        let mut news: BTreeMap<String, BTreeMap<Rule, String>> = BTreeMap::new();
        for (source, known) in &mut feeds.sources {
            let mut starved = known.feed.starved(&self.rules.borrow(), now);
            // Should it lack them again one day, that is news.
            known.told.retain(|rule| starved.contains_key(rule));
            starved.retain(|rule, _| !known.told.contains(rule));
            if !starved.is_empty() {
                known.told.extend(starved.keys());
                news.insert(source.clone(), starved);
            }
        }
        if !news.is_empty() {
            feeds.number += 1;
            let message = render_starved(&news, feeds.number, now);
            let hour = now.div_euclid(HOUR_SECONDS);
            let limit = self.policy.limit(false);
            let expires = now + 2 * DAY_SECONDS;
            if !self.store.spend_budget(hour, limit, &message.dedupe_id, expires).await? {
                return Ok(());
            }
            tracing::warn!(sources = news.len(), "some flow logs cannot feed every rule");
            self.notifier.publish(&message).await.map_err(RaiseError::from)?;
        }
        if feeds == before {
            return Ok(());
        }
        let item = StateItem {
            kind: KIND.to_owned(),
            subject: SUBJECT.to_owned(),
            version: version.unwrap_or(0) + 1,
            body: serde_json::to_string(&feeds)?,
            ttl: now + STATE_TTL,
        };
        // Whoever was faster knows the same.
        let _swapped = self.store.swap_state(&item, version).await?;
        Ok(())
    }
}
