//! What the engine's own table of stream records lacks: two indexes, and forgetting.
//!
//! The engine finds the next sequence number by `MAX(CAST(sequence_number AS INTEGER))` over all
//! records of a table, once per write, and pages of a stream by the same expression. Without an
//! index on that expression both read every record there is. And it keeps every record, where
//! DynamoDB keeps them for a day. The table is private to the engine: tests assert that its queries
//! still use the index, and that old records go.

use flowlog_core::record::DAY_SECONDS;
use std::path::Path;

use rusqlite::Connection;

/// The second is for forgetting: without it each opening reads every record that there is.
const CREATE: &str = "CREATE INDEX IF NOT EXISTS flowlog_seq \
     ON _stream_records(table_name, CAST(sequence_number AS INTEGER)); \
     CREATE INDEX IF NOT EXISTS flowlog_age ON _stream_records(created_at)";
/// What DynamoDB would have forgotten.
pub(super) const FORGET: &str = "DELETE FROM _stream_records WHERE created_at < ?1";

/// What DynamoDB keeps of a stream, in seconds.
const KEPT: i64 = DAY_SECONDS;

/// Creates the index if it is not there, and forgets stream records as DynamoDB would have by `now`.
pub(super) fn prepare(path: &Path, now: i64) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.execute_batch(CREATE)?;
    connection.execute(FORGET, [now - KEPT])?;
    Ok(())
}

/// SQLite's plan for a query, one step per line.
#[cfg(test)]
pub(super) fn plan(path: &Path, query: &str) -> rusqlite::Result<Vec<String>> {
    let connection = Connection::open(path)?;
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}"))?;
    statement.query_map([], |row| row.get(3))?.collect()
}
