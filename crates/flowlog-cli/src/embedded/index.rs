//! One index on the engine's own table of stream records.
//!
//! The engine finds the next sequence number by `MAX(CAST(sequence_number AS INTEGER))` over all
//! records of a table, once per write, and pages of a stream by the same expression. Without an
//! index on that expression both read every record there is. The table is private to the engine:
//! a test asserts that its queries still use the index.

use std::path::Path;

use rusqlite::Connection;

const CREATE: &str = "CREATE INDEX IF NOT EXISTS flowlog_seq \
     ON _stream_records(table_name, CAST(sequence_number AS INTEGER))";

/// Creates the index if it is not there.
pub(super) fn create(path: &Path) -> rusqlite::Result<()> {
    Connection::open(path)?.execute_batch(CREATE)
}

/// SQLite's plan for a query, one step per line.
#[cfg(test)]
pub(super) fn plan(path: &Path, query: &str) -> rusqlite::Result<Vec<String>> {
    let connection = Connection::open(path)?;
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}"))?;
    statement.query_map([], |row| row.get(3))?.collect()
}
