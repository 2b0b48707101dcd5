//! `flowlog compliance` and `flowlog coverage` where an auditor would be misled: whose connection it was, what
//! nobody knows, and what is not there.

use std::fmt::Write as _;

use flowlog_cli::ask::{
    By, Compliance, Hour, Material, Period, Subject, compliance, coverage_text,
};
use flowlog_cli::ask::{hours, read, top, whole_period};
use flowlog_core::record::Window;
use flowlog_core::store::memory::MemoryStore;

use crate::support::{START, delivered};

const HEADER: &str = "interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action \
                      log-status flow-direction encryption-status account-id vpc-id tcp-flags\n";

/// Both directions of a connection that `client` opened, at the interface whose address is `own`.
fn connection(
    out: &mut String,
    id: &str,
    own: &str,
    client: (&str, u16),
    server: (&str, u16),
    at: i64,
) {
    for (src, dst, flags) in [(client, server, 2), (server, client, 18)] {
        let direction = if src.0 == own { "egress" } else { "ingress" };
        let _ = writeln!(
            out,
            "{id} {} {} {} {} 6 100 50000 {at} {} ACCEPT OK {direction} - 123456789012 vpc-1 {flags}",
            src.0,
            dst.0,
            src.1,
            dst.1,
            at + 50
        );
    }
}

async fn material(store: &MemoryStore, subject: &Subject) -> Material {
    let period = whole_period(store).await.unwrap().unwrap();
    read(store, subject, period).await.unwrap()
}

async fn report(store: &MemoryStore, subject: &Subject) -> Compliance {
    let whole = whole_period(store).await.unwrap().unwrap();
    compliance(&material(store, subject).await, subject, whole)
}

/// A busy host's own ports come by every number; what it opened is nothing that strangers reached.
#[tokio::test]
async fn connections_of_ones_own_are_no_exposure() {
    let own = "10.0.0.10";
    let mut text = HEADER.to_owned();
    for (n, port) in [3389, 5432, 50_070].into_iter().enumerate() {
        let at = START + i64::try_from(n).unwrap() * 60;
        connection(&mut text, "eni-1", own, (own, port), ("140.82.112.3", 443), at);
    }
    // A client of somebody's database, which once came too late to be let in.
    connection(&mut text, "eni-1", own, (own, 51_000), ("93.184.216.34", 5432), START);
    let _ = writeln!(
        text,
        "eni-1 93.184.216.34 {own} 5432 51001 6 1 40 {START} {START} REJECT OK ingress - 123456789012 vpc-1 16"
    );
    let store = delivered(&[text.clone()]).await;
    assert_eq!(report(&store, &Subject::Everything).await.exposed, []);

    connection(&mut text, "eni-1", own, ("203.0.113.7", 50_000), (own, 5432), START);
    let store = delivered(&[text]).await;
    let found = report(&store, &Subject::Everything).await;
    let ports: Vec<_> = found.exposed.iter().map(|e| (e.port, e.by.len())).collect();
    assert_eq!(ports, [(5432, 1)], "{found:?}");
    assert_eq!(found.exposed[0].by.keys().next().unwrap().to_string(), "203.0.113.7");
}

#[tokio::test]
async fn sums_over_interfaces_are_called_so() {
    let mut text = HEADER.to_owned();
    connection(&mut text, "eni-1", "10.0.0.1", ("203.0.113.7", 50_000), ("10.0.0.1", 22), START);
    let store = delivered(&[text]).await;
    for (subject, summed) in
        [(Subject::Everything, false), (Subject::Scope("vpc-1".to_owned()), true)]
    {
        let found = report(&store, &subject).await;
        assert_eq!((found.exposed.len(), found.summed), (1, summed), "{subject:?}");
    }
}

#[tokio::test]
async fn records_that_say_nothing_of_encryption_are_counted() {
    let mut text = HEADER.to_owned();
    for n in 0..100 {
        let status = if n < 3 { "1" } else { "-" };
        let _ = writeln!(
            text,
            "eni-1 10.0.0.1 10.0.0.2 {} 443 6 1 40 {START} {START} ACCEPT OK egress {status} 123456789012 vpc-1 2",
            50_000 + n
        );
    }
    let _ = writeln!(text, "eni-2 - - - - - - - {START} {START} - NODATA - - 123456789012 vpc-1 -");
    let found = report(&delivered(&[text]).await, &Subject::Everything).await;
    assert_eq!(found.encryption.into_iter().collect::<Vec<_>>(), [(1, 3)]);
    // One that was silent has nothing to say.
    let unknown: Vec<_> = found.encryption_unknown.into_iter().collect();
    assert_eq!(unknown, [("eni-1".to_owned(), 97)]);
}

/// An interface whose second address carries traffic, too: which of the two is the other side, nothing tells, and what is
/// counted under one may be the other's.
#[tokio::test]
async fn traffic_that_nothing_gives_a_direction_is_within_the_bound() {
    let row = |src: &str, dst: &str| {
        let (start, end) = (START, START + 60);
        format!("2 123456789012 eni-1 {src} {dst} 50000 443 6 9 7000 {start} {end} ACCEPT OK\n")
    };
    let rows = row("10.0.0.1", "10.0.0.2") + &row("10.0.0.1", "10.0.0.3");
    for (rows, bound) in [(rows.clone(), 0), (rows + &row("10.0.0.9", "10.0.0.3"), 7000)] {
        let store = delivered(&[rows]).await;
        let material = material(&store, &Subject::Everything).await;
        assert_eq!(top(&material, By::Bytes, 9).error_bytes, bound);
    }
}

fn silent(text: &mut String, id: &str, window: i64) {
    let start = START + window * 300;
    let _ = writeln!(text, "{id} - - - - - - - {start} {start} - NODATA - - 123456789012 vpc-1 -");
}

/// One interface stops after an hour, another goes on.
#[tokio::test]
async fn an_interface_that_stops_is_without_records() {
    let mut text = HEADER.to_owned();
    (0..12).for_each(|window| silent(&mut text, "eni-stops", window));
    (6..72).for_each(|window| silent(&mut text, "eni-begins-later", window));
    let found = report(&delivered(&[text]).await, &Subject::Everything).await;
    let recorded: Vec<_> =
        found.recorded.iter().map(|r| (r.interface.as_str(), r.windows, r.missing)).collect();
    assert_eq!(recorded, [("eni-begins-later", 66, 0), ("eni-stops", 12, 60)]);
}

fn around(from: i64, to: i64) -> Period {
    let start = Window::of(START).unwrap();
    Period { from: start.back(-from.min(0)).forward(from.max(0)), to: start.forward(to) }
}

#[tokio::test]
async fn hours_of_which_nothing_is_on_record_are_told() {
    let mut text = HEADER.to_owned();
    // And one that is far ahead, which anybody can write.
    for window in [0, 5, 60, 72, 12 * 24 * 365 * 100] {
        silent(&mut text, "eni-1", window);
    }
    let store = delivered(&[text]).await;
    let day = around(0, 12 * 24 * 365 * 200);
    let material = read(&store, &Subject::Everything, day).await.unwrap();
    let hours = hours(&material);
    let at = |window: i64| START + window * 300;
    // From window 61 to 72 it is five minutes less than an hour.
    assert_eq!(hours.gaps, [(at(6), at(60)), (at(73), at(12 * 24 * 365 * 100))]);
    assert_eq!(material.gaps, hours.gaps);
    let text = coverage_text(&hours, &material);
    assert_eq!(text.matches("nothing is on record from").count(), 2, "{text}");
    assert_eq!(hours.by_hour.values().map(|hour: &Hour| hour.windows).sum::<u64>(), 5);
}

/// A flow log that aggregates for ten minutes fills every other window.
#[tokio::test]
async fn a_time_without_any_record_makes_every_answer_incomplete() {
    let mut text = HEADER.to_owned();
    (0..24).step_by(2).for_each(|window| silent(&mut text, "eni-1", window));
    (0..48).for_each(|window| silent(&mut text, "eni-2", window));
    let store = delivered(&[text]).await;
    let of = async |subject: Subject, (from, to): (i64, i64), asked: bool| {
        let period = around(from, to);
        let mut material = read(&store, &subject, period).await.unwrap();
        material.bound(asked.then(|| period.from.start()), period.to.end());
        let whole = material.gaps.is_empty() && !material.answers.is_empty();
        assert_eq!(
            (material.is_complete(), &material.to_json()["complete"]),
            (whole, &whole.into())
        );
        let gaps = material.gaps.iter();
        gaps.map(|(from, to)| [(from - START) / 300, (to - START) / 300]).collect::<Vec<_>>()
    };
    let one = || Subject::Interface("eni-1".to_owned());
    let none: [[i64; 2]; 0] = [];
    assert_eq!(of(Subject::Everything, (0, 47), true).await, none, "one of two is there");
    assert_eq!(of(one(), (0, 23), true).await, none);
    assert_eq!(of(one(), (0, 33), true).await, none, "less than an hour");
    assert_eq!(of(one(), (0, 34), true).await, [[23, 35]], "an hour at the end");
    assert_eq!(of(Subject::Everything, (-12, 47), true).await, [[-12, 0]], "at the beginning");
    assert_eq!(of(Subject::Everything, (-12, 47), false).await, none, "where nobody asked");
    assert_eq!(of(one(), (30, 47), true).await, none, "nothing at all is said by itself");
}
