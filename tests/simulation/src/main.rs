//! `simulate 0..10000` runs seeds and prints one that ends wrong with what happened; `simulate 42`, or
//! `simulate "3 Rollback 17 Lost"` as a failure is printed, runs one schedule and says what happened in it.
//! `simulate items 1` prints the items of a crowded object under a mapping version.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::process::ExitCode;

use flowlog_simulation::items;
use flowlog_simulation::schedule::{self, Settings, Stats};
use flowlog_simulation::seeds::{self, Range};

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_else(|| "0..10000".to_owned());
    if wanted == "items" {
        let mapping = std::env::args().nth(2).and_then(|text| text.parse().ok()).unwrap_or(1);
        print!("{}", items::print(mapping));
        return ExitCode::SUCCESS;
    }
    if let Some(settings) = Settings::parse(&wanted) {
        return one(settings);
    }
    let Some(range) = Range::parse(&wanted) else {
        eprintln!("simulate: {wanted:?} is no seed and no range of seeds such as 0..10000");
        return ExitCode::from(2);
    };
    match seeds::run_all(range) {
        Ok(stats) => {
            println!("{}", seeds::summary(range, &stats));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn one(settings: Settings) -> ExitCode {
    match schedule::run(&seeds::pool_of(settings.seed), Settings { traced: true, ..settings }) {
        Ok(Stats { attempts, calls, deaths, trace, .. }) => {
            println!("  {}", trace.join("\n  "));
            println!(
                "seed {settings}: exact. {attempts} invocations, {calls} calls, {deaths} deaths"
            );
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}
