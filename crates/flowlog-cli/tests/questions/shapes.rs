//! The JSON Schemas of answers in `docs/reference/answers`: made from answers, and every answer fits.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use tempfile::TempDir;

use super::{command, day};

/// Objects whose keys are data: a reason, an interface, a status, a path.
const MAPS: [&str; 9] = [
    "reasons",
    "encryption_status",
    "encryption_unknown",
    "unencrypted",
    "paths",
    "rejected",
    "reject_reasons",
    "rules",
    "starved",
];

/// The schema that one value asks for.
fn schema(value: &Value, name: &str) -> Value {
    match value {
        Value::Null => json!({ "type": ["null"] }),
        Value::Bool(_) => json!({ "type": ["boolean"] }),
        Value::Number(n) if n.is_f64() => json!({ "type": ["number"] }),
        Value::Number(_) => json!({ "type": ["integer"] }),
        Value::String(_) => json!({ "type": ["string"] }),
        Value::Array(list) => {
            let items = list.iter().map(|item| schema(item, "")).reduce(|a, b| merge(&a, &b));
            let mut found = json!({ "type": ["array"] });
            if let Some(items) = items {
                found["items"] = items;
            }
            found
        }
        // A key that is sometimes sums and sometimes reasons: those of reasons are all numbers.
        Value::Object(fields) if MAPS.contains(&name) && !fields.contains_key("records") => {
            let values = fields.values().map(|value| schema(value, ""));
            let mut found = json!({ "type": ["object"] });
            if let Some(values) = values.reduce(|a, b| merge(&a, &b)) {
                found["additionalProperties"] = values;
            }
            found
        }
        Value::Object(fields) => {
            let of = |(key, value): (&String, &Value)| (key.clone(), schema(value, key));
            let properties: Map<String, Value> = fields.iter().map(of).collect();
            let required: Vec<&String> = fields.keys().collect();
            json!({ "type": ["object"], "properties": properties, "required": required })
        }
    }
}

/// The schema that admits what either admits.
fn merge(a: &Value, b: &Value) -> Value {
    let texts = |value: &Value| -> Vec<String> {
        let list = value.as_array().map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let mut types = texts(&a["type"]);
    types.extend(texts(&b["type"]));
    types.sort();
    types.dedup();
    let mut merged = json!({ "type": types });
    for key in ["items", "additionalProperties"] {
        match (a.get(key), b.get(key)) {
            (Some(a), Some(b)) => merged[key] = merge(a, b),
            (Some(one), None) | (None, Some(one)) => merged[key] = one.clone(),
            (None, None) => {}
        }
    }
    match (a["properties"].as_object(), b["properties"].as_object()) {
        (Some(left), Some(right)) => {
            let mut properties: BTreeMap<String, Value> = BTreeMap::new();
            for (key, value) in left.iter().chain(right) {
                let known = properties.get(key).map_or_else(|| value.clone(), |v| merge(v, value));
                properties.insert(key.clone(), known);
            }
            let theirs = texts(&b["required"]);
            let both: Vec<String> =
                texts(&a["required"]).into_iter().filter(|key| theirs.contains(key)).collect();
            merged["properties"] = json!(properties);
            merged["required"] = json!(both);
        }
        (Some(_), None) => copy(a, &mut merged),
        (None, Some(_)) => copy(b, &mut merged),
        (None, None) => {}
    }
    merged
}

fn copy(from: &Value, to: &mut Value) {
    to["properties"] = from["properties"].clone();
    to["required"] = from["required"].clone();
}

/// What is asked, by the name of the answer's schema.
const ASKED: [(&str, &[&str]); 30] = [
    ("analyze", &["analyze", "day"]),
    ("analyze", &["analyze", "holed"]),
    ("top", &["top", "--store", "s.db"]),
    ("top", &["top", "--store", "s.db", "--by", "peers", "--interface", "eni-none"]),
    ("rejected", &["rejected", "--store", "s.db"]),
    ("rejected", &["rejected", "--store", "s.db", "--since", "30m"]),
    ("who", &["who", "10.1.0.31", "--store", "s.db"]),
    ("who", &["who", "192.0.2.1", "--store", "s.db"]),
    ("coverage", &["coverage", "--store", "s.db"]),
    ("diff", &["diff", "--store", "s.db"]),
    ("diff", &["diff", "--store", "s.db", "--since", "45m"]),
    ("compliance", &["compliance", "--store", "s.db"]),
    ("why", &["why", "10.1.0.31", "10.0.16.51:6379", "--store", "s.db"]),
    ("why", &["why", "10.1.0.31", "10.0.16.51:6379", "--data", "day"]),
    ("why", &["why", "10.0.17.42", "10.1.0.31:9999", "--data", "day"]),
    ("why", &["why", "10.0.17.42", "10.1.0.31:9999", "--data", "day", "--until", "2026-11-02"]),
    ("alerts", &["alerts", "--store", "s.db"]),
    ("report", &["report", "--store", "s.db"]),
    ("cost", &["cost", "--gb-per-day", "5", "--interfaces", "50"]),
    ("nat-cost", &["nat-cost", "day"]),
    ("backfill", &["backfill", "day/AWSLogs", "--store", "b.db"]),
    ("local", &["local", "day"]),
    ("local", &["local", "holed"]),
    ("local", &["local", "bad", "--store", "q.db"]),
    ("replay", &["replay", "day"]),
    ("replay", &["replay", "day", "--against", "rules.toml"]),
    ("replay", &["replay", "--store", "s.db"]),
    ("requeue-list", &["requeue", "--store", "q.db"]),
    ("requeue", &["requeue", "--all", "--store", "q.db", "--objects", "bad"]),
    ("doctor", &["doctor"]),
];

/// What the questions are put to, beside a day: an object that is cut off, two hours with nothing between them, a rules
/// file, and a command `aws` that answers as in a healthy account of some weeks ago.
fn prepared() -> TempDir {
    let folder = day();
    let objects = folder.path().join("day/AWSLogs");
    let whole = walk(&objects).into_iter().next().unwrap();
    let cut =
        folder.path().join("bad").join(whole.strip_prefix(folder.path().join("day")).unwrap());
    std::fs::create_dir_all(cut.parent().unwrap()).unwrap();
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(cut, &bytes[..bytes.len() / 2]).unwrap();
    let hours = [1_793_491_200, 1_793_500_000].map(|start| {
        format!(
            "2 123456789012 eni-1 10.0.0.1 10.0.0.2 50000 443 6 1 40 {start} {start} ACCEPT OK\n"
        )
    });
    let header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n";
    std::fs::create_dir(folder.path().join("holed")).unwrap();
    std::fs::write(folder.path().join("holed/1.log"), header.to_owned() + &hours.concat()).unwrap();
    let rules = "[rules.port-scan]\ncontacts = 20\n";
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();

    let canned = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/doctor/tests/canned.json");
    let canned: BTreeMap<String, Value> =
        serde_json::from_slice(&std::fs::read(canned).unwrap()).unwrap();
    let mut script = "#!/bin/sh\ncase \"$*\" in\n".to_owned();
    // A call is answered by the longest of its beginnings.
    for (n, (call, answer)) in canned.iter().rev().enumerate() {
        let file = folder.path().join(format!("answer-{n}.json"));
        std::fs::write(&file, answer.to_string()).unwrap();
        writeln!(script, "'{call}'*) cat '{}';;", file.display()).unwrap();
    }
    script += "*) echo \"An error occurred (Unknown) when calling the X operation: $*\" >&2; exit 254;;\nesac\n";
    let aws = folder.path().join("bin/aws");
    std::fs::create_dir_all(aws.parent().unwrap()).unwrap();
    std::fs::write(&aws, script).unwrap();
    std::fs::set_permissions(&aws, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Every file below a folder.
pub(super) fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn path(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/answers");
    folder.join(format!("{name}.schema.json"))
}

#[test]
fn the_schemas_of_answers_are_current() {
    let folder = prepared();
    let bin = folder.path().join("bin");
    let path_of =
        std::env::join_paths([bin.as_path(), Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    let mut found: BTreeMap<&str, Value> = BTreeMap::new();
    // Also of more than the store has.
    let beyond = ["--since", "2026-10-01", "--until", "2026-12-01"];
    let beyond = ASKED
        .iter()
        .filter(|(name, words)| {
            words.contains(&"s.db")
                && !words.contains(&"--since")
                && !["alerts", "replay"].contains(name)
        })
        .map(|(name, words)| (*name, [*words, &beyond[..]].concat()));
    let asked = ASKED.iter().map(|(name, words)| (*name, words.to_vec()));
    for (name, words) in asked.chain(beyond) {
        let args = [&words[..], &["--format", "json"]].concat();
        // Some of what is asked about is not well, which the exit status says.
        let ran = command(folder.path(), &args)
            .env("PATH", &path_of)
            .env_remove("AWS_ENDPOINT_URL")
            .output();
        let ran = ran.unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        let answer: Value = serde_json::from_slice(&ran.stdout)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {said}"));
        let empty = answer.as_array().is_some_and(Vec::is_empty);
        assert!(!empty, "{args:?} has something to answer");
        let one = schema(&answer, "");
        let all = found.get(name).map_or_else(|| one.clone(), |known| merge(known, &one));
        found.insert(name, all);
    }
    for (name, found) in found {
        let title = format!("flowlog {name} --format json");
        let head =
            json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "title": title });
        let with_head = |schema: &Value| {
            let mut whole = head.clone();
            whole.as_object_mut().unwrap().extend(schema.as_object().unwrap().clone());
            whole
        };
        let text = std::fs::read_to_string(path(name)).unwrap_or_else(|_| "{}".to_owned());
        let mut kept: Value = serde_json::from_str(&text).unwrap();
        if std::env::var_os("UPDATE_REFERENCE").is_some() {
            kept = with_head(&found);
            let text = serde_json::to_string_pretty(&kept).unwrap() + "\n";
            std::fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            std::fs::write(path(name), text).unwrap();
        }
        // A schema that the answer would widen does not admit it.
        let widened = with_head(&merge(&kept, &found));
        assert!(
            sorted(&widened) == sorted(&kept),
            "{name}: the schema is not current: make reference"
        );
    }
}

/// With every list of names in order.
fn sorted(schema: &Value) -> Value {
    let mut schema = schema.clone();
    match &mut schema {
        Value::Array(list) => list.sort_by_key(ToString::to_string),
        Value::Object(fields) => fields.values_mut().for_each(|value| *value = sorted(value)),
        _ => {}
    }
    schema
}

#[test]
fn a_schema_tells_one_answer_from_another() {
    let a = schema(&json!({ "n": 1, "list": [{ "x": null }], "reasons": { "BPA": 2 } }), "");
    let b = schema(&json!({ "n": 1.5, "list": [{ "x": "y", "z": true }], "reasons": {} }), "");
    let both = merge(&a, &b);
    assert_eq!(both["properties"]["n"]["type"], json!(["integer", "number"]));
    assert_eq!(both["properties"]["list"]["items"]["required"], json!(["x"]));
    assert_eq!(both["properties"]["reasons"]["additionalProperties"]["type"], json!(["integer"]));
    assert_eq!(merge(&both, &a), both);
    assert_ne!(merge(&a, &b), a);
}
