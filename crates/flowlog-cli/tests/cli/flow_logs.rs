//! Several files of one delivery, window or flow log, and what several flow logs saw.

use std::path::Path;

use serde_json::Value;

use super::{HEADER, ROW, flowlog, text};

/// Standard output as JSON, with what was said on standard error.
fn json_of(folder: &Path, args: &[&str]) -> (Value, String) {
    let output = flowlog(folder, args);
    let json = serde_json::from_slice(&output.stdout);
    (json.unwrap_or_else(|_| panic!("{output:?}")), text(&output.stderr))
}

fn notes(json: &Value) -> String {
    json["notes"].to_string()
}

/// A name as AWS gives it.
fn delivery(log: &str, minute: u32) -> String {
    format!(
        "123456789012_vpcflowlogs_us-east-1_fl-{log}{log}{log}{log}_20261101T00{minute:02}Z_{log}{minute:04}.log"
    )
}

#[test]
fn two_flow_logs_and_copies_are_not_added_up() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two, copies] = ["one", "two", "copies"].map(|name| folder.path().join(name));
    for folder in [&one, &two, &copies] {
        std::fs::create_dir(folder).unwrap();
    }
    let header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status vpc-id pkt-srcaddr pkt-dstaddr az-id flow-direction traffic-path";
    let start = 1_793_491_200;
    // Sixty ports are tried each five minutes, and a megabyte leaves through a NAT gateway.
    let rows = |minute: u32| {
        let (at, end) = (start + 60 * u64::from(minute), start + 60 * u64::from(minute) + 30);
        let tried = |port: u32| {
            format!(
                "5 1 eni-0a 198.51.100.9 10.0.0.5 50000 {port} 6 1 40 {at} {end} REJECT OK vpc-1 198.51.100.9 10.0.0.5 az1 ingress -\n"
            )
        };
        let left = format!(
            "5 1 eni-0n 10.0.0.5 10.0.0.10 40000 443 6 9 1000000 {at} {end} ACCEPT OK vpc-1 10.0.0.5 203.0.113.9 az1 ingress -\n"
        );
        format!("{header}\n") + &(1000..1060).map(tried).collect::<String>() + &left
    };
    let minutes = [0, 5, 10];
    for minute in minutes {
        for (log, folders) in [("0a1b", vec![&one, &two, &copies]), ("0c2d", vec![&two])] {
            for folder in folders {
                std::fs::write(folder.join(delivery(log, minute)), rows(minute)).unwrap();
            }
        }
        // The same delivery in another bucket's copy.
        let again = copies.join("replica");
        std::fs::create_dir_all(&again).unwrap();
        std::fs::write(again.join(delivery("0a1b", minute)), rows(minute)).unwrap();
    }
    let at = folder.path();
    let (report, said) = json_of(at, &["analyze", "one", "--format", "json"]);
    assert_eq!((report["totals"]["parsed"].as_u64(), said.as_str()), (Some(183), ""));
    let (replayed, _) = json_of(at, &["replay", "one", "--format", "json"]);
    let (bill, _) = json_of(at, &["nat-cost", "one", "--format", "json"]);
    assert_eq!(bill["nat"]["bytes"], 3_000_000);
    for (name, note) in [
        ("two", "seen by more than one flow log (fl-0a1b0a1b0a1b0a1b, fl-0c2d0c2d0c2d0c2d)"),
        ("copies", "3 file(s) are copies of deliveries"),
    ] {
        let (json, said) = json_of(at, &["analyze", name, "--format", "json"]);
        for part in ["totals", "interfaces", "top_talkers", "rejected_sources", "findings"] {
            assert_eq!(json[part], report[part], "{name}: {part}");
        }
        assert!(notes(&json).contains(note) && said.contains(note), "{name}: {json} {said}");
        let (json, said) = json_of(at, &["replay", name, "--format", "json"]);
        for part in ["rules", "findings", "records"] {
            assert_eq!(json[part], replayed[part], "{name}: {part}");
        }
        assert!(notes(&json).contains(note) && said.contains(note), "{name}: {json} {said}");
        let (json, said) = json_of(at, &["nat-cost", name, "--format", "json"]);
        assert_eq!(json["nat"], bill["nat"], "{name}");
        assert_eq!(json["zones"], bill["zones"], "{name}");
        assert!(notes(&json).contains(note) && said.contains(note), "{name}: {json} {said}");
    }
}

#[test]
fn contacts_are_those_of_all_parts_of_a_window() {
    let folder = tempfile::tempdir().unwrap();
    let row = |port: u32| {
        format!("2 1 eni-0a 9.9.9.9 10.0.0.5 50000 {port} 6 1 40 1793491200 1793491230 REJECT OK\n")
    };
    for part in 0..4_u32 {
        let rows: String = (0..12).map(|n| row(1000 + 12 * part + n)).collect();
        let content = format!("{HEADER}\n{rows}");
        std::fs::write(folder.path().join(format!("p{part}.log")), content).unwrap();
    }
    let (report, _) = json_of(folder.path(), &["analyze", ".", "--format", "json"]);
    assert_eq!(report["rejected_sources"][0]["contacts"], 48);
}

#[test]
fn a_bill_of_nothing_lacks_no_fields() {
    let folder = tempfile::tempdir().unwrap();
    let refused = ROW.replace("ACCEPT", "REJECT");
    std::fs::write(folder.path().join("r.log"), format!("{HEADER}\n{refused}\n")).unwrap();
    let (bill, _) = json_of(folder.path(), &["nat-cost", "r.log", "--format", "json"]);
    assert!(!notes(&bill).contains("lack"), "{bill}");
    assert!(notes(&bill).contains("let through"), "{bill}");
}
