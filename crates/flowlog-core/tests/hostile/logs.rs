//! What CloudWatch Logs sends to a subscription: base64 of gzip of JSON, and records without a header.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flowlog_core::decode::{Counts, Limits, MessageDecoder, Reason};
use flowlog_core::event::{LogsPayload, Message, decode_logs};
use flowlog_core::format::Format;
use flowlog_core::rollup::{Accumulator, Budget};
use serde_json::{Value, json};

use crate::support::{NODATA, ROW, V2, counts, gzip};

const LIMIT: usize = 8 << 20;

fn message(kind: &str, messages: &[&str]) -> Value {
    let events: Vec<Value> = messages
        .iter()
        .enumerate()
        .map(|(n, message)| json!({ "id": n.to_string(), "timestamp": 1, "message": message }))
        .collect();
    json!({ "messageType": kind, "owner": "123456789012", "logGroup": "flow-logs",
            "logStream": "eni-1-all", "subscriptionFilters": ["f"], "logEvents": events })
}

fn encode(json: &Value) -> String {
    STANDARD.encode(gzip(json.to_string().as_bytes()))
}

fn data(payload: &str) -> LogsPayload {
    match decode_logs(payload, LIMIT).unwrap() {
        Message::Data(payload) => payload,
        Message::Control => panic!("a control message"),
    }
}

fn code(payload: &str) -> &'static str {
    let error = decode_logs(payload, LIMIT).unwrap_err();
    assert!(!error.to_string().chars().any(char::is_control), "{error}");
    error.code()
}

#[test]
fn data_and_control_messages() {
    let payload = data(&encode(&message("DATA_MESSAGE", &["a", "b"])));
    assert_eq!((&*payload.owner, &*payload.log_group), ("123456789012", "flow-logs"));
    let messages: Vec<_> = payload.log_events.iter().map(|e| e.message.as_str()).collect();
    assert_eq!(messages, ["a", "b"]);
    let control = decode_logs(&encode(&message("CONTROL_MESSAGE", &["checking"])), LIMIT);
    assert_eq!(control, Ok(Message::Control));
    let bare = decode_logs(&encode(&json!({ "messageType": "CONTROL_MESSAGE" })), LIMIT);
    assert_eq!(bare, Ok(Message::Control));
    // Names of columns, when a filter gives them, and whatever else may come.
    let mut rich = message("DATA_MESSAGE", &["a"]);
    rich["logEvents"][0]["extractedFields"] = json!({ "source": "a", "end": null });
    rich["new"] = json!({ "deep": [[[]]] });
    assert_eq!(data(&encode(&rich)).log_events.len(), 1);
    let none =
        json!({ "messageType": "DATA_MESSAGE", "owner": "o", "logGroup": "g", "logStream": "s" });
    assert_eq!(data(&encode(&none)).log_events, []);
}

#[test]
fn members_are_one_text() {
    let json = message("DATA_MESSAGE", &[ROW, NODATA]).to_string();
    let whole = data(&encode(&message("DATA_MESSAGE", &[ROW, NODATA])));
    for at in [0, 1, json.len() / 2, json.len() - 1, json.len()] {
        let (head, tail) = json.as_bytes().split_at(at);
        let members = [gzip(head), gzip(b""), gzip(tail)].concat();
        assert_eq!(data(&STANDARD.encode(members)), whole, "cut at {at}");
    }
}

#[test]
fn a_payload_of_one_megabyte() {
    // As dense as base64 of gzip gets: about 5 MB of JSON in 1 MB.
    let mut random = crate::support::Random::new(3);
    let mut rows = Vec::new();
    for _ in 0..34_000 {
        let mut row = "2 123456789010 eni-1235b8ca123456789 ".to_owned();
        for _ in 0..4 {
            let _ = write!(row, "{}.", random.below(256));
        }
        row.pop();
        let (port, bytes) = (random.below(65_536), random.below(1 << 40));
        let _ = write!(row, " 10.0.0.1 {port} 443 6 1 {bytes} 1418530010 1418530070 ACCEPT OK");
        rows.push(row);
    }
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let payload = encode(&message("DATA_MESSAGE", &rows));
    assert!(payload.len() > 1_000_000, "{}", payload.len());
    let messages = data(&payload).log_events;
    let texts: Vec<&str> = messages.iter().map(|e| e.message.as_str()).collect();
    assert_eq!(decode(&[&default()], &texts), counts(34_000, 0, 0, &[]));
}

#[test]
fn every_damage_is_permanent_and_has_its_code() {
    let good = encode(&message("DATA_MESSAGE", &[ROW]));
    let bytes = STANDARD.decode(&good).unwrap();
    for end in 0..bytes.len() {
        assert_eq!(code(&STANDARD.encode(&bytes[..end])), "corrupt_gzip", "{end} bytes");
    }
    for (name, payload, expected) in [
        ("no base64", "%%%".to_owned(), "bad_base64"),
        ("a line end in it", format!("{}\n{}", &good[..8], &good[8..]), "bad_base64"),
        ("no padding", good[..good.len() - 1].to_owned(), "bad_base64"),
        ("zeros behind", STANDARD.encode([&bytes[..], &[0; 9]].concat()), "corrupt_gzip"),
        ("no gzip", STANDARD.encode(b"{}"), "corrupt_gzip"),
        ("twice gzip", STANDARD.encode(gzip(&bytes)), "bad_json"),
        ("an empty text", STANDARD.encode(gzip(b"")), "bad_json"),
        ("no JSON", STANDARD.encode(gzip(b"{\"messageType\":")), "bad_json"),
        ("no UTF-8", STANDARD.encode(gzip(b"{\"messageType\":\"\xff\"}")), "bad_json"),
        ("an array", encode(&json!([])), "bad_json"),
        ("no type", encode(&json!({})), "bad_json"),
        ("a type that is none", encode(&json!({ "messageType": 1 })), "bad_json"),
        ("another type", encode(&message("OTHER_MESSAGE", &[])), "unknown_message_type"),
        ("a hostile type", encode(&message("\u{1b}[2J\r\n", &[])), "unknown_message_type"),
        ("no owner", encode(&json!({ "messageType": "DATA_MESSAGE" })), "bad_json"),
        ("a bomb", STANDARD.encode(gzip(&vec![b' '; LIMIT + 1])), "decompression_bomb"),
    ] {
        assert_eq!(code(&payload), expected, "{name}");
    }
    for depth in [1_000, 1_000_000] {
        let deep = format!(r#"{{"messageType":"DATA_MESSAGE","x":{}"#, "[".repeat(depth));
        assert_eq!(code(&STANDARD.encode(gzip(deep.as_bytes()))), "bad_json");
    }
}

#[test]
fn a_giant_base64_text_has_a_verdict() {
    assert_eq!(code(&"A".repeat(32 << 20)), "corrupt_gzip");
    assert_eq!(code(&"%".repeat(32 << 20)), "bad_base64");
    let stored = STANDARD.encode(gzip(&vec![0; 64 << 20]));
    assert_eq!(code(&stored), "decompression_bomb");
}

fn default() -> String {
    Format::default_v2().header()
}

fn decode(formats: &[&str], messages: &[&str]) -> Counts {
    let formats = formats.iter().map(|f| Format::from_log_format(f).unwrap()).collect();
    let mut decoder = MessageDecoder::new(Limits::default(), formats);
    let mut sink = Accumulator::new(Budget::default(), None);
    for (position, message) in (1..).zip(messages) {
        decoder.push(position, message, &mut sink);
    }
    assert!(decoder.counts().balances());
    decoder.counts().clone()
}

#[test]
fn messages_are_judged_one_by_one() {
    let long = format!("{}{ROW}", " ".repeat(40_000));
    let longer = ROW.replacen(' ', &" ".repeat(40_000), 1);
    for (message, parsed, rejected) in [
        (ROW, 1, None),
        (ROW.trim_end(), 1, None),
        (&long, 1, None),
        (&longer, 0, Some(Reason::LineTooLong)),
        (V2, 0, Some(Reason::FormatMismatch)),
        ("junk", 0, Some(Reason::FormatMismatch)),
        ("2 junk", 0, Some(Reason::TooFewFields)),
        (&ROW.replacen('2', "3", 1), 0, Some(Reason::FormatMismatch)),
        (&ROW.replacen('2', "+2", 1), 0, Some(Reason::FormatMismatch)),
        (&ROW.replacen("ACCEPT", "MAYBE", 1), 0, Some(Reason::BadAction)),
        (&format!("{ROW}{ROW}"), 0, Some(Reason::NotText)),
        (&format!("{ROW}\0"), 0, Some(Reason::NotText)),
        (&ROW.replacen("eni", "\u{1b}[31m", 1), 0, Some(Reason::NotText)),
    ] {
        let rejected: Vec<_> = rejected.into_iter().map(|reason| (reason, 1)).collect();
        assert_eq!(
            decode(&[&default()], &[message]),
            counts(parsed, 0, 0, &rejected),
            "{message:?}"
        );
    }
    // Nothing is no message.
    assert_eq!(decode(&[&default()], &["", " ", "\r\n"]), Counts::default());
    let skip = NODATA.replace("NODATA", "SKIPDATA");
    assert_eq!(decode(&[&default()], &[ROW, NODATA, &skip]), counts(1, 1, 1, &[]));
    // Without a format nothing can be read.
    let none = decode(&[], &[ROW]);
    assert_eq!(none, counts(0, 0, 0, &[(Reason::FormatMismatch, 1)]));
}

#[test]
fn one_group_of_several_formats() {
    let five = "${version} ${interface-id} ${start} ${flow-direction}";
    let gateway = "${version} ${tgw-attachment-id} ${start} ${type}";
    let formats = [&default(), five, gateway];
    let rows = [ROW, "5 eni-1 1 egress", "6 tgw-attach-1 1 IPv4", "5 eni-1 1 -"];
    assert_eq!(decode(&formats, &rows), counts(4, 0, 0, &[]));
    // As many tokens, and the version of neither.
    let wrong = decode(&formats, &["11 eni-1 1 egress"]);
    assert_eq!(wrong, counts(0, 0, 0, &[(Reason::FormatMismatch, 1)]));
    // Two formats of one version and length are told apart by what the fields are, or not at all.
    let turned = ["${version} ${bytes} ${start}", "${version} ${start} ${bytes}"];
    let row = decode(&turned, &["2 7 1793491200", "2 10.0.0.1 1"]);
    assert_eq!(row, counts(0, 0, 0, &[(Reason::FormatMismatch, 1), (Reason::BadNumber, 1)]));
    // Two readings that say the same are one: a format listed twice, or others in names alone.
    assert_eq!(decode(&[&default(), &default()], &[ROW]), counts(1, 0, 0, &[]));
    let alike = ["${bytes} ${start} ${region}", "${bytes} ${start} ${sublocation-id}"];
    assert_eq!(decode(&alike, &["7 1793491200 x"]), counts(1, 0, 0, &[]));
}
