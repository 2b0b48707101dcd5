//! Hand-written records of every outcome, in the default format, without flow-direction.

use super::{Evidence, Explanation, Gatherer, Outcome, Path, Service, Sureness, Unread};
use crate::decode::{Fallback, Limits, ObjectDecoder};
use crate::record::Address;

const A: &str = "10.0.1.32";
const B: &str = "10.1.0.31";

fn path(src: &str, dst: &str, port: Option<u16>) -> Path {
    let address = |text| Address::parse(text).unwrap();
    Path { src: address(src), dst: address(dst), port, protocol: None }
}

/// A row at an interface: `eni src dst srcport dstport start action`.
fn row(text: &str) -> String {
    let t: Vec<&str> = text.split(' ').collect();
    let end = t[5].parse::<i64>().unwrap() + 30;
    format!("2 1 {} {} {} {} {} 6 2 120 {} {end} {} OK\n", t[0], t[1], t[2], t[3], t[4], t[5], t[6])
}

/// Talk with somebody else, from which an interface's own address shows, and that its flow log is of all traffic.
fn others() -> String {
    [
        format!("eni-a {A} 198.51.100.1 40000 443 100 ACCEPT"),
        format!("eni-b 198.51.100.1 {B} 40000 443 100 ACCEPT"),
        format!("eni-a 198.51.100.2 {A} 40000 23 100 REJECT"),
        format!("eni-b 198.51.100.2 {B} 40000 23 100 REJECT"),
    ]
    .iter()
    .map(|text| row(text))
    .collect()
}

fn gathered(path: Path, text: &str) -> Evidence {
    let sink = Gatherer::new(path, i64::MIN, i64::MAX);
    let mut decoder = ObjectDecoder::new(Limits::default(), Fallback::Default, None, sink);
    decoder.push(text.as_bytes()).unwrap();
    let whole = decoder.finish().unwrap();
    assert_eq!(whole.counts.rejected_total(), 0);
    whole.sink.finish()
}

/// Asks about A → B at 443 with these rows beside the others.
fn ask(rows: &[&str]) -> Explanation {
    let text = others() + &rows.iter().map(|text| row(text)).collect::<String>();
    let mut all = gathered(path(A, B, Some(443)), &text).explain();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// The four legs, each accepted.
fn leg(nth: usize, start: i64, action: &str) -> String {
    let (eni, there) = [("eni-a", true), ("eni-b", true), ("eni-b", false), ("eni-a", false)][nth];
    if there {
        format!("{eni} {A} {B} 50000 443 {start} {action}")
    } else {
        format!("{eni} {B} {A} 443 50000 {start} {action}")
    }
}

/// What worked until an hour ago does not work now, however often it did.
#[test]
fn what_was_sent_since_the_last_success_tells() {
    let mut rows: Vec<String> =
        (0..20).flat_map(|n| (0..4).map(move |nth| leg(nth, 200 + 60 * n, "ACCEPT"))).collect();
    let all = |rows: &[String]| ask(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((all(&rows).outcome, all(&rows).sureness), (Outcome::Accepted, Sureness::Certain));
    for (legs, outcome) in
        [(1, Outcome::NeverArrived), (2, Outcome::Unanswered), (3, Outcome::AnswerLost)]
    {
        let length = rows.len();
        rows.extend((0..legs).map(|nth| leg(nth, 200 + 3_600, "ACCEPT")));
        let found = all(&rows);
        assert_eq!((found.outcome, found.sureness), (outcome, Sureness::Likely));
        assert!(found.notes.iter().any(|note| note.contains("were accepted there and back")));
        rows.truncate(length);
    }
    // A packet that comes soon after belongs to it.
    rows.push(leg(0, 200 + 60 * 20, "ACCEPT"));
    assert_eq!(all(&rows).outcome, Outcome::Accepted);
}

/// Without flags a reset is known by its length only.
#[test]
fn answers_of_headers_alone_may_be_resets() {
    for (bytes, sureness) in [(80, Sureness::Likely), (120, Sureness::Certain)] {
        let legs = (0..4).map(|nth| {
            let row = row(&leg(nth, 200, "ACCEPT"));
            if nth < 2 { row } else { row.replace(" 2 120 ", &format!(" 2 {bytes} ")) }
        });
        let text = others() + &legs.collect::<String>();
        let found = gathered(path(A, B, Some(443)), &text).explain().remove(0);
        assert_eq!((found.outcome, found.sureness), (Outcome::Accepted, sureness));
        let said =
            found.notes.iter().any(|note| note.contains("a closed port answers with resets"));
        assert_eq!(said, sureness == Sureness::Likely);
    }
}

fn outcome(legs: &[(usize, i64, &str)]) -> (Outcome, Sureness) {
    let rows: Vec<String> = legs.iter().map(|(n, start, action)| leg(*n, *start, action)).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let explanation = ask(&rows);
    (explanation.outcome, explanation.sureness)
}

const ACCEPT: &str = "ACCEPT";
const REJECT: &str = "REJECT";

#[test]
fn the_last_record_tells_where_packets_end() {
    use Outcome::{
        Accepted, AnswerLost, NeverArrived, NoTraffic, RefusedBack, RefusedForward, Unanswered,
    };
    let certain = |outcome| (outcome, Sureness::Certain);
    let all = [(0, 200, ACCEPT), (1, 200, ACCEPT), (2, 200, ACCEPT), (3, 200, ACCEPT)];
    assert_eq!(outcome(&all), certain(Accepted));
    assert_eq!(outcome(&all[..3]), certain(AnswerLost));
    assert_eq!(outcome(&all[..2]), certain(Unanswered));
    assert_eq!(outcome(&all[..1]), certain(NeverArrived));
    assert_eq!(outcome(&[]), certain(NoTraffic));
    let with = |n: usize| {
        let mut legs = all[..=n].to_vec();
        legs[n].2 = REJECT;
        outcome(&legs)
    };
    assert_eq!(with(0), certain(RefusedForward { leaving: true }));
    assert_eq!(with(1), certain(RefusedForward { leaving: false }));
    assert_eq!(with(2), certain(RefusedBack { leaving: true }));
    assert_eq!(with(3), certain(RefusedBack { leaving: false }));
}

#[test]
fn a_refusal_does_not_say_which_of_the_two_it_was() {
    let explanation = ask(&[&leg(0, 200, ACCEPT), &leg(1, 200, REJECT)]);
    let causes = explanation.causes.join(" ");
    assert!(causes.contains("security group") && causes.contains("network ACL"), "{causes}");
    assert!(causes.contains("does not tell which"), "{causes}");
    let back = ask(&[
        &leg(0, 200, ACCEPT),
        &leg(1, 200, ACCEPT),
        &leg(2, 200, ACCEPT),
        &leg(3, 200, REJECT),
    ]);
    let causes = back.causes.join(" ");
    assert!(causes.contains("network ACL") && causes.contains("return route"), "{causes}");
    assert_eq!(back.legs.returned.refused.rows.len(), 1, "the record that shows it");
}

#[test]
fn what_was_mended_is_open_now_and_what_was_closed_is_closed() {
    let then = |first: &str, last: &str| {
        let rows: Vec<String> = (0..4)
            .flat_map(|n| [(leg(n, 1000, first), n), (leg(n, 9000, last), n)])
            // Behind a refusal there is nothing.
            .filter(|(row, n)| {
                *n < 2 || row.contains(if first == ACCEPT { " 1000 " } else { " 9000 " })
            })
            .map(|(row, n)| if n == 0 { row.replace(REJECT, ACCEPT) } else { row })
            .collect();
        ask(&rows.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mended = then(REJECT, ACCEPT);
    assert_eq!(mended.outcome, Outcome::Accepted);
    assert!(mended.notes[0].starts_with("Before, 1 records were refused"), "{:?}", mended.notes);
    let closed = then(ACCEPT, REJECT);
    assert_eq!(closed.outcome, Outcome::RefusedForward { leaving: false });
    assert!(closed.notes[0].starts_with("Before, 1 records were accepted"), "{:?}", closed.notes);
}

#[test]
fn latecomers_are_no_refusal_and_turns_are_told() {
    let mut rows = Vec::new();
    for n in 0..40 {
        rows.extend((0..4).map(|nth| leg(nth, 1000 + 60 * n, ACCEPT)));
    }
    let ask = |rows: &[String]| ask(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    rows.push(leg(1, 2000, REJECT));
    let late = ask(&rows);
    assert_eq!(late.outcome, Outcome::Accepted);
    assert!(late.notes[0].contains("after their connection was closed"), "{:?}", late.notes);
    rows.extend((0..9).map(|n| leg(1, 1100 + 200 * n, REJECT)));
    assert_eq!(ask(&rows).outcome, Outcome::Mixed);
}

/// A row without a flow.
fn skipped(eni: &str, start: i64) -> String {
    format!("2 1 {eni} - - - - - - - {start} {} - SKIPDATA\n", start + 59)
}

#[test]
fn gaps_count_where_they_matter() {
    let with_gap = |eni: &str, at: i64, legs: usize| {
        let rows: String = (0..legs).map(|n| row(&leg(n, 200, ACCEPT))).collect();
        let text = others() + &rows + &skipped(eni, at);
        let mut all = gathered(path(A, B, Some(443)), &text).explain();
        let found = all.remove(0);
        (found.outcome, found.sureness)
    };
    assert_eq!(with_gap("eni-b", 190, 1), (Outcome::Gap, Sureness::Likely));
    assert_eq!(with_gap("eni-b", 5000, 1), (Outcome::NeverArrived, Sureness::Likely));
    assert_eq!(with_gap("eni-a", 190, 3), (Outcome::Gap, Sureness::Likely));
    assert_eq!(with_gap("eni-a", 190, 0), (Outcome::Gap, Sureness::Likely));
    assert_eq!(with_gap("eni-b", 190, 0), (Outcome::NoTraffic, Sureness::Likely));
    // A gap that hides a part of what was sent hides no cause: the rest is missing, too.
    let rows: String = [200, 900].map(|at| row(&leg(0, at, ACCEPT))).concat();
    let found = gathered(path(A, B, Some(443)), &(others() + &rows + &skipped("eni-b", 190)));
    let found = found.explain().remove(0);
    assert_eq!((found.outcome, found.sureness), (Outcome::NeverArrived, Sureness::Likely));
    // Nobody records either address.
    let nobody = gathered(path("10.9.9.9", "10.9.9.8", Some(1)), &others()).explain();
    assert_eq!((nobody[0].outcome, nobody[0].sureness), (Outcome::Gap, Sureness::Possible));
}

/// What follows from records of one verdict only: as from all of them, if the others are taken away.
#[test]
fn nothing_follows_from_a_verdict_that_is_not_recorded() {
    let only = |verdict: &str, legs: usize| {
        let rows: String = (0..legs).map(|n| row(&leg(n, 200, verdict))).collect();
        let all = others() + &rows;
        let of_one: Vec<&str> = all.lines().filter(|line| line.contains(verdict)).collect();
        let mut found = gathered(path(A, B, Some(443)), &(of_one.join("\n") + "\n")).explain();
        found.remove(0)
    };
    let said = ["cannot be told", "arrived at", "it was answered", "the answer arrived"];
    for (legs, said) in said.into_iter().enumerate() {
        let found = only(ACCEPT, legs);
        assert_eq!((found.outcome, found.sureness), (Outcome::Undetermined, Sureness::Possible));
        assert!(found.notes[0].starts_with("No REJECT record"), "{found:?}");
        assert!(found.verdict.contains(said), "{found:?}");
        assert_eq!(found.causes[0].contains("nobody tried"), legs == 0, "{found:?}");
    }
    assert_eq!(only(ACCEPT, 4).outcome, Outcome::Accepted, "that rests on nothing missing");
    let nothing = only(REJECT, 0);
    assert_eq!((nothing.outcome, nothing.sureness), (Outcome::Undetermined, Sureness::Possible));
    assert!(nothing.notes[0].starts_with("No ACCEPT record"), "{nothing:?}");
    let refused = only(REJECT, 1);
    assert_eq!(refused.outcome, Outcome::RefusedForward { leaving: true });
    assert!(refused.notes.iter().any(|note| note.starts_with("No ACCEPT record")), "{refused:?}");
}

/// One VPC's flow log is of all traffic, the other's of accepted traffic only.
#[test]
fn what_a_flow_log_records_is_told_by_vpc() {
    let header =
        "interface-id srcaddr dstaddr srcport dstport start end action log-status vpc-id\n";
    let row = |eni, src, dst, port, action, vpc| {
        format!("{eni} {src} {dst} 40000 {port} 100 130 {action} OK {vpc}\n")
    };
    let stranger = "198.51.100.1";
    let mut text = header.to_owned()
        + &row("eni-a", stranger, A, 443, ACCEPT, "vpc-a")
        + &row("eni-b", stranger, B, 443, ACCEPT, "vpc-b")
        + &row("eni-c", stranger, "10.0.1.33", 23, REJECT, "vpc-a")
        + &row("eni-a", A, B, 443, ACCEPT, "vpc-a");
    let outcome = |text: &str| gathered(path(A, B, Some(443)), text).explain()[0].outcome;
    assert_eq!(outcome(&text), Outcome::Undetermined, "at B a refusal would not show");
    text += &row("eni-d", stranger, "10.1.0.32", 23, REJECT, "vpc-b");
    assert_eq!(outcome(&text), Outcome::NeverArrived);
}

/// Two VPCs may have the same addresses.
#[test]
fn a_host_of_another_vpc_with_the_same_address_is_no_end() {
    let header =
        "interface-id vpc-id srcaddr dstaddr srcport dstport start end action log-status\n";
    let row = |at: &str, src: &str, dst: &str, ports: &str, start: i64, action: &str| {
        format!("{at} {src} {dst} {ports} {start} {} {action} OK\n", start + 30)
    };
    let (stranger, open, back) = ("198.51.100.1", "50000 443", "443 50000");
    let (a, b) = ("eni-a vpc-a", "eni-b vpc-b");
    let mut text = header.to_owned();
    for (at, own) in [(a, A), (b, B), ("eni-x vpc-x", A), ("eni-y vpc-x", B)] {
        text += &row(at, stranger, own, open, 100, ACCEPT);
        text += &row(at, "198.51.100.2", own, "50000 23", 100, REJECT);
    }
    let both = |a: &str, b: &str, action: &str| {
        row(a, A, B, open, 200, ACCEPT)
            + &row(b, A, B, open, 200, action)
            + &if action == ACCEPT {
                row(b, B, A, back, 200, ACCEPT) + &row(a, B, A, back, 200, ACCEPT)
            } else {
                String::new()
            }
    };
    text += &both(a, b, REJECT);
    let evidence = gathered(path(A, B, Some(443)), &text);
    let ids = |end: &super::End| end.interfaces.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        (ids(&evidence.src), ids(&evidence.dst)),
        (vec!["eni-a".to_owned()], vec!["eni-b".to_owned()])
    );
    let found = &evidence.explain()[0];
    assert_eq!(found.outcome, Outcome::RefusedForward { leaving: false });
    assert_eq!(found.sureness, Sureness::Certain, "{found:?}");

    text += &both("eni-x vpc-x", "eni-y vpc-x", ACCEPT);
    let found = &gathered(path(A, B, Some(443)), &text).explain()[0];
    assert_eq!(found.sureness, Sureness::Possible, "{found:?}");
    for address in [A, B] {
        let note = format!("{address} is an address in 2 VPCs");
        assert!(found.notes.iter().any(|n| n.starts_with(&note)), "{found:?}");
    }
}

#[test]
fn files_that_could_not_be_read_make_nothing_certain() {
    let ask = |legs: usize, unread: Unread| {
        let rows: String = (0..legs).map(|n| row(&leg(n, 200, ACCEPT))).collect();
        let evidence = gathered(path(A, B, Some(443)), &(others() + &rows));
        let mut found = Evidence { unread, ..evidence }.explain();
        found.remove(0)
    };
    let files = Unread { of: 3, files: 1, lines: 0 };
    for legs in 0..4 {
        let found = ask(legs, files);
        assert_eq!(found.sureness, Sureness::Possible, "rests on what is missing: {found:?}");
        assert!(found.notes[0].starts_with("1 of 3 files could not be read"), "{found:?}");
    }
    assert_eq!(ask(4, files).sureness, Sureness::Likely);
    assert_eq!(ask(1, Unread { of: 3, files: 0, lines: 7 }).sureness, Sureness::Likely);
    assert_eq!(ask(1, Unread { of: 3, files: 0, lines: 0 }).sureness, Sureness::Certain);
}

#[test]
fn an_answer_to_one_who_is_not_recorded_is_not_known_to_arrive() {
    let client = "10.9.0.5";
    let both = [
        format!("eni-b {client} {B} 50000 443 200 ACCEPT"),
        format!("eni-b {B} {client} 443 50000 200 ACCEPT"),
    ];
    let text = others() + &both.map(|text| row(&text)).concat();
    let found = gathered(path(client, B, Some(443)), &text).explain().remove(0);
    assert_eq!((found.outcome, found.sureness), (Outcome::Accepted, Sureness::Likely));
    assert!(found.notes[0].contains("whether it arrived at 10.9.0.5 is not"), "{found:?}");
}

#[test]
fn a_silence_ends_at_the_next_record() {
    // Nothing from 200 s on; the next record begins in the last second of a window.
    let text = others() + &row(&format!("eni-b 198.51.100.1 {B} 40000 443 200 ACCEPT"));
    let text = text + &row(&format!("eni-b 198.51.100.1 {B} 40000 443 1799 ACCEPT"));
    assert_eq!(gathered(path(A, B, Some(443)), &text).dst.silent, [(231, 1798)]);
}

#[test]
fn an_address_that_nobody_records_makes_the_answer_likely() {
    let lost = format!("eni-a {A} 10.2.16.77 50000 443 200 ACCEPT");
    let found = gathered(path(A, "10.2.16.77", Some(443)), &(others() + &row(&lost))).explain();
    assert_eq!((found[0].outcome, found[0].sureness), (Outcome::NeverArrived, Sureness::Likely));
    assert!(found[0].causes.iter().any(|cause| cause.contains("not transitive")));
    let out = format!("eni-a {A} 198.51.100.9 50000 443 200 ACCEPT");
    let found = gathered(path(A, "198.51.100.9", Some(443)), &(others() + &row(&out))).explain();
    assert_eq!((found[0].outcome, found[0].sureness), (Outcome::Unanswered, Sureness::Likely));
}

#[test]
fn without_a_port_each_is_explained_and_what_b_opened_is_not() {
    let mut text = others();
    for (port, action) in [(443, ACCEPT), (22, REJECT)] {
        text += &row(&format!("eni-a {A} {B} 50000 {port} 200 ACCEPT"));
        text += &row(&format!("eni-b {A} {B} 50000 {port} 200 {action}"));
    }
    text += &row(&format!("eni-b {B} {A} 443 50000 200 ACCEPT"));
    text += &row(&format!("eni-a {B} {A} 443 50000 200 ACCEPT"));
    text += &row(&format!("eni-b {B} {A} 50001 5432 200 ACCEPT"));
    let evidence = gathered(path(A, B, None), &text);
    assert_eq!(evidence.reverse, 1);
    let found: Vec<_> = evidence.explain().iter().map(|e| (e.service, e.outcome)).collect();
    let tcp = |port| Some(Service { protocol: 6, port });
    let refused = Outcome::RefusedForward { leaving: false };
    assert_eq!(found, [(tcp(443), Outcome::Accepted), (tcp(22), refused)]);
}

#[test]
fn files_in_any_order_and_any_cut_say_the_same() {
    let rows: String =
        (0..4).map(|n| row(&leg(n, 200 + i64::try_from(n).unwrap(), ACCEPT))).collect();
    let lines: Vec<String> = (others() + &rows).lines().map(|line| format!("{line}\n")).collect();
    let whole = gathered(path(A, B, Some(443)), &lines.concat());
    for cut in 1..lines.len() {
        let [mut first, mut last] = [&lines[..cut], &lines[cut..]].map(|part| {
            let sink = Gatherer::new(path(A, B, Some(443)), i64::MIN, i64::MAX);
            let mut decoder = ObjectDecoder::new(Limits::default(), Fallback::Default, None, sink);
            decoder.push(part.concat().as_bytes()).unwrap();
            decoder.finish().unwrap().sink
        });
        if cut % 2 == 0 {
            std::mem::swap(&mut first, &mut last);
        }
        first.merge(last);
        assert_eq!(first.finish(), whole, "cut at {cut}");
    }
}

#[test]
fn many_ports_and_gaps_stay_bounded() {
    let mut text = others();
    for port in 1..=400 {
        text += &row(&format!("eni-b {A} {B} 50000 {port} 200 REJECT"));
        text += &skipped("eni-b", 1000 + 60 * port);
    }
    let evidence = gathered(path(A, B, None), &text);
    assert_eq!((evidence.services.len(), evidence.more_services), (256, 144));
    assert_eq!((evidence.dst.gaps.len(), evidence.dst.gaps[63].1), (64, 1000 + 60 * 400 + 59));
}

/// A transit gateway's records are of no end, and what it dropped is the place and the cause.
#[test]
fn what_a_transit_gateway_drops_is_dropped_there() {
    let header = "resource-type tgw-id tgw-attachment-id srcaddr dstaddr srcport dstport protocol packets bytes start end log-status packets-lost-no-route packets-lost-blackhole packets-lost-mtu-exceeded packets-lost-ttl-expired flow-direction\n";
    let carried = |there: bool, start: i64, lost: &str| {
        let (ends, attachment) = if there {
            (format!("{A} {B} 50000 443"), "tgw-attach-a")
        } else {
            (format!("{B} {A} 443 50000"), "tgw-attach-b")
        };
        let end = start + 30;
        format!(
            "TransitGateway tgw-1 {attachment} {ends} 6 5 1000 {start} {end} OK {lost} ingress\n"
        )
    };
    let at_ends = |legs: &[usize], start: i64| {
        let rows: String = legs.iter().map(|n| row(&leg(*n, start, ACCEPT))).collect();
        others() + &rows
    };
    let ask = |texts: &[&str]| {
        let mut all = Gatherer::new(path(A, B, Some(443)), i64::MIN, i64::MAX);
        for text in texts {
            let sink = Gatherer::new(path(A, B, Some(443)), i64::MIN, i64::MAX);
            let mut decoder = ObjectDecoder::new(Limits::default(), Fallback::Default, None, sink);
            decoder.push(text.as_bytes()).unwrap();
            all.merge(decoder.finish().unwrap().sink);
        }
        let evidence = all.finish();
        for end in [&evidence.src, &evidence.dst] {
            assert!(!end.interfaces.keys().any(|id| id.starts_with("tgw")), "{evidence:?}");
        }
        assert!(evidence.between.keys().all(|id| id.starts_with("tgw-attach-")), "{evidence:?}");
        evidence.explain().remove(0)
    };
    let gateway = |rows: &[String]| header.to_owned() + &rows.concat();
    let dropped = gateway(&[carried(true, 200, "5 0 0 0")]);
    // Alone, and with A's interface beside it.
    let sent = at_ends(&[0], 200);
    for texts in [&[dropped.as_str()][..], &[&sent, &dropped]] {
        let found = ask(texts);
        assert_eq!(found.outcome, Outcome::Dropped { back: false }, "{found:?}");
        assert_eq!(found.sureness, Sureness::Certain);
        assert!(found.verdict.contains("(tgw-attach-a): no route"), "{found:?}");
        assert!(found.causes[0].contains("has no route to 10.1.0.31"), "{found:?}");
    }
    let back = gateway(&[carried(true, 200, "0 0 0 0"), carried(false, 201, "0 5 0 0")]);
    let found = ask(&[&at_ends(&[0, 1, 2], 200), &back]);
    assert_eq!(found.outcome, Outcome::Dropped { back: true }, "{found:?}");
    assert!(found.verdict.contains("(tgw-attach-b): blackhole"), "{found:?}");
    // What it carried says nothing against what the ends recorded; what it dropped before is mended.
    let whole = gateway(&[carried(true, 200, "0 0 0 0"), carried(false, 201, "0 0 0 0")]);
    let found = ask(&[&at_ends(&[0, 1, 2, 3], 200), &whole]);
    assert_eq!((found.outcome, found.sureness), (Outcome::Accepted, Sureness::Certain));
    let found = ask(&[&at_ends(&[0, 1, 2, 3], 9000), &dropped]);
    assert_eq!(found.outcome, Outcome::Accepted);
    assert!(found.notes[0].starts_with("Before, 1 records were dropped"), "{found:?}");
    let found = ask(&[&at_ends(&[0], 200), &whole]);
    assert_eq!(found.outcome, Outcome::NeverArrived, "{found:?}");
    assert!(found.notes.iter().any(|n| n.contains("lost behind the gateway")), "{found:?}");
}

/// As [`gathered`], of a time that somebody asked about.
fn gathered_of(time: (i64, i64), text: &str) -> Evidence {
    let sink = Gatherer::new(path(A, B, Some(443)), time.0, time.1);
    let mut decoder = ObjectDecoder::new(Limits::default(), Fallback::Default, None, sink);
    decoder.push(text.as_bytes()).unwrap();
    decoder.finish().unwrap().sink.finish()
}

/// Both ends stop at 130: of the hours behind it, which somebody asked about, nothing of anybody is on record.
#[test]
fn a_time_that_nobody_recorded_is_no_time_without_traffic() {
    let found = |time: (i64, i64), text: &str| {
        let evidence = gathered_of(time, text);
        let explanation = evidence.explain().remove(0);
        let said = explanation.notes.concat().contains("is on record of 6 hour(s)");
        (evidence.unheard, (explanation.outcome, explanation.sureness), said)
    };
    let asked = (0, 19_999);
    let nothing = (Outcome::NoTraffic, Sureness::Possible);
    assert_eq!(found(asked, &others()), (vec![(131, 20_000)], nothing, true));
    // Nobody asked about what is behind it.
    let data = (i64::MIN, i64::MAX);
    let certain = (Outcome::NoTraffic, Sureness::Certain);
    assert_eq!(found(data, &others()), (vec![], certain, false));
    // What passed is on record, whatever came later.
    let passed: String = (0..4).map(|nth| row(&leg(nth, 110, ACCEPT))).collect();
    let likely = (Outcome::Accepted, Sureness::Likely);
    assert_eq!(found(asked, &(others() + &passed)), (vec![(141, 20_000)], likely, true));
    // Somebody else is heard of once, and in each hour.
    let once = others() + &row("eni-x 198.51.100.1 10.9.0.1 40000 443 9000 ACCEPT");
    assert_eq!(found(asked, &once).0, [(131, 9_000), (9_031, 20_000)]);
    assert_eq!(found(data, &once).0, [(131, 9_000)]);
    let idle: String = (0..33).map(|n| skipped("eni-y", 600 * n)).collect();
    let (unheard, _, said) = found(asked, &(others() + &idle.replace("SKIPDATA", "NODATA")));
    assert_eq!((unheard, said), (vec![], false));
}

/// What was sent an hour after the last success, and records of that time that are missing.
#[test]
fn what_was_skipped_since_the_last_success_makes_it_less_sure() {
    let success: String = (0..4).map(|nth| row(&leg(nth, 200, ACCEPT))).collect();
    let later = row(&leg(0, 4_000, ACCEPT));
    // Both ends go on to record, so that nothing is silent.
    let talk: String = (2..16)
        .flat_map(|n| {
            ["eni-a", "eni-b"].map(|eni| {
                let own = if eni == "eni-a" { A } else { B };
                row(&format!("{eni} 198.51.100.1 {own} 40000 443 {} ACCEPT", 300 * n))
            })
        })
        .collect();
    let found = |rows: &str| {
        let text = others() + &success + &later + &talk + rows;
        let found = gathered(path(A, B, Some(443)), &text).explain().remove(0);
        let notes = found.notes.concat();
        (found.outcome, found.sureness, notes.contains("Since then AWS skipped records"))
    };
    assert_eq!(found(""), (Outcome::NeverArrived, Sureness::Likely, false));
    let at = |eni| found(&skipped(eni, 4_000));
    assert_eq!(at("eni-b"), (Outcome::NeverArrived, Sureness::Possible, true));
    assert_eq!(at("eni-a"), (Outcome::NeverArrived, Sureness::Likely, false), "it shows there");
    // Of the whole time since then nothing is on record at B: it may go on as before.
    let whole = format!("2 1 eni-b - - - - - - - 200 {} - SKIPDATA\n", 4_100);
    assert_eq!(found(&whole), (Outcome::Gap, Sureness::Likely, false));
}

/// A port that was answered for an hour, and whose server is down since: connections are opened, and reset.
#[test]
fn resets_only_since_a_time_are_what_it_is_now() {
    const SYN: u8 = 2;
    const SYN_ACK: u8 = 18;
    const RST: u8 = 4;
    let header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status tcp-flags\n";
    let with = |row: &str, flags: u8, bytes: u64| {
        let row = row.replace(" 2 120 ", &format!(" 2 {bytes} "));
        row.replace(" OK\n", &format!(" OK {flags}\n"))
    };
    let at = |start: i64, there: u8, back: u8| -> String {
        let bytes = if back == RST { 80 } else { 120 };
        let flags = [(there, 120), (there, 120), (back, bytes), (back, bytes)];
        let legs = flags.into_iter().enumerate();
        legs.map(|(nth, (flags, bytes))| with(&row(&leg(nth, start, ACCEPT)), flags, bytes))
            .collect()
    };
    let found = |legs: &str| {
        let talk: String =
            others().lines().map(|row| with(&format!("{row}\n"), SYN, 120)).collect();
        let text = header.to_owned() + &talk + legs;
        gathered(path(A, B, Some(443)), &text).explain().remove(0)
    };
    let alive: String = (0..12).map(|n| at(200 + 300 * n, SYN, SYN_ACK)).collect();
    assert_eq!(found(&alive).outcome, Outcome::Accepted);
    let down: String = (12..20).map(|n| at(200 + 300 * n, SYN, RST)).collect();
    let since = found(&(alive.clone() + &down));
    assert_eq!((since.outcome, since.sureness), (Outcome::Reset, Sureness::Likely), "{since:?}");
    assert!(since.notes.iter().any(|n| n.contains("In the last 40 minutes")), "{since:?}");
    // It is up again.
    let again = alive.clone() + &down + &at(200 + 300 * 20, SYN, SYN_ACK);
    assert_eq!(found(&again).outcome, Outcome::Accepted);
    // Idle connections end by resets, too, and nobody opens any.
    let idle: String = (12..20).map(|n| at(200 + 300 * n, 16, RST)).collect();
    assert_eq!(found(&(alive + &idle)).outcome, Outcome::Accepted);
}

/// There is always a route within a VPC, and behind a transit gateway that carried it there was one, too.
#[test]
fn in_one_vpc_nothing_is_lost_for_want_of_a_route() {
    let header =
        "interface-id vpc-id srcaddr dstaddr srcport dstport start end action log-status\n";
    let row = |at: &str, src: &str, dst: &str, ports: &str, start: i64, action: &str| {
        format!("{at} {src} {dst} {ports} {start} {} {action} OK\n", start + 30)
    };
    let found = |b: &str, legs: usize| {
        let (a, b) = ("eni-a vpc-1".to_owned(), format!("eni-b {b}"));
        let mut text = header.to_owned();
        for (at, own) in [(&a, A), (&b, B)] {
            text += &row(at, "198.51.100.1", own, "50000 443", 100, ACCEPT);
            text += &row(at, "198.51.100.2", own, "50000 23", 100, REJECT);
        }
        let (there, back) = ("50000 443", "443 50000");
        let rows = [row(&a, A, B, there, 200, ACCEPT), row(&b, A, B, there, 200, ACCEPT)];
        let rows = rows.into_iter().chain([row(&b, B, A, back, 200, ACCEPT)]);
        text += &rows.take(legs).collect::<String>();
        gathered(path(A, B, Some(443)), &text).explain().remove(0)
    };
    for (legs, outcome) in [(1, Outcome::NeverArrived), (3, Outcome::AnswerLost)] {
        let local = found("vpc-1", legs);
        assert_eq!(local.outcome, outcome);
        let said = local.causes.concat() + &local.advice.concat();
        assert!(said.contains("more specific than the VPC's local one"), "{said}");
        assert!(!said.contains("eering") && !said.contains("has no route"), "{said}");
        let across = found("vpc-2", legs);
        assert_eq!(across.outcome, outcome);
        let said = across.causes.concat();
        assert!(said.contains("eering") && said.contains("has no route"), "{said}");
    }
}

/// Records name an interface's primary address as its end, whichever of its addresses the packet is for.
#[test]
fn what_a_secondary_address_got_is_not_the_primary_ones() {
    const POD: &str = "10.1.0.200";
    let header = "interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status pkt-srcaddr pkt-dstaddr\n";
    let row = |eni: &str, ends: (&str, &str), ports: &str, packet: (&str, &str), action: &str| {
        let (src, dst) = ends;
        let (from, to) = packet;
        format!("{eni} {src} {dst} {ports} 6 2 120 200 230 {action} OK {from} {to}\n")
    };
    let mut text = header.to_owned();
    for (eni, own) in [("eni-a", A), ("eni-b", B)] {
        for (stranger, action) in [("198.51.100.1", ACCEPT), ("198.51.100.2", REJECT)] {
            let ends = (stranger, own);
            text += &row(eni, ends, "40000 22", ends, action);
        }
    }
    // A → the pod behind B's interface, there and back.
    text += &row("eni-a", (A, POD), "50000 443", (A, POD), ACCEPT);
    text += &row("eni-b", (A, B), "50000 443", (A, POD), ACCEPT);
    text += &row("eni-b", (B, A), "443 50000", (POD, A), ACCEPT);
    text += &row("eni-a", (POD, A), "443 50000", (POD, A), ACCEPT);
    let asked = |to: &str| {
        let evidence = gathered(path(A, to, Some(443)), &text);
        let explanation = evidence.explain().remove(0);
        (evidence.beside, explanation)
    };
    let (beside, primary) = asked(B);
    assert_eq!((beside, primary.outcome), (2, Outcome::NoTraffic), "{primary:?}");
    assert!(
        primary.notes.iter().any(|n| n.starts_with("2 records between the two")),
        "{primary:?}"
    );
    let (beside, pod) = asked(POD);
    assert_eq!((beside, pod.outcome), (0, Outcome::Accepted), "{pod:?}");
}
