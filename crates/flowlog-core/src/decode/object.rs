//! One object: told apart by its first bytes, inflated with bounds, cut into lines.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

use super::{Counts, DecodeError, Fallback, Limits, LineDecoder, RecordSink};
use crate::format::Format;

/// How an object is stored, told by its first bytes and never by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Plain text.
    Plain,
    /// gzip, one member or several.
    Gzip,
}

impl Encoding {
    /// `plain` or `gzip`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
        }
    }
}

/// What a whole object was.
#[derive(Debug)]
pub struct Decoded<S> {
    /// The sink, with everything it was given.
    pub sink: S,
    /// What became of the lines; balances.
    pub counts: Counts,
    /// The (last) format.
    pub format: Option<Format>,
    /// How it was stored.
    pub encoding: Encoding,
    /// Bytes of input.
    pub input_bytes: u64,
}

/// Takes in an object's bytes in any pieces.
#[derive(Debug)]
pub struct ObjectDecoder<S: RecordSink> {
    stage: Stage<S>,
    /// Bytes of input taken in.
    input: u64,
}

#[derive(Debug)]
enum Stage<S: RecordSink> {
    /// The first bytes have not all arrived.
    Sniff {
        head: Vec<u8>,
        lines: Box<Lines<S>>,
    },
    Plain(Box<Lines<S>>),
    Gzip(Box<MultiGzDecoder<Lines<S>>>),
    /// After an error, nothing more is taken in.
    Failed,
}

/// The first bytes that tell an encoding: `1f 8b` and `PAR1`.
const SNIFF: usize = 4;

impl<S: RecordSink> ObjectDecoder<S> {
    /// A decoder that has seen nothing. `size` is the object's length where it is known; without
    /// it the bound on the compression ratio is held against what has arrived so far.
    pub fn new(limits: Limits, fallback: Fallback, size: Option<u64>, sink: S) -> Self {
        let lines = Lines {
            decoder: LineDecoder::new(limits, fallback),
            sink,
            limits,
            size,
            input: 0,
            output: 0,
            failure: None,
        };
        Self { stage: Stage::Sniff { head: Vec::new(), lines: Box::new(lines) }, input: 0 }
    }

    /// Takes in the next piece, of any length. After an error the decoder is spent.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.input += bytes.len() as u64;
        let result = self.advance(bytes);
        if result.is_err() {
            self.stage = Stage::Failed;
        }
        result
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        match &mut self.stage {
            Stage::Sniff { head, .. } => {
                head.extend_from_slice(bytes);
                if head.len() < SNIFF { Ok(()) } else { self.decide() }
            }
            Stage::Plain(lines) => lines.text(bytes),
            Stage::Gzip(gzip) => {
                gzip.get_mut().input = self.input;
                inflate(gzip, bytes)
            }
            Stage::Failed => Ok(()),
        }
    }

    /// Leaves the sniffing stage with what has arrived.
    fn decide(&mut self) -> Result<(), DecodeError> {
        let Stage::Sniff { head, mut lines } = std::mem::replace(&mut self.stage, Stage::Failed)
        else {
            return Ok(());
        };
        if head.starts_with(b"\x1f\x8b") {
            lines.input = self.input;
            let mut gzip = Box::new(MultiGzDecoder::new(*lines));
            let result = inflate(&mut gzip, &head);
            self.stage = Stage::Gzip(gzip);
            result
        } else if head.starts_with(b"PAR1") {
            Err(DecodeError::Unsupported("Parquet"))
        } else {
            let result = lines.text(&head);
            self.stage = Stage::Plain(lines);
            result
        }
    }

    /// The sink, to take out what it has ready.
    pub fn sink_mut(&mut self) -> Option<&mut S> {
        match &mut self.stage {
            Stage::Sniff { lines, .. } | Stage::Plain(lines) => Some(&mut lines.sink),
            Stage::Gzip(gzip) => Some(&mut gzip.get_mut().sink),
            Stage::Failed => None,
        }
    }

    /// The input is over. Errors if it ends inside a gzip member or held nothing.
    pub fn finish(mut self) -> Result<Decoded<S>, DecodeError> {
        if matches!(self.stage, Stage::Sniff { .. }) {
            self.decide()?;
        }
        let input = self.input;
        let (lines, encoding) = match self.stage {
            Stage::Plain(lines) => (*lines, Encoding::Plain),
            Stage::Gzip(mut gzip) => {
                gzip.try_finish().map_err(|error| gzip_error(gzip.get_mut(), &error))?;
                let lines =
                    gzip.finish().map_err(|_| DecodeError::TruncatedGzip { offset: input })?;
                (lines, Encoding::Gzip)
            }
            Stage::Sniff { .. } | Stage::Failed => return Err(DecodeError::Empty),
        };
        let Lines { mut decoder, mut sink, .. } = lines;
        decoder.finish(&mut sink)?;
        let counts = decoder.counts().clone();
        Ok(Decoded {
            sink,
            counts,
            format: decoder.format().cloned(),
            encoding,
            input_bytes: input,
        })
    }
}

/// Pushes compressed bytes; inflated ones come out in [`Lines::write`].
fn inflate<S: RecordSink>(
    gzip: &mut MultiGzDecoder<Lines<S>>,
    bytes: &[u8],
) -> Result<(), DecodeError> {
    gzip.write_all(bytes).map_err(|error| gzip_error(gzip.get_mut(), &error))
}

/// Our own verdict where the lines or the bounds stopped the inflating, else the decompressor's.
fn gzip_error<S: RecordSink>(lines: &mut Lines<S>, error: &io::Error) -> DecodeError {
    if let Some(failure) = lines.failure.take() {
        return failure;
    }
    let offset = lines.input;
    match error.kind() {
        io::ErrorKind::UnexpectedEof => DecodeError::TruncatedGzip { offset },
        _ => DecodeError::CorruptGzip { offset, reason: error.to_string() },
    }
}

/// The text end of the pipe: bounds, then lines, then the sink.
#[derive(Debug)]
struct Lines<S: RecordSink> {
    decoder: LineDecoder,
    sink: S,
    limits: Limits,
    /// Length of the compressed object, where known.
    size: Option<u64>,
    /// Compressed bytes so far.
    input: u64,
    /// Inflated bytes so far.
    output: u64,
    /// Why `write` said no; `io::Error` could not carry it out unchanged.
    failure: Option<DecodeError>,
}

impl<S: RecordSink> Lines<S> {
    fn text(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.decoder.push(bytes, &mut self.sink)
    }
}

impl<S: RecordSink> Write for Lines<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output += bytes.len() as u64;
        let input = self.size.unwrap_or(0).max(self.input);
        let by_ratio =
            input.saturating_mul(self.limits.ratio).saturating_add(self.limits.ratio_slack);
        let limit = self.limits.output.min(by_ratio);
        let result = if self.output > limit {
            Err(DecodeError::Bomb { offset: self.input, limit })
        } else {
            self.text(bytes)
        };
        result.map(|()| bytes.len()).map_err(|failure| {
            self.failure = Some(failure);
            io::Error::other("stopped")
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
