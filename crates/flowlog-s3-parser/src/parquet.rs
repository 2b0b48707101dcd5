//! Reading one Parquet object by ranges, each of the same object.

use std::ops::Range;

use bytes::Bytes;
use flowlog_core::decode::{Decoded, ParquetDecoder, Step};
use flowlog_core::ingest::Partials;
use flowlog_core::object::{ObjectError, ObjectHead, ObjectRef, Objects};
use flowlog_core::rollup::Accumulator;

use crate::download::Download;
use crate::object::ReadError;

/// Ranges with fewer bytes between them are read by one request: a request costs more than that.
const GAP: u64 = 256 << 10;

/// Brings the decoder what it asks for. `write` is shown what has come of it after every batch of rows.
pub(crate) async fn read<'a, O: Objects, E>(
    objects: &O,
    at: &ObjectRef,
    head: &ObjectHead,
    mut decoder: ParquetDecoder<Accumulator<Partials<'a>>>,
    mut write: impl AsyncFnMut(&mut Partials<'a>) -> Result<(), E>,
) -> Result<Result<Decoded<Accumulator<Partials<'a>>>, ReadError>, E> {
    loop {
        match decoder.step() {
            Ok(Step::Need(ranges)) => match fetch(objects, at, head, &ranges).await {
                Ok(bytes) => {
                    if let Err(error) = decoder.push(bytes) {
                        return Ok(Err(ReadError::Decode(error)));
                    }
                }
                Err(error) => return Ok(Err(ReadError::Object(error))),
            },
            Ok(Step::Rows) => write(decoder.sink_mut().chunks_mut()).await?,
            Ok(Step::Done) => return Ok(decoder.finish().map_err(ReadError::Decode)),
            Err(error) => return Ok(Err(ReadError::Decode(error))),
        }
    }
}

/// The ranges, in their order, by as few requests as that takes.
async fn fetch<O: Objects>(
    objects: &O,
    at: &ObjectRef,
    head: &ObjectHead,
    ranges: &[Range<u64>],
) -> Result<Vec<Bytes>, ObjectError> {
    let mut found = vec![Bytes::new(); ranges.len()];
    for span in spans(ranges) {
        let mut parts: Vec<(usize, Vec<u8>)> = Vec::with_capacity(span.ranges.len());
        for nth in &span.ranges {
            // The decoder has held their sum against its limit before it asked.
            let length = usize::try_from(ranges[*nth].end - ranges[*nth].start).unwrap_or(0);
            parts.push((*nth, Vec::with_capacity(length)));
        }
        let mut reached = span.bytes.start;
        let mut download = Download::part(objects, at, head, span.bytes).await?;
        while let Some(piece) = download.next().await? {
            for (nth, part) in &mut parts {
                part.extend_from_slice(within(&piece, reached, &ranges[*nth]));
            }
            reached += piece.len() as u64;
        }
        for (nth, part) in parts {
            found[nth] = Bytes::from(part);
        }
    }
    Ok(found)
}

/// The part of a piece that begins at `offset` which lies in `range`.
fn within<'a>(piece: &'a [u8], offset: u64, range: &Range<u64>) -> &'a [u8] {
    let place =
        |at: u64| usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX).min(piece.len());
    &piece[place(range.start)..place(range.end)]
}

/// What one request reads.
#[derive(Debug, PartialEq, Eq)]
struct Span {
    bytes: Range<u64>,
    /// Which of the ranges lie in it.
    ranges: Vec<usize>,
}

/// Puts ranges together that lie close to each other.
fn spans(ranges: &[Range<u64>]) -> Vec<Span> {
    // Nothing cannot be asked for.
    let mut order: Vec<usize> = (0..ranges.len()).filter(|n| !ranges[*n].is_empty()).collect();
    order.sort_by_key(|nth| ranges[*nth].start);
    let mut spans: Vec<Span> = Vec::new();
    for nth in order {
        let range = &ranges[nth];
        match spans.last_mut() {
            Some(span) if range.start <= span.bytes.end.saturating_add(GAP) => {
                span.bytes.end = span.bytes.end.max(range.end);
                span.ranges.push(nth);
            }
            _ => spans.push(Span { bytes: range.clone(), ranges: vec![nth] }),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_ranges_are_one_request() {
        let far = 10 + GAP + 1;
        let found = spans(&[far..far + 5, 0..4, 6..10, 8..9, 5..5]);
        let bytes: Vec<_> = found.iter().map(|span| span.bytes.clone()).collect();
        assert_eq!(bytes, [0..10, far..far + 5]);
        assert_eq!(found[0].ranges, [1, 2, 3]);
        assert_eq!(spans(&[]), []);
    }

    #[test]
    fn a_piece_falls_into_ranges() {
        let parts = |range| within(b"abcdef", 10, &range);
        assert_eq!(parts(0..10), b"");
        assert_eq!(parts(8..12), b"ab");
        assert_eq!(parts(11..14), b"bcd");
        assert_eq!(parts(15..99), b"f");
        assert_eq!(parts(16..99), b"");
    }
}
