//! A Parquet file, read by ranges.

use flowlog_core::decode::{Limits, ParquetDecoder};

use super::first;
use super::heard::{Heard, drive, outcome};

/// First byte: whether the rest is a whole file (even), or a body and a footer that get magic and
/// length (odd); then two bytes say how long the footer is.
///
/// What is asked for lies in the file; it ends; rows are counted; with tighter limits it is refused, or
/// says the same.
pub fn parquet(mut bytes: &[u8]) {
    let what = first(&mut bytes);
    let framed;
    let file = if what.is_multiple_of(2) {
        bytes
    } else {
        let length = usize::from(first(&mut bytes)) | usize::from(first(&mut bytes)) << 8;
        let footer = length.min(bytes.len());
        let length = u32::try_from(footer).unwrap_or(0).to_le_bytes();
        framed = [b"PAR1", bytes, &length, b"PAR1"].concat();
        &framed
    };
    let read = |limits: Limits| {
        let decoder = ParquetDecoder::new(limits, file.len() as u64, Heard::new());
        outcome(drive(decoder, file), file)
    };
    let found = read(Limits::default());
    let tight =
        read(Limits { row_group: 4 << 10, ratio: 1, ratio_slack: 4 << 10, ..Limits::default() });
    match tight {
        Ok(_) => assert_eq!(tight, found),
        Err("decompression_bomb" | "parquet_too_large") => {}
        Err(code) => assert_eq!(Err(code), found.map(|_| ())),
    }
}
