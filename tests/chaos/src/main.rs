//! Kill -9: real processes against a real database file, through a network that breaks.
//!
//! ```text
//!  chaos run ─┬─ worker, worker, worker   the parser's handler on the DynamoDB adapter; killed
//!             │      │ HTTP
//!             ├─ proxy                     cuts requests, cuts responses, holds them up
//!             │      │
//!             └─ database                  dynoxide on one file; killed and started again
//! ```
//!
//! A queue in `run` hands every object out several times, and again whenever its worker died or
//! failed. At the end the database is started once more, and every partial must be the one that a
//! single clean pass over a store in memory leaves, every ledger entry done with the same counts.
//!
//! Everything listens on free ports of 127.0.0.1. Every process is a child of `run` and is stopped
//! by its own handle; each of them ends by itself when its standard input closes.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod database;
mod fleet;
mod proxy;
mod run;
mod worker;

use std::process::ExitCode;

/// What goes wrong outside of what is tested.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["database", file] => database::serve(file),
        ["worker", endpoint, folder, mapping] => worker::work(endpoint, folder, mapping),
        ["run", seeds, kills] => run::all(seeds, kills),
        _ => Err("usage: chaos run SEED..SEED KILLS".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::FAILURE
        }
    }
}
