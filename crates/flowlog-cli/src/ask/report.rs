//! `flowlog report`: the page of what a store has.

#![allow(
    clippy::doc_markdown,
    reason = "doc comments are help text here, and back quotes show there"
)]

use std::path::{Path, PathBuf};

use clap::Args;
use flowlog_core::store::AlertStore;
use flowlog_core::store::reader::{Detail, Pieces};
use flowlog_core::store::summary::WINDOWS_PER_HOUR;
use indicatif::HumanBytes;

use super::alerts::marks;
use super::command::AskError;
use super::csv::csv_of;
use super::source::{AnswerFormat, AskArgs};
use super::{Asked, Made, Material, Period, read_in_pieces, whole_period};
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
    std::fs::write(&path, &text).map_err(|error| named(&path, error))?;
    let size = HumanBytes(text.len() as u64);
    Ok(format!("{}: {} interfaces, {size}\n", path.display(), page.interfaces.len()))
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
    let whole = whole_period(store).await?.ok_or(AskError::Empty)?;
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
