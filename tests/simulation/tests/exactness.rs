//! Every single fault, ten thousand seeds, and every mutant.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test says what it saw")]

use std::process::Command;

use flowlog_simulation::alerts;
use flowlog_simulation::fault::{Fault, Plan};
use flowlog_simulation::mutant::{AlertMutant, Mutant};
use flowlog_simulation::pool::Pool;
use flowlog_simulation::schedule::{Change, Settings, Stats, run};
use flowlog_simulation::seeds::{self, Range};

/// Schedules in which every call fails once in every way.
const EXHAUSTED: std::ops::Range<u64> = 0..2;
/// Seeds that are tried on a mutant before it counts as alive.
const TRIES: std::ops::Range<u64> = 0..3_000;

/// Every call of these schedules, with every fault.
fn every_single_fault(pool: &Pool, of: Settings) -> Result<(Stats, u64), String> {
    let mut all = Stats::default();
    let mut schedules = 0;
    let clean = run(pool, Settings { plan: Some(Plan::None), ..of }).map_err(|f| f.to_string())?;
    for call in 0..clean.calls {
        for fault in Fault::ALL {
            let plan = Some(Plan::Once { call, fault });
            match run(pool, Settings { plan, ..of }) {
                Ok(stats) => all.add(&stats),
                Err(_) => return Err(seeds::again(pool, Settings { plan, ..of }).to_string()),
            }
            schedules += 1;
        }
    }
    Ok((all, schedules))
}

#[test]
fn every_single_fault_leaves_a_clean_pass() {
    let half = |change: Change| {
        let pool = seeds::pool_of(0);
        let (mut all, mut schedules) = (Stats::default(), 0);
        for seed in EXHAUSTED {
            let of = Settings { change: Some(change), ..Settings::seed(seed) };
            let (stats, n) = every_single_fault(&pool, of).unwrap_or_else(|f| panic!("{f}"));
            all.add(&stats);
            schedules += n;
        }
        (all, schedules)
    };
    let (mut all, schedules) = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(Change::Rollback));
        let (mut all, n) = half(Change::Upgrade);
        let (stats, m) = other.join().unwrap();
        all.add(&stats);
        (all, n + m)
    });
    let counted = std::mem::take(&mut all.faults);
    eprintln!("{schedules} schedules with one fault each: {counted:?}");
    for call in [
        "claim",
        "put",
        "complete",
        "directory",
        "quarantine",
        "get",
        "body",
        "head",
        "query",
        "entries",
        "summary",
    ] {
        for fault in Fault::ALL {
            assert!(counted.contains_key(&(call, fault)), "{call} never met {fault:?}");
        }
    }
}

#[test]
fn ten_thousand_seeds_leave_a_clean_pass() {
    let range = Range { from: 0, to: 10_000 };
    let stats = seeds::run_all(range).unwrap_or_else(|failure| panic!("{failure}"));
    eprintln!("{}", seeds::summary(range, &stats));
    // The seeds do what they are there for.
    assert!(stats.deaths > 10_000 && stats.ended[0] > 10_000 && stats.ended[1] > 100);
    assert_eq!(stats.days.len(), 7, "{:?}", stats.days);
    for fault in Fault::ALL {
        let n: u64 = stats.faults.iter().filter(|((_, f), _)| *f == fault).map(|(_, n)| n).sum();
        assert!(n > 1_000, "{fault:?} happened {n} times");
    }
}

/// Seeds beyond the ten thousand that found something. 28353, 85602: a delayed claim arrived when the
/// entry of its quarantined delivery had expired meanwhile, and the check took that for lost work.
/// 139888: messages were given up while only code that does not know their mapping was deployed.
/// 154232: a delivery was done and claimed anew between two checks, which then knew nothing of the former.
/// 257647: a message that had been parked was given up for the receives of a month before.
const FOUND: [u64; 5] = [28_353, 85_602, 139_888, 154_232, 257_647];

#[test]
fn what_was_found_once_stays_found() {
    for seed in FOUND {
        let pool = seeds::pool_of(seed);
        run(&pool, Settings::seed(seed)).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// The first schedule that tells a mutant from the right protocol.
fn caught(mutant: Mutant, change: Change) -> Option<String> {
    let mut pool = seeds::pool_of(0);
    for seed in TRIES {
        if seed > 0 && seed % 1_000 == 0 {
            pool = seeds::pool_of(seed);
        }
        let settings =
            Settings { change: Some(change), mutant: Some(mutant), ..Settings::seed(seed) };
        if let Err(failure) = run(&pool, settings) {
            // It is the mutant that is caught.
            let right = run(&pool, Settings { mutant: None, ..settings });
            right.unwrap_or_else(|failure| panic!("{failure}"));
            return Some(format!("seed {seed}: {}", failure.what));
        }
    }
    None
}

#[test]
fn every_mutant_is_caught_in_both_directions() {
    let alive_in = |change: Change| {
        let caught = |mutant: &&Mutant| match caught(**mutant, change) {
            Some(how) => {
                eprintln!("{mutant:?}, {change:?}: {how}");
                false
            }
            None => true,
        };
        Mutant::ALL.iter().filter(caught).map(|m| (*m, change)).collect::<Vec<_>>()
    };
    let alive = std::thread::scope(|scope| {
        let other = scope.spawn(|| alive_in(Change::Rollback));
        let mut alive = alive_in(Change::Upgrade);
        alive.extend(other.join().unwrap());
        alive
    });
    assert!(alive.is_empty(), "not caught: {alive:?}");
}

fn alert(seed: u64, plan: Option<Plan>, mutant: Option<AlertMutant>) -> Result<u64, String> {
    let settings = alerts::Settings { seed, plan, mutant, traced: false };
    let result = alerts::run(settings);
    match (result, mutant) {
        (Err(_), None) => alerts::run(alerts::Settings { traced: true, ..settings }),
        (result, _) => result,
    }
}

#[test]
fn no_alert_is_lost_and_a_copy_has_the_same_id() {
    for seed in 0..2 {
        let calls = alert(seed, Some(Plan::None), None).unwrap_or_else(|what| panic!("{what}"));
        for call in 0..calls {
            for fault in Fault::ALL {
                let plan = Some(Plan::Once { call, fault });
                alert(seed, plan, None).unwrap_or_else(|what| panic!("{plan:?}\n{what}"));
            }
        }
    }
    for seed in 0..500 {
        alert(seed, None, None).unwrap_or_else(|what| panic!("{what}"));
    }
}

#[test]
fn every_alert_mutant_is_caught() {
    for mutant in AlertMutant::ALL {
        let how = (0..500).find_map(|seed| Some((seed, alert(seed, None, Some(*mutant)).err()?)));
        let (seed, how) = how.unwrap_or_else(|| panic!("{mutant:?} is not caught"));
        eprintln!("{mutant:?}: seed {seed}: {how}");
    }
}

/// The table in `crates/README.md` is of the mutants that there are.
#[test]
fn every_mutant_is_in_the_documents() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let named: Vec<&str> = rows.map(|(name, _)| name).collect();
    let mut all: Vec<String> = Mutant::ALL.iter().map(|mutant| format!("{mutant:?}")).collect();
    all.extend(AlertMutant::ALL.iter().map(|mutant| format!("{mutant:?}")));
    for mutant in &all {
        assert_eq!(named.iter().filter(|name| *name == mutant).count(), 1, "{mutant}");
    }
    assert!(all.len() >= 22);
}

/// What a failure prints can be run again.
#[test]
fn settings_are_read_as_they_are_printed() {
    for text in
        ["3", "3 Rollback", "3 Upgrade calm", "3 calm", "3 Rollback 17 Lost", "3 17 DiesBefore"]
    {
        assert_eq!(Settings::parse(text).map(|s| s.to_string()).as_deref(), Some(text));
    }
    for text in ["", "x", "3 17", "3 17 Found", "3 Rollback calm now", "0..3"] {
        assert!(Settings::parse(text).is_none(), "{text:?}");
    }
}

#[test]
fn a_seed_is_a_schedule() {
    let pool = seeds::pool_of(7);
    for seed in 0..50 {
        let traced = Settings { traced: true, ..Settings::seed(seed) };
        let [one, two] = [(); 2].map(|()| run(&pool, traced).unwrap_or_else(|f| panic!("{f}")));
        assert_eq!((one.calls, one.attempts, one.deaths), (two.calls, two.attempts, two.deaths));
        assert_eq!(one.trace, two.trace);
    }
}

/// Every process hashes by another seed, and nobody must be able to tell.
#[test]
fn two_processes_make_the_same_bytes_of_an_object() {
    for mapping in ["1", "2", "3"] {
        let print = || {
            let output =
                Command::new(env!("CARGO_BIN_EXE_simulate")).args(["items", mapping]).output();
            let output = output.unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        };
        let [one, two] = [(); 2].map(|()| print());
        assert!(one.starts_with("failed [false]") && one.lines().count() > 20, "{one}");
        assert_eq!(one, two);
        assert_eq!(one, flowlog_simulation::items::print(mapping.parse().unwrap()));
    }
}
