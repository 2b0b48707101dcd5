//! What a question reads of a store.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;

use flowlog_cli::ask::{Asked, Period, Subject, read, read_who, read_why};
use flowlog_core::record::{Address, BatchId, Source, Window};
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::{
    AggregateReader, LedgerEntry, LedgerReader, PartialItem, Quarantine, Series, SeriesItems,
    StoreError, View,
};
use flowlog_core::why::Path;

use crate::support::{START, delivered};

/// A store that counts what is read of it.
#[derive(Debug, Default)]
struct Counted {
    store: MemoryStore,
    /// Queries of the directory for subjects.
    directory: Cell<usize>,
    /// Partials by subject.
    partials: RefCell<BTreeMap<String, usize>>,
}

impl AggregateReader for Counted {
    async fn partials(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> Result<Vec<PartialItem>, StoreError> {
        self.store.partials(series, from, to).await
    }

    async fn items(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> Result<SeriesItems, StoreError> {
        let items = self.store.items(series, from, to).await?;
        let mut partials = self.partials.borrow_mut();
        *partials.entry(series.subject.clone()).or_default() += items.partials.len();
        Ok(items)
    }

    async fn sources(&self, from: &str, to: &str) -> Result<Vec<(String, Source)>, StoreError> {
        self.store.sources(from, to).await
    }

    async fn subjects(
        &self,
        source: &Source,
        view: View,
        day: &str,
    ) -> Result<Vec<String>, StoreError> {
        self.directory.set(self.directory.get() + 1);
        self.store.subjects(source, view, day).await
    }
}

impl LedgerReader for Counted {
    async fn entries(&self, batches: &[BatchId]) -> Result<Vec<Option<LedgerEntry>>, StoreError> {
        self.store.entries(batches).await
    }
}

impl Quarantine for Counted {
    async fn quarantined(&self) -> Result<Vec<(BatchId, LedgerEntry)>, StoreError> {
        self.store.quarantined().await
    }

    async fn reopen(&self, batch: BatchId) -> Result<bool, StoreError> {
        self.store.reopen(batch).await
    }
}

impl Asked for Counted {}

const HOURS: i64 = 6;
const CLIENT: &str = "10.1.0.9";
const SERVER: &str = "10.0.0.5";

/// Six hours of two interfaces: in each window of each one a connection is let in, and in the next one it is refused.
async fn six_hours() -> (Counted, Period) {
    let mut text = "account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status vpc-id\n".to_owned();
    for (id, server, vpc) in [("eni-a", SERVER, "vpc-1"), ("eni-b", "10.2.0.5", "vpc-2")] {
        for n in 0..HOURS * 12 {
            let at = START + 300 * n;
            let mut row = |src: &str, dst: &str, ports: &str, action: &str| {
                let end = at + 50;
                let _ = writeln!(
                    text,
                    "123456789012 {id} {src} {dst} {ports} 6 9 900 {at} {end} {action} OK {vpc}"
                );
            };
            row("10.1.0.77", server, "50000 6380", "REJECT");
            if n % 2 == 0 {
                row(CLIENT, server, "50000 6379", "ACCEPT");
                row(server, CLIENT, "6379 50000", "ACCEPT");
            } else {
                row(CLIENT, server, "50000 6379", "REJECT");
            }
        }
    }
    let counted = Counted { store: delivered(&[text]).await, ..Counted::default() };
    let from = Window::of(START).unwrap();
    (counted, Period { from, to: from.forward(HOURS * 12 - 1) })
}

#[tokio::test]
async fn the_directory_is_read_once() {
    let (store, period) = six_hours().await;
    let (client, server) = (Address::parse(CLIENT).unwrap(), Address::parse(SERVER).unwrap());
    let path = Path { src: client, dst: server, port: Some(6379), protocol: None };
    let (_, evidence) = read_why(&store, &Subject::Everything, period, path).await.unwrap();
    assert_eq!(evidence.dst.interfaces.len(), 1, "{evidence:?}");
    let [legs] = &evidence.services.values().collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!(legs.arrived.refused.windows.len(), 36, "window by window");
    assert_eq!(store.directory.take(), 1);

    let (_, who) = read_who(&store, &Subject::Everything, period, client).await.unwrap();
    assert_eq!(who.seen.len(), 2);
    for seen in who.seen {
        assert_eq!(seen.windows, Some((period.from, period.to)));
    }
    assert_eq!(store.directory.take(), 1);
}

/// An interface is in one VPC and one account: its last hour tells that it is not meant.
#[tokio::test]
async fn of_interfaces_elsewhere_an_hour_is_read() {
    let (store, period) = six_hours().await;
    for (scope, is_there) in [("vpc-1", true), ("vpc-2", false)] {
        let asked = Subject::Scope(scope.to_owned());
        let material = read(&store, &asked, period).await.unwrap();
        let [(id, answer)] = &material.answers[..] else { panic!("{material:?}") };
        assert_eq!(
            (id.as_str(), answer.windows.len()),
            (if is_there { "eni-a" } else { "eni-b" }, 72)
        );
        let read = store.partials.take();
        let of = |is_meant: bool| if is_meant { 12 + 72 } else { 12 };
        assert_eq!((read["eni-a"], read["eni-b"]), (of(is_there), of(!is_there)));
    }
    // Nothing tells it when it was silent in that hour.
    let longer = Period { to: period.to.forward(48), ..period };
    let vpc = Subject::Scope("vpc-1".to_owned());
    assert_eq!(read(&store, &vpc, longer).await.unwrap().answers.len(), 1);
    assert_eq!(store.partials.take()["eni-b"], 72);
    // Of an hour there is nothing to save.
    let hour = Period { from: period.to.hour(), ..period };
    assert_eq!(read(&store, &vpc, hour).await.unwrap().answers.len(), 1);
    assert_eq!(store.partials.take()["eni-b"], 12);
}
