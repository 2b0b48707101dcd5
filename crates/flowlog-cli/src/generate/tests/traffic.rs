//! What the rows promise, checked on the text of the objects.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Attack, InterfaceWindow, Layout, Plan, Sums};
use super::reading::{Line, most_distinct};
use super::{FIRST, arriving, generate, plan};

/// Ports on which short accepted sessions, or public ones, would be reported.
const WATCHED: [u16; 10] = [22, 23, 445, 1_433, 3_306, 3_389, 5_432, 5_985, 6_379, 27_017];

/// Recounts from the text alone, column by column name.
#[test]
fn the_truth_is_what_the_lines_say() {
    for (seed, format) in [(1, Layout::V2), (2, Layout::V5), (3, Layout::V2)] {
        let plan = Plan { format, attacks: Attack::ALL.to_vec(), ..plan(seed, 187, 150) };
        let (truth, recording) = generate(&plan);
        let mut cells: BTreeMap<(String, i64), (Sums, Sums)> = BTreeMap::new();
        let (mut parsed, mut nodata, mut skipdata) = (0, 0, 0);
        for line in &recording.lines {
            match line.status() {
                "NODATA" => nodata += 1,
                "SKIPDATA" => skipdata += 1,
                _ => {
                    parsed += 1;
                    let key = (line.get("interface-id").to_owned(), line.start() / 300 * 300);
                    let cell = cells.entry(key).or_default();
                    let sums = if line.rejected() { &mut cell.1 } else { &mut cell.0 };
                    sums.records += 1;
                    sums.packets += line.number("packets");
                    sums.bytes += line.number("bytes");
                }
            }
        }
        let recount = cells.into_iter().map(|((interface_id, window), (accept, reject))| {
            InterfaceWindow { account_id: "123456789012", interface_id, window, accept, reject }
        });
        assert_eq!(truth.interfaces, recount.collect::<Vec<_>>());
        let totals = truth.totals;
        assert_eq!((totals.parsed, totals.nodata, totals.skipdata), (parsed, nodata, skipdata));
        assert_eq!(totals.read, recording.lines.len() as u64);
        let listed: Vec<_> =
            truth.objects.iter().map(|object| (&object.key, object.read)).collect();
        let found: Vec<_> = recording
            .objects
            .iter()
            .map(|(key, text)| (key, text.lines().count() as u64 - 1))
            .collect();
        assert_eq!(listed, found);
    }
}

#[test]
fn every_row_is_well_formed() {
    for format in Layout::ALL {
        let plan = Plan { format, attacks: Attack::ALL.to_vec(), ..plan(5, 240, 200) };
        let (truth, recording) = generate(&plan);
        let flow_logs: BTreeMap<_, _> =
            truth.names.iter().map(|n| (&*n.interface_id, &*n.flow_log_id)).collect();
        let mut straddling = 0;
        for line in &recording.lines {
            let (start, end) = (line.start(), line.number("end").cast_signed());
            assert!(start <= end && end - start <= 60, "{line:?}");
            assert!(start >= plan.start && end < plan.end(), "{line:?}");
            assert_eq!(end / 300 * 300, line.slot, "{line:?}");
            assert!(line.key.contains(flow_logs[line.get("interface-id")]), "{line:?}");
            straddling += u64::from(start / 300 != end / 300);
            if line.status() == "OK" {
                check_flow(line);
            } else {
                assert!(line.fields[3..10].iter().all(|field| *field == "-"), "{line:?}");
                assert_eq!(line.get("action"), "-");
            }
        }
        assert!(straddling > 100, "{straddling} rows start in one slot and end in another");
    }
}

fn check_flow(line: &Line) {
    let (packets, bytes) = (line.number("packets"), line.number("bytes"));
    assert!(packets > 0 && bytes >= packets * 20 && bytes <= packets * 1_500, "{line:?}");
    assert!(["ACCEPT", "REJECT"].contains(&line.get("action")), "{line:?}");
    for column in ["srcaddr", "dstaddr"] {
        line.get(column).parse::<std::net::IpAddr>().unwrap();
    }
    let ports = [line.number("srcport"), line.number("dstport")];
    if ["1", "58"].contains(&line.get("protocol")) {
        assert_eq!(ports, [0, 0]);
    } else {
        assert!(ports.iter().all(|port| (1..=65_535).contains(port)), "{line:?}");
    }
    if line.columns.len() > 14 {
        let egress = line.get("flow-direction") == "egress";
        assert!(egress || line.get("flow-direction") == "ingress");
        assert_eq!(line.get("traffic-path") == "-", !egress, "{line:?}");
        assert_eq!(line.get("type") == "IPv6", line.get("srcaddr").contains(':'), "{line:?}");
        // Refused on the way out is only what a misconfiguration refuses there.
        let outbound = line.get("dstport") == "6380" || line.get("srcport") == "9443";
        assert!(!(egress && line.rejected()) || outbound, "{line:?}");
    }
}

/// Between two interfaces of ours, each record on the way out has its counterpart on the way in. NAT gateways are left
/// out: they show other addresses than the host behind them.
#[test]
fn both_ends_see_the_same_flow() {
    let (truth, recording) =
        generate(&Plan { format: Layout::V5, attacks: arriving(), ..plan(9, 200, 300) });
    let gateways: Vec<_> = truth
        .names
        .iter()
        .filter(|n| n.name.starts_with("nat-"))
        .map(|n| &n.interface_id)
        .collect();
    let gateways: BTreeSet<&str> = gateways.into_iter().map(String::as_str).collect();
    let mut balance: BTreeMap<Vec<&str>, i64> = BTreeMap::new();
    let mut flows = 0;
    for line in recording.flows().filter(|line| !gateways.contains(line.get("interface-id"))) {
        if ["srcaddr", "dstaddr"]
            .iter()
            .all(|end| line.inside(end) && !line.get(end).ends_with(".10"))
        {
            let sign = if line.get("flow-direction") == "egress" { 1 } else { -1 };
            *balance.entry(line.fields[3..12].to_vec()).or_default() += sign;
            flows += 1;
        }
    }
    assert!(flows > 10_000);
    let odd: Vec<_> = balance.iter().filter(|(_, sum)| **sum != 0).take(5).collect();
    assert!(odd.is_empty(), "{odd:?}");
}

#[test]
fn the_budget_is_kept() {
    for (minutes, rate) in [(1, 60), (5, 20), (7, 3_000), (60, 20), (61, 400), (1_440, 45)] {
        let (truth, _) = generate(&plan(3, minutes, rate));
        let (due, read) = (u64::from(minutes) * u64::from(rate), truth.totals.read);
        assert!(
            read.abs_diff(due) * 50 <= due,
            "{minutes} min at {rate}: {read} rows instead of {due}"
        );
    }
}

#[test]
fn the_mix_is_what_it_should_be() {
    let (truth, recording) = generate(&plan(4, 1_440, 150));
    let share = |count: usize| count * 1_000 / recording.lines.len();
    let rejected = share(recording.flows().filter(|line| line.rejected()).count());
    assert!((50..=80).contains(&rejected), "{rejected} ‰ rejected");
    let v6 = share(recording.flows().filter(|line| line.get("srcaddr").contains(':')).count());
    assert!((20..=45).contains(&v6), "{v6} ‰ IPv6");
    assert!(truth.totals.nodata >= 2 * 1_440, "two interfaces are always idle");
    assert!(truth.totals.skipdata <= 5);
    let in_hour =
        |hour: i64| recording.lines.iter().filter(|line| line.start() / 3_600 % 24 == hour).count();
    assert!(in_hour(16) > 2 * in_hour(4), "busier by day than by night");
}

/// No rule may find anything in ordinary traffic.
#[test]
fn benign_traffic_stays_below_every_threshold() {
    for (seed, minutes, rate) in [(1, 1_440, 100), (2, 60, 3_000), (3, 120, 600), (4, 60, 20)] {
        let (_, recording) = generate(&plan(seed, minutes, rate));
        let mut per_interface: BTreeMap<(&str, i64), u32> = BTreeMap::new();
        let mut doors: BTreeMap<(&str, &str), Vec<(i64, &str)>> = BTreeMap::new();
        let mut swept: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for line in recording.flows() {
            let (eni, source) = (line.get("interface-id"), line.get("srcaddr"));
            let dstport = line.get("dstport");
            if line.rejected() {
                assert!(!line.inside("srcaddr"), "refused inside: {line:?}");
                *per_interface.entry((eni, line.start() / 300)).or_default() += 1;
                doors.entry((source, eni)).or_default().push((line.start(), dstport));
                swept.entry((source, dstport)).or_default().insert(eni);
            } else if WATCHED.contains(&dstport.parse().unwrap()) && !line.to_gateway() {
                assert!(line.inside("srcaddr") && line.number("packets") > 30, "{line:?}");
            }
        }
        let most = per_interface.values().max().copied().unwrap_or(0);
        assert!(most < 60, "{most} refused at one interface in one window");
        assert!(swept.values().all(|hosts| hosts.len() < 5));
        for attempts in doors.values() {
            let most = most_distinct(attempts, 900);
            assert!(most < 10, "one source tried {most} doors");
        }
    }
}

#[test]
fn attacks_leave_the_benign_rows_alone() {
    let quiet = plan(6, 200, 100);
    let loud = Plan { attacks: FIRST.to_vec(), ..quiet.clone() };
    let count = |plan: &Plan| {
        let (truth, recording) = generate(plan);
        let mut rows: BTreeMap<String, i64> = BTreeMap::new();
        // An idle interface that is attacked has no NODATA row.
        for line in recording.lines.iter().filter(|line| line.status() != "NODATA") {
            *rows.entry(line.fields.join(" ")).or_default() += 1;
        }
        (truth, rows)
    };
    let ((_, benign), (truth, mut rows)) = (count(&quiet), count(&loud));
    for (row, times) in benign {
        *rows.entry(row).or_default() -= times;
    }
    assert!(rows.values().all(|left| *left >= 0), "a benign row is missing");
    let planted: u64 = truth.attacks.iter().map(|attack| attack.rows).sum();
    assert_eq!(rows.values().sum::<i64>().unsigned_abs(), planted);
}

/// Who says there was no traffic has none in that capture window, attacked or not.
#[test]
fn silence_is_silent() {
    let loud =
        Plan { attacks: vec![Attack::HostSweep, Attack::LateralMovement], ..plan(11, 60, 100) };
    let (_, recording) = generate(&loud);
    let mut starts: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    for line in recording.flows() {
        let interface = starts.entry(line.get("interface-id")).or_default();
        interface.insert(line.start());
    }
    let silent = recording.lines.iter().filter(|line| line.status() == "NODATA");
    for line in silent {
        let end = line.number("end").cast_signed();
        let flows = starts.get(line.get("interface-id"));
        let within = flows.and_then(|starts| starts.range(line.start()..=end).next());
        assert_eq!(within, None, "{line:?}");
    }
}
