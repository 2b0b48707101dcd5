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

#[tokio::test]
async fn hours_of_which_nothing_is_on_record_are_told() {
    let mut text = HEADER.to_owned();
    // And one that is far ahead, which anybody can write.
    for window in [0, 5, 60, 72, 12 * 24 * 365 * 100] {
        silent(&mut text, "eni-1", window);
    }
    let store = delivered(&[text]).await;
    let day = Period {
        from: Window::of(START).unwrap(),
        to: Window::of(START).unwrap().forward(12 * 24 * 365 * 200),
    };
    let material = read(&store, &Subject::Everything, day).await.unwrap();
    let hours = hours(&material);
    let hour = |n: i64| START + n * 3600;
    let ahead = hour(24 * 365 * 100);
    assert_eq!(START % 3600, 0);
    assert_eq!(hours.gaps, [(hour(1), hour(5)), (hour(7), ahead)]);
    let text = coverage_text(&hours, &material);
    assert_eq!(text.matches("nothing is on record from").count(), 2, "{text}");
    assert_eq!(hours.by_hour.values().map(|hour: &Hour| hour.windows).sum::<u64>(), 5);
}
