//! Pages of a column chunk, framed and inflated within bounds.

use bytes::Bytes;
use flate2::Crc;

use super::corrupt;
use super::footer::{Codec, Column};
use super::memory::Memory;
use super::thrift::{self, Broken, Reader};
use crate::decode::{DecodeError, GzipError};

/// A page, inflated.
#[derive(Debug)]
pub(super) enum Page {
    /// The values that the pages behind it name by their place.
    Dictionary {
        count: usize,
        values: Bytes,
    },
    Data(Data),
}

/// Values of some rows.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) rows: usize,
    /// Which rows have a value, where they may have none.
    pub(super) levels: Option<Bytes>,
    pub(super) values: Bytes,
    pub(super) encoding: Encoding,
}

/// How the values of a page stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// One after another.
    Plain,
    /// As places in the dictionary.
    Keys,
}

/// The pages of a column chunk, one after another.
#[derive(Debug)]
pub(super) struct Pages {
    column: Column,
    codec: Codec,
    chunk: Bytes,
    at: usize,
    /// Rows of the row group that no page has held yet.
    rows: usize,
    /// Whether there was a page: a dictionary comes first.
    begun: bool,
    /// Whether a page has been inflated.
    inflated: bool,
    /// What the page that was given out last takes.
    held: u64,
}

/// What the header of a page says.
#[derive(Debug, Default, Clone, Copy)]
struct Header {
    page_type: i32,
    inflated: i32,
    stored: i32,
    sum: Option<i32>,
    values: i32,
    encoding: i32,
    /// Of the levels, in the first version of data pages.
    level_encoding: i32,
    nulls: i32,
    rows: i32,
    /// Length of the levels, in the second version of data pages.
    levels: i32,
    repetition_levels: i32,
    stored_as_is: bool,
}

const DATA: i32 = 0;
const INDEX: i32 = 1;
const DICTIONARY: i32 = 2;
const DATA_V2: i32 = 3;

impl Header {
    /// Reads a header; returns its length too.
    fn read(bytes: &[u8]) -> Result<(Self, usize), Broken> {
        let mut header = Self { page_type: -1, ..Self::default() };
        let mut reader = Reader::new(bytes);
        reader.structure(|reader, id, kind| {
            match (id, kind) {
                (1, thrift::Kind::Int) => header.page_type = reader.int32()?,
                (2, thrift::Kind::Int) => header.inflated = reader.int32()?,
                (3, thrift::Kind::Int) => header.stored = reader.int32()?,
                (4, thrift::Kind::Int) => header.sum = Some(reader.int32()?),
                (5 | 7 | 8, thrift::Kind::Struct) => header.part(id, reader)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok((header, reader.position()))
    }

    /// The part that belongs to the type of the page.
    fn part(&mut self, part: i64, reader: &mut Reader<'_>) -> Result<(), Broken> {
        reader.structure(|reader, id, kind| {
            match (part, id, kind) {
                (_, 1, thrift::Kind::Int) => self.values = reader.int32()?,
                (5 | 7, 2, thrift::Kind::Int) | (8, 4, thrift::Kind::Int) => {
                    self.encoding = reader.int32()?;
                }
                (5, 3, thrift::Kind::Int) => self.level_encoding = reader.int32()?,
                (8, 2, thrift::Kind::Int) => self.nulls = reader.int32()?,
                (8, 3, thrift::Kind::Int) => self.rows = reader.int32()?,
                (8, 5, thrift::Kind::Int) => self.levels = reader.int32()?,
                (8, 6, thrift::Kind::Int) => self.repetition_levels = reader.int32()?,
                // A boolean is its own value; there is nothing behind it.
                (8, 7, thrift::Kind::False) => self.stored_as_is = true,
                _ => return Ok(false),
            }
            Ok(!matches!((part, id), (8, 7)))
        })
    }
}

impl Pages {
    /// The pages of a chunk in memory, for a row group of so many rows.
    pub(super) fn new(column: Column, codec: Codec, chunk: Bytes, rows: usize) -> Self {
        let (at, begun, inflated, held) = (0, false, false, 0);
        Self { column, codec, chunk, at, rows, begun, inflated, held }
    }

    /// The next page, `None` at the end of the chunk or of the rows.
    pub(super) fn next(&mut self, memory: &mut Memory) -> Result<Option<Page>, DecodeError> {
        loop {
            if self.at == self.chunk.len() || self.rows == 0 {
                return Ok(None);
            }
            let (header, length) = Header::read(self.chunk.get(self.at..).unwrap_or_default())
                .map_err(|Broken| self.wrong("a page header that cannot be read"))?;
            self.at += length;
            let stored = self.size(header.stored)?;
            if stored > self.chunk.len() - self.at {
                return Err(self.wrong("a page that is longer than its chunk"));
            }
            let stored = self.chunk.slice(self.at..self.at + stored);
            self.at += stored.len();
            if header.page_type != INDEX {
                return self.page(header, &stored, memory).map(Some);
            }
        }
    }

    fn page(
        &mut self,
        header: Header,
        stored: &Bytes,
        memory: &mut Memory,
    ) -> Result<Page, DecodeError> {
        if let Some(sum) = header.sum {
            let mut crc = Crc::new();
            crc.update(stored);
            if crc.sum() != sum.cast_unsigned() {
                return Err(self.wrong("a page whose checksum is wrong"));
            }
        }
        // Before anything of that size is made. A page is there twice: as it is, and as values. A
        // dictionary stays.
        let inflated = self.size(header.inflated)?;
        memory.spend(inflated as u64)?;
        let takes = 2 * inflated as u64;
        if header.page_type != DICTIONARY {
            memory.release(std::mem::replace(&mut self.held, takes));
        }
        memory.hold(takes)?;
        let first = !std::mem::replace(&mut self.begun, true);
        match header.page_type {
            DICTIONARY if first => self.dictionary(header, stored, inflated, memory),
            DICTIONARY => Err(self.wrong("a dictionary that is not the first page")),
            DATA => self.data(header, stored, inflated, memory).map(Page::Data),
            DATA_V2 => self.data_v2(header, stored, inflated, memory).map(Page::Data),
            _ => Err(self.wrong("a page of an unknown type")),
        }
    }

    fn dictionary(
        &mut self,
        header: Header,
        stored: &Bytes,
        inflated: usize,
        memory: &mut Memory,
    ) -> Result<Page, DecodeError> {
        // Some writers call a plain dictionary by the name of what refers to it.
        if !matches!(header.encoding, 0 | 2) {
            return Err(self.wrong("a dictionary that is not plain"));
        }
        let count = self.size(header.values)?;
        let values = self.inflate(stored, inflated, memory)?;
        Ok(Page::Dictionary { count, values })
    }

    fn data(
        &mut self,
        header: Header,
        stored: &Bytes,
        inflated: usize,
        memory: &mut Memory,
    ) -> Result<Data, DecodeError> {
        let (rows, encoding) = (self.rows_of(header)?, self.encoding(header)?);
        let mut values = self.inflate(stored, inflated, memory)?;
        let mut levels = None;
        if self.column.nullable {
            if header.level_encoding != 3 {
                return Err(DecodeError::Unsupported("Parquet with bit-packed levels"));
            }
            let length = values.split_first_chunk().map(|(l, _)| u32::from_le_bytes(*l) as usize);
            match length {
                Some(length) if length <= values.len() - 4 => {
                    levels = Some(values.slice(4..4 + length));
                    values = values.slice(4 + length..);
                }
                _ => return Err(self.wrong("levels that are cut off")),
            }
        }
        Ok(Data { rows, levels, values, encoding })
    }

    fn data_v2(
        &mut self,
        header: Header,
        stored: &Bytes,
        inflated: usize,
        memory: &mut Memory,
    ) -> Result<Data, DecodeError> {
        let (rows, encoding) = (self.rows_of(header)?, self.encoding(header)?);
        let levels = self.size(header.levels)?;
        let flat = header.repetition_levels == 0 && header.rows == header.values;
        let nulls = self.size(header.nulls)?;
        if !flat || levels > inflated || levels > stored.len() || nulls > rows {
            return Err(self.wrong("a page whose header contradicts itself"));
        }
        let (rest, inflated) = (stored.slice(levels..), inflated - levels);
        let values = match (self.codec, header.stored_as_is) {
            (Codec::None, _) | (_, false) => self.inflate(&rest, inflated, memory)?,
            _ if rest.len() == inflated => rest,
            _ => return Err(self.wrong(OTHER_SIZE)),
        };
        let levels = self.column.nullable.then(|| stored.slice(..levels));
        Ok(Data { rows, levels, values, encoding })
    }

    /// How many rows a data page is of: each of its values, nulls included, is a row's.
    fn rows_of(&mut self, header: Header) -> Result<usize, DecodeError> {
        let rows = self.size(header.values)?;
        let left = self.rows.checked_sub(rows);
        self.rows = left.ok_or_else(|| self.wrong("more values than the row group has rows"))?;
        Ok(rows)
    }

    fn encoding(&self, header: Header) -> Result<Encoding, DecodeError> {
        match header.encoding {
            0 => Ok(Encoding::Plain),
            2 | 8 => Ok(Encoding::Keys),
            1 | 3..=7 | 9 => Err(DecodeError::Unsupported(
                "Parquet in another encoding than plain and dictionary",
            )),
            _ => Err(self.wrong("an unknown encoding")),
        }
    }

    fn inflate(
        &mut self,
        stored: &Bytes,
        size: usize,
        memory: &mut Memory,
    ) -> Result<Bytes, DecodeError> {
        match self.codec {
            Codec::None if stored.len() == size => Ok(stored.clone()),
            Codec::None => Err(self.wrong(OTHER_SIZE)),
            Codec::Gzip => {
                // Nothing at all is no member, but it may stand behind one.
                if stored.is_empty() && !self.inflated {
                    return Err(self.wrong(&GzipError::Truncated.to_string()));
                }
                self.inflated = true;
                let inflater = memory.inflater();
                let mut page = Vec::with_capacity(size);
                let done = inflater.push(stored, |piece| {
                    if piece.len() > size - page.len() {
                        return Err(GzipError::Corrupt(OTHER_SIZE));
                    }
                    page.extend_from_slice(piece);
                    Ok(())
                });
                match done.and_then(|()| inflater.finish()) {
                    Ok(()) if page.len() == size => Ok(Bytes::from(page)),
                    Ok(()) => Err(self.wrong(OTHER_SIZE)),
                    Err(error) => Err(self.wrong(&error.to_string())),
                }
            }
            Codec::Snappy => {
                if snap::raw::decompress_len(stored) != Ok(size) {
                    return Err(self.wrong(OTHER_SIZE));
                }
                let mut page = vec![0; size];
                match snap::raw::Decoder::new().decompress(stored, &mut page) {
                    Ok(made) if made == size => Ok(Bytes::from(page)),
                    _ => Err(self.wrong("a page of corrupt snappy")),
                }
            }
        }
    }

    fn size(&self, claimed: i32) -> Result<usize, DecodeError> {
        usize::try_from(claimed).map_err(|_| self.wrong("a page with a negative size"))
    }

    /// An error here.
    pub(super) fn wrong(&self, what: &str) -> DecodeError {
        corrupt(format!("column {}, byte {}: {what}", self.column.field.name(), self.at))
    }
}

const OTHER_SIZE: &str = "a page whose size is not the one it claims";
