//! `top`, `rejected`, `who` and `coverage` against sums that share no code with flowlog: the files split at
//! spaces, with the columns of their own header line. Ten seeds.

#![expect(clippy::disallowed_types, reason = "it must not share flowlog's own inflating")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use flowlog_cli::ask::{By, Subject, hours, read, rejected, top, who, whole_period};
use flowlog_cli::generate::Attack;
use flowlog_core::record::Address;

use crate::support::ingested;
use crate::support::{Day, generate};

/// Records, packets, bytes.
type Sums = [u64; 3];

/// One record as words.
#[derive(Debug, Clone)]
struct Row {
    interface: String,
    remote: String,
    src: String,
    ports: (u16, u16),
    protocol: u8,
    accepted: bool,
    status: String,
    packets: u64,
    bytes: u64,
    start: i64,
    end: i64,
}

fn rows(day: &Day) -> Vec<Row> {
    let mut rows = Vec::new();
    for object in &day.truth.objects {
        let file = std::fs::File::open(day.path().join(&object.key)).unwrap();
        let mut text = String::new();
        MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
        let mut lines = text.lines();
        let head: Vec<&str> = lines.next().unwrap().split(' ').collect();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let get = |name: &str| words[head.iter().position(|column| *column == name).unwrap()];
            let number = |name: &str| get(name).parse().unwrap_or(0_u64);
            let inbound = get("flow-direction") == "ingress";
            rows.push(Row {
                interface: get("interface-id").to_owned(),
                remote: get(if inbound { "srcaddr" } else { "dstaddr" }).to_owned(),
                src: get("srcaddr").to_owned(),
                ports: (get("srcport").parse().unwrap_or(0), get("dstport").parse().unwrap_or(0)),
                protocol: get("protocol").parse().unwrap_or(255),
                accepted: get("action") == "ACCEPT",
                status: get("log-status").to_owned(),
                packets: number("packets"),
                bytes: number("bytes"),
                start: get("start").parse().unwrap(),
                end: get("end").parse().unwrap(),
            });
        }
    }
    rows
}

fn add(sums: &mut Sums, row: &Row) {
    sums[0] += 1;
    sums[1] += row.packets;
    sums[2] += row.bytes;
}

/// What is listed may say less than is so, by the stated bound at most, and never more.
fn within(listed: u64, truth: u64, bound: u64, what: &str) {
    assert!(listed <= truth && truth <= listed + bound, "{what}: {listed}, truly {truth}, {bound}");
}

#[tokio::test]
async fn questions_equal_an_independent_count() {
    let attacks = [Attack::PortScan, Attack::Misconfiguration, Attack::DataGap];
    for seed in 1..=10 {
        // Lists are cut here, and what they lack is within what they say.
        check(seed, &generate(seed, 90, 60, &attacks), 3000).await;
        // Nothing is cut here: equality.
        assert_eq!(check(seed, &generate(seed, 10, 20, &[]), 50).await, 0, "seed {seed}");
    }
}

/// Checks every question about a day with so many flows; the bound of its talkers.
async fn check(seed: u64, day: &Day, least: usize) -> u64 {
    let store = ingested(day).await;
    let period = whole_period(&store).await.unwrap().unwrap();
    let material = read(&store, &Subject::Everything, period).await.unwrap();
    let all = rows(day);
    let flows: Vec<&Row> = all.iter().filter(|row| row.status == "OK").collect();
    assert!(flows.len() > least, "{}", flows.len());

    // coverage: each hour.
    let mut by_hour: BTreeMap<i64, [u64; 5]> = BTreeMap::new();
    let mut windows: BTreeMap<i64, BTreeSet<(&str, i64)>> = BTreeMap::new();
    for row in &all {
        let hour = row.start.div_euclid(3600) * 3600;
        let cell = by_hour.entry(hour).or_default();
        let kind = match row.status.as_str() {
            "NODATA" => 2,
            "SKIPDATA" => 3,
            _ => usize::from(!row.accepted),
        };
        cell[kind] += 1;
        let window = (row.interface.as_str(), row.start.div_euclid(300));
        windows.entry(hour).or_default().insert(window);
    }
    for (hour, seen) in &windows {
        by_hour.get_mut(hour).unwrap()[4] = seen.len() as u64;
    }
    let found: BTreeMap<i64, [u64; 5]> = hours(&material)
        .by_hour
        .into_iter()
        .map(|(start, hour)| {
            let sums = hour.totals.totals;
            let counts = [
                sums.accept.records,
                sums.reject.records,
                hour.totals.nodata,
                hour.totals.skipdata,
                hour.windows,
            ];
            (start.start(), counts)
        })
        .collect();
    assert_eq!(found, by_hour, "seed {seed}");
    let skipped: u64 = by_hour.values().map(|counts| counts[3]).sum();
    assert!(day.truth.attacks.is_empty() || skipped >= 3, "SKIPDATA was planted");

    check_rejected(&material, &flows, seed);
    check_who(&material, &flows, seed);
    check_top(&material, &flows, seed)
}

/// The bound of the list.
fn check_top(material: &flowlog_cli::ask::Material, flows: &[&Row], seed: u64) -> u64 {
    let mut talkers: BTreeMap<&str, (Sums, BTreeSet<&str>)> = BTreeMap::new();
    for row in flows.iter().filter(|row| row.accepted) {
        let (sums, peers) = talkers.entry(&row.remote).or_default();
        add(sums, row);
        peers.insert(&row.interface);
    }
    let found = top(material, By::Bytes, usize::MAX);
    let mut heaviest: Vec<u64> = talkers.values().map(|(sums, _)| sums[2]).collect();
    heaviest.sort_unstable_by(|a, b| b.cmp(a));
    for (nth, row) in found.rows.iter().enumerate() {
        let what = format!("seed {seed}, {}", row.address);
        let (sums, peers) = &talkers[row.address.to_string().as_str()];
        within(row.sums.bytes(), sums[2], found.error_bytes, &what);
        if found.error_bytes == 0 {
            let packets = row.sums.packets_in + row.sums.packets_out;
            assert_eq!([row.sums.records, packets], [sums[0], sums[1]], "{what}");
            assert_eq!(row.peers, peers.len() as u64, "{what}");
            assert_eq!(row.sums.bytes(), heaviest[nth], "{what}: in order");
        }
    }
    // Whoever is not listed is no heavier than the bound.
    let listed: BTreeSet<String> = found.rows.iter().map(|row| row.address.to_string()).collect();
    for (address, (sums, _)) in talkers.iter().filter(|(address, _)| !listed.contains(**address)) {
        within(0, sums[2], found.error_bytes, &format!("seed {seed}, {address} is not listed"));
    }
    found.error_bytes
}

fn check_rejected(material: &flowlog_cli::ask::Material, flows: &[&Row], seed: u64) {
    let refused: Vec<&&Row> = flows.iter().filter(|row| !row.accepted).collect();
    let (mut total, mut by_subject) = (Sums::default(), BTreeMap::<&str, Sums>::new());
    let mut sources: BTreeMap<&str, (u64, i64, i64)> = BTreeMap::new();
    let mut ports: BTreeMap<(u8, u16), u64> = BTreeMap::new();
    for row in &refused {
        add(&mut total, row);
        add(by_subject.entry(&row.interface).or_default(), row);
        let source = sources.entry(&row.src).or_insert((0, row.start, row.end));
        *source = (source.0 + 1, source.1.min(row.start), source.2.max(row.end));
        *ports.entry((row.protocol, row.ports.1)).or_default() += 1;
    }
    let found = rejected(material, None, usize::MAX);
    let sums = |s: &flowlog_core::rollup::Sums| [s.records, s.packets, s.bytes];
    assert_eq!(sums(&found.total), total, "seed {seed}");
    let subjects: BTreeMap<&str, Sums> =
        found.by_subject.iter().map(|(id, s)| (id.as_str(), sums(s))).collect();
    assert_eq!(subjects, by_subject, "seed {seed}");
    for (address, source) in &found.sources {
        let (records, first, last) = sources[address.to_string().as_str()];
        let what = format!("seed {seed}, {address}");
        within(source.records, records, found.sources_error, &what);
        if found.sources_error == 0 {
            assert_eq!((source.first, source.last), (first, last), "{what}");
        }
    }
    for (key, records) in &found.ports {
        let truth = ports[&(key.protocol, key.port)];
        within(*records, truth, found.ports_error, &format!("seed {seed}, {key:?}"));
    }
    if found.sources_error == 0 && found.ports_error == 0 {
        assert_eq!((found.sources.len(), found.ports.len()), (sources.len(), ports.len()));
    }
}

fn check_who(material: &flowlog_cli::ask::Material, flows: &[&Row], seed: u64) {
    let talkers = top(material, By::Records, 8).rows.into_iter().map(|row| row.address);
    let refused = rejected(material, None, 8).sources.into_iter().map(|(address, _)| address);
    for address in talkers.chain(refused).collect::<BTreeSet<Address>>() {
        let text = address.to_string();
        let found = who(material, address);
        let what = format!("seed {seed}, {address}");
        let mut talked: BTreeMap<(&str, u8, u16), u64> = BTreeMap::new();
        let mut of_source: BTreeMap<&str, u64> = BTreeMap::new();
        for row in flows {
            if row.accepted && row.remote == text {
                let port = row.ports.0.min(row.ports.1);
                *talked.entry((&row.interface, row.protocol, port)).or_default() += row.bytes;
            }
            if !row.accepted && row.src == text {
                *of_source.entry(&row.interface).or_default() += 1;
            }
        }
        for seen in &found.seen {
            for (key, talker) in &seen.talked {
                let truth = talked.remove(&(seen.subject.as_str(), key.protocol, key.port));
                within(talker.bytes(), truth.unwrap_or(0), found.unlisted.bytes, &what);
            }
            let truth = of_source.remove(seen.subject.as_str()).unwrap_or(0);
            let records = seen.refused.as_ref().map_or(0, |refused| refused.records);
            if found.unlisted.bytes == 0 {
                assert_eq!(records, truth, "{what} refused at {}", seen.subject);
            }
            // Talkers are who exchanged something; refused, it shows as a source.
            let times: BTreeSet<i64> = flows
                .iter()
                .filter(|row| row.interface == seen.subject)
                .filter(|row| if row.accepted { row.remote == text } else { row.src == text })
                .map(|row| row.start.div_euclid(300) * 300)
                .collect();
            let truth = times.first().copied().zip(times.last().copied());
            let windows = seen.windows.map(|(first, last)| (first.start(), last.start()));
            if found.unlisted.bytes == 0 {
                assert_eq!(windows, truth, "{what} at {}", seen.subject);
            }
        }
        for (place, bytes) in talked {
            within(0, bytes, found.unlisted.bytes, &format!("{what} {place:?} is not listed"));
        }
    }
}
