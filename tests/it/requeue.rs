//! Quarantined deliveries come back, once what was wrong with us is mended.

use flowlog_cli::embedded::{EmbeddedDb, Location};
use flowlog_cli::requeue::{Fate, Selection, app, list_to_json, list_to_text, requeue, select};
use flowlog_core::decode::Limits;
use flowlog_core::object::ObjectRef;
use flowlog_core::record::{BatchId, Source, Window};
use flowlog_core::store::{AggregateReader as _, Ledger as _, PartialItem, Series};
use flowlog_s3_parser::handle;

use crate::support::{Day, START, generate, sqs};

/// A limit that the generated objects exceed: a version of the parser that was too strict.
fn too_strict() -> Limits {
    Limits { output: 2000, ..Limits::default() }
}

async fn partials(database: &EmbeddedDb, day: &Day) -> Vec<PartialItem> {
    let from = Window::of(START).unwrap().back(2);
    let mut found = Vec::new();
    let objects = day.objects();
    let mut sources: Vec<Source> =
        objects.objects().map(|(o, _)| Source::of_object(&o.bucket, &o.key)).collect();
    sources.sort();
    sources.dedup();
    for source in sources {
        for name in &day.truth.names {
            let series = Series::interface(source.clone(), &name.interface_id);
            let store = database.store();
            found.extend(store.partials(&series, from, from.forward(40)).await.unwrap());
        }
    }
    found
}

#[tokio::test]
async fn what_was_quarantined_is_listed_and_brought_back() {
    let day = generate(8, 10, 60, &[]);
    let objects: Vec<ObjectRef> = day.objects().objects().map(|(o, _)| o.clone()).collect();
    let clean = EmbeddedDb::open(Location::Temporary).await.unwrap();
    let strict = app(day.objects(), clean.store(), Limits::default(), None);
    handle(&strict, sqs(&objects)).await.unwrap();
    let truth = partials(&clean, &day).await;

    let database = EmbeddedDb::open(Location::Temporary).await.unwrap();
    let store = database.store();
    let strict = app(day.objects(), store.clone(), too_strict(), None);
    handle(&strict, sqs(&objects)).await.unwrap();
    assert_eq!(partials(&database, &day).await, []);
    let all = select(&store, &Selection::All).await.unwrap().unwrap();
    assert_eq!(all.len(), objects.len());
    assert!(list_to_text(&all).contains(&format!("decompression_bomb    {}", objects[0])));
    assert_eq!(list_to_json(&all)[0]["reason"], "decompression_bomb");

    // By the same version they go the same way, and are listed as before.
    let again = requeue(&strict, &all[0]).await;
    assert_eq!(again.fate, Fate::Quarantined("decompression_bomb".to_owned()));
    assert_eq!(select(&store, &Selection::All).await.unwrap().unwrap(), all);
    assert_eq!(partials(&database, &day).await, [], "and count for nothing");

    // By one that can read them they count, whichever way they are chosen.
    let mended = app(day.objects(), store.clone(), Limits::default(), None);
    let named = Selection::Batches(vec![all[0].0]);
    let by_name = select(&store, &named).await.unwrap().unwrap();
    let by_reason = Selection::Reason("corrupt_gzip".to_owned());
    assert_eq!(select(&store, &by_reason).await.unwrap().unwrap(), []);
    let by_reason = Selection::Reason("decompression_bomb".to_owned());
    let by_reason = select(&store, &by_reason).await.unwrap().unwrap();
    assert_eq!(by_reason, all);
    let mut parsed = 0;
    for quarantined in by_name.iter().chain(&by_reason[1..]) {
        match requeue(&mended, quarantined).await.fate {
            Fate::Done { parsed: records } => parsed += records,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(parsed, day.truth.totals.parsed);
    assert_eq!(partials(&database, &day).await, truth);
    assert_eq!(select(&store, &Selection::All).await.unwrap().unwrap(), []);
    assert_eq!(list_to_text(&[]), "nothing is quarantined\n");
    // What is done is not brought back, and bringing it back by an old list changes nothing.
    assert!(select(&store, &named).await.unwrap().unwrap_err().contains("is done"));
    let late = requeue(&mended, &by_name[0]).await;
    assert!(matches!(late.fate, Fate::Left(_)), "{late:?}");
    assert_eq!(partials(&database, &day).await, truth);
}

#[tokio::test]
async fn what_cannot_come_back_says_why_and_stays() {
    let day = generate(9, 5, 60, &[]);
    let (object, path) =
        day.objects().objects().map(|(o, p)| (o.clone(), p.to_owned())).next().unwrap();
    let database = EmbeddedDb::open(Location::Temporary).await.unwrap();
    let store = database.store();
    let strict = app(day.objects(), store.clone(), too_strict(), None);
    handle(&strict, sqs(std::slice::from_ref(&object))).await.unwrap();
    let listed = select(&store, &Selection::All).await.unwrap().unwrap();

    // Another object has taken its place.
    let mended = app(day.objects(), store.clone(), Limits::default(), None);
    let content = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&content[..], &content[..]].concat()).unwrap();
    let replaced = requeue(&mended, &listed[0]).await;
    assert!(matches!(&replaced.fate, Fate::Left(why) if why.contains("another object")));
    assert_eq!(partials(&database, &day).await, []);
    // The first one is back, as S3's versions can bring it.
    std::fs::write(&path, &content).unwrap();
    let listed = select(&store, &Selection::All).await.unwrap().unwrap();
    assert_eq!(listed[0].1.reason.as_deref(), Some("decompression_bomb"), "it is not lost");
    assert!(matches!(requeue(&mended, &listed[0]).await.fate, Fate::Done { .. }));

    // A delivery of CloudWatch Logs is nowhere to be read again.
    let batch = BatchId::of_log_events("o", "g", "s", ["1"].into_iter());
    let claim = flowlog_core::store::Claim {
        batch,
        mapping: 1,
        etag: batch.to_string(),
        origin: "logs:g/s".to_owned(),
        horizon: None,
        ttl: i64::from(u32::MAX),
    };
    store.claim(&claim).await.unwrap();
    store.quarantine(batch, "format_mismatch").await.unwrap();
    let listed = select(&store, &Selection::All).await.unwrap().unwrap();
    let left = requeue(&mended, &listed[0]).await;
    assert!(left.to_text().contains("left: it came from CloudWatch Logs"), "{left:?}");
    assert_eq!(select(&store, &Selection::All).await.unwrap().unwrap(), listed);
    let nobody = Selection::Batches(vec![BatchId::of_object("b", "nobody")]);
    assert!(select(&store, &nobody).await.unwrap().unwrap_err().contains("no delivery"));
}
