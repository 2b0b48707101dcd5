//! Reading the database's file beside the engine, for questions about a month.
//!
//! The engine answers as DynamoDB does, a megabyte of JSON at a time, whatever is wanted of it: a month of
//! fifty interfaces is four hundred thousand partials. Here keys are listed from SQLite's index alone, and of
//! an hour whose summary stands for its partials nothing else is read. The table is private to the engine:
//! the contract of stores is tested against this reader, too.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flowlog_aws::stored;
use flowlog_core::record::{BatchId, Source, WINDOWS_PER_HOUR, Window};
use flowlog_core::store::item::{ledger_pk, window_sk};
use flowlog_core::store::summary::Part;
use flowlog_core::store::{
    AggregateReader, DirectoryEntry, LedgerEntry, LedgerReader, PartialItem, Series, SeriesItems,
    StoreError, View,
};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

/// Every item of a partition between two sort keys.
const ITEMS: &str = "SELECT sk, item_json FROM \"FlowAggregates\" \
     WHERE pk = ?1 AND sk BETWEEN ?2 AND ?3 ORDER BY sk";
/// The keys, and of summaries the rest: the index has the keys, and the row is looked up for nothing else.
pub(super) const CONDENSED: &str = "SELECT sk, CASE WHEN substr(sk, -2) = '#S' THEN item_json END FROM \"FlowAggregates\" \
     WHERE pk = ?1 AND sk BETWEEN ?2 AND ?3 ORDER BY sk";
/// The keys alone.
const KEYS: &str =
    "SELECT sk FROM \"FlowAggregates\" WHERE pk = ?1 AND sk BETWEEN ?2 AND ?3 ORDER BY sk";
/// One ledger entry.
const LEDGER: &str = "SELECT item_json FROM \"FlowControl\" WHERE pk = ?1 AND sk = 'S:L'";
/// How the engine marks keys that are text.
const TEXT: &str = "S:";

/// The file, with the connections that are not in use.
#[derive(Debug, Clone)]
pub struct FileReader {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl FileReader {
    /// A reader of a file that the engine has opened.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Arc::default() }
    }

    /// Reads all of it as of one moment.
    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = idle().pop();
        let mut connection = match connection {
            Some(connection) => connection,
            None => Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)
                .map_err(refused)?,
        };
        let now = connection.transaction().map_err(refused)?;
        let found = read(&now)?;
        now.finish().map_err(refused)?;
        idle().push(connection);
        Ok(found)
    }

    /// Keys of the directory.
    fn directory<T>(
        &self,
        pk: &str,
        [low, high]: [&str; 2],
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(KEYS).map_err(refused)?;
            let [pk, low, high] = [pk, low, high].map(|text| format!("{TEXT}{text}"));
            let mut rows = statement.query(params![pk, low, high]).map_err(refused)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next().map_err(refused)? {
                let sk: String = row.get(0).map_err(refused)?;
                let named = sk.strip_prefix(TEXT).and_then(&parse);
                found.push(named.ok_or_else(|| StoreError::Corrupt {
                    key: format!("{pk} / {sk}"),
                    reason: "no key of the directory".to_owned(),
                })?);
            }
            Ok(found)
        })
    }
}

/// Every future is ready at once: the thread that asks is the one that reads.
impl AggregateReader for FileReader {
    async fn partials(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> Result<Vec<PartialItem>, StoreError> {
        Ok(self.items(series, from, to).await?.partials)
    }

    async fn items(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> Result<SeriesItems, StoreError> {
        self.read(|connection| {
            let mut found = SeriesItems::default();
            for (first, last) in days(from, to) {
                items(connection, series, first, last, &mut found)?;
            }
            Ok(sorted(found))
        })
    }

    async fn condensed(
        &self,
        series: &Series,
        from: Window,
        to: Window,
    ) -> Result<SeriesItems, StoreError> {
        self.read(|connection| {
            let mut found = SeriesItems::default();
            for day in days(from, to) {
                condensed(connection, series, day, (from, to), &mut found)?;
            }
            Ok(sorted(found))
        })
    }

    async fn sources(
        &self,
        from_day: &str,
        to_day: &str,
    ) -> Result<Vec<(String, Source)>, StoreError> {
        let parse = |sk: &str| {
            let (day, source) = sk.split_once('#')?;
            Some((day.to_owned(), Source::parse(source)?))
        };
        let mut found = self.directory("D", [from_day, &format!("{to_day}#~")], parse)?;
        found.sort();
        Ok(found)
    }

    async fn subjects(
        &self,
        source: &Source,
        view: View,
        day: &str,
    ) -> Result<Vec<String>, StoreError> {
        let series = Series { source: source.clone(), view, subject: String::new() };
        let pk = DirectoryEntry::Series { day: day.to_owned(), series }.pk();
        let mut found = self.directory(&pk, [" ", "~"], |sk| Some(sk.to_owned()))?;
        found.sort();
        Ok(found)
    }
}

impl LedgerReader for FileReader {
    async fn entries(&self, batches: &[BatchId]) -> Result<Vec<Option<LedgerEntry>>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(LEDGER).map_err(refused)?;
            let mut found = Vec::with_capacity(batches.len());
            for batch in batches {
                let pk = format!("{TEXT}{}", ledger_pk(*batch));
                let json = statement.query_row([&pk], |row| row.get::<_, String>(0));
                let json = json.optional().map_err(refused)?;
                found.push(json.map(|json| stored::ledger(&json)).transpose()?);
            }
            Ok(found)
        })
    }
}

/// Not the order of the sort keys: base64 text does not sort as the bytes do.
fn sorted(mut items: SeriesItems) -> SeriesItems {
    items.partials.sort_by_key(|p| (p.window, p.batch, p.chunk));
    items.summaries.sort_by_key(|s| s.hour);
    items
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Permanent(Box::new(error))
}

/// The parts of `from ..= to` that lie in one day each: a partition.
fn days(from: Window, to: Window) -> impl Iterator<Item = (Window, Window)> {
    let starts = if from <= to { from.days_to(to) } else { Vec::new() };
    let starts = starts.into_iter().filter_map(|day| Window::of(Window::day_start(&day)?));
    starts.map(move |start| (start.max(from), start.forward(287).min(to)))
}

/// The sort keys between which the items of these windows of one day lie, and the summaries of their hours.
fn keys(first: Window, last: Window) -> [String; 2] {
    let end = last.hour().forward(WINDOWS_PER_HOUR - 1);
    [format!("{TEXT}{}#", window_sk(first)), format!("{TEXT}{}#~", window_sk(end))]
}

/// The partial that a sort key names.
fn part(series: &Series, sk: &str) -> Result<Part, StoreError> {
    let named = sk.strip_prefix(TEXT).and_then(Part::parse_sk);
    named.ok_or_else(|| StoreError::Corrupt {
        key: format!("{} / {sk}", series.subject),
        reason: "no key of a partial".to_owned(),
    })
}

/// Adds the partials of some windows of one day, and the summaries of their hours.
fn items(
    connection: &Connection,
    series: &Series,
    first: Window,
    last: Window,
    found: &mut SeriesItems,
) -> Result<(), StoreError> {
    let [low, high] = keys(first, last);
    let mut statement = connection.prepare_cached(ITEMS).map_err(refused)?;
    let pk = format!("{TEXT}{}", series.pk(first));
    let mut rows = statement.query(params![pk, low, high]).map_err(refused)?;
    while let Some(row) = rows.next().map_err(refused)? {
        let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        let (sk, json) = (text(0).map_err(refused)?, text(1).map_err(refused)?);
        if sk.ends_with("#S") {
            found.summaries.push(stored::summary(json)?);
        } else if part(series, sk)?.window <= last {
            found.partials.push(stored::partial(json)?);
        }
    }
    Ok(())
}

/// The same, without the partials of hours whose summary stands for them.
fn condensed(
    connection: &Connection,
    series: &Series,
    (first, last): (Window, Window),
    (from, to): (Window, Window),
    found: &mut SeriesItems,
) -> Result<(), StoreError> {
    let [low, high] = keys(first, last);
    let mut statement = connection.prepare_cached(CONDENSED).map_err(refused)?;
    let pk = format!("{TEXT}{}", series.pk(first));
    let mut rows = statement.query(params![pk, low, high]).map_err(refused)?;
    // Of the hour that is being listed; and stretches of windows whose partials are needed.
    let mut there: Vec<Part> = Vec::new();
    let mut needed: Vec<(Window, Window)> = Vec::new();
    let mut need = |there: &mut Vec<Part>| {
        if let (Some(low), Some(high)) = (there.first(), there.last()) {
            let (low, high) = (low.window, high.window);
            match needed.last_mut() {
                Some((_, end)) if end.forward(1) == low => *end = high,
                _ => needed.push((low, high)),
            }
        }
        there.clear();
    };
    while let Some(row) = rows.next().map_err(refused)? {
        let text = |column| row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from);
        let sk = text(0).map_err(refused)?.unwrap_or_default();
        let Some(json) = text(1).map_err(refused)? else {
            let part = part(series, sk)?;
            if there.last().is_some_and(|last| last.window.hour() != part.window.hour()) {
                need(&mut there);
            }
            if part.window <= last {
                there.push(part);
            }
            continue;
        };
        // Behind all partials of its hour.
        let summary = stored::summary(json)?;
        if there.last().is_some_and(|last| last.window.hour() != summary.hour) {
            need(&mut there);
        }
        there.sort_unstable();
        if summary.stands_for(&there, from, to) {
            there.clear();
        }
        need(&mut there);
        found.summaries.push(summary);
    }
    need(&mut there);
    drop(rows);
    for (low, high) in needed {
        let mut of_these = SeriesItems::default();
        items(connection, series, low, high, &mut of_these)?;
        found.partials.append(&mut of_these.partials);
    }
    Ok(())
}
