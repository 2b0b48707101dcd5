//! Decoding in any pieces, and the laws that hold for every input.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use flowlog_core::decode::{
    Counts, DecodeError, Fallback, Limits, ObjectDecoder, Reason, RecordSink, RejectedLine, Verdict,
};
use flowlog_core::format::Format;
use flowlog_core::record::{Address, Record};

/// The default format's header line, with its line end.
pub(crate) const V2: &str = "version account-id interface-id srcaddr dstaddr srcport dstport \
                             protocol packets bytes start end action log-status\n";
/// A row of it, with its line end.
pub(crate) const ROW: &str = "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 \
                              20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK\n";
/// A capture window without traffic.
pub(crate) const NODATA: &str = "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 \
                                 1431280934 - NODATA\n";

/// What must become of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It is read, with these counts.
    Read(Counts),
    /// It is unusable, with this code.
    Unusable(&'static str),
}

/// What became of an object, as far as anybody can see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Expected,
    /// What came, in order.
    pub(crate) seen: Vec<Seen>,
}

/// Something that a decoder gives out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The header line of a format.
    Format(String),
    Rejected(RejectedLine),
    /// Subject, addresses, packets, bytes and times of a record.
    Record(String, [Option<Address>; 2], [u64; 2], [Option<i64>; 2]),
}

/// Counts by their parts.
pub(crate) fn counts(
    parsed: u64,
    nodata: u64,
    skipdata: u64,
    rejected: &[(Reason, u64)],
) -> Counts {
    let rejected: std::collections::BTreeMap<_, _> = rejected.iter().copied().collect();
    let read = parsed + nodata + skipdata + rejected.values().sum::<u64>();
    Counts { read, parsed, nodata, skipdata, rejected, late: 0 }
}

/// The verdict on an object whose rows are all read.
pub(crate) fn parsed(rows: u64) -> Expected {
    Expected::Read(counts(rows, 0, 0, &[]))
}

pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Writes down what it is given.
#[derive(Debug, Default)]
struct Notes {
    seen: Vec<Seen>,
    horizon: i64,
}

impl RecordSink for Notes {
    fn record(&mut self, record: &Record<'_>) -> Verdict {
        self.seen.push(Seen::Record(
            record.subject().to_owned(),
            [record.srcaddr, record.dstaddr],
            [record.packets, record.bytes],
            [record.start, record.end],
        ));
        let late = record.start.is_some_and(|start| start < self.horizon);
        if late { Verdict::Late } else { Verdict::Counted }
    }

    fn rejected(&mut self, line: RejectedLine) {
        self.seen.push(Seen::Rejected(line));
    }

    fn format(&mut self, format: &Format) {
        self.seen.push(Seen::Format(format.header()));
    }
}

/// How an object is decoded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) fallback: Fallback,
    pub(crate) horizon: i64,
}

impl Settings {
    fn pieces<'a>(&self, object: &'a [u8], pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
        let notes = Notes { seen: Vec::new(), horizon: self.horizon };
        let size = Some(object.len() as u64);
        let mut decoder = ObjectDecoder::new(self.limits, self.fallback.clone(), size, notes);
        let mut failure = None;
        for piece in pieces {
            match (decoder.push(piece), &failure) {
                (Err(error), None) => failure = Some(error),
                // An error is not forgotten, whatever comes after it.
                (again, Some(error)) => assert_eq!(again.as_ref(), Err(error)),
                (Ok(()), None) => {}
            }
        }
        match (decoder.finish(), failure) {
            (Ok(whole), None) => {
                assert!(whole.counts.balances(), "{:?}", whole.counts);
                assert_eq!(whole.input_bytes, object.len() as u64);
                let seen = whole.sink.seen;
                Outcome { verdict: Expected::Read(whole.counts), seen }
            }
            (Err(error), failure) => {
                if let Some(failure) = failure {
                    assert_eq!(error, failure);
                }
                presentable(&error);
                Outcome { verdict: Expected::Unusable(error.code()), seen: Vec::new() }
            }
            (Ok(_), Some(error)) => panic!("finished after {error}"),
        }
    }

    /// Decodes whole, byte by byte and in random pieces; the outcome must always be the same one.
    pub(crate) fn decode(&self, object: &[u8]) -> Outcome {
        let outcome = self.pieces(object, std::iter::once(object));
        assert_eq!(self.pieces(object, object.chunks(1)), outcome, "byte by byte");
        let mut random = Random::new(object.len() as u64);
        for longest in [7, 500] {
            let pieces = random.pieces(object, longest);
            assert_eq!(self.pieces(object, pieces.into_iter()), outcome, "pieces of {longest}");
        }
        outcome
    }
}

/// Decodes by default settings, in all the ways there are.
pub(crate) fn decode(object: &[u8]) -> Outcome {
    Settings::default().decode(object)
}

/// Asserts what becomes of an object.
#[track_caller]
pub(crate) fn check(name: &str, object: &[u8], expected: &Expected) {
    assert_eq!(&decode(object).verdict, expected, "{name}");
}

/// An error's words go to logs: they are short and hold nothing of the input but numbers.
fn presentable(error: &DecodeError) {
    let words = error.to_string();
    assert!(words.len() < 300 && !words.chars().any(char::is_control), "{words:?}");
}

/// A small generator (xorshift64*), so that every run does the same.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % bound
    }

    fn pieces<'a>(&mut self, mut object: &'a [u8], longest: u64) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while !object.is_empty() {
            let at = usize::try_from(self.below(longest + 1)).unwrap().min(object.len());
            let (piece, rest) = object.split_at(at);
            pieces.push(piece);
            object = rest;
        }
        pieces
    }
}
