//! Objects in columns: Parquet as AWS writes it, names with `_`, gzip, absent texts as `-`, absent
//! numbers null.

use std::fs::File;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, GzipLevel, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

use super::plan::Layout;

/// Text that becomes a row group.
const GROUP: usize = 8 << 20;

/// A Parquet object being written.
pub(super) struct Columns {
    writer: SerializedFileWriter<File>,
    stored: Vec<Physical>,
    /// Whole lines that are not written yet.
    lines: String,
}

/// AWS's types.
fn physical(name: &str) -> Physical {
    match name {
        "version" | "srcport" | "dstport" | "protocol" | "tcp-flags" | "traffic-path" => {
            Physical::INT32
        }
        "packets" | "bytes" | "start" | "end" => Physical::INT64,
        _ => Physical::BYTE_ARRAY,
    }
}

fn column(name: &str) -> Result<TypePtr, ParquetError> {
    let (column, stored) = (name.replace('-', "_"), physical(name));
    let text = stored == Physical::BYTE_ARRAY;
    Type::primitive_type_builder(&column, stored)
        .with_repetition(Repetition::OPTIONAL)
        .with_converted_type(if text { ConvertedType::UTF8 } else { ConvertedType::NONE })
        .build()
        .map(Arc::new)
}

impl Columns {
    pub(super) fn new(file: File, layout: Layout) -> io::Result<Self> {
        let names = layout.header().split_ascii_whitespace();
        let columns: Result<_, _> = names.clone().map(column).collect();
        let schema = Type::group_type_builder("LogFormatInfo").with_fields(columns?).build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::GZIP(GzipLevel::default()))
            .set_created_by("flowlog generate".to_owned())
            .build();
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
        Ok(Self { writer, stored: names.map(physical).collect(), lines: String::new() })
    }

    /// Takes in whole lines of text, without a header.
    pub(super) fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.lines.push_str(str::from_utf8(text).map_err(io::Error::other)?);
        if self.lines.len() < GROUP { Ok(()) } else { self.group() }
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.group()?;
        self.writer.close()?;
        Ok(())
    }

    /// Writes what there is as a row group.
    fn group(&mut self) -> io::Result<()> {
        let mut columns: Vec<Vec<&str>> = vec![Vec::new(); self.stored.len()];
        for line in self.lines.lines() {
            for (column, token) in columns.iter_mut().zip(line.split(' ')) {
                column.push(token);
            }
        }
        let mut group = self.writer.next_row_group()?;
        for (tokens, stored) in columns.iter().zip(&self.stored) {
            let Some(column) = group.next_column()? else { break };
            match stored {
                Physical::INT32 => numbers::<Int32Type>(column, tokens)?,
                Physical::INT64 => numbers::<Int64Type>(column, tokens)?,
                _ => {
                    let texts = tokens.iter().map(|token| ByteArray::from(*token)).collect();
                    write::<ByteArrayType>(column, texts, &vec![1; tokens.len()])?;
                }
            }
        }
        group.close()?;
        self.lines.clear();
        Ok(())
    }
}

fn numbers<T: DataType>(column: SerializedColumnWriter<'_>, tokens: &[&str]) -> io::Result<()>
where
    T::T: FromStr<Err = std::num::ParseIntError>,
{
    let levels: Vec<i16> = tokens.iter().map(|token| i16::from(*token != "-")).collect();
    let given = tokens.iter().filter(|token| **token != "-");
    let values: Result<_, _> = given.map(|token| token.parse()).collect();
    write::<T>(column, values.map_err(io::Error::other)?, &levels)
}

fn write<T: DataType>(
    mut column: SerializedColumnWriter<'_>,
    values: Vec<T::T>,
    levels: &[i16],
) -> io::Result<()> {
    column.typed::<T>().write_batch(&values, Some(levels), None)?;
    column.close()?;
    Ok(())
}
