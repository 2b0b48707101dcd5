//! The precise way: every record of the files.

use std::path::PathBuf;

use flowlog_core::decode::{Fallback, Limits};
use flowlog_core::why::{Evidence, Gatherer, Path};
use indicatif::ProgressBar;

use crate::analyze::progress_of_objects;
use crate::input::expand;

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
        let (sink, hidden) = (Gatherer::new(path, from, to), ProgressBar::hidden());
        match input.decode(Limits::default(), fallback, sink, &hidden, |_| {}) {
            Ok(decoded) => {
                read += 1;
                all.merge(decoded.sink);
            }
            Err(error) => progress.suspend(|| complain(format!("{}: {error}", input.name()))),
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    if read == 0 { Err(WhyError::NothingRead(inputs.len())) } else { Ok(all.finish()) }
}
