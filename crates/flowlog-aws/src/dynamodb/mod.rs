//! The store on DynamoDB: every condition that exactness rests on is one expression here.
//!
//! Requests are repeated (see `patience`), so a call may have happened although its response was
//! lost. Each condition is written such that the second attempt then reads as success: claims and
//! completions compare what is there with what was wanted, marks and budget tokens only grow.

mod aggregates;
mod alerts;
mod ledger;
mod patience;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure as OnRefusal,
};
use aws_types::SdkConfig;
use flowlog_core::store::StoreError;

use self::patience::{Pace, patiently};
use crate::error;
use crate::items::{self, Item};

/// The names of the two tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// Partials and the directory; has a stream.
    pub aggregates: String,
    /// Ledger and alert state; has none.
    pub control: String,
}

impl Default for Tables {
    fn default() -> Self {
        Self { aggregates: "FlowAggregates".to_owned(), control: "FlowControl".to_owned() }
    }
}

/// The store's ports on two DynamoDB tables.
#[derive(Debug, Clone)]
pub struct DynamoDbStore {
    client: Client,
    tables: Tables,
    /// Clones share it: they write to the same table.
    pace: Arc<Pace>,
}

impl DynamoDbStore {
    /// A store in these tables.
    pub fn new(config: &SdkConfig, tables: Tables) -> Self {
        let config = aws_sdk_dynamodb::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .build();
        Self { client: Client::from_conf(config), tables, pace: Arc::new(Pace::new()) }
    }

    /// The client, for what the ports do not say: creating tables, reading a stream. It does not
    /// repeat what fails.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The names of the tables.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// A conditional update of one item of the control table.
    async fn update(&self, update: Update<'_>) -> Result<Outcome, StoreError> {
        patiently("UpdateItem", async || self.update_once(update.clone()).await).await
    }

    /// One attempt at an update.
    async fn update_once(&self, update: Update<'_>) -> Result<Outcome, StoreError> {
        let mut request = self
            .client
            .update_item()
            .table_name(&self.tables.control)
            .set_key(Some(items::key(update.pk, update.sk)))
            .update_expression(update.expression)
            .set_condition_expression(update.condition.map(str::to_owned))
            .return_values(ReturnValue::AllNew);
        if update.condition.is_some() {
            request = request.return_values_on_condition_check_failure(OnRefusal::AllOld);
        }
        // `ttl` is a reserved word, so no expression can name it.
        if update.expression.contains("#ttl") {
            request = request.expression_attribute_names("#ttl", "ttl");
        }
        for (name, value) in update.values {
            request = request.expression_attribute_values(name, value);
        }
        match request.send().await {
            Ok(output) => Ok(Outcome::Updated(output.attributes.unwrap_or_default())),
            Err(SdkError::ServiceError(e)) if e.err().is_conditional_check_failed_exception() => {
                match e.into_err() {
                    UpdateItemError::ConditionalCheckFailedException(e) => {
                        Ok(Outcome::Refused(e.item))
                    }
                    _ => Ok(Outcome::Refused(None)),
                }
            }
            Err(e) => Err(error::store("UpdateItem", &e)),
        }
    }

    /// Every item of one partition with `from <= sk <= to`, strongly consistent.
    async fn query(
        &self,
        table: &str,
        pk: String,
        from: &str,
        to: &str,
    ) -> Result<Vec<Item>, StoreError> {
        let mut found = Vec::new();
        let request = self
            .client
            .query()
            .table_name(table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", items::s(pk))
            .expression_attribute_values(":from", items::s(from))
            .expression_attribute_values(":to", items::s(to));
        let mut start = None;
        loop {
            let request = request.clone().set_exclusive_start_key(start);
            let page = patiently("Query", async || {
                request.clone().send().await.map_err(|e| error::store("Query", &e))
            });
            let page = page.await?;
            found.extend(page.items.unwrap_or_default());
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(found);
            }
        }
    }
}

/// An update of one item.
#[derive(Clone)]
struct Update<'a> {
    pk: String,
    sk: &'a str,
    expression: &'a str,
    condition: Option<&'a str>,
    values: Vec<(&'static str, AttributeValue)>,
}

/// What became of an update.
enum Outcome {
    /// The item as it is now.
    Updated(Item),
    /// The condition was false; the item as it is, if there is one.
    Refused(Option<Item>),
}
