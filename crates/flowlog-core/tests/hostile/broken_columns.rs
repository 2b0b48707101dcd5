//! Parquet files that are broken, or lie: each has a verdict, none panics, reserves what it claims or
//! goes on for ever.

use std::collections::BTreeMap;

use flowlog_core::decode::{Counts, DecodeError, Limits, Reason, RecordSink, Verdict};
use flowlog_core::format::Format;
use flowlog_core::record::Record;
use parquet::basic::Compression;
use parquet::file::properties::WriterVersion;

use crate::columns::{Layout, Numbers, decode_any, parquet, rows};
use crate::support::Random;

const HEADER: &str = "interface-id srcaddr dstport bytes start log-status some-tag";

/// Writes down everything that it is given.
#[derive(Debug, Default)]
struct Notes(Vec<String>);

impl RecordSink for Notes {
    fn record(&mut self, record: &Record<'_>) -> Verdict {
        self.0.push(format!("{record:?}"));
        Verdict::Counted
    }

    fn format(&mut self, format: &Format) {
        self.0.push(format.header());
    }
}

/// Counts and everything that was seen, or the code of the error.
fn outcome(file: &[u8]) -> Result<(Counts, Vec<String>), &'static str> {
    match decode_any(file, Limits::default(), Notes::default()) {
        Ok(decoded) => {
            assert!(decoded.counts.balances(), "{:?}", decoded.counts);
            Ok((decoded.counts, decoded.sink.0))
        }
        Err(error) => {
            let words = error.to_string();
            assert!(words.len() < 300 && words.bytes().all(|b| (b' '..=b'~').contains(&b)));
            assert!(!words.contains("panicked"), "{words}");
            Err(error.code())
        }
    }
}

fn code(file: &[u8]) -> &'static str {
    outcome(file).expect_err("an error")
}

fn small(layout: &Layout) -> Vec<u8> {
    parquet(&rows(HEADER, 40, false), layout)
}

fn layouts() -> Vec<Layout> {
    let plain = Layout { codec: Compression::UNCOMPRESSED, ..Layout::default() };
    vec![
        Layout::default(),
        Layout { codec: Compression::SNAPPY, dictionary: false, ..Layout::default() },
        Layout { group_rows: 15, page_rows: 5, ..plain },
        Layout { version: WriterVersion::PARQUET_2_0, numbers: Numbers::Wide, ..plain },
    ]
}

#[test]
fn every_truncation_is_an_error() {
    for layout in layouts() {
        let file = small(&layout);
        assert!(outcome(&file).is_ok());
        for end in 0..file.len() {
            let expected = match end {
                0 => "empty",
                // Less than the magic is a line.
                1..4 => "not_a_flow_log",
                _ => "corrupt_parquet",
            };
            assert_eq!(code(&file[..end]), expected, "{end} bytes of {layout:?}");
        }
    }
}

#[test]
fn a_flipped_byte_is_an_error_or_changes_nothing() {
    // gzip has a checksum: what is read of such a file is what was written.
    let layout = Layout::default();
    let file = small(&layout);
    let whole = outcome(&file).unwrap();
    let mut verdicts: BTreeMap<&str, u32> = BTreeMap::new();
    for at in 0..file.len() {
        for mask in [1 << (at % 8), 0x80 >> (at % 8), 0xff] {
            let mut flipped = file.clone();
            flipped[at] ^= mask;
            let verdict = match outcome(&flipped) {
                Ok(found) if found == whole => "the same",
                // The name of a column, or whether it may be null, is all that the footer says.
                Ok((_, seen)) if seen[0] != whole.1[0] => "another column",
                Ok((counts, _)) => panic!("byte {at} ^ {mask:#x}: other records, {counts:?}"),
                Err(code) => code,
            };
            *verdicts.entry(verdict).or_default() += 1;
        }
    }
    assert!(verdicts["corrupt_parquet"] > 2_000, "{verdicts:?}");
    assert!(verdicts["the same"] > 100, "{verdicts:?}");
}

#[test]
fn flipped_bytes_of_other_layouts_have_verdicts() {
    for layout in layouts() {
        let file = small(&layout);
        for at in 0..file.len() {
            for mask in [1 << (at % 8), 0xff] {
                let mut flipped = file.clone();
                flipped[at] ^= mask;
                let _ = outcome(&flipped);
            }
        }
    }
}

#[test]
fn many_wrong_bytes_have_verdicts() {
    let mut random = Random::new(11);
    for layout in layouts() {
        let file = small(&layout);
        for _ in 0..3_000 {
            let mut broken = file.clone();
            for _ in 0..=random.below(4) {
                let at = usize::try_from(random.below(broken.len() as u64)).unwrap();
                broken[at] = u8::try_from(random.below(256)).unwrap();
            }
            let _ = outcome(&broken);
        }
    }
}

/// A footer of our own making behind some bytes.
fn with_footer(body: &[u8], footer: &[u8]) -> Vec<u8> {
    let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
    [b"PAR1", body, footer, &length, b"PAR1"].concat()
}

#[test]
fn footers_that_lie() {
    let file = small(&Layout::default());
    let end = file.len() - 8;
    let all = u32::try_from(end).unwrap();
    for claimed in [0, 1, all, u32::MAX, u32::MAX / 2, all - 3, (5 << 20)] {
        let mut lying = file.clone();
        lying[end..end + 4].copy_from_slice(&claimed.to_le_bytes());
        assert_eq!(code(&lying), "corrupt_parquet", "{claimed}");
    }
    // A schema as deep as the footer is long: a stack would overflow.
    let deep = [0x15, 2, 0x19, 0xfc, 0x80, 0x80, 0x04];
    let element = [0x48, 1, b'a', 0x15, 2, 0];
    let nested = [&deep[..], &element.repeat(65_536)].concat();
    // A list, a text and a group that claim more than there is.
    let list = [0x15, 2, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f];
    let text = [0x15, 2, 0x19, 0x1c, 0x48, 0xff, 0xff, 0xff, 0xff, 0x0f];
    let group = [0x15, 2, 0x19, 0x1c, 0x48, 1, b'a', 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    let groups = [0x15, 2, 0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f];
    for footer in [&b""[..], &nested, &list, &text, &group, &groups, &[0x1c; 3_000], &[0xff; 100]] {
        assert_eq!(code(&with_footer(&[0; 100], footer)), "corrupt_parquet");
    }
    assert_eq!(code(b"PAR1PAR1"), "corrupt_parquet");
    assert_eq!(code(b"PAR1\0\0\0\0PAR1"), "corrupt_parquet");
    let encrypted = [&file[..end + 4], b"PARE"].concat();
    assert_eq!(code(&encrypted), "unsupported_encoding");
}

#[test]
fn limits_hold() {
    let file = parquet(&rows(HEADER, 5_000, false), &Layout::default());
    let strict = |limits: Limits| -> Result<u64, DecodeError> {
        decode_any(&file, limits, Notes::default()).map(|decoded| decoded.counts.read)
    };
    assert_eq!(strict(Limits::default()), Ok(5_000));
    let code = |limits| strict(limits).unwrap_err().code();
    assert_eq!(code(Limits { row_group: 20_000, ..Limits::default() }), "parquet_too_large");
    assert_eq!(code(Limits { columns: 6, ..Limits::default() }), "bad_header");
    assert_eq!(code(Limits { output: 100_000, ..Limits::default() }), "decompression_bomb");
    // Rows that weigh nothing: all of them alike, many of them.
    let alike = format!("start interface-id\n{}", "1793491200 eni-1\n".repeat(300_000));
    let file = parquet(&alike, &Layout::default());
    assert!(file.len() < 20_000, "{}", file.len());
    assert_eq!(self::code(&file), "decompression_bomb");
}

#[test]
fn values_that_are_no_values() {
    let header = "interface-id start";
    let long = format!("{header}\n{} 1793491200\n", "x".repeat(5_000));
    let (counts, _) = outcome(&parquet(&long, &Layout::default())).unwrap();
    assert_eq!((counts.read, counts.rejected[&Reason::LineTooLong]), (1, 1));
    let odd = format!("{header}\n{} 1\neni-é 1\n\u{1b}[31m 1\neni-1 1\n", "x".repeat(65));
    let (counts, _) = outcome(&parquet(&odd, &Layout::default())).unwrap();
    assert_eq!((counts.read, counts.parsed, counts.rejected_total()), (4, 1, 3));
    let negative = format!("{header} bytes\neni-1 1 -5\neni-1 -7 5\neni-1 1 5\n");
    let (counts, _) = outcome(&parquet(&negative, &Layout::default())).unwrap();
    assert_eq!((counts.parsed, counts.rejected_total()), (1, 2));
}

#[test]
fn columns_that_are_no_flow_log() {
    for (header, expected) in [
        ("a b c", "bad_header"),
        ("start start interface-id", "bad_header"),
        // Known names, none of which says when: every row is rejected, none is lost.
        ("region az-id", ""),
    ] {
        let row = header.split(' ').map(|name| if name == "start" { "1" } else { "x" });
        let text = format!("{header}\n{}\n", row.collect::<Vec<_>>().join(" "));
        match outcome(&parquet(&text, &Layout::default())) {
            Ok((counts, _)) => {
                assert_eq!((expected, counts.read, counts.rejected_total()), ("", 1, 1));
            }
            Err(code) => assert_eq!(code, expected, "{header}"),
        }
    }
}
