//! What holds for any input, one function for each place where strangers' bytes come in.
//!
//! A property panics where it does not hold. libFuzzer looks for such an input (`fuzz_targets`); the
//! ordinary tests run the properties over what is kept in `seeds`, which has everything that was found
//! (`crates/flowlog-core/tests/fuzzed`). The first bytes of an input often say what to make of the rest.

mod blob;
mod formats;
mod gzip;
mod heard;
mod lines;
mod parquet;
mod row;
mod s3_event;
mod subject;
mod subscription;

pub use blob::blob;
pub use formats::header;
pub use gzip::gzip;
pub use lines::lines;
pub use parquet::parquet;
pub use row::row;
pub use s3_event::s3_event;
pub use subject::subject;
pub use subscription::subscription;

/// A property: panics where it does not hold.
pub type Property = fn(&[u8]);

/// Every property by the name of its target.
pub const TARGETS: [(&str, Property); 9] = [
    ("row", row),
    ("header", header),
    ("lines", lines),
    ("gzip", gzip),
    ("parquet", parquet),
    ("subscription", subscription),
    ("s3_event", s3_event),
    ("blob", blob),
    ("subject", subject),
];

/// Bytes that a target may have allocated at any time, the fuzzer's own in Rust included: an input of
/// 64 KiB (`fuzz.py` makes none longer) may inflate to 14 MiB at most.
pub const MEMORY: usize = 96 << 20;

/// Takes a byte off the front, 0 where there is none.
fn first(bytes: &mut &[u8]) -> u8 {
    let Some((first, rest)) = bytes.split_first() else { return 0 };
    *bytes = rest;
    *first
}

/// Asserts that text can be shown anywhere: printable ASCII.
fn printable(what: &str, text: &str) {
    assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{what}: {text:?}");
}
