//! What is read of a file, line by line or as columns, and what is said of what cannot be.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{HEADER, ROW, flowlog, good, gzip, text};

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
fn generate_is_deterministic() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        let args = ["generate", "--seed", "5", "--minutes", "10", "--rate", "40", "-o", name];
        assert!(flowlog(folder.path(), &args).status.success());
    }
    let truth = |name: &str| std::fs::read(folder.path().join(name).join("truth.json")).unwrap();
    assert_eq!(truth("a"), truth("b"));
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
fn a_mended_download_is_told_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("AWSLogs/cut.log.gz");
    std::fs::create_dir(folder.path().join("AWSLogs")).unwrap();
    let whole = gzip(&good());
    std::fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    let local = ["local", "AWSLogs", "--store", "s.db"];
    let cut = flowlog(folder.path(), &local);
    assert!(text(&cut.stderr).contains("quarantined: truncated_gzip"), "{cut:?}");
    let asked = flowlog(folder.path(), &["coverage", "--store", "s.db"]);
    assert!(text(&asked.stderr).contains("1 deliveries are quarantined"), "{asked:?}");

    std::fs::write(&file, &whole).unwrap();
    let mended = text(&flowlog(folder.path(), &local).stderr);
    assert!(mended.contains("another object than the one that was quarantined"), "{mended}");
    assert!(mended.contains("truncated_gzip") && mended.contains("a new --store"), "{mended}");
    let args = ["requeue", "--all", "--store", "s.db", "--objects", "AWSLogs"];
    let left = flowlog(folder.path(), &args);
    assert_eq!(left.status.code(), Some(1));
    assert!(text(&left.stdout).contains("left: another object has its name"), "{left:?}");
    let list = text(&flowlog(folder.path(), &["requeue", "--store", "s.db"]).stdout);
    assert!(list.contains("truncated_gzip"), "the reason stays: {list}");
    // The way out that is named.
    let new = flowlog(folder.path(), &["local", "AWSLogs", "--store", "new.db"]);
    assert_eq!(new.status.code(), Some(0), "{new:?}");
}

/// An object that is missing in the middle: what is there is whole, and the hours between are not called so.
#[test]
fn what_has_a_hole_is_not_complete() {
    let rows = |minutes: std::ops::Range<i64>| {
        let row = |minute: i64| {
            let (start, end) = (1_418_530_200 + 60 * minute, 1_418_530_260 + 60 * minute);
            ROW.replace("1418530010 1418530070", &format!("{start} {end}"))
        };
        minutes.map(row).fold(HEADER.to_owned(), |text, row| text + "\n" + &row) + "\n"
    };
    let folder = tempfile::tempdir().unwrap();
    for (name, minutes) in [("1.log", 0..60), ("2.log", 60..150), ("3.log", 150..200)] {
        std::fs::write(folder.path().join(name), rows(minutes)).unwrap();
    }
    let analyze = |names: &[&str]| {
        let said = |more: &[&str]| {
            let output = flowlog(folder.path(), &[&["analyze"], names, more].concat());
            assert_eq!(output.status.code(), Some(0));
            text(&output.stdout)
        };
        let json: Value = serde_json::from_str(&said(&["--format", "json"])).unwrap();
        (json["coverage"].clone(), said(&[]))
    };
    let (coverage, said) = analyze(&["1.log", "3.log"]);
    let hole = (1_418_530_200 + 60 * 60, 1_418_530_200 + 60 * 150);
    let gap = serde_json::json!({ "from": hole.0, "to": hole.1, "interfaces": 1 });
    assert_eq!((&coverage["gaps"], &coverage["more_gaps"]), (&Value::from(vec![gap]), &0.into()));
    assert!(said.contains("22 of 22 interface-windows that are on record complete"), "{said}");
    let line = "not complete: nothing is on record from 2014-12-14 05:10 to 2014-12-14 06:40 UTC, not even NODATA, of 1 interface";
    assert!(said.contains(line), "{said}");
    let (coverage, said) = analyze(&["1.log", "2.log", "3.log"]);
    assert_eq!(coverage["gaps"], Value::Array(Vec::new()));
    assert!(said.contains("40 of 40 interface-windows complete"), "{said}");
    assert!(!said.contains("not complete"), "{said}");
}
