//! The store's contract on the real protocol: the DynamoDB adapter against the embedded database,
//! over HTTP.

use flowlog_cli::embedded::{EmbeddedDb, Location};
use flowlog_core::store::contract;

#[tokio::test]
async fn dynamodb_keeps_the_contract() {
    let db = EmbeddedDb::open(Location::Temporary).await.unwrap();
    contract::all(&db.store()).await.unwrap();
}

#[tokio::test]
async fn what_dynamodb_quarantines_can_be_found_and_reopened() {
    let db = EmbeddedDb::open(Location::Temporary).await.unwrap();
    contract::quarantine(&db.store()).await.unwrap();
}
