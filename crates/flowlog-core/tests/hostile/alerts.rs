//! Hostile text through what people and programs read: no control character gets into a subject, a
//! text, a document or an attribute, wherever it came from.

use flowlog_core::alert::{key, render};
use flowlog_core::decode::{Fallback, Limits, ObjectDecoder};
use flowlog_core::detect::{Finding, History, Rule, Rules, Severity, Why};
use flowlog_core::record::{Address, Window};
use flowlog_core::rollup::{Accumulator, Budget};
use flowlog_core::store::AlertState;

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
        source: Address::parse("10.0.0.9"),
        window: Window::of(1_793_491_200).unwrap(),
        evidence: Why {
            measure: "rejected records",
            value: 9,
            threshold: 1,
            seconds: 300,
            sources: 1,
            ports: vec![22],
            rejected: 9,
            skipdata: 0,
            records: Vec::new(),
        },
    }
}

fn state() -> AlertState {
    let since = Window::of(1_793_491_200).unwrap();
    AlertState { seq: 1, published: 0, next: 0, severity: 3, since }
}

#[track_caller]
fn printable(what: &str, text: &str) {
    assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{what}: {text:?}");
}

#[test]
fn nothing_that_is_sent_has_a_control_character() {
    for text in hostile() {
        for rule in [Rule::PortScan, Rule::RejectBurst] {
            let finding = finding(rule, &text);
            let sent = render(&finding, &key(&finding), &state());
            printable("subject", &sent.subject);
            assert!(sent.subject.len() < 100 && sent.subject.starts_with("flowlog HIGH: "));
            printable("document", &sent.json);
            printable("dedupe id", &sent.dedupe_id);
            assert!(sent.dedupe_id.len() < 512);
            for line in sent.text.split('\n') {
                printable("text", line);
            }
            // As many lines as for an honest name: none can be forged.
            let honest = render(&self::finding(rule, "eni-1"), "A#x", &state());
            assert_eq!(sent.text.lines().count(), honest.text.lines().count(), "{text:?}");
            assert!(sent.text.len() + sent.json.len() < 8_192);
            for (name, value) in &sent.attributes {
                printable(name, value);
                assert!(!value.is_empty() && value.len() <= 128, "{name}");
            }
            assert!(sent.attributes.len() <= 10);
            let document: serde_json::Value = serde_json::from_str(&sent.json).unwrap();
            assert_eq!(document["finding"]["severity"], "high", "{text:?}");
            printable("finding", &finding.to_json().to_string());
        }
    }
}

#[test]
fn what_is_sent_twice_is_the_same() {
    for text in hostile() {
        let finding = finding(Rule::PortScan, &text);
        let send = || render(&finding, &key(&finding), &state());
        assert_eq!(send(), send());
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
            let findings = Rules::default().evaluate(&history, window);
            assert_eq!(findings.len(), 1, "{text:?}");
            for finding in findings {
                printable("subject", &render(&finding, &key(&finding), &state()).subject);
            }
        }
    }
}
