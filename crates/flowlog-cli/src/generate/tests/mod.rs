//! What the generator promises about plans and folders; what it promises about rows is in the submodules.

mod attacks;
mod reading;
mod traffic;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{Attack, FileFormat, GenerateError, Layout, Plan, Truth, USUAL, write};
use reading::{Recording, folder_bytes};

/// 2023-11-14, 22:15 UTC.
const START: i64 = 1_700_000_100;
fn plan(seed: u64, minutes: u32, rate: u32) -> Plan {
    Plan {
        seed,
        start: START,
        minutes,
        rate,
        format: Layout::V2,
        file_format: FileFormat::PlainText,
        attacks: Vec::new(),
        intensity: USUAL,
    }
}

fn generate(plan: &Plan) -> (Truth, Recording) {
    let folder = tempfile::tempdir().unwrap();
    let truth = write(plan, folder.path()).unwrap();
    (truth, Recording::read(folder.path(), plan.format))
}

/// Those that there were at first.
const FIRST: &[Attack] = Attack::ALL.split_at(18).0;

/// Every attack whose packets arrive somewhere, refused or not, and that leaves all others alone.
fn arriving() -> Vec<Attack> {
    let ends_early = [
        Attack::EgressRefused,
        Attack::AnswerRefused,
        Attack::MissingRoute,
        Attack::MissingReturnRoute,
        Attack::TransitivePeering,
    ];
    FIRST.iter().filter(|attack| !ends_early.contains(attack)).copied().collect()
}

#[test]
fn the_same_plan_gives_the_same_bytes() {
    for format in Layout::ALL {
        let plan = Plan { format, attacks: Attack::ALL.to_vec(), ..plan(7, 200, 120) };
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let truth = write(&plan, first.path()).unwrap();
        assert_eq!(truth, write(&plan, second.path()).unwrap());
        let bytes = folder_bytes(first.path());
        assert_eq!(bytes, folder_bytes(second.path()));
        // Again in the same folder, as a repeated `make run` does.
        write(&plan, first.path()).unwrap();
        assert_eq!(bytes, folder_bytes(first.path()));
        assert_ne!(bytes, folder_bytes_of(&Plan { seed: 8, ..plan }));
    }
}

fn folder_bytes_of(plan: &Plan) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    write(plan, folder.path()).unwrap();
    folder_bytes(folder.path())
}

/// Pinned across machines and releases. Who changes the traffic on purpose raises `GENERATOR` and pins anew.
#[test]
fn a_known_plan_gives_known_text() {
    let digest = |format, attacks: Vec<Attack>| {
        let (_, recording) = generate(&Plan { format, attacks, ..plan(1, 200, 100) });
        recording.objects.iter().fold(0_u64, |sum, (key, text)| {
            let object = super::draw::hash(format!("{key}\n{text}").as_bytes());
            sum.rotate_left(1) ^ object
        })
    };
    assert_eq!(format!("{:016x}", digest(Layout::V2, arriving())), "8c80fcb03e67e92e");
    assert_eq!(format!("{:016x}", digest(Layout::V5, arriving())), "2accc1213eb1080b");
    assert_eq!(format!("{:016x}", digest(Layout::V2, FIRST.to_vec())), "8c2432ca6a382979");
    assert_eq!(format!("{:016x}", digest(Layout::V8, Attack::ALL.to_vec())), "8ab8ba7c3fd77d0d");
}

#[test]
fn the_truth_file_is_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let truth = write(&plan(1, 10, 60), folder.path()).unwrap();
    let file: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("truth.json")).unwrap()).unwrap();
    assert_eq!(file, serde_json::to_value(&truth).unwrap());
    assert_eq!(file["complete"], true);
    assert_eq!(file["plan"]["format"], "v2");
}

#[test]
fn a_senseless_plan_is_refused() {
    let refuse = |plan: Plan| write(&plan, Path::new("/nonexistent/never-created")).unwrap_err();
    let good = plan(1, 10, 100);
    assert!(matches!(refuse(Plan { start: START + 1, ..good.clone() }), GenerateError::Start(_)));
    assert!(matches!(refuse(Plan { start: -300, ..good.clone() }), GenerateError::Start(_)));
    assert!(matches!(refuse(Plan { minutes: 0, ..good.clone() }), GenerateError::Minutes(0)));
    assert!(matches!(refuse(Plan { rate: 1, ..good.clone() }), GenerateError::Rate(1)));
    for intensity in [0, 1_001] {
        let error = refuse(Plan { intensity, ..good.clone() });
        assert!(matches!(error, GenerateError::Intensity(_)), "{error}");
    }
    let error = refuse(Plan { attacks: vec![Attack::SlowScan], ..good });
    assert_eq!(error.to_string(), "slow-scan needs a recording of at least 180 minutes");
}

#[test]
fn a_folder_of_another_plan_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    write(&plan(1, 5, 60), folder.path()).unwrap();
    let before = folder_bytes(folder.path());
    let error = write(&plan(2, 5, 60), folder.path()).unwrap_err();
    assert!(matches!(error, GenerateError::Occupied { .. }), "{error}");
    assert_eq!(before, folder_bytes(folder.path()));
}

#[test]
fn an_interrupted_run_may_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(1, 10, 60);
    write(&plan, folder.path()).unwrap();
    let whole = folder_bytes(folder.path());
    super::truth::claim(&plan, folder.path()).unwrap();
    let (key, bytes) = whole.iter().find(|(key, _)| key.starts_with("AWSLogs")).unwrap();
    fs::write(folder.path().join(key), &bytes[..bytes.len() / 2]).unwrap();
    assert_ne!(whole, folder_bytes(folder.path()));
    write(&plan, folder.path()).unwrap();
    assert_eq!(whole, folder_bytes(folder.path()));
}

#[test]
fn names_are_read_as_they_are_written() {
    for attack in Attack::ALL {
        assert_eq!(attack.to_string().parse(), Ok(attack));
    }
    let flood = Attack::SourceFlood { sources: 5 };
    assert_eq!(
        (flood.to_string(), "source-flood=5".parse()),
        ("source-flood=5".to_owned(), Ok(flood))
    );
    for format in Layout::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    for bad in ["", "Port-Scan", "source-flood=0", "source-flood=x", "source-flood=4000000000"] {
        let error = bad.parse::<Attack>().unwrap_err().to_string();
        assert!(error.starts_with("unknown attack") && error.contains("reject-burst"), "{error}");
    }
    assert!("v3".parse::<Layout>().is_err());
}
