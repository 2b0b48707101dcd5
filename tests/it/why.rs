//! `flowlog why` finds what the generator planted, from the records of both interfaces and, as far
//! as they go, from the roll-ups of the same days.

use std::collections::BTreeMap;

use flowlog_cli::ask::{Subject, read, read_why, who, whole_period};
use flowlog_cli::generate::{self, Attack, FileFormat, Layout, Plan, Truth, USUAL};
use flowlog_cli::why::{from_records, from_rollups, to_text};
use flowlog_core::decode::Fallback;
use flowlog_core::record::Address;
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::why::{Explanation, Outcome, Path, Sureness};
use flowlog_s3_parser::handle;

use crate::answers::{Row, rows};
use crate::support::{Day, START, delivered, parser, sqs};

const BASTION: &str = "10.0.0.20";
const WEB_1: &str = "10.0.0.31";
const WEB_2: &str = "10.0.1.32";
const APP_1: &str = "10.0.16.41";
const APP_2: &str = "10.0.17.42";
const CACHE_1: &str = "10.0.16.51";
const EDGE_1: &str = "10.1.0.31";
const BATCH_1: &str = "10.1.16.21";
const DB_1: &str = "10.1.32.11";
const THIRD: &str = "10.2.16.77";

const ARRIVING: Outcome = Outcome::RefusedForward { leaving: false };

/// A question, what is planted there, and what the first cause must name.
type Case = (Attack, &'static str, &'static str, u16, Outcome, &'static str);

const CASES: [Case; 8] = [
    (Attack::Misconfiguration, EDGE_1, CACHE_1, 6379, ARRIVING, "security group"),
    (
        Attack::EgressRefused,
        APP_1,
        CACHE_1,
        6380,
        Outcome::RefusedForward { leaving: true },
        "outbound",
    ),
    (
        Attack::AsymmetricPath,
        WEB_2,
        EDGE_1,
        8443,
        Outcome::RefusedBack { leaving: false },
        "network ACL",
    ),
    (
        Attack::AnswerRefused,
        APP_2,
        BATCH_1,
        9443,
        Outcome::RefusedBack { leaving: true },
        "network ACL",
    ),
    (Attack::MissingRoute, BATCH_1, APP_1, 8444, Outcome::NeverArrived, "no route to 10.0.16.41"),
    (
        Attack::MissingReturnRoute,
        WEB_1,
        BATCH_1,
        8445,
        Outcome::AnswerLost,
        "no route to 10.0.0.31",
    ),
    (Attack::TransitivePeering, BATCH_1, THIRD, 5433, Outcome::NeverArrived, "not transitive"),
    (Attack::DataGap, DB_1, APP_1, 9999, Outcome::Gap, "SKIPDATA"),
];

fn day(seed: u64, minutes: u32, format: Layout, attacks: &[Attack]) -> Day {
    let folder = tempfile::tempdir().unwrap();
    let attacks = attacks.to_vec();
    let file_format = FileFormat::PlainText;
    let (rate, intensity) = (60, USUAL);
    let plan = Plan { seed, start: START, minutes, rate, format, file_format, attacks, intensity };
    let truth = generate::write(&plan, folder.path()).unwrap();
    Day { folder, truth }
}

fn path(src: &str, dst: &str, port: u16) -> Path {
    let address = |text| Address::parse(text).unwrap();
    Path { src: address(src), dst: address(dst), port: Some(port), protocol: None }
}

fn by_records(day: &Day, path: Path) -> Explanation {
    let paths = [day.path()];
    let time = (i64::MIN, i64::MAX);
    let mut complain = |line| panic!("{line}");
    let evidence = from_records(&paths, path, time, &Fallback::Default, &mut complain).unwrap();
    let mut found = evidence.explain();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn records_show_every_planted_cause() {
    let planted: Vec<Attack> = CASES.iter().map(|case| case.0).collect();
    for seed in 1..=10 {
        for format in Layout::ALL {
            let day = day(seed, 60, format, &planted);
            for (attack, src, dst, port, outcome, cause) in CASES {
                let found = by_records(&day, path(src, dst, port));
                let place = format!("{attack}, seed {seed}, {format}: {found:?}");
                assert_eq!(found.outcome, outcome, "{place}");
                // Of the third VPC nothing is on record: what was refused there looks the same. Without
                // traffic-path nothing says that the packets took the peering: a missing route and a
                // peering that leads no further look the same, too, and all are named.
                let causes = match (attack, format) {
                    (Attack::TransitivePeering, Layout::V2) => &found.causes[1..3],
                    (Attack::TransitivePeering, _) => &found.causes[1..2],
                    _ => &found.causes[..1],
                };
                assert!(causes.iter().any(|found| found.contains(cause)), "{place}");
                let sure = match attack {
                    Attack::TransitivePeering | Attack::DataGap => Sureness::Likely,
                    // Ordinary traffic has a gap a day, which may be at either end.
                    _ => found.sureness.max(Sureness::Likely),
                };
                assert_eq!(found.sureness, sure, "{place}");
            }
            for (src, dst, port) in [(APP_1, DB_1, 5432), (WEB_1, APP_1, 8080)] {
                let found = by_records(&day, path(src, dst, port));
                assert_eq!(found.outcome, Outcome::Accepted, "{found:?}");
            }
            let found = by_records(&day, path(APP_2, EDGE_1, 9999));
            assert!(matches!(found.outcome, Outcome::NoTraffic | Outcome::Gap), "{found:?}");
        }
    }
}

/// What is no fault of the network's set-up: `records_show_what_attackers_met` asks about these, or there is
/// nothing between two hosts to ask about.
const NO_FAULT: [&str; 10] = [
    "port-scan",
    "reject-burst",
    "host-sweep",
    "brute-force",
    "source-flood",
    "slow-scan",
    "rejected-then-accepted",
    "egress-volume",
    "lateral-movement",
    "sensitive-port-exposed",
];

/// Faults that have a test of their own below: whom they hit, the truth says.
const APART: [&str; 3] = ["silence", "silent-vpc", "block-public-access"];

#[test]
fn every_fault_that_can_be_generated_is_asked_about() {
    for attack in Attack::ALL {
        let asked = CASES.iter().any(|case| case.0 == attack);
        let elsewhere = NO_FAULT.iter().chain(&APART).any(|name| *name == attack.name());
        assert!(asked != elsewhere, "{attack}: in one of the lists");
    }
}

/// The address of an interface, by its first record that goes out.
fn address_of(rows: &[Row], interface: &str) -> Option<String> {
    let out = |row: &&Row| row["interface-id"] == interface && row["flow-direction"] == "egress";
    rows.iter().find(out).map(|row| row["srcaddr"].clone())
}

/// A path that nobody uses, from an interface of which nothing was delivered for two hours, not even
/// NODATA: nobody knows. From one that was heard of all the time: nothing was sent.
#[tokio::test]
async fn silence_is_no_proof() {
    for (seed, attack) in (1..=10).flat_map(|n| [(n, Attack::Silence), (n, Attack::SilentVpc)]) {
        let day = day(seed, 300, Layout::V5, &[attack]);
        let rows = rows(&day);
        let silenced = &day.truth.attacks[0].interface_ids;
        let app = parser(day.objects(), MemoryStore::default());
        let objects: Vec<_> = day.objects().objects().map(|(object, _)| object.clone()).collect();
        handle(&app, sqs(&objects)).await.unwrap();
        let period = whole_period(&app.store).await.unwrap().unwrap();
        let material = read(&app.store, &Subject::Everything, period).await.unwrap();
        for name in &day.truth.names {
            let id = &name.interface_id;
            // A standby has NODATA only, which names no address.
            let Some(own) = address_of(&rows, id) else { continue };
            let place = format!("{attack}, seed {seed}, {} {own}", name.name);
            let found = by_records(&day, path(&own, "203.0.113.99", 9999));
            let undelivered = found.causes.iter().any(|cause| cause.contains("not even NODATA"));
            let noted = found.notes.iter().any(|note| note.contains("Nothing was delivered of"));
            assert_eq!(undelivered, silenced.contains(id), "{place}: {found:?}");
            assert_eq!(noted, silenced.contains(id), "{place}: {found:?}");
            if silenced.contains(id) {
                assert_eq!(
                    (found.outcome, found.sureness),
                    (Outcome::Gap, Sureness::Likely),
                    "{place}"
                );
            } else {
                assert!(matches!(found.outcome, Outcome::NoTraffic | Outcome::Gap), "{place}");
            }
            // The roll-ups know an interface's address only where it refused somebody.
            let evidence = from_rollups(&material, path(&own, "203.0.113.99", 9999));
            let heard = evidence.src.interfaces.contains_key(id);
            assert!(!heard || evidence.src.silent.is_empty() != silenced.contains(id), "{place}");
        }
    }
}

/// Whom VPC Block Public Access refused is told so, with as many records as the objects have of them; whom it did
/// not refuse is not.
#[test]
fn block_public_access_is_named() {
    for seed in 1..=10 {
        let day = day(seed, 180, Layout::V8, &[Attack::BlockPublicAccess]);
        let rows = rows(&day);
        let mut refused: BTreeMap<[&str; 3], (u64, bool)> = BTreeMap::new();
        for row in rows
            .iter()
            .filter(|row| row["action"] == "REJECT" && row["flow-direction"] == "ingress")
        {
            let key = ["pkt-srcaddr", "dstaddr", "dstport"].map(|column| row[column].as_str());
            let (records, blocked) = refused.entry(key).or_default();
            *records += 1;
            *blocked |= row["reject-reason"] == "BPA";
        }
        for blocked in [true, false] {
            let some: Vec<_> = refused.iter().filter(|(_, (_, b))| *b == blocked).take(5).collect();
            assert!(!some.is_empty(), "seed {seed}: {blocked}");
            for ([src, dst, port], (records, _)) in some {
                let found = by_records(&day, path(src, dst, port.parse().unwrap()));
                let place = format!("seed {seed}, {src} to {dst}:{port}: {found:?}");
                assert_eq!(found.outcome, ARRIVING, "{place}");
                assert_eq!(found.verdict.contains("VPC Block Public Access"), blocked, "{place}");
                assert_eq!(found.causes[0].contains("blocks public access"), blocked, "{place}");
                assert_eq!(found.legs.arrived.refused.records, *records, "{place}");
            }
        }
    }
}

fn source(truth: &Truth, nth: usize) -> &str {
    truth.attacks[nth].source.as_deref().unwrap()
}

#[test]
fn records_show_what_attackers_met() {
    for seed in 1..=10 {
        let attacks = [
            Attack::RejectedThenAccepted,
            Attack::SensitivePortExposed,
            Attack::PortScan,
            Attack::BruteForce,
        ];
        let day = day(seed, 60, Layout::V2, &attacks);
        let intruder = source(&day.truth, 0);
        assert_eq!(by_records(&day, path(intruder, BASTION, 21)).outcome, ARRIVING);
        assert_eq!(by_records(&day, path(intruder, BASTION, 2222)).outcome, Outcome::Accepted);
        let stranger = source(&day.truth, 1);
        assert_eq!(by_records(&day, path(stranger, EDGE_1, 3389)).outcome, Outcome::Accepted);
        let guesser = source(&day.truth, 3);
        assert_eq!(by_records(&day, path(guesser, BASTION, 22)).outcome, Outcome::Accepted);

        let victim = day.truth.attacks[2].interface_id.clone().unwrap();
        let name = day.truth.names.iter().find(|name| name.interface_id == victim).unwrap().name;
        let address = match name {
            "app-1" => APP_1,
            "app-2" => APP_2,
            "web-1" => WEB_1,
            "web-2" => WEB_2,
            "cache-1" => CACHE_1,
            other => panic!("{other}"),
        };
        assert_eq!(by_records(&day, path(source(&day.truth, 2), address, 23)).outcome, ARRIVING);
    }
}

/// Roll-ups do not tell who an interface is. That is no reason to say that nobody tried, or that no flow log is there.
#[tokio::test]
async fn rollups_deny_nothing_that_they_cannot_know() {
    for seed in 1..=4 {
        let attacks = [Attack::PortScan, Attack::RejectBurst, Attack::MissingReturnRoute];
        let day = day(seed, 60, Layout::V5, &attacks);
        let app = parser(day.objects(), MemoryStore::default());
        let objects: Vec<_> = day.objects().objects().map(|(object, _)| object.clone()).collect();
        handle(&app, sqs(&objects)).await.unwrap();
        let period = whole_period(&app.store).await.unwrap().unwrap();
        let material = read(&app.store, &Subject::Everything, period).await.unwrap();
        // All of these passed, there and, but for the first, back.
        let mut told = 0;
        for (src, dst, port) in [
            (WEB_1, BATCH_1, 8445),
            (BATCH_1, DB_1, 5432),
            (APP_1, DB_1, 5432),
            (WEB_1, APP_1, 8080),
        ] {
            let evidence = from_rollups(&material, path(src, dst, port));
            let found = evidence.explain();
            let text = to_text(&evidence, &found, &[]);
            let place = format!("seed {seed}, {src} to {dst}:{port}: {text}");
            assert!(
                matches!(found[0].outcome, Outcome::Undetermined | Outcome::Accepted),
                "{place}"
            );
            for denial in
                ["obody tried", "o flow log covers", "no interface in the data", "certain"]
            {
                assert!(!text.contains(denial), "{denial}: {place}");
            }
            if found[0].outcome == Outcome::Undetermined {
                assert!(text.contains("--data"), "{place}");
                let near = found[0].notes.iter().any(|note| note.contains(" exchanged tcp/"));
                assert!(near, "what passed is told: {place}");
                told += 1;
            }
        }
        assert!(told > 0, "seed {seed}: some interface's own address does not show");
    }
}

#[tokio::test]
async fn rollups_show_refusals() {
    for seed in 1..=10 {
        let refusals = &CASES[..4];
        let planted: Vec<Attack> = refusals.iter().map(|case| case.0).collect();
        let day = day(seed, 60, Layout::V5, &planted);
        let app = parser(day.objects(), MemoryStore::default());
        let objects: Vec<_> = day.objects().objects().map(|(object, _)| object.clone()).collect();
        handle(&app, sqs(&objects)).await.unwrap();
        let period = whole_period(&app.store).await.unwrap().unwrap();
        let material = read(&app.store, &Subject::Everything, period).await.unwrap();
        for (attack, src, dst, port, outcome, cause) in refusals {
            let found = from_rollups(&material, path(src, dst, *port)).explain();
            let place = format!("{attack}, seed {seed}: {found:?}");
            assert_eq!(found.len(), 1, "{place}");
            assert_eq!(found[0].outcome, *outcome, "{place}");
            assert!(found[0].causes[0].contains(cause), "{place}");
            assert_eq!(found[0].sureness, Sureness::Likely, "{place}");
            assert!(found[0].notes.iter().any(|note| note.contains("roll-ups")), "{place}");
        }
    }
}

/// What was refused in one delivery was accepted in another one of the same window, as after a rule was mended: the
/// answers say both.
#[tokio::test]
async fn what_was_accepted_in_another_delivery_is_told() {
    let rows = |action: &str, packets: u64| {
        let (client, server, start, end) = (EDGE_1, CACHE_1, START, START + 60);
        format!(
            "2 123456789012 eni-0a1 {client} {server} 50000 6379 6 {packets} 4000 {start} {end} {action} OK\n\
             2 123456789012 eni-0a1 10.0.16.99 {server} 50000 6380 6 1 40 {start} {end} {action} OK\n"
        )
    };
    let store = delivered(&[rows("REJECT", 1), rows("ACCEPT", 70)]).await;
    let period = whole_period(&store).await.unwrap().unwrap();
    let material = read(&store, &Subject::Everything, period).await.unwrap();

    let found = from_rollups(&material, path(EDGE_1, CACHE_1, 6379)).explain();
    let arrived = &found[0].legs.arrived;
    assert_eq!((arrived.refused.records, arrived.accepted.packets), (1, 70), "{found:?}");
    let who = who(&material, Address::parse(EDGE_1).unwrap());
    let (_, verdicts) = who.seen[0].tuples[0];
    assert_eq!((verdicts.rejected_forward, verdicts.accepted_forward), (1, 70));
}

/// A rule that was changed once is told so from roll-ups, too, and refusals are not weighed against packets.
#[tokio::test]
async fn rollups_tell_what_was_first() {
    let row = |src: &str, dst: &str, ports: &str, packets: u32, start: i64, action: &str| {
        let end = start + 50;
        format!(
            "2 123456789012 eni-0b1 {src} {dst} {ports} 6 {packets} 4000 {start} {end} {action} OK\n"
        )
    };
    let works = |minute: i64| {
        let at = START + 60 * minute;
        row(EDGE_1, CACHE_1, "50000 6379", 300, at, "ACCEPT")
            + &row(CACHE_1, EDGE_1, "6379 50000", 300, at, "ACCEPT")
            + &row("10.0.16.99", CACHE_1, "50000 6380", 2, at, "REJECT")
    };
    let fails = |minute: i64| row(EDGE_1, CACHE_1, "50000 6379", 2, START + 60 * minute, "REJECT");
    let all = |working: &[(i64, i64)], failing: &[(i64, i64)]| {
        let minutes =
            |of: &[(i64, i64)]| of.iter().flat_map(|(from, to)| *from..*to).collect::<Vec<i64>>();
        let working: String = minutes(working).into_iter().map(works).collect();
        working + &minutes(failing).into_iter().map(fails).collect::<String>()
    };
    let cases = [
        // Ten minutes accepted, then refused for an hour; or within one hour, or in the midst of a window.
        (all(&[(0, 10)], &[(15, 75)]), ARRIVING, "Before, 3000 packets were accepted"),
        (all(&[(0, 10)], &[(15, 25)]), ARRIVING, "Before, 3000 packets were accepted"),
        (all(&[(0, 12)], &[(12, 25)]), ARRIVING, "Before, 3600 packets were accepted"),
        (all(&[(15, 25)], &[(0, 10)]), Outcome::Accepted, "Before, 10 records were refused"),
        (all(&[(13, 90)], &[(0, 13)]), Outcome::Accepted, "Before, 13 records were refused"),
        // Latecomers, and rules that were changed more than once.
        (
            all(&[(0, 60)], &[(22, 23), (41, 42)]),
            Outcome::Accepted,
            "2 records beside 18000 packets",
        ),
        (
            all(&[(0, 10), (30, 40)], &[(15, 25)]),
            Outcome::Mixed,
            "10 records refused and 6000 packets",
        ),
    ];
    for (text, outcome, note) in cases {
        let store = delivered(&[text]).await;
        let period = whole_period(&store).await.unwrap().unwrap();
        let asked = path(EDGE_1, CACHE_1, 6379);
        let material = read(&store, &Subject::Everything, period).await.unwrap();
        let by_windows = from_rollups(&material, asked);
        let (_, evidence) = read_why(&store, &Subject::Everything, period, asked).await.unwrap();
        let account = Subject::Scope("123456789012".to_owned());
        let (_, of_account) = read_why(&store, &account, period, asked).await.unwrap();
        for evidence in [evidence, of_account, by_windows] {
            let found = &evidence.explain()[0];
            assert_eq!(found.outcome, outcome, "{note}: {found:?}");
            assert!(found.notes.iter().any(|n| n.starts_with(note)), "{note}: {found:?}");
            let arrived = &found.legs.arrived;
            assert_eq!(arrived.accepted.records, 0, "packets are none");
            assert!(arrived.accepted.packets > 0);
        }
    }
    // What was accepted has the times of its windows, not the interface's.
    let store = delivered(&[all(&[(0, 10)], &[(15, 75)])]).await;
    let period = whole_period(&store).await.unwrap().unwrap();
    let asked = path(EDGE_1, CACHE_1, 6379);
    let (_, evidence) = read_why(&store, &Subject::Everything, period, asked).await.unwrap();
    let accepted = &evidence.explain()[0].legs.arrived.accepted;
    assert_eq!((accepted.first, accepted.last), (START, START + 599));
    let text = to_text(&evidence, &evidence.explain(), &[]);
    assert!(text.contains("3,000 packets accepted"), "{text}");
    assert!(text.contains("60 records refused"), "{text}");
}
