//! The rules: what they would have sent, and their defaults.

use serde_json::Value;

use super::{flowlog, text};

#[test]
fn replay_says_what_rules_would_send_and_what_another_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| flowlog(folder.path(), args);
    let day =
        run(&["generate", "--minutes", "60", "--rate", "60", "--attack", "port-scan", "-o", "day"]);
    assert!(day.status.success());
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("off.toml", "[rules.port-scan]\nenabled = false\n");
    write("wrong.toml", "[rules.port-scan]\nenabled = 7\n");

    let output = run(&["replay", "day", "--format", "json", "--against", "off.toml"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["rules"]["port-scan"]["high"], 1);
    assert_eq!(json["against"]["rules"].get("port-scan"), None);
    let difference = json["difference"].as_array().unwrap();
    let gone = difference.iter().filter_map(Value::as_str).find(|line| line.starts_with("- "));
    assert!(gone.unwrap().contains(" high port-scan on eni-"), "{difference:?}");
    // What is only noted is a line of a digest, which is a message, too.
    write("quick.toml", "[rules.slow-scan]\nenabled = false\n");
    let output = run(&["replay", "day", "--format", "json", "--against", "quick.toml"]);
    let noted: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = noted["difference"].as_array().unwrap();
    assert_eq!((&noted["digests"], &noted["against"]["digests"]), (&1.into(), &0.into()));
    assert!(lines[0].as_str().unwrap().ends_with(", in a digest"), "{lines:?}");

    // The same from the roll-ups of a store; files and a store are one or the other.
    assert!(run(&["local", "day", "--store", "flowlog.db"]).status.success());
    let from = |args: &[&str]| -> Value {
        let output = run(&[&["replay", "--format", "json"], args].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (files, store) = (from(&["day"]), from(&["--store", "flowlog.db"]));
    assert_eq!(files, store);
    let half = from(&["--store", "flowlog.db", "--since", "2026-11-01T00:30Z"]);
    assert!(half["interface_days"].as_f64() < store["interface_days"].as_f64());
    assert_eq!(run(&["replay", "day", "--store", "flowlog.db"]).status.code(), Some(2));
    let output = run(&["replay"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("AGGREGATES_TABLE"), "{}", text(&output.stderr));

    let output = run(&["replay", "day", "--rules", "off.toml"]);
    assert!(!text(&output.stdout).contains("port-scan"), "{}", text(&output.stdout));
    for args in [&["replay", "day", "--rules", "wrong.toml"][..], &["rules", "check", "wrong.toml"]]
    {
        let output = run(args);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(said.contains("wrong.toml: line 2, column 11: invalid type"), "{said}");
    }
    let off = run(&["rules", "check", "off.toml"]);
    assert_eq!(
        (off.status.code(), text(&off.stdout).as_str()),
        (Some(0), "the rules file can be used\n")
    );
    write("mute.toml", "[[suppress]]\nuntil = 2999-01-01\nreason = \"r\"\n");
    let mute = run(&["rules", "check", "mute.toml"]);
    assert_eq!(mute.status.code(), Some(0));
    assert!(text(&mute.stdout).contains("note: [[suppress]] 1 (r) names no rule"), "{mute:?}");
}

/// What `flowlog rules defaults` prints is a rules file, and the table of docs/detection.md.
#[test]
fn the_defaults_are_a_rules_file_and_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let defaults = text(&flowlog(folder.path(), &["rules", "defaults"]).stdout);
    std::fs::write(folder.path().join("all.toml"), &defaults).unwrap();
    assert_eq!(flowlog(folder.path(), &["rules", "check", "all.toml"]).status.code(), Some(0));
    assert_eq!(defaults.matches("[rules.").count(), 15);
    let project = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let document = std::fs::read_to_string(project.join("docs/detection.md")).unwrap();
    for rule in defaults.split("\n\n") {
        let mut lines = rule.lines();
        let name = lines.next().unwrap().trim_matches(['[', ']']).trim_start_matches("rules.");
        let thresholds: Vec<String> = lines.map(|line| format!("`{line}`")).collect();
        let row = format!("| `{name}` | {} |", thresholds.join(" · "));
        assert!(document.contains(&row), "docs/detection.md lacks {row}");
    }
}
