//! The values of one column of a row group, some rows at a time.

use std::net::Ipv6Addr;

use bytes::Bytes;

use super::footer::{Chunk, Column, Stored};
use super::memory::Memory;
use super::pages::{Data, Encoding, Page, Pages};
use super::runs::Runs;
use crate::decode::quick::v6_bits;
use crate::decode::values::{Kind, decimal, is_identifier};
use crate::decode::{DecodeError, Reason};
use crate::record::{Address, Field};

/// Longest text: a tag of 256 characters of four bytes, each byte percent-encoded, is shorter.
const MAX_TEXT: usize = 4096;

/// What a stored value is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// Null, `-` or no text at all.
    Nothing,
    Bad(Reason),
    Number(u64),
    Address(Address),
    /// So many bytes of the column's texts, from there on.
    Text(usize, usize),
}

/// Reads one column. What a value is worth is found out once per entry of a dictionary, and a row holds its place
/// there, not a copy.
#[derive(Debug)]
pub(super) struct ColumnReader {
    column: Column,
    pages: Pages,
    dictionary: Values,
    /// Values of the rows that were read last, unless they are the dictionary's.
    plain: Values,
    page: Option<Current>,
    /// Where the value of each row that was read last stands, or [`NOTHING`].
    keys: Vec<u32>,
    /// Whether `keys` are places in the dictionary, or nowhere.
    from_dictionary: bool,
    levels: Vec<u32>,
}

/// The key of a row without a value: a page has fewer values than 2^31.
const NOTHING: u32 = u32::MAX;

#[derive(Debug, Default)]
struct Values {
    worth: Vec<Worth>,
    texts: String,
}

/// The page that is being read.
#[derive(Debug)]
struct Current {
    rows_left: usize,
    levels: Option<Runs>,
    values: Source,
}

#[derive(Debug)]
enum Source {
    Plain(Bytes),
    Keys(Runs),
}

impl ColumnReader {
    /// A reader of a chunk in memory, for a row group of so many rows.
    pub(super) fn new(column: Column, chunk: &Chunk, bytes: Bytes, rows: usize) -> Self {
        Self {
            column,
            pages: Pages::new(column, chunk.codec, bytes, rows),
            dictionary: Values::default(),
            plain: Values::default(),
            page: None,
            keys: Vec::new(),
            from_dictionary: false,
            levels: Vec::new(),
        }
    }

    /// The field that the column holds.
    pub(super) fn field(&self) -> Field {
        self.column.field
    }

    /// How many rows can be read at once: those that are left of a page. None after the last page.
    pub(super) fn ready(&mut self, memory: &mut Memory) -> Result<usize, DecodeError> {
        loop {
            match &self.page {
                Some(page) if page.rows_left > 0 => return Ok(page.rows_left),
                _ => self.page = None,
            }
            match self.pages.next(memory)? {
                None => return Ok(0),
                Some(Page::Dictionary { count, values }) => self.learn(count, values, memory)?,
                Some(Page::Data(data)) => self.page = Some(self.open(data)?),
            }
        }
    }

    /// Reads so many rows, which must be ready.
    pub(super) fn read(&mut self, rows: usize) -> Result<(), DecodeError> {
        let Some(page) = &mut self.page else { return Err(self.pages.wrong("no page")) };
        page.rows_left = page.rows_left.saturating_sub(rows);
        self.levels.clear();
        let mut count = rows;
        if let Some(levels) = &mut page.levels {
            // Mostly all rows have a value.
            let same = levels.same(rows);
            if same != Some(1) {
                let read = match same {
                    Some(level) => {
                        self.levels.resize(rows, level);
                        Some(())
                    }
                    None => levels.read(rows, &mut self.levels),
                };
                if read.is_none() || self.levels.iter().any(|level| *level > 1) {
                    return Err(self.pages.wrong("levels that are broken"));
                }
                count = self.levels.iter().filter(|level| **level == 1).count();
            }
        }
        self.keys.clear();
        let whole = match &mut page.values {
            Source::Plain(bytes) => {
                // Rows without values are the same wherever they have none.
                self.from_dictionary = count == 0;
                self.plain.worth.clear();
                self.plain.texts.clear();
                let Self { column, plain: values, .. } = self;
                values.worth.reserve(count);
                self.keys.extend((0..).take(count));
                let mut rest = &bytes[..];
                let whole = (0..count).try_for_each(|_| {
                    values.worth.push(plain(*column, &mut rest, &mut values.texts)?);
                    Some(())
                });
                *bytes = bytes.slice_ref(rest);
                whole
            }
            Source::Keys(runs) => {
                self.from_dictionary = true;
                let known = u32::try_from(self.dictionary.worth.len()).unwrap_or(NOTHING);
                let read = runs.read(count, &mut self.keys);
                // Below 2^31, and less `known` below zero: the highest bit says so of all of them.
                let below = |so_far, key: &u32| so_far & !key & key.wrapping_sub(known);
                let all = self.keys.iter().fold(u32::MAX, below);
                read.filter(|()| all >> 31 == 1)
            }
        };
        if whole.is_none() {
            return Err(self.pages.wrong("a page that does not hold the values it claims"));
        }
        if count < rows {
            self.spread(rows);
        }
        Ok(())
    }

    /// Moves keys apart, so that each stands at its row: from the last on, none moves to the front.
    fn spread(&mut self, rows: usize) {
        let mut left = self.keys.len();
        self.keys.resize(rows, NOTHING);
        for (row, level) in self.levels.iter().enumerate().rev() {
            self.keys[row] = if *level == 1 {
                left -= 1;
                self.keys[left]
            } else {
                NOTHING
            };
        }
    }

    fn values(&self) -> &Values {
        if self.from_dictionary { &self.dictionary } else { &self.plain }
    }

    /// What a row of those that were read last is worth.
    pub(super) fn worth(&self, row: usize) -> Worth {
        let key = self.keys.get(row).copied().unwrap_or(NOTHING);
        self.values().worth.get(key as usize).copied().unwrap_or(Worth::Nothing)
    }

    /// What the rows from there on are worth, of those that were read last.
    #[inline]
    pub(super) fn worths(&self, from: usize) -> impl Iterator<Item = &Worth> {
        let worth = &self.values().worth;
        let keys = self.keys.get(from..).unwrap_or_default();
        keys.iter().map(|key| worth.get(*key as usize).unwrap_or(&Worth::Nothing))
    }

    /// The keys of those rows, if equal ones mean equal values in the whole row group.
    pub(super) fn dictionary_keys(&self, from: usize) -> Option<&[u32]> {
        self.keys.get(from..).filter(|_| self.from_dictionary)
    }

    /// The text that [`Worth::Text`] stands for.
    pub(super) fn text(&self, at: usize, length: usize) -> Option<&str> {
        self.values().texts.get(at..at.checked_add(length)?)
    }

    fn learn(
        &mut self,
        count: usize,
        bytes: Bytes,
        memory: &mut Memory,
    ) -> Result<(), DecodeError> {
        let wrong = "a dictionary that does not hold what it claims";
        // Each value takes as much as this, so a count that lies reserves nothing.
        let smallest = if self.column.stored == Stored::Int64 { 8 } else { 4 };
        if count > bytes.len() / smallest {
            return Err(self.pages.wrong(wrong));
        }
        memory.hold((count * size_of::<Worth>()) as u64)?;
        let mut rest = &bytes[..];
        let mut values = Values { worth: Vec::with_capacity(count), texts: String::new() };
        for _ in 0..count {
            let worth = plain(self.column, &mut rest, &mut values.texts);
            values.worth.push(worth.ok_or_else(|| self.pages.wrong(wrong))?);
        }
        self.dictionary = values;
        if rest.is_empty() { Ok(()) } else { Err(self.pages.wrong(wrong)) }
    }

    fn open(&self, data: Data) -> Result<Current, DecodeError> {
        let broken = || self.pages.wrong("a page that is cut off");
        let Data { rows, levels, values, encoding } = data;
        let levels = levels.map(|bytes| Runs::new(bytes, 1).ok_or_else(broken)).transpose()?;
        let values = match (encoding, values.first()) {
            (Encoding::Keys, Some(width)) => {
                Source::Keys(Runs::new(values.slice(1..), *width).ok_or_else(broken)?)
            }
            // Where no row has a value there need not be a width, either.
            _ => Source::Plain(values),
        };
        Ok(Current { rows_left: rows, levels, values })
    }
}

/// Takes the next of some plain values; `None` if it is cut off.
fn plain(column: Column, bytes: &mut &[u8], texts: &mut String) -> Option<Worth> {
    let number = |n: i64| u64::try_from(n).map_or(Worth::Bad(Reason::BadNumber), Worth::Number);
    Some(match column.stored {
        Stored::Int32 => number(i32::from_le_bytes(*take(bytes, 4)?.first_chunk()?).into()),
        Stored::Int64 => number(i64::from_le_bytes(*take(bytes, 8)?.first_chunk()?)),
        Stored::Texts => {
            let length = u32::from_le_bytes(*take(bytes, 4)?.first_chunk()?);
            judge(column.kind, take(bytes, usize::try_from(length).ok()?)?, texts)
        }
    })
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// An IP address; one is short and readable.
fn address(text: &[u8]) -> Option<Address> {
    let v6 = || Some(Address::V6(Ipv6Addr::from_bits(v6_bits(text)?)));
    Address::parse_v4(text).map(Address::V4).or_else(v6)
}

/// What a text is worth; `-` says nothing, as in lines, and what a line could not hold is refused.
fn judge(kind: Kind, text: &[u8], texts: &mut String) -> Worth {
    if matches!(text, b"" | b"-") {
        return Worth::Nothing;
    }
    if kind == Kind::Address
        && let Some(address) = address(text)
    {
        return Worth::Address(address);
    }
    if text.len() > MAX_TEXT {
        return Worth::Bad(Reason::LineTooLong);
    }
    let readable =
        std::str::from_utf8(text).ok().filter(|t| !t.bytes().any(|b| b < 0x20 || b == 0x7f));
    let Some(readable) = readable else { return Worth::Bad(Reason::NotText) };
    match kind {
        Kind::Number => decimal(text).map_or(Worth::Bad(Reason::BadNumber), Worth::Number),
        Kind::Address => {
            Address::parse(readable).map_or(Worth::Bad(Reason::BadAddress), Worth::Address)
        }
        Kind::Identifier if !is_identifier(text) => Worth::Bad(Reason::BadIdentifier),
        Kind::Identifier | Kind::Word => {
            let at = texts.len();
            texts.push_str(readable);
            Worth::Text(at, readable.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_judged() {
        let mut texts = "before".to_owned();
        let mut worth = |kind, text: &str| judge(kind, text.as_bytes(), &mut texts);
        for kind in [Kind::Number, Kind::Address, Kind::Identifier, Kind::Word] {
            assert_eq!(worth(kind, "-"), Worth::Nothing);
            assert_eq!(worth(kind, ""), Worth::Nothing);
            assert_eq!(worth(kind, "\u{1b}[2J"), Worth::Bad(Reason::NotText));
            assert_eq!(worth(kind, &"1".repeat(4097)), Worth::Bad(Reason::LineTooLong));
        }
        assert_eq!(worth(Kind::Number, "65536"), Worth::Number(65_536));
        assert_eq!(worth(Kind::Number, "-1"), Worth::Bad(Reason::BadNumber));
        assert_eq!(worth(Kind::Address, "10.0.0.256"), Worth::Bad(Reason::BadAddress));
        assert_eq!(worth(Kind::Address, "::1"), Worth::Address(Address::parse("::1").unwrap()));
        assert_eq!(worth(Kind::Identifier, "eni/1"), Worth::Bad(Reason::BadIdentifier));
        assert_eq!(worth(Kind::Identifier, "eni-1"), Worth::Text(6, 5));
        assert_eq!(worth(Kind::Word, "a tag"), Worth::Text(11, 5));
        assert_eq!(texts, "beforeeni-1a tag");
        assert_eq!(judge(Kind::Word, b"\xff", &mut texts), Worth::Bad(Reason::NotText));
    }
}
