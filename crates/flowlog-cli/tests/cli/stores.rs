//! Stores and folders: nothing is lost, left behind or hidden in them.

use std::process::Command;

use serde_json::Value;

use super::{flowlog, good, gzip, text};

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
    let args = ["requeue", "--store", "s.db", "--objects", "AWSLogs", "--", batch];
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

    let both = &["requeue", "--all", "--", batch];
    for wrong in [&["requeue", "nonsense", "--store", "s.db"][..], both] {
        let output = flowlog(folder.path(), wrong);
        assert_ne!(output.status.code(), Some(0), "{wrong:?}");
        assert!(!output.stderr.is_empty());
    }
}
