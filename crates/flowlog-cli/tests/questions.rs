//! The questions as a person asks them: of a file, over HTTP, on the page that `serve` shows.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "questions/shapes.rs"]
mod shapes;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use flowlog_cli::embedded::{EmbeddedDb, Location};
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

#[tokio::test(flavor = "multi_thread")]
async fn a_file_and_tables_over_http_give_the_same_answers() {
    let folder = day();
    let of_file = QUESTIONS.map(|question| {
        let args = ask(question, &["--store", "s.db"]);
        answer(&printed(&mut command(folder.path(), &args)))
    });
    let location = Location::File(folder.path().join("s.db"));
    let database = EmbeddedDb::open(location).await.unwrap();
    let server = database.serve(0).unwrap();
    for (question, expected) in QUESTIONS.iter().zip(of_file) {
        let mut over_http = command(folder.path(), &ask(question, &[]));
        over_http
            .env("AWS_ENDPOINT_URL_DYNAMODB", server.endpoint())
            .env("AGGREGATES_TABLE", &database.tables().aggregates)
            .env("CONTROL_TABLE", &database.tables().control)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local");
        let found = tokio::task::block_in_place(|| printed(&mut over_http));
        assert_eq!(answer(&found), expected, "{question:?}");
    }
}

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

fn get(address: &str, path: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_page_is_served_to_this_machine_only() {
    let folder = day();
    let page = folder.path().join("page.html");
    printed(&mut command(folder.path(), &["report", "--store", "s.db", "-o", "page.html"]));
    let numbers =
        printed(&mut command(folder.path(), &["report", "--store", "s.db", "--format", "json"]));
    let mut serving = command(folder.path(), &["serve", "--store", "s.db", "--port", "0"]);
    let mut serving = serving.stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(serving.stderr.take().unwrap()).read_line(&mut first).unwrap();
    let address = first.split("http://").nth(1).and_then(|rest| rest.split(' ').next());
    let address = address.unwrap_or_else(|| panic!("{first}")).to_owned();
    assert!(address.starts_with("127.0.0.1:"), "{address}");

    let found = get(&address, "/", &address);
    let (head, body) = found.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("cache-control: no-store"), "{head}");
    // Unless it is asked for: a reload loses what somebody types, opened and had the focus on.
    assert!(!head.contains("refresh"), "{head}");
    let kept = std::fs::read_to_string(&page).unwrap();
    let [served, kept] = [body, &kept].map(|page| {
        let (before, after) = page.split_once("\"made\":").unwrap();
        before.to_owned() + after.trim_start_matches(|c: char| c.is_ascii_digit())
    });
    assert!(served.contains(&kept), "the same page");
    let found = get(&address, "/report.json", &address);
    let (_, found) = found.split_once("\r\n\r\n").unwrap();
    assert_eq!(answer(found), answer(&numbers));
    let rebound = get(&address, "/", "attacker.example");
    assert!(rebound.starts_with("HTTP/1.1 403"), "{rebound}");
    // A page of another site that frames, embeds or fetches this one.
    for header in [
        "content-security-policy: frame-ancestors 'none'",
        "cross-origin-resource-policy: same-origin",
    ] {
        assert!(head.contains(header), "{head}");
    }
    for (site, status) in
        [("none", 200), ("same-origin", 200), ("same-site", 403), ("cross-site", 403)]
    {
        let found = get(&address, "/report.json", &format!("{address}\r\nSec-Fetch-Site: {site}"));
        assert!(found.starts_with(&format!("HTTP/1.1 {status}")), "{site}: {found}");
    }
    #[cfg(target_os = "linux")]
    assert_eq!(
        listening(serving.id()).len(),
        1,
        "and nothing beside it: the database is in the process"
    );
    serving.kill().unwrap();
    serving.wait().unwrap();
}

/// The sockets on which a process listens.
#[cfg(target_os = "linux")]
fn listening(process: u32) -> Vec<String> {
    let fds = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let links = fds.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
    let links: Vec<_> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    let tables = ["tcp", "tcp6"].map(|table| {
        std::fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default()
    });
    let sockets = tables.iter().flat_map(|table| table.lines().skip(1));
    let sockets = sockets.filter(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        // State 0A is LISTEN.
        fields[3] == "0A" && links.contains(&format!("socket:[{}]", fields[9]))
    });
    sockets.map(str::to_owned).collect()
}

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

/// One account, two VPCs, a flow log of each.
#[test]
fn an_account_is_all_of_its_flow_logs() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| printed(&mut command(folder.path(), args));
    let (account, start) = ("111111111111", 1_793_491_200);
    let header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status vpc-id\n";
    let row = |of: &str, (src, sport): (&str, u16), (dst, dport): (&str, u16), action: &str| {
        let (id, vpc, end) = (format!("eni-{of}"), format!("vpc-{of}"), start + 5);
        format!(
            "2 {account} {id} {src} {dst} {sport} {dport} 6 9 9000 {start} {end} {action} OK {vpc}\n"
        )
    };
    let mut of_b = String::new();
    for n in 1..=30 {
        let (client, server) = (format!("8.8.8.{n}"), ("10.9.1.5", 22));
        of_b += &row("0b", (&client, 50_000), server, "ACCEPT");
        of_b += &row("0b", server, (&client, 50_000), "ACCEPT");
        of_b += &row("0b", (&client, 50_001), ("10.9.1.5", 23), "REJECT");
    }
    let of_a = row("0a", ("10.0.1.5", 40_000), ("10.0.2.9", 443), "ACCEPT");
    let of_other = row("0c", ("10.0.1.5", 40_000), ("10.0.2.9", 443), "REJECT");
    for (account, flow_log, rows) in [
        (account, "fl-01", of_a),
        (account, "fl-02", of_b),
        ("222222222222", "fl-03", of_other.replace(account, "222222222222")),
    ] {
        let at = format!("day/AWSLogs/{account}/vpcflowlogs/us-east-1/2026/11/01");
        let at = folder.path().join(at);
        std::fs::create_dir_all(&at).unwrap();
        let name = format!("{account}_vpcflowlogs_us-east-1_{flow_log}_20261101T0005Z_a.log");
        std::fs::write(at.join(name), format!("{header}{rows}")).unwrap();
    }
    run(&["backfill", "day/AWSLogs", "--store", "s.db"]);
    let json = |args: &[&str]| answer(&run(&ask(args, &["--store", "s.db"])));
    for scope in [["--account", account], ["--vpc", "vpc-0b"]] {
        let value = json(&[&["compliance"][..], &scope].concat());
        let [exposed] = &value["answer"]["exposed"].as_array().unwrap()[..] else {
            panic!("{value}")
        };
        assert_eq!([&exposed["interface"], &exposed["vpc"]], ["eni-0b", "vpc-0b"]);
        assert_eq!(exposed["by"].as_array().unwrap().len(), 30, "{scope:?}");
        assert_eq!(json(&[&["rejected"][..], &scope].concat())["answer"]["total"]["records"], 30);
    }
    let windows = |scope: &[&str]| {
        let value = json(&[&["coverage"], scope].concat());
        value["answer"]["hours"][0]["interface_windows"].as_u64().unwrap()
    };
    assert_eq!([windows(&["--account", account]), windows(&[])], [2, 3]);
    let peers = json(&["top", "--by", "peers", "--account", account]);
    assert_eq!(peers["answer"]["talkers"].as_array().unwrap().len(), 20);
    let who = json(&["who", "8.8.8.7", "--account", account]);
    assert_eq!(who["answer"]["seen"][0]["subject"], "eni-0b");
    assert_eq!(who["answer"]["seen"][0]["first_window"], start);
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
    let interface = exposed["interface"].as_str().unwrap();
    for (more, fits) in [
        (["--interface", interface], alerts.iter().filter(|a| a["interface"] == interface).count()),
        (["--vpc", "vpc-0"], 0),
        (["--until", "2020-01-01"], 0),
        (["--since", "2020-01-01"], alerts.len()),
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

#[test]
fn a_backfill_run_twice_counts_once() {
    let folder = day();
    let backfill = |since: &str| {
        let args =
            ["backfill", "day/AWSLogs", "--since", since, "--store", "b.db", "--format", "json"];
        let done = printed(&mut command(folder.path(), &args));
        serde_json::from_str::<Value>(&done).unwrap()
    };
    let late = backfill("2026-11-01T01:00Z");
    assert!(late["ingested"].as_u64() > Some(0) && late["outside"].as_u64() > Some(0), "{late}");
    let rest = backfill("2026-11-01");
    assert_eq!((&rest["known"], &rest["outside"]), (&late["ingested"], &Value::from(0)));
    assert_eq!(rest["ingested"], late["outside"]);
    let again = backfill("2026-11-01");
    assert_eq!(again["ingested"], 0);
    // The same as what the whole pipeline makes of the day.
    let top = |store| {
        let args = ["top", "-n", "1000", "--store", store, "--format", "json"];
        answer(&printed(&mut command(folder.path(), &args)))
    };
    assert_eq!(top("b.db"), top("s.db"));
}

#[test]
fn shells_and_manuals_know_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let script = printed(&mut command(folder.path(), &["completions", "bash"]));
    printed(&mut command(folder.path(), &["man", "-o", "man"]));
    for name in
        ["top", "rejected", "who", "coverage", "diff", "compliance", "why", "report", "serve"]
    {
        assert!(script.contains(&format!("flowlog__subcmd__{name}")), "{name} in {script}");
        let page = folder.path().join("man").join(format!("flowlog-{name}.1"));
        assert!(std::fs::read_to_string(&page).unwrap().contains(".SH OPTIONS"), "{page:?}");
    }
    let csv = day();
    let text =
        printed(&mut command(csv.path(), &["rejected", "--store", "s.db", "--format", "csv"]));
    let lists: Vec<&str> = text.lines().filter_map(|line| line.split(',').next()).collect();
    assert!(
        ["list", "subjects", "sources", "ports", "deliveries", "complete", "error_bounds"]
            .iter()
            .all(|list| lists.contains(list)),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_is_known_by_its_tables() {
    use flowlog_aws::{DynamoDbStore, Tables, schema};
    use flowlog_core::store::AlertStore as _;
    let folder = day();
    let location = Location::File(folder.path().join("s.db"));
    let database = EmbeddedDb::open(location).await.unwrap();
    let name = |table: &str| format!("flowlog-{table}-1A2B3C");
    let tables = Tables { aggregates: name("FlowAggregates"), control: name("FlowControl") };
    let store = DynamoDbStore::new(database.config(), tables.clone());
    schema::create_tables(&store).await.unwrap();
    let found = schema::tables_of_stack(database.config(), "flowlog").await.unwrap();
    assert_eq!(found, Some(tables));
    assert_eq!(schema::tables_of_stack(database.config(), "flow").await.unwrap(), None);

    // Whatever works on the tables finds them so.
    std::fs::write(folder.path().join("rules.toml"), "[rules.port-scan]\ncontacts = 40\n").unwrap();
    let server = database.serve(0).unwrap();
    let endpoint = server.endpoint();
    let run = |args: &'static [&'static str]| {
        let mut command = command(folder.path(), args);
        command.env("AWS_REGION", "eu-central-1").env("AWS_ENDPOINT_URL", &endpoint);
        command.env("AWS_ACCESS_KEY_ID", "local").env("AWS_SECRET_ACCESS_KEY", "local");
        tokio::task::spawn_blocking(move || printed(&mut command))
    };
    let said = run(&["backfill", "day", "--stack", "flowlog"]).await.unwrap();
    assert!(said.contains(" ingested"), "{said}");
    let said = run(&["requeue", "--stack", "flowlog"]).await.unwrap();
    assert!(said.contains("nothing is quarantined"), "{said}");
    run(&["rules", "put", "rules.toml", "--stack", "flowlog"]).await.unwrap();
    assert!(store.state("rules", "current").await.unwrap().is_some());
}

/// What a document has between fences of this kind, line by line; each line with its kind.
fn fenced(document: &str) -> Vec<(String, String)> {
    let mut kind: Option<&str> = None;
    let mut lines = Vec::new();
    for line in document.lines() {
        match (line.strip_prefix("```"), kind) {
            (Some(_), Some(_)) => kind = None,
            (Some(opened), None) => kind = Some(opened),
            (None, Some(kind)) => lines.push((kind.to_owned(), line.to_owned())),
            (None, None) => {}
        }
    }
    lines
}

/// Runs what the document says (`sh`), after what it takes for granted, and looks in what was printed for
/// what it quotes (`text`, up to where it breaks off with an ellipsis). Rules files (`toml`) are `rules.toml` for
/// what comes after them, and are checked.
fn follow(document: &Path, before: &[&str]) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let name = document.display();
    let run = |line: &str| {
        let line = line.split(" #").next().unwrap_or_default();
        let (words, file) = line.split_once(" > ").unwrap_or((line, ""));
        let args: Vec<&str> = words.split_whitespace().skip(1).collect();
        let said = printed(&mut command(folder.path(), &args));
        if !file.is_empty() {
            std::fs::write(folder.path().join(file.trim()), &said).unwrap();
        }
        said
    };
    for line in before {
        run(line);
    }
    let (mut said, mut commands, mut rules) = (String::new(), 0, String::new());
    for (kind, line) in fenced(&std::fs::read_to_string(document).unwrap()) {
        if kind == "sh" && line.starts_with("flowlog ") {
            said.push_str(&run(&line));
            commands += 1;
        } else if kind == "text" && commands > 0 {
            let quoted = line.split('…').next().unwrap_or_default();
            assert!(said.contains(quoted), "{name} quotes {line:?}, which was not said:\n{said}");
        } else if kind == "toml" {
            rules.push_str(&line);
            rules.push('\n');
            std::fs::write(folder.path().join("rules.toml"), &rules).unwrap();
        }
    }
    if !rules.is_empty() {
        std::fs::write(folder.path().join("quoted.toml"), rules).unwrap();
        run("flowlog rules check quoted.toml");
    }
    commands
}

#[test]
fn the_documents_can_be_followed() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // A shorter day than `make run` makes.
    let run = [
        "flowlog generate --minutes 180 --attack port-scan --attack reject-burst -o .run/sample",
        "flowlog local .run/sample --store .run/flowlog.db",
    ];
    let mut commands = follow(&project.join("README.md"), &run);
    let mut run = 0;
    for entry in walkdir(&project.join("docs")) {
        let of_document = follow(&entry, &[]);
        run += usize::from(of_document > 0);
        commands += of_document;
    }
    assert!(commands > 30 && run >= 5, "{commands} commands of {run} documents");
}

/// Every document below a folder.
fn walkdir(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walkdir(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}
