//! The core alone, as it decodes and rolls up a gzip or plain file: what there is to profile.

use flowlog_core::decode::{Fallback, Limits, ObjectDecoder};
use flowlog_core::rollup::{Accumulator, Budget};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args_os().skip(1) {
        let bytes = std::fs::read(path)?;
        let sink = Accumulator::new(Budget::default(), None);
        let mut decoder = ObjectDecoder::new(
            Limits::default(),
            Fallback::Default,
            Some(bytes.len() as u64),
            sink,
        );
        let mut rollups = 0;
        for piece in bytes.chunks(256 << 10) {
            decoder.push(piece)?;
            if let Some(sink) = decoder.sink_mut() {
                rollups += sink.take_ready().iter().map(Vec::len).sum::<usize>();
            }
        }
        let decoded = decoder.finish()?;
        rollups += decoded.sink.finish().iter().map(Vec::len).sum::<usize>();
        println!("{} rows, {rollups} roll-ups", decoded.counts.read);
    }
    Ok(())
}
