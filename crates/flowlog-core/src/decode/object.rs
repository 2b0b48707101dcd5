//! One object: told apart by its first bytes, inflated with bounds, cut into lines.

use super::limits::LEAST_LINE;
use super::parquet::{MAGIC, ParquetDecoder};
use super::{Counts, DecodeError, Fallback, GzipError, Inflater, Limits, LineDecoder, RecordSink};
use crate::format::Format;

/// How an object is stored, told by its first bytes and never by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Plain text.
    Plain,
    /// gzip, one member or several.
    Gzip,
    /// Parquet, which is read by ranges.
    Parquet,
}

impl Encoding {
    /// `plain`, `gzip` or `parquet`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Parquet => "parquet",
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
    Gzip(Box<(Inflater, Lines<S>)>),
    /// gzip that somebody else inflates.
    Inflated(Box<Lines<S>>),
    /// Parquet is not read from its beginning on: what has arrived is put aside.
    Parquet(Box<Lines<S>>),
    /// After an error, nothing more is taken in: the error is said again.
    Failed(DecodeError),
}

/// The first bytes that tell an encoding: `1f 8b` and `PAR1`.
const SNIFF: usize = MAGIC.len();

/// What stands at the end of a Parquet file is needed first.
const AS_A_STREAM: DecodeError = DecodeError::Unsupported("Parquet as a stream");

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
        };
        Self { stage: Stage::Sniff { head: Vec::new(), lines: Box::new(lines) }, input: 0 }
    }

    /// Takes in the next piece, of any length. After an error the decoder is spent and repeats it.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.input += bytes.len() as u64;
        let result = self.advance(bytes);
        if let Err(error) = &result
            && !self.is_parquet()
        {
            self.stage = Stage::Failed(error.clone());
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
                let (inflater, lines) = &mut **gzip;
                inflate(inflater, lines, bytes)
            }
            Stage::Inflated(lines) => lines.inflated(bytes),
            Stage::Parquet(_) => Err(AS_A_STREAM),
            Stage::Failed(error) => Err(error.clone()),
        }
    }

    /// Hands over the inflating, if the object has turned out to be gzip: from here on the caller does it
    /// and gives what comes out to [`ObjectDecoder::push_inflated`]. `None` before four bytes have
    /// arrived, and for everything else.
    pub fn take_inflater(&mut self) -> Option<Inflater> {
        if !matches!(self.stage, Stage::Gzip(_)) {
            return None;
        }
        let spent = Stage::Failed(DecodeError::Empty);
        let Stage::Gzip(gzip) = std::mem::replace(&mut self.stage, spent) else { return None };
        let (inflater, lines) = *gzip;
        self.stage = Stage::Inflated(Box::new(lines));
        Some(inflater)
    }

    /// Takes in what the inflater that was handed over made of the object's first `input` bytes beyond
    /// what it made before.
    pub fn push_inflated(&mut self, input: u64, text: &[u8]) -> Result<(), DecodeError> {
        if let Stage::Inflated(lines) = &mut self.stage {
            (lines.input, self.input) = (input, input);
        }
        let result = self.advance(text);
        if let Err(error) = &result {
            self.stage = Stage::Failed(error.clone());
        }
        result
    }

    /// Leaves the sniffing stage with what has arrived.
    fn decide(&mut self) -> Result<(), DecodeError> {
        let spent = Stage::Failed(DecodeError::Empty);
        let Stage::Sniff { head, mut lines } = std::mem::replace(&mut self.stage, spent) else {
            return Ok(());
        };
        if head.starts_with(b"\x1f\x8b") {
            let mut gzip = Box::new((Inflater::default(), *lines));
            let result = inflate(&mut gzip.0, &mut gzip.1, &head);
            self.stage = Stage::Gzip(gzip);
            result
        } else if head.starts_with(MAGIC) {
            self.stage = Stage::Parquet(lines);
            Err(AS_A_STREAM)
        } else {
            let result = lines.text(&head);
            self.stage = Stage::Plain(lines);
            result
        }
    }

    /// The sink, to take out what it has ready.
    pub fn sink_mut(&mut self) -> Option<&mut S> {
        match &mut self.stage {
            Stage::Sniff { lines, .. } | Stage::Plain(lines) | Stage::Inflated(lines) => {
                Some(&mut lines.sink)
            }
            Stage::Gzip(gzip) => Some(&mut gzip.1.sink),
            Stage::Parquet(_) | Stage::Failed(_) => None,
        }
    }

    /// Whether the object has turned out to be Parquet, after which nothing more can be pushed.
    pub fn is_parquet(&self) -> bool {
        matches!(self.stage, Stage::Parquet(_))
    }

    /// Goes on by ranges, if the object has turned out to be Parquet. `size` is its length.
    pub fn into_parquet(self, size: u64) -> Result<ParquetDecoder<S>, DecodeError> {
        match self.stage {
            Stage::Parquet(lines) => Ok(ParquetDecoder::new(lines.limits, size, lines.sink)),
            Stage::Failed(error) => Err(error),
            _ => Err(DecodeError::Empty),
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
            Stage::Inflated(lines) => (*lines, Encoding::Gzip),
            Stage::Gzip(gzip) => {
                let (inflater, lines) = *gzip;
                inflater.finish().map_err(|error| DecodeError::from(error).at(input))?;
                (lines, Encoding::Gzip)
            }
            Stage::Failed(error) => return Err(error),
            Stage::Parquet(_) => return Err(AS_A_STREAM),
            Stage::Sniff { .. } => return Err(DecodeError::Empty),
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

/// Pushes compressed bytes; inflated ones go to the lines.
fn inflate<S: RecordSink>(
    inflater: &mut Inflater,
    lines: &mut Lines<S>,
    bytes: &[u8],
) -> Result<(), DecodeError> {
    lines.input += bytes.len() as u64;
    let result = inflater.push(bytes, |text| lines.inflated(text));
    result.map_err(|error| error.at(inflater.input()))
}

impl From<GzipError> for DecodeError {
    fn from(error: GzipError) -> Self {
        match error {
            GzipError::Corrupt(reason) => {
                Self::CorruptGzip { offset: 0, reason: reason.to_owned() }
            }
            GzipError::Truncated => Self::TruncatedGzip { offset: 0 },
        }
    }
}

impl DecodeError {
    /// Damage of the compressed bytes, with its place among them.
    #[must_use]
    pub fn at(mut self, place: u64) -> Self {
        if let Self::CorruptGzip { offset, .. } | Self::TruncatedGzip { offset } = &mut self {
            *offset = place;
        }
        self
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
}

impl<S: RecordSink> Lines<S> {
    fn text(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.decoder.push(bytes, &mut self.sink)
    }

    /// Takes in what a compressed object inflates to, up to the bound: text that is no flow log
    /// within it is that, however the input was cut.
    fn inflated(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let input = self.size.unwrap_or(0).max(self.input);
        let limit = self.limits.output_of(input);
        let room = usize::try_from(limit.saturating_sub(self.output)).unwrap_or(usize::MAX);
        self.output += bytes.len() as u64;
        match bytes.get(..room) {
            Some(text) if room < bytes.len() => {
                self.text(text)?;
                return Err(DecodeError::Bomb { offset: self.input, limit });
            }
            _ => self.text(bytes)?,
        }
        if self.decoder.lines().saturating_mul(LEAST_LINE) > limit {
            return Err(DecodeError::Bomb { offset: self.input, limit });
        }
        Ok(())
    }
}
