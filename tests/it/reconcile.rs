//! Notifications that never come, and attempts that nobody finishes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use flowlog_core::ingest::{Delivery, Ingestor};
use flowlog_core::object::{Listing, ObjectError, ObjectHead, ObjectRef, Objects, Page};
use flowlog_core::record::{BatchId, Source};
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::{LedgerReader as _, LedgerState, PartialItem};
use flowlog_s3_parser::{App, handle};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};

use crate::support::{Day, Dying, START, generate, parser, sqs};

/// When the schedule rings: after the generated hours.
pub(crate) const NOW: i64 = START + 5 * 3600;

/// A generated stretch of a day, its files as old as their deliveries.
fn day(minutes: u32) -> (Day, Vec<ObjectRef>) {
    let day = generate(21, minutes, 30, &[]);
    let objects = day.objects();
    for (_, path) in objects.objects() {
        set_age(path, 3600);
    }
    let refs = objects.objects().map(|(object, _)| object.clone()).collect();
    (day, refs)
}

/// Makes a file this many seconds old at [`NOW`].
pub(crate) fn set_age(path: &std::path::Path, age: i64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(NOW - age).unwrap());
    std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

pub(crate) fn schedule(bucket: &str) -> LambdaEvent<Value> {
    let event = json!({ "flowlog": "reconcile", "buckets": [bucket] });
    LambdaEvent::new(event, Context::default())
}

fn clean(day: &Day, objects: &[ObjectRef]) -> impl Future<Output = Vec<PartialItem>> {
    let app = parser(day.objects(), MemoryStore::default());
    let event = sqs(objects);
    async move {
        handle(&app, event).await.unwrap();
        app.store.all_partials()
    }
}

#[tokio::test]
async fn lost_notifications_are_made_up_for() {
    let (day, objects) = day(240);
    assert!(objects.len() >= 90, "{} objects", objects.len());
    let truth = clean(&day, &objects).await;
    for (percent, every) in [(1, 100), (30, 3), (100, 1)] {
        let app = App { now: || NOW, ..parser(day.objects(), MemoryStore::default()) };
        let told: Vec<ObjectRef> = objects
            .iter()
            .enumerate()
            .filter(|(n, _)| n % every != 0)
            .map(|(_, o)| o.clone())
            .collect();
        let lost = objects.len() - told.len();
        assert!(lost > 0);
        if !told.is_empty() {
            handle(&app, sqs(&told)).await.unwrap();
        }
        let bucket = &objects[0].bucket;
        let first = handle(&app, schedule(bucket)).await.unwrap();
        assert_eq!(first["listed"], objects.len(), "{percent} % lost: {first}");
        assert_eq!(first["missing"], lost, "{percent} % lost: {first}");
        assert_eq!(first["ingested"], lost, "{percent} % lost: {first}");
        assert_eq!(app.store.all_partials(), truth, "{percent} % lost");
        let second = handle(&app, schedule(bucket)).await.unwrap();
        assert_eq!(second["missing"], 0, "{second}");
        assert_eq!((&second["ingested"], &second["complete"]), (&json!(0), &json!(true)));
    }
}

#[tokio::test]
async fn young_sloware_left_to_their_notifications() {
    let (day, objects) = day(10);
    let folder = day.objects();
    let (_, path) = folder.objects().next().unwrap();
    set_age(path, 2999);
    let app = App { now: || NOW, ..parser(day.objects(), MemoryStore::default()) };
    let answer = handle(&app, schedule(&objects[0].bucket)).await.unwrap();
    assert_eq!(answer["listed"], objects.len() - 1);
    set_age(path, 3000);
    let answer = handle(&app, schedule(&objects[0].bucket)).await.unwrap();
    assert_eq!((&answer["listed"], &answer["missing"]), (&json!(objects.len()), &json!(1)));
}

/// What was in an attached bucket before is nobody's to announce; another bucket's objects are not
/// touched by it.
#[tokio::test]
async fn what_is_older_than_the_bucket_is_attached_is_left_alone() {
    let (day, objects) = day(10);
    let folder = day.objects();
    let (_, path) = folder.objects().next().unwrap();
    set_age(path, 3500);
    let app = App { now: || NOW, ..parser(day.objects(), MemoryStore::default()) };
    let bucket = objects[0].bucket.as_str();
    let all = objects.len();
    for (of, since, expected) in
        [(bucket, NOW - 3500, 1), (bucket, NOW - 3499, 0), (bucket, 0, all), ("other", NOW, all)]
    {
        let mut event = schedule(bucket);
        event.payload["since"] = json!({ of: since });
        let answer = handle(&app, event).await.unwrap();
        assert_eq!(answer["listed"], expected, "{of} {since}: {answer}");
    }
}

#[tokio::test]
async fn what_was_claimed_and_never_finished_is_ingested_again() {
    let (day, objects) = day(10);
    let app = App { now: || NOW, ..parser(day.objects(), MemoryStore::default()) };
    let head = app.objects.head(&objects[0]).await.unwrap();
    let delivery = Delivery {
        batch: BatchId::of_object(&objects[0].bucket, &objects[0].key),
        source: Source::of_object(&objects[0].bucket, &objects[0].key),
        etag: head.etag,
        origin: objects[0].to_string(),
    };
    Ingestor::default().begin(&app.store, &delivery, None).await.unwrap();
    handle(&app, sqs(&objects[1..])).await.unwrap();
    let answer = handle(&app, schedule(&objects[0].bucket)).await.unwrap();
    assert_eq!((&answer["missing"], &answer["unfinished"]), (&json!(0), &json!(1)), "{answer}");
    let entry = app.store.entries(&[delivery.batch]).await.unwrap().remove(0).unwrap();
    assert_eq!(entry.state, LedgerState::Done);
    assert_eq!(app.store.all_partials(), clean(&day, &objects).await);
}

#[tokio::test]
async fn what_fails_is_left_to_the_next_run_and_holds_nothing_else_up() {
    let (day, objects) = day(30);
    // The ledger is read once a folder, then every object is claimed: the third one fails.
    let store = Dying { inner: MemoryStore::default(), left: Cell::new(9), applied: false };
    let app = App { now: || NOW, ..parser(day.objects(), store) };
    let first = handle(&app, schedule(&objects[0].bucket)).await.unwrap();
    assert_eq!(first["failed"], 1, "{first}");
    assert_eq!(first["ingested"], objects.len() - 1, "{first}");
    let second = handle(&app, schedule(&objects[0].bucket)).await.unwrap();
    let left = second["missing"].as_u64().unwrap() + second["unfinished"].as_u64().unwrap();
    assert_eq!((left, &second["ingested"]), (1, &json!(1)), "{second}");
    assert_eq!(app.store.inner.all_partials(), clean(&day, &objects).await);
}

/// Objects that are listed with more than a listing: who looks at `bucket/prefix` may be refused, or wait.
struct Listed<O, F>(O, F);

impl<O: Objects, F> Objects for Listed<O, F> {
    type Body = O::Body;

    async fn head(&self, at: &ObjectRef) -> Result<ObjectHead, ObjectError> {
        self.0.head(at).await
    }

    async fn get(
        &self,
        at: &ObjectRef,
        range: Option<Range<u64>>,
        if_match: Option<&str>,
    ) -> Result<(ObjectHead, Self::Body), ObjectError> {
        self.0.get(at, range, if_match).await
    }
}

impl<O: Listing, F: Fn(&str) -> Result<(), ObjectError>> Listing for Listed<O, F> {
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Page, ObjectError> {
        self.1(&format!("{bucket}/{prefix}"))?;
        self.0.list(bucket, prefix, after).await
    }

    async fn folders(&self, bucket: &str, prefix: &str) -> Result<Vec<String>, ObjectError> {
        self.1(&format!("{bucket}/{prefix}"))?;
        self.0.folders(bucket, prefix).await
    }
}

#[tokio::test]
async fn what_cannot_be_listed_holds_nothing_else_up_and_fails_the_run_at_its_end() {
    let (day, objects) = day(30);
    let truth = clean(&day, &objects).await;
    let bucket = &objects[0].bucket;
    let event = |buckets: &[&str]| {
        let event = json!({ "flowlog": "reconcile", "buckets": buckets });
        LambdaEvent::new(event, Context::default())
    };
    // A bucket that comes first; the folder of a day, at two hours, so that it comes first in one of them.
    for (closed, buckets) in
        [("closed/", vec!["closed", bucket]), ("2026/10/31/", vec![bucket.as_str()])]
    {
        for now in [|| NOW, || NOW + 3600] {
            let refuse = |place: &str| {
                if place.contains(closed) {
                    return Err(ObjectError::Retryable("access denied".into()));
                }
                Ok(())
            };
            let folder = Listed(day.objects(), refuse);
            let app = App { now, ..parser(folder, MemoryStore::default()) };
            let error = handle(&app, event(&buckets)).await.unwrap_err();
            assert!(error.is_retryable() && error.to_string().contains(closed), "{error}");
            assert_eq!(app.store.all_partials(), truth, "{closed}");
        }
    }
}

#[tokio::test]
async fn a_run_ends_before_its_deadline_and_the_next_goes_on() {
    let (day, objects) = day(30);
    let app = App { now: || NOW, ..parser(day.objects(), MemoryStore::default()) };
    let ending = |left_ms: u64| {
        let LambdaEvent { payload, mut context } = schedule(&objects[0].bucket);
        context.deadline = u64::try_from(NOW).unwrap() * 1000 + left_ms;
        LambdaEvent::new(payload, context)
    };
    // What is kept for the answer is all that is left.
    let answer = handle(&app, ending(5000)).await.unwrap();
    assert_eq!((&answer["complete"], &answer["ingested"]), (&json!(false), &json!(0)));
    let answer = handle(&app, ending(60_000)).await.unwrap();
    assert_eq!((&answer["complete"], &answer["ingested"]), (&json!(true), &json!(objects.len())));
}

thread_local! {
    static CLOCK: Cell<i64> = const { Cell::new(NOW) };
}

/// The time is enough for a twelfth of the folders, and in a day of runs each is looked at, by which way
/// the parts overlap.
#[tokio::test]
async fn runs_that_are_short_of_time_come_round_to_everything() {
    let (day, objects) = day(30);
    let looked = RefCell::new(BTreeSet::new());
    let wait = |place: &str| {
        if place.contains("/2026/") {
            CLOCK.set(CLOCK.get() + 7);
            looked.borrow_mut().insert(place.to_owned());
        }
        Ok(())
    };
    let slow = Listed(day.objects(), wait);
    let app = App { now: || CLOCK.get(), ..parser(slow, MemoryStore::default()) };
    let days = (1..=12).flat_map(|month| (1..=9).map(move |day| format!("2026-{month:02}-0{day}")));
    let days: Vec<String> = days.collect();
    let mut ingested = Vec::new();
    for run in 0..24 {
        CLOCK.set(NOW + run * 3600);
        let event = json!({ "flowlog": "reconcile", "buckets": [objects[0].bucket], "days": days });
        let mut event = LambdaEvent::new(event, Context::default());
        event.context.deadline = u64::try_from(CLOCK.get() + 65).unwrap() * 1000;
        let answer = handle(&app, event).await.unwrap();
        assert_eq!((&answer["complete"], &answer["folders"]), (&json!(false), &json!(108)));
        assert!((96..108).contains(&answer["left"].as_u64().unwrap()), "{answer}");
        ingested.push(answer["ingested"].as_u64().unwrap());
    }
    assert_eq!(looked.borrow().len(), days.len());
    assert_eq!(ingested.iter().sum::<u64>(), objects.len() as u64, "{ingested:?}");
    assert!(ingested.iter().filter(|n| **n > 0).count() == 1, "{ingested:?}");
}
