//! The embedded database: what the engine's private schema must keep, opening, closing, speed.

use std::time::Instant;

use flowlog_aws::streams::StreamReader;
use flowlog_core::decode::Limits;
use flowlog_core::record::{BatchId, Source, Window};
use flowlog_core::rollup::{ActionTotals, Sums};
use flowlog_core::store::summary::Part;
use flowlog_core::store::{
    AggregateReader as _, AggregateWriter as _, Ledger as _, LedgerReader as _, PartialItem,
    Series, View,
};
use flowlog_core::store::{ClaimOutcome, contract};

use super::*;
use crate::generate::{self, FileFormat, Layout, Plan};
use crate::local;

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
    assert!(matches!(&error, EmbeddedError::NoStore(at) if *at == path), "{error}");
    // What begins as a database is for the engine to judge.
    let broken = folder.path().join("broken.db");
    std::fs::write(&broken, "SQLite format 3\0 and nothing of it ".repeat(40)).unwrap();
    let error = EmbeddedDb::open(Location::File(broken.clone())).await.unwrap_err();
    assert!(matches!(&error, EmbeddedError::Open { path, .. } if *path == broken), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a/b/flows.db");
    let db = EmbeddedDb::open(Location::File(path.clone())).await.unwrap();
    db.store().put_partials(&partials(1)).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for parent in ["a", "a/b"] {
        assert_eq!(mode(&folder.path().join(parent)), 0o700, "{parent}");
    }
    let files = std::fs::read_dir(folder.path().join("a/b")).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    assert!(files.len() > 1, "SQLite's own are beside it: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
    drop(db);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let db = EmbeddedDb::open(Location::File(path.clone())).await.unwrap();
    assert_eq!(mode(&path), 0o640, "somebody chose it");
    drop(db);
}

/// The status and the headers of a response to these headers.
fn post(port: &str, headers: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    let body = "{}";
    write!(
        stream,
        "{headers}Connection: close\r\nContent-Type: application/x-amz-json-1.0\r\n\
         X-Amz-Target: DynamoDB_20120810.ListTables\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn over_http_only_programs_on_this_machine_are_answered() {
    let db = EmbeddedDb::open(Location::Temporary).await.unwrap();
    let server = db.serve(0).unwrap();
    let endpoint = server.endpoint();
    let port = endpoint.rsplit(':').next().unwrap();
    let own = format!("Host: 127.0.0.1:{port}\r\n");
    let answer = post(port, &format!("POST / HTTP/1.1\r\n{own}"));
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("FlowAggregates"), "{answer}");
    for (first, status) in [
        (format!("POST / HTTP/1.1\r\n{own}Origin: https://example.com\r\n"), 403),
        (format!("POST / HTTP/1.1\r\n{own}Origin: null\r\n"), 403),
        (format!("POST / HTTP/1.1\r\nHost: rebound.example.com:{port}\r\n"), 403),
        (format!("POST / HTTP/1.1\r\nHost: 127.0.0.1.example.com:{port}\r\n"), 403),
        (format!("OPTIONS / HTTP/1.1\r\n{own}Origin: https://example.com\r\n"), 405),
    ] {
        let answer = post(port, &first);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{first}{answer}");
        assert!(!answer.contains("FlowAggregates"), "{answer}");
        assert!(!answer.to_lowercase().contains("access-control-"), "{answer}");
    }
    let over_http = DynamoDbStore::new(&sdk::local(&endpoint), db.tables().clone());
    let put = partials(3000);
    over_http.put_partials(&put).await.unwrap();
    let series = &put[0].series;
    let found = db.store().partials(series, put[0].window, put[0].window).await.unwrap();
    assert_eq!(found, put[..1]);
}

#[tokio::test]
async fn a_database_that_is_closed_answers_nobody() {
    let db = EmbeddedDb::open(Location::Temporary).await.unwrap();
    let store = db.store();
    drop(db);
    store.sources("20261101", "20261102").await.unwrap_err();
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

/// What is read beside the engine is what the engine says, of whole hours and parts of them, before and after
/// something is late.
#[tokio::test]
async fn the_file_says_what_the_engine_says() {
    let folder = TempDir::new().unwrap();
    let (sample, location) =
        (folder.path().join("sample"), Location::File(folder.path().join("flows.db")));
    let plan = Plan {
        seed: 1,
        start: 1_793_491_200,
        minutes: 150,
        rate: 60,
        format: Layout::V5,
        file_format: FileFormat::default(),
        attacks: Vec::new(),
        intensity: generate::USUAL,
    };
    generate::write(&plan, &sample).unwrap();
    let mut complain = |line: String| panic!("{line}");
    let paths = [sample];
    let run = local::run(&paths, location.clone(), Limits::default(), &mut complain);
    Box::pin(run).await.unwrap();
    let db = EmbeddedDb::open(location).await.unwrap();
    let (store, file) = (db.store(), db.reader());

    let sources = store.sources("20261101", "20261102").await.unwrap();
    assert_eq!(file.sources("20261101", "20261102").await.unwrap(), sources);
    assert!(file.sources("20261102", "20261102").await.unwrap().is_empty());
    let mut all: Vec<Series> = Vec::new();
    for (day, source) in &sources {
        for view in [View::Interface, View::Scope] {
            let subjects = store.subjects(source, view, day).await.unwrap();
            assert_eq!(file.subjects(source, view, day).await.unwrap(), subjects);
            let of = |subject| Series { source: source.clone(), view, subject };
            all.extend(subjects.into_iter().map(of));
        }
    }
    assert!(all.len() > 10, "{}", all.len());
    let at = |n: i64| Window::of(plan.start).unwrap().forward(n);
    let (mut spared, mut batches) = (0, Vec::new());
    for late in [false, true] {
        if late {
            // Of the first series one more partial of the first hour, which no summary has.
            let mut partial = store.partials(&all[0], at(0), at(11)).await.unwrap().remove(0);
            partial.batch = BatchId::of_object("b", "late");
            store.put_partials(&[partial]).await.unwrap();
        }
        for series in &all {
            for (from, to) in [(0, 287), (0, 11), (3, 20), (12, 23), (-5, 300), (7, 7), (9, 2)] {
                let (from, to) = (at(from), at(to));
                let items = store.items(series, from, to).await.unwrap();
                assert_eq!(file.items(series, from, to).await.unwrap(), items);
                assert_eq!(file.partials(series, from, to).await.unwrap(), items.partials);
                let condensed = file.condensed(series, from, to).await.unwrap();
                assert_eq!(condensed.summaries, items.summaries);
                let mut expected = items.partials.clone();
                for summary in &items.summaries {
                    let of_hour = expected.iter().filter(|p| p.window.hour() == summary.hour);
                    let there: Vec<Part> = of_hour.map(Part::of).collect();
                    if summary.stands_for(&there, from, to) {
                        expected.retain(|p| p.window.hour() != summary.hour);
                    }
                }
                assert_eq!(condensed.partials, expected);
                spared += items.partials.len() - expected.len();
                batches.extend(items.partials.iter().map(|partial| partial.batch));
            }
        }
        let first = file.condensed(&all[0], at(0), at(11)).await.unwrap();
        assert_eq!(first.partials.is_empty(), !late, "a late one, and the hour is read as it is");
    }
    assert!(spared > 500, "{spared}");
    batches.sort_unstable();
    batches.dedup();
    let entries = store.entries(&batches).await.unwrap();
    assert!(entries.iter().filter(|entry| entry.is_some()).count() > 10);
    assert!(entries.iter().any(|entry| entry.is_none()), "the late one has none");
    assert_eq!(file.entries(&batches).await.unwrap(), entries);
    let query = file::CONDENSED.replace("?1", "'p'").replace("?2", "'a'").replace("?3", "'b'");
    let plan = index::plan(db.path(), &query).unwrap();
    assert!(plan.len() == 1 && plan[0].starts_with("SEARCH"), "{plan:?}");
    assert!(plan[0].contains("(pk=? AND sk>? AND sk<?)"), "{plan:?}");
}
