//! What should become of a gzip, worked out in the plainest way: `flate2`'s reader for the bytes,
//! and a count of lines that knows nothing but the default format.

use std::io::Read as _;

use crate::support::{Expected, counts};

/// Everything that comes out, and the code of the error that ends it.
fn inflate(object: &[u8]) -> (Vec<u8>, Option<&'static str>) {
    // One byte at a time: what stands before an error must not be lost with it.
    let mut reader = flate2::bufread::MultiGzDecoder::new(object);
    let (mut text, mut byte) = (Vec::new(), [0]);
    loop {
        match reader.read(&mut byte) {
            Ok(0) => return (text, None),
            Ok(_) => text.push(byte[0]),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return (text, Some("truncated_gzip"));
            }
            Err(_) => return (text, Some("corrupt_gzip")),
        }
    }
}

/// The verdict on an object that begins as a gzip and whose text was a whole default-format object
/// before it was damaged.
pub(crate) fn gzip_verdict(object: &[u8]) -> Expected {
    if object.len() < 2 || object[..2] != [0x1f, 0x8b] {
        // As plain text it is no flow log: compressed bytes have control characters.
        return Expected::Unusable(if object.is_empty() { "empty" } else { "not_a_flow_log" });
    }
    let (mut text, damage) = inflate(object);
    if damage.is_some() {
        // A line that the damage cuts off is never judged.
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        text.truncate(whole);
    }
    match (judge(&text), damage) {
        // With nothing before it, the damage is all there is to say.
        (Err("empty") | Ok(_), Some(code)) | (Err(code), _) => Expected::Unusable(code),
        (Ok(rows), None) => Expected::Read(counts(rows, 0, 0, &[])),
    }
}

/// How many rows there are, if the first line is the default header or a row.
fn judge(text: &[u8]) -> Result<u64, &'static str> {
    let mut header = false;
    let mut rows = 0;
    for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let Ok(line) = std::str::from_utf8(line) else {
            if header {
                rows += 1;
                continue;
            }
            return Err("not_a_flow_log");
        };
        let control = line.chars().any(|c| c.is_ascii_control());
        if !control && (line.trim().is_empty() || line.starts_with('#')) {
            continue;
        }
        if !control && names(line) {
            let mut fields: Vec<_> = line.split_whitespace().filter(|n| known(n)).collect();
            let all = fields.len();
            fields.sort_unstable();
            fields.dedup();
            if fields.len() < all {
                return Err("bad_header");
            }
            header = true;
        } else if header {
            rows += 1;
        } else {
            return Err("not_a_flow_log");
        }
    }
    if header { Ok(rows) } else { Err("empty") }
}

fn known(name: &str) -> bool {
    crate::support::V2.split_whitespace().any(|field| field == name.replace('_', "-"))
}

/// Whether a line is made of names, of which the first or half are the default format's.
fn names(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let lower = |w: &&str| {
        w.starts_with(|c: char| c.is_ascii_lowercase())
            && w.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_'))
    };
    let fields = words.iter().filter(|w| known(w)).count();
    words.iter().all(lower)
        && (words.first().is_some_and(|w| known(w)) || fields * 2 >= words.len())
}
