//! The alerts of a store: who is in them, listed, silenced and resolved.

use serde_json::Value;

use super::{command, day, printed};

/// What `who` says of alerts, against the list of all of them and the truth about what was planted.
#[test]
fn who_names_the_alerts_of_an_address() {
    let folder = day();
    let json = |args: &[&str]| -> Value {
        let args = [args, &["--store", "s.db", "--format", "json"]].concat();
        serde_json::from_str(&printed(&mut command(folder.path(), &args))).unwrap()
    };
    let truth = std::fs::read(folder.path().join("day/truth.json")).unwrap();
    let truth: Value = serde_json::from_slice(&truth).unwrap();
    let all = json(&["alerts"]);
    let all = all["alerts"].as_array().unwrap();
    for planted in truth["attacks"].as_array().unwrap() {
        let source = planted["source"].as_str().unwrap();
        let who = json(&["who", source]);
        let named = who["answer"]["alerts"].as_array().unwrap();
        assert!(
            named.iter().any(|alert| alert["rule"] == planted["expected"]),
            "{source}: {named:?}"
        );
        assert!(named.iter().all(|alert| all.contains(alert)), "{source}: as in the list");
        // Nothing that names it as who did it is left out.
        let of: Vec<&Value> = all.iter().filter(|alert| alert["source"] == source).collect();
        assert!(!of.is_empty() && of.iter().all(|alert| named.contains(alert)), "{source}");
        // Before it happened there is none.
        let before = json(&["who", source, "--until", "2026-11-01T00:05Z"]);
        assert_eq!(before["answer"]["alerts"], Value::Array(Vec::new()), "{source}");
    }
    assert_eq!(json(&["who", "192.0.2.1"])["answer"]["alerts"], Value::Array(Vec::new()));
}

#[test]
fn alerts_are_listed_silenced_and_resolved() {
    let folder = day();
    let list = |more: &[&str]| -> Value {
        let args = [&["alerts", "--store", "s.db", "--format", "json"], more].concat();
        serde_json::from_str(&printed(&mut command(folder.path(), &args))).unwrap()
    };
    let before = list(&[]);
    let alerts = before["alerts"].as_array().unwrap();
    // What the list rests on.
    let truth = std::fs::read(folder.path().join("day/truth.json")).unwrap();
    let truth: Value = serde_json::from_slice(&truth).unwrap();
    let windows = truth["interfaces"].as_array().unwrap().iter();
    let newest = windows.map(|interface| interface["window"].as_i64().unwrap()).max().unwrap();
    assert_eq!(before["data_until"], newest + 300);
    assert_eq!(
        (&before["complete"], &before["quarantined_deliveries"]),
        (&Value::from(true), &Value::from(0))
    );
    let text = printed(&mut command(folder.path(), &["alerts", "--store", "s.db"]));
    assert!(
        text.contains("Rests on the data up to 2026-11-01 01:30. 0 SKIPDATA records"),
        "{text}"
    );
    let exposed = alerts.iter().find(|alert| alert["rule"] == "sensitive-port-exposed").unwrap();
    let key = exposed["key"].as_str().unwrap();
    // Only what is asked about.
    let latest = alerts.iter().map(|alert| alert["last"].as_i64().unwrap()).max().unwrap();
    let quiet = (newest + 300 - latest) / 60;
    assert!(quiet > 0, "{alerts:?}");
    let interface = exposed["interface"].as_str().unwrap();
    for (more, fits) in [
        (["--interface", interface], alerts.iter().filter(|a| a["interface"] == interface).count()),
        (["--vpc", "vpc-0"], 0),
        (["--until", "2020-01-01"], 0),
        (["--since", "2020-01-01"], alerts.len()),
        // Counted back from the end of the data, which no alert reaches.
        (["--since", &format!("{quiet}m")], 0),
    ] {
        assert_eq!(list(&more)["alerts"].as_array().unwrap().len(), fits, "{more:?}");
    }
    let entry = printed(&mut command(folder.path(), &["silence", key, "--store", "s.db"]));
    assert!(entry.starts_with("[[suppress]]\nrule = \"sensitive-port-exposed\""), "{entry}");
    let said = printed(&mut command(folder.path(), &["resolve", key, "--store", "s.db"]));
    assert_eq!(said, format!("{key}: resolved\n"));
    let open = list(&["--open"]);
    assert!(open["alerts"].as_array().unwrap().iter().all(|alert| alert["key"] != key), "{open}");
    assert_eq!(list(&[])["alerts"].as_array().unwrap().len(), alerts.len(), "kept for history");
    // The page marks it where it was.
    let page =
        printed(&mut command(folder.path(), &["report", "--store", "s.db", "--format", "json"]));
    let page: Value = serde_json::from_str(&page).unwrap();
    let marks = page["alerts"].as_array().unwrap();
    assert!(marks.iter().any(|mark| mark["rule"] == "sensitive-port-exposed"), "{marks:?}");
    let wrong =
        command(folder.path(), &["resolve", "digest#hourly", "--store", "s.db"]).output().unwrap();
    assert!(!wrong.status.success());
}
