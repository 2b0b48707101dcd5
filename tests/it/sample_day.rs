//! A generated day: the pipeline's numbers are the generator's, its alerts are the planted ones.

use flowlog_cli::embedded::Location;
use flowlog_cli::generate::Attack;
use flowlog_cli::{analyze, local, report};
use flowlog_core::alert::Notification;
use flowlog_core::decode::{Fallback, Limits};
use flowlog_core::detect::Severity;
use serde_json::Value;

use crate::support::{Day, generate};

/// The interface entries that the truth and a report must have in common.
fn truth_rows(day: &Day) -> Value {
    serde_json::to_value(&day.truth.interfaces).unwrap()
}

fn report_rows(report: &Value) -> Value {
    let mut rows = report["interfaces"].clone();
    for row in rows.as_array_mut().unwrap() {
        let other = row.as_object_mut().unwrap().remove("other").unwrap();
        assert_eq!(other["records"], 0);
    }
    // A window with only NODATA is a row of the report and none of the truth's sums.
    let rows = rows
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["accept"]["records"] != 0 || row["reject"]["records"] != 0);
    Value::Array(rows.cloned().collect())
}

#[test]
fn analyze_equals_the_truth() {
    let day = generate(11, 180, 150, &[Attack::PortScan, Attack::RejectBurst]);
    let mut complaints = Vec::new();
    let report =
        analyze::analyze(&[day.path()], Limits::default(), &Fallback::Default, &mut |line| {
            complaints.push(line);
        })
        .unwrap();
    assert_eq!(complaints, Vec::<String>::new());
    let json = report::to_json(&report);
    assert_eq!(json["totals"]["read"], day.truth.totals.read);
    assert_eq!(json["totals"]["parsed"], day.truth.totals.parsed);
    assert_eq!(json["totals"]["nodata"], day.truth.totals.nodata);
    assert_eq!(json["totals"]["skipdata"], day.truth.totals.skipdata);
    assert!(report.totals.balances());
    let mut truth = truth_rows(&day);
    let rows = truth.as_array_mut().unwrap();
    rows.retain(|row| row["accept"]["records"] != 0 || row["reject"]["records"] != 0);
    assert_eq!(report_rows(&json), truth);
}

#[tokio::test]
async fn the_pipeline_equals_analyze_and_alerts_on_what_was_planted() {
    let day = generate(12, 180, 100, &[Attack::PortScan, Attack::RejectBurst]);
    let store = tempfile::tempdir().unwrap();
    let file = store.path().join("flowlog.db");
    let run = async || {
        local::run(&[day.path()], Location::File(file.clone()), Limits::default(), &mut |line| {
            panic!("{line}")
        })
        .await
        .unwrap()
    };
    let first = run().await;
    let analyzed =
        analyze::analyze(&[day.path()], Limits::default(), &Fallback::Default, &mut |line| {
            panic!("{line}")
        })
        .unwrap();
    assert_eq!(first.report.totals, analyzed.totals);
    assert_eq!(first.report.interfaces, analyzed.interfaces);
    assert_eq!(first.report.findings, analyzed.findings);
    assert_eq!(first.ingested, day.truth.objects.len());

    // Every planted attack, and nothing else.
    let mut expected: Vec<(String, String)> = day
        .truth
        .attacks
        .iter()
        .map(|attack| (attack.expected.to_owned(), attack.interface_id.clone().unwrap()))
        .collect();
    let attribute = |alert: &Notification, name: &str| {
        let found = alert.attributes.iter().find(|(n, _)| *n == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let loud = |alert: &&Notification| attribute(alert, "severity") != "digest";
    let mut sent: Vec<(String, String)> = first
        .alerts
        .iter()
        .filter(loud)
        .map(|alert| (attribute(alert, "rule"), attribute(alert, "interface_id")))
        .collect();
    expected.sort();
    sent.sort();
    sent.dedup();
    assert_eq!(sent, expected);

    // The same objects again change nothing and tell nobody.
    let second = run().await;
    assert_eq!((second.ingested, second.duplicates), (0, day.truth.objects.len()));
    assert_eq!(second.report.totals, first.report.totals);
    assert_eq!(second.report.interfaces, first.report.interfaces);
    assert_eq!(second.report.findings, first.report.findings);
    assert_eq!(second.alerts, []);
}

#[test]
fn benign_traffic_is_quiet() {
    for seed in 20..26 {
        let day = generate(seed, 240, 200, &[]);
        let report =
            analyze::analyze(&[day.path()], Limits::default(), &Fallback::Default, &mut |line| {
                panic!("{line}")
            })
            .unwrap();
        let loud: Vec<_> =
            report.findings.iter().filter(|f| f.severity >= Severity::Notify).collect();
        assert!(loud.is_empty(), "seed {seed}: {loud:?}");
    }
}
