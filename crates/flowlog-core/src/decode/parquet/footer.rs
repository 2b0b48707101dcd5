//! The footer: which columns there are, where their chunks lie, and whether that can be true.

use std::ops::Range;

use super::thrift::{Broken, Kind as Thrift, Reader};
use super::{MAGIC, bomb, corrupt};
use crate::decode::limits::LEAST_LINE;
use crate::decode::values::{self, kind};
use crate::decode::{DecodeError, Limits};
use crate::format::Format;
use crate::record::Field;

/// Length and magic at the end of a file.
pub(super) const TAIL: u64 = 8;
/// Longest footer: some 150 row groups of all columns there are.
const MAX_FOOTER: u64 = 4 << 20;
/// Most row groups, and leaves of the schema.
const MAX_ROW_GROUPS: usize = 10_000;
const MAX_LEAVES: usize = 4_096;

/// What a file holds and where.
#[derive(Debug)]
pub(super) struct Footer {
    /// Every column, also those that are carried past.
    pub(super) format: Format,
    /// The columns that records are made of, in the order of the file.
    pub(super) columns: Vec<Column>,
    pub(super) groups: Vec<Group>,
}

/// A column that is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) field: Field,
    pub(super) kind: values::Kind,
    pub(super) stored: Stored,
    /// Whether values may be null, so that pages begin with levels.
    pub(super) nullable: bool,
    /// Its place among the leaves of the schema.
    leaf: usize,
}

/// How the values of a column that is read may be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    Int32,
    Int64,
    /// Texts, each behind its length.
    Texts,
}

/// A row group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) rows: usize,
    /// One per column that is read.
    pub(super) chunks: Vec<Chunk>,
}

impl Group {
    /// Where its chunks lie, in the order of the columns.
    pub(super) fn ranges(&self) -> Vec<Range<u64>> {
        self.chunks.iter().map(|chunk| chunk.range.clone()).collect()
    }
}

/// A column of a row group.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) range: Range<u64>,
    pub(super) codec: Codec,
}

/// How pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Gzip,
    Snappy,
}

/// The range of the footer, by the last bytes of a file.
pub(super) fn range(tail: &[u8], size: u64) -> Result<Range<u64>, DecodeError> {
    let [a, b, c, d, magic @ ..] = tail else { return Err(corrupt("no end of file")) };
    if magic == b"PARE" {
        return Err(DecodeError::Unsupported("encrypted Parquet"));
    }
    if magic != MAGIC {
        return Err(corrupt("the file does not end with PAR1: truncated, or no Parquet"));
    }
    let length = u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
    if length > MAX_FOOTER {
        return Err(corrupt(format!("the footer claims {length} bytes of at most {MAX_FOOTER}")));
    }
    let end = size.saturating_sub(TAIL);
    match end.checked_sub(length) {
        Some(start) if start >= MAGIC.len() as u64 => Ok(start..end),
        _ => Err(corrupt(format!("the footer claims {length} bytes of a file of {size}"))),
    }
}

impl Footer {
    /// Reads a footer that begins at `start` in a file of `size` bytes.
    pub(super) fn read(
        bytes: &[u8],
        start: u64,
        size: u64,
        limits: &Limits,
    ) -> Result<Self, DecodeError> {
        let unreadable = |Broken| corrupt("a footer that cannot be read");
        let leaves = schema(bytes).map_err(unreadable)?;
        let names = root_names(&leaves)?;
        let format = Format::from_names(names.into_iter(), limits.columns)
            .map_err(|source| DecodeError::BadColumns { source })?;
        let columns = projection(&leaves)?;
        let claims = Claims::read(bytes, leaves.len(), &columns).map_err(unreadable)?;
        let groups = claims.judge(&columns, start, size, limits)?;
        Ok(Self { format, columns, groups })
    }
}

/// A leaf of the schema.
#[derive(Debug)]
struct Leaf<'a> {
    /// The column of the root that it is, or belongs to.
    root: &'a [u8],
    physical: i32,
    /// 0 required, 1 optional, 2 repeated.
    repetition: i32,
    /// Whether it stands in a group.
    nested: bool,
}

#[derive(Debug, Default)]
struct Element<'a> {
    name: &'a [u8],
    physical: i32,
    repetition: i32,
    children: i32,
}

impl<'a> Element<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Broken> {
        let mut element = Self { physical: -1, ..Self::default() };
        reader.structure(|reader, id, kind| {
            match (id, kind) {
                (1, Thrift::Int) => element.physical = reader.int32()?,
                (3, Thrift::Int) => element.repetition = reader.int32()?,
                (4, Thrift::Binary) => element.name = reader.binary()?,
                (5, Thrift::Int) => element.children = reader.int32()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if element.children < 0 { Err(Broken) } else { Ok(element) }
    }
}

/// The leaves of the schema, which is a tree, written down depth first.
fn schema(footer: &[u8]) -> Result<Vec<Leaf<'_>>, Broken> {
    let mut leaves = None;
    Reader::new(footer).structure(|reader, id, kind| {
        let found = (id, kind) == (2, Thrift::List);
        if found {
            leaves = Some(read_leaves(reader)?);
        }
        Ok(found)
    })?;
    leaves.ok_or(Broken)
}

fn read_leaves<'a>(reader: &mut Reader<'a>) -> Result<Vec<Leaf<'a>>, Broken> {
    let mut left = reader.structures(MAX_LEAVES)?.checked_sub(1).ok_or(Broken)?;
    let root = Element::read(reader)?;
    let mut leaves = Vec::new();
    let mut name: &[u8] = b"";
    // How many children of each open group are still to come.
    let mut open = vec![root.children];
    while let Some(children) = open.last_mut() {
        if *children == 0 {
            open.pop();
            continue;
        }
        *children -= 1;
        left = left.checked_sub(1).ok_or(Broken)?;
        let element = Element::read(reader)?;
        let nested = open.len() > 1;
        if !nested {
            name = element.name;
        }
        if element.children > 0 {
            open.push(element.children);
        } else {
            let Element { physical, repetition, .. } = element;
            leaves.push(Leaf { root: name, physical, repetition, nested });
        }
    }
    if left == 0 { Ok(leaves) } else { Err(Broken) }
}

/// The names of the columns, each once however many leaves it has.
fn root_names<'a>(leaves: &[Leaf<'a>]) -> Result<Vec<&'a str>, DecodeError> {
    let mut names = Vec::new();
    let mut last: Option<&Leaf<'_>> = None;
    for leaf in leaves {
        let same_group = last.is_some_and(|l| l.nested && leaf.nested && l.root == leaf.root);
        if !same_group {
            let name = std::str::from_utf8(leaf.root);
            names.push(name.map_err(|_| corrupt("a column whose name is no text"))?);
        }
        last = Some(leaf);
    }
    Ok(names)
}

/// The columns that records are made of. Their types must be such that nothing is lost: a number
/// cannot stand for an identifier, whose leading zeros count.
fn projection(leaves: &[Leaf<'_>]) -> Result<Vec<Column>, DecodeError> {
    let mut columns = Vec::new();
    for (at, leaf) in leaves.iter().enumerate() {
        let name = std::str::from_utf8(leaf.root).unwrap_or_default();
        let Some(field) = Field::from_name(name) else { continue };
        let Some(kind) = kind(field) else { continue };
        if leaf.nested || leaf.repetition > 1 {
            return Err(corrupt(format!("the column {} is a list or a group", field.name())));
        }
        let stored = match (leaf.physical, kind) {
            (1, values::Kind::Number) => Stored::Int32,
            (2, values::Kind::Number) => Stored::Int64,
            (6, _) => Stored::Texts,
            (other, _) => {
                let name = field.name();
                return Err(corrupt(format!("the column {name} has the wrong type ({other})")));
            }
        };
        columns.push(Column { field, kind, stored, nullable: leaf.repetition == 1, leaf: at });
    }
    Ok(columns)
}

/// What the footer claims, before it is believed.
#[derive(Debug)]
struct Claims {
    rows: i64,
    groups: Vec<GroupClaim>,
}

#[derive(Debug, Default)]
struct GroupClaim {
    rows: i64,
    /// One per column that is read.
    chunks: Vec<ChunkClaim>,
}

#[derive(Debug, Default)]
struct ChunkClaim {
    /// Whether its data are in another file, or encrypted.
    elsewhere: bool,
    physical: i32,
    codec: i32,
    values: i64,
    length: i64,
    data: i64,
    dictionary: Option<i64>,
}

impl Claims {
    fn read(footer: &[u8], leaves: usize, columns: &[Column]) -> Result<Self, Broken> {
        let (mut rows, mut groups) = (None, None);
        Reader::new(footer).structure(|reader, id, kind| {
            match (id, kind) {
                (3, Thrift::Int) => rows = Some(reader.int()?),
                (4, Thrift::List) => {
                    let count = reader.structures(MAX_ROW_GROUPS)?;
                    let read = (0..count).map(|_| GroupClaim::read(reader, leaves, columns));
                    groups = Some(read.collect::<Result<_, _>>()?);
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        // Without either, a file that holds rows would seem to hold none.
        Ok(Self { rows: rows.ok_or(Broken)?, groups: groups.ok_or(Broken)? })
    }

    /// The row groups, after everything that is claimed has been held against the file.
    fn judge(
        self,
        columns: &[Column],
        footer: u64,
        size: u64,
        limits: &Limits,
    ) -> Result<Vec<Group>, DecodeError> {
        let mut groups = Vec::with_capacity(self.groups.len());
        let (mut total, mut stored) = (0u64, 0u64);
        for (at, claim) in self.groups.iter().enumerate() {
            let wrong = |what: &str| corrupt(format!("row group {at}: {what}"));
            let rows = u64::try_from(claim.rows).map_err(|_| wrong("a negative length"))?;
            total = total.saturating_add(rows);
            let mut chunks = Vec::with_capacity(columns.len());
            for (column, chunk) in columns.iter().zip(&claim.chunks) {
                let chunk = chunk
                    .judge(column, claim.rows, footer)
                    .map_err(|what| wrong(&format!("column {}: {what}", column.field.name())))?;
                // Each lies within the file.
                stored += chunk.range.end - chunk.range.start;
                chunks.push(chunk);
            }
            // More rows than this machine can count are refused below.
            groups.push(Group { rows: usize::try_from(rows).unwrap_or(usize::MAX), chunks });
        }
        if u64::try_from(self.rows) != Ok(total) {
            let claimed = self.rows;
            let words = format!("{claimed} rows in the file and {total} in its row groups");
            return Err(corrupt(words));
        }
        if stored > size {
            return Err(corrupt("columns that lie over each other"));
        }
        let limit = limits.output_of(size);
        if total.saturating_mul(LEAST_LINE) > limit {
            return Err(bomb(size, limit));
        }
        Ok(groups)
    }
}

impl GroupClaim {
    fn read(reader: &mut Reader<'_>, leaves: usize, columns: &[Column]) -> Result<Self, Broken> {
        let mut group = Self::default();
        reader.structure(|reader, id, kind| {
            match (id, kind) {
                (1, Thrift::List) => {
                    if reader.structures(MAX_LEAVES)? != leaves {
                        return Err(Broken);
                    }
                    let mut wanted = columns.iter().map(|c| c.leaf).peekable();
                    for leaf in 0..leaves {
                        let chunk = ChunkClaim::read(reader)?;
                        if wanted.next_if_eq(&leaf).is_some() {
                            group.chunks.push(chunk);
                        }
                    }
                }
                (3, Thrift::Int) => group.rows = reader.int()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if group.chunks.len() == columns.len() { Ok(group) } else { Err(Broken) }
    }
}

impl ChunkClaim {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Broken> {
        let mut chunk = Self { physical: -1, codec: -1, ..Self::default() };
        reader.structure(|reader, id, kind| {
            match (id, kind) {
                (3, Thrift::Struct) => chunk.metadata(reader)?,
                (1 | 8, _) => {
                    chunk.elsewhere = true;
                    return Ok(false);
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(chunk)
    }

    fn metadata(&mut self, reader: &mut Reader<'_>) -> Result<(), Broken> {
        reader.structure(|reader, id, kind| {
            match (id, kind) {
                (1, Thrift::Int) => self.physical = reader.int32()?,
                (4, Thrift::Int) => self.codec = reader.int32()?,
                (5, Thrift::Int) => self.values = reader.int()?,
                (7, Thrift::Int) => self.length = reader.int()?,
                (9, Thrift::Int) => self.data = reader.int()?,
                (11, Thrift::Int) => self.dictionary = Some(reader.int()?),
                _ => return Ok(false),
            }
            Ok(true)
        })
    }

    /// Where the chunk lies, which must be before the footer.
    fn judge(&self, column: &Column, rows: i64, footer: u64) -> Result<Chunk, &'static str> {
        if self.elsewhere {
            return Err("its data are in another file, or encrypted");
        }
        let physical = match column.stored {
            Stored::Int32 => 1,
            Stored::Int64 => 2,
            Stored::Texts => 6,
        };
        if self.physical != physical {
            return Err("another type than in the schema");
        }
        if self.values != rows {
            return Err("another number of values than rows");
        }
        let codec = match self.codec {
            0 => Codec::None,
            1 => Codec::Snappy,
            2 => Codec::Gzip,
            _ => return Err("compressed by other means than gzip and snappy"),
        };
        // Some writers write a zero for none.
        let dictionary = self.dictionary.filter(|at| *at > 0 && *at < self.data);
        let start = u64::try_from(dictionary.unwrap_or(self.data)).ok();
        let length = u64::try_from(self.length).ok();
        match start.zip(length).and_then(|(from, length)| Some(from..from.checked_add(length)?)) {
            Some(range) if range.start >= MAGIC.len() as u64 && range.end <= footer => {
                Ok(Chunk { range, codec })
            }
            _ => Err("it lies outside of the file"),
        }
    }
}
