//! A gzip of about two kilobytes, damaged at every place there is.

use std::fmt::Write as _;

use crate::oracle::gzip_verdict;
use crate::support::{Expected, Random, V2, check, gzip, parsed};

const CORRUPT: Expected = Expected::Unusable("corrupt_gzip");
const TRUNCATED: Expected = Expected::Unusable("truncated_gzip");

/// Rows that do not compress well.
fn text(rows: u64) -> String {
    let mut random = Random::new(7);
    let mut text = V2.to_owned();
    for _ in 0..rows {
        let mut number = |bound| random.below(bound);
        let _ = writeln!(
            text,
            "2 123456789010 eni-{:08x} 10.{}.{}.{} 172.31.{}.{} {} {} 6 {} {} {} {} REJECT OK",
            number(1 << 32),
            number(256),
            number(256),
            number(256),
            number(256),
            number(256),
            number(65_536),
            number(65_536),
            number(1_000),
            number(1_000_000),
            1_793_491_200 + number(100),
            1_793_491_300 + number(100),
        );
    }
    text
}

const ROWS: u64 = 53;

fn object() -> Vec<u8> {
    let object = gzip(text(ROWS).as_bytes());
    assert!((1_900..2_300).contains(&object.len()), "{} bytes", object.len());
    object
}

#[test]
fn every_truncation_is_an_error() {
    let object = object();
    check("whole", &object, &parsed(ROWS));
    for end in 0..object.len() {
        let expected = match end {
            0 => Expected::Unusable("empty"),
            // Half of the magic is a control character.
            1 => Expected::Unusable("not_a_flow_log"),
            _ => TRUNCATED,
        };
        check(&format!("{end} bytes of it"), &object[..end], &expected);
    }
}

#[test]
fn every_flipped_byte_has_the_verdict_that_the_bytes_have() {
    let object = object();
    let (mut harmless, mut cases) = (Vec::new(), 0);
    for at in 0..object.len() {
        for mask in [1 << (at % 8), 0xff] {
            let mut flipped = object.clone();
            flipped[at] ^= mask;
            let expected = gzip_verdict(&flipped);
            if matches!(expected, Expected::Read(_)) {
                harmless.push(at);
            }
            check(&format!("byte {at} ^ {mask:#x}"), &flipped, &expected);
            cases += 1;
        }
    }
    assert!(cases > 3_800);
    harmless.dedup();
    // Time, extra flags and operating system.
    assert_eq!(harmless, [4, 5, 6, 7, 8, 9]);
}

#[test]
fn what_follows_the_last_member() {
    let object = object();
    for (name, tail, expected) in [
        ("one zero", &b"\0"[..], CORRUPT),
        ("zeros, as a tape pads", &[0; 512], CORRUPT),
        ("a line", b"garbage\n", CORRUPT),
        ("half of the magic", b"\x1f", TRUNCATED),
        ("the magic", b"\x1f\x8b", TRUNCATED),
        ("the magic and another method", b"\x1f\x8b\x07", CORRUPT),
        ("a header", b"\x1f\x8b\x08\0\0\0\0\0\0\xff", TRUNCATED),
        ("reserved flags", b"\x1f\x8b\x08\x80\0\0\0\0\0\xff", CORRUPT),
        ("a header and a bad block", b"\x1f\x8b\x08\0\0\0\0\0\0\xff\xff", CORRUPT),
    ] {
        check(name, &[&object, tail].concat(), &expected);
    }
}

#[test]
fn members_are_read_one_after_another() {
    let empty = gzip(b"");
    let (whole, text) = (object(), text(ROWS));
    check("an empty member alone", &empty, &Expected::Unusable("empty"));
    check("before", &[&empty[..], &whole].concat(), &parsed(ROWS));
    check("after", &[&whole[..], &empty, &empty].concat(), &parsed(ROWS));
    check("the same object twice", &[&whole[..], &whole].concat(), &parsed(2 * ROWS));
    check("then cut", &[&whole[..], &whole[..900]].concat(), &TRUNCATED);
    // A member may end anywhere in a line.
    for at in [1, V2.len() - 1, V2.len(), V2.len() + 5, text.len() - 1] {
        let (head, tail) = text.as_bytes().split_at(at);
        let object = [gzip(head), empty.clone(), gzip(tail)].concat();
        check(&format!("cut at {at}"), &object, &parsed(ROWS));
    }
    let mut many = Vec::new();
    for byte in text.as_bytes() {
        many.extend(gzip(&[*byte]));
    }
    check("a member per byte", &many, &parsed(ROWS));
}

#[test]
fn headers_with_all_there_is() {
    let text = text(3);
    let build = |name: &str, comment: &str, extra: &[u8]| {
        let mut out = Vec::new();
        let mut encoder = flate2::GzBuilder::new()
            .filename(name)
            .comment(comment)
            .extra(extra)
            .mtime(1)
            .write(&mut out, flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
        encoder.finish().unwrap();
        out
    };
    for (name, comment, extra) in [
        ("a.log", "by AWS", &b"AB\x02\x00xy"[..]),
        ("", "", b""),
        (&*"n".repeat(60_000), &*"c".repeat(60_000), &vec![7; 65_535]),
    ] {
        let mut object = build(name, comment, extra);
        check("name, comment, extra", &object, &parsed(3));
        for end in [11, 13, 15, 20] {
            let cut = &object[..end.min(object.len() - 1)];
            check("cut in the header", cut, &TRUNCATED);
        }
        // With a checksum of the header, right and wrong.
        object[3] |= 2;
        let end = 10 + 2 + extra.len() + name.len() + 1 + comment.len() + 1;
        let mut sum = flate2::Crc::new();
        sum.update(&object[..end]);
        let [low, high, ..] = sum.sum().to_le_bytes();
        let with = |sum: [u8; 2]| [&object[..end], &sum, &object[end..]].concat();
        check("header sum", &with([low, high]), &parsed(3));
        check("bad header sum", &with([low, !high]), &CORRUPT);
    }
}

#[test]
fn what_stands_before_the_damage_is_judged_first() {
    // However it is cut: the text is no flow log, and what is wrong with the gzip comes later.
    let mut object = gzip(&[&b"hello\n"[..], &b"x".repeat(50_000)].concat());
    let last = object.len() - 1;
    object[last] ^= 1;
    check("no flow log", &object, &Expected::Unusable("not_a_flow_log"));
    check("no flow log, cut", &object[..last], &Expected::Unusable("not_a_flow_log"));
    let mut object = gzip(&[text(3).as_bytes(), b"start end start\n", &[b'\n'; 9_000]].concat());
    let last = object.len() - 1;
    object[last] ^= 1;
    check("a bad header", &object, &Expected::Unusable("bad_header"));
}

#[test]
fn other_encodings_are_told_by_their_first_bytes() {
    let not = Expected::Unusable("not_a_flow_log");
    for (name, magic) in [
        ("zip", &b"PK\x03\x04rest of it"[..]),
        ("zstd", b"\x28\xb5\x2f\xfdrest of it"),
        ("bzip2", b"BZh91AY&SYrest"),
        ("xz", b"\xfd7zXZ\0rest of it"),
        ("compress", b"\x1f\x9drest of it"),
        ("zlib", b"\x78\x9crest of it"),
        ("JSON", br#"{"version":2}"#),
        ("XML", b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"),
        ("UTF-16", b"\xff\xfev\0e\0r\0s\0i\0o\0n\0\n\0"),
        ("a line of CloudTrail", br#"{"Records":[{"eventVersion":"1.08"}]}"#),
    ] {
        check(name, magic, &not);
    }
}
