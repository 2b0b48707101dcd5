//! The command as a person runs it: what is printed where, and the exit status.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";
const ROW: &str = "2 123456789010 eni-1235b8ca123456789 172.31.16.139 203.0.113.12 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK";

fn flowlog(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flowlog")).current_dir(folder).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn gzip(content: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(content.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn good() -> String {
    format!("{HEADER}\n{ROW}\n{ROW}\n")
}

/// Analyzes one bad file beside a good one: (complaint on standard error, status, JSON).
fn beside_a_good_one(name: &str, content: Option<&[u8]>) -> (String, i32, Value) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("good.log"), good()).unwrap();
    if let Some(content) = content {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let output = flowlog(folder.path(), &["analyze", name, "good.log", "--format", "json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let totals = &json["totals"];
    let number = |key: &str| totals[key].as_u64().unwrap();
    let rejected: u64 =
        totals["rejected"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(
        number("read"),
        number("parsed") + number("nodata") + number("skipdata") + rejected + number("late")
    );
    assert!(number("parsed") >= 2, "the good file is still read");
    (text(&output.stderr), output.status.code().unwrap(), json)
}

#[test]
fn each_bad_file_gets_one_clear_line_and_the_others_are_read() {
    let whole = gzip(&good());
    let mut flipped = whole.clone();
    let at = flipped.len() - 6;
    flipped[at] ^= 1;
    let cases: [(&str, Option<&[u8]>, &str); 10] = [
        ("absent.log", None, "absent.log: no such file or folder"),
        ("empty.log", Some(b""), "empty.log: empty"),
        ("cut.log.gz", Some(&whole[..whole.len() - 5]), "cut.log.gz: byte"),
        ("flipped.log.gz", Some(&flipped), "corrupt gzip"),
        ("letter.log", Some(b"Dear Sir,\n"), "letter.log: line 1: not a flow log"),
        ("picture.log", Some(b"\x89PNG\r\n\x1a\n\0\0"), "picture.log: line 1: not a flow log"),
        (
            "twice.log",
            Some(b"version start start\n"),
            "twice.log: line 1: bad header: the field start stands twice, as columns 2 and 3",
        ),
        ("day.zip", Some(b"PK\x03\x04\x14\0"), "day.zip: zip: decompress it first"),
        ("day.zst", Some(b"\x28\xb5\x2f\xfd\x04"), "day.zst: zstd: decompress it first"),
        (
            "s3://logs/AWSLogs/",
            None,
            "`aws s3 cp --recursive` first, or `flowlog backfill s3://logs/AWSLogs/`",
        ),
    ];
    for (name, content, complaint) in cases {
        let (stderr, status, json) = beside_a_good_one(name, content);
        assert_eq!(stderr.lines().count(), 1, "{name}: {stderr}");
        assert!(stderr.contains(complaint), "{name}: {stderr}");
        assert_eq!(status, 1, "{name}");
        assert!(json["files"][0]["error"].is_string());
        assert_eq!(json["files"][0]["read"], 0);
        assert_eq!(json["totals"]["read"], 2);
    }
}

#[test]
fn a_bad_row_is_rejected_by_position_and_reason() {
    let bad = format!("{HEADER}\n{ROW}\n{}\n", ROW.replace(" ACCEPT", ""));
    let (stderr, status, json) = beside_a_good_one("row.log", Some(bad.as_bytes()));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let place = format!("row.log: line 3 (byte {}): too_few_fields", HEADER.len() + ROW.len() + 2);
    assert!(stderr.contains(&place), "{stderr}");
    assert_eq!((status, json["files"][0]["rejected"]["too_few_fields"].as_u64()), (1, Some(1)));
    assert_eq!(json["totals"]["parsed"], 3);
}

#[test]
fn unknown_columns_are_carried_past_aloud() {
    let rows = format!("{HEADER} shiny-new\n{ROW} x%20y\n");
    let (stderr, status, json) = beside_a_good_one("new.log", Some(rows.as_bytes()));
    assert!(
        stderr.contains("new.log: header: 1 unknown column(s) carried past: shiny-new"),
        "{stderr}"
    );
    assert_eq!((status, &json["totals"]["parsed"]), (0, &Value::from(3)));
}

/// What is printed without our own colours: whatever else begins with an escape is left.
fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let ours = part
            .split_once('m')
            .filter(|(code, _)| code.chars().all(|c| c.is_ascii_digit() || c == ';'));
        if let Some((_, rest)) = ours {
            out.push_str(rest);
        } else {
            out.push_str("\u{1b}[");
            out.push_str(part);
        }
    }
    out
}

#[test]
fn colours_are_for_terminals_and_never_from_the_data() {
    let folder = tempfile::tempdir().unwrap();
    // A name that would clear the screen, and one refused record.
    let name = "day\u{1b}[2J.log";
    let rows = format!("{HEADER}\n{ROW}\n{}\n", ROW.replace("ACCEPT", "REJECT"));
    std::fs::write(folder.path().join(name), format!("{rows}no record\n")).unwrap();
    std::fs::write(folder.path().join("b\u{1b}]0;x.log"), b"Dear Sir,\n").unwrap();
    let run = |color: &[&str], env: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowlog"));
        for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM"] {
            command.env_remove(variable);
        }
        command.current_dir(folder.path()).args(["analyze", "."]).args(color);
        let output = command.envs(env.iter().copied()).output().unwrap();
        assert!(!text(&output.stderr).contains('\u{1b}'), "{:?}", text(&output.stderr));
        text(&output.stdout)
    };
    let without = run(&[], &[]);
    assert!(
        without.contains("rejected") && !without.contains('\u{1b}'),
        "no terminal: {without:?}"
    );
    let red = "\u{1b}[38;5;9m";
    for (color, env, coloured) in [
        (&["--color", "always"][..], &[][..], true),
        (&[], &[("CLICOLOR_FORCE", "1"), ("TERM", "xterm")], true),
        (&["--color", "never"], &[("CLICOLOR_FORCE", "1")], false),
        (&[], &[("NO_COLOR", "1")], false),
        // Who says so on the command line means it.
        (&["--color", "always"], &[("NO_COLOR", "1")], true),
        (&["--color", "auto"], &[], false),
    ] {
        let said = run(color, env);
        assert_eq!(said.contains(red), coloured, "{color:?} {env:?}: {said:?}");
        assert_eq!(plain(&said), without, "{color:?} {env:?}");
    }
    // For scripts there are none, whatever is asked.
    assert!(!run(&["--color", "always", "--format", "json"], &[]).contains('\u{1b}'));
}

#[test]
fn text_and_json_agree_and_standard_input_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_flowlog"))
        .current_dir(folder.path())
        .args(["analyze", "-", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&gzip(&good())).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["files"][0]["format"], "gzip v2");
    assert_eq!(
        json["interfaces"][0],
        serde_json::json!({
            "account_id": "123456789010", "interface_id": "eni-1235b8ca123456789", "window": 1_418_529_900,
            "accept": { "records": 2, "packets": 40, "bytes": 8498 },
            "reject": { "records": 0, "packets": 0, "bytes": 0 },
            "other": { "records": 0, "packets": 0, "bytes": 0 },
        })
    );

    std::fs::write(folder.path().join("good.log"), good()).unwrap();
    let table = flowlog(folder.path(), &["analyze", "good.log"]);
    let table = text(&table.stdout);
    assert!(
        table.contains("2 read = 2 parsed + 0 NODATA + 0 SKIPDATA + 0 unreadable + 0 late"),
        "{table}"
    );
    assert!(table.contains("8,498"), "{table}");
    assert!(table.contains("203.0.113.12"), "{table}");
}

#[test]
fn a_file_without_a_header_must_fit_the_declared_format() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bare.log"), "1418530010 eni-1 7\n1418530011 eni-1 8\n")
        .unwrap();
    let bare = flowlog(folder.path(), &["analyze", "bare.log"]);
    assert_eq!(bare.status.code(), Some(1));
    let declared = [
        "analyze",
        "bare.log",
        "--format",
        "json",
        "--log-format",
        "${start} ${interface-id} ${bytes}",
    ];
    let output = flowlog(folder.path(), &declared);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &json["interfaces"][0]["other"]["bytes"]),
        (Some(0), &Value::from(15))
    );
    let wrong = flowlog(folder.path(), &["analyze", "bare.log", "--log-format", "nonsense"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(flowlog(folder.path(), &["analyze"]).status.code(), Some(2));
}

#[test]
fn transit_gateway_rows_are_counted_by_attachment() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "version resource-type account-id tgw-id tgw-attachment-id srcaddr dstaddr srcport dstport protocol packets bytes start end log-status type packets-lost-no-route flow-direction\n\
        6 TransitGateway 123456789010 tgw-1 tgw-attach-1 10.0.0.1 10.1.0.1 50000 443 6 3 300 1418530010 1418530070 OK IPv4 2 ingress\n";
    std::fs::write(folder.path().join("tgw.log"), rows).unwrap();
    let output = flowlog(folder.path(), &["analyze", "tgw.log", "--format", "json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = &json["interfaces"][0];
    assert_eq!(row["tgw_attachment_id"], "tgw-attach-1");
    assert_eq!(row["interface_id"], Value::Null);
    assert_eq!(row["other"]["bytes"], 300);
    assert_eq!(json["top_talkers"][0]["address"], "10.1.0.1");
}

#[test]
fn hostile_names_do_not_drive_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let output = flowlog(folder.path(), &["analyze", "\u{1b}[2Jx\nflowlog: all is well"]);
    assert!(!text(&output.stderr).contains('\u{1b}'));
    assert_eq!(text(&output.stderr).lines().count(), 1);
}

#[test]
fn generate_is_deterministic() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        let args = ["generate", "--seed", "5", "--minutes", "10", "--rate", "40", "-o", name];
        assert!(flowlog(folder.path(), &args).status.success());
    }
    let truth = |name: &str| std::fs::read(folder.path().join(name).join("truth.json")).unwrap();
    assert_eq!(truth("a"), truth("b"));
}

/// Whoever reads no complaints still gets the answer.
#[cfg(target_os = "linux")]
#[test]
fn an_answer_is_not_lost_for_complaints_that_nobody_reads() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("good.log"), good()).unwrap();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_flowlog"))
        .args(["analyze", "good.log", "/nowhere"])
        .current_dir(folder.path())
        .stderr(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stdout.is_empty());
}

/// What clap refuses is the command line, and so is what it cannot know by itself.
#[test]
fn what_is_wrong_on_the_command_line_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in [
        &["analyze", "x.log", "--log-format", "a b"][..],
        &["nat-cost", "x.log", "--log-format", "a b"],
        &["replay", "x.log", "--log-format", "a b"],
        &["cost", "--gb-per-day", "1", "--interfaces", "1", "--refused-percent", "101"],
        &["top", "--store", "s.db", "--since", "yesterday"],
        &["diff", "--store", "s.db", "--against", "yesterday"],
        &["backfill", "x.log", "--store", "s.db", "--until", "yesterday"],
    ] {
        let output = flowlog(folder.path(), wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", text(&output.stderr));
    }
    std::fs::write(folder.path().join("good.log"), good()).unwrap();
    let local = flowlog(folder.path(), &["local", "good.log", "--store", "s.db"]);
    assert!(local.status.success(), "{}", text(&local.stderr));
    for (wrong, said) in [
        (&["requeue", "nope"][..], "no id of a delivery"),
        (&["requeue", "--all", "--store", "s.db"], "--objects PATH says where"),
        (&["generate", "--minutes", "0", "-o", "g"], "0 minutes is not between 1"),
        (&["generate", "--start", "1793491201", "-o", "g"], "not a multiple of 300"),
        (&["generate", "--intensity", "0", "-o", "g"], "an intensity of 0 %"),
        (
            &["generate", "--minutes", "5", "--attack", "slow-scan", "-o", "g"],
            "needs a recording of at least",
        ),
        (&["report", "--store", "s.db"], "report needs -o FILE.html"),
        (&["top"], "--store FILE, --stack NAME"),
        (&["replay"], "--store FILE, --stack NAME"),
        (&["backfill", "good.log"], "--store FILE, --stack NAME"),
        (&["requeue"], "--store FILE, --stack NAME"),
        (
            &["top", "--store", "s.db", "--since", "2014-12-14", "--until", "2014-12-13"],
            "--since must be before --until",
        ),
        (&["alerts", "--store", "s.db", "--since", "1h", "--until", "2h"], "must be before"),
        (
            &["why", "10.0.0.1", "10.0.0.2", "--data", "good.log", "--since", "30m"],
            "counts back from the time in a flow log file's name",
        ),
        (
            &["top", "--store", "s.db", "--since", "2014-12-13T08:00"],
            "no time zone: add Z or +02:00",
        ),
        (
            &["why", "10.0.0.1", "10.0.0.2:8445", "--protocol", "icmp", "--store", "s.db"],
            "ICMP has no ports: leave :8445 away",
        ),
        (&["why", "10.0.0.1", "10.0.0.1:443", "--data", "good.log"], "are the same address"),
        (&["why", "10.0.0.1", "2001:db8::1:443", "--store", "s.db"], "[2001:db8::1]:443"),
        (&["who", "10.1.16.0/24", "--store", "s.db"], "this is a range"),
        (&["who", "eni-1", "--store", "s.db"], "flowlog top --interface eni-1"),
        (&["who", "[2001:db8::7]", "--store", "s.db"], "without the brackets: 2001:db8::7"),
        (&["who", "::ffff:10.1.16.21", "--store", "s.db"], "records write as 10.1.16.21"),
        (&["rules", "put", "rules.toml"], "--stack <NAME>"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowlog"));
        let output = command.current_dir(folder.path()).args(wrong);
        let output = output.env_remove("AGGREGATES_TABLE").env_remove("CONTROL_TABLE").output();
        let output = output.unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {error}");
        assert!(error.contains(said), "{wrong:?}: {error}");
    }
    assert!(!folder.path().join("g").exists());
}

/// A store is never taken for the file to write, nor a file for a store, and none is made for nothing.
#[test]
fn stores_are_neither_lost_nor_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("good.log"), good()).unwrap();
    let run = |args: &[&str]| {
        let output = flowlog(folder.path(), args);
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(run(&["local", "good.log", "--store", "s.db"]).0, 0);
    assert_eq!(run(&["local", "good.log", "--store", "other.db"]).0, 0);
    let kept = ["s.db", "other.db"].map(|name| std::fs::read(path(name)).unwrap());
    for output in ["s.db", "./s.db", "other.db"] {
        for format in ["table", "json"] {
            let args = ["report", "--store", "s.db", "-o", output, "--format", format];
            let (code, _, error) = run(&args);
            assert_eq!((code, error.contains("is a store")), (2, true), "{output}: {error}");
        }
    }
    assert_eq!(["s.db", "other.db"].map(|name| std::fs::read(path(name)).unwrap()), kept);
    let (code, page, error) = run(&["report", "--store", "s.db", "-o", "-"]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(page.starts_with("<!") && page.contains("</html>") && !path("-").exists());
    assert_eq!(run(&["report", "--store", "s.db", "-o", "page.html"]).0, 0);
    assert_eq!(run(&["report", "--store", "s.db", "-o", "page.html"]).0, 0, "a page, once more");
    assert_eq!(std::fs::read_to_string(path("page.html")).unwrap(), page);

    for wrong in [
        &["top", "--store", "good.log"][..],
        &["local", "good.log", "--store", "good.log"],
        &["top", "--store", "."],
    ] {
        let (code, _, error) = run(wrong);
        assert_eq!((code, error.contains("is no store of flowlog's")), (1, true), "{error}");
    }
    let (code, _, error) = run(&["man", "-o", "good.log"]);
    assert_eq!((code, error.contains("good.log: ")), (1, true), "{error}");
    let (code, _, error) = run(&["report", "--store", "s.db", "-o", "nowhere/page.html"]);
    assert_eq!((code, error.contains("nowhere/page.html: ")), (1, true), "{error}");

    std::fs::create_dir(path("empty")).unwrap();
    for nothing in [
        &["local", "empty", "--store", "e.db"][..],
        &["local", "nosuch", "--store", "sub/e.db"],
        &["backfill", "nosuch", "--store", "e.db"],
        &["requeue", "--store", "e.db"],
    ] {
        assert_eq!(run(nothing).0, 1, "{nothing:?}");
        assert!(!path("e.db").exists() && !path("sub").exists(), "{nothing:?}");
    }
}

/// What is in one place is ingested, and told, whatever is wrong with another.
#[test]
fn a_backfill_says_what_it_did_before_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("good.log"), good()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowlog"));
    command.args(["backfill", "good.log", "s3://logs/AWSLogs/", "--store", "s.db"]);
    command.args(["--format", "json"]).current_dir(folder.path());
    // Nobody listens there.
    for (name, value) in [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
    ] {
        command.env(name, value);
    }
    let output = command.output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &json["ingested"]), (Some(1), &Value::from(1)), "{json}");
    assert!(json["failed"][0].as_str().unwrap().starts_with("s3://logs/AWSLogs/: "), "{json}");
}

/// What one command reads of a folder, the others find there.
#[test]
fn what_a_folder_held_is_found_in_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path("day/hid")).unwrap();
    let whole = gzip(&good());
    std::fs::write(path("day/hid/.x.log.gz"), &whole[..whole.len() - 4]).unwrap();
    let run = |args: &[&str]| text(&flowlog(folder.path(), args).stdout);
    run(&["local", "day", "--store", "s.db"]);
    let all = ["requeue", "--all", "--store", "s.db", "--objects", "day"];
    let said = run(&all);
    assert!(said.contains("quarantined: truncated_gzip"), "{said}");
    // Links are not followed: what they lead to may be in the folder already.
    #[cfg(unix)]
    {
        std::fs::write(path("good.log.gz"), &whole).unwrap();
        std::os::unix::fs::symlink(path("good.log.gz"), path("day/link.log.gz")).unwrap();
        let told = run(&["local", "day", "--store", "t.db"]);
        assert!(told.starts_with("0 object(s) ingested"), "{told}");
        assert_eq!(run(&all), said);
    }
}

#[test]
fn every_command_says_what_its_exit_status_means() {
    let help = |args: &[&str]| text(&flowlog(Path::new("."), args).stdout);
    let list = help(&["--help"]);
    let commands = list.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let mut told = 0;
    for line in commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let name = line.split_whitespace().next().unwrap();
        let of = match name {
            "help" => continue,
            "rules" => vec!["rules check", "rules put", "rules defaults"],
            name => vec![name],
        };
        for name in of {
            let args: Vec<&str> = name.split(' ').chain(["--help"]).collect();
            assert!(help(&args).to_lowercase().contains("exit status"), "{name}");
            told += 1;
        }
    }
    assert!(told > 25, "{told}");
}

#[test]
fn requeue_lists_and_brings_back_from_a_local_store() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("AWSLogs");
    std::fs::create_dir(&logs).unwrap();
    let whole = gzip(&good());
    std::fs::write(logs.join("cut.log.gz"), &whole[..whole.len() - 4]).unwrap();
    std::fs::write(logs.join("good.log.gz"), &whole).unwrap();
    let local = flowlog(folder.path(), &["local", "AWSLogs", "--store", "s.db"]);
    assert_eq!(local.status.code(), Some(1), "{}", text(&local.stderr));
    assert!(text(&local.stdout).starts_with("1 object(s) ingested, 0 ingested before\n"));
    std::fs::write(folder.path().join("notes.txt"), "no flow log").unwrap();
    let backfill = flowlog(folder.path(), &["backfill", ".", "--store", "b.db"]);
    assert_eq!(backfill.status.code(), Some(1), "{}", text(&backfill.stderr));
    let told = text(&backfill.stdout);
    assert!(
        told.starts_with("1 object(s) ingested ") && told.contains(" 1 quarantined,"),
        "{told}"
    );
    assert!(told.contains("AWSLogs/cut.log.gz: truncated_gzip\n"), "{told}");

    let listed = flowlog(folder.path(), &["requeue", "--store", "s.db"]);
    assert_eq!(listed.status.code(), Some(0), "{}", text(&listed.stderr));
    let list = text(&listed.stdout);
    assert_eq!(list.lines().count(), 1, "{list}");
    assert!(list.contains("truncated_gzip") && list.contains("AWSLogs/cut.log.gz"), "{list}");
    let batch = list.split(' ').next().unwrap();

    // It is as broken as before.
    let args = ["requeue", batch, "--store", "s.db", "--objects", "AWSLogs"];
    let again = flowlog(folder.path(), &args);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stdout).contains("quarantined: truncated_gzip"), "{again:?}");
    let other = &["requeue", "--reason", "corrupt_gzip", "--store", "s.db", "--objects", "AWSLogs"];
    let json = [&other[..], &["--format", "json"]].concat();
    assert_eq!(text(&flowlog(folder.path(), &json).stdout), "[]\n", "no other reason");
    let nothing = text(&flowlog(folder.path(), other).stdout);
    assert_eq!(nothing, "nothing that was chosen is quarantined\n");

    // Where it is not, nothing is tried, and the reason stays.
    std::fs::create_dir(folder.path().join("elsewhere")).unwrap();
    let all = ["requeue", "--all", "--store", "s.db"];
    let elsewhere = flowlog(folder.path(), &[&all[..], &["--objects", "elsewhere"]].concat());
    assert!(text(&elsewhere.stdout).contains("left: there is no such object"), "{elsewhere:?}");
    assert_eq!(text(&flowlog(folder.path(), &["requeue", "--store", "s.db"]).stdout), list);

    for wrong in [&["requeue", "nonsense", "--store", "s.db"][..], &["requeue", "--all", batch]] {
        let output = flowlog(folder.path(), wrong);
        assert_ne!(output.status.code(), Some(0), "{wrong:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn columns_say_what_lines_say_wherever_they_come_from() {
    let folder = tempfile::tempdir().unwrap();
    let generate = |name: &str, file_format: &str| {
        let args = ["generate", "--minutes", "15", "--attack", "port-scan", "-o", name];
        let output = flowlog(folder.path(), &[&args[..], &["--file-format", file_format]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    generate("lines", "plain-text");
    generate("columns", "parquet");
    let analyze = |name: &str| {
        let output = flowlog(folder.path(), &["analyze", name, "--format", "json"]);
        assert_eq!((text(&output.stderr), output.status.code()), (String::new(), Some(0)));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let (mut lines, mut columns) = (analyze("lines"), analyze("columns"));
    assert!(lines["totals"]["parsed"].as_u64().unwrap() > 1_000);
    let files = |json: &mut Value| json.as_object_mut().unwrap().remove("files").unwrap();
    let (of_lines, of_columns) = (files(&mut lines), files(&mut columns));
    assert_eq!(lines, columns);
    let both = of_lines.as_array().unwrap().iter().zip(of_columns.as_array().unwrap());
    for (line, column) in both {
        assert_eq!((&line["read"], &line["parsed"]), (&column["read"], &column["parsed"]));
        assert_eq!(
            (&line["format"], &column["format"]),
            (&"gzip v5 (29 fields)".into(), &"parquet v5 (29 fields)".into())
        );
    }
    // A stream has no end to begin with: it is put aside first.
    let path = of_columns[0]["path"].as_str().unwrap();
    let file = std::fs::File::open(folder.path().join(path)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_flowlog"))
        .args(["analyze", "-", "--format", "json"])
        .stdin(file)
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["totals"]["read"], of_columns[0]["read"]);
    // The pipeline reads ranges of objects, and its ledger balances.
    let totals = |name: &str| {
        let output = flowlog(folder.path(), &["local", name, "--format", "json"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let (lines, columns) = (totals("lines"), totals("columns"));
    assert_eq!(lines["totals"], columns["totals"]);
    assert_eq!(lines["interfaces"], columns["interfaces"]);
}

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
