//! Rows by the quick reader and by the plain decoder, side by side.

use flowlog_core::decode::{Counts, Fallback, Limits, LineDecoder, RecordSink, Verdict};
use flowlog_core::format::{DEFAULT_HEADER, Format};
use flowlog_core::record::Record;
use flowlog_core::rollup::{Accumulator, BLOB_LIMIT, Budget, Chunk, Rollup};

use super::first;

/// Hides the quick way of the sink within.
pub(crate) struct Plainly(pub(crate) Accumulator);

impl RecordSink for Plainly {
    fn record(&mut self, record: &Record<'_>) -> Verdict {
        self.0.record(record)
    }

    fn format(&mut self, format: &Format) {
        self.0.format(format);
    }
}

/// What stands above the text: the default format, what AWS calls version 5, another order with what came
/// later, no direction and no action, and whatever the text begins with.
const HEADERS: [&str; 5] = [
    DEFAULT_HEADER,
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status \
     vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type sublocation-id \
     pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path",
    "instance-tag flow-direction end start reject-reason interface-id shiny-new pkt-dstaddr dstaddr srcaddr bytes \
     packets encryption-status protocol dstport srcport log-status action account-id interface-tag",
    "start end interface-id srcaddr dstaddr srcport dstport protocol bytes packets tcp-flags",
    "",
];

/// First two bytes: the length of the pieces, and how much state may be held and which header stands above
/// the rest, which is text.
///
/// Both readers count the same and give the same roll-ups, which fit into their blobs and add up to
/// what was counted.
pub fn lines(mut bytes: &[u8]) {
    let (piece, budget) = (first(&mut bytes), first(&mut bytes));
    let piece = usize::from(piece) * 16 + 1;
    let header = HEADERS[usize::from(budget) / 24 % HEADERS.len()];
    let state_bytes = (usize::from(budget) % 24 + 1) << 10;
    let budget = Budget { state_bytes, pruned_entries: 2, ..Budget::default() };
    let text = [header.as_bytes(), b"\n", bytes].concat();
    let mut plain = Plainly(Accumulator::new(budget, Some(1_500_000_000)));
    let mut quick = Accumulator::new(budget, Some(1_500_000_000));
    let found = read(&text, piece, &mut plain);
    assert_eq!(read(&text, piece, &mut quick), found);
    let (plain, quick) = (stored(plain.0.finish()), stored(quick.finish()));
    assert_eq!(plain, quick);
    let Ok(counts) = found else { return };
    assert!(counts.balances(), "{counts:?}");
    let mut records = 0;
    for (_, _, blob) in plain {
        assert!((1..=BLOB_LIMIT).contains(&blob.len()));
        let rollup = Rollup::decode(&blob).unwrap_or_else(|error| panic!("{error}"));
        let totals = rollup.totals();
        records += totals.accept.records + totals.reject.records + totals.other.records;
    }
    assert_eq!(records, counts.parsed);
}

fn read<S: RecordSink>(text: &[u8], piece: usize, sink: &mut S) -> Result<Counts, &'static str> {
    let mut decoder = LineDecoder::new(Limits::default(), Fallback::Default);
    for piece in text.chunks(piece) {
        decoder.push(piece, sink).map_err(|error| error.code())?;
    }
    decoder.finish(sink).map_err(|error| error.code())?;
    Ok(decoder.counts().clone())
}

/// Encoded roll-ups in order.
pub(crate) fn stored(chunks: Vec<Chunk>) -> Vec<(String, i64, Vec<u8>)> {
    let rollups = chunks.into_iter().flatten();
    rollups.map(|(id, window, rollup)| (id, window.start(), rollup.encode())).collect()
}
