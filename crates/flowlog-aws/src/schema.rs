//! Creating the two tables, for a local database. On AWS the template creates them.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use flowlog_core::store::StoreError;

use crate::dynamodb::DynamoDbStore;
use crate::error::{self, CallError};

/// How long a new table may take.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// Creates what is missing of the store's two tables and waits until both can be used.
pub async fn create_tables(store: &DynamoDbStore) -> Result<(), StoreError> {
    let tables = store.tables();
    for (name, has_stream) in [(&tables.aggregates, true), (&tables.control, false)] {
        if status(store.client(), name).await?.is_none() {
            create(store.client(), name, has_stream).await?;
        }
        wait_until_active(store.client(), name).await?;
        expire_by_ttl(store.client(), name).await?;
    }
    Ok(())
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

/// Asking first: DynamoDB refuses to enable what is enabled.
async fn expire_by_ttl(client: &Client, name: &str) -> Result<(), StoreError> {
    let described = client.describe_time_to_live().table_name(name).send().await;
    let described = described.map_err(|e| error::store("DescribeTimeToLive", &e))?;
    let status = described.time_to_live_description.and_then(|ttl| ttl.time_to_live_status);
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
