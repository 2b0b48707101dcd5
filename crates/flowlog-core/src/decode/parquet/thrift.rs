//! A reader of Thrift's compact protocol, in which the headers of Parquet are written: from a slice,
//! without allocating, and to a fixed depth.

/// The bytes are no Thrift, or nest deeper than any header of Parquet's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// Structures in structures beyond this depth are taken for an attack.
const MAX_DEPTH: u8 = 16;

/// The type of a field, as the protocol numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    True,
    False,
    /// A single byte.
    Byte,
    /// 16, 32 or 64 bits, all zigzag varints.
    Int,
    Double,
    Binary,
    /// A list or a set.
    List,
    Map,
    Struct,
    Uuid,
}

impl Kind {
    fn of(nibble: u8) -> Result<Self, Broken> {
        Ok(match nibble {
            1 => Self::True,
            2 => Self::False,
            3 => Self::Byte,
            4..=6 => Self::Int,
            7 => Self::Double,
            8 => Self::Binary,
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Struct,
            13 => Self::Uuid,
            _ => return Err(Broken),
        })
    }
}

/// Reads values one after another.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes have been read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Reads a structure, field by field. `field` reads the value and says so, or leaves it to be
    /// skipped.
    pub(super) fn structure(
        &mut self,
        mut field: impl FnMut(&mut Self, i64, Kind) -> Result<bool, Broken>,
    ) -> Result<(), Broken> {
        let mut id = 0i64;
        while let Some(kind) = self.field(&mut id)? {
            if !field(self, id, kind)? {
                self.skip(kind, MAX_DEPTH)?;
            }
        }
        Ok(())
    }

    /// An integer of 16, 32 or 64 bits.
    pub(super) fn int(&mut self) -> Result<i64, Broken> {
        let raw = self.varint()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    /// An integer of 32 bits.
    pub(super) fn int32(&mut self) -> Result<i32, Broken> {
        i32::try_from(self.int()?).map_err(|_| Broken)
    }

    /// Bytes behind their length.
    pub(super) fn binary(&mut self) -> Result<&'a [u8], Broken> {
        let length = usize::try_from(self.varint()?).map_err(|_| Broken)?;
        self.take(length)
    }

    /// The head of a list: how many elements of which kind follow. Each takes a byte at least.
    fn list(&mut self) -> Result<(usize, Kind), Broken> {
        let head = self.byte()?;
        let size = match head >> 4 {
            15 => usize::try_from(self.varint()?).map_err(|_| Broken)?,
            size => usize::from(size),
        };
        if size > self.bytes.len() - self.at {
            return Err(Broken);
        }
        // Some writers number the elements' boolean type 1, others 2.
        Ok((size, Kind::of(head & 15)?))
    }

    /// The head of a list of structures; returns how many follow.
    pub(super) fn structures(&mut self, most: usize) -> Result<usize, Broken> {
        match self.list()? {
            (size, Kind::Struct) if size <= most => Ok(size),
            (0, _) => Ok(0),
            _ => Err(Broken),
        }
    }

    /// The next field's type, `None` at the end of the structure.
    fn field(&mut self, id: &mut i64) -> Result<Option<Kind>, Broken> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        *id = match head >> 4 {
            0 => self.int()?,
            delta => id.checked_add(i64::from(delta)).ok_or(Broken)?,
        };
        Kind::of(head & 15).map(Some)
    }

    fn skip(&mut self, kind: Kind, depth: u8) -> Result<(), Broken> {
        let depth = depth.checked_sub(1).ok_or(Broken)?;
        match kind {
            Kind::True | Kind::False => Ok(()),
            Kind::Byte => self.take(1).map(drop),
            Kind::Int => self.varint().map(drop),
            Kind::Double => self.take(8).map(drop),
            Kind::Uuid => self.take(16).map(drop),
            Kind::Binary => self.binary().map(drop),
            Kind::List => {
                let (size, kind) = self.list()?;
                (0..size).try_for_each(|_| self.skip_element(kind, depth))
            }
            Kind::Map => {
                let size = self.varint()?;
                if size == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                let (key, value) = (Kind::of(kinds >> 4)?, Kind::of(kinds & 15)?);
                (0..size).try_for_each(|_| {
                    self.skip_element(key, depth)?;
                    self.skip_element(value, depth)
                })
            }
            Kind::Struct => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth)?;
                }
                Ok(())
            }
        }
    }

    /// In lists and maps a boolean is a byte of its own.
    fn skip_element(&mut self, kind: Kind, depth: u8) -> Result<(), Broken> {
        match kind {
            Kind::True | Kind::False => self.take(1).map(drop),
            kind => self.skip(kind, depth),
        }
    }

    fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Broken)
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        let end = self.at.checked_add(length).ok_or(Broken)?;
        let taken = self.bytes.get(self.at..end).ok_or(Broken)?;
        self.at = end;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_or_skipped() {
        // 1: i32 = -3, 2: binary "ab", 4: list<bool> of 2, 5: struct { 1: map<i32, true> }, 21: true
        let bytes = [
            0x15, 5, 0x18, 2, b'a', b'b', 0x29, 0x21, 1, 2, 0x1c, 0x1b, 1, 0x51, 9, 1, 0, 0x01, 42,
            0, 0xff,
        ];
        let (mut number, mut text, mut last) = (0, &b""[..], 0);
        let mut reader = Reader::new(&bytes);
        reader
            .structure(|reader, id, kind| {
                last = id;
                match (id, kind) {
                    (1, Kind::Int) => number = reader.int32()?,
                    (2, Kind::Binary) => text = reader.binary()?,
                    _ => return Ok(false),
                }
                Ok(true)
            })
            .unwrap();
        assert_eq!((number, text, last), (-3, &b"ab"[..], 21));
        assert_eq!(reader.position(), bytes.len() - 1);
        for end in 0..bytes.len() - 1 {
            assert_eq!(Reader::new(&bytes[..end]).structure(|_, _, _| Ok(false)), Err(Broken));
        }
    }

    #[test]
    fn depth_and_lengths_are_bounded() {
        assert_eq!(Reader::new(&[0x1c; 1000]).structure(|_, _, _| Ok(false)), Err(Broken));
        assert_eq!(Reader::new(&[0x19; 1000]).structure(|_, _, _| Ok(false)), Err(Broken));
        assert_eq!(Reader::new(&[0xf5, 0xff, 0xff, 0x7f]).list(), Err(Broken));
        assert_eq!(Reader::new(&[0xff; 20]).int(), Err(Broken));
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x7f, 1]).binary(), Err(Broken));
    }
}
