//! Parquet files on this machine, by the ranges that the decoder asks for.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use bytes::Bytes;
use flowlog_core::decode::{Decoded, ParquetDecoder, RecordSink, Step};
use indicatif::ProgressBar;

/// Decodes a whole file.
pub(crate) fn decode<S: RecordSink>(
    mut file: File,
    mut decoder: ParquetDecoder<S>,
    progress: &ProgressBar,
) -> Result<Decoded<S>, String> {
    loop {
        match decoder.step().map_err(|e| e.to_string())? {
            Step::Need(ranges) => {
                let mut found = Vec::with_capacity(ranges.len());
                for range in ranges {
                    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
                    let mut bytes = vec![0; length];
                    let read = file
                        .seek(SeekFrom::Start(range.start))
                        .and_then(|_| file.read_exact(&mut bytes));
                    read.map_err(|e| e.to_string())?;
                    progress.inc(length as u64);
                    found.push(Bytes::from(bytes));
                }
                decoder.push(found).map_err(|e| e.to_string())?;
            }
            Step::Rows => {}
            Step::Done => return decoder.finish().map_err(|e| e.to_string()),
        }
    }
}

/// A file of what a stream has given and still gives, for reading it from its end.
pub(crate) fn spool(first: &[u8], mut rest: impl Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(first)?;
    io::copy(&mut rest, &mut file)?;
    Ok(file)
}
