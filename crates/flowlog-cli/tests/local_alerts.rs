//! Alerts of `flowlog local`: they depend neither on how records are cut into objects, nor on how many runs they come in.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";
const START: i64 = 1_793_491_200;

/// What the command prints in a folder.
fn run(folder: &Path, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_flowlog"))
        .current_dir(folder)
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Key, since, last and number of messages of each alert of a store, as far as `more` asks for them.
fn alerts(folder: &Path, store: &str, more: &[&str]) -> Vec<(String, i64, i64, i64)> {
    let args = [&["alerts", "--store", store, "--format", "json"], more].concat();
    let value: Value = serde_json::from_str(&run(folder, &args)).unwrap();
    let of = |alert: &Value, name: &str| alert[name].as_i64().unwrap();
    let list = value["alerts"].as_array().unwrap().iter();
    list.map(|alert| {
        let key = alert["key"].as_str().unwrap().to_owned();
        (key, of(alert, "since"), of(alert, "last"), of(alert, "told_times"))
    })
    .collect()
}

/// One row of a file: an accepted connection of each of four interfaces, by the minute.
fn served(minutes: Range<i64>) -> String {
    let mut rows = String::new();
    for eni in 0..4 {
        for minute in minutes.clone() {
            let at = START + minute * 60;
            // Writing to a String cannot fail.
            let _ = writeln!(
                rows,
                "2 123456789012 eni-{eni} 10.0.3.10 10.0.1.{eni} 50000 443 6 5 300 {at} {} ACCEPT OK",
                at + 5
            );
        }
    }
    rows
}

#[test]
fn alerts_are_the_same_however_records_are_cut_into_objects() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, rows: &str| {
        std::fs::write(folder.path().join(name), format!("{HEADER}\n{rows}")).unwrap();
    };
    std::fs::create_dir(folder.path().join("many")).unwrap();
    for part in 0..48 {
        write(&format!("many/{part:02}.log"), &served(part * 10..part * 10 + 10));
    }
    write("one.log", &served(0..480));
    run(folder.path(), &["local", "one.log", "--store", "one.db"]);
    run(folder.path(), &["local", "many", "--store", "many.db"]);
    assert_eq!(alerts(folder.path(), "one.db", &[]), []);
    assert_eq!(alerts(folder.path(), "many.db", &[]), []);
}

#[test]
fn a_refusal_that_lasts_is_one_alert_in_however_many_runs() {
    let folder = tempfile::tempdir().unwrap();
    for hour in 0..6 {
        let mut rows = served(hour * 60..hour * 60 + 60);
        for minute in hour * 60..hour * 60 + 60 {
            let at = START + minute * 60;
            let _ = writeln!(
                rows,
                "2 123456789012 eni-1 10.0.9.9 10.0.1.1 50000 6379 6 3 180 {at} {} REJECT OK",
                at + 5
            );
        }
        std::fs::write(folder.path().join(format!("{hour}.log")), format!("{HEADER}\n{rows}"))
            .unwrap();
        run(folder.path(), &["local", &format!("{hour}.log"), "--store", "s.db"]);
        let open = alerts(folder.path(), "s.db", &["--open"]);
        assert_eq!(open.len(), 1, "after {hour} hours: {open:?}");
    }
    let [(key, since, last, told)] = &alerts(folder.path(), "s.db", &[])[..] else { panic!() };
    assert!(key.starts_with("east-west-reject#eni-1#"), "{key}");
    // Told once it had lasted, and after one and two hours more.
    assert_eq!((*since, *last, *told), (START, START + 6 * 3_600, 3));
    // Half an hour later it is over.
    let rows = served(360..400);
    std::fs::write(folder.path().join("6.log"), format!("{HEADER}\n{rows}")).unwrap();
    run(folder.path(), &["local", "6.log", "--store", "s.db"]);
    assert_eq!(alerts(folder.path(), "s.db", &["--open"]), []);
}
