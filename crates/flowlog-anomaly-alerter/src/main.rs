//! The Lambda function `flowlog-anomaly-alerter`.

use flowlog_anomaly_alerter::{App, Config, handle};
use flowlog_aws::{DynamoDbStore, SnsNotifier, env, sdk, telemetry};
use flowlog_core::detect::Rules;
use lambda_runtime::{Error, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_lookup(&env::process)?;
    let sdk = sdk::from_lookup(&env::process);
    let app = App {
        store: DynamoDbStore::new(&sdk, config.tables),
        notifier: SnsNotifier::new(&sdk, config.topic_arn),
        rules: Rules::default(),
        policy: config.policy,
        now: Some(env::now),
        metrics: telemetry::emit,
    };
    run(service_fn(|event| handle(&app, event))).await
}
