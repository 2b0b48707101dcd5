//! Hostile text through what people and programs read: no control character gets into a subject, a
//! text, a document or an attribute, wherever it came from.

use flowlog_core::alert::{Alert, AlertKey, Decision, Notification, Policy, decide, render};
use flowlog_core::decode::{Fallback, Limits, ObjectDecoder};
use flowlog_core::detect::{
    Baseline, Cause, Finding, History, Identity, Parties, Rule, Rules, Severity, Target, Why,
};
use flowlog_core::record::{Address, Window};
use flowlog_core::rollup::{About, Accumulator, Budget};

use crate::support::V2;

/// Text that does something where it is shown.
fn hostile() -> Vec<String> {
    let mut all: Vec<String> = [
        "eni-1\r\nSubject: owned",
        "eni-1\nBcc: everyone@example.com\n\nbody",
        "\u{1b}[31mred\u{1b}[0m",
        "\u{1b}]0;title\u{7}",
        "\u{9b}2J",
        "\u{0}nul\u{0}",
        "bell\u{7}back\u{8}space",
        "\u{7f}delete",
        "\u{202e}gnp.exe",
        "\u{2028}line\u{2029}paragraph",
        "\u{feff}mark",
        "z\u{335}\u{336}\u{337}algo",
        "\"}],\"severity\":\"none\",\"x\":[{\"",
        "</pre><script>alert(1)</script>",
        "{{7*7}} ${jndi:ldap://x} %s%n",
        "=cmd|' /C calc'!A0",
        "😀 été",
        "",
        " ",
        "\\u0000\\n",
    ]
    .map(str::to_owned)
    .to_vec();
    all.push("x".repeat(10_000));
    all.push("\u{1b}[2J".repeat(2_500));
    all.extend((0..=0x9f_u8).map(|c| format!("eni-{}1", char::from(c))));
    all
}

fn finding(rule: Rule, text: &str) -> Finding {
    Finding {
        rule,
        severity: Severity::High,
        interface_id: text.to_owned(),
        account_id: text.to_owned(),
        vpc_id: text.to_owned(),
        about: About {
            subnet_id: text.to_owned(),
            instance_id: text.to_owned(),
            name: percent(text),
        },
        source: Address::parse("10.0.0.9"),
        target: Some(Target { host: Address::parse("10.0.0.5"), port: Some(22) }),
        window: Window::of(1_793_491_200).unwrap(),
        cause: Cause::InsideScan,
        evidence: Why {
            measure: "rejected records".into(),
            value: 9,
            threshold: 1,
            seconds: 300,
            sources: 1,
            ports: vec![22],
            rejected: 9,
            ..Why::default()
        },
        parties: Parties {
            place: Some(identity(text)),
            source: Some(identity(text)),
            target: Some(identity(text)),
        },
    }
}

/// Tags that somebody chose.
fn identity(text: &str) -> Identity {
    Identity {
        interface_id: text.to_owned(),
        account_id: String::new(),
        vpc_id: text.to_owned(),
        instance_id: text.to_owned(),
        name: text.to_owned(),
        owner: text.to_owned(),
        description: text.to_owned(),
    }
}

/// As AWS writes tags: percent-encoded, so that anything may be in them.
fn percent(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in text.bytes() {
        write!(out, "%{byte:02X}").unwrap();
    }
    out
}

/// The first claim of an alert about this.
fn claimed(finding: &Finding) -> Alert {
    match decide(None, finding, &Policy::default(), finding.window.end()) {
        Decision::Claim(alert) => *alert,
        other => panic!("{other:?}"),
    }
}

fn sent(finding: &Finding) -> Notification {
    render(&claimed(finding), &AlertKey::of(finding))
}

#[track_caller]
fn printable(what: &str, text: &str) {
    assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{what}: {text:?}");
}

#[test]
fn nothing_that_is_sent_has_a_control_character() {
    for text in hostile() {
        for rule in Rule::ALL {
            let finding = finding(rule, &text);
            let sent = sent(&finding);
            printable("subject", &sent.subject);
            assert!(sent.subject.len() < 100 && sent.subject.starts_with("flowlog HIGH: "));
            printable("document", &sent.json);
            printable("chat", &sent.chat);
            printable("dedupe id", &sent.dedupe_id);
            assert!(sent.dedupe_id.len() < 512);
            for line in sent.text.split('\n') {
                printable("text", line);
            }
            let key = AlertKey::of(&finding);
            printable("key", &key.to_string());
            assert!(key.subject.len() < 80);
            assert!(sent.text.len() < 8_192 && sent.json.len() < 8_192 && sent.chat.len() < 9_216);
            for (name, value) in &sent.attributes {
                printable(name, value);
                assert!(!value.is_empty() && value.len() <= 128, "{name}");
            }
            assert!(sent.attributes.len() <= 9, "the dedupe id is the tenth");
            let document: serde_json::Value = serde_json::from_str(&sent.json).unwrap();
            let inner = &document["unmapped"]["flowlog"]["finding"];
            assert_eq!(inner["severity"], "high", "{text:?}");
            assert_eq!(document["severity_id"], 4);
            printable("finding", &finding.to_json().to_string());
            // What is stored can be read back, whatever is in it.
            let alert = claimed(&finding);
            let stored = serde_json::to_string(&alert).unwrap();
            assert_eq!(serde_json::from_str::<Alert>(&stored).unwrap(), alert);
        }
    }
}

/// As many lines as for an honest name: none can be forged.
#[test]
fn no_line_can_be_forged() {
    for text in hostile().iter().filter(|text| !text.is_empty()) {
        for rule in Rule::ALL {
            let lines = |text: &str| {
                let text = sent(&finding(rule, text)).text;
                // Where a place is no id, the rules file's lines do without it.
                text.lines()
                    .filter(|l| !l.contains("interface = ") && !l.contains("vpc = "))
                    .filter(|l| !l.contains("aws ec2"))
                    .count()
            };
            assert_eq!(lines(text), lines("vpc"), "{text:?}");
        }
    }
}

#[test]
fn what_is_sent_twice_is_the_same() {
    for text in hostile() {
        let finding = finding(Rule::PortScan, &text);
        assert_eq!(sent(&finding), sent(&finding));
    }
}

/// From the first byte to the notification: names with anything in them but letters are no ids.
#[test]
fn hostile_names_do_not_get_past_decoding() {
    let row = |interface: &str, n: usize| {
        format!(
            "2 123456789012 {interface} 10.0.0.9 10.0.0.5 50000 {n} 6 1 40 1793491200 1793491201 REJECT OK\n"
        )
    };
    for text in hostile() {
        let mut object = V2.to_owned();
        for n in 1..=60 {
            object += &row("eni-1", n);
            object += &row(&text, n);
        }
        let sink = Accumulator::new(Budget::default(), None);
        let mut decoder = ObjectDecoder::new(Limits::default(), Fallback::Default, None, sink);
        decoder.push(object.as_bytes()).unwrap();
        let whole = decoder.finish().unwrap();
        assert!(whole.counts.balances());
        let chunk = whole.sink.finish().pop().unwrap();
        for (interface_id, window, rollup) in chunk {
            printable("interface", &interface_id);
            assert!(interface_id.len() <= 64);
            let mut history = History { interface_id, ..History::default() };
            history.add(window, &rollup);
            let findings = Rules::default().evaluate(&history, &Baseline::default(), window);
            assert_eq!(findings.len(), 1, "{text:?}");
            for finding in findings {
                printable("subject", &sent(&finding).subject);
            }
        }
    }
}
