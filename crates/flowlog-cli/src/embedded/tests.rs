//! The embedded database: what the engine's private schema must keep, opening, closing, speed.

use std::time::Instant;

use flowlog_aws::streams::StreamReader;
use flowlog_core::record::{BatchId, Source, Window};
use flowlog_core::rollup::{ActionTotals, Sums};
use flowlog_core::store::{
    AggregateReader as _, AggregateWriter as _, Ledger as _, PartialItem, Series,
};
use flowlog_core::store::{ClaimOutcome, contract};

use super::*;

/// The engine's own queries, as its source has them: one per stream write, one per page.
const NEXT_SEQUENCE: &str = "SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) + 1 \
     FROM _stream_records WHERE table_name = 't'";
const PAGE: &str = "SELECT event_name, keys_json, new_image, old_image, sequence_number, \
     created_at, user_identity, event_id FROM _stream_records WHERE table_name = 't' \
     AND shard_id = 's' AND CAST(sequence_number AS INTEGER) > 7 \
     ORDER BY CAST(sequence_number AS INTEGER) ASC LIMIT 1000";

fn partials(of: usize) -> Vec<PartialItem> {
    let sums = |records| Sums { records, packets: 10 * records, bytes: 1000 * records };
    (0..of)
        .map(|i| PartialItem {
            series: Series::interface(
                Source::parse("fl-0123456789abcdef0").unwrap(),
                format!("eni-{:017x}", i % 500),
            ),
            window: Window::of(1_793_491_200 + i64::try_from(i / 500).unwrap() * 300).unwrap(),
            batch: BatchId::of_object("b", &format!("object-{}", i / 5000)),
            chunk: 0,
            mapping: 1,
            totals: ActionTotals { accept: sums(90), reject: sums(10), other: sums(0) },
            // About what a hundred flows make.
            blob: (0..1000).map(|b| u8::try_from((b * 31 + i) % 251).unwrap()).collect(),
        })
        .collect()
}

#[tokio::test]
async fn the_engine_uses_the_index() {
    let db = EmbeddedDb::open(Location::Temporary).await.unwrap();
    for query in [NEXT_SEQUENCE, PAGE] {
        let plan = index::plan(db.path(), query).unwrap();
        assert!(
            plan.len() == 1 && plan[0].starts_with("SEARCH") && plan[0].contains("flowlog_seq"),
            "{plan:?}"
        );
    }
}

#[tokio::test]
async fn a_file_is_opened_again_and_a_temporary_one_is_gone() {
    let folder = TempDir::new().unwrap();
    let location = Location::File(folder.path().join("below").join("flows.db"));
    let claim = contract::claim("kept");
    let put = contract::partial("eni-kept", 0, "kept", 0);
    {
        let db = EmbeddedDb::open(location.clone()).await.unwrap();
        assert_eq!(db.store().claim(&claim).await.unwrap(), ClaimOutcome::Claimed);
        db.store().put_partials(std::slice::from_ref(&put)).await.unwrap();
    }
    let db = EmbeddedDb::open(location).await.unwrap();
    assert!(matches!(db.store().claim(&claim).await.unwrap(), ClaimOutcome::Exists(_)));
    let kept = db.store().partials(&put.series, put.window, put.window).await;
    assert_eq!(kept.unwrap(), [put]);
    drop(db);

    let db = EmbeddedDb::open(Location::Temporary).await.unwrap();
    let path = db.path().to_owned();
    assert!(path.exists());
    drop(db);
    assert!(!path.exists() && !path.parent().unwrap().exists());
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "not a database, and longer than its header would be ".repeat(40))
        .unwrap();
    let error = EmbeddedDb::open(Location::File(path.clone())).await.unwrap_err();
    assert!(matches!(&error, EmbeddedError::Open { path: at, .. } if *at == path), "{error}");
}

#[tokio::test]
async fn the_stream_has_every_put() {
    let db = EmbeddedDb::open(Location::Temporary).await.unwrap();
    let put = partials(2500);
    let store = db.store();
    let mut stream = StreamReader::open(db.config(), &store).await.unwrap();
    assert_eq!(stream.poll().await.unwrap(), []);
    store.put_partials(&put).await.unwrap();
    let mut keys = Vec::new();
    loop {
        let records = stream.poll().await.unwrap();
        if records.is_empty() {
            break;
        }
        assert!(records.is_sorted_by(|a, b| a.sequence < b.sequence));
        keys.extend(records.into_iter().map(|r| (r.pk, r.sk)));
    }
    keys.sort();
    let mut expected: Vec<_> = put.iter().map(|p| (p.pk(), p.sk())).collect();
    expected.sort();
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn the_stream_of_yesterday_is_forgotten() {
    let folder = TempDir::new().unwrap();
    let location = Location::File(folder.path().join("flows.db"));
    let put = partials(40);
    let db = EmbeddedDb::open(location.clone()).await.unwrap();
    db.store().put_partials(&put).await.unwrap();
    let path = db.path().to_owned();
    drop(db);
    let plan = index::plan(&path, &index::FORGET.replace("?1", "1")).unwrap();
    assert!(plan.iter().any(|step| step.contains("flowlog_age")), "{plan:?}");
    let now = flowlog_aws::env::now();
    for (then, kept) in [(now + 86_000, 40), (now + 87_000, 0)] {
        index::prepare(&path, then).unwrap();
        let db = EmbeddedDb::open(location.clone()).await.unwrap();
        let mut stream = StreamReader::open(db.config(), &db.store()).await.unwrap();
        assert_eq!(stream.poll().await.unwrap().len(), kept);
    }
    let db = EmbeddedDb::open(location).await.unwrap();
    db.store().put_partials(&put[..1]).await.unwrap();
    let mut stream = StreamReader::open(db.config(), &db.store()).await.unwrap();
    assert_eq!(stream.poll().await.unwrap().len(), 1, "and it goes on");
}

/// `cargo test -p flowlog-cli --lib embedded -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
async fn speed_of_50_000_partials() {
    let put = partials(50_000);
    let folder = TempDir::new().unwrap();
    for location in [Location::Temporary, Location::File(folder.path().join("flows.db"))] {
        let db = EmbeddedDb::open(location.clone()).await.unwrap();
        let store = db.store();
        let begin = Instant::now();
        store.put_partials(&put).await.unwrap();
        let wrote = begin.elapsed();
        let begin = Instant::now();
        let mut stream = StreamReader::open(db.config(), &store).await.unwrap();
        let mut records = 0;
        loop {
            let page = stream.poll().await.unwrap().len();
            records += page;
            if page == 0 {
                break;
            }
        }
        println!(
            "{location:?}: written in {wrote:?}, {records} stream records in {:?}, {} bytes",
            begin.elapsed(),
            std::fs::metadata(db.path()).unwrap().len()
        );
    }
}
