//! The Lambda function `flowlog-s3-parser`.

use flowlog_aws::{DynamoDbStore, S3Objects, env, sdk, telemetry};
use flowlog_core::ingest::Ingestor;
use flowlog_s3_parser::{App, Config, handle};
use lambda_runtime::{Error, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_lookup(&env::process)?;
    let sdk = sdk::from_lookup(&env::process);
    let app = App {
        objects: S3Objects::new(&sdk),
        store: DynamoDbStore::new(&sdk, config.tables),
        limits: config.limits,
        horizon: Some(config.horizon_seconds),
        now: env::now,
        metrics: telemetry::emit,
        ingestor: Ingestor::default(),
    };
    Box::pin(run(service_fn(|event| handle(&app, event)))).await
}
