//! The state of alerts: claim (n) → publish → mark, and a budget of notifications per hour.

use flowlog_core::store::item::{self, AlertClaim};
use flowlog_core::store::{AlertState, AlertStore, StoreError};

use super::ledger::refused_without_item;
use super::{DynamoDbStore, Outcome, Update};
use crate::items::{self, n, s};
use aws_sdk_dynamodb::types::AttributeValue;

impl AlertStore for DynamoDbStore {
    async fn claim_alert(
        &self,
        key: &str,
        claim: &AlertClaim,
    ) -> Result<Result<AlertState, AlertState>, StoreError> {
        let outcome = self
            .update(Update {
                pk: item::alert_pk(key),
                sk: item::ALERT_SK,
                expression: "SET sev = :sev, nxt = :next, ep = if_not_exists(ep, :window), \
                             #ttl = :ttl ADD n :one",
                condition: Some("attribute_not_exists(pk) OR nxt <= :now OR sev < :sev"),
                values: vec![
                    (":sev", n(claim.severity)),
                    (":next", n(claim.next)),
                    (":now", n(claim.now)),
                    (":window", n(claim.window.start())),
                    (":ttl", n(claim.ttl)),
                    (":one", n(1)),
                ],
            })
            .await?;
        match outcome {
            Outcome::Updated(item) => Ok(Ok(items::to_alert(item)?)),
            Outcome::Refused(Some(item)) => Ok(Err(items::to_alert(item)?)),
            Outcome::Refused(None) => Err(refused_without_item("UpdateItem")),
        }
    }

    async fn mark_published(&self, key: &str, seq: u64) -> Result<(), StoreError> {
        let outcome = self
            .update(Update {
                pk: item::alert_pk(key),
                sk: item::ALERT_SK,
                expression: "SET pub = :seq",
                condition: Some("n >= :seq AND (attribute_not_exists(pub) OR pub < :seq)"),
                values: vec![(":seq", n(seq))],
            })
            .await?;
        // Refused: it was marked before, or was never claimed.
        let (Outcome::Updated(_) | Outcome::Refused(_)) = outcome;
        Ok(())
    }

    async fn spend_budget(
        &self,
        hour: i64,
        limit: u32,
        token: &str,
        expires: i64,
    ) -> Result<bool, StoreError> {
        let sk = hour.to_string();
        // A set, not a counter: adding a token again changes nothing. The condition cannot say
        // that a limit of nothing grants nothing, since the set is absent at first.
        if limit > 0 {
            let outcome = self
                .update(Update {
                    pk: item::BUDGET_PK.to_owned(),
                    sk: &sk,
                    expression: "SET #ttl = if_not_exists(#ttl, :ttl) ADD tok :tokens",
                    condition: Some(
                        "contains(tok, :token) OR attribute_not_exists(tok) OR size(tok) < :limit",
                    ),
                    values: vec![
                        (":tokens", AttributeValue::Ss(vec![token.to_owned()])),
                        (":token", s(token)),
                        (":limit", n(limit)),
                        (":ttl", n(expires)),
                    ],
                })
                .await?;
            if let Outcome::Updated(_) = outcome {
                return Ok(true);
            }
        }
        self.update(Update {
            pk: item::BUDGET_PK.to_owned(),
            sk: &sk,
            expression: "SET #ttl = if_not_exists(#ttl, :ttl) ADD sup :one",
            condition: None,
            values: vec![(":one", n(1)), (":ttl", n(expires))],
        })
        .await?;
        Ok(false)
    }
}
