//! What changed and what is exposed, against the lines of the day.

use serde_json::Value;

use super::{command, day, printed, recorded};

#[test]
fn changes_and_exposure_are_told() {
    let folder = day();
    let diff = printed(&mut command(
        folder.path(),
        &[
            "diff",
            "--store",
            "s.db",
            "--since",
            "2026-11-01T00:45Z",
            "--until",
            "2026-11-01T01:30Z",
            "--format",
            "json",
        ],
    ));
    let diff: Value = serde_json::from_str(&diff).unwrap();
    let (earlier, later) = (&diff["answer"]["compared_with"], &diff);
    assert_eq!(earlier["to"], later["from"], "the time just before");
    let length = |value: &Value| value["to"].as_i64().unwrap() - value["from"].as_i64().unwrap();
    assert_eq!(length(earlier), length(later));
    let rejected = |time: &str| diff["answer"][time]["rejected"]["records"].as_u64().unwrap();
    assert!(rejected("before") > 0 && rejected("after") > 0);

    // Lengths of time count back from the last data, which is where what is compared ends.
    let compared = |times: &[&str]| -> [i64; 4] {
        let args = [&["diff", "--store", "s.db", "--format", "json"], times].concat();
        let diff: Value =
            serde_json::from_str(&printed(&mut command(folder.path(), &args))).unwrap();
        let earlier = &diff["answer"]["compared_with"];
        [&earlier["from"], &earlier["to"], &diff["from"], &diff["to"]]
            .map(|at| at.as_i64().unwrap())
    };
    let end = 1_793_491_200 + 90 * 60;
    assert_eq!(compared(&["--since", "45m"]), [end - 5400, end - 2700, end - 2700, end]);
    let quarter = ["--since", "2026-11-01T00:45Z", "--until", "2026-11-01T01:00Z"];
    let against = [&quarter[..], &["--against", "60m"]].concat();
    assert_eq!(compared(&against), [end - 3600, end - 2700, end - 2700, end - 1800]);

    // The page's numbers go where the page would.
    let report = ["report", "--store", "s.db", "--format", "csv", "-o", "numbers.csv"];
    assert!(printed(&mut command(folder.path(), &report)).starts_with("numbers.csv: "));
    assert!(std::fs::read_to_string(folder.path().join("numbers.csv")).unwrap().contains(','));

    // The planted stranger held RDP sessions with edge-1.
    let text = printed(&mut command(folder.path(), &["compliance", "--store", "s.db"]));
    assert!(text.contains("tcp 3389: "), "{text}");
    let truth: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("day/truth.json")).unwrap())
            .unwrap();
    let attack = &truth["attacks"][1];
    for name in ["interface_id", "source"] {
        assert!(text.contains(attack[name].as_str().unwrap()), "{text}");
    }
    let without = printed(&mut command(folder.path(), &["rejected", "--store", "s.db"]));
    assert!(without.contains("nothing is known of the time before the last day"), "{without}");
    let rows: Vec<&str> = without.lines().filter(|line| line.contains('┆')).collect();
    assert!(rows.iter().any(|row| row.trim_end().ends_with(" new since yesterday")), "{without}");
    assert!(rows.iter().any(|row| row.trim_end().ends_with(" ?")), "{without}");
    let since = ["rejected", "--store", "s.db", "--since", "30m"];
    assert!(!printed(&mut command(folder.path(), &since)).contains("cannot be told"));
}

/// What an auditor has to know of an exposure, against the lines of the day.
#[test]
fn exposures_are_dated_and_named() {
    let folder = day();
    let truth = std::fs::read(folder.path().join("day/truth.json")).unwrap();
    let truth: Value = serde_json::from_slice(&truth).unwrap();
    let planted = &truth["attacks"][1];
    let word = |name: &str| planted[name].as_str().unwrap();
    let mut windows: Vec<i64> = Vec::new();
    let mut places: Vec<[String; 2]> = Vec::new();
    let names = ["interface-id", "srcaddr", "dstport", "action", "start", "vpc-id", "instance-id"];
    for [interface, source, port, action, start, vpc, instance] in recorded(&folder, names) {
        if [&interface[..], &source, &port, &action]
            == [word("interface_id"), word("source"), "3389", "ACCEPT"]
        {
            windows.push(start.parse::<i64>().unwrap() / 300 * 300);
            places.push([vpc, instance]);
        }
    }
    let (first, last) = (windows.iter().min().unwrap(), windows.iter().max().unwrap() + 300);
    let args = ["compliance", "--store", "s.db", "--format", "json"];
    let value: Value = serde_json::from_str(&printed(&mut command(folder.path(), &args))).unwrap();
    let exposed = value["answer"]["exposed"].as_array().unwrap();
    let found =
        exposed.iter().find(|e| e["interface"] == word("interface_id") && e["port"] == 3389);
    let found = found.unwrap_or_else(|| panic!("{exposed:?}"));
    assert_eq!([&found["first"], &found["last"]], [*first, last]);
    assert_eq!([&found["vpc"], &found["instance"]], [&places[0][0], &places[0][1]]);
    assert_eq!(
        value["answer"]["kept_days"],
        serde_json::json!({ "windows": 35, "deliveries": 40, "summaries": 400 })
    );
    assert_eq!(value["answer"]["watched_ports"][0], 21);

    let text = printed(&mut command(folder.path(), &args[..3]));
    let of = format!("{} ({}, {}", word("interface_id"), places[0][0], places[0][1]);
    for said in [
        of.as_str(),
        ", between 2026-11-01 0",
        "Watched ports: 21, 22, 23, 111, ",
        "keep windows of 5 minutes for 35 days, what became of deliveries for 40, and summaries of hours for 400;",
        &format!(" UTC by flowlog {} from s.db\n", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
}
