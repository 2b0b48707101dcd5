//! Questions to a store, against the truth about a generated day and against sums made from the
//! report of `analyze`.

use std::collections::BTreeMap;

use flowlog_cli::ask::{By, Period, Subject, hours, read, rejected, top, who, whole_period};
use flowlog_cli::generate::Attack;
use flowlog_core::compact::{self, compact_hour};
use flowlog_core::decode::{Fallback, Limits};
use flowlog_core::record::{Address, BatchId, Source, Window};
use flowlog_core::rollup::Rollup;
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::{AggregateWriter as _, DirectoryEntry, PartialItem, Series};
use flowlog_s3_parser::handle;

use crate::support::{Day, START, generate, parser, sqs};

async fn ingested(day: &Day) -> MemoryStore {
    let app = parser(day.objects(), MemoryStore::default());
    let objects: Vec<_> = day.objects().objects().map(|(object, _)| object.clone()).collect();
    handle(&app, sqs(&objects)).await.unwrap();
    app.store
}

#[tokio::test]
async fn answers_equal_the_truth() {
    for seed in 1..=10 {
        let day = generate(seed, 70, 80, &[Attack::PortScan]);
        let store = ingested(&day).await;
        let period = whole_period(&store).await.unwrap().unwrap();
        let everything = read(&store, &Subject::Everything, period).await.unwrap();
        let truth = &day.truth.totals;

        let coverage = everything.coverage();
        assert_eq!(coverage.done, day.truth.objects.len() as u64);
        assert!(coverage.is_complete());
        assert_eq!((coverage.counts.read, coverage.counts.parsed), (truth.read, truth.parsed));
        let by_hour = hours(&everything);
        let sum = |f: fn(&flowlog_core::store::summary::WindowTotals) -> u64| -> u64 {
            by_hour.values().map(|hour| f(&hour.totals)).sum()
        };
        assert_eq!(sum(|t| t.nodata), truth.nodata);
        assert_eq!(sum(|t| t.skipdata), truth.skipdata);
        assert_eq!(sum(|t| t.totals.accept.records + t.totals.reject.records), truth.parsed);

        // The same by another way: one pass over the files.
        let paths = [day.path().join("AWSLogs")];
        let report = flowlog_cli::analyze::analyze(
            &paths,
            Limits::default(),
            &Fallback::default(),
            &mut |line| panic!("{line}"),
        )
        .unwrap();
        assert_eq!(sum(|t| t.totals.reject.bytes), report.traffic().reject.bytes);
        assert_eq!(rejected(&everything, None, 10).total, report.traffic().reject);
        let talkers = top(&everything, By::Bytes, 5);
        for (ours, theirs) in talkers.rows.iter().zip(&report.top_talkers) {
            // Two ways of cutting lists: within what either may have left out.
            let (ours, theirs) = (ours.sums.bytes(), theirs.bytes_in + theirs.bytes_out);
            let slack = talkers.error_bytes.max(report.coverage.talkers_error);
            assert!(ours.abs_diff(theirs) <= slack, "{ours} and {theirs}, {slack}");
        }
    }
}

#[tokio::test]
async fn scopes_answer_as_their_interfaces_do_and_so_do_summaries() {
    let day = generate(3, 70, 80, &[Attack::PortScan]);
    let store = ingested(&day).await;
    let period = whole_period(&store).await.unwrap().unwrap();
    let everything = read(&store, &Subject::Everything, period).await.unwrap();
    let mut by_vpc = BTreeMap::new();
    for (series, answer) in &everything.answers {
        let folded = answer.fold();
        assert!(!folded.vpc_id.is_empty(), "{}", series.subject);
        let sums = by_vpc.entry(folded.vpc_id.clone()).or_insert(0);
        *sums += answer.totals().totals.reject.records;
    }
    assert!(by_vpc.len() >= 2, "two peered VPCs");
    let scopes = async |store: &MemoryStore| {
        let mut scopes = BTreeMap::new();
        for vpc in by_vpc.keys() {
            let material = read(store, &Subject::Scope(vpc.clone()), period).await.unwrap();
            scopes.insert(vpc.clone(), rejected(&material, None, 5).total.records);
        }
        scopes
    };
    assert_eq!(scopes(&store).await, by_vpc);
    for series in compact::series_of_day(&store, "20261101").await.unwrap() {
        for hour in [START, START + 3600] {
            let hour = Window::of(hour).unwrap();
            compact_hour(&store, &series, hour).await.unwrap();
        }
    }
    store.expire(START + 36 * 86_400);
    assert!(store.all_partials().iter().all(|p| p.ttl() > START + 36 * 86_400));
    assert_eq!(scopes(&store).await, by_vpc, "a year later");
}

#[tokio::test]
async fn what_another_source_saw_is_named_and_not_added() {
    let store = MemoryStore::default();
    let window = Window::of(START).unwrap();
    let rollup = Rollup { nodata: 3, ..Rollup::default() };
    for (name, source) in [("a", "fl-1"), ("b", "fl-2"), ("c", "cw-1")] {
        let series = Series::interface(Source::parse(source).unwrap(), "eni-1");
        let partial = PartialItem {
            series: series.clone(),
            window,
            batch: BatchId::of_object("b", name),
            chunk: 0,
            mapping: 2,
            totals: rollup.totals(),
            blob: rollup.encode(),
        };
        store.put_partials(&[partial]).await.unwrap();
        let day = window.day();
        let of_source = DirectoryEntry::Source { day: day.clone(), source: series.source.clone() };
        store.put_directory(&[of_source, DirectoryEntry::Series { day, series }]).await.unwrap();
    }
    let period = Period { from: window, to: window };
    let material = read(&store, &Subject::Everything, period).await.unwrap();
    assert_eq!(material.answers.len(), 1);
    assert_eq!(material.answers[0].1.totals().nodata, 3, "one source's");
    let also = |source: &str| format!("eni-1 is also seen by {source}, which is not added");
    assert_eq!(material.notes, [also("fl-2"), also("cw-1")]);
}

#[tokio::test]
async fn who_finds_a_scanner_where_it_was() {
    let day = generate(5, 30, 80, &[Attack::PortScan]);
    let store = ingested(&day).await;
    let planted = &day.truth.attacks[0];
    let period = whole_period(&store).await.unwrap().unwrap();
    let everything = read(&store, &Subject::Everything, period).await.unwrap();
    let source = Address::parse(planted.source.as_deref().unwrap()).unwrap();
    let answer = who(&everything, source);
    let victim = planted.interface_id.as_deref().unwrap();
    let seen = answer.seen.iter().find(|seen| seen.subject == victim).unwrap();
    assert!(seen.refused.as_ref().unwrap().records >= 60);
    assert!(!seen.tuples.is_empty(), "inside to inside");
    let (first, last) = seen.windows.unwrap();
    assert!(first <= last && period.from <= first && last <= period.to);

    let nobody = who(&everything, Address::parse("198.51.100.77").unwrap());
    assert!(nobody.seen.is_empty());
    let before = Period { from: period.from.back(600), to: period.from.back(300) };
    let nothing = read(&store, &Subject::Everything, before).await.unwrap();
    assert!(nothing.answers.is_empty());
}
