//! `flowlog compliance` and `flowlog coverage` where an auditor would be misled: whose connection it was, what
//! nobody knows, and what is not there.

use std::fmt::Write as _;

use flowlog_cli::ask::{
    By, Compliance, Hour, Material, Period, Subject, compliance, coverage_text,
};
use flowlog_cli::ask::{hours, read, top, who, who_text, whole_period};
use flowlog_core::record::{Address, Window};
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

/// A VPC is its interfaces. Where records name none, its sums are called so, and nobody's instance is named.
#[tokio::test]
async fn sums_over_interfaces_are_called_so() {
    let mut text = HEADER.to_owned();
    connection(&mut text, "eni-1", "10.0.0.1", ("203.0.113.7", 50_000), ("10.0.0.1", 22), START);
    let nameless = text.replace("interface-id ", "").replace("eni-1 ", "");
    let vpc = Subject::Scope("vpc-1".to_owned());
    for (text, subject, (interface, of_vpc, summed)) in [
        (&text, &Subject::Everything, ("eni-1", "vpc-1", false)),
        (&text, &vpc, ("eni-1", "vpc-1", false)),
        (&nameless, &Subject::Everything, ("-", "vpc-1", false)),
        (&nameless, &vpc, ("vpc-1", "", true)),
    ] {
        let found = report(&delivered(std::slice::from_ref(text)).await, subject).await;
        let [exposure] = &found.exposed[..] else { panic!("{subject:?}: {found:?}") };
        assert_eq!((exposure.interface.as_str(), exposure.vpc.as_str()), (interface, of_vpc));
        assert_eq!(found.summed, summed, "{subject:?}");
    }
}

/// A list bounds each of its entries, not how many it lacks.
#[tokio::test]
async fn a_list_that_is_cut_says_what_it_does_not_tell() {
    let strangers = |many: u32| {
        let mut text = HEADER.to_owned();
        for n in 0..many {
            let client = format!("8.0.{}.{}", n / 250, n % 250 + 1);
            let at = START + i64::from(n % 200);
            connection(&mut text, "eni-1", "10.0.0.1", (&client, 50_000), ("10.0.0.1", 22), at);
        }
        text
    };
    let few = report(&delivered(&[strangers(20)]).await, &Subject::Everything).await;
    assert_eq!((few.exposed[0].by.len(), few.unsure()), (20, Vec::new()));
    let found = report(&delivered(&[strangers(300)]).await, &Subject::Everything).await;
    assert!(found.exposed[0].by.len() < 300 && found.cut.contains_key("eni-1"), "{found:?}");
    let [said] = &found.unsure()[..] else { panic!("{:?}", found.unsure()) };
    for words in ["the ports of eni-1 are cut", "more flows at a port", "how many is not known"] {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(found.undecided, 0);
}

/// What may be an answer to a connection of one's own is told apart from what was cut.
#[tokio::test]
async fn flows_that_nothing_decides_are_no_cut_list() {
    let mut text = HEADER.to_owned();
    let (own, remote) = (("10.0.0.1", 50_070), ("203.0.113.7", 40_000));
    connection(&mut text, "eni-1", own.0, remote, own, START);
    let found = report(&delivered(&[text]).await, &Subject::Everything).await;
    assert_eq!((found.undecided, found.cut.len()), (1, 0), "{found:?}");
    assert!(found.exposed.is_empty() && found.unsure().is_empty(), "{found:?}");
}

/// Formats without what it takes, and flow logs of refused traffic.
#[tokio::test]
async fn what_records_cannot_tell_is_not_known() {
    let row = |src: (&str, u16), dst: (&str, u16), action: &str| {
        let (end, way) = (START + 5, if src.1 == 22 { "egress" } else { "ingress" });
        format!(
            "eni-1 {} {} {} {} 6 9 9000 {START} {end} {action} OK {way}",
            src.0, dst.0, src.1, dst.1
        )
    };
    let (client, server) = (("203.0.113.7", 50_000), ("10.0.0.1", 22));
    let names = HEADER.split(' ').take(13).collect::<Vec<_>>();
    let without = |lacking: &[&str], action: &str| {
        let rows = [names.join(" "), row(client, server, action), row(server, client, action)];
        let of = |row: &String| {
            let cells = row.split(' ').zip(&names).filter(|(_, name)| !lacking.contains(name));
            cells.map(|(cell, _)| cell).collect::<Vec<_>>().join(" ")
        };
        rows.iter().map(of).collect::<Vec<_>>().join("\n") + "\n"
    };
    for (lacking, action, exposed, said) in [
        (&[][..], "ACCEPT", 1, ""),
        (&["srcport", "dstport"], "ACCEPT", 0, "have no dstport, srcport"),
        (&["srcaddr", "dstaddr"], "ACCEPT", 0, "have no dstaddr, srcaddr"),
        (&["bytes"], "ACCEPT", 0, "have no bytes"),
        // Of the two addresses one is private: the interface's.
        (&["flow-direction"], "ACCEPT", 1, ""),
        (&[], "REJECT", 0, "only refused traffic is on record"),
    ] {
        let store = delivered(&[without(lacking, action)]).await;
        let found = report(&store, &Subject::Everything).await;
        assert_eq!(found.exposed.len(), exposed, "{lacking:?}: {found:?}");
        assert_eq!(found.unsure(), found.not_known());
        let not_known = found.not_known().concat();
        assert!(
            if said.is_empty() { not_known.is_empty() } else { not_known.contains(said) },
            "{not_known}"
        );
        assert!(lacking.iter().all(|field| found.lacking.contains(field)), "{found:?}");
    }
}

/// One VPC's flow log tells of everything, the other's of what was refused.
#[tokio::test]
async fn a_vpc_of_refused_traffic_only_is_named() {
    let rows =
        [("eni-1", "ACCEPT", "vpc-1"), ("eni-1", "REJECT", "vpc-1"), ("eni-2", "REJECT", "vpc-2")];
    let mut text = HEADER.to_owned();
    for (interface, action, vpc) in rows {
        let _ = writeln!(
            text,
            "{interface} 203.0.113.7 10.0.0.1 50000 40000 6 9 900 {START} {START} {action} OK ingress - 123456789012 {vpc} 2"
        );
    }
    let found = report(&delivered(&[text]).await, &Subject::Everything).await;
    let said = found.not_known().concat();
    assert!(
        said.starts_with("only refused traffic is on record of interfaces of vpc-2: "),
        "{said}"
    );
    assert_eq!(found.unsure(), found.not_known());
}

/// An address that no list has room for may still have been there.
#[tokio::test]
async fn who_stands_in_no_list_may_have_been_there() {
    let mut text = HEADER.to_owned();
    for n in 0..200 {
        let _ = writeln!(
            text,
            "eni-1 8.0.0.{n} 10.0.0.1 50000 23 6 1 40 {START} {START} REJECT OK ingress - 123456789012 vpc-1 2"
        );
    }
    let store = delivered(&[text]).await;
    let material = material(&store, &Subject::Everything).await;
    let addresses = (0..200).map(|n| Address::parse(&format!("8.0.0.{n}")).unwrap());
    let hidden = addresses.map(|address| who(&material, address)).find(|who| who.seen.is_empty());
    let hidden = hidden.expect("lists are cut");
    assert!(hidden.unlisted.refused > 0 && hidden.unlisted.bytes == 0, "{hidden:?}");
    let text = who_text(&hidden, &[], &material);
    let said = format!(
        "up to 0 B that others exchanged with it and {} records that were refused",
        hidden.unlisted.refused
    );
    assert!(text.contains(" is in no list.\n") && text.contains(&said), "{text}");
    assert_eq!(hidden.to_json()["error_bounds"]["refused_records"], hidden.unlisted.refused);
    let nobody = who(&Material::default(), hidden.address);
    assert!(who_text(&nobody, &[], &Material::default()).contains("shows nowhere.\n"));
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

/// Two holes, one of them right behind the first window: each of their windows is missing, and of a flow log of ten minutes
/// that comes in the middle only what it would have filled.
#[tokio::test]
async fn every_window_of_a_hole_is_without_records() {
    let mut text = HEADER.to_owned();
    let holes = |window: &i64| (1..3).contains(window) || (30..31).contains(window);
    (0..72).filter(|window| !holes(window)).for_each(|w| silent(&mut text, "eni-holed", w));
    // For a minute until 36, for ten minutes from then on, and nothing from 50 to 60.
    let slow = (36..72).step_by(2).filter(|window| !(50..60).contains(window));
    (0..36).chain(slow).for_each(|window| silent(&mut text, "eni-slower", window));
    let found = report(&delivered(&[text]).await, &Subject::Everything).await;
    let missing: Vec<_> =
        found.recorded.iter().map(|r| (r.interface.as_str(), r.missing)).collect();
    assert_eq!(missing, [("eni-holed", 3), ("eni-slower", 10)]);
}

/// A flow log that aggregates for ten minutes fills every other window, and none is missing then.
#[tokio::test]
async fn windows_of_ten_minutes_are_not_half_missing() {
    let mut text = HEADER.to_owned();
    (0..48).step_by(2).for_each(|window| silent(&mut text, "eni-whole", window));
    // Of 10 to 20 nothing came.
    let holed = (0..48).step_by(2).filter(|window| !(10..20).contains(window));
    holed.for_each(|window| silent(&mut text, "eni-holed", window));
    let found = report(&delivered(&[text]).await, &Subject::Everything).await;
    let missing: Vec<_> =
        found.recorded.iter().map(|r| (r.interface.as_str(), r.missing)).collect();
    assert_eq!(missing, [("eni-holed", 10), ("eni-whole", 0)]);
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
