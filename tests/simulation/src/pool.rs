//! Tiny deliveries, and what each of them is worth: counted by hand here, and rolled up by a clean
//! single pass of the real handlers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use flowlog_core::decode::{Counts, Reason};
use flowlog_core::object::ObjectRef;
use flowlog_core::record::{BatchId, Source, Window};
use flowlog_core::rollup::ActionTotals;
use flowlog_core::store::{LedgerState, PartialItem, Series, View};
use serde_json::json;

use crate::executor::alone;
use crate::fault::Plan;
use crate::process::{Code, Shape};
use crate::random::Random;
use crate::service::{Message, Service, What};
use crate::world::{Stored, World, now, set_now};

/// Noon, 1 November 2026: when the world begins.
pub const BEGIN: i64 = 1_793_534_400;
/// Seconds in a day.
pub const DAY: i64 = 86_400;
/// Rows older than this at a delivery's arrival are late.
pub const HORIZON: i64 = 30 * DAY;

const ACCOUNT: &str = "123456789012";
const VPC: &str = "vpc-01";
/// The bucket of every object.
pub const BUCKET: &str = "flow-logs";
const INTERFACES: [&str; 3] = ["eni-01", "eni-02", "eni-03"];
const FLOW_LOGS: [&str; 2] = ["fl-0a", "fl-0b"];
const GROUP: &str = "/vpc/flow-logs";
const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status vpc-id flow-direction";
/// Without a header: what the log group's flow log is configured with.
pub const LOG_FORMAT: &str = "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status} ${vpc-id} ${flow-direction}";

/// A line of a delivery.
#[derive(Debug, Clone)]
struct Row {
    interface: &'static str,
    start: i64,
    /// `None`: a line that is no record.
    status: Option<&'static str>,
    accept: bool,
    ingress: bool,
    remote: usize,
    port: usize,
    packets: u64,
    bytes: u64,
}

/// One content that a name can have.
#[derive(Debug)]
pub struct Version {
    /// The object, or the CloudWatch Logs payload as base64.
    pub stored: Stored,
    rows: Vec<Row>,
}

/// A delivery.
#[derive(Debug)]
pub struct Delivery {
    /// Its identity.
    pub batch: BatchId,
    /// What it is from.
    pub source: Source,
    /// Where it is; `None` for CloudWatch Logs.
    pub at: Option<ObjectRef>,
    /// What it holds; a second version takes its place under the same name.
    pub versions: Vec<Version>,
    /// Its gzip is cut: it can only be quarantined.
    pub damaged: bool,
}

/// What a clean single pass makes of a delivery.
#[derive(Debug)]
pub struct Clean {
    /// Its items, by key.
    pub items: BTreeMap<(String, String), PartialItem>,
    /// What became of its lines, counted by hand.
    pub counts: Counts,
}

type CleanKey = (usize, usize, u8, i64, Shape);

/// Deliveries to choose from. Building it checks the roll-ups of a clean pass against the rows.
pub struct Pool {
    /// The deliveries.
    pub deliveries: Vec<Delivery>,
    clean: RefCell<BTreeMap<CleanKey, Rc<Clean>>>,
}

impl Pool {
    /// Number `nth` of the pools.
    ///
    /// # Panics
    ///
    /// If a clean pass does not count what the rows say.
    pub fn new(nth: u64) -> Self {
        let mut random = Random::new(nth ^ 0x706f_6f6c);
        let objects = (0..20).map(|n| object(n, &mut random));
        let mut deliveries: Vec<Delivery> = objects.collect();
        deliveries.extend((0..6).map(|n| payload(n, &mut random)));
        let pool = Self { deliveries, clean: RefCell::default() };
        for (n, delivery) in pool.deliveries.iter().enumerate() {
            for version in 0..delivery.versions.len() {
                pool.check(n, version);
            }
        }
        pool
    }

    /// The delivery of a batch.
    pub fn of(&self, batch: BatchId) -> Option<usize> {
        self.deliveries.iter().position(|d| d.batch == batch)
    }

    /// What a clean pass under this mapping and horizon makes of a version of a delivery.
    pub fn clean(
        &self,
        n: usize,
        version: usize,
        mapping: u8,
        horizon: i64,
        shape: Shape,
    ) -> Rc<Clean> {
        let key = (n, version, mapping, horizon, shape);
        if let Some(known) = self.clean.borrow().get(&key) {
            return Rc::clone(known);
        }
        let clean = Rc::new(self.pass(key));
        self.clean.borrow_mut().insert(key, Rc::clone(&clean));
        clean
    }

    /// One delivery, once, to one process, with no fault.
    fn pass(&self, (n, version, mapping, horizon, shape): CleanKey) -> Clean {
        let present = now();
        let delivery = &self.deliveries[n];
        let world = Rc::new(World::new(0, shape, Plan::None, false));
        let code = Code { writes: mapping, knows: &[1, 2, 3] };
        let arrived = horizon + HORIZON;
        set_now(arrived);
        let stored = delivery.versions[version].stored.clone();
        let what = match &delivery.at {
            Some(at) => {
                let etag = Some(stored.etag.clone());
                world.objects.borrow_mut().insert(at.clone(), stored);
                What::Object { at: at.clone(), etag, time: Some(arrived) }
            }
            None => What::Logs(stored.bytes),
        };
        let service = Service::start(&world, code, None);
        let failed = alone(service.deliver(vec![Message { delivery: n, what, received: 0 }]));
        assert_eq!(failed, [false], "a clean pass fails at delivery {n}");
        assert!(world.violations.borrow().is_empty(), "{:?}", world.violations.borrow());
        set_now(present);
        let items = world.tables.all_partials().into_iter().map(|p| ((p.pk(), p.sk()), p));
        let entry = world.tables.ledger().pop().map(|(_, entry)| entry);
        let counts = counts(&delivery.versions[version].rows, horizon);
        let clean = Clean { items: items.collect(), counts };
        if delivery.damaged {
            assert_eq!(entry.map(|e| e.state), Some(LedgerState::Quarantined));
            assert!(clean.items.is_empty(), "a damaged object left something behind");
        } else {
            let completion = entry.and_then(|e| e.completion);
            assert_eq!(completion.map(|c| c.counts).as_ref(), Some(&clean.counts));
        }
        clean
    }

    /// A clean pass counts what the rows say.
    fn check(&self, n: usize, version: usize) {
        if self.deliveries[n].damaged {
            return;
        }
        // So early that nothing is late, and not so late that anything has expired.
        let early = BEGIN - HORIZON - DAY;
        for mapping in [2, 3] {
            for (crowded, holds) in [(false, false), (true, false), (true, true)] {
                let shape = Shape { crowded, shifted: false, holds };
                let clean = self.clean(n, version, mapping, early, shape);
                self.compare(n, version, &clean);
            }
        }
    }

    fn compare(&self, n: usize, version: usize, clean: &Clean) {
        let mut rolled: BTreeMap<(String, Window), ActionTotals> = BTreeMap::new();
        let mut views = [ActionTotals::default(); 2];
        for item in clean.items.values() {
            let series = &item.series;
            if series.view == View::Interface {
                let key = (series.subject.clone(), item.window);
                rolled.entry(key).or_default().add(&item.totals);
                views[0].add(&item.totals);
            } else if series.subject == ACCOUNT {
                views[1].add(&item.totals);
            }
        }
        if views[1] != ActionTotals::default() {
            assert_eq!(views[0], views[1], "the account of delivery {n}, version {version}");
        }
        let mut counted: BTreeMap<(String, Window), ActionTotals> = BTreeMap::new();
        for row in &self.deliveries[n].versions[version].rows {
            let (Some(status), Some(window)) = (row.status, Window::of(row.start)) else {
                continue;
            };
            let totals = counted.entry((row.interface.to_owned(), window)).or_default();
            if status == "OK" {
                let sums = if row.accept { &mut totals.accept } else { &mut totals.reject };
                sums.records += 1;
                sums.packets += row.packets;
                sums.bytes += row.bytes;
            }
        }
        assert_eq!(rolled, counted, "delivery {n}, version {version}");
    }
}

/// The conservation law's numbers, by hand.
fn counts(rows: &[Row], horizon: i64) -> Counts {
    let mut counts = Counts { read: rows.len() as u64, ..Counts::default() };
    for row in rows {
        let late = Window::of(row.start).is_some_and(|window| window.start() < horizon);
        match row.status {
            None => *counts.rejected.entry(Reason::TooFewFields).or_default() += 1,
            Some(_) if late => counts.late += 1,
            Some("NODATA") => counts.nodata += 1,
            Some("SKIPDATA") => counts.skipdata += 1,
            Some(_) => counts.parsed += 1,
        }
    }
    counts
}

fn rows(interfaces: &[&'static str], random: &mut Random) -> Vec<Row> {
    let mut rows: Vec<Row> = (0..random.between(1, 6))
        .map(|_| {
            let old = random.chance(150);
            let from = if old { BEGIN - HORIZON - 600 } else { BEGIN - 900 };
            let status = match random.below(20) {
                0 => Some("NODATA"),
                1 => Some("SKIPDATA"),
                2 => None,
                _ => Some("OK"),
            };
            Row {
                interface: interfaces[random.below(interfaces.len())],
                start: from + random.seconds(if old { 2_100 } else { 900 }),
                status,
                accept: random.chance(600),
                ingress: random.chance(500),
                remote: random.below(4),
                port: random.below(4),
                packets: random.between(1, 40) as u64,
                bytes: random.between(40, 9_000) as u64,
            }
        })
        .collect();
    // At least one line that is a record, or the object is no flow log.
    rows[0].status = Some("OK");
    rows
}

impl Row {
    fn text(&self) -> String {
        let Self { interface, start, remote, port, packets, bytes, .. } = self;
        let end = start + 59;
        let own = "10.0.0.5";
        let other = format!("203.0.113.{remote}");
        let (src, dst) = if self.ingress { (&*other, own) } else { (own, &*other) };
        let action = if self.accept { "ACCEPT" } else { "REJECT" };
        let direction = if self.ingress { "ingress" } else { "egress" };
        match self.status {
            None => "5 not a record".to_owned(),
            Some("OK") => format!(
                "5 {ACCOUNT} {interface} {src} {dst} {} {} 6 {packets} {bytes} {start} {end} {action} OK {VPC} {direction}",
                50_000 + port,
                22 + port
            ),
            Some(status) => {
                format!("5 {ACCOUNT} {interface} - - - - - - - {start} {end} - {status} {VPC} -")
            }
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to a Vec cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn object(n: usize, random: &mut Random) -> Delivery {
    let flow_log = FLOW_LOGS[n % 2];
    let name = format!("{ACCOUNT}_vpcflowlogs_us-east-1_{flow_log}_20261101T1200Z_{n:08x}.log.gz");
    let key = format!("AWSLogs/{ACCOUNT}/vpcflowlogs/us-east-1/2026/11/01/{name}");
    let damaged = n == 5;
    let versions = (0..2)
        .map(|version| {
            let rows = rows(&INTERFACES, random);
            let lines: Vec<String> = rows.iter().map(Row::text).collect();
            let text = format!("{HEADER}\n{}\n", lines.join("\n"));
            let mut bytes =
                if n.is_multiple_of(3) { text.into_bytes() } else { gzip(text.as_bytes()) };
            if damaged {
                bytes.truncate(bytes.len() - 5);
            }
            let etag = format!("etag-{n}-{version}");
            Version { stored: Stored { etag, bytes: bytes.into() }, rows }
        })
        .collect();
    Delivery {
        batch: BatchId::of_object(BUCKET, &key),
        source: Source::of_object(BUCKET, &key),
        at: Some(ObjectRef { bucket: BUCKET.to_owned(), key }),
        versions,
        damaged,
    }
}

fn payload(n: usize, random: &mut Random) -> Delivery {
    let interface = INTERFACES[n % INTERFACES.len()];
    let rows = rows(&[interface], random);
    let stream = format!("{interface}-all");
    let ids: Vec<String> = (0..rows.len()).map(|at| format!("{n}-{at}")).collect();
    let events: Vec<_> = rows
        .iter()
        .zip(&ids)
        .map(|(row, id)| json!({ "id": id, "timestamp": row.start * 1000, "message": row.text() }))
        .collect();
    let data = json!({
        "messageType": "DATA_MESSAGE", "owner": ACCOUNT, "logGroup": GROUP, "logStream": stream,
        "subscriptionFilters": ["flowlog"], "logEvents": events,
    });
    let text = STANDARD.encode(gzip(data.to_string().as_bytes()));
    let batch = BatchId::of_log_events(ACCOUNT, GROUP, &stream, ids.iter().map(String::as_str));
    let stored = Stored { etag: batch.to_string(), bytes: Bytes::from(text) };
    Delivery {
        batch,
        source: Source::of_log_group(ACCOUNT, GROUP),
        at: None,
        versions: vec![Version { stored, rows }],
        damaged: false,
    }
}

/// Every series that a delivery of any pool can have items of.
pub fn series() -> Vec<Series> {
    let mut all = Vec::new();
    let flow_logs: Vec<Source> = FLOW_LOGS.iter().filter_map(|id| Source::parse(id)).collect();
    for source in flow_logs {
        all.extend(INTERFACES.map(|id| Series::interface(source.clone(), id)));
        all.extend([VPC, ACCOUNT].map(|id| Series::scope(source.clone(), id)));
    }
    let group = Source::of_log_group(ACCOUNT, GROUP);
    all.extend(INTERFACES.map(|id| Series::interface(group.clone(), id)));
    all
}
