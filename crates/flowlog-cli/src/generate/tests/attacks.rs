//! Each attack is in the objects, as strong as its description says, and where the truth says.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Attack, AttackTruth, Layout, Plan, USUAL};
use super::reading::{Line, Recording, most_distinct};
use super::{generate, plan};

/// Plays one attack in several recordings and hands over the rows at its victims while it lasts.
fn each(attack: Attack, minutes: u32, check: impl Fn(&AttackTruth, &[&Line])) {
    for seed in 0..6 {
        let plan = Plan { attacks: vec![attack], ..plan(seed, minutes, 60) };
        let (truth, recording) = generate(&plan);
        let [found] = &truth.attacks[..] else { panic!("one attack, not {:?}", truth.attacks) };
        assert_eq!(found.kind, attack.name());
        assert!(found.start >= plan.start && found.end < plan.end() && found.rows > 0, "{found:?}");
        let windows: BTreeSet<i64> =
            (found.start..=found.end).map(|second| second / 300 * 300).collect();
        assert_eq!(found.windows, Vec::from_iter(windows));
        check(found, &at_victims(found, &recording));
    }
}

fn at_victims<'a>(attack: &AttackTruth, recording: &'a Recording) -> Vec<&'a Line> {
    let victims = recording
        .lines
        .iter()
        .filter(|line| attack.interface_ids.iter().any(|id| id == line.get("interface-id")));
    victims.filter(|line| (attack.start..=attack.end).contains(&line.start())).collect()
}

/// The refused ones from the attack's source.
fn refused<'a>(attack: &AttackTruth, lines: &[&'a Line]) -> Vec<&'a Line> {
    let from_source =
        lines.iter().filter(|line| attack.source.as_deref() == Some(line.get("srcaddr")));
    from_source.filter(|line| line.rejected()).copied().collect()
}

fn distinct(lines: &[&Line], column: &str) -> usize {
    lines.iter().map(|line| line.get(column)).collect::<BTreeSet<_>>().len()
}

#[test]
fn port_scan() {
    each(Attack::PortScan, 30, |attack, lines| {
        assert!(attack.interface_id.is_some() && attack.end - attack.start <= 300);
        let source = attack.source.as_deref().unwrap();
        assert!(source.starts_with("10.1."), "from inside VPC B");
        let scan = refused(attack, lines);
        assert!(distinct(&scan, "dstport") >= 60);
        assert!(scan.iter().all(|line| line.get("dstaddr").starts_with("10.0.")));
    });
}

#[test]
fn reject_burst() {
    each(Attack::RejectBurst, 5, |attack, lines| {
        assert_eq!(attack.windows.len(), 1);
        let burst: Vec<&Line> = lines.iter().filter(|line| line.rejected()).copied().collect();
        assert!(burst.len() >= 600 && distinct(&burst, "srcaddr") >= 150);
        let mut doors: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for line in burst {
            doors.entry(line.get("srcaddr")).or_default().insert(line.get("dstport"));
        }
        assert!(doors.values().all(|ports| ports.len() < 10), "nobody scans");
    });
}

#[test]
fn source_flood() {
    each(Attack::SourceFlood { sources: 5_000 }, 5, |attack, lines| {
        assert_eq!((attack.windows.len(), attack.sources, attack.rows), (1, 5_000, 5_000));
        let flood: Vec<&Line> = lines.iter().filter(|line| line.rejected()).copied().collect();
        assert!(distinct(&flood, "srcaddr") >= 5_000);
    });
}

#[test]
fn host_sweep() {
    each(Attack::HostSweep, 15, |attack, lines| {
        assert!(attack.source.as_deref().is_some_and(|source| source.starts_with("10.")));
        let sweep = refused(attack, lines);
        assert_eq!(distinct(&sweep, "dstport"), 1);
        assert_eq!((distinct(&sweep, "interface-id"), attack.interface_ids.len()), (11, 11));
    });
}

#[test]
fn brute_force() {
    each(Attack::BruteForce, 25, |attack, lines| {
        assert!(attack.end - attack.start <= 1_200);
        let guesses =
            lines.iter().filter(|line| attack.source.as_deref() == Some(line.get("srcaddr")));
        let guesses: Vec<&Line> = guesses.copied().collect();
        assert!(guesses.len() >= 60);
        for line in guesses {
            assert!(
                !line.rejected() && line.get("dstport") == "22" && line.number("packets") <= 30,
                "{line:?}"
            );
        }
    });
}

#[test]
fn slow_scan() {
    each(Attack::SlowScan, 240, |attack, lines| {
        let scan = refused(attack, lines);
        let doors: Vec<_> = scan
            .iter()
            .map(|line| (line.start(), (line.get("interface-id"), line.get("dstport"))))
            .collect();
        assert!(doors.iter().map(|(_, door)| door).collect::<BTreeSet<_>>().len() >= 24);
        assert!(most_distinct(&doors, 900) < 10, "too slow for a window of 15 minutes");
    });
}

#[test]
fn rejected_then_accepted() {
    each(Attack::RejectedThenAccepted, 20, |attack, lines| {
        let scan = refused(attack, lines);
        assert!(distinct(&scan, "dstport") >= 25);
        let last = scan.iter().map(|line| line.start()).max().unwrap();
        let inside = lines.iter().filter(|line| {
            !line.rejected() && attack.source.as_deref() == Some(line.get("srcaddr"))
        });
        let inside: Vec<&Line> = inside.copied().collect();
        assert!(!inside.is_empty() && inside.iter().all(|line| line.start() >= last));
        assert!(
            inside.iter().all(|line| line.number("bytes") > 1_000 && line.get("dstport") == "2222")
        );
    });
}

#[test]
fn egress_volume() {
    each(Attack::EgressVolume, 180, |attack, lines| {
        assert_eq!(attack.start / 3_600, attack.end / 3_600, "in one hour");
        let stolen = lines.iter().filter(|line| line.get("dstaddr").starts_with("185.220."));
        let bytes: u64 = stolen.map(|line| line.number("bytes")).sum();
        assert!((5_000_000_000..7_000_000_000).contains(&bytes), "{bytes}");
    });
}

#[test]
fn misconfiguration() {
    each(Attack::Misconfiguration, 60, |attack, lines| {
        let refused = refused(attack, lines);
        let windows: BTreeSet<i64> = refused.iter().map(|line| line.start() / 300).collect();
        assert!(
            windows.len() >= 7
                && (*windows.first().unwrap()..=*windows.last().unwrap())
                    .eq(windows.iter().copied())
        );
        assert_eq!((distinct(&refused, "dstaddr"), distinct(&refused, "dstport")), (1, 1));
    });
}

#[test]
fn lateral_movement() {
    each(Attack::LateralMovement, 30, |attack, lines| {
        let tried = refused(attack, lines);
        assert_eq!((distinct(&tried, "interface-id"), distinct(&tried, "dstport")), (11, 4));
    });
}

#[test]
fn asymmetric_path() {
    each(Attack::AsymmetricPath, 10, |attack, lines| {
        let source = attack.source.as_deref();
        let inside = lines.iter().filter(|line| line.inside("srcaddr") && line.inside("dstaddr"));
        let (back, there): (Vec<&Line>, Vec<&Line>) =
            inside.copied().partition(|line| line.rejected());
        assert_eq!(back.len(), 24);
        for line in back {
            assert_eq!((Some(line.get("dstaddr")), line.get("srcport")), (source, "8443"));
            let forward =
                there.iter().find(|out| out.get("srcport") == line.get("dstport")).unwrap();
            assert_eq!(
                (forward.get("dstport"), forward.get("dstaddr")),
                ("8443", line.get("srcaddr"))
            );
        }
    });
}

#[test]
fn sensitive_port_exposed() {
    each(Attack::SensitivePortExposed, 15, |attack, lines| {
        let source = attack.source.as_deref();
        let bytes = |end: &str, port: &str| {
            let rows = lines
                .iter()
                .filter(|line| source == Some(line.get(end)) && line.get(port) == "3389");
            rows.map(|line| line.number("bytes")).sum::<u64>()
        };
        assert!(bytes("srcaddr", "dstport") > 10_000 && bytes("dstaddr", "srcport") > 10_000);
    });
}

#[test]
fn data_gap() {
    each(Attack::DataGap, 10, |attack, lines| {
        assert_eq!((attack.rows, attack.windows.len()), (3, 1));
        assert_eq!(lines.iter().filter(|line| line.status() == "SKIPDATA").count(), 3);
    });
}

/// Where a connection's packets end: rows at the interfaces of both ends, by way and verdict.
#[test]
fn packets_end_where_the_misconfiguration_says() {
    for (attack, port, legs) in [
        (Attack::EgressRefused, "6380", [(0, 80), (0, 0), (0, 0), (0, 0)]),
        (Attack::AnswerRefused, "9443", [(80, 0), (80, 0), (0, 80), (0, 0)]),
        (Attack::MissingRoute, "8444", [(80, 0), (0, 0), (0, 0), (0, 0)]),
        (Attack::MissingReturnRoute, "8445", [(80, 0), (80, 0), (80, 0), (0, 0)]),
        (Attack::TransitivePeering, "5433", [(80, 0), (0, 0), (0, 0), (0, 0)]),
    ] {
        for seed in 0..3 {
            let (truth, recording) =
                generate(&Plan { format: Layout::V5, attacks: vec![attack], ..plan(seed, 60, 60) });
            assert_eq!(truth.attacks[0].kind, attack.name());
            let count = |column: &str, egress: &str, rejected: bool| {
                let lines = recording.flows().filter(|line| {
                    line.get(column) == port
                        && line.get("flow-direction") == egress
                        && line.rejected() == rejected
                });
                lines.count()
            };
            let found = [
                ("dstport", "egress"),
                ("dstport", "ingress"),
                ("srcport", "egress"),
                ("srcport", "ingress"),
            ];
            let found = found.map(|(c, way)| (count(c, way, false), count(c, way, true)));
            assert_eq!(found, legs, "{attack}, seed {seed}");
        }
    }
}

/// A day under the spell of an attack, and the rows of its victims while it lasts, with and without it.
fn under(attack: Attack, seed: u64, format: Layout) -> (AttackTruth, Vec<String>, Vec<String>) {
    let plan = Plan { attacks: vec![attack], format, ..plan(seed, 300, 60) };
    let (truth, recording) = generate(&plan);
    let (_, quiet) = generate(&Plan { attacks: Vec::new(), ..plan });
    let found = truth.attacks[0].clone();
    let rows = |recording: &Recording| {
        at_victims(&found, recording).iter().map(|line| line.fields.join(" ")).collect()
    };
    let (with, without) = (rows(&recording), rows(&quiet));
    (found, with, without)
}

#[test]
fn silences() {
    for seed in 0..6 {
        for (attack, victims) in [(Attack::Silence, 1), (Attack::SilentVpc, 6)] {
            let (found, with, without) = under(attack, seed, Layout::V2);
            assert_eq!((with.len(), found.rows, found.interface_ids.len()), (0, 0, victims));
            assert!(without.len() > 40, "{}", without.len());
            assert!(found.end - found.start == 7_200 && found.windows.len() >= 24);
        }
    }
}

#[test]
fn block_public_access() {
    for seed in 0..6 {
        let (found, with, without) = under(Attack::BlockPublicAccess, seed, Layout::V8);
        let blocked = with.iter().filter(|row| row.ends_with(" BPA"));
        assert!(blocked.clone().all(|row| row.contains(" REJECT ")));
        assert!(blocked.count() as u64 >= found.rows && found.rows >= 600);
        let others = with.iter().filter(|row| row.contains(" REJECT ") && !row.ends_with(" BPA"));
        let of_strangers = others.filter(|row| !row.split(' ').nth(3).unwrap().starts_with("10."));
        assert_eq!(of_strangers.count(), 0, "all of it is refused for one reason");
        assert!(without.iter().all(|row| row.ends_with(" -")));
        let accepted = |rows: &[String]| rows.iter().filter(|r| r.contains(" ACCEPT ")).count();
        assert_eq!(accepted(&with), accepted(&without), "the rest goes on");
    }
}

#[test]
fn intensity_is_how_many_attempts_there_are() {
    for attack in Attack::ALL {
        let attempts = |intensity| {
            let plan = Plan { attacks: vec![attack], intensity, ..plan(3, 600, 60) };
            let found = generate(&plan).0.attacks.remove(0);
            (found.rows.max(1), found.end - found.start)
        };
        let [weak, usual, strong] = [30, USUAL, 300].map(attempts);
        match attack {
            Attack::SourceFlood { .. } => assert_eq!(weak, usual, "it has a number of its own"),
            Attack::Silence | Attack::SilentVpc => {
                assert_eq!([weak.1, usual.1, strong.1], [2_160, 7_200, 21_600]);
            }
            _ => {
                let times = |more: (u64, i64), less: (u64, i64)| more.0 * 10 / less.0;
                assert!((20..=60).contains(&times(usual, weak)), "{attack} {weak:?} {usual:?}");
                assert!((19..=31).contains(&times(strong, usual)), "{attack} {usual:?} {strong:?}");
            }
        }
    }
}
