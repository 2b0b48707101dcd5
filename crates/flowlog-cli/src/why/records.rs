//! The precise way: every record of the files.

use std::path::PathBuf;

use flowlog_core::decode::Fallback;
use flowlog_core::why::{Evidence, Gatherer, Path, Unread};

use crate::analyze::{self, Each};

/// Why there is no answer from files.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    /// None of the files could be read.
    #[error("none of {0} file(s) could be read")]
    NothingRead(usize),
}

/// What the files say of a path in the time from `from` to `to` (epoch seconds, both included).
/// `complain` gets one line for each file that cannot be read; the others still count, and the evidence says how many
/// are missing.
pub fn from_records(
    paths: &[PathBuf],
    path: Path,
    (from, to): (i64, i64),
    fallback: &Fallback,
    complain: &mut dyn FnMut(String),
) -> Result<Evidence, WhyError> {
    let sink = || Gatherer::new(path, from, to);
    // What two flow logs saw is the same, but one of them may be of accepted, the other of refused traffic.
    let Each { sink: all, counts, read, files, notes: _ } =
        analyze::each(paths, fallback, false, sink, Gatherer::merge, complain);
    if read == 0 {
        return Err(WhyError::NothingRead(files));
    }
    let lines = counts.rejected_total();
    let unread = Unread { of: files as u64, files: (files - read) as u64, lines };
    Ok(Evidence { unread, ..all.finish() })
}
