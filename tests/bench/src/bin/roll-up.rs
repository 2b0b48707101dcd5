//! The core alone, as it decodes and rolls up a gzip, plain or Parquet file: what there is to profile.

use bytes::Bytes;
use flowlog_core::decode::{Decoded, Fallback, Limits, ObjectDecoder, ParquetDecoder, Step};
use flowlog_core::rollup::{Accumulator, Budget, Chunk};

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    for path in std::env::args_os().skip(1) {
        let bytes = std::fs::read(path)?;
        let mut rollups = 0;
        let sink = Accumulator::new(Budget::default(), None);
        let mut take = |sink: &mut Accumulator| rollups += count(&sink.take_ready());
        let decoded = if bytes.starts_with(b"PAR1") {
            columns(bytes.into(), sink, &mut take)?
        } else {
            lines(&bytes, sink, &mut take)?
        };
        rollups += count(&decoded.sink.finish());
        println!("{} rows, {rollups} roll-ups", decoded.counts.read);
    }
    Ok(())
}

fn count(chunks: &[Chunk]) -> usize {
    chunks.iter().map(Vec::len).sum()
}

fn lines(
    bytes: &[u8],
    sink: Accumulator,
    take: &mut impl FnMut(&mut Accumulator),
) -> Result<Decoded<Accumulator>, Failed> {
    let size = Some(bytes.len() as u64);
    let mut decoder = ObjectDecoder::new(Limits::default(), Fallback::Default, size, sink);
    for piece in bytes.chunks(256 << 10) {
        decoder.push(piece)?;
        decoder.sink_mut().map(&mut *take);
    }
    Ok(decoder.finish()?)
}

fn columns(
    file: Bytes,
    sink: Accumulator,
    take: &mut impl FnMut(&mut Accumulator),
) -> Result<Decoded<Accumulator>, Failed> {
    let mut decoder = ParquetDecoder::new(Limits::default(), file.len() as u64, sink);
    loop {
        match decoder.step()? {
            Step::Need(ranges) => {
                let at = |place| usize::try_from(place).map(|at| at.min(file.len()));
                let bytes = ranges
                    .into_iter()
                    .map(|range| Ok(file.slice(at(range.start)?..at(range.end)?)));
                decoder.push(bytes.collect::<Result<_, Failed>>()?)?;
            }
            Step::Rows => take(decoder.sink_mut()),
            Step::Done => return Ok(decoder.finish()?),
        }
    }
}
