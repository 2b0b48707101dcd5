//! What is missing, cannot be read, cannot be held or cannot be asked is said.

use flowlog_cli::embedded::{EmbeddedDb, Location};
use serde_json::Value;

use super::{answer, ask, command, day, printed, shapes};

/// Byte counts that no sum can hold, of more interfaces than the page shows one by one: sums stop at the most there is.
#[test]
fn sums_that_nothing_can_hold_stop_at_the_most() {
    let folder = tempfile::tempdir().unwrap();
    let head = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end \
                action log-status vpc-id flow-direction traffic-path";
    let mut lines = vec![head.to_owned()];
    for interface in 0..303 {
        for (ends, way) in [
            ("10.0.0.9 192.0.2.7 40000 443", "egress 8"),
            ("10.0.0.9 192.0.2.7 40000 443", "egress 1"),
            ("10.0.0.9 192.0.2.7 40000 443", "egress -"),
            ("192.0.2.7 10.0.0.9 443 40000", "ingress -"),
            ("192.0.2.7 10.0.0.9 443 40000", "ingress -"),
            ("192.0.2.8 10.0.0.9 443 40000", "ingress -"),
        ] {
            lines.push(format!(
                "5 123456789012 eni-{interface:04x} {ends} 6 1 {} 1793491200 1793491205 ACCEPT OK vpc-1 {way}",
                i64::MAX
            ));
        }
    }
    std::fs::write(folder.path().join("huge.log"), lines.join("\n") + "\n").unwrap();
    // Its alerts may be what they are; what counts is that it is stored.
    let stored = command(folder.path(), &["local", "huge.log", "--store", "s.db"]).output();
    assert!(stored.unwrap().status.success());
    printed(&mut command(folder.path(), &["report", "--store", "s.db", "-o", "page.html"]));
    let report = ["report", "--store", "s.db", "--format", "json"];
    let page: Value = serde_json::from_str(&printed(&mut command(folder.path(), &report))).unwrap();
    assert_eq!(page["totals"]["accepted"]["records"], 303 * 6);
    let interfaces = page["interfaces"].as_array().unwrap();
    assert_eq!(interfaces.last().unwrap()["id"], "3 more");
    for sum in [
        &page["totals"]["accepted"]["bytes"],
        &interfaces.last().unwrap()["series"][0][1],
        &interfaces.last().unwrap()["paths"]["to an Internet gateway"],
        &interfaces[0]["paths"]["from Internet addresses"],
    ] {
        assert_eq!(sum, u64::MAX, "{sum}");
    }
    let heaviest = &page["talkers"][0];
    assert_eq!(
        (&heaviest["address"], &heaviest["by"][0][2]),
        (&"192.0.2.7".into(), &u64::MAX.into())
    );
}

#[tokio::test]
async fn what_cannot_be_asked_is_said() {
    let folder = tempfile::tempdir().unwrap();
    drop(EmbeddedDb::open(Location::File(folder.path().join("s.db"))).await.unwrap());
    for (args, expected) in [
        (&["report", "--store", "s.db", "-o", "page.html"][..], "the store is empty"),
        (&["top", "--store", "t.db"], "t.db: there is no such store"),
        (&["alerts", "--store", "t.db"], "t.db: there is no such store"),
        (&["top"], "AGGREGATES_TABLE"),
        (&["why", "10.0.0.1", "10.0.0.2:99999"], "ADDRESS:PORT"),
        (&["why", "10.0.0.1", "10.0.0.2", "--data", "nowhere"], "could be read"),
    ] {
        let output = command(folder.path(), args).env_remove("AGGREGATES_TABLE").output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(expected), "{args:?}: {error}");
    }
    assert!(!folder.path().join("t.db").exists(), "a question makes no store");
}

/// A file that is cut off, and one that is not there: what is said rests on the others, and says so.
#[test]
fn why_says_what_it_could_not_read() {
    let folder = day();
    let why = |more: &[&str]| {
        let args = [&["why", "10.0.17.42", "10.1.0.31:9999", "--data", "day"], more].concat();
        let output = command(folder.path(), &args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let json = |more: &[&str]| {
        let (code, text) = why(&[more, &["--format", "json"]].concat());
        (code, serde_json::from_str::<Value>(&text).unwrap())
    };
    let (code, whole) = json(&[]);
    assert_eq!((code, &whole["files_unread"]), (Some(0), &Value::from(0)));
    let (code, absent) = json(&["nowhere"]);
    assert_eq!((code, &absent["files_unread"]), (Some(1), &Value::from(1)));
    assert_eq!(absent["explanations"][0]["sureness"], "possible", "{absent}");

    std::fs::write(folder.path().join("cut.log.gz"), [0x1f, 0x8b, 8, 0]).unwrap();
    let text = format!(
        "{}\nnot a record\n",
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
    );
    std::fs::write(folder.path().join("bad.log"), text).unwrap();
    let (code, found) = json(&["cut.log.gz", "bad.log"]);
    assert_eq!(code, Some(1));
    assert_eq!([&found["files_unread"], &found["lines_unread"]], [1, 1], "{found}");
    let (code, text) = why(&["cut.log.gz"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("files could not be read: what they hold is missing"), "{text}");
    assert!(!text.contains("every record of the files"), "{text}");
}

/// Hours of a day that nobody recorded, and a day: of neither is anything known.
#[test]
fn why_says_what_the_files_have_nothing_of() {
    let folder = day();
    let why = |times: &[&str]| {
        let path = ["why", "10.0.17.42", "10.1.0.31:5432", "--data", "day"];
        let ask =
            |more: &[&str]| printed(&mut command(folder.path(), &[&path, times, more].concat()));
        let json: Value = serde_json::from_str(&ask(&["--format", "json"])).unwrap();
        (json, ask(&[]))
    };
    // Nobody asked about more than there is.
    let (all, said) = why(&[]);
    assert_eq!(
        (&all["complete"], &all["gaps"]),
        (&true.into(), &Value::Array(Vec::new())),
        "{all}"
    );
    assert_eq!(all["asked"], serde_json::json!({ "from": null, "to": null }));
    assert!(!said.contains("Incomplete"), "{said}");
    // The data has 90 minutes of the day.
    let (day, said) = why(&["--since", "2026-11-01", "--until", "2026-11-02"]);
    let (from, to) = (1_793_491_200_i64, 1_793_491_200 + 86_400);
    assert_eq!(day["asked"], serde_json::json!({ "from": from, "to": to }));
    assert_eq!(day["complete"], false);
    let gap = &day["gaps"][0];
    assert!((from + 5_000..from + 5_700).contains(&gap["from"].as_i64().unwrap()), "{gap}");
    assert_eq!((gap["to"].as_i64(), day["gaps"].as_array().unwrap().len()), (Some(to), 1));
    let incomplete = day["incomplete"][0].as_str().unwrap();
    assert!(incomplete.starts_with("nothing is on record from 2026-11-01 01:3"), "{incomplete}");
    assert!(said.contains(&format!("Incomplete: {incomplete}")), "{said}");
    assert_ne!(day["explanations"][0]["sureness"], "certain", "{day}");
    // A day of which there is nothing at all.
    let (nothing, said) = why(&["--since", "2026-11-05", "--until", "2026-11-06"]);
    assert_eq!(nothing["complete"], false, "{nothing}");
    assert!(said.contains("Incomplete: "), "{said}");
}

/// What rests on nothing is no clean bill of health.
#[test]
fn nothing_on_record_is_not_nothing_found() {
    let folder = day();
    let run = |args: &[&str]| command(folder.path(), args).output().unwrap();
    let out = |args: &[&str]| printed(&mut command(folder.path(), args));
    for times in [["--since", "2030-01-01"], ["--until", "2020-01-01"], ["--until", "2026-11-01"]] {
        let ran = run(&[&["compliance", "--store", "s.db"], &times[..]].concat());
        let error = String::from_utf8_lossy(&ran.stderr);
        assert!(!ran.status.success() && error.contains("no such time"), "{times:?}: {error}");
        assert!(error.contains("2026-11-01 00:00 to 2026-11-02 00:00"), "{error}");
    }
    let nobody = ["compliance", "--store", "s.db", "--interface", "eni-none"];
    let text = out(&nobody);
    assert!(text.contains("Not known: nothing is on record.") && !text.contains("None"), "{text}");
    assert!(text.contains("note: nothing is on record of what was asked about"), "{text}");
    assert!(text.contains("note: no interface eni-none in this time"), "{text}");
    let value = answer(&out(&[&nobody[..], &["--format", "json"]].concat()));
    assert_eq!(value["complete"], false);
    assert!(value["notes"][0].as_str().unwrap().starts_with("nothing is on record"), "{value}");
    // Before the first day there is nothing to compare with.
    let diff = out(&["diff", "--store", "s.db"]);
    assert!(diff.contains("Nothing is on record of the time before"), "{diff}");
    let diff = out(&["diff", "--store", "s.db", "--since", "45m"]);
    assert!(!diff.contains("Nothing is on record"), "{diff}");
}

/// A few hours of which nothing was delivered.
#[test]
fn a_hole_makes_every_answer_and_the_page_incomplete() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| printed(&mut command(folder.path(), args));
    run(&["generate", "--minutes", "360", "-o", "day"]);
    for object in shapes::walk(&folder.path().join("day/AWSLogs")) {
        let name = object.file_name().unwrap().to_string_lossy().into_owned();
        if ["T02", "T03"].iter().any(|hour| name.contains(hour)) {
            std::fs::remove_file(object).unwrap();
        }
    }
    run(&["backfill", "day/AWSLogs", "--store", "s.db"]);
    // Objects are of the five minutes before the time in their names.
    let (from, to) = (1_793_491_200 + 115 * 60, 1_793_491_200 + 235 * 60);
    for question in [
        &["top"][..],
        &["rejected"],
        &["who", "10.1.32.11"],
        &["coverage"],
        &["diff"],
        &["compliance"],
        &["why", "10.1.0.31", "10.0.16.51:6379"],
        &["report"],
    ] {
        let value = answer(&run(&ask(question, &["--store", "s.db"])));
        let rests = value.get("rests_on").unwrap_or(&value);
        assert_eq!(rests["complete"], false, "{question:?}");
        let [gap] = &rests["gaps"].as_array().unwrap()[..] else { panic!("{question:?}: {rests}") };
        let found = [&gap["from"], &gap["to"]].map(|at| at.as_i64().unwrap());
        assert!(found[0].abs_diff(from) <= 300 && found[1].abs_diff(to) <= 300, "{found:?}");
        let said = rests["incomplete"][0].as_str().unwrap();
        assert!(said.starts_with("nothing is on record from 2026-11-01 0"), "{said}");
        if question[0] != "report" {
            let text = run(&[question, &["--store", "s.db"]].concat());
            assert!(text.contains(&format!("Incomplete: {said}\n")), "{question:?}: {text}");
        }
    }
    // What is asked for besides it is whole.
    let early = ["top", "--until", "2026-11-01T01:00Z", "--store", "s.db", "--format", "json"];
    assert_eq!(answer(&run(&early))["complete"], true);
}

/// SKIPDATA makes every answer incomplete, in words as in JSON; what no rule can see is in both, too.
#[test]
fn gaps_are_in_words_and_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| printed(&mut command(folder.path(), args));
    run(&["generate", "--minutes", "60", "--attack", "data-gap", "-o", "day"]);
    run(&["local", "day", "--store", "s.db"]);
    let json = |args: &[&str]| answer(&run(&[args, &["--format", "json"]].concat()));
    let (top, value) = (run(&["top", "--store", "s.db"]), json(&["top", "--store", "s.db"]));
    assert!(top.contains("Incomplete: AWS skipped records") && value["complete"] == false, "{top}");

    let (text, value) = (run(&["alerts", "--store", "s.db"]), json(&["alerts", "--store", "s.db"]));
    let starved = value["cannot_feed"].as_array().unwrap();
    assert!(!starved.is_empty(), "{value}");
    for of_source in starved {
        let rules: Vec<&str> =
            of_source["rules"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let source = of_source["source"].as_str().unwrap();
        let line = format!("note: {source} cannot feed {}\n", rules.join(", "));
        assert!(text.contains(&line), "{line}: {text}");
    }

    // Files: what was read of how many, and what became of the lines.
    let truth: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("day/truth.json")).unwrap())
            .unwrap();
    let skipped = &truth["totals"]["skipdata"];
    assert!(skipped.as_u64().unwrap() > 0, "{}", truth["totals"]);
    let (text, value) = (run(&["nat-cost", "day"]), json(&["nat-cost", "day"]));
    let of = truth["objects"].as_array().unwrap().len();
    assert!(text.contains(&format!("Rests on {of} of {of} files")), "{text}");
    assert!(text.contains("Incomplete") && value["complete"] == false, "{text}");
    assert_eq!(value["records"]["read"], truth["totals"]["read"]);
    assert_eq!(&value["records"]["skipdata"], skipped);
    let ran = command(folder.path(), &["nat-cost", "nowhere"]).output().unwrap();
    let text = String::from_utf8_lossy(&ran.stdout);
    assert!(!ran.status.success() && text.contains("Rests on 0 of 1 files"), "{text}");
    assert!(text.contains("there is no record of traffic") && !text.contains("lack"), "{text}");
    for from in [&["replay", "day"][..], &["replay", "--store", "s.db"]] {
        let (text, value) = (run(from), json(from));
        assert!(text.contains("Incomplete: rules saw nothing of what AWS skipped"), "{text}");
        assert_eq!(value["records"]["read"], truth["totals"]["read"], "{from:?}");
        assert_eq!(&value["records"]["skipdata"], skipped, "{from:?}");
    }
}
