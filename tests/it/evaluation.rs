//! Real and labelled captures, read from `EVAL_DATA`; skipped aloud without it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use flowlog_cli::embedded::Location;
use flowlog_cli::{analyze, local};
use flowlog_core::decode::{Fallback, Limits};

fn data() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a test reads where its data is")]
    let data = std::env::var("EVAL_DATA").ok().map(PathBuf::from).filter(|path| path.is_dir());
    if data.is_none() {
        // Past the capture of a test's output, which shows nothing of a test that passes.
        let _unheard =
            std::io::stderr().write_all(b"skipped: EVAL_DATA names no folder with captures\n");
    }
    data
}

/// records, packets and bytes of ACCEPT and REJECT rows, counted by awk.
fn awk(file: &std::path::Path) -> [u64; 6] {
    let program = r#"$14 == "OK" { k = ($13 == "ACCEPT") ? 0 : 3; s[k]++; s[k+1] += $9; s[k+2] += $10 }
        END { for (i = 0; i < 6; i++) printf "%d ", s[i] }"#;
    let output = Command::new("sh")
        .args(["-c", "gzip -dcf \"$1\" | awk \"$2\"", "sh"])
        .arg(file)
        .arg(program)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<u64> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

fn sums(report: &flowlog_cli::report::Report) -> [u64; 6] {
    let t = report.traffic();
    [
        t.accept.records,
        t.accept.packets,
        t.accept.bytes,
        t.reject.records,
        t.reject.packets,
        t.reject.bytes,
    ]
}

#[tokio::test]
async fn captures_equal_an_independent_count() {
    let Some(data) = data() else { return };
    for (name, lines) in [("strato_008.v2.log.gz", 12_515), ("strato_002_nmap.v2.log.gz", 4_870)] {
        let file = data.join(name);
        let truth = awk(&file);
        let analyzed = analyze::analyze(
            std::slice::from_ref(&file),
            Limits::default(),
            &Fallback::Default,
            &mut |l| panic!("{l}"),
        )
        .unwrap();
        assert_eq!(analyzed.totals.read, lines);
        assert!(analyzed.totals.balances());
        assert_eq!(sums(&analyzed), truth, "{name}");
        let run =
            local::run(&[file], Location::Temporary, Limits::default(), &mut |l| panic!("{l}"))
                .await
                .unwrap();
        assert_eq!(run.report.totals, analyzed.totals, "{name}");
        assert_eq!(run.report.interfaces, analyzed.interfaces, "{name}");
    }
}

#[tokio::test]
async fn objects_that_aws_wrote_equal_an_independent_count() {
    let Some(data) = data() else { return };
    let mut logs = Vec::new();
    for entry in walk(&data.join("samples")) {
        if entry.extension().is_some_and(|e| e == "log") {
            logs.push(entry);
        }
    }
    assert!(logs.len() >= 3);
    let truth = logs.iter().map(|file| awk(file)).fold([0; 6], |mut sum, one| {
        sum.iter_mut().zip(one).for_each(|(a, b)| *a += b);
        sum
    });
    let analyzed =
        analyze::analyze(&logs, Limits::default(), &Fallback::Default, &mut |l| panic!("{l}"))
            .unwrap();
    assert_eq!(sums(&analyzed), truth);
    // The pipeline over the whole folder: each object lies there twice, plain and compressed, and
    // is one delivery.
    let run =
        local::run(&[data.join("samples")], Location::Temporary, Limits::default(), &mut |l| {
            eprintln!("{l}");
        })
        .await
        .unwrap();
    assert!(run.report.totals.balances());
    assert_eq!(run.duplicates, 2);
}

fn walk(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() { files.extend(walk(&entry)) } else { files.push(entry) }
    }
    files.sort();
    files
}
