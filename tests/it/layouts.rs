//! Every layout in which AWS writes keys: told by a notification, or found by the reconciler.

use std::fs;

use flowlog_cli::folder::FolderObjects;
use flowlog_core::object::ObjectRef;
use flowlog_core::record::{BatchId, Source};
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::{LedgerReader as _, LedgerState};
use flowlog_s3_parser::{App, handle};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::reconcile::{NOW, schedule, set_age};
use crate::support::{generate, parser, sqs};

/// What stands between `AWSLogs/` and a file's name.
const LAYOUTS: [(&str, &str); 8] = [
    ("by day", "123456789012/vpcflowlogs/us-east-1/2026/11/01/"),
    ("by hour", "123456789012/vpcflowlogs/us-east-1/2026/11/01/00/"),
    (
        "Hive, by day",
        "aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-east-1/year=2026/month=11/day=01/",
    ),
    (
        "Hive, by hour",
        "aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-east-1/year=2026/month=11/day=01/hour=00/",
    ),
    (
        "Hive, as the guide to transit gateways has it",
        "aws-account-id=123456789012/service=vpcflowlogs/aws-region=us-east-1/year=2026/month=11/day=01/",
    ),
    ("an organization's", "o-a1b2c3d4e5/123456789012/vpcflowlogs/us-east-1/2026/11/01/"),
    (
        "an organization's, by hour",
        "o-a1b2c3d4e5/123456789012/vpcflowlogs/us-east-1/2026/11/01/00/",
    ),
    ("a Region of four words", "123456789012/vpcflowlogs/us-gov-east-1/2026/11/01/"),
];

/// S3 encodes a key as a form does.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_');

/// One generated object under every layout, each with a name of its own, an hour old.
fn bucket() -> (tempfile::TempDir, Vec<ObjectRef>) {
    let day = generate(5, 5, 20, &[]);
    let (_, source) =
        day.objects().objects().next().map(|(at, path)| (at.clone(), path.to_owned())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (nth, (_, layout)) in LAYOUTS.iter().enumerate() {
        let region = if layout.contains("us-gov") { "us-gov-east-1" } else { "us-east-1" };
        let name = format!(
            "123456789012_vpcflowlogs_{region}_fl-0a1b2c3d_20261101T0000Z_{nth:08x}.log.gz"
        );
        let path = folder.path().join("AWSLogs").join(layout);
        fs::create_dir_all(&path).unwrap();
        fs::copy(&source, path.join(&name)).unwrap();
        set_age(&path.join(&name), 3600);
    }
    let found = objects(&folder);
    let refs: Vec<_> = found.objects().map(|(object, _)| object.clone()).collect();
    assert_eq!(refs.len(), LAYOUTS.len());
    (folder, refs)
}

fn objects(folder: &tempfile::TempDir) -> FolderObjects {
    FolderObjects::open(&[folder.path().join("AWSLogs")]).unwrap()
}

fn batches(objects: &[ObjectRef]) -> Vec<BatchId> {
    objects.iter().map(|object| BatchId::of_object(&object.bucket, &object.key)).collect()
}

#[tokio::test]
async fn a_notification_names_an_object_in_every_layout() {
    let (folder, refs) = bucket();
    let app = parser(objects(&folder), MemoryStore::default());
    for object in &refs {
        assert_eq!(Source::of_object(&object.bucket, &object.key).to_string(), "fl-0a1b2c3d");
        let key = utf8_percent_encode(&object.key, FORM).to_string();
        assert_eq!(key.contains("%3D"), object.key.contains('='));
        let answer = handle(&app, sqs(&[ObjectRef { key, ..object.clone() }])).await.unwrap();
        assert_eq!(answer["batchItemFailures"], json!([]), "{object}");
    }
    for (object, entry) in refs.iter().zip(app.store.entries(&batches(&refs)).await.unwrap()) {
        assert_eq!(entry.map(|entry| entry.state), Some(LedgerState::Done), "{object}");
    }
}

#[tokio::test]
async fn the_reconciler_finds_an_object_in_every_layout() {
    let (folder, refs) = bucket();
    let app = App { now: || NOW, ..parser(objects(&folder), MemoryStore::default()) };
    let answer = handle(&app, schedule(&refs[0].bucket)).await.unwrap();
    assert_eq!(
        (&answer["missing"], &answer["ingested"]),
        (&json!(LAYOUTS.len()), &json!(LAYOUTS.len())),
        "{answer}"
    );
    for (object, entry) in refs.iter().zip(app.store.entries(&batches(&refs)).await.unwrap()) {
        assert_eq!(entry.map(|entry| entry.state), Some(LedgerState::Done), "{object}");
    }
}
