//! A Parquet file, read by ranges.

use flowlog_core::decode::{Counts, Limits, ParquetDecoder, RecordSink};
use flowlog_core::rollup::{Accumulator, Budget};

use super::first;
use super::heard::{Heard, drive, outcome};
use super::lines::{Plainly, stored};

/// So little that chunks end.
const BUDGET: Budget = Budget {
    state_bytes: 16 << 10,
    talker_bytes: 96,
    held_bytes: 176,
    pruned_entries: 2,
    interface_windows: usize::MAX,
    ends_whole: false,
};

/// First byte: whether the rest is a whole file (even), or a body and a footer that get magic and
/// length (odd); then two bytes say how long the footer is.
///
/// What is asked for lies in the file; it ends; rows are counted; with tighter limits it is refused, or
/// says the same. Quick rows and plain ones count the same and give the same roll-ups.
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
        Err(code) => assert_eq!(Err(code), found.as_ref().map(|_| ()).map_err(|code| *code)),
    }
    if found.is_ok_and(|(counts, ..)| counts.read > 0) {
        let accumulator = || Accumulator::new(BUDGET, None);
        let (plain, plainly) = rolled(file, Plainly(accumulator()));
        let (quick, quickly) = rolled(file, accumulator());
        assert_eq!(quick, plain);
        assert_eq!(
            quickly.map(|sink| stored(sink.finish())),
            plainly.map(|sink| stored(sink.0.finish()))
        );
    }
}

/// What is counted, and the sink.
fn rolled<S: RecordSink>(file: &[u8], sink: S) -> (Option<Counts>, Option<S>) {
    let decoder = ParquetDecoder::new(Limits::default(), file.len() as u64, sink);
    drive(decoder, file).ok().map(|decoded| (decoded.counts, decoded.sink)).unzip()
}
