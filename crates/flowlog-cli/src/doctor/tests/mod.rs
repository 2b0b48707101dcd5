//! The doctor on a canned account: healthy, and with one fault at a time.
//!
//! `canned.json` has the answer to every question about a healthy account, by the words of the call (or
//! its first words). Shapes are those of AWS's API references; policies, which AWS sends as text in the
//! JSON, are written as JSON where nothing depends on it.

mod faults;

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::cli::{Aws, Refused};
use super::{Diagnosis, DoctorArgs, Finding, NoStack, Verdict, diagnose, to_text};
use crate::output::{Output, OutputFormat};

/// Noon, 1 November 2026.
const NOW: i64 = 1_793_534_400;

/// Answers by call, and the calls that were asked.
pub(super) struct Canned {
    answers: BTreeMap<String, Value>,
    asked: Mutex<Vec<String>>,
}

impl Canned {
    fn healthy() -> Self {
        let answers = serde_json::from_str(include_str!("canned.json")).unwrap();
        Self { answers, asked: Mutex::default() }
    }

    /// The answer to the one call that begins like this.
    fn of(&mut self, call: &str) -> &mut Value {
        let mut found = self.answers.iter_mut().filter(|(key, _)| key.starts_with(call));
        let one = found.next().unwrap_or_else(|| panic!("nothing is asked like {call}"));
        assert!(found.next().is_none(), "several calls begin with {call}");
        one.1
    }

    /// Changes one value of the answer.
    fn set(&mut self, call: &str, pointer: &str, value: Value) -> &mut Self {
        let answer = self.of(call);
        *answer.pointer_mut(pointer).unwrap_or_else(|| panic!("{call} has no {pointer}")) = value;
        self
    }

    /// Lets AWS refuse the call with this code.
    fn refuse(&mut self, call: &str, code: &str) -> &mut Self {
        *self.of(call) = json!({ "refused": code });
        self
    }

    fn diagnose(&self, only: &[&str]) -> Result<Diagnosis, NoStack> {
        let only = only.iter().map(|&name| name.to_owned()).collect();
        let output = Output { format: OutputFormat::Table };
        diagnose(self, &DoctorArgs { stack: "flowlog".to_owned(), only, output }, NOW)
    }

    /// What is not as it should be.
    fn findings(&self) -> Vec<Finding> {
        let mut findings = self.diagnose(&[]).unwrap().findings;
        findings.retain(|finding| finding.verdict != Verdict::Ok);
        findings
    }
}

impl Aws for Canned {
    fn ask(&self, words: &[&str]) -> Result<Value, Refused> {
        let call = words.join(" ");
        let known = self.answers.iter().rfind(|(key, _)| call.starts_with(key.as_str()));
        let refused = |code: &str| Refused::ByAws {
            call: words[..2].join(" "),
            code: code.to_owned(),
            message: "no".to_owned(),
        };
        let Some((key, answer)) = known else {
            return Err(refused(&format!("nothing is canned for {call}")));
        };
        self.asked.lock().unwrap().push(key.clone());
        match answer["refused"].as_str() {
            Some(code) => Err(refused(code)),
            None => Ok(answer.clone()),
        }
    }
}

#[test]
fn a_healthy_account_is_healthy_and_asked_each_question_once() {
    let canned = Canned::healthy();
    let diagnosis = canned.diagnose(&[]).unwrap();
    let wrong: Vec<_> = diagnosis.findings.iter().filter(|f| f.verdict != Verdict::Ok).collect();
    assert_eq!(wrong, Vec::<&Finding>::new());
    assert_eq!(diagnosis.status(), 0);
    let mut asked = canned.asked.into_inner().unwrap();
    asked.sort();
    // The tables are asked for their last day only where no object came.
    let query = "dynamodb query --table-name aggregates";
    let expected: Vec<_> = canned.answers.into_keys().filter(|call| call != query).collect();
    assert_eq!(asked, expected);
}

#[test]
fn every_check_has_something_to_say() {
    let diagnosis = Canned::healthy().diagnose(&[]).unwrap();
    let mut said: Vec<_> = diagnosis.findings.iter().map(|finding| finding.check).collect();
    said.dedup();
    assert_eq!(said, super::CHECKS.iter().map(|check| check.name).collect::<Vec<_>>());
}

#[test]
fn the_documentation_names_every_check() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    for check in &super::CHECKS {
        let name = format!("`{}`", check.name);
        assert!(rows.iter().any(|row| row.contains(&name)), "{name}");
    }
}

#[test]
fn the_flow_logs_that_it_proposes_are_those_of_the_template() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/flow-logs.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let sets: Vec<Vec<&str>> = text
        .split(">-\n          ${version}")
        .skip(1)
        .map(|format| {
            let format =
                format.split("\n        - ").next().unwrap().split("\n      Tag").next().unwrap();
            let names = format.split_whitespace().map(|f| f.trim_matches(['$', '{', '}']));
            ["version"].into_iter().chain(names).filter(|name| !name.ends_with("-tag")).collect()
        })
        .collect();
    let fields = |set: &str| {
        let mut canned = Canned::healthy();
        canned.of("ec2 describe-flow-logs")["FlowLogs"].as_array_mut().unwrap().remove(0);
        let parameters =
            &mut canned.of("cloudformation describe-stacks")["Stacks"][0]["Parameters"];
        let set = json!({"ParameterKey": "FieldSet", "ParameterValue": set});
        parameters.as_array_mut().unwrap().push(set);
        let findings = canned.diagnose(&["flow-logs"]).unwrap().findings;
        let mut lines = findings.iter().flat_map(|finding| &finding.mend);
        let line = lines.find(|line| line.contains("--traffic-type ALL")).unwrap();
        let (_, format) = line.split_once("--log-format '").unwrap();
        let names = format.trim_end_matches('\'').split(' ');
        names.map(|f| f.trim_matches(['$', '{', '}']).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!([fields("v11"), fields("v5")].as_slice(), sets);
}

#[test]
fn only_what_is_chosen_is_asked() {
    let canned = Canned::healthy();
    let diagnosis = canned.diagnose(&["tables", "alarms"]).unwrap();
    let checks: Vec<_> = diagnosis.findings.iter().map(|finding| finding.check).collect();
    assert_eq!(checks, ["tables", "alarms"]);
    assert_eq!(canned.asked.into_inner().unwrap().len(), 10);
}

#[test]
fn what_cannot_be_asked_is_unknown_and_the_rest_is_still_checked() {
    let mut canned = Canned::healthy();
    canned.refuse("s3api get-bucket-policy", "AccessDenied");
    let diagnosis = canned.diagnose(&[]).unwrap();
    assert_eq!((diagnosis.count(Verdict::Unknown), diagnosis.count(Verdict::Problem)), (1, 0));
    assert_eq!(diagnosis.status(), 2);
    let unknown = canned.findings().remove(0);
    assert_eq!((unknown.check, unknown.verdict), ("bucket", Verdict::Unknown));
    assert_eq!(unknown.what, "`aws s3api get-bucket-policy` was refused: AccessDenied: no");
    canned.set(
        "dynamodb describe-time-to-live --table-name control",
        "/TimeToLiveDescription",
        json!({}),
    );
    assert_eq!(canned.diagnose(&[]).unwrap().status(), 1);
}

#[test]
fn another_stack_is_told_from_ours_and_from_none() {
    let mut canned = Canned::healthy();
    canned.set("cloudformation describe-stacks", "/Stacks/0/Outputs", json!([]));
    let error = canned.diagnose(&[]).unwrap_err();
    assert!(matches!(error, NoStack::NotOurs { output: "LogBucketName", .. }), "{error}");
    canned.refuse("cloudformation describe-stacks", "ValidationError");
    assert!(matches!(canned.diagnose(&[]).unwrap_err(), NoStack::Refused(_)));
}

#[test]
fn people_read_this() {
    let mut canned = Canned::healthy();
    canned.set("ec2 describe-flow-logs", "/FlowLogs/0/DeliverLogsStatus", json!("FAILED"));
    let error = json!("Access error\u{1b}[2J");
    canned.of("ec2 describe-flow-logs")["FlowLogs"][0]["DeliverLogsErrorMessage"] = error;
    canned.set(
        "sqs get-queue-attributes --queue-url https://sqs/dead",
        "/Attributes/ApproximateNumberOfMessages",
        json!("7"),
    );
    canned.refuse("logs describe-log-groups", "AccessDenied");
    insta::assert_snapshot!(to_text(&canned.diagnose(&[]).unwrap()));
}
