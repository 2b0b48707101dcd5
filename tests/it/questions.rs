//! Questions to a store, against the truth about a generated day and against sums made from the
//! report of `analyze`.

use std::collections::BTreeMap;

use flowlog_cli::ask::{
    By, Period, Subject, hours, read, read_in_pieces, rejected, top, who, whole_period,
};
use flowlog_cli::generate::Attack;
use flowlog_cli::replay::{read_store, replay};
use flowlog_core::decode::RecordSink as _;
use flowlog_core::decode::{Counts, Fallback, Limits};
use flowlog_core::detect::RuleSet;
use flowlog_core::record::{Action, Address, BatchId, Record, Source, Window};
use flowlog_core::rollup::{Accumulator, Budget, Rollup};
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::reader::{Coverage, Detail, Pieces};
use flowlog_core::store::{
    AggregateWriter as _, Claim, Completion, DirectoryEntry, Ledger as _, PartialItem, Series,
};

use crate::support::{START, compact_hours, generate, ingested};

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
        let by_hour = hours(&everything).by_hour;
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

/// Nothing of such a delivery was written, so that no item leads to it.
#[tokio::test]
async fn what_is_quarantined_makes_answers_of_its_time_incomplete() {
    let store = ingested(&generate(3, 180, 30, &[])).await;
    let start = Window::of(START).unwrap();
    let quarantine = async |origin: &str| {
        let batch = BatchId::of_object(origin, "e");
        store.claim(&claim(batch, origin.to_owned())).await.unwrap();
        store.quarantine(batch, "corrupt_gzip").await.unwrap();
    };
    let unusable = async |from: i64, to: i64| {
        let period = Period { from: start.forward(from), to: start.forward(to) };
        let material = read(&store, &Subject::Everything, period).await.unwrap();
        assert_eq!(material.is_complete(), material.coverage().quarantined == 0);
        material.coverage().quarantined
    };
    assert_eq!(unusable(0, 35).await, 0);
    // S3 has what the other path lost.
    quarantine("logs:flowlog/eni-1").await;
    assert_eq!(unusable(0, 35).await, 0);
    quarantine("s3://b/AWSLogs/1/vpcflowlogs/r/1_vpcflowlogs_r_fl-1_20261101T0200Z_1.log.gz").await;
    assert_eq!((unusable(0, 35).await, unusable(20, 26).await, unusable(0, 11).await), (1, 1, 0));
    let replayed = async |from: i64, to: i64| {
        let period = Period { from: start.forward(from), to: start.forward(to) };
        let mut said = Vec::new();
        read_store(&store, period, &mut |line| said.push(line)).await.unwrap();
        said.iter().any(|line| line.contains("1 quarantined"))
    };
    assert!(replayed(0, 35).await);
    assert!(!replayed(0, 11).await);
    quarantine("s3://b/of-any-time.log.gz").await;
    assert_eq!((unusable(0, 35).await, unusable(0, 11).await), (2, 1));
}

#[tokio::test]
async fn scopes_answer_as_their_interfaces_do_and_so_do_summaries() {
    let day = generate(3, 70, 80, &[Attack::PortScan]);
    let store = ingested(&day).await;
    let period = whole_period(&store).await.unwrap().unwrap();
    let everything = read(&store, &Subject::Everything, period).await.unwrap();
    let mut by_vpc = BTreeMap::new();
    for (id, answer) in &everything.answers {
        let folded = answer.fold();
        assert!(!folded.vpc_id.is_empty(), "{id}");
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
    compact_hours(&store, Window::of(START).unwrap(), 2).await;
    store.expire(START + 36 * 86_400);
    assert!(store.all_partials().iter().all(|p| p.ttl() > START + 36 * 86_400));
    assert_eq!(scopes(&store).await, by_vpc, "a year later");
}

fn claim(batch: BatchId, origin: String) -> Claim {
    Claim {
        batch,
        mapping: 2,
        etag: "e".to_owned(),
        origin,
        horizon: None,
        ttl: START + 40 * 86_400,
    }
}

/// A store in which sources saw one interface: NODATA records in windows, a delivery for each.
async fn seen_by(sources: &[(&'static str, std::ops::Range<i64>, u64)]) -> MemoryStore {
    let of = |(source, windows, nodata): &(&'static str, std::ops::Range<i64>, u64)| {
        (*source, windows.clone(), Rollup { nodata: *nodata, ..Rollup::default() })
    };
    stored(&sources.iter().map(of).collect::<Vec<_>>()).await
}

/// The same with whatever was recorded in each window.
async fn stored(sources: &[(&str, std::ops::Range<i64>, Rollup)]) -> MemoryStore {
    let store = MemoryStore::default();
    let start = Window::of(START).unwrap();
    for (source, windows, rollup) in sources {
        let series = Series::interface(Source::parse(source).unwrap(), "eni-1");
        for n in windows.clone() {
            let window = start.forward(n);
            let batch = BatchId::of_object(source, &n.to_string());
            store.claim(&claim(batch, format!("s3://{source}/{n}"))).await.unwrap();
            let partial = PartialItem {
                series: series.clone(),
                window,
                batch,
                chunk: 0,
                mapping: 2,
                totals: rollup.totals(),
                blob: rollup.encode(),
            };
            store.put_partials(&[partial]).await.unwrap();
            let nodata = rollup.nodata;
            let counts = Counts { read: nodata, nodata, ..Counts::default() };
            let done = Completion { counts, partials: 1, digest: String::new() };
            store.complete(batch, "e", &done).await.unwrap();
            let day = window.day();
            let of = DirectoryEntry::Source { day: day.clone(), source: series.source.clone() };
            let entries = [of, DirectoryEntry::Series { day, series: series.clone() }];
            store.put_directory(&entries).await.unwrap();
        }
    }
    store
}

/// A flow log with many windows in which it has nothing must not hide one with few in which there is something.
#[tokio::test]
async fn a_window_without_records_hides_none_that_has_some() {
    let refused = one_record(Action::Reject);
    let silent = Rollup { nodata: 1, ..Rollup::default() };
    let empty = ("fl-9", 0..20, silent.clone());
    for real in [
        vec![("fl-1", 5..15, refused.clone())],
        vec![("fl-1", 5..6, refused), ("fl-1", 6..15, silent)],
    ] {
        let records = u64::try_from(real[0].1.clone().count()).unwrap();
        let store = stored(&[vec![empty.clone()], real].concat()).await;
        let material = read(&store, &Subject::Everything, first_days(1)).await.unwrap();
        let (_, answer) = &material.answers[0];
        assert_eq!(answer.windows.len(), 20);
        assert_eq!(answer.totals().totals.reject.records, records);
        assert_eq!(answer.fold().rejected_sources.len(), 1);
    }
}

/// The roll-up of one record.
fn one_record(action: Action) -> Rollup {
    let mut accumulator = Accumulator::new(Budget::default(), None);
    accumulator.record(&Record {
        interface_id: Some("eni-1"),
        srcaddr: Address::parse("203.0.113.9"),
        dstaddr: Address::parse("10.0.0.5"),
        action,
        packets: 1,
        bytes: 40,
        start: Some(START),
        end: Some(START),
        ..Record::empty()
    });
    accumulator.finish().pop().unwrap().pop().unwrap().2
}

/// A VPC may have a flow log of what is accepted and one of what is refused: no record is in both.
#[tokio::test]
async fn what_one_flow_log_accepted_and_another_refused_is_added() {
    let [accepted, refused] = [Action::Accept, Action::Reject].map(one_record);
    let mut all = accepted.clone();
    all.merge(&refused);
    let two = vec![("fl-1", 0..20, accepted.clone()), ("fl-2", 5..25, refused)];
    // Who has both comes first, and nothing of the others is added to it.
    let three = [two.clone(), vec![("fl-3", 0..20, all), ("fl-4", 0..20, accepted)]].concat();
    for (sources, records) in [(two, (20, 20)), (three, (20, 25))] {
        let store = stored(&sources).await;
        for is_folded in [false, true] {
            if is_folded {
                compact_hours(&store, Window::of(START).unwrap(), 24).await;
                store.expire(START + 38 * 86_400);
            }
            let material = read(&store, &Subject::Everything, first_days(1)).await.unwrap();
            let (_, answer) = &material.answers[0];
            let totals = answer.totals().totals;
            assert_eq!((totals.accept.records, totals.reject.records), records);
            let lists = answer.fold();
            assert_eq!((lists.talkers.len(), lists.rejected_sources.len()), (1, 1));
        }
    }
}

/// A flow log that aggregates for ten minutes fills every other window with what another one has in two.
#[tokio::test]
async fn behind_a_window_of_ten_minutes_nothing_is_added() {
    let accepted = one_record(Action::Accept);
    let slow = |windows: std::ops::Range<i64>| {
        windows.step_by(2).map(|n| ("fl-1", n..n + 1, accepted.clone())).collect::<Vec<_>>()
    };
    for (slow, quick, windows) in [(slow(0..20), 10..31, 5 + 21), (slow(0..40), 30..45, 20 + 5)] {
        let store = stored(&[slow, vec![("fl-2", quick, accepted.clone())]].concat()).await;
        let material = read(&store, &Subject::Everything, first_days(1)).await.unwrap();
        assert_eq!(material.answers[0].1.totals().totals.accept.records, windows);
    }
}

/// A row may be of any second that can be written.
#[tokio::test]
async fn what_was_in_the_last_window_of_all_is_found() {
    let ever = 1 << 40;
    let store = seen_by(&[("fl-1", ever..ever + 1, 3)]).await;
    let period = whole_period(&store).await.unwrap().unwrap();
    let material = read(&store, &Subject::Everything, period).await.unwrap();
    assert_eq!(material.answers[0].1.totals().nodata, 3);
    let recording = read_store(&store, period, &mut |line| panic!("{line}")).await.unwrap();
    replay(&recording, &RuleSet::default()).await.unwrap();
}

fn first_days(days: i64) -> Period {
    let from = Window::of(START).unwrap();
    Period { from, to: from.forward(288 * days - 1) }
}

#[tokio::test]
async fn what_another_source_saw_is_named_and_not_added() {
    let store = seen_by(&[("fl-1", 0..1, 3), ("fl-2", 0..1, 3), ("cw-1", 0..1, 3)]).await;
    let material = read(&store, &Subject::Everything, first_days(1)).await.unwrap();
    assert_eq!(material.answers.len(), 1);
    assert_eq!(material.answers[0].1.totals().nodata, 3, "one source's");
    let also = |source: &str| format!("eni-1 is also seen by {source}, which is not added");
    assert_eq!(material.notes, [also("fl-2"), also("cw-1")]);
    assert_eq!(material.coverage().done, 1);
}

/// Of two flow logs neither has anything of the evening.
#[tokio::test]
async fn no_source_is_added_to_where_nobody_speaks() {
    let store = seen_by(&[("fl-1", 0..1, 3), ("fl-2", 0..1, 3)]).await;
    let from = Window::of(START).unwrap().forward(200);
    let evening = Period { from, to: from.forward(12) };
    let material = read(&store, &Subject::Everything, evening).await.unwrap();
    let notes = material.all_notes();
    assert!(material.notes.is_empty() && notes[0].starts_with("nothing is on record"), "{notes:?}");
    assert_eq!(notes.len(), 1);
}

/// A flow log's format cannot be changed: who wants another one replaces it, in the middle of an hour.
#[tokio::test]
async fn a_flow_log_that_replaces_another_is_followed() {
    // Both are there for windows 148 and 149, and a log group all the time.
    let sources = [("fl-9", 0..150, 100), ("fl-1", 148..300, 1), ("cw-1", 0..300, 10_000)];
    let store = seen_by(&sources).await;
    let check = async |when: &str| {
        let material = read(&store, &Subject::Everything, first_days(2)).await.unwrap();
        let (_, answer) = &material.answers[0];
        assert_eq!(answer.windows.len(), 300, "{when}");
        // The one that was there for longer speaks for both.
        assert_eq!(answer.totals().nodata, 148 * 100 + 152, "{when}");
        assert_eq!(
            material.notes,
            [
                "eni-1 was seen by more than one flow log (fl-1, fl-9): each window is read from one, or from one that has only what was accepted and one that has only what was refused",
                "eni-1 is also seen by cw-1, which is not added",
            ],
            "{when}"
        );
        let mut answer = answer.clone();
        answer.deliveries.clone_from(&material.deliveries);
        answer
    };
    let answer = check("as it came").await;
    assert_eq!(answer.fold().nodata, 148 * 100 + 152);
    assert_eq!(Coverage::of(&answer.deliveries).done, 302, "what a speaking source brought");

    // Folded, and the partials gone: the lists of the hour in which both were there are one's.
    compact_hours(&store, first_days(1).from, 25).await;
    store.expire(START + 38 * 86_400);
    assert!(store.all_partials().is_empty());
    let answer = check("a month later").await;
    assert!(answer.detailed.is_empty() && answer.hours.len() == 25);
    assert_eq!(answer.fold().nodata, 144 * 100 + 152, "the lists of 12:00 to 13:00 are fl-1's");

    // A day on which only the log group saw it is the log group's.
    let store = seen_by(&[("fl-1", 0..20, 1), ("cw-1", 10..310, 100)]).await;
    let material = read(&store, &Subject::Everything, first_days(2)).await.unwrap();
    assert_eq!(material.answers[0].1.totals().nodata, 20 + 22 * 100);
}

/// A flow log that begins late on a day hides nothing of what another source has of that day.
#[tokio::test]
async fn before_and_after_a_source_with_more_authority_others_speak() {
    // Ten minutes each: the window after one is its own.
    let mut sources: Vec<(&str, std::ops::Range<i64>, u64)> =
        (100..200).step_by(2).map(|n| ("fl-1", n..n + 1, 1)).collect();
    sources.extend([("s3-1", 0..250, 100), ("cw-1", 0..280, 10_000)]);
    let store = seen_by(&sources).await;
    let start = Window::of(START).unwrap();
    let check = async |when: &str, is_folded: bool| {
        for (from, to, windows, nodata) in [
            (0, 287, 100 + 50 + 50, 100 * 100 + 50 + 50 * 100),
            (0, 49, 50, 50 * 100),
            (90, 101, 11, 10 * 100 + 1),
            // Between its windows, it is silent itself.
            (101, 101, 0, 0),
            (101, 103, 1, 1),
            (150, 201, 25 + 2, 25 + 2 * 100),
            (199, 200, 1, 100),
            (210, 219, 10, 10 * 100),
            // A log group may have the refused traffic only.
            (240, 259, 10, 10 * 100),
        ] {
            let period = Period { from: start.forward(from), to: start.forward(to) };
            for detail in [Detail::WINDOWS, Detail::of(Pieces::One), Detail::of(Pieces::Days)] {
                let read = read_in_pieces(&store, &Subject::Everything, period, detail).await;
                let answers = read.unwrap().answers;
                let found = answers.first().map_or((0, 0), |(_, answer)| {
                    let total = answer.totals().nodata;
                    assert!(is_folded || answer.fold().nodata == total, "{from} to {to}");
                    (answer.windows.len(), total)
                });
                assert_eq!(found, (windows, nodata), "{when}: {from} to {to}, {detail:?}");
            }
        }
    };
    check("as it came", false).await;
    let early = Period { from: start, to: start.forward(49) };
    let material = read(&store, &Subject::Everything, early).await.unwrap();
    assert_eq!(material.notes, ["eni-1 is also seen by cw-1, which is not added"]);
    compact_hours(&store, start, 24).await;
    store.expire(START + 38 * 86_400);
    assert!(store.all_partials().is_empty());
    check("a month later", true).await;
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
