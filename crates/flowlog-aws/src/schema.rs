//! Creating the two tables, for a local database, and finding those of a deployed stack, which
//! CloudFormation created and named.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use flowlog_core::store::StoreError;

use crate::dynamodb::{DynamoDbStore, Tables};
use crate::error::{self, CallError};
use crate::sdk::SdkConfig;

/// How long a new table may take.
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(200);

/// Creates what is missing of the store's two tables and waits until both can be used.
pub async fn create_tables(store: &DynamoDbStore) -> Result<(), StoreError> {
    let tables = store.tables();
    for (name, has_stream) in [(&tables.aggregates, true), (&tables.control, false)] {
        // Expiry comes last, so where it is on, all else was done. That is asked, and not for the table's
        // description: an embedded engine reads the whole table for that, to count its items.
        match expiry(store.client(), name).await? {
            Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling) => continue,
            Some(_) => {}
            None => create(store.client(), name, has_stream).await?,
        }
        wait_until_active(store.client(), name).await?;
        expire_by_ttl(store.client(), name).await?;
    }
    Ok(())
}

/// The tables of a stack, by the names that CloudFormation gives them: `<stack>-FlowAggregates-…` and
/// `<stack>-FlowControl-…`. If there is not exactly one of each, the names of those that there are: a stack that is
/// deleted leaves its tables.
pub async fn tables_of_stack(
    config: &SdkConfig,
    stack: &str,
) -> Result<Result<Tables, Vec<String>>, StoreError> {
    let client = Client::new(config);
    let mut pages = client.list_tables().into_paginator().items().send();
    let (mut aggregates, mut control) = (Vec::new(), Vec::new());
    while let Some(name) = pages.next().await {
        let name = name.map_err(|e| error::store("ListTables", &e))?;
        for (logical, found) in [("FlowAggregates", &mut aggregates), ("FlowControl", &mut control)]
        {
            if name.starts_with(&format!("{stack}-{logical}-")) {
                found.push(name.clone());
            }
        }
    }
    Ok(match (&aggregates[..], &control[..]) {
        ([aggregates], [control]) => {
            Ok(Tables { aggregates: aggregates.clone(), control: control.clone() })
        }
        _ => Err([aggregates, control].concat()),
    })
}

async fn create(client: &Client, name: &str, has_stream: bool) -> Result<(), StoreError> {
    let stream = StreamSpecification::builder().stream_enabled(true);
    let stream = stream.stream_view_type(StreamViewType::NewImage).build();
    let mut request =
        client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for (attribute, role) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
        let definition = AttributeDefinition::builder()
            .attribute_name(attribute)
            .attribute_type(ScalarAttributeType::S);
        let element = KeySchemaElement::builder().attribute_name(attribute).key_type(role);
        request = request
            .attribute_definitions(definition.build().map_err(built)?)
            .key_schema(element.build().map_err(built)?);
    }
    if has_stream {
        request = request.stream_specification(stream.map_err(built)?);
    }
    match request.send().await {
        Ok(_) => Ok(()),
        // Somebody else was faster.
        Err(e) if e.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => Ok(()),
        Err(e) => Err(error::store("CreateTable", &e)),
    }
}

async fn wait_until_active(client: &Client, name: &str) -> Result<(), StoreError> {
    let mut waited = Duration::ZERO;
    while status(client, name).await? != Some(TableStatus::Active) {
        if waited >= PATIENCE {
            let cause = CallError::new("CreateTable", format!("{name} does not become active"));
            return Err(StoreError::Retryable(Box::new(cause)));
        }
        tokio::time::sleep(POLL).await;
        waited += POLL;
    }
    Ok(())
}

async fn status(client: &Client, name: &str) -> Result<Option<TableStatus>, StoreError> {
    match client.describe_table().table_name(name).send().await {
        Ok(output) => Ok(output.table.and_then(|table| table.table_status)),
        Err(e) if e.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {
            Ok(None)
        }
        Err(e) => Err(error::store("DescribeTable", &e)),
    }
}

/// Whether items of a table expire; `None` if there is no such table.
async fn expiry(client: &Client, name: &str) -> Result<Option<TimeToLiveStatus>, StoreError> {
    match client.describe_time_to_live().table_name(name).send().await {
        Ok(described) => {
            let status = described.time_to_live_description.and_then(|ttl| ttl.time_to_live_status);
            Ok(Some(status.unwrap_or(TimeToLiveStatus::Disabled)))
        }
        Err(e) if e.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {
            Ok(None)
        }
        Err(e) => Err(error::store("DescribeTimeToLive", &e)),
    }
}

/// Asking first: DynamoDB refuses to enable what is enabled.
async fn expire_by_ttl(client: &Client, name: &str) -> Result<(), StoreError> {
    let status = expiry(client, name).await?;
    if matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
        return Ok(());
    }
    let by_ttl = TimeToLiveSpecification::builder().enabled(true).attribute_name("ttl").build();
    client
        .update_time_to_live()
        .table_name(name)
        .time_to_live_specification(by_ttl.map_err(built)?)
        .send()
        .await
        .map_err(|e| error::store("UpdateTimeToLive", &e))?;
    Ok(())
}

fn built(error: aws_sdk_dynamodb::error::BuildError) -> StoreError {
    StoreError::Permanent(Box::new(error))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::dynamodb::Tables;
    use crate::replay::{self, Wire};

    fn targets_and_bodies(wire: &Wire) -> Vec<(String, Value)> {
        let target = |asked: &replay::Asked| {
            asked
                .header("x-amz-target")
                .unwrap()
                .trim_start_matches("DynamoDB_20120810.")
                .to_owned()
        };
        wire.asked().iter().map(|asked| (target(asked), asked.json())).collect()
    }

    fn ttl(status: &str) -> replay::Canned {
        replay::json(200, json!({ "TimeToLiveDescription": { "TimeToLiveStatus": status } }))
    }

    #[tokio::test]
    async fn what_is_missing_is_created_and_waited_for() {
        let status =
            |status: &str| replay::json(200, json!({ "Table": { "TableStatus": status } }));
        let missing = "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException";
        let wire = Wire::new([
            replay::json(400, json!({ "__type": missing, "message": "because" })),
            replay::json(200, json!({})),
            status("CREATING"),
            status("ACTIVE"),
            ttl("DISABLED"),
            replay::json(200, json!({})),
            ttl("ENABLED"),
        ]);
        let store = DynamoDbStore::new(&wire.config(), Tables::default());
        create_tables(&store).await.unwrap();
        let asked = targets_and_bodies(&wire);
        let targets: Vec<&str> = asked.iter().map(|(target, _)| target.as_str()).collect();
        let expected = [
            "DescribeTimeToLive",
            "CreateTable",
            "DescribeTable",
            "DescribeTable",
            "DescribeTimeToLive",
            "UpdateTimeToLive",
            "DescribeTimeToLive",
        ];
        assert_eq!(targets, expected);
        assert_eq!(
            asked[1].1,
            json!({
                "TableName": "FlowAggregates",
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [
                    { "AttributeName": "pk", "AttributeType": "S" },
                    { "AttributeName": "sk", "AttributeType": "S" },
                ],
                "KeySchema": [
                    { "AttributeName": "pk", "KeyType": "HASH" },
                    { "AttributeName": "sk", "KeyType": "RANGE" },
                ],
                "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "NEW_IMAGE" },
            })
        );
        assert_eq!(
            asked[5].1["TimeToLiveSpecification"],
            json!({ "Enabled": true, "AttributeName": "ttl" })
        );
    }
}
