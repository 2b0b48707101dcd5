//! What people and programs are sent about a finding with anything in it.

use flowlog_core::alert::{Alert, AlertKey, Decision, Policy, decide, render};
use flowlog_core::detect::{Cause, Finding, Identity, Parties, Rule, Severity, Target, Why};
use flowlog_core::record::{Action, Address, Window};
use flowlog_core::rollup::{About, Evidence};

use super::{first, printable};

/// Longest message that SNS takes, in bytes.
const SNS: usize = 256 << 10;

/// Some bytes for the numbers; the rest is text, cut at line ends into the ids and names of a finding.
///
/// Subject, attributes, documents and each line of the text are printable ASCII and as short as SNS
/// wants them; documents are JSON; what is stored is read back.
pub fn subject(mut bytes: &[u8]) {
    let finding = finding(&mut bytes);
    let Decision::Claim(alert) = decide(None, &finding, &Policy::default(), finding.window.end())
    else {
        return;
    };
    let key = AlertKey::of(&finding);
    printable("key", &key.to_string());
    let sent = render(&alert, &key);
    printable("subject", &sent.subject);
    assert!((1..100).contains(&sent.subject.len()) && sent.subject.starts_with("flowlog "));
    printable("document", &sent.json);
    printable("chat", &sent.chat);
    printable("dedupe id", &sent.dedupe_id);
    for line in sent.text.split('\n') {
        printable("text", line);
    }
    for (name, value) in &sent.attributes {
        printable(name, value);
        assert!((1..=256).contains(&value.len()), "{name}");
    }
    assert!(sent.attributes.len() <= 9, "the dedupe id is the tenth");
    let length = sent.json.len() + sent.text.len() + sent.chat.len() + sent.dedupe_id.len();
    assert!(length < SNS / 4, "{length} bytes");
    for document in [&sent.json, &sent.chat] {
        let read: Result<serde_json::Value, _> = serde_json::from_str(document);
        assert!(read.is_ok(), "{read:?}");
    }
    let stored = serde_json::to_string(&alert).unwrap_or_else(|error| panic!("{error}"));
    let read: Result<Alert, _> = serde_json::from_str(&stored);
    assert_eq!(read.ok().as_ref(), Some(&*alert));
}

fn finding(bytes: &mut &[u8]) -> Finding {
    let rule = Rule::ALL[usize::from(first(bytes)) % Rule::ALL.len()];
    let severity = [Severity::Notify, Severity::High][usize::from(first(bytes)) % 2];
    let cause = CAUSES[usize::from(first(bytes)) % CAUSES.len()];
    let (source, host, numbers) = (address(bytes), address(bytes), number(bytes));
    let port = Some((numbers % 65_536) as u16).filter(|port| port % 3 != 0);
    let records = usize::from(first(bytes)) % 4;
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split('\n');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let row = Evidence {
        start: numbers.cast_signed(),
        end: numbers.cast_signed(),
        srcaddr: source,
        dstaddr: host,
        srcport: 1,
        dstport: 2,
        protocol: (numbers % 256) as u8,
        packets: numbers,
        bytes: numbers,
        action: Action::Reject,
    };
    Finding {
        rule,
        severity,
        interface_id: part(),
        account_id: part(),
        vpc_id: part(),
        about: About { name: part(), subnet_id: part(), instance_id: part() },
        source,
        target: Some(Target { host, port }).filter(|_| numbers % 5 != 0),
        window: Window::of((numbers % 10_000_000_000).cast_signed()).unwrap_or_default(),
        cause,
        evidence: Why {
            measure: part().into(),
            value: numbers,
            baseline: Some(numbers).filter(|n| n % 2 == 0),
            threshold: numbers / 2,
            seconds: (numbers % 1_000_000).cast_signed(),
            since: Window::of((numbers % 1_000_000).cast_signed()),
            sources: numbers % 7,
            named: source.into_iter().collect(),
            ports: port.into_iter().collect(),
            rejected: numbers,
            skipdata: numbers % 2,
            records: vec![row; records],
        },
        parties: Parties {
            place: identity(part()),
            source: identity(part()),
            target: identity(part()),
        },
    }
}

/// One whose every name is this text; nobody for an empty one.
fn identity(text: String) -> Option<Identity> {
    (!text.is_empty()).then(|| Identity {
        interface_id: text.clone(),
        account_id: String::new(),
        vpc_id: text.clone(),
        instance_id: if text.len().is_multiple_of(2) { text.clone() } else { String::new() },
        name: if text.len().is_multiple_of(3) { text.clone() } else { String::new() },
        owner: text.clone(),
        description: text,
    })
}

const CAUSES: [Cause; 12] = [
    Cause::InternetScan,
    Cause::InsideScan,
    Cause::FloodOrChangedRule,
    Cause::PasswordGuessing,
    Cause::WayIn,
    Cause::Exfiltration,
    Cause::SecurityGroupOrAcl,
    Cause::NetworkAclOrReturnRoute,
    Cause::ExposedPort,
    Cause::LostRecords,
    Cause::Plaintext,
    Cause::BlockPublicAccess,
];

fn address(bytes: &mut &[u8]) -> Option<Address> {
    let kind = first(bytes);
    let mut octets = [0; 16];
    let length = [0, 4, 16, 6][usize::from(kind) % 4];
    for octet in &mut octets[..length] {
        *octet = first(bytes);
    }
    let [a, b, c, d, e, f, ..] = octets;
    match length {
        4 => Some(Address::V4([a, b, c, d].into())),
        16 => Some(Address::V6(octets.into())),
        6 => Some(Address::Mac([a, b, c, d, e, f])),
        _ => None,
    }
}

/// Up to eight bytes, as many as the first one says.
fn number(bytes: &mut &[u8]) -> u64 {
    let length = first(bytes) % 9;
    (0..length).fold(0, |number, _| number << 8 | u64::from(first(bytes)))
}
