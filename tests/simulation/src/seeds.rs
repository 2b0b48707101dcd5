//! Many seeds, on as many threads as there are processors. Each schedule has one thread to itself.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::pool::Pool;
use crate::schedule::{Failure, Settings, Stats, run};

/// Seeds that share a pool of deliveries.
const PER_POOL: u64 = 1_000;

/// Seeds `from..to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub from: u64,
    /// The one after the last.
    pub to: u64,
}

impl Range {
    /// `0..10000`.
    pub fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once("..")?;
        Some(Self { from: from.parse().ok()?, to: to.parse().ok()? })
    }
}

/// The pool of a seed.
pub fn pool_of(seed: u64) -> Pool {
    Pool::new(seed / PER_POOL)
}

/// Runs every seed; the failure is that of the lowest seed that was seen to fail, with its trace.
///
/// # Panics
///
/// If a thread does.
pub fn run_all(range: Range) -> Result<Stats, Box<Failure>> {
    let blocks = AtomicU64::new(range.from / PER_POOL);
    let failed = AtomicBool::new(false);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let work = || {
        let mut stats = Stats::default();
        while !failed.load(Ordering::Relaxed) {
            let block = blocks.fetch_add(1, Ordering::Relaxed);
            if block * PER_POOL >= range.to {
                break;
            }
            let pool = Pool::new(block);
            let last = range.to.min((block + 1) * PER_POOL);
            for seed in range.from.max(block * PER_POOL)..last {
                let settings = Settings::seed(seed);
                let Ok(one) = run(&pool, settings) else {
                    failed.store(true, Ordering::Relaxed);
                    return Err(again(&pool, settings));
                };
                stats.add(&one);
            }
        }
        Ok(stats)
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    let mut all = Stats::default();
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(Ok(stats)) => all.add(&stats),
            Ok(Err(failure)) => failures.push(failure),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    failures.sort_by_key(|failure| failure.settings.seed);
    failures.into_iter().next().map_or(Ok(all), Err)
}

/// The same schedule once more, written down.
///
/// # Panics
///
/// If it ends right this time: then the simulation is not deterministic.
pub fn again(pool: &Pool, settings: Settings) -> Box<Failure> {
    match run(pool, Settings { traced: true, ..settings }) {
        Err(failure) => failure,
        Ok(_) => panic!("seed {} failed and does not fail again", settings.seed),
    }
}

/// What these seeds did, for people.
pub fn summary(range: Range, stats: &Stats) -> String {
    let Range { from, to } = range;
    let faults: u64 = stats.faults.values().sum();
    let mut text = format!(
        "seeds {from}..{to}: exact. {} invocations, {} calls, {faults} faults, {} deaths; {} deliveries done, {} quarantined; {} summaries, {} answers read meanwhile, {} messages too late",
        stats.attempts,
        stats.calls,
        stats.deaths,
        stats.ended[0],
        stats.ended[1],
        stats.summaries,
        stats.answers,
        stats.dead
    );
    let days: Vec<String> = stats.days.iter().map(i64::to_string).collect();
    // Writing to a String cannot fail.
    let _ = write!(text, "; again on days {}", days.join(", "));
    text
}
