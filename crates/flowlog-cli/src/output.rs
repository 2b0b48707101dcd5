//! What commands that answer share: the option for tables or JSON, what is said, and printing.

use std::io::{self, Write as _};
use std::path::Path;

use clap::{Args, ValueEnum};

/// How an answer is written.
#[derive(Debug, Args)]
pub struct Output {
    /// Tables for people, or one JSON object for scripts.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    pub format: OutputFormat,
}

/// For whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Table,
    /// For scripts.
    Json,
}

/// What a command has to say, and whether all is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// For standard output.
    pub text: String,
    /// `false`: exit status 1.
    pub well: bool,
}

impl Said {
    pub(crate) fn well(text: impl Into<String>) -> Self {
        Self { text: text.into(), well: true }
    }
}

/// An error of the system with the file that it is about.
pub fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Writes a value and a line end to standard output as JSON, without making a text of it first.
pub fn print_json(value: &impl serde::Serialize) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = serde_json::to_writer(&mut out, value).map_err(io::Error::from);
    match written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no failure.
pub fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
