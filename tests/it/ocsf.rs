//! What programs receive is an OCSF Detection Finding, by the schema's own models.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use flowlog_core::alert::{
    Alert, AlertKey, Decision, Digest, Policy, decide, render, render_digest, render_refused_rules,
    render_starved, render_test,
};
use flowlog_core::detect::{
    Cause, Finding, Identity, Parties, Rule, RuleSet, Severity, Target, Why,
};
use flowlog_core::record::{Action, Address, Window};
use flowlog_core::rollup::{About, Evidence};

use crate::support::{START, project};

/// One finding of a rule, with everything in it.
fn finding(rule: Rule, severity: Severity, source: Option<&str>, host: &str) -> Finding {
    let source = source.and_then(Address::parse);
    let record = Evidence {
        start: START,
        end: START + 5,
        srcaddr: source,
        dstaddr: Address::parse(host),
        srcport: 50_000,
        dstport: 22,
        protocol: 6,
        packets: 1,
        bytes: 40,
        action: Action::Reject,
    };
    Finding {
        rule,
        severity,
        interface_id: "eni-0a1b".to_owned(),
        account_id: "123456789012".to_owned(),
        vpc_id: String::new(),
        about: About {
            instance_id: "i-0a".to_owned(),
            name: "web%201".to_owned(),
            ..About::default()
        },
        source,
        target: Some(Target { host: Address::parse(host), port: Some(22) }),
        window: Window::of(START).unwrap(),
        cause: Cause::InsideScan,
        evidence: Why {
            measure: "contacts".into(),
            value: 3,
            baseline: Some(1),
            threshold: 2,
            seconds: 300,
            since: None,
            sources: 1,
            named: Vec::new(),
            ports: vec![22],
            rejected: 3,
            skipdata: 0,
            records: vec![record],
        },
        parties: Parties {
            source: Some(Identity { name: "batch-1".to_owned(), ..Identity::default() }),
            ..Parties::default()
        },
    }
}

fn claimed(finding: &Finding, before: Option<&Alert>) -> Alert {
    match decide(before, finding, &Policy::default(), finding.window.end()) {
        Decision::Claim(alert) => *alert,
        other => panic!("{other:?}"),
    }
}

fn documents() -> Vec<String> {
    let mut documents = Vec::new();
    for rule in Rule::ALL {
        for (source, host) in [
            (Some("10.1.0.9"), "10.0.0.5"),
            (Some("2001:db8::9"), "2001:db8:1::5"),
            (None, "10.0.0.5"),
        ] {
            let first = finding(rule, Severity::Notify, source, host);
            let alert = claimed(&first, None);
            let louder = finding(rule, Severity::High, source, host);
            let update = claimed(&louder, Some(&alert));
            for alert in [alert, update] {
                documents.push(render(&alert, &AlertKey::of(&first)).json);
            }
        }
    }
    documents.push(render_digest(&Digest { seq: 1, to: START, ..Digest::default() }).json);
    documents.push(render_test(START).json);
    let wrong = RuleSet::parse("[rules.portscan]\n").unwrap_err();
    documents.push(
        render_refused_rules(&wrong, true, &["rules.portscan: unknown".to_owned()], START).json,
    );
    let starved = BTreeMap::from([(Rule::Unencrypted, "no encryption-status".to_owned())]);
    let starved = BTreeMap::from([("fl-0a1b".to_owned(), starved)]);
    documents.push(render_starved(&starved, 1, START).json);
    documents
}

#[test]
fn documents_are_detection_findings() {
    let python = project(".venv/ocsf/bin/python");
    if !python.exists() {
        let why = b"skipped: no .venv/ocsf (make .venv/ocsf/.installed; needs Python 3)\n";
        std::io::stderr().write_all(why).unwrap();
        return;
    }
    let mut validator = Command::new(python)
        .arg(project("tests/dev/validate_ocsf.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let documents = documents();
    let mut input = validator.stdin.take().unwrap();
    for document in &documents {
        // Should it give up, it says why.
        let _given_up = writeln!(input, "{document}");
    }
    drop(input);
    let output = validator.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.trim(), format!("{} documents are OCSF Detection Findings", documents.len()));
}
