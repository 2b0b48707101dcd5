//! Invocations that Lambda is about to end.

use std::sync::atomic::{AtomicI64, Ordering};

use flowlog_core::record::BatchId;
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::{
    AggregateWriter, Claim, ClaimOutcome, Completed, Completion, DirectoryEntry, Ledger,
    LedgerEntry, LedgerReader, LedgerState, PartialItem, StoreError,
};
use flowlog_s3_parser::{App, handle};
use serde_json::json;

use crate::support::{START, generate, parser, sqs};

/// The test's own clock, in epoch seconds.
static CLOCK: AtomicI64 = AtomicI64::new(START);

/// A store whose table throttles from the second object on, for longer than the function lives.
#[derive(Default)]
struct Stuck {
    inner: MemoryStore,
    puts: AtomicI64,
}

impl AggregateWriter for Stuck {
    async fn put_partials(&self, partials: &[PartialItem]) -> Result<(), StoreError> {
        if self.puts.fetch_add(1, Ordering::Relaxed) == 1 {
            CLOCK.fetch_add(54, Ordering::Relaxed);
            return std::future::pending().await;
        }
        self.inner.put_partials(partials).await
    }

    async fn put_directory(&self, entries: &[DirectoryEntry]) -> Result<(), StoreError> {
        self.inner.put_directory(entries).await
    }
}

impl Ledger for Stuck {
    async fn claim(&self, claim: &Claim) -> Result<ClaimOutcome, StoreError> {
        self.inner.claim(claim).await
    }

    async fn complete(
        &self,
        batch: BatchId,
        etag: &str,
        completion: &Completion,
    ) -> Result<Completed, StoreError> {
        self.inner.complete(batch, etag, completion).await
    }

    async fn quarantine(&self, batch: BatchId, reason: &str) -> Result<(), StoreError> {
        self.inner.quarantine(batch, reason).await
    }
}

impl LedgerReader for Stuck {
    async fn entries(&self, batches: &[BatchId]) -> Result<Vec<Option<LedgerEntry>>, StoreError> {
        self.inner.entries(batches).await
    }
}

#[tokio::test]
async fn what_is_finished_is_acknowledged_and_the_rest_comes_again() {
    let day = generate(5, 10, 60, &[]);
    let objects: Vec<_> =
        day.objects().objects().map(|(object, _)| object.clone()).take(3).collect();
    let now = || CLOCK.load(Ordering::Relaxed);
    let app = App { now, ..parser(day.objects(), Stuck::default()) };
    let mut event = sqs(&objects);
    // 200 ms for work, and five seconds for the answer.
    event.context.deadline = u64::try_from(START).unwrap() * 1000 + 5200;
    let answer = handle(&app, event).await.unwrap();
    let again = json!([{ "itemIdentifier": "1" }, { "itemIdentifier": "2" }]);
    assert_eq!(answer["batchItemFailures"], again);
    let batches: Vec<BatchId> =
        objects.iter().map(|o| BatchId::of_object(&o.bucket, &o.key)).collect();
    let states = app.store.entries(&batches).await.unwrap();
    let states: Vec<_> = states.into_iter().map(|entry| entry.map(|e| e.state)).collect();
    assert_eq!(
        states,
        [Some(LedgerState::Done), Some(LedgerState::Claimed), None],
        "done, stopped in the middle, and not even begun"
    );

    // They come again, to a table that has calmed down.
    let answer = handle(&app, sqs(&objects)).await.unwrap();
    assert_eq!(answer["batchItemFailures"], json!([]));
    let clean = parser(day.objects(), MemoryStore::default());
    handle(&clean, sqs(&objects)).await.unwrap();
    assert_eq!(app.store.inner.all_partials(), clean.store.all_partials());
}
