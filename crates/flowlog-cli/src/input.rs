//! Which files the paths on the command line mean, and reading them.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use flowlog_core::decode::{DecodeError, Decoded, Fallback, Limits, ObjectDecoder, RecordSink};
use flowlog_core::format::{Format, FormatError};
use indicatif::ProgressBar;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use walkdir::{DirEntry, WalkDir};

use crate::parquet;

mod beside;

/// How much of a file is read at once: less than what glibc takes pages of their own for (128 KiB). Such memory
/// begins 16 bytes into a page, and there an AMD EPYC (Zen 4) copies from the system's pages five times as slowly.
const PIECE: usize = 64 << 10;

/// What `--log-format` says: the format of files without a header line.
pub fn declared(text: &str) -> Result<Fallback, FormatError> {
    Ok(Fallback::Declared(Format::from_log_format(text)?))
}

/// One thing to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A file that was named, or found in a folder that was.
    File(PathBuf),
    /// Something that cannot be read, and why.
    Unreadable(PathBuf, String),
}

impl Input {
    /// As people see it.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File(path) | Self::Unreadable(path, _) => path.display().to_string(),
        }
    }

    /// Length in bytes, where it is known beforehand.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::File(path) => std::fs::metadata(path).ok().map(|m| m.len()),
            Self::Stdin | Self::Unreadable(..) => None,
        }
    }

    /// Decodes all of it into `sink`, text or Parquet. `progress` counts bytes. An error means that
    /// nothing of it counts.
    pub(crate) fn decode<S: RecordSink>(
        &self,
        limits: Limits,
        fallback: &Fallback,
        sink: S,
        progress: &ProgressBar,
    ) -> Result<Decoded<S>, String> {
        let reader: Box<dyn Read + Send> = match self {
            Self::Unreadable(_, why) => return Err(why.clone()),
            Self::Stdin => Box::new(stdin()),
            Self::File(path) => Box::new(File::open(path).map_err(|e| e.to_string())?),
        };
        let mut decoder = ObjectDecoder::new(limits, fallback.clone(), self.size(), sink);
        // The bytes that tell Parquet come in one piece, so that nothing else need be put back.
        let mut reader = reader;
        let mut first = Vec::new();
        reader.by_ref().take(4).read_to_end(&mut first).map_err(|e| e.to_string())?;
        if let Some(kind) = packed(&first) {
            return Err(format!(
                "{kind}: decompress it first; gzip and Parquet are read as they are"
            ));
        }
        let mut reader = first.as_slice().chain(reader);
        let mut buffer = vec![0; PIECE];
        let fail = |error: DecodeError| error.to_string();
        // Found out once: the system is asked for it by reading several files.
        let beside = self.is_worth_a_thread();
        loop {
            let n = reader.read(&mut buffer).map_err(|e| e.to_string())?;
            if n == 0 {
                return decoder.finish().map_err(fail);
            }
            let pushed = decoder.push(&buffer[..n]);
            if decoder.is_parquet() {
                let file = match self {
                    Self::File(path) => File::open(path),
                    Self::Stdin | Self::Unreadable(..) => parquet::spool(&buffer[..n], &mut reader),
                };
                let file = file.map_err(|e| e.to_string())?;
                let size = file.metadata().map_err(|e| e.to_string())?.len();
                return parquet::decode(file, decoder.into_parquet(size).map_err(fail)?, progress);
            }
            progress.inc(n as u64);
            pushed.map_err(fail)?;
            if beside && let Some(inflater) = decoder.take_inflater() {
                return beside::decode(inflater, reader, decoder, progress);
            }
        }
    }

    /// Whether there is a processor to inflate it beside, and enough of it. What comes through a pipe is
    /// as slow as whoever writes it, and may never end.
    fn is_worth_a_thread(&self) -> bool {
        const LARGE: u64 = 1 << 20;
        matches!(self, Self::File(_))
            && self.size().is_some_and(|size| size >= LARGE)
            && available_parallelism().is_ok_and(|processors| processors.get() > 1)
    }
}

/// What a file is packed with that is not read here, by its first bytes.
fn packed(first: &[u8]) -> Option<&'static str> {
    Some(match first {
        b"PK\x03\x04" => "zip",
        b"\x28\xb5\x2f\xfd" => "zstd",
        b"\xfd7zX" => "xz",
        b"BZh1" | b"BZh2" | b"BZh3" | b"BZh4" | b"BZh5" | b"BZh6" | b"BZh7" | b"BZh8" | b"BZh9" => {
            "bzip2"
        }
        _ => return None,
    })
}

/// Expands paths: `-` is standard input, a folder is every flow log file below it. Files are in the
/// order of the time that AWS wrote into their names, so that what happened first is read first.
pub fn expand(paths: &[PathBuf]) -> Vec<Input> {
    let mut inputs = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            inputs.push(Input::Stdin);
        } else if path.is_dir() {
            inputs.extend(folder(path));
        } else if path.exists() {
            inputs.push(Input::File(path.clone()));
        } else {
            let why = match path.to_str().filter(|text| text.starts_with("s3://")) {
                Some(place) => format!(
                    "files are read here: `aws s3 cp --recursive` first, or `flowlog backfill {place}`"
                ),
                None => "no such file or folder".to_owned(),
            };
            inputs.push(Input::Unreadable(path.clone(), why));
        }
    }
    inputs
}

fn folder(root: &Path) -> Vec<Input> {
    let mut files = Vec::new();
    let mut inputs = Vec::new();
    for file in flow_logs(root) {
        match file {
            Ok(file) => files.push(file),
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                inputs.push(Input::Unreadable(path, error.to_string()));
            }
        }
    }
    if files.is_empty() && inputs.is_empty() {
        let why = "the folder holds no .log, .gz or .parquet file".to_owned();
        inputs.push(Input::Unreadable(root.to_owned(), why));
    }
    files.sort_by_cached_key(|path| (delivery_time(path), path.clone()));
    inputs.extend(files.into_iter().map(Input::File));
    inputs
}

/// Every flow log file below a folder, by name. Hidden ones are read, too; symbolic links are not followed, since
/// what they lead to may be below the folder already.
pub(crate) fn flow_logs(
    root: &Path,
) -> impl Iterator<Item = Result<PathBuf, walkdir::Error>> + use<> {
    let is_one = |entry: &DirEntry| entry.file_type().is_file() && is_flow_log_name(entry.path());
    WalkDir::new(root).sort_by_file_name().into_iter().filter_map(move |entry| match entry {
        Ok(entry) => is_one(&entry).then(|| Ok(entry.into_path())),
        Err(error) => Some(Err(error)),
    })
}

/// In folders only files with the endings of flow logs are read; a file that is named is read
/// whatever its name.
fn is_flow_log_name(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| ["log", "gz", "parquet"].iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// The `20261101T0005Z` of AWS's file names.
pub(crate) fn delivery_time(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let time = name.split('_').rev().nth(1)?;
    (time.len() == 14 && time.ends_with('Z')).then(|| time.to_owned())
}

/// When AWS delivered a file, by its name (epoch seconds).
pub(crate) fn delivered_at(path: &Path) -> Option<i64> {
    let time = DateTime::strptime("%Y%m%dT%H%MZ", delivery_time(path)?).ok()?;
    Some(TimeZone::UTC.to_timestamp(time).ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_in_the_order_of_time() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "a/1_vpcflowlogs_r_fl-b_20261101T0010Z_x.log.gz",
            "a/1_vpcflowlogs_r_fl-c_20261101T0005Z_y.log.gz",
            "truth.json",
        ] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let names: Vec<String> = expand(&[dir.path().to_owned()]).iter().map(Input::name).collect();
        assert_eq!(names.len(), 2);
        assert!(names[0].ends_with("y.log.gz"));
        assert_eq!(delivered_at(Path::new(&names[0])), Some(1_793_491_500));
        assert!(matches!(&expand(&["/nowhere".into()])[..], [Input::Unreadable(..)]));
    }
}
