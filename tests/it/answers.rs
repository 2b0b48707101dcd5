//! `top`, `rejected`, `who` and `coverage` against sums made here, from the text of the objects and with
//! no code of the readers: columns by the header's names, addresses as text.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use clap::Parser;
use flowlog_cli::ask::{By, Subject, hours, read, rejected, top, who, whole_period};
use flowlog_cli::generate::Attack;
use flowlog_cli::nat_cost::{self, NatCostArgs};
use flowlog_core::record::{Address, Window};
use flowlog_core::store::memory::MemoryStore;
use flowlog_s3_parser::handle;

use crate::support::{Day, generate, parser, sqs};

/// One record: column name to value.
pub(crate) type Row = BTreeMap<String, String>;

#[expect(
    clippy::disallowed_types,
    reason = "a reader of the test's own; no object is hostile here"
)]
pub(crate) fn rows(day: &Day) -> Vec<Row> {
    let mut rows = Vec::new();
    for object in &day.truth.objects {
        let file = std::fs::File::open(day.path().join(&object.key)).unwrap();
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap().split(' ').collect();
        for line in lines {
            let row = header.iter().zip(line.split(' '));
            rows.push(row.map(|(k, v)| ((*k).to_owned(), v.to_owned())).collect());
        }
    }
    rows
}

fn number(row: &Row, column: &str) -> u64 {
    row[column].parse().unwrap()
}

/// Records, packets, bytes in, bytes out.
type Sums = [u64; 4];

/// Sums by (port, protocol).
type ByPort = BTreeMap<(u64, u64), Sums>;

#[derive(Default)]
struct Counted {
    /// By address, then interface, then (port, protocol).
    talkers: BTreeMap<String, BTreeMap<String, ByPort>>,
    /// Rejected records, packets, bytes.
    rejected: [u64; 3],
    by_interface: BTreeMap<String, u64>,
    /// Records, first start, last end, by source.
    sources: BTreeMap<String, (u64, u64, u64)>,
    ports: BTreeMap<(u64, u64), u64>,
    /// By hour: interface-windows, accepted, rejected, NODATA, SKIPDATA.
    hours: BTreeMap<u64, [u64; 4]>,
    windows: BTreeMap<u64, BTreeSet<(String, u64)>>,
}

fn count(rows: &[Row]) -> Counted {
    let mut counted = Counted::default();
    for row in rows {
        let interface = row["interface-id"].clone();
        let start = number(row, "start");
        let hour = counted.hours.entry(start / 3600 * 3600).or_default();
        let windows = counted.windows.entry(start / 3600 * 3600).or_default();
        windows.insert((interface.clone(), start / 300));
        match (row["log-status"].as_str(), row["action"].as_str()) {
            ("NODATA", _) => hour[2] += 1,
            ("SKIPDATA", _) => hour[3] += 1,
            (_, "ACCEPT") => {
                hour[0] += 1;
                let egress = row["flow-direction"] == "egress";
                let remote = &row[if egress { "pkt-dstaddr" } else { "pkt-srcaddr" }];
                let port = number(row, "srcport").min(number(row, "dstport"));
                let by_port = counted.talkers.entry(remote.clone()).or_default();
                let sums = by_port.entry(interface).or_default();
                let sums = sums.entry((port, number(row, "protocol"))).or_default();
                sums[0] += 1;
                sums[1] += number(row, "packets");
                sums[if egress { 3 } else { 2 }] += number(row, "bytes");
            }
            (_, "REJECT") => {
                hour[1] += 1;
                counted.rejected[0] += 1;
                counted.rejected[1] += number(row, "packets");
                counted.rejected[2] += number(row, "bytes");
                *counted.by_interface.entry(interface).or_default() += 1;
                let source = counted.sources.entry(row["pkt-srcaddr"].clone());
                let source = source.or_insert((0, u64::MAX, 0));
                *source = (source.0 + 1, source.1.min(start), source.2.max(number(row, "end")));
                let port = (number(row, "protocol"), number(row, "dstport"));
                *counted.ports.entry(port).or_default() += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    counted
}

fn add(a: Sums, b: &Sums) -> Sums {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]]
}

#[tokio::test]
async fn answers_equal_a_count_of_the_lines() {
    for seed in 1..=10 {
        // Few enough records that no list is cut, so that every answer is exact.
        let day = generate(seed, 90, 30, &[Attack::Misconfiguration, Attack::BruteForce]);
        let app = parser(day.objects(), MemoryStore::default());
        let objects: Vec<_> = day.objects().objects().map(|(object, _)| object.clone()).collect();
        handle(&app, sqs(&objects)).await.unwrap();
        let period = whole_period(&app.store).await.unwrap().unwrap();
        let material = read(&app.store, &Subject::Everything, period).await.unwrap();
        let counted = count(&rows(&day));

        let found = top(&material, By::Bytes, usize::MAX);
        assert_eq!(found.error_bytes, 0, "seed {seed}: nothing is cut");
        let found: BTreeMap<String, (u64, Sums)> = found
            .rows
            .iter()
            .map(|row| {
                let s = &row.sums;
                let sums = [s.records, s.packets_in + s.packets_out, s.bytes_in, s.bytes_out];
                (row.address.to_string(), (row.peers, sums))
            })
            .collect();
        let expected: BTreeMap<String, (u64, Sums)> = counted
            .talkers
            .iter()
            .map(|(address, by)| {
                let sums = by.values().flat_map(|ports| ports.values()).fold([0; 4], add);
                (address.clone(), (by.len() as u64, sums))
            })
            .collect();
        assert_eq!(found, expected, "seed {seed}: top");

        let found = rejected(&material, None, usize::MAX);
        assert_eq!((found.sources_error, found.ports_error), (0, 0));
        let total = [found.total.records, found.total.packets, found.total.bytes];
        assert_eq!(total, counted.rejected, "seed {seed}");
        let subjects = found.by_subject.iter().map(|(id, sums)| (id.clone(), sums.records));
        assert_eq!(subjects.collect::<BTreeMap<_, _>>(), counted.by_interface);
        let sources = found.sources.iter().map(|(address, s)| {
            let times = (s.first.unsigned_abs(), s.last.unsigned_abs());
            (address.to_string(), (s.records, times.0, times.1))
        });
        assert_eq!(sources.collect::<BTreeMap<_, _>>(), counted.sources, "seed {seed}: sources");
        let ports = found.ports.iter();
        let ports = ports.map(|(key, n)| ((u64::from(key.protocol), u64::from(key.port)), *n));
        assert_eq!(ports.collect::<BTreeMap<_, _>>(), counted.ports, "seed {seed}: ports");

        for (address, by) in counted.talkers.iter().step_by(7) {
            let found = who(&material, Address::parse(address).unwrap());
            let mut seen = BTreeMap::new();
            for one in found.seen.iter().filter(|one| !one.talked.is_empty()) {
                let ports = one.talked.iter().map(|(key, t)| {
                    let sums = [t.records, t.packets_in + t.packets_out, t.bytes_in, t.bytes_out];
                    ((u64::from(key.port), u64::from(key.protocol)), sums)
                });
                seen.insert(one.subject.clone(), ports.collect::<BTreeMap<_, _>>());
            }
            assert_eq!(&seen, by, "seed {seed}: who {address}");
        }
        for (address, (records, ..)) in counted.sources.iter().step_by(7) {
            let found = who(&material, Address::parse(address).unwrap());
            let refused: u64 =
                found.seen.iter().filter_map(|one| one.refused.as_ref()).map(|s| s.records).sum();
            assert_eq!(refused, *records, "seed {seed}: who {address}");
        }

        let found = hours(&material);
        let found = found.by_hour.iter().map(|(start, hour)| {
            let t = &hour.totals;
            let counts = [t.totals.accept.records, t.totals.reject.records, t.nodata, t.skipdata];
            (start.start().unsigned_abs(), (hour.windows, counts))
        });
        let expected = counted
            .hours
            .iter()
            .map(|(hour, counts)| (*hour, (counted.windows[hour].len() as u64, *counts)));
        assert_eq!(
            found.collect::<BTreeMap<_, _>>(),
            expected.collect::<BTreeMap<_, _>>(),
            "seed {seed}"
        );
        assert_eq!(period.from, Window::of(crate::support::START).unwrap());
    }
}

/// What went through NAT gateways, by client and service: the rows in which the gateway stands between.
#[test]
fn nat_cost_equals_a_count_of_the_lines() {
    let day = generate(4, 120, 100, &[]);
    let mut counted: BTreeMap<(String, String), [u64; 2]> = BTreeMap::new();
    let mut crossing = 0;
    let rows = rows(&day);
    let ok = || rows.iter().filter(|row| row["log-status"] == "OK" && row["action"] == "ACCEPT");
    let inside = |address: &str| address.starts_with("10.");
    let service = |name: &str| if name == "-" { "Internet".to_owned() } else { name.to_owned() };
    let mut zones: BTreeMap<&str, &str> = BTreeMap::new();
    for row in ok() {
        let own = if row["flow-direction"] == "egress" { "srcaddr" } else { "dstaddr" };
        zones.insert(&row[own], &row["az-id"]);
    }
    for row in ok() {
        let (src, dst) = (&row["srcaddr"], &row["dstaddr"]);
        let bytes = number(row, "bytes");
        if *dst != row["pkt-dstaddr"] && !inside(&row["pkt-dstaddr"]) {
            let key = (src.clone(), service(&row["pkt-dst-aws-service"]));
            counted.entry(key).or_default()[0] += bytes;
        }
        if *src != row["pkt-srcaddr"] && !inside(&row["pkt-srcaddr"]) {
            let key = (dst.clone(), service(&row["pkt-src-aws-service"]));
            counted.entry(key).or_default()[1] += bytes;
        }
        // What a host sends through a gateway shows the gateway's address in that one's own rows only.
        let far = *dst != row["pkt-dstaddr"] && !inside(&row["pkt-dstaddr"]);
        let recorded = row["flow-direction"] == "egress" || far;
        let known = (zones.get(&**src), zones.get(&**dst));
        if let (true, (Some(from), Some(to))) = (recorded && inside(src) && inside(dst), known) {
            crossing += if from == to { 0 } else { bytes };
        }
    }
    assert!(counted.len() >= 3 && crossing > 0, "{counted:?}");

    let folder = day.path().join("AWSLogs").display().to_string();
    let args = ["nat-cost", &folder, "--top", "100", "--format", "json"];
    let args = NatCost::parse_from(args);
    let said = nat_cost::run(&args.args, &mut |line| panic!("{line}")).unwrap();
    assert!(said.well);
    let answer: serde_json::Value = serde_json::from_str(&said.text).unwrap();
    let mut read = BTreeMap::new();
    for client in answer["clients"].as_array().unwrap() {
        for (service, bytes) in client["services"].as_object().unwrap() {
            let key = (client["client"].as_str().unwrap().to_owned(), service.clone());
            read.insert(key, ["sent", "received"].map(|way| bytes[way].as_u64().unwrap()));
        }
    }
    assert_eq!(read, counted);
    let all: u64 = counted.values().flatten().sum();
    assert_eq!(answer["nat"]["bytes"], all);
    assert_eq!(answer["zones"]["bytes"], crossing);
    let table =
        nat_cost::run(&NatCost::parse_from(["nat-cost", &folder]).args, &mut |_| ()).unwrap().text;
    assert!(table.contains("behind NAT") && table.contains("Internet"), "{table}");
}

const COLUMNS: &str = "interface-id srcaddr dstaddr protocol bytes start end action log-status pkt-srcaddr pkt-dstaddr az-id flow-direction pkt-src-aws-service pkt-dst-aws-service";

/// A row of `COLUMNS`: interface, addresses, bytes, the packet's addresses, zone and direction, services.
fn hop(words: &str) -> String {
    let [eni, src, dst, bytes, pkt_src, pkt_dst, zone, way, of_src, of_dst] =
        words.split_whitespace().collect::<Vec<_>>()[..]
    else {
        panic!("{words}")
    };
    format!(
        "{eni} {src} {dst} 6 {bytes} 1793491200 1793494800 ACCEPT OK {pkt_src} {pkt_dst} use1-{zone} {way} {of_src} {of_dst}\n"
    )
}

/// What `nat-cost` says of files, as JSON and as text.
fn nat_cost_of(files: &[String]) -> (serde_json::Value, String) {
    let folder = tempfile::tempdir().unwrap();
    for (n, text) in files.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{n}.log")), text).unwrap();
    }
    let path = folder.path().display().to_string();
    let [json, text] = ["json", "table"].map(|format| {
        let args = NatCost::parse_from(["nat-cost", &path, "--format", format]).args;
        nat_cost::run(&args, &mut |line| panic!("{line}")).unwrap().text
    });
    (serde_json::from_str(&json).unwrap(), text)
}

fn rows_of(rows: &[&str]) -> String {
    rows.iter().fold(format!("{COLUMNS}\n"), |text, row| text + &hop(row))
}

#[test]
fn nat_cost_of_a_hub_behind_a_transit_gateway_counts_once() {
    let spoke = rows_of(&[
        "eni-h 10.1.0.5 93.184.216.34 1000 10.1.0.5 93.184.216.34 az1 egress - -",
        "eni-s 10.1.0.5 10.1.9.9 1000 10.1.0.5 93.184.216.34 az1 ingress - -",
        "eni-s 10.1.9.9 10.1.0.5 2000 93.184.216.34 10.1.0.5 az1 egress - -",
    ]);
    let hub = rows_of(&[
        "eni-t 10.0.9.9 93.184.216.34 1000 10.1.0.5 93.184.216.34 az1 egress - -",
        "eni-n 10.1.0.5 10.0.0.10 1000 10.1.0.5 93.184.216.34 az1 ingress - -",
        "eni-n 10.0.0.10 93.184.216.34 1000 10.0.0.10 93.184.216.34 az1 egress - -",
        "eni-n 93.184.216.34 10.0.0.10 2000 93.184.216.34 10.0.0.10 az1 ingress - -",
        "eni-n 10.0.0.10 10.1.0.5 2000 93.184.216.34 10.1.0.5 az1 egress - -",
        "eni-t 93.184.216.34 10.0.9.9 2000 93.184.216.34 10.1.0.5 az1 ingress - -",
    ]);
    let (answer, text) = nat_cost_of(&[spoke.clone(), hub]);
    let nat = ["bytes", "presumed", "on_the_way"].map(|key| answer["nat"][key].as_u64().unwrap());
    assert_eq!(nat, [3000, 0, 3000]);
    assert!(text.contains("2.93 KiB at other interfaces on the way"), "{text}");

    // Without the hub's flow log the attachment stands for its gateway.
    let (answer, text) = nat_cost_of(&[spoke]);
    let nat = ["bytes", "presumed", "on_the_way"].map(|key| answer["nat"][key].as_u64().unwrap());
    assert_eq!(nat, [3000, 3000, 0]);
    assert!(text.contains("2.93 KiB passed interfaces of which no record shows"), "{text}");
}

#[test]
fn nat_cost_tells_both_ways_between_zones_and_what_an_endpoint_changes() {
    let (answer, text) = nat_cost_of(&[rows_of(&[
        "eni-h 10.0.1.5 54.239.28.85 100000 10.0.1.5 54.239.28.85 az2 egress - EC2",
        "eni-n 10.0.1.5 10.0.0.10 100000 10.0.1.5 54.239.28.85 az1 ingress - EC2",
        "eni-n 10.0.0.10 54.239.28.85 100000 10.0.0.10 54.239.28.85 az1 egress - EC2",
        "eni-n 54.239.28.85 10.0.0.10 1000 54.239.28.85 10.0.0.10 az1 ingress EC2 -",
        "eni-n 10.0.0.10 10.0.1.5 1000 54.239.28.85 10.0.1.5 az1 egress EC2 -",
        "eni-h 54.239.28.85 10.0.1.5 1000 54.239.28.85 10.0.1.5 az2 ingress EC2 -",
    ])]);
    assert_eq!(answer["zones"]["bytes"], 101_000);
    assert_eq!(answer["nat"]["bytes"], 101_000);
    let endpoint = &answer["endpoints"][0];
    assert_eq!(endpoint["service"], "EC2");
    assert_eq!(endpoint["dollars_by_endpoint"], endpoint["dollars_by_nat"]);
    assert!(text.contains("no endpoint changes this") && !text.contains("note:"), "{text}");
}

#[test]
fn nat_cost_says_how_many_records_lack_fields() {
    let whole = rows_of(&["eni-h 10.0.1.5 8.8.8.8 1 10.0.1.5 8.8.8.8 az1 egress - -"]);
    let plain = "interface-id srcaddr dstaddr protocol bytes start end action log-status\n\
                 eni-h 10.0.1.5 8.8.8.8 6 1 1793491200 1793494800 ACCEPT OK\n\
                 eni-h 8.8.8.8 10.0.1.5 6 1 1793491200 1793494800 ACCEPT OK\n";
    let (answer, text) = nat_cost_of(&[whole, plain.to_owned()]);
    assert!(text.contains("note: 2 of 3 records lack pkt-srcaddr or pkt-dstaddr"), "{text}");
    assert!(text.contains("note: 2 of 3 records lack az-id or flow-direction"), "{text}");
    assert_eq!(answer["records"]["without_nat"], 2);
    assert_eq!(answer["records"]["without_zones"], 2);
    let (_, text) = nat_cost_of(&[plain.to_owned()]);
    assert!(text.contains("note: the records lack pkt-srcaddr or pkt-dstaddr"), "{text}");
}

/// The arguments as the command line gives them.
#[derive(Parser)]
struct NatCost {
    #[command(flatten)]
    args: NatCostArgs,
}
