//! Bodies that break, and objects that change while they are read.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use flowlog_aws::{S3Objects, sdk};
use flowlog_cli::generate::FileFormat;
use flowlog_core::ingest::Ingestor;
use flowlog_core::object::{ObjectBody, ObjectError, ObjectHead, ObjectRef, Objects};
use flowlog_core::record::BatchId;
use flowlog_core::rollup::{Budget, Mapping};
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::{LedgerEntry, LedgerReader, LedgerState, PartialItem, View};
use flowlog_s3_parser::{App, handle};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{Unlisted, generate_as, parser};

/// How a body stops before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    /// The connection is lost, or stalls.
    Error,
    /// It ends as if there were no more.
    End,
}

/// One object, whose bodies stop at these places, each once, and which may then be another object.
struct Breaking {
    content: RefCell<Vec<u8>>,
    etag: Cell<&'static str>,
    /// The places left, in order.
    cuts: RefCell<Vec<u64>>,
    how: Break,
    /// What takes the object's place at the first cut.
    successor: Option<Vec<u8>>,
    /// Ranges asked for, and how often somebody waited.
    asked: RefCell<Vec<Option<Range<u64>>>>,
    pauses: RefCell<Vec<u32>>,
}

impl Breaking {
    fn new(content: &[u8], cuts: &[u64], how: Break) -> Self {
        Self {
            content: RefCell::new(content.to_vec()),
            etag: Cell::new("first"),
            cuts: RefCell::new(cuts.to_vec()),
            how,
            successor: None,
            asked: RefCell::default(),
            pauses: RefCell::default(),
        }
    }
}

struct Pieces<'a> {
    of: &'a Breaking,
    bytes: Vec<u8>,
    at: usize,
    stop: Option<usize>,
}

impl ObjectBody for Pieces<'_> {
    async fn next(&mut self) -> Result<Option<bytes::Bytes>, ObjectError> {
        let end = self.stop.unwrap_or(self.bytes.len()).min(self.at + 1000);
        if self.at < end {
            let piece = bytes::Bytes::copy_from_slice(&self.bytes[self.at..end]);
            self.at = end;
            return Ok(Some(piece));
        }
        if self.stop.is_none() {
            return Ok(None);
        }
        if let Some(successor) = &self.of.successor {
            self.of.content.borrow_mut().clone_from(successor);
            self.of.etag.set("second");
        }
        match self.of.how {
            Break::Error => Err(ObjectError::Retryable("connection reset".into())),
            Break::End => Ok(None),
        }
    }
}

impl<'a> Objects for &'a Breaking {
    type Body = Pieces<'a>;

    async fn head(&self, _at: &ObjectRef) -> Result<ObjectHead, ObjectError> {
        let size = self.content.borrow().len() as u64;
        Ok(ObjectHead { etag: self.etag.get().to_owned(), size })
    }

    async fn get(
        &self,
        at: &ObjectRef,
        range: Option<Range<u64>>,
        if_match: Option<&str>,
    ) -> Result<(ObjectHead, Self::Body), ObjectError> {
        self.asked.borrow_mut().push(range.clone());
        let head = self.head(at).await?;
        if if_match != Some(self.etag.get()) {
            return Err(ObjectError::Replaced);
        }
        let range = range.unwrap_or(0..head.size);
        let [start, end] = [range.start, range.end.min(head.size)].map(usize_of);
        let mut cuts = self.cuts.borrow_mut();
        // A place is met by the request that comes by it.
        let stop = cuts.first().copied().filter(|cut| range.contains(cut)).map(|cut| {
            cuts.remove(0);
            usize_of(cut) - start
        });
        let bytes = self.content.borrow()[start..end].to_vec();
        Ok((head, Pieces { of: self, bytes, at: 0, stop }))
    }

    async fn pause(&self, attempt: u32) {
        self.pauses.borrow_mut().push(attempt);
    }
}

fn usize_of(n: u64) -> usize {
    usize::try_from(n).unwrap()
}

fn object() -> ObjectRef {
    ObjectRef { bucket: "b".to_owned(), key: "AWSLogs/x.log.gz".to_owned() }
}

/// What a run over one object leaves: its ledger entry and its partials.
async fn ingest<O: Objects>(objects: O, etag: &str) -> (Option<LedgerEntry>, Vec<PartialItem>) {
    ingest_by(Ingestor::default(), objects, etag).await
}

async fn ingest_by<O: Objects>(
    ingestor: Ingestor,
    objects: O,
    etag: &str,
) -> (Option<LedgerEntry>, Vec<PartialItem>) {
    let app = App { ingestor, ..parser(Unlisted(objects), MemoryStore::default()) };
    let event = json!({ "Records": [{
        "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": "b" }, "object": { "key": object().key, "eTag": etag } },
    }]});
    // A direct event fails as a whole; what it left is what the store says.
    let _either_way =
        handle(&app, lambda_runtime::LambdaEvent::new(event, lambda_runtime::Context::default()))
            .await;
    let batch = [BatchId::of_object("b", &object().key)];
    let entry = app.store.entries(&batch).await.unwrap().remove(0);
    (entry, app.store.all_partials())
}

/// A generated object of about this many compressed bytes.
fn content(rate: u32) -> Vec<u8> {
    content_as(FileFormat::PlainText, rate)
}

/// The same rows in lines or in columns.
fn content_as(file_format: FileFormat, rate: u32) -> Vec<u8> {
    let day = generate_as(file_format, 11, 5, rate, &[]);
    let largest = day.truth.objects.iter().max_by_key(|object| object.read).unwrap();
    std::fs::read(day.folder.path().join(&largest.key)).unwrap()
}

#[tokio::test]
async fn a_body_cut_at_every_byte_gives_the_same_roll_ups() {
    let content = content(20);
    assert!((400..12_000).contains(&content.len()), "{} bytes", content.len());
    let clean = ingest(&Breaking::new(&content, &[], Break::End), "first").await;
    assert_eq!(clean.0.as_ref().map(|e| e.state), Some(LedgerState::Done));
    assert!(!clean.1.is_empty());
    for how in [Break::Error, Break::End] {
        for cut in 0..content.len() as u64 {
            let objects = Breaking::new(&content, &[cut], how);
            let got = ingest(&objects, "first").await;
            assert_eq!(got, clean, "cut at {cut}, {how:?}");
            let rest = cut..content.len() as u64;
            assert_eq!(*objects.asked.borrow(), [None, Some(rest)], "one request for the rest");
            assert_eq!(*objects.pauses.borrow(), [1], "after one wait");
        }
    }
}

#[tokio::test]
async fn a_large_body_cut_at_every_64_kib_gives_the_same_roll_ups() {
    let content = content(30_000);
    let size = content.len() as u64;
    assert!(size > 16 * 65_536, "{size} bytes");
    let clean = ingest(&Breaking::new(&content, &[], Break::End), "first").await;
    assert_eq!(clean.0.as_ref().map(|e| e.state), Some(LedgerState::Done));
    for cut in (65_536..size).step_by(65_536) {
        for how in [Break::Error, Break::End] {
            let objects = Breaking::new(&content, &[cut], how);
            assert_eq!(ingest(&objects, "first").await, clean, "cut at {cut}, {how:?}");
        }
    }
    // Five times in one reading.
    let cuts = [1, 65_536, 65_537, 300_000, size - 1];
    let objects = Breaking::new(&content, &cuts, Break::Error);
    assert_eq!(ingest(&objects, "first").await, clean);
    assert_eq!(*objects.pauses.borrow(), [1, 2, 3, 4, 5]);
    // The sixth time the attempt is given up: nothing is written, and the message comes again.
    let cuts = [1, 65_536, 65_537, 300_000, 400_000, size - 1];
    let (entry, partials) = ingest(&Breaking::new(&content, &cuts, Break::Error), "first").await;
    assert_eq!(entry.map(|e| e.state), Some(LedgerState::Claimed));
    assert_eq!(partials, []);
}

#[tokio::test]
async fn an_object_replaced_at_any_cut_is_quarantined_and_never_mixed() {
    let content = content(20);
    // The successor is a flow log too, of the same size and of another, and agrees up to the cut.
    let mut longer = content.clone();
    longer.extend_from_slice(&content);
    for successor in [content.clone(), longer, Vec::new()] {
        for cut in 0..content.len() as u64 {
            let objects = Breaking {
                successor: Some(successor.clone()),
                ..Breaking::new(&content, &[cut], Break::Error)
            };
            let (entry, partials) = ingest(&objects, "first").await;
            let entry = entry.unwrap();
            assert_eq!(entry.state, LedgerState::Quarantined, "replaced at {cut}");
            assert_eq!(entry.reason.as_deref(), Some("object_replaced"));
            assert_eq!(partials, [], "not a byte of either counts");
        }
    }
    // Replaced before it was opened.
    let (entry, partials) = ingest(&Breaking::new(&content, &[], Break::End), "older").await;
    assert_eq!(entry.and_then(|e| e.reason).as_deref(), Some("object_replaced"));
    assert_eq!(partials, []);
}

#[tokio::test]
async fn columns_cut_at_every_byte_give_the_roll_ups_of_lines() {
    let lines = ingest(&Breaking::new(&content(20), &[], Break::End), "first").await;
    let content = content_as(FileFormat::Parquet, 20);
    let clean = ingest(&Breaking::new(&content, &[], Break::End), "first").await;
    assert_eq!(clean.0.as_ref().map(|e| e.state), Some(LedgerState::Done));
    assert_eq!(clean.1, lines.1);
    assert_eq!(clean.0.map(|e| e.completion), lines.0.map(|e| e.completion), "counts, digest");
    for how in [Break::Error, Break::End] {
        for cut in 0..content.len() as u64 {
            // Once where the object is recognised, once where its ranges are read.
            let objects = Breaking::new(&content, &[cut, cut], how);
            let got = ingest(&objects, "first").await;
            assert_eq!(got.1, clean.1, "cut at {cut}, {how:?}");
            assert!(!objects.pauses.borrow().is_empty(), "{cut} was never met");
        }
    }
}

#[tokio::test]
async fn many_columns_cut_now_and_then_give_the_roll_ups_of_lines() {
    let lines = ingest(&Breaking::new(&content(30_000), &[], Break::End), "first").await;
    let content = content_as(FileFormat::Parquet, 30_000);
    let size = content.len() as u64;
    assert!(size > 8 * 65_536, "{size} bytes");
    for cut in (1..size).step_by(150_001) {
        let objects = Breaking::new(&content, &[cut, cut], Break::Error);
        assert_eq!(ingest(&objects, "first").await.1, lines.1, "cut at {cut}");
        for range in objects.asked.borrow().iter().flatten() {
            assert!(range.start < range.end && range.end <= size, "{range:?}");
        }
    }
}

#[tokio::test]
async fn columns_of_an_object_that_is_replaced_are_never_mixed() {
    let content = content_as(FileFormat::Parquet, 20);
    for cut in 0..content.len() as u64 {
        let objects = Breaking {
            successor: Some(content.clone()),
            ..Breaking::new(&content, &[cut, cut], Break::Error)
        };
        let (entry, partials) = ingest(&objects, "first").await;
        let entry = entry.unwrap();
        assert_eq!(entry.state, LedgerState::Quarantined, "replaced at {cut}");
        assert_eq!(entry.reason.as_deref(), Some("object_replaced"));
        assert_eq!(partials, []);
    }
}

/// A store that answers `get` whatever it is asked to match, as some emulators of S3 do.
struct Careless<'a>(&'a Breaking);

impl<'a> Objects for Careless<'a> {
    type Body = Pieces<'a>;

    async fn head(&self, at: &ObjectRef) -> Result<ObjectHead, ObjectError> {
        self.0.head(at).await
    }

    async fn get(
        &self,
        at: &ObjectRef,
        range: Option<Range<u64>>,
        _if_match: Option<&str>,
    ) -> Result<(ObjectHead, Self::Body), ObjectError> {
        self.0.get(at, range, Some(self.0.etag.get())).await
    }
}

#[tokio::test]
async fn what_comes_back_is_held_against_what_was_asked_for() {
    let content = content(20);
    let replaced = Breaking {
        successor: Some(content.clone()),
        ..Breaking::new(&content, &[100], Break::Error)
    };
    for (objects, etag) in
        [(&Breaking::new(&content, &[], Break::End), "older"), (&replaced, "first")]
    {
        let (entry, partials) = ingest(Careless(objects), etag).await;
        assert_eq!(entry.and_then(|e| e.reason).as_deref(), Some("object_replaced"));
        assert_eq!(partials, []);
    }
}

/// How much of it was held before it could be written shows in what was asked for, and in nothing else.
#[tokio::test]
async fn an_object_of_several_chunks_is_read_once_if_its_partials_can_be_held() {
    for content in [content(400), content_as(FileFormat::Parquet, 400)] {
        let read = async |held_bytes| {
            let budget = Budget { state_bytes: 20_000, ..Budget::default() };
            let ingestor = Ingestor::new(Mapping::CURRENT, budget).holding(held_bytes);
            let objects = Breaking::new(&content, &[], Break::End);
            let left = ingest_by(ingestor, &objects, "first").await;
            (left, objects.asked.into_inner())
        };
        let ((entry, partials), once) = read(16 << 20).await;
        let last = partials.iter().map(|partial| partial.chunk).max();
        assert!(last >= Some(2), "{last:?}");
        let interfaces = partials.iter().filter(|partial| partial.series.view == View::Interface);
        let before = interfaces.filter(|partial| Some(partial.chunk) < last);
        // Nothing but the last chunk, and not quite the ones before it.
        for held_bytes in [0, before.map(|partial| partial.blob.len()).sum()] {
            let (left, asked) = read(held_bytes).await;
            assert_eq!(left, (entry.clone(), partials.clone()), "{held_bytes} bytes held");
            assert_eq!(asked, [&once[..], &once[..]].concat(), "{held_bytes} bytes held");
        }
    }
}

/// A server that speaks as much of S3 as one object needs and closes the connection at each of
/// `cuts`, once. Returns where it is, and the `Range` and `If-Match` of every request so far.
#[expect(clippy::disallowed_methods, reason = "a server outlives the call that starts it")]
async fn s3_that_hangs_up(content: Vec<u8>, mut cuts: Vec<usize>) -> (String, Asked) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let asked = Asked::default();
    let log = Asked::clone(&asked);
    let serve = async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let Some(head) = request_head(&mut socket).await else { continue };
            let header = |name: &str| {
                let mut lines = head.lines().filter_map(|line| line.split_once(": "));
                lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
            };
            log.lock().unwrap().push((header("range"), header("if-match")));
            let range = header("range").and_then(|range| {
                let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
                Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?))
            });
            let (from, to) = range.unwrap_or((0, content.len() - 1));
            let stop = match cuts.first() {
                Some(cut) if (from..=to).contains(cut) => cuts.remove(0),
                _ => to + 1,
            };
            let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
            let head = format!(
                "HTTP/1.1 {status}\r\nETag: \"e7a9\"\r\nContent-Length: {}\r\n\
                 Content-Range: bytes {from}-{to}/{}\r\nConnection: close\r\n\r\n",
                to + 1 - from,
                content.len()
            );
            let _gone = socket.write_all(head.as_bytes()).await;
            let _gone = socket.write_all(&content[from..stop]).await;
            let _gone = socket.shutdown().await;
        }
    };
    tokio::spawn(serve);
    (endpoint, asked)
}

type Asked = std::sync::Arc<std::sync::Mutex<Vec<(Option<String>, Option<String>)>>>;

async fn request_head(socket: &mut tokio::net::TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

#[tokio::test]
async fn over_a_real_connection_the_rest_of_the_same_object_is_asked_for() {
    let content = content(30_000);
    let clean = ingest(&Breaking::new(&content, &[], Break::End), "first").await.1;
    let size = content.len();
    for cut in [0, 1, 65_536, 3 * 65_536, size - 1] {
        let (endpoint, asked) = s3_that_hangs_up(content.clone(), vec![cut]).await;
        let objects = S3Objects::new(&sdk::local(&endpoint));
        let (entry, partials) = ingest(objects, "e7a9").await;
        assert_eq!(entry.map(|e| e.state), Some(LedgerState::Done), "cut at {cut}");
        assert_eq!(partials, clean, "cut at {cut}");
        let whole = (None, Some("\"e7a9\"".to_owned()));
        let rest = (Some(format!("bytes={cut}-{}", size - 1)), Some("\"e7a9\"".to_owned()));
        assert_eq!(*asked.lock().unwrap(), [whole, rest]);
    }
}
