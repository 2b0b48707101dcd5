//! The Lambda function `flowlog-cwl-subscriber`.

use flowlog_aws::{DynamoDbStore, env, sdk, telemetry};
use flowlog_core::ingest::Ingestor;
use flowlog_cwl_subscriber::{App, Config, handle};
use lambda_runtime::{Error, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_lookup(&env::process)?;
    let sdk = sdk::from_lookup(&env::process);
    let app = App {
        store: DynamoDbStore::new(&sdk, config.tables),
        formats: config.formats,
        limits: config.limits,
        horizon: Some(config.horizon_seconds),
        now: env::now,
        metrics: telemetry::emit,
        ingestor: Ingestor::default(),
    };
    run(service_fn(|event| handle(&app, event))).await
}
