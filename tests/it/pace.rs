//! How fast the alerter's three kinds of work go where every call of a table takes its time: what one
//! function instance keeps up with. `docs/scale.md` adds it up. Ignored: it measures, and waits.

use std::time::{Duration, Instant};

use flowlog_anomaly_alerter::{Bell, handle, ring};
use flowlog_core::record::{BatchId, Source, Window};
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::{
    AggregateReader, AlertStore, LedgerEntry, LedgerReader, PartialItem, Series, SeriesItems,
    StateItem, StoreError, SummaryItem, SummaryWriter, View,
};
use serde_json::Value;

use crate::alerting::{alerter, bells};
use crate::support::{START, event, generate, ingested};

/// What a call of DynamoDB takes here; single-digit milliseconds is what AWS says of it.
const CALL: Duration = Duration::from_millis(10);

/// A store of which every call takes its time.
pub(crate) struct Slow(pub(crate) MemoryStore, pub(crate) Duration);

impl Slow {
    async fn after_a_while<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::time::sleep(self.1).await;
        work.await
    }
}

impl AggregateReader for Slow {
    async fn partials(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> Result<Vec<PartialItem>, StoreError> {
        self.after_a_while(self.0.partials(series, from, to)).await
    }

    async fn items(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> Result<SeriesItems, StoreError> {
        self.after_a_while(self.0.items(series, from, to)).await
    }

    async fn sources(&self, from: &str, to: &str) -> Result<Vec<(String, Source)>, StoreError> {
        self.after_a_while(self.0.sources(from, to)).await
    }

    async fn subjects(
        &self,
        source: &Source,
        view: View,
        day: &str,
    ) -> Result<Vec<String>, StoreError> {
        self.after_a_while(self.0.subjects(source, view, day)).await
    }
}

impl LedgerReader for Slow {
    async fn entries(&self, batches: &[BatchId]) -> Result<Vec<Option<LedgerEntry>>, StoreError> {
        self.after_a_while(self.0.entries(batches)).await
    }
}

impl SummaryWriter for Slow {
    async fn put_summary(&self, summary: &SummaryItem) -> Result<bool, StoreError> {
        self.after_a_while(self.0.put_summary(summary)).await
    }
}

impl AlertStore for Slow {
    async fn state(&self, kind: &str, subject: &str) -> Result<Option<StateItem>, StoreError> {
        self.after_a_while(self.0.state(kind, subject)).await
    }

    async fn states(&self, kind: &str) -> Result<Vec<StateItem>, StoreError> {
        self.after_a_while(self.0.states(kind)).await
    }

    async fn swap_state(
        &self,
        item: &StateItem,
        expected: Option<i64>,
    ) -> Result<bool, StoreError> {
        self.after_a_while(self.0.swap_state(item, expected)).await
    }

    async fn spend_budget(
        &self,
        hour: i64,
        limit: u32,
        token: &str,
        expires: i64,
    ) -> Result<bool, StoreError> {
        self.after_a_while(self.0.spend_budget(hour, limit, token, expires)).await
    }
}

#[expect(clippy::disallowed_methods, reason = "what is measured is how long it takes")]
async fn took(work: impl AsyncFnOnce()) -> f64 {
    let began = Instant::now();
    work().await;
    began.elapsed().as_secs_f64()
}

#[expect(clippy::cast_precision_loss, clippy::print_stdout, reason = "a table for people")]
fn say(what: &str, of: usize, seconds: f64) {
    println!("| {what} | {of} | {seconds:.2} | {:.0} |", of as f64 / seconds);
}

#[tokio::test]
#[ignore = "a measurement"]
async fn pace() {
    let day = generate(51, 240, 60, &[]);
    let store = ingested(&day).await;
    let mut all = bells(&store).await;
    let app = alerter(Slow(store, CALL));
    println!("| work | of | seconds | a second |\n|---|--:|--:|--:|");
    // As an object brings them: two windows of an interface at once.
    all.retain(|bell| bell.window.start() < START + 2 * 3600);
    all.sort_by(|a, b| (&a.interface_id, a.window).cmp(&(&b.interface_id, b.window)));
    let pairs: Vec<&[Bell]> = all
        .chunk_by(|a, b| a.interface_id == b.interface_id)
        .flat_map(|one| one.chunks(2))
        .collect();
    let seconds = took(async || {
        for pair in &pairs {
            ring(&app, pair).await.unwrap();
        }
    })
    .await;
    say("partials of a stream batch, one interface after another", all.len(), seconds);

    let seconds = took(async || {
        for run in 0..12 {
            app.clock.at(START + 2 * 3600 + run * 300);
            handle(&app, event("anomaly-alerter/sweep.json")).await.unwrap();
        }
    })
    .await;
    say("sweeps, each with a twelfth of 14 interfaces' days", 12, seconds);

    app.clock.at(START + 3 * 3600 + 2400);
    for what in ["hours of series, folded", "the same hours, looked at again"] {
        let mut answer = Value::Null;
        let seconds = took(async || {
            answer = handle(&app, event("anomaly-alerter/compact.json")).await.unwrap();
        })
        .await;
        let (series, folded) = (&answer["series"], &answer["summaries"]);
        assert_eq!(*folded == 0, what.ends_with("again"), "{answer}");
        let hours = series.as_u64().unwrap() * 3;
        say(what, usize::try_from(hours).unwrap(), seconds);
    }
}
