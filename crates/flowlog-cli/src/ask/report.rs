//! `flowlog report`: the page of what a store has.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments are help text here, and back quotes show there"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use flowlog_core::record::WINDOWS_PER_HOUR;
use flowlog_core::store::AlertStore;
use flowlog_core::store::reader::{Detail, Pieces};
use indicatif::HumanBytes;
use tempfile::NamedTempFile;

use super::alerts::marks;
use super::command::AskError;
use super::csv::csv_of;
use super::source::{AnswerFormat, AskArgs};
use super::{Asked, Made, Material, Period, read_in_pieces};
use crate::output::named;
use crate::page::{self, Page};

/// Options of `flowlog report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The page to write, - for standard output. With --format json or csv its numbers, which go to standard
    /// output without it. A store is never written over.
    #[arg(short, long, value_name = "FILE.html")]
    output: Option<PathBuf>,
    #[command(flatten)]
    ask: AskArgs,
}

/// Writes the page, or its numbers, and says where; or returns the numbers.
pub async fn report(args: ReportArgs) -> Result<String, AskError> {
    if args.output.is_none() && args.ask.format == AnswerFormat::Table {
        return Err(AskError::NoOutput);
    }
    let output = args.output.filter(|path| path != Path::new("-"));
    if let Some(path) = &output {
        args.ask.store.spare(path)?;
    }
    let opened = args.ask.store.open().await?;
    let page = page_of(&opened.store, &args.ask).await?;
    let text = match args.ask.format {
        AnswerFormat::Json => serde_json::to_string(&page)? + "\n",
        AnswerFormat::Csv => csv_of(&serde_json::to_value(&page)?)?,
        AnswerFormat::Table => page::render(&page)?,
    };
    let Some(path) = output else { return Ok(text) };
    write(&path, &text).map_err(|error| named(&path, error))?;
    let size = HumanBytes(text.len() as u64);
    Ok(format!("{}: {} interfaces, {size}\n", path.display(), page.interfaces.len()))
}

/// Writes a file for nobody but who runs this, all of it or nothing, in place of what is there: a link is replaced,
/// not followed. Devices and pipes are written to.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let is_file = std::fs::metadata(path).map_or(true, |found| found.is_file());
    // Where standard output is a link to whatever it is redirected to.
    if !is_file || path.starts_with("/dev") || path.starts_with("/proc") {
        return std::fs::write(path, text);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

/// The hours that have data: a day that has just begun, or begins in the middle, is not shown as a gap. What
/// somebody asked for stays.
fn shown(material: &Material, ask: &AskArgs, period: Period) -> Period {
    let windows = || material.answers.iter().flat_map(|(_, answer)| answer.windows.keys());
    let (Some(first), Some(last)) = (windows().min(), windows().max()) else { return period };
    let last = last.hour().forward(WINDOWS_PER_HOUR - 1);
    Period {
        from: if ask.times.since.is_none() { first.hour().max(period.from) } else { period.from },
        to: if ask.times.until.is_none() { last.min(period.to) } else { period.to },
    }
}

/// The page's numbers.
pub(super) async fn page_of<S: Asked + AlertStore>(
    store: &S,
    ask: &AskArgs,
) -> Result<Page, AskError> {
    let whole = super::command::not_empty(store).await?;
    let wanted = ask.wanted(store, whole).await?;
    let period = wanted.period;
    // Columns of the page's heat map are hours or days.
    let by_the_hour = page::is_by_the_hour(period);
    let detail = Detail::of(if by_the_hour { Pieces::Hours } else { Pieces::Days });
    let subject = ask.subject();
    let mut material = read_in_pieces(store, &subject, period, detail).await?;
    let period = shown(&material, ask, period);
    if !by_the_hour && page::is_by_the_hour(period) {
        material = read_in_pieces(store, &subject, period, Detail::of(Pieces::Hours)).await?;
    }
    wanted.bound(&mut material);
    // An alert may be of the silence after the data.
    let to = if ask.times.until.is_none() { i64::MAX } else { period.to.end() };
    let alerts = marks(store, period.from.start(), to).await?;
    let made = Made::now(ask.store.name());
    Ok(Page::new(&material, period, alerts, (made, wanted.asked_json())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_page_is_for_its_owner_and_replaces_a_link() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::TempDir::new().unwrap();
        let (page, other) = (folder.path().join("page.html"), folder.path().join("other"));
        std::fs::write(&other, "somebody's").unwrap();
        symlink(&other, &page).unwrap();
        for text in ["first", "second"] {
            write(&page, text).unwrap();
            assert_eq!(std::fs::read_to_string(&page).unwrap(), text);
            let found = std::fs::symlink_metadata(&page).unwrap();
            assert!(found.is_file() && found.permissions().mode() & 0o777 == 0o600, "{found:?}");
        }
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "somebody's");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left over");
        write(folder.path(), "a folder").unwrap_err();
        write(Path::new("/dev/null"), "a device").unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }
}
