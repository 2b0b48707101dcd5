//! One run with few kills. `make chaos` makes twenty runs with eight and more.

#![allow(clippy::print_stderr, reason = "a test says what it saw")]

use std::process::Command;

#[test]
fn counts_stay_exact_when_processes_are_killed() {
    let output = Command::new(env!("CARGO_BIN_EXE_chaos")).args(["run", "0..1", "4"]).output();
    let output = output.unwrap_or_else(|error| panic!("chaos does not run: {error}"));
    let text = String::from_utf8_lossy(&output.stdout);
    eprintln!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("run 0: exact."));
}
