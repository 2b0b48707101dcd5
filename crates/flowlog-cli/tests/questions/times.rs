//! Which time an answer is about, and what it says of the rest that was asked for.

use serde_json::Value;

use super::{QUESTIONS, answer, command, day, printed, recorded};

/// Of what was asked for and is not in the store, every answer says that it is not; where nobody says when, it ends
/// with the data.
#[test]
fn what_is_asked_for_and_not_there_is_said() {
    let folder = day();
    let out = |args: &[&str]| {
        printed(&mut command(folder.path(), &[args, &["--store", "s.db"]].concat()))
    };
    let json = |args: &[&str]| answer(&out(&[args, &["--format", "json"]].concat()));
    let (start, end) = (1_793_491_200, 1_793_491_200 + 90 * 60);
    for question in QUESTIONS.iter().filter(|words| words.len() < 3 && words[0] != "alerts") {
        let whole = json(question);
        assert_eq!([&whole["from"], &whole["to"]], [start, end], "{question:?}");
        let rests = if question[0] == "report" { &whole["rests_on"] } else { &whole };
        assert_eq!(
            (&rests["complete"], &rests["incomplete"]),
            (&true.into(), &Value::Array(Vec::new()))
        );
        let asked = ["--since", "2026-10-01", "--until", "2026-12-01"];
        let part = json(&[question, &asked[..]].concat());
        assert_eq!([&part["from"], &part["to"]], [start, end], "{question:?}");
        assert_eq!([&part["asked"]["from"], &part["asked"]["to"]], [1_790_812_800, 1_796_083_200]);
        let rests = if question[0] == "report" { &part["rests_on"] } else { &part };
        assert_eq!(rests["complete"], false, "{question:?}");
        assert_eq!(
            rests["incomplete"][0],
            "asked for 2026-10-01 00:00 to 2026-12-01 00:00; the store has nothing before 2026-11-01 00:00 or \
             after 2026-11-01 01:30: this answer says nothing about those times."
        );
        // Less than an hour is none: data comes late.
        let soon = json(&[question, &["--until", "2026-11-01T02:00Z"][..]].concat());
        assert_eq!([&soon["from"], &soon["to"]], [start, end], "{question:?}");
        assert_eq!(soon.pointer("/rests_on/complete").unwrap_or(&soon["complete"]), true);
    }
    let text = out(&["compliance", "--since", "2026-10-01"]);
    let said = "Incomplete: asked for the time since 2026-10-01 00:00; the store has nothing before 2026-11-01 00:00:";
    let told = "Time reported on: 2026-11-01 00:00 to 2026-11-01 01:30\n";
    assert!(text.contains(&format!("{told}{said}")) && text.matches(said).count() == 2, "{text}");
    // After the data there is nothing, which is said once.
    let text = out(&["top", "--since", "2026-11-01T05:00Z"]);
    assert_eq!(text.matches("note: ").count(), 1, "{text}");
    assert!(text.contains("note: nothing is on record") && !text.contains("not added"), "{text}");
}

/// A time inside a window is that window, at either end.
#[test]
fn windows_are_asked_about_as_a_whole() {
    let folder = day();
    let start = 1_793_491_200;
    for (since, until, from, to) in [
        ("01:01", "01:04", 3600, 3900),
        ("01:00", "01:05", 3600, 3900),
        ("01:04", "01:06", 3600, 4200),
    ] {
        let times = [since, until].map(|time| format!("2026-11-01T{time}Z"));
        let args = ["top", "--store", "s.db", "--format", "json", "--since", &times[0], "--until"];
        let value =
            answer(&printed(&mut command(folder.path(), &[&args[..], &[&times[1]]].concat())));
        assert_eq!([&value["from"], &value["to"]], [start + from, start + to], "{times:?}");
    }
}

/// A time is counted in the objects' own lines.
#[test]
fn a_length_of_time_counts_from_the_end_of_the_data() {
    let folder = day();
    let records = recorded(&folder, ["start", "action"]).into_iter();
    let starts: Vec<(i64, bool)> =
        records.map(|[start, action]| (start.parse().unwrap(), action == "REJECT")).collect();
    // The end of the last window that has any record, NODATA included.
    let end = starts.iter().map(|(start, _)| start / 300 * 300 + 300).max().unwrap();
    for (since, seconds) in
        [("5m", 300), ("20m", 1200), ("45m", 2700), ("90m", 5400), ("7d", 604_800)]
    {
        let args = ["rejected", "--store", "s.db", "--since", since, "--format", "json"];
        let answer = answer(&printed(&mut command(folder.path(), &args)));
        let counted =
            starts.iter().filter(|(start, rejected)| *rejected && *start >= end - seconds);
        assert_eq!(answer["answer"]["total"]["records"], counted.count(), "{since}");
        let from = (end - seconds).max(1_793_491_200);
        assert_eq!(answer["from"], from, "{since}");
    }
}
