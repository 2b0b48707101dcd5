//! The questions as a person asks them: of a file, over HTTP, on the page that `serve` shows.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod alerts;
mod documents;
mod exposure;
mod incomplete;
mod served;
mod shapes;
mod stores;
mod times;

use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use flowlog_cli::generate::{self, Attack, FileFormat, Layout, Plan, USUAL};
use serde_json::Value;
use tempfile::TempDir;

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowlog"));
    command.current_dir(folder).args(args);
    command
}

/// What a command prints; it must succeed.
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with a generated day in `day` and its store in `s.db`.
fn day() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let attacks = vec![Attack::Misconfiguration, Attack::SensitivePortExposed];
    let file_format = FileFormat::PlainText;
    let format = Layout::V5;
    let start = 1_793_491_200;
    let plan = Plan {
        seed: 4,
        start,
        minutes: 90,
        rate: 40,
        format,
        file_format,
        attacks,
        intensity: USUAL,
    };
    generate::write(&plan, &folder.path().join("day")).unwrap();
    let ran =
        command(folder.path(), &["local", "day/AWSLogs", "--store", "s.db"]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    folder
}

const QUESTIONS: [&[&str]; 11] = [
    &["top", "--by", "peers"],
    &["alerts"],
    &["rejected", "--since", "30m"],
    &["who", "10.1.32.11"],
    &["coverage"],
    &["diff", "--since", "2026-11-01T00:45Z", "--until", "2026-11-01T01:30Z"],
    &["compliance"],
    &["why", "10.1.0.31", "10.0.16.51:6379"],
    &["report"],
    &["top", "--interface", "eni-none"],
    &["rejected", "--account", "123456789012"],
];

fn ask<'a>(question: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
    [question, &["--format", "json"], rest].concat()
}

/// Without the moment that it was made at, and the store that it is from.
fn answer(text: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).unwrap();
    for of in ["/answer/made", "/made", "/answer/store", "/store"] {
        if let Some(made) = value.pointer_mut(of) {
            *made = Value::Null;
        }
    }
    value
}

/// These fields of every record of the day, as its objects' own lines have them.
#[expect(
    clippy::disallowed_types,
    reason = "a reader of the test's own; no object is hostile here"
)]
fn recorded<const N: usize>(folder: &TempDir, names: [&str; N]) -> Vec<[String; N]> {
    let mut records = Vec::new();
    for path in shapes::walk(&folder.path().join("day/AWSLogs")) {
        let mut lines = String::new();
        let file = std::fs::File::open(path).unwrap();
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut lines).unwrap();
        let mut lines = lines.lines();
        let header: Vec<&str> = lines.next().unwrap().split(' ').collect();
        let columns = names.map(|name| header.iter().position(|field| *field == name).unwrap());
        records.extend(lines.map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            columns.map(|column| fields[column].to_owned())
        }));
    }
    records
}
