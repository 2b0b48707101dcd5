//! What ingesting costs in DynamoDB's write request units, counted at the ports.
//!
//! `make write-units` prints the figures that the documentation quotes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;

use flowlog_aws::capacity;
use flowlog_cli::folder::FolderObjects;
use flowlog_cli::generate::Attack;
use flowlog_core::record::{BatchId, Window};
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::{
    AggregateWriter, Claim, ClaimOutcome, Completed, Completion, DirectoryEntry, Ledger,
    LedgerEntry, LedgerReader, PartialItem, StoreError, View,
};
use flowlog_s3_parser::handle;

use crate::support::{START, compact_hours, generate, parser, sqs};

/// A store that counts what its writes would cost.
#[derive(Default)]
struct Metered {
    inner: MemoryStore,
    interfaces: Cell<u64>,
    scopes: Cell<u64>,
    ledger: Cell<u64>,
    directory: Cell<u64>,
    /// The dearest partial.
    dearest: Cell<u64>,
    claims: RefCell<BTreeMap<BatchId, Claim>>,
}

fn add(cell: &Cell<u64>, units: u64) {
    cell.set(cell.get() + units);
}

impl Ledger for Metered {
    async fn claim(&self, claim: &Claim) -> Result<ClaimOutcome, StoreError> {
        add(&self.ledger, capacity::of_claim(claim));
        self.claims.borrow_mut().insert(claim.batch, claim.clone());
        self.inner.claim(claim).await
    }

    async fn complete(
        &self,
        batch: BatchId,
        etag: &str,
        completion: &Completion,
    ) -> Result<Completed, StoreError> {
        let units = capacity::of_completion(&self.claims.borrow()[&batch], completion);
        add(&self.ledger, units);
        self.inner.complete(batch, etag, completion).await
    }

    async fn quarantine(&self, batch: BatchId, reason: &str) -> Result<(), StoreError> {
        self.inner.quarantine(batch, reason).await
    }
}

impl LedgerReader for Metered {
    async fn entries(&self, batches: &[BatchId]) -> Result<Vec<Option<LedgerEntry>>, StoreError> {
        self.inner.entries(batches).await
    }
}

impl AggregateWriter for Metered {
    async fn put_partials(&self, partials: &[PartialItem]) -> Result<(), StoreError> {
        for partial in partials {
            let units = capacity::of_partial(partial);
            self.dearest.set(self.dearest.get().max(units));
            add(
                match partial.series.view {
                    View::Interface => &self.interfaces,
                    View::Scope => &self.scopes,
                },
                units,
            );
        }
        self.inner.put_partials(partials).await
    }

    async fn put_directory(&self, entries: &[DirectoryEntry]) -> Result<(), StoreError> {
        add(&self.directory, entries.iter().map(capacity::of_directory).sum());
        self.inner.put_directory(entries).await
    }
}

impl Metered {
    fn all(&self) -> u64 {
        self.interfaces.get() + self.scopes.get() + self.ledger.get() + self.directory.get()
    }

    /// Partials of interfaces: one for each object, interface and window.
    fn parts(&self) -> u64 {
        let partials = self.inner.all_partials();
        partials.iter().filter(|p| p.series.view == View::Interface).count() as u64
    }

    /// Prints the bill and returns units per object, interface and window.
    #[expect(clippy::cast_precision_loss, reason = "small numbers, to be looked at")]
    fn bill(&self, what: &str) -> f64 {
        let each = self.all() as f64 / self.parts() as f64;
        eprintln!(
            "{what}: {} (object, interface, window) triples; partials {}, scope partials {}, ledger {}, \
             directory {}: {each:.2} write units for each",
            self.parts(),
            self.interfaces.get(),
            self.scopes.get(),
            self.ledger.get(),
            self.directory.get(),
        );
        each
    }
}

/// An object of 50 interfaces in two VPCs and three windows, a hundred flows each, nearly all with
/// somebody else: fuller lists than most interfaces ever have.
fn fifty_interfaces() -> String {
    let mut text =
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes \
                    start end action log-status vpc-id flow-direction tcp-flags\n"
            .to_owned();
    for n in 0..50 * 3 * 100_i64 {
        let (interface, window, flow) = (n % 50, n / 50 % 3, n / 150);
        let start = START + 300 * window + flow * 2;
        let (remote, action) = match flow % 10 {
            0 => (format!("203.0.113.{}", flow * 7 % 250), "REJECT"),
            1..6 => (format!("10.0.{}.{}", flow % 4, 1 + flow * 13 % 60), "ACCEPT"),
            _ => (format!("198.51.100.{}", flow * 11 % 250), "ACCEPT"),
        };
        writeln!(
            text,
            "5 123456789012 eni-{interface:017x} {remote} 10.1.0.{interface} {} {} 6 {} {} {start} {} \
             {action} OK vpc-{} ingress 2",
            40_000 + flow * 17,
            [443, 443, 22, 8080, 5432][usize::try_from(flow % 5).unwrap()],
            3 + flow,
            400 + flow * 977,
            start + 59,
            interface % 2,
        )
        .unwrap();
    }
    text
}

#[tokio::test]
async fn fifty_busy_interfaces_cost_less_than_three_units_each() {
    let folder = tempfile::tempdir().unwrap();
    let name =
        "123456789012_vpcflowlogs_us-east-1_fl-0123456789abcdef0_20261101T0015Z_0a1b2c3d.log";
    std::fs::write(folder.path().join(name), fifty_interfaces()).unwrap();
    let objects = FolderObjects::open(&[folder.path().to_owned()]).unwrap();
    let refs: Vec<_> = objects.objects().map(|(object, _)| object.clone()).collect();
    let app = parser(objects, Metered::default());
    handle(&app, sqs(&refs)).await.unwrap();
    assert_eq!(app.store.parts(), 150);
    // The first object of a day pays for the directory, too.
    let each = app.store.bill("50 busy interfaces × 3 windows in the day's first object");
    assert!(each <= 2.7, "{each}");
}

#[tokio::test]
async fn a_generated_hour_costs_little_more_than_two_units_each() {
    let day = generate(11, 60, 100, &[]);
    let app = parser(day.objects(), Metered::default());
    let objects: Vec<_> = day.objects().objects().map(|(object, _)| object.clone()).collect();
    handle(&app, sqs(&objects)).await.unwrap();
    let store = &app.store;
    let each = store.bill("a generated hour");
    assert!(each <= 2.2, "{each}");

    // Compaction is paid for apart.
    compact_hours(&store.inner, Window::of(START).unwrap(), 1).await;
    let summaries = store.inner.all_summaries();
    let units: u64 = summaries.iter().map(capacity::of_summary).sum();
    eprintln!("its compaction: {} summaries, {units} write units", summaries.len());
    assert!(units <= 8 * summaries.len() as u64, "{units}");
}

/// Invented sources cost no more than eight write units for a key. However many there are, it is the
/// interfaces and windows that are paid for: a chunk is pruned before it is cut.
async fn flood(sources: u32) {
    let day = generate(12, 10, 100, &[Attack::SourceFlood { sources }]);
    let app = parser(day.objects(), Metered::default());
    let objects: Vec<_> = day.objects().objects().map(|(object, _)| object.clone()).collect();
    handle(&app, sqs(&objects)).await.unwrap();
    let store = &app.store;
    store.bill(&format!("{sources} invented sources"));
    eprintln!("the dearest partial: {} write units", store.dearest.get());
    assert!(store.dearest.get() <= 8, "the item of the fullest blob");
    let chunks = store.inner.all_partials().iter().map(|p| p.chunk).max();
    assert_eq!(chunks, Some(0));
}

#[tokio::test]
async fn invented_sources_cost_no_more_than_eight_units_for_a_key() {
    flood(200_000).await;
}

#[tokio::test]
#[ignore = "some minutes: make write-units"]
async fn ten_million_invented_sources_cost_no_more_than_eight_units_for_a_key() {
    flood(10_000_000).await;
}
