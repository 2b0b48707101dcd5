//! The Lambda function `flowlog-anomaly-alerter`.

use std::cell::{Cell, RefCell};

use flowlog_anomaly_alerter::{App, Clock, Config, handle};
use flowlog_aws::{DynamoDbStore, Ec2Directory, SnsNotifier, env, sdk, telemetry};
use flowlog_core::alert::Directory;
use flowlog_core::detect::RuleSet;
use lambda_runtime::{Error, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = Config::from_lookup(&env::process)?;
    let sdk = sdk::from_lookup(&env::process);
    let app = App {
        store: DynamoDbStore::new(&sdk, config.tables),
        notifier: SnsNotifier::new(&sdk, config.topic_arn).chat(config.chat),
        directory: config.names.then(|| Box::new(Ec2Directory::new(&sdk)) as Box<dyn Directory>),
        rules: RefCell::new(RuleSet::default()),
        rules_read: Cell::new(env::now()),
        rules_text: config.rules,
        policy: config.policy,
        clock: Clock::Wall(env::now),
        metrics: telemetry::emit,
    };
    // A cold start goes on with the stored rules; what is wrong with them, the schedule says.
    if let Err(error) = app.load_rules().await {
        tracing::error!(error = %error, "rules could not be loaded; the schedule tries again");
    }
    Box::pin(run(service_fn(|event| handle(&app, event)))).await
}
