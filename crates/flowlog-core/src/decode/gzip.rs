//! gzip, pushed: every member, whatever the pieces, with the end told from damage.
//!
//! `flate2`'s writers gather output before they pass it on, so what is seen first, damage or what
//! stood before it, depends on how the input was cut; and they call a file that ends inside a
//! trailer corrupt rather than truncated. Here output comes out before the error that follows it,
//! and the state for inflating is made once, however many members there are.
//!
//! Bounding the output is the receiver's business: its error stops the inflating at once.

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Why compressed bytes are no gzip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GzipError {
    /// Bad magic, bad block, bad checksum or length.
    #[error("{0}")]
    Corrupt(&'static str),
    /// The input ends inside a member.
    #[error("the input ends inside a member")]
    Truncated,
}

/// Takes in a gzip in any pieces and gives out what it inflates to.
#[derive(Debug)]
pub struct Inflater {
    part: Part,
    /// Flags of the member's header.
    flags: u8,
    /// Fixed-length parts gather here.
    held: Vec<u8>,
    /// Of the header, where it has a checksum.
    header: Crc,
    deflate: Decompress,
    /// Of the member's output.
    output: Crc,
    buffer: Box<[u8]>,
    members: u64,
    input: u64,
}

/// Where in a member the input stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The ten fixed bytes of a header.
    Fixed,
    /// Two bytes: length of the extra field.
    ExtraLength,
    /// So many bytes of the extra field are to come.
    Extra(u16),
    /// A file name, ended by a zero.
    Name,
    /// A comment, ended by a zero.
    Comment,
    /// Two bytes: checksum of the header.
    HeaderSum,
    Body,
    /// Eight bytes: checksum and length of the output.
    Trailer,
}

/// Inflated bytes at a time. With each piece zlib keeps the last 32 KiB of it, so that small pieces cost
/// a copy of everything; large ones leave the cache.
const BUFFER: usize = 128 * 1024;

/// What every member begins with: two bytes of magic, and deflate as the method.
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// Bits of a header's flags.
const HEADER_SUM: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

impl Default for Inflater {
    fn default() -> Self {
        Self {
            part: Part::Fixed,
            flags: 0,
            held: Vec::with_capacity(10),
            header: Crc::new(),
            deflate: Decompress::new(false),
            output: Crc::new(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            members: 0,
            input: 0,
        }
    }
}

impl Inflater {
    /// Takes in the next piece, of any length. Output goes to `out` as soon as it is there; an
    /// error of `out` is passed on, and the inflater is spent after any error.
    pub fn push<E: From<GzipError>>(
        &mut self,
        mut bytes: &[u8],
        mut out: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let taken = match self.part {
                Part::Body => self.body(bytes, &mut out)?,
                _ => self.frame(bytes)?,
            };
            self.input += taken as u64;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// The input is over: right after a member, or it is truncated.
    pub fn finish(&self) -> Result<(), GzipError> {
        let between = self.members > 0 && self.part == Part::Fixed && self.held.is_empty();
        if between { Ok(()) } else { Err(GzipError::Truncated) }
    }

    /// Bytes of input that have been used.
    pub fn input(&self) -> u64 {
        self.input
    }

    fn body<E: From<GzipError>>(
        &mut self,
        bytes: &[u8],
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut taken = 0;
        loop {
            let (input, output) = (self.deflate.total_in(), self.deflate.total_out());
            let rest = &bytes[taken..];
            let status = self.deflate.decompress(rest, &mut self.buffer, FlushDecompress::None);
            let used = usize::try_from(self.deflate.total_in() - input).unwrap_or(rest.len());
            let made = usize::try_from(self.deflate.total_out() - output).unwrap_or(0);
            taken += used;
            // Before the error, if there is one: what stood before the damage comes out first.
            if made > 0 {
                let made = &self.buffer[..made];
                self.output.update(made);
                out(made)?;
            }
            match status {
                Ok(Status::StreamEnd) => {
                    self.part = Part::Trailer;
                    return Ok(taken);
                }
                // A full buffer may not have been all of it.
                Ok(_) if made == self.buffer.len() => {}
                Ok(_) if taken == bytes.len() => return Ok(taken),
                Ok(_) if used > 0 || made > 0 => {}
                // Neither taking nor giving anything would be for ever.
                _ => return Err(GzipError::Corrupt("bad deflate block").into()),
            }
        }
    }

    /// Takes in some of what stands around the body; returns how much.
    fn frame(&mut self, bytes: &[u8]) -> Result<usize, GzipError> {
        let taken = match self.part {
            Part::Fixed => {
                let taken = self.gather(bytes, 10);
                if !MAGIC.iter().zip(&self.held).all(|(expected, byte)| expected == byte) {
                    return Err(GzipError::Corrupt("bad gzip header"));
                }
                taken
            }
            Part::ExtraLength | Part::HeaderSum => self.gather(bytes, 2),
            Part::Trailer => self.gather(bytes, 8),
            Part::Extra(left) => bytes.len().min(usize::from(left)),
            Part::Name | Part::Comment => memchr::memchr(0, bytes).map_or(bytes.len(), |at| at + 1),
            Part::Body => 0,
        };
        let piece = &bytes[..taken];
        if !matches!(self.part, Part::HeaderSum | Part::Trailer) {
            self.header.update(piece);
        }
        let done = match &mut self.part {
            Part::Fixed => self.held.len() == 10,
            Part::ExtraLength | Part::HeaderSum => self.held.len() == 2,
            Part::Trailer => self.held.len() == 8,
            Part::Extra(left) => {
                // `piece` is no longer than that.
                *left -= u16::try_from(piece.len()).unwrap_or(*left);
                *left == 0
            }
            Part::Name | Part::Comment => piece.last() == Some(&0),
            Part::Body => false,
        };
        if done {
            self.next_part()?;
            self.held.clear();
        }
        Ok(taken)
    }

    fn gather(&mut self, bytes: &[u8], length: usize) -> usize {
        let taken = bytes.len().min(length - self.held.len());
        self.held.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// Judges the part that is complete and finds the one that follows.
    fn next_part(&mut self) -> Result<(), GzipError> {
        let held = self.held.as_slice();
        match (self.part, held) {
            (Part::Fixed, [_, _, _, flags, ..]) if flags & RESERVED == 0 => {
                self.flags = *flags;
            }
            (Part::Fixed, _) => return Err(GzipError::Corrupt("reserved flags in a gzip header")),
            (Part::ExtraLength, [low, high]) => {
                let length = u16::from_le_bytes([*low, *high]);
                if length > 0 {
                    self.part = Part::Extra(length);
                    return Ok(());
                }
            }
            (Part::HeaderSum, [low, high])
                if u32::from(u16::from_le_bytes([*low, *high])) != self.header.sum() & 0xffff =>
            {
                return Err(GzipError::Corrupt("bad checksum of a gzip header"));
            }
            (Part::Trailer, [sum @ .., a, b, c, d]) => {
                let sum = sum.try_into().map_or(0, u32::from_le_bytes);
                return self.end_member(sum, u32::from_le_bytes([*a, *b, *c, *d]));
            }
            _ => {}
        }
        let follows = [
            (Part::ExtraLength, EXTRA),
            (Part::Name, NAME),
            (Part::Comment, COMMENT),
            (Part::HeaderSum, HEADER_SUM),
        ];
        let done = match self.part {
            Part::Fixed => 0,
            Part::ExtraLength | Part::Extra(_) => 1,
            Part::Name => 2,
            Part::Comment => 3,
            Part::HeaderSum | Part::Body | Part::Trailer => 4,
        };
        let next = follows[done..].iter().find(|(_, flag)| self.flags & flag != 0);
        self.part = next.map_or(Part::Body, |(part, _)| *part);
        Ok(())
    }

    fn end_member(&mut self, sum: u32, length: u32) -> Result<(), GzipError> {
        if sum != self.output.sum() || length != self.output.amount() {
            return Err(GzipError::Corrupt("bad checksum or length of a gzip member"));
        }
        self.members += 1;
        self.part = Part::Fixed;
        self.header.reset();
        self.output.reset();
        self.deflate.reset(false);
        Ok(())
    }
}
