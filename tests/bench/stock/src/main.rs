//! For each object that a queued notification names: how many bytes it has, into a table. Nothing is configured.

use aws_config::BehaviorVersion;
use aws_lambda_events::event::s3::S3Event;
use aws_lambda_events::event::sqs::SqsEvent;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let s3 = aws_sdk_s3::Client::new(&config);
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    run(service_fn(|event| handle(&s3, &dynamodb, event))).await
}

async fn handle(
    s3: &aws_sdk_s3::Client,
    dynamodb: &aws_sdk_dynamodb::Client,
    event: LambdaEvent<SqsEvent>,
) -> Result<(), Error> {
    for message in event.payload.records {
        let event: S3Event = serde_json::from_str(&message.body.unwrap_or_default())?;
        for record in event.records {
            let (bucket, object) = (record.s3.bucket.name, record.s3.object.key);
            let body =
                s3.get_object().set_bucket(bucket).set_key(object.clone()).send().await?.body;
            let bytes = body.collect().await?.into_bytes().len();
            dynamodb
                .put_item()
                .table_name("objects")
                .item("key", AttributeValue::S(object.unwrap_or_default()))
                .item("bytes", AttributeValue::N(bytes.to_string()))
                .send()
                .await?;
        }
    }
    Ok(())
}
