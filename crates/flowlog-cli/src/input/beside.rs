//! gzip inflated on a thread of its own, while what it gave is decoded and rolled up.
//!
//! Inflating is about half of the work on an object, and the only part that can go on beside the rest
//! without changing a result: records are still taken in one after the other. Pieces are handed over in
//! order and given back to be filled again. For one large file on a machine that has nothing else to do;
//! a Lambda function has less than one processor, and takes several objects at once instead.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use flowlog_core::decode::{DecodeError, Decoded, GzipError, Inflater, ObjectDecoder, RecordSink};
use indicatif::ProgressBar;

use super::PIECE;

/// How many pieces wait at most, of up to 128 KiB each. With fewer, one side waits for the other more often; with
/// more, nothing is gained.
const WAITING: usize = 4;

/// A piece of text, and how many bytes of the object had been read when it came out.
type Piece = (u64, Vec<u8>);

/// Goes on with an object whose inflating `decoder` has handed over; the rest of it is in `reader`.
pub(super) fn decode<S: RecordSink>(
    inflater: Inflater,
    reader: impl Read + Send,
    mut decoder: ObjectDecoder<S>,
    progress: &ProgressBar,
) -> Result<Decoded<S>, String> {
    let (send, pieces) = sync_channel::<Piece>(WAITING);
    let (give_back, empty) = channel();
    thread::scope(|scope| {
        let inflating = scope.spawn(move || inflate(inflater, reader, &send, &empty, progress));
        // An error here lets go of the pieces, which ends the thread.
        for (input, text) in pieces {
            decoder.push_inflated(input, &text).map_err(|error| error.to_string())?;
            // Nobody takes it back once everything has been inflated.
            let _ = give_back.send(text);
        }
        let input = inflating.join().map_err(|_| "inflating broke off".to_owned())??;
        decoder.push_inflated(input, &[]).map_err(|error| error.to_string())?;
        decoder.finish().map_err(|error| error.to_string())
    })
}

/// Why inflating ends early.
enum Stop {
    Damaged(GzipError),
    /// Nobody wants the rest.
    Unwanted,
}

impl From<GzipError> for Stop {
    fn from(error: GzipError) -> Self {
        Self::Damaged(error)
    }
}

/// Inflates everything; returns how many bytes the object has.
fn inflate(
    mut inflater: Inflater,
    mut reader: impl Read,
    pieces: &SyncSender<Piece>,
    empty: &Receiver<Vec<u8>>,
    progress: &ProgressBar,
) -> Result<u64, String> {
    let damaged = |error: GzipError, at| DecodeError::from(error).at(at).to_string();
    let mut buffer = vec![0; PIECE];
    let mut input = inflater.input();
    loop {
        let n = reader.read(&mut buffer).map_err(|error| error.to_string())?;
        if n == 0 {
            return inflater.finish().map(|()| input).map_err(|error| damaged(error, input));
        }
        progress.inc(n as u64);
        input += n as u64;
        let pushed = inflater.push(&buffer[..n], |text| {
            let mut piece = empty.try_recv().unwrap_or_default();
            piece.clear();
            piece.extend_from_slice(text);
            pieces.send((input, piece)).map_err(|_| Stop::Unwanted)
        });
        match pushed {
            Ok(()) => {}
            Err(Stop::Unwanted) => return Ok(input),
            Err(Stop::Damaged(error)) => return Err(damaged(error, inflater.input())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use flowlog_core::decode::{Fallback, Limits};
    use flowlog_core::rollup::{Accumulator, Budget};

    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn rows(count: u32) -> String {
        let mut text = format!("{}\n", flowlog_core::format::DEFAULT_HEADER);
        for n in 0..count {
            let at = 1_793_491_200 + n % 900;
            let _ = writeln!(
                text,
                "2 123456789010 eni-{:x} 10.0.0.{} 198.51.100.{} {} 443 6 20 {n} {at} {at} ACCEPT OK",
                n % 5,
                n % 200 + 1,
                n % 250,
                n % 60_000 + 1024
            );
        }
        text
    }

    /// What decoding comes to, on this thread alone or with one beside it.
    fn outcome(object: &[u8], limits: Limits, beside: bool) -> Result<String, String> {
        let size = Some(object.len() as u64);
        let sink = Accumulator::new(Budget::default(), None);
        let mut decoder = ObjectDecoder::new(limits, Fallback::Default, size, sink);
        let progress = ProgressBar::hidden();
        let (first, rest) = object.split_at(object.len().min(100));
        decoder.push(first).map_err(|error| error.to_string())?;
        let whole = if beside && let Some(inflater) = decoder.take_inflater() {
            decode(inflater, rest, decoder, &progress)?
        } else {
            for piece in rest.chunks(PIECE) {
                decoder.push(piece).map_err(|error| error.to_string())?;
            }
            decoder.finish().map_err(|error| error.to_string())?
        };
        let Decoded { sink, counts, format, encoding, input_bytes } = whole;
        let chunks = sink.finish();
        Ok(format!("{chunks:?} {counts:?} {format:?} {encoding:?} {input_bytes}"))
    }

    #[test]
    fn a_thread_beside_changes_nothing() {
        let whole = gzip(&rows(20_000));
        let members = [gzip(&rows(3_000)), gzip(""), gzip(&rows(3_000))].concat();
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 0x55;
        let cut = &whole[..whole.len() - 5];
        let behind = [&whole[..], b"behind"].concat();
        let nothing = gzip("no flow log at all\n");
        let objects: [&[u8]; 7] = [&whole, &members, &damaged, cut, &behind, &nothing, b"plain\n"];
        for object in objects {
            let limits = Limits::default();
            assert_eq!(outcome(object, limits, true), outcome(object, limits, false));
        }
        assert!(outcome(&whole, Limits::default(), true).is_ok());
        let narrow = Limits { output: 300_000, ..Limits::default() };
        let bomb = outcome(&whole, narrow, true);
        assert!(bomb.as_ref().is_err_and(|error| error.contains("300000")), "{bomb:?}");
    }
}
