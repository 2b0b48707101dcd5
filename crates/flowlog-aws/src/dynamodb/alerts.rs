//! The alerter's state, changed by compare-and-swap, and a budget of notifications per hour.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure as OnRefusal};
use flowlog_core::store::item;
use flowlog_core::store::{AlertStore, StateItem, StoreError};

use super::patience::patiently;
use super::{DynamoDbStore, Outcome, Update};
use crate::backoff;
use crate::error;
use crate::items::{self, n, s};

/// The attribute that says by which call a state was written.
const WRITER: &str = "w";

/// An item of a list, if it can be read: the others must not be lost for it.
fn readable(item: items::Item) -> Option<StateItem> {
    items::to_state(item).map_err(|error| tracing::error!(error = %error, "left out")).ok()
}

impl AlertStore for DynamoDbStore {
    async fn state(&self, kind: &str, subject: &str) -> Result<Option<StateItem>, StoreError> {
        let request = self
            .client
            .get_item()
            .table_name(&self.tables.control)
            .set_key(Some(items::key(item::state_pk(kind), subject)))
            .consistent_read(true);
        let got = patiently("GetItem", async || {
            request.clone().send().await.map_err(|e| error::store("GetItem", &e))
        });
        got.await?.item.map(items::to_state).transpose()
    }

    async fn states(&self, kind: &str) -> Result<Vec<StateItem>, StoreError> {
        let found = self.query(&self.tables.control, item::state_pk(kind), " ", "~").await?;
        Ok(found.into_iter().filter_map(readable).collect())
    }

    async fn swap_state(
        &self,
        item: &StateItem,
        expected: Option<i64>,
    ) -> Result<bool, StoreError> {
        let writer = backoff::random().to_string();
        patiently("PutItem", async || self.swap_once(item, expected, &writer).await).await
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

impl DynamoDbStore {
    /// One attempt at a swap. `writer` tells the attempts of this call from those of anybody else, who may write the
    /// same in the same second.
    async fn swap_once(
        &self,
        item: &StateItem,
        expected: Option<i64>,
        writer: &str,
    ) -> Result<bool, StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.tables.control)
            .set_item(Some(items::of_state(item)))
            .item(WRITER, s(writer))
            .return_values_on_condition_check_failure(OnRefusal::AllOld);
        let put = match expected {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(version) => put
                .condition_expression("v = :expected")
                .expression_attribute_values(":expected", n(version)),
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(e)) if e.err().is_conditional_check_failed_exception() => {
                let there = match e.into_err() {
                    PutItemError::ConditionalCheckFailedException(e) => e.item,
                    _ => None,
                };
                // A second attempt finds what the first one wrote.
                Ok(there.is_some_and(|there| there.get(WRITER) == Some(&s(writer))))
            }
            Err(e) => Err(error::store("PutItem", &e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use flowlog_core::store::{AlertStore as _, contract};
    use serde_json::json;

    use super::super::tests::{refused, store};
    use crate::replay::{self, Wire};

    #[tokio::test]
    async fn a_state_is_swapped_by_one_conditional_put() {
        let item = contract::a_state("port-scan", "eni-0a", 4);
        let mine = json!({
            "pk": { "S": "A#port-scan" }, "sk": { "S": "eni-0a" }, "v": { "N": "4" },
            "b": { "S": item.body }, "ttl": { "N": item.ttl.to_string() },
        });
        // Done; refused because somebody was faster, by the same text in the same second; refused because the first
        // attempt's answer was lost.
        let mut calls = 0;
        let theirs = mine.clone();
        let wire = Wire::serving(move |asked| {
            calls += 1;
            Some(match calls {
                1 => replay::json(200, json!({})),
                2 => refused(&theirs),
                _ => refused(&asked.json()["Item"]),
            })
        });
        let store = store(&wire);
        assert!(store.swap_state(&item, Some(3)).await.unwrap());
        assert!(!store.swap_state(&item, Some(3)).await.unwrap(), "not by this call");
        assert!(store.swap_state(&item, None).await.unwrap(), "by an attempt of this call");
        let asked = wire.asked();
        let writers: BTreeSet<String> =
            asked.iter().map(|asked| asked.json()["Item"]["w"]["S"].to_string()).collect();
        assert_eq!(writers.len(), 3);
        let mut put = asked[0].json();
        put["Item"].as_object_mut().unwrap().remove("w");
        assert_eq!(
            put,
            json!({
                "TableName": "FlowControl",
                "Item": mine,
                "ConditionExpression": "v = :expected",
                "ExpressionAttributeValues": { ":expected": { "N": "3" } },
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            })
        );
        assert_eq!(asked[2].json()["ConditionExpression"], "attribute_not_exists(pk)");
    }
}
