//! How long questions take on a store of a month: `month DIR [INTERFACES] [DAYS]`. A bench, no test.
//!
//! Makes `DIR/month.db` if it is not there — a partial for each interface and five minutes, of the records
//! of a busy web server, deliveries that are done, and the summary of each hour — and then puts questions to it as the command does, each three times.

#![allow(
    clippy::disallowed_methods,
    clippy::format_push_string,
    reason = "a bench measures time, and makes its text once"
)]

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use flowlog_aws::DynamoDbStore;
use flowlog_cli::ask::{By, Period, Subject, read, rejected, top};
use flowlog_cli::embedded::{EmbeddedDb, Location};
use flowlog_core::compact::compact_hour;
use flowlog_core::decode::{Counts, Fallback, Limits, ObjectDecoder};
use flowlog_core::record::{BatchId, Source, Window};
use flowlog_core::rollup::{Accumulator, Budget, Rollup};
use flowlog_core::store::{
    AggregateWriter as _, Claim, Completion, DirectoryEntry, Ledger as _, PartialItem, Series,
};

const START: i64 = 1_793_491_200;
type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Fallible<()> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: month DIR [INTERFACES] [DAYS]")?);
    let mut number = |default: i64| -> Fallible<i64> {
        let Some(text) = arguments.next() else { return Ok(default) };
        Ok(text.to_str().ok_or("no number")?.parse()?)
    };
    let (interfaces, days) = (number(50)?, number(30)?);
    let path = folder.join("month.db");
    let is_there = path.exists();
    let database = EmbeddedDb::open(Location::File(path)).await?;
    let store = database.store();
    let mut out = std::io::stdout();
    if !is_there {
        let began = Instant::now();
        fill(&store, interfaces, days).await?;
        writeln!(out, "{} partials written in {:.0?}", interfaces * days * 288, began.elapsed())?;
    }
    let end = Window::of(START + days * 86_400 - 300).ok_or("time")?;
    let one = Subject::Interface(id(0));
    for (name, subject, windows) in [
        ("the last hour, every interface", Subject::Everything, 12),
        ("the last day, every interface", Subject::Everything, 288),
        ("the last day, one interface", one.clone(), 288),
        ("everything of one interface", one, 288 * days),
    ] {
        let period = Period { from: end.back(windows - 1), to: end };
        for _ in 0..3 {
            let began = Instant::now();
            let material = read(&store, &subject, period).await?;
            let (top, rejected) = (top(&material, By::Bytes, 20), rejected(&material, None, 20));
            writeln!(
                out,
                "{name}: {:.2?} ({} talkers, {} refused records)",
                began.elapsed(),
                top.rows.len(),
                rejected.total.records
            )?;
        }
    }
    Ok(())
}

fn id(n: i64) -> String {
    format!("eni-{n:017x}")
}

async fn fill(store: &DynamoDbStore, interfaces: i64, days: i64) -> Fallible<()> {
    let source = Source::parse("fl-0123456789abcdef0").ok_or("source")?;
    let rollup = rollup()?;
    let (totals, blob) = (rollup.totals(), rollup.encode());
    for day in 0..days {
        let first = Window::of(START + day * 86_400).ok_or("time")?;
        let mut entries = vec![DirectoryEntry::Source { day: first.day(), source: source.clone() }];
        for n in 0..interfaces {
            let series = Series::interface(source.clone(), id(n));
            let partials: Vec<PartialItem> = (0..288)
                .map(|window| PartialItem {
                    series: series.clone(),
                    window: first.forward(window),
                    batch: batch(day, window),
                    chunk: 0,
                    mapping: 2,
                    totals,
                    blob: blob.clone(),
                })
                .collect();
            store.put_partials(&partials).await?;
            entries.push(DirectoryEntry::Series { day: first.day(), series });
        }
        store.put_directory(&entries).await?;
        for window in 0..288 {
            deliver(store, batch(day, window), first.forward(window)).await?;
        }
        for n in 0..interfaces {
            let series = Series::interface(source.clone(), id(n));
            for hour in 0..24 {
                compact_hour(store, &series, first.forward(12 * hour)).await?;
            }
        }
    }
    Ok(())
}

fn batch(day: i64, window: i64) -> BatchId {
    BatchId::of_object("month", &format!("{day} {window}"))
}

/// What the ledger has of a delivery that is done.
async fn deliver(store: &DynamoDbStore, batch: BatchId, window: Window) -> Fallible<()> {
    let etag = "e".to_owned();
    let (origin, ttl) = (format!("s3://month/{window}"), window.end() + 400 * 86_400);
    store.claim(&Claim { batch, mapping: 2, etag, origin, horizon: None, ttl }).await?;
    let done = Completion { counts: Counts::default(), partials: 50, digest: String::new() };
    store.complete(batch, "e", &done).await?;
    Ok(())
}

/// A window of a web server: 24 clients, 6 refused strangers.
fn rollup() -> Fallible<Rollup> {
    let mut text = String::new();
    for n in 0..24 {
        text += &format!(
            "2 1 eni-0 198.51.100.{n} 10.0.0.5 50000 443 6 20 1800 {START} {} ACCEPT OK\n",
            START + 50
        );
        text += &format!(
            "2 1 eni-0 10.0.0.5 198.51.100.{n} 443 50000 6 30 42000 {START} {} ACCEPT OK\n",
            START + 50
        );
    }
    for n in 0..6 {
        text += &format!(
            "2 1 eni-0 203.0.113.{n} 10.0.0.5 50000 {} 6 1 40 {START} {} REJECT OK\n",
            22 + n,
            START + 5
        );
    }
    let sink = Accumulator::new(Budget::default(), None);
    let mut decoder = ObjectDecoder::new(Limits::default(), Fallback::Default, None, sink);
    decoder.push(text.as_bytes())?;
    let chunks = decoder.finish()?.sink.finish();
    let rollup = chunks.into_iter().flatten().next().ok_or("no roll-up")?.2;
    Ok(rollup)
}
