//! The precise way: every record of the files.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use flowlog_core::decode::{DecodeError, Fallback, Limits, ObjectDecoder};
use flowlog_core::why::{Evidence, Gatherer, Path};
use indicatif::ProgressBar;

use crate::analyze::progress_of_objects;
use crate::input::{Input, expand};
use crate::parquet;

/// Why there is no answer from files.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    /// None of the files could be read.
    #[error("none of {0} file(s) could be read")]
    NothingRead(usize),
}

/// What the files say of a path in the time from `from` to `to` (epoch seconds, both included).
/// `complain` gets one line for each file that cannot be read; the others still count.
pub fn from_records(
    paths: &[PathBuf],
    path: Path,
    (from, to): (i64, i64),
    fallback: &Fallback,
    complain: &mut dyn FnMut(String),
) -> Result<Evidence, WhyError> {
    let inputs = expand(paths);
    let progress = progress_of_objects(inputs.len() as u64);
    let mut all = Gatherer::new(path, from, to);
    let mut read = 0;
    for input in &inputs {
        // A file that breaks off counts for nothing: its sink is dropped.
        match decode(input, fallback, Gatherer::new(path, from, to)) {
            Ok(gathered) => {
                read += 1;
                all.merge(gathered);
            }
            Err(error) => progress.suspend(|| complain(format!("{}: {error}", input.name()))),
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    if read == 0 { Err(WhyError::NothingRead(inputs.len())) } else { Ok(all.finish()) }
}

fn decode(input: &Input, fallback: &Fallback, sink: Gatherer) -> Result<Gatherer, String> {
    let reader: Box<dyn Read> = match input {
        Input::Unreadable(_, why) => return Err(why.clone()),
        Input::Stdin => Box::new(std::io::stdin().lock()),
        Input::File(path) => Box::new(File::open(path).map_err(|e| e.to_string())?),
    };
    let mut decoder = ObjectDecoder::new(Limits::default(), fallback.clone(), input.size(), sink);
    // The bytes that tell Parquet come in one piece, so that nothing else need be put back.
    let mut first = Vec::new();
    let mut reader = reader;
    reader.by_ref().take(4).read_to_end(&mut first).map_err(|e| e.to_string())?;
    let mut reader = first.as_slice().chain(reader);
    let mut buffer = vec![0; 256 << 10];
    let fail = |error: DecodeError| error.to_string();
    loop {
        let n = reader.read(&mut buffer).map_err(|e| e.to_string())?;
        if n == 0 {
            return Ok(decoder.finish().map_err(fail)?.sink);
        }
        let pushed = decoder.push(&buffer[..n]);
        if decoder.is_parquet() {
            let file = match input {
                Input::File(path) => File::open(path),
                _ => parquet::spool(&buffer[..n], &mut reader),
            };
            let file = file.map_err(|e| e.to_string())?;
            let size = file.metadata().map_err(|e| e.to_string())?.len();
            let decoder = decoder.into_parquet(size).map_err(fail)?;
            let hidden = ProgressBar::hidden();
            return Ok(parquet::decode(file, decoder, &hidden, |_| {})?.sink);
        }
        pushed.map_err(fail)?;
    }
}
