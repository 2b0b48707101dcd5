//! The ledger: claim → done, or claim → quarantined.
//!
//! ```text
//!            claim                complete (same ETag)
//!   absent ────────► C claimed ───────────────────────► D done ──┐ complete: same digest, nothing
//!                      │  ▲  │                            ▲──────┘ to do; another one, an alarm
//!                      │  └──┘ claim: returns the entry
//!           quarantine ▼  ▲
//!                      │  │ reopen: by a person, keeping what the claim pinned
//!                      Q quarantined, listed under `Q`
//! ```

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    KeysAndAttributes, ReturnValuesOnConditionCheckFailure as OnRefusal,
};
use flowlog_core::record::BatchId;
use flowlog_core::store::item::{self, Claim, ClaimOutcome, Completed, Completion};
use flowlog_core::store::{Ledger, LedgerEntry, LedgerReader, LedgerState, Quarantine, StoreError};
use std::collections::BTreeMap;

use super::patience::{Patience, patiently};
use super::{DynamoDbStore, Outcome, Update};
use crate::error::{self, CallError};
use crate::items::{self, Item, n, s};

/// Items that one BatchGetItem may ask for.
const GET_AT_ONCE: usize = 100;

impl Ledger for DynamoDbStore {
    async fn claim(&self, claim: &Claim) -> Result<ClaimOutcome, StoreError> {
        patiently("PutItem", async || self.put_claim(claim).await).await
    }

    async fn complete(
        &self,
        batch: BatchId,
        etag: &str,
        completion: &Completion,
    ) -> Result<Completed, StoreError> {
        let counts = serde_json::to_string(&completion.counts)
            .map_err(|e| StoreError::Permanent(Box::new(e)))?;
        let outcome = self
            .update(Update {
                pk: item::ledger_pk(batch),
                sk: item::LEDGER_SK,
                expression: "SET st = :done, c = :counts, np = :partials, h = :digest",
                condition: Some("et = :etag AND st = :claimed"),
                values: vec![
                    (":done", s(LedgerState::Done.letter())),
                    (":claimed", s(LedgerState::Claimed.letter())),
                    (":etag", s(etag)),
                    (":counts", s(counts)),
                    (":partials", n(completion.partials)),
                    (":digest", s(&completion.digest)),
                ],
            })
            .await?;
        let there = match outcome {
            Outcome::Updated(_) => return Ok(Completed::Done),
            Outcome::Refused(None) => return Ok(Completed::Refused),
            Outcome::Refused(Some(item)) => items::to_ledger(item)?,
        };
        if there.state != LedgerState::Done || there.etag != etag {
            return Ok(Completed::Refused);
        }
        let same = there.completion.is_some_and(|first| first.digest == completion.digest);
        Ok(if same { Completed::Done } else { Completed::DigestChanged })
    }

    async fn quarantine(&self, batch: BatchId, reason: &str) -> Result<(), StoreError> {
        let outcome = self
            .update(Update {
                pk: item::ledger_pk(batch),
                sk: item::LEDGER_SK,
                expression: "SET st = :quarantined, q = :reason",
                condition: Some("st = :claimed"),
                values: vec![
                    (":quarantined", s(LedgerState::Quarantined.letter())),
                    (":claimed", s(LedgerState::Claimed.letter())),
                    (":reason", s(reason)),
                ],
            })
            .await?;
        // Refused: it is done, or was quarantined before, or nobody claimed it. If it was, the
        // attempt that did it may have died before the next step.
        let (Outcome::Updated(ledger) | Outcome::Refused(Some(ledger))) = outcome else {
            return Ok(());
        };
        let Some(listed) = items::of_quarantine(ledger)? else { return Ok(()) };
        patiently("PutItem", async || {
            let put = self.client.put_item().table_name(&self.tables.control);
            let put = put.set_item(Some(listed.clone())).send().await;
            put.map(|_| ()).map_err(|e| error::store("PutItem", &e))
        })
        .await
    }
}

impl Quarantine for DynamoDbStore {
    async fn quarantined(&self) -> Result<Vec<(BatchId, LedgerEntry)>, StoreError> {
        let control = &self.tables.control;
        let mut batches = Vec::new();
        for item in self.query(control, item::QUARANTINE_PK.to_owned(), " ", "~").await? {
            let reader = items::Reader::new(item);
            let batch = BatchId::parse(reader.sk()?);
            batches.push(batch.ok_or_else(|| reader.corrupt("no key of a delivery"))?);
        }
        batches.sort_unstable();
        let entries = self.entries(&batches).await?;
        let found = batches.into_iter().zip(entries);
        let found = found.filter_map(|(batch, entry)| Some((batch, entry?)));
        Ok(found.filter(|(_, entry)| entry.state == LedgerState::Quarantined).collect())
    }

    async fn reopen(&self, batch: BatchId) -> Result<bool, StoreError> {
        let outcome = self
            .update(Update {
                pk: item::ledger_pk(batch),
                sk: item::LEDGER_SK,
                expression: "SET st = :claimed REMOVE q",
                condition: Some("st = :quarantined"),
                values: vec![
                    (":quarantined", s(LedgerState::Quarantined.letter())),
                    (":claimed", s(LedgerState::Claimed.letter())),
                ],
            })
            .await?;
        Ok(matches!(outcome, Outcome::Updated(_)))
    }
}

impl LedgerReader for DynamoDbStore {
    async fn entries(&self, batches: &[BatchId]) -> Result<Vec<Option<LedgerEntry>>, StoreError> {
        // One request may not name a key twice, but the caller may.
        let mut found: BTreeMap<BatchId, Option<LedgerEntry>> =
            batches.iter().map(|batch| (*batch, None)).collect();
        let asked: Vec<BatchId> = found.keys().copied().collect();
        for batches in asked.chunks(GET_AT_ONCE) {
            let keys = batches.iter().map(|b| items::key(item::ledger_pk(*b), item::LEDGER_SK));
            for item in self.get_all(keys.collect()).await? {
                let pk = item.get("pk").and_then(|pk| pk.as_s().ok());
                let batch = pk.and_then(|pk| BatchId::parse(pk.strip_prefix("O#")?));
                let batch = batch.ok_or_else(|| {
                    items::Reader::new(item.clone()).corrupt("no key of a ledger entry")
                })?;
                found.insert(batch, Some(items::to_ledger(item)?));
            }
        }
        Ok(batches.iter().map(|batch| found.get(batch).cloned().flatten()).collect())
    }
}

impl DynamoDbStore {
    /// One attempt at a claim.
    async fn put_claim(&self, claim: &Claim) -> Result<ClaimOutcome, StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.tables.control)
            .set_item(Some(items::of_claim(claim)))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(OnRefusal::AllOld);
        match put.send().await {
            Ok(_) => Ok(ClaimOutcome::Claimed),
            Err(SdkError::ServiceError(e)) if e.err().is_conditional_check_failed_exception() => {
                let old = match e.into_err() {
                    PutItemError::ConditionalCheckFailedException(e) => e.item,
                    _ => None,
                };
                let old = old.ok_or_else(|| refused_without_item("PutItem"))?;
                Ok(ClaimOutcome::Exists(items::to_ledger(old)?))
            }
            Err(e) => Err(error::store("PutItem", &e)),
        }
    }

    /// The items with these keys that there are, at most 100 keys.
    async fn get_all(&self, mut keys: Vec<Item>) -> Result<Vec<Item>, StoreError> {
        let mut found = Vec::new();
        let mut patience = Patience::new("BatchGetItem");
        loop {
            let asked = keys.len();
            let request = KeysAndAttributes::builder()
                .set_keys(Some(keys.clone()))
                .consistent_read(true)
                .build()
                .map_err(|e| StoreError::Permanent(Box::new(e)))?;
            let got = self
                .client
                .batch_get_item()
                .request_items(&self.tables.control, request)
                .send()
                .await
                .map_err(|e| error::store("BatchGetItem", &e));
            let got = match got {
                Ok(got) => got,
                Err(error) => {
                    patience.after(error).await?;
                    continue;
                }
            };
            keys.clear();
            for items in got.responses.unwrap_or_default().into_values() {
                found.extend(items);
            }
            for more in got.unprocessed_keys.unwrap_or_default().into_values() {
                keys.extend(more.keys);
            }
            if keys.is_empty() {
                return Ok(found);
            }
            patience.after_some(keys.len() < asked).await?;
        }
    }
}

/// DynamoDB deletes an expired item in the background: the condition saw it, the reply did not.
pub(super) fn refused_without_item(operation: &'static str) -> StoreError {
    StoreError::Retryable(Box::new(CallError::new(operation, "refused, but by no item")))
}
